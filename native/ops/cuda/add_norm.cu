// LayerNorm(dropout(y) + residual), the end of each half of a block, and its backward pass. One pass over
// memory each: the mask is computed, never stored, and the result is also written in the compute type, which
// the next matrix product reads.

// sum = dropout(y) + residual, and LayerNorm of it, as float32 (`out`) and as bfloat16 (`rounded`); each of
// the three may be null. statistics: [rows, 2], mean and 1 / standard deviation. `shift`, LayerNorm's bias,
// may be null, and so may `residual`.
template <typename T>
__device__ inline void addNorm(const T* y, const float* residual, const float* weight, const float* shift,
                               const Mask& givenMask, float epsilon, int rows, int columns, float* sum,
                               float* out, BFloat16* rounded, float* statistics) {
  SHARED(float, scratch, kMostWarps* kRowsAtOnce);
  const Mask mask = maskOf(givenMask);
  const int column = threadIdx.x * kColumnsOfThread, firstRow = blockIdx.x * kRowsAtOnce;
  const bool isIn = column < columns;
  Four<float> x[kRowsAtOnce];
  float means[kRowsAtOnce], squares[kRowsAtOnce];
#pragma unroll
  for (int r = 0; r < kRowsAtOnce; ++r) {
    const int row = firstRow + r;
    x[r] = {};
    if (isIn && row < rows) {
      const Long place = static_cast<Long>(row) * columns + column;
      const Four<float> added = loadOr(residual, place, 0.0f);
      x[r] = dropped(load(y, place), mask, keyOf(mask, row), column);
#pragma unroll
      for (int i = 0; i < kColumnsOfThread; ++i) x[r].at[i] += added.at[i];
      if (sum != nullptr) store(sum, place, x[r]);
    }
    means[r] = (x[r].at[0] + x[r].at[1]) + (x[r].at[2] + x[r].at[3]);
  }
  sumOverBlock(means, scratch);
#pragma unroll
  for (int r = 0; r < kRowsAtOnce; ++r) {
    means[r] /= columns;
    squares[r] = 0.0f;
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i)
      if (isIn) squares[r] += (x[r].at[i] - means[r]) * (x[r].at[i] - means[r]);
  }
  sumOverBlock(squares, scratch);
  const Four<float> scales = isIn ? load(weight, column) : Four<float>{},
                    shifts = isIn ? loadOr(shift, column, 0.0f) : Four<float>{};
#pragma unroll
  for (int r = 0; r < kRowsAtOnce; ++r) {
    const int row = firstRow + r;
    if (row >= rows) return;
    const float inverse = 1.0f / sqrtf(squares[r] / columns + epsilon);
    if (threadIdx.x == 0) {
      statistics[2 * row] = means[r];
      statistics[2 * row + 1] = inverse;
    }
    if (!isIn) continue;
    const Long place = static_cast<Long>(row) * columns + column;
    Four<float> result;
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i)
      result.at[i] = (x[r].at[i] - means[r]) * inverse * scales.at[i] + shifts.at[i];
    if (out != nullptr) store(out, place, result);
    if (rounded != nullptr) store(rounded, place, result);
  }
}

// dOut + dOutToo is the gradient of LayerNorm's result, and dSumOut that of the sum where it is used beside
// (pre-norm); dOutToo and dSumOut may be null. dSum is the gradient of the residual, dY that of y; either may
// be null. partial: [3, blocks, columns], sums over the block's rows for LayerNorm's weight and bias, and of
// dY.
template <typename T>
__device__ inline void addNormBackward(const float* dOut, const float* dOutToo, const float* dSumOut,
                                       const float* sum, const float* statistics, const float* weight,
                                       const Mask& givenMask, int rows, int columns, int rowsOfBlock,
                                       float* dSum, T* dY, float* partial) {
  SHARED(float, scratch, kMostWarps* kRowsAtOnce * 2);
  const Mask mask = maskOf(givenMask);
  const int column = threadIdx.x * kColumnsOfThread, firstRow = blockIdx.x * rowsOfBlock;
  const bool isIn = column < columns;
  const int end = firstRow + rowsOfBlock < rows ? firstRow + rowsOfBlock : rows;
  const Four<float> scales = isIn ? load(weight, column) : Four<float>{};
  Four<float> weightSums = {}, shiftSums = {}, sumsOfY = {};
  for (int begin = firstRow; begin < end; begin += kRowsAtOnce) {
    Four<float> gradients[kRowsAtOnce], normalized[kRowsAtOnce];
    float sums[2 * kRowsAtOnce];  // of the gradients, and of these times the normalized values
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int row = begin + r;
      gradients[r] = normalized[r] = {};
      sums[2 * r] = sums[2 * r + 1] = 0.0f;
      if (isIn && row < end) {
        const Long place = static_cast<Long>(row) * columns + column;
        const Four<float> one = load(dOut, place), two = loadOr(dOutToo, place, 0.0f), x = load(sum, place);
        const float mean = statistics[2 * row], inverse = statistics[2 * row + 1];
#pragma unroll
        for (int i = 0; i < kColumnsOfThread; ++i) {
          const float gradient = one.at[i] + two.at[i];
          normalized[r].at[i] = (x.at[i] - mean) * inverse;
          weightSums.at[i] += gradient * normalized[r].at[i];
          shiftSums.at[i] += gradient;
          gradients[r].at[i] = gradient * scales.at[i];
          sums[2 * r] += gradients[r].at[i];
          sums[2 * r + 1] += gradients[r].at[i] * normalized[r].at[i];
        }
      }
    }
    sumOverBlock(sums, scratch);
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int row = begin + r;
      if (!isIn || row >= end) continue;
      const Long place = static_cast<Long>(row) * columns + column;
      const float mean = sums[2 * r] / columns, projection = sums[2 * r + 1] / columns;
      const float inverse = statistics[2 * row + 1];
      Four<float> back = loadOr(dSumOut, place, 0.0f);
#pragma unroll
      for (int i = 0; i < kColumnsOfThread; ++i)
        back.at[i] += inverse * (gradients[r].at[i] - mean - normalized[r].at[i] * projection);
      if (dSum != nullptr) store(dSum, place, back);
      const Four<float> kept = dropped(back, mask, keyOf(mask, row), column);
      if (dY != nullptr) store(dY, place, kept);
#pragma unroll
      for (int i = 0; i < kColumnsOfThread; ++i) {
        T narrowed;  // as the weight's gradient sees it
        narrow(narrowed, kept.at[i]);
        sumsOfY.at[i] += widened(narrowed);
      }
    }
  }
  if (!isIn) return;
  const Long place = static_cast<Long>(blockIdx.x) * columns + column,
             all = static_cast<Long>(gridDim.x) * columns;
  store(partial, place, weightSums);
  store(partial, all + place, shiftSums);
  store(partial, 2 * all + place, sumsOfY);
}

#define ADD_NORM(type, suffix)                                                                               \
  extern "C" __global__ void __launch_bounds__(512) addNorm##suffix(                                         \
      const type* y, const float* residual, const float* weight, const float* shift, Mask mask,              \
      float epsilon, int rows, int columns, float* sum, float* out, BFloat16* rounded, float* statistics) {  \
    addNorm<type>(y, residual, weight, shift, mask, epsilon, rows, columns, sum, out, rounded, statistics);  \
  }                                                                                                          \
  extern "C" __global__ void __launch_bounds__(512) addNormBackward##suffix(                                 \
      const float* dOut, const float* dOutToo, const float* dSumOut, const float* sum,                       \
      const float* statistics, const float* weight, Mask mask, int rows, int columns, int rowsOfBlock,       \
      float* dSum, type* dY, float* partial) {                                                               \
    addNormBackward<type>(dOut, dOutToo, dSumOut, sum, statistics, weight, mask, rows, columns, rowsOfBlock, \
                          dSum, dY, partial);                                                                \
  }
ADD_NORM(float, Float)
ADD_NORM(BFloat16, BFloat16)
#undef ADD_NORM

// Without a norm: dropout(y) + residual, and the gradient of y.
template <typename T, typename Out>
__device__ inline void dropoutAdd(const T* y, const float* residual, const Mask& givenMask, int rows,
                                  int columns, int rowsOfBlock, Out* out, float* partial) {
  const Mask mask = maskOf(givenMask);
  const int column = (blockIdx.x * blockDim.x + threadIdx.x) * kColumnsOfThread;
  if (column >= columns) return;
  const int firstRow = blockIdx.y * rowsOfBlock;
  const int end = firstRow + rowsOfBlock < rows ? firstRow + rowsOfBlock : rows;
  Four<float> sums = {};
#pragma unroll 4
  for (int row = firstRow; row < end; ++row) {
    const Long place = static_cast<Long>(row) * columns + column;
    Four<float> result = dropped(load(y, place), mask, keyOf(mask, row), column);
    const Four<float> added = loadOr(residual, place, 0.0f);
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) {
      result.at[i] += added.at[i];
      Out narrowed;
      narrow(narrowed, result.at[i]);
      sums.at[i] += widened(narrowed);
    }
    store(out, place, result);
  }
  if (partial != nullptr) store(partial, static_cast<Long>(blockIdx.y) * columns + column, sums);
}

#define DROPOUT_ADD(type, out, suffix)                                                           \
  extern "C" __global__ void __launch_bounds__(128)                                              \
      dropoutAdd##suffix(const type* y, const float* residual, Mask mask, int rows, int columns, \
                         int rowsOfBlock, out* result, float* partial) {                         \
    dropoutAdd<type, out>(y, residual, mask, rows, columns, rowsOfBlock, result, partial);       \
  }
DROPOUT_ADD(float, float, Float)
DROPOUT_ADD(BFloat16, float, BFloat16)          // forward
DROPOUT_ADD(float, BFloat16, BackwardBFloat16)  // of a gradient in float32
DROPOUT_ADD(BFloat16, BFloat16, OfBFloat16)     // both ways, without a residual
#undef DROPOUT_ADD
