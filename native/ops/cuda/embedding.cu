// Embeddings: rows of up to three tables by number, their sum, LayerNorm and dropout in one pass; and the
// gradients of the rows that a batch reads, each added up in the order of its tokens.

struct EmbeddingTables {
  const float* tables[3];   // words, token types, positions; null where a model has none
  const Long* numbers[3];   // [tokens] each
  const float* magnitudes;  // of NEFTune's noise on the words, [tokens]; null for none
  Mask noise;
};

__device__ inline Four<float> embeddingSum(const EmbeddingTables& in, const Mask& noise, int token,
                                           int column, int columns) {
  Four<float> sum = load(in.tables[0], in.numbers[0][token] * columns + column);
  if (in.magnitudes != nullptr) {
    const RowKey key = keyOf(noise, token);
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i)
      sum.at[i] +=
          (static_cast<float>(hash(key, column + i)) * (2.0f / 4294967296.0f) - 1.0f) * in.magnitudes[token];
  }
#pragma unroll
  for (int t = 1; t < 3; ++t) {
    if (in.tables[t] == nullptr) continue;
    const Four<float> added = load(in.tables[t], in.numbers[t][token] * columns + column);
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) sum.at[i] += added.at[i];
  }
  return sum;
}

// out = dropout(LayerNorm(sum)), or dropout(sum) where `weight` is null. `sum` (for the backward pass) and
// `rounded` (out once more, for the first matrix product) may be null.
extern "C" __global__ void __launch_bounds__(512)
    embed(EmbeddingTables in, const float* weight, const float* shift, Mask givenMask, float epsilon,
          int tokens, int columns, float* sum, float* out, BFloat16* rounded, float* statistics) {
  SHARED(float, scratch, kMostWarps* kRowsAtOnce);
  const Mask mask = maskOf(givenMask), noise = maskOf(in.noise);
  const int column = threadIdx.x * kColumnsOfThread, firstRow = blockIdx.x * kRowsAtOnce;
  const bool isIn = column < columns;
  Four<float> x[kRowsAtOnce];
  float means[kRowsAtOnce], squares[kRowsAtOnce];
#pragma unroll
  for (int r = 0; r < kRowsAtOnce; ++r) {
    const int row = firstRow + r;
    x[r] = {};
    if (isIn && row < tokens) {
      x[r] = embeddingSum(in, noise, row, column, columns);
      if (sum != nullptr) store(sum, static_cast<Long>(row) * columns + column, x[r]);
    }
    means[r] = (x[r].at[0] + x[r].at[1]) + (x[r].at[2] + x[r].at[3]);
  }
  if (weight != nullptr) {
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
  }
#pragma unroll
  for (int r = 0; r < kRowsAtOnce; ++r) {
    const int row = firstRow + r;
    if (row >= tokens) return;
    Four<float> result = x[r];
    if (weight != nullptr) {
      const float inverse = 1.0f / sqrtf(squares[r] / columns + epsilon);
      if (threadIdx.x == 0) {
        statistics[2 * row] = means[r];
        statistics[2 * row + 1] = inverse;
      }
      if (isIn) {
        const Four<float> scales = load(weight, column), shifts = loadOr(shift, column, 0.0f);
#pragma unroll
        for (int i = 0; i < kColumnsOfThread; ++i)
          result.at[i] = (x[r].at[i] - means[r]) * inverse * scales.at[i] + shifts.at[i];
      }
    }
    if (!isIn) continue;
    result = dropped(result, mask, keyOf(mask, row), column);
    const Long place = static_cast<Long>(row) * columns + column;
    if (out != nullptr) store(out, place, result);
    if (rounded != nullptr) store(rounded, place, result);
  }
}

// The tokens of each row of a table, sorted by the host and cut into segments, so that a word that is in
// every sentence does not keep one block busy while the others are done.
struct Segment {
  int begin, end;  // of `tokens`
  int table, row;  // where its sum goes where the row has no other segment; else row is -1
};
// Segments [begin, end) are those of one row.
struct SegmentedRow {
  int begin, end, table, row;
};

__device__ inline void addToRow(float* const* tables, int table, int row, int column, int columns, int adds,
                                Four<float> sum) {
  float* const target = table == 0 ? tables[0] : table == 1 ? tables[1] : tables[2];
  const Long place = static_cast<Long>(row) * columns + column;
  const Four<float> before = loadOr(adds ? target : nullptr, place, 0.0f);
#pragma unroll
  for (int i = 0; i < kColumnsOfThread; ++i) sum.at[i] += before.at[i];
  store(target, place, sum);
}

struct EmbeddingGradients {
  float* tables[3];
};

// gradients: [tokens, columns], of the sum. partial: [segments, columns].
extern "C" __global__ void __launch_bounds__(512)
    embedBackward(const float* gradients, const int* tokens, const Segment* segments, int columns, int adds,
                  EmbeddingGradients targets, float* partial) {
  const Segment segment = segments[blockIdx.x];
  const int column = threadIdx.x * kColumnsOfThread;
  if (column >= columns) return;
  Four<float> sum = {};
#pragma unroll 4
  for (int i = segment.begin; i < segment.end; ++i) {
    const Four<float> gradient = load(gradients, static_cast<Long>(tokens[i]) * columns + column);
#pragma unroll
    for (int k = 0; k < kColumnsOfThread; ++k) sum.at[k] += gradient.at[k];
  }
  if (segment.row < 0)
    store(partial, static_cast<Long>(blockIdx.x) * columns + column, sum);
  else
    addToRow(targets.tables, segment.table, segment.row, column, columns, adds, sum);
}

extern "C" __global__ void __launch_bounds__(512)
    embedBackwardSegmented(const float* partial, const SegmentedRow* rows, int columns, int adds,
                           EmbeddingGradients targets) {
  const SegmentedRow row = rows[blockIdx.x];
  const int column = threadIdx.x * kColumnsOfThread;
  if (column >= columns) return;
  Four<float> sum = {};
#pragma unroll 4
  for (int i = row.begin; i < row.end; ++i) {
    const Four<float> part = load(partial, static_cast<Long>(i) * columns + column);
#pragma unroll
    for (int k = 0; k < kColumnsOfThread; ++k) sum.at[k] += part.at[k];
  }
  addToRow(targets.tables, row.table, row.row, column, columns, adds, sum);
}
