// The activation between the two matrices of a feed-forward block, plain or gated, with the dropout that may
// follow, and its backward pass with the sums for the bias of the first matrix.

// As Activation of core/spec.h.
constexpr int kGelu = 0, kGeluTanh = 1, kRelu = 2, kSilu = 3;  // and else tanh

constexpr float kRootOfHalf = 0.70710678118654752f, kDensityAtZero = 0.39894228040143268f,
                kTanhScale = 0.79788456080286536f, kTanhCubic = 0.044715f;

// The value, and in `slope` the derivative.
__device__ inline float activation(int kind, float z, float& slope) {
  if (kind == kGelu) {
    const float distribution = 0.5f * erfcf(-z * kRootOfHalf);
    slope = distribution + z * kDensityAtZero * expf(-0.5f * z * z);
    return z * distribution;
  }
  if (kind == kGeluTanh) {
    const float t = tanhf(kTanhScale * (z + kTanhCubic * z * z * z));
    slope = 0.5f * (1.0f + t) + 0.5f * z * (1.0f - t * t) * kTanhScale * (1.0f + 3.0f * kTanhCubic * z * z);
    return 0.5f * z * (1.0f + t);
  }
  if (kind == kRelu) {
    slope = z > 0.0f ? 1.0f : 0.0f;
    return z > 0.0f ? z : z != z ? z : 0.0f;
  }
  if (kind == kSilu) {
    const float sigmoid = 1.0f / (1.0f + expf(-z));
    slope = sigmoid * (1.0f + z * (1.0f - sigmoid));
    return z * sigmoid;
  }
  const float t = tanhf(z);
  slope = 1.0f - t * t;
  return t;
}

// z: [rows, columns], or [rows, 2 * columns] where it is gated: activation(left half) * right half.
template <typename T>
__device__ inline void activate(int kind, int isGated, const T* z, const Mask& givenMask, int rows,
                                int columns, int rowsOfBlock, T* out) {
  const Mask mask = maskOf(givenMask);
  const int column = (blockIdx.x * blockDim.x + threadIdx.x) * kColumnsOfThread;
  if (column >= columns) return;
  const int firstRow = blockIdx.y * rowsOfBlock, width = isGated ? 2 * columns : columns;
  const int end = firstRow + rowsOfBlock < rows ? firstRow + rowsOfBlock : rows;
#pragma unroll 2
  for (int row = firstRow; row < end; ++row) {
    const Long from = static_cast<Long>(row) * width + column, to = static_cast<Long>(row) * columns + column;
    const Four<float> x = load(z, from), gate = loadOr(isGated ? z + columns : nullptr, from, 1.0f);
    Four<float> result;
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) {
      float slope;
      result.at[i] = activation(kind, x.at[i], slope) * gate.at[i];
    }
    store(out, to, dropped(result, mask, keyOf(mask, row), column));
  }
}

// dZ in the shape of z. partial: [row blocks, columns of z], the sums of dZ over the block's rows.
template <typename T>
__device__ inline void activateBackward(int kind, int isGated, const T* dOut, const T* z,
                                        const Mask& givenMask, int rows, int columns, int rowsOfBlock, T* dZ,
                                        float* partial) {
  const Mask mask = maskOf(givenMask);
  const int column = (blockIdx.x * blockDim.x + threadIdx.x) * kColumnsOfThread;
  if (column >= columns) return;
  const int firstRow = blockIdx.y * rowsOfBlock, width = isGated ? 2 * columns : columns;
  const int end = firstRow + rowsOfBlock < rows ? firstRow + rowsOfBlock : rows;
  Four<float> sums = {}, gateSums = {};
#pragma unroll 2
  for (int row = firstRow; row < end; ++row) {
    const Long from = static_cast<Long>(row) * width + column, to = static_cast<Long>(row) * columns + column;
    const Four<float> x = load(z, from), gate = loadOr(isGated ? z + columns : nullptr, from, 1.0f);
    const Four<float> d = dropped(load(dOut, to), mask, keyOf(mask, row), column);
    Four<float> back, gateBack;
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) {
      float slope;
      gateBack.at[i] = d.at[i] * activation(kind, x.at[i], slope);
      back.at[i] = d.at[i] * gate.at[i] * slope;
      T narrowed;  // as the weight's gradient sees it
      narrow(narrowed, back.at[i]);
      sums.at[i] += widened(narrowed);
      narrow(narrowed, gateBack.at[i]);
      gateSums.at[i] += widened(narrowed);
    }
    store(dZ, from, back);
    if (isGated) store(dZ, from + columns, gateBack);
  }
  const Long place = static_cast<Long>(blockIdx.y) * width + column;
  store(partial, place, sums);
  if (isGated) store(partial, place + columns, gateSums);
}

#define ACTIVATION(type, suffix)                                                                            \
  extern "C" __global__ void __launch_bounds__(128) activate##suffix(                                       \
      int kind, int isGated, const type* z, Mask mask, int rows, int columns, int rowsOfBlock, type* out) { \
    activate<type>(kind, isGated, z, mask, rows, columns, rowsOfBlock, out);                                \
  }                                                                                                         \
  extern "C" __global__ void __launch_bounds__(128)                                                         \
      activateBackward##suffix(int kind, int isGated, const type* dOut, const type* z, Mask mask, int rows, \
                               int columns, int rowsOfBlock, type* dZ, float* partial) {                    \
    activateBackward<type>(kind, isGated, dOut, z, mask, rows, columns, rowsOfBlock, dZ, partial);          \
  }
ACTIVATION(float, Float)
ACTIVATION(BFloat16, BFloat16)
#undef ACTIVATION
