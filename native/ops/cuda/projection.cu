// Around attention: rotary positions of queries and keys, and the gradients of queries, keys and values as
// the one tensor that their projection wants, turned back.

// projected: [tokens, parts, heads, size], turned in place, all parts but the last. A thread has four pairs
// (j, j + size / 2). positions: of a token in its sequence; table: cosines and sines, [2, length, size / 2].
template <typename T>
__device__ inline void rotate(T* projected, const Long* positions, const float* table, int parts, int heads,
                              int size, int length) {
  const int half = size / 2, groups = half / kColumnsOfThread;
  const int number = blockIdx.y * blockDim.x + threadIdx.x, token = blockIdx.x;
  if (number >= (parts - 1) * heads * groups) return;
  const int j = number % groups * kColumnsOfThread, head = number / groups;
  const Long place = (static_cast<Long>(token) * parts * heads + head) * size + j,
             angle = positions[token] * half + j;
  const Four<float> cosines = load(table, angle),
                    sines = load(table, static_cast<Long>(length) * half + angle);
  const Four<float> low = load(projected, place), high = load(projected, place + half);
  Four<float> first, second;
#pragma unroll
  for (int i = 0; i < kColumnsOfThread; ++i) {
    first.at[i] = low.at[i] * cosines.at[i] - high.at[i] * sines.at[i];
    second.at[i] = high.at[i] * cosines.at[i] + low.at[i] * sines.at[i];
  }
  store(projected, place, first);
  store(projected, place + half, second);
}

// Where the gradient of a part is.
template <typename T>
struct ProjectionParts {
  const T* parts[3];
  Long tokenStride, headStride;
};

// packed: [tokens, parts, heads, size]. Without a table nothing is turned.
template <typename T>
__device__ inline void packProjection(const ProjectionParts<T>& from, const Long* positions,
                                      const float* table, int tokens, int parts, int heads, int size,
                                      int length, int rowsOfBlock, T* packed) {
  const int columns = parts * heads * size;
  const int column = (blockIdx.x * blockDim.x + threadIdx.x) * kColumnsOfThread;
  if (column >= columns) return;
  const int part = column / (heads * size), head = column / size % heads, j = column % size;
  const T* const source = part == 0 ? from.parts[0] : part == 1 ? from.parts[1] : from.parts[2];
  const bool turns = table != nullptr && part + 1 < parts;
  const int half = size / 2, other = j < half ? j + half : j - half, pair = j < half ? j : j - half;
  const float direction = j < half ? 1.0f : -1.0f;
  const int firstRow = blockIdx.y * rowsOfBlock;
  const int end = firstRow + rowsOfBlock < tokens ? firstRow + rowsOfBlock : tokens;
#pragma unroll 4
  for (int token = firstRow; token < end; ++token) {
    const Long row = token * from.tokenStride + head * from.headStride;
    Four<float> gradient = load(source, row + j);
    if (turns) {
      const Long angle = positions[token] * half + pair;
      const Four<float> cosines = load(table, angle),
                        sines = load(table, static_cast<Long>(length) * half + angle),
                        opposite = load(source, row + other);
#pragma unroll
      for (int i = 0; i < kColumnsOfThread; ++i)
        gradient.at[i] = gradient.at[i] * cosines.at[i] + direction * opposite.at[i] * sines.at[i];
    }
    store(packed, static_cast<Long>(token) * columns + column, gradient);
  }
}

#define PROJECTION(type, suffix)                                                                           \
  extern "C" __global__ void __launch_bounds__(128)                                                        \
      rotate##suffix(type* projected, const Long* positions, const float* table, int parts, int heads,     \
                     int size, int length) {                                                               \
    rotate<type>(projected, positions, table, parts, heads, size, length);                                 \
  }                                                                                                        \
  extern "C" __global__ void __launch_bounds__(128) packProjection##suffix(                                \
      ProjectionParts<type> from, const Long* positions, const float* table, int tokens, int parts,        \
      int heads, int size, int length, int rowsOfBlock, type* packed) {                                    \
    packProjection<type>(from, positions, table, tokens, parts, heads, size, length, rowsOfBlock, packed); \
  }
PROJECTION(float, Float)
PROJECTION(BFloat16, BFloat16)
#undef PROJECTION
