// What the fused kernels share. All texts of this folder are one program, this one first, and include
// nothing: NVRTC compiles it at run time for the GPU that is there, without a CUDA toolkit, and the C++
// compiler for the tests (tests/kernel_shim.h), which run it on the CPU, thread by thread.
//
// Everywhere a thread has four neighbouring columns and a block some rows, so sizes are arguments and nothing
// is compiled for one model. No sum depends on the order in which threads or blocks run: the same bits every
// time.

#ifndef SHARED
#define SHARED(type, name, size) __shared__ type name[size]
#endif

typedef unsigned int Word;
typedef long long Long;
typedef unsigned long long Wide;

constexpr int kColumnsOfThread = 4;
constexpr int kWarp = 32;
constexpr int kRowsAtOnce = 4;  // loads in flight: a row alone would wait for each of its sums

struct BFloat16 {
  unsigned short bits;
};

template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T at[kColumnsOfThread];
};

__device__ inline float widened(float x) { return x; }
__device__ inline float widened(BFloat16 x) { return __uint_as_float(static_cast<Word>(x.bits) << 16); }

__device__ inline void narrow(float& to, float x) { to = x; }
// To the nearest, ties to even.
__device__ inline void narrow(BFloat16& to, float x) {
  const Word word = __float_as_uint(x);
  to.bits = x != x ? 0x7fc0 : static_cast<unsigned short>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
}

// Whether four elements can be read at once there: everywhere in a tensor whose rows are whole fours, which
// fused.cc sees to.
template <typename T>
__device__ inline bool isAligned(const T* values) {
  return reinterpret_cast<Wide>(values) % sizeof(Four<T>) == 0;
}

template <typename T>
__device__ inline Four<float> load(const T* values, Long place) {
  const Four<T> found = *reinterpret_cast<const Four<T>*>(values + place);
  Four<float> result;
#pragma unroll
  for (int i = 0; i < kColumnsOfThread; ++i) result.at[i] = widened(found.at[i]);
  return result;
}

template <typename T>
__device__ inline Four<float> loadOr(const T* values, Long place, float otherwise) {
  if (values != nullptr) return load(values, place);
  return {otherwise, otherwise, otherwise, otherwise};
}

template <typename T>
__device__ inline void store(T* values, Long place, const Four<float>& given) {
  Four<T> narrowed;
#pragma unroll
  for (int i = 0; i < kColumnsOfThread; ++i) narrow(narrowed.at[i], given.at[i]);
  *reinterpret_cast<Four<T>*>(values + place) = narrowed;
}

// The mask of core/random.h, bit for bit.
struct PassNumbers {
  Wide seed;
  Long step, firstToken, firstSequence;
};
struct MaskRows {
  Long offset;
  int factor, areSequences;
};
struct Mask {
  Word first, second, threshold;
  float scale;
  Long firstRow;
  const PassNumbers* onDevice;
  Long layer;
  Wide site;
  MaskRows rows;
  const int* places;  // of masks on the CPU alone
};

struct RowKey {
  Word first, second;
};

__device__ inline Word mix32(Word x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

__device__ inline Word hash(RowKey row, Word column) {
  Word x = column * 0x9e3779b9u + row.first;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = ((x ^ (x >> 15)) + row.second) * 0x846ca68bu;
  return x ^ (x >> 16);
}

__device__ inline Wide mix64(Wide x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// As makeMask of core/random.h, from the numbers that are there now.
__device__ inline Mask maskOf(const Mask& given) {
  Mask mask = given;
  if (given.onDevice == nullptr) return mask;
  const PassNumbers numbers = *given.onDevice;
  constexpr Wide kStep = 0x9e3779b97f4a7c15ull;
  Wide key = mix64(numbers.seed + kStep);
  key = mix64(key ^ (static_cast<Wide>(numbers.step) + kStep));
  key = mix64(key ^ (static_cast<Wide>(given.layer) + kStep));
  key = mix64(key ^ (given.site + kStep));
  mask.first = static_cast<Word>(key);
  mask.second = static_cast<Word>(key >> 32);
  const Long earlier = given.rows.areSequences ? numbers.firstSequence : numbers.firstToken;
  mask.firstRow = given.rows.offset + given.rows.factor * earlier;
  return mask;
}

__device__ inline RowKey keyOf(const Mask& mask, int row) {
  const Word counter = static_cast<Word>(mask.firstRow + row);
  return {mix32(counter + mask.first), mix32((counter ^ 0x9e3779b9u) + mask.second)};
}

__device__ inline Four<float> dropped(const Four<float>& values, const Mask& mask, RowKey key, int column) {
  if (mask.threshold == 0) return values;
  Four<float> result;
#pragma unroll
  for (int i = 0; i < kColumnsOfThread; ++i)
    result.at[i] = values.at[i] * (hash(key, column + i) >= mask.threshold ? mask.scale : 0.0f);
  return result;
}

__device__ inline float sumOverWarp(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// Each of the values summed over the block, for all of its threads. `scratch` has kCount values for each
// warp.
template <int kCount, typename Scratch>
__device__ inline void sumOverBlock(float (&values)[kCount], Scratch& scratch) {
  const int warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp;
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = sumOverWarp(values[i]);
  if (threadIdx.x % kWarp == 0) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) scratch[warp * kCount + i] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = 0.0f;
  for (int w = 0; w < warps; ++w) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] += scratch[w * kCount + i];
  }
  __syncthreads();  // nobody may write to it before everybody has read
}
constexpr int kMostWarps = 16;  // of a block that has sums

// Sums over rows, such as those of a bias: each block writes the sum of its rows, one row of [blocks,
// columns], and columnSums adds these up. kGroups threads share a column.
constexpr int kGroups = 32;
struct ColumnSums {
  float* sums[3];  // null where one is not wanted
  int adds[3];     // to what is there, else it is overwritten
};
// partial: [gridDim.y, parts, columns].
extern "C" __global__ void __launch_bounds__(1024)
    columnSums(const float* partial, int parts, int columns, ColumnSums targets) {
  SHARED(float, scratch, kWarp*(kGroups + 1));
  const int lane = threadIdx.x % kWarp, group = threadIdx.x / kWarp, which = blockIdx.y;
  const int column = blockIdx.x * kWarp + lane;
  float sum = 0.0f;
  if (column < columns) {
    for (int part = group; part < parts; part += kGroups)
      sum += partial[(static_cast<Long>(which) * parts + part) * columns + column];
  }
  scratch[lane * (kGroups + 1) + group] = sum;
  __syncthreads();
  float* const target = which == 0 ? targets.sums[0] : which == 1 ? targets.sums[1] : targets.sums[2];
  const int adds = which == 0 ? targets.adds[0] : which == 1 ? targets.adds[1] : targets.adds[2];
  if (group != 0 || column >= columns || target == nullptr) return;
  float total = 0.0f;
  for (int g = 0; g < kGroups; ++g) total += scratch[lane * (kGroups + 1) + g];
  target[column] = adds != 0 ? target[column] + total : total;
}
