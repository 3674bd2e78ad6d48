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

// The gradients of the tables: the tokens sorted by what they read, in pieces of kPieceTokens, one for each
// block. What a row gets from a piece that has all of its tokens is stored at once. A word that is in every
// sentence goes on from piece to piece: those parts are stored apart, and the piece where it begins adds them
// up in a second pass. So sizes depend on the number of tokens alone, and each sum has one order.
constexpr int kPieceTokens = 32;

// Tables one behind the other: key `firstRows[t] + row` is that row of table t.
struct EmbeddingGradients {
  float* tables[3];   // null for one that gets no gradient
  Long firstRows[3];  // more than every key where there is no such table
  Long padKey;        // what has it gets no gradient; -1 for none
};

struct SortedTokens {
  const Long* keys;   // [count], ascending
  const Long* order;  // [count]: the place before sorting, whose remainder by `tokens` is the token
  int count, tokens;
};

__device__ inline void addToRow(const EmbeddingGradients& targets, Long key, int column, int columns,
                                Four<float> sum) {
  const int table = key >= targets.firstRows[2] ? 2 : key >= targets.firstRows[1] ? 1 : 0;
  float* const target = table == 0 ? targets.tables[0] : table == 1 ? targets.tables[1] : targets.tables[2];
  const Long first = table == 0 ? 0 : table == 1 ? targets.firstRows[1] : targets.firstRows[2];
  if (target == nullptr || key == targets.padKey) return;
  const Long place = (key - first) * columns + column;
  const Four<float> before = load(target, place);
#pragma unroll
  for (int i = 0; i < kColumnsOfThread; ++i) sum.at[i] += before.at[i];
  store(target, place, sum);
}

// gradients: [tokens, columns], of the sum. partial: [pieces, 2, columns]: of a row that began in an earlier
// piece, and of one that goes on in the next.
extern "C" __global__ void __launch_bounds__(512)
    embedBackward(const float* gradients, SortedTokens sorted, int columns, EmbeddingGradients targets,
                  float* partial) {
  const int column = threadIdx.x * kColumnsOfThread, begin = blockIdx.x * kPieceTokens;
  if (column >= columns) return;
  const int end = begin + kPieceTokens < sorted.count ? begin + kPieceTokens : sorted.count;
  Four<float> sum = {};
  bool beganEarlier = begin > 0 && sorted.keys[begin - 1] == sorted.keys[begin];
#pragma unroll 4
  for (int place = begin; place < end; ++place) {
    const Long key = sorted.keys[place];
    const int token = static_cast<int>(sorted.order[place] % sorted.tokens);
    const Four<float> gradient = load(gradients, static_cast<Long>(token) * columns + column);
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) sum.at[i] += gradient.at[i];
    const bool goesOn = place + 1 < sorted.count && sorted.keys[place + 1] == key;
    if (goesOn && place + 1 < end) continue;
    const Long part = 2 * static_cast<Long>(blockIdx.x) + (beganEarlier ? 0 : 1);
    if (beganEarlier || goesOn)
      store(partial, part * columns + column, sum);
    else
      addToRow(targets, key, column, columns, sum);
    sum = {};
    beganEarlier = false;
  }
}

// Adds up the parts of the row that begins in this block's piece and goes on.
extern "C" __global__ void __launch_bounds__(512)
    embedBackwardParts(const float* partial, SortedTokens sorted, int columns, EmbeddingGradients targets) {
  const int column = threadIdx.x * kColumnsOfThread, begin = blockIdx.x * kPieceTokens;
  const int next = begin + kPieceTokens;
  if (column >= columns || next >= sorted.count) return;
  const Long key = sorted.keys[next - 1];
  const bool beganEarlier = begin > 0 && sorted.keys[begin - 1] == key;
  if (beganEarlier || sorted.keys[next] != key) return;
  int low = next, high = sorted.count;  // the first place behind the row's tokens is in (low, high]
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (sorted.keys[middle] == key)
      low = middle;
    else
      high = middle;
  }
  const int last = low / kPieceTokens;
  Four<float> sum = load(partial, (2 * static_cast<Long>(blockIdx.x) + 1) * columns + column);
#pragma unroll 8
  for (int piece = blockIdx.x + 1; piece <= last; ++piece) {
    const Four<float> part = load(partial, 2 * static_cast<Long>(piece) * columns + column);
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) sum.at[i] += part.at[i];
  }
  addToRow(targets, key, column, columns, sum);
}
