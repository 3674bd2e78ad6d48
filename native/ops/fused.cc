#include "ops/fused.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>

namespace bertune::fused {
namespace {

using cuda::Grid;

// As in ops/cuda/prelude.cu.
constexpr int64_t kColumnsOfThread = 4, kWarp = 32, kRowsAtOnce = 4, kMostThreads = 512, kColumnsOfSums = 32,
                  kThreadsOfSums = 1024;
constexpr int64_t kThreads = 128;        // of kernels that have no sums over a row
constexpr int64_t kMostRowBlocks = 512;  // of backward passes: rows of partial sums
constexpr int64_t kPieceTokens = 32;

static_assert(std::is_standard_layout_v<Mask> && sizeof(Mask) == 72 && offsetof(Mask, second) == 4 &&
                  offsetof(Mask, threshold) == 8 && offsetof(Mask, scale) == 12 &&
                  offsetof(Mask, firstRow) == 16 && offsetof(Mask, onDevice) == 24 &&
                  offsetof(Mask, layer) == 32 && offsetof(Mask, site) == 40 && offsetof(Mask, rows) == 48 &&
                  offsetof(Mask, places) == 64 && offsetof(MaskRows, factor) == 8 &&
                  offsetof(MaskRows, of) == 12 && sizeof(PassNumbers) == 32 &&
                  static_cast<int32_t>(RowsAre::Sequences) == 1,
              "ops/cuda/prelude.cu has the same");

// Of a tensor that a kernel reads four elements at a time; null where it is undefined.
void* aligned(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  const auto bytes = static_cast<uintptr_t>(tensor.element_size() * kColumnsOfThread);
  TORCH_CHECK(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % bytes == 0,
              "a fused kernel wants aligned tensors");
  return tensor.data_ptr();
}

// The same of one that is whole.
void* pointer(const at::Tensor& tensor) {
  TORCH_CHECK(!tensor.defined() || tensor.is_contiguous(), "a fused kernel wants contiguous tensors");
  return aligned(tensor);
}

const void* pointerOf(const at::Tensor& tensor, at::ScalarType type) {
  TORCH_CHECK(!tensor.defined() || tensor.scalar_type() == type, "a fused kernel wants ", type);
  return pointer(tensor);
}

const void* floats(const at::Tensor& tensor) { return pointerOf(tensor, at::kFloat); }

// Many tokens times columns fit an int each, and only their product does not.
int32_t number(int64_t value) {
  TORCH_CHECK(value >= 0 && value <= std::numeric_limits<int32_t>::max(), "too many rows for a fused kernel");
  return static_cast<int32_t>(value);
}

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t threadsOfRow(int64_t columns) { return divideUp(divideUp(columns, kColumnsOfThread), kWarp) * kWarp; }

// Rows of a block, a function of their number alone, so that sums have one order on every GPU.
int64_t rowsOfBlock(int64_t rows, int64_t most) {
  return divideUp(std::max<int64_t>(divideUp(rows, most), 1), kRowsAtOnce) * kRowsAtOnce;
}

// Blocks that have kThreads * 4 columns and some rows each.
struct Tiles {
  Tiles(int64_t rows, int64_t columns)
      : rowsOfEach(rowsOfBlock(rows, kMostRowBlocks / 4)),
        grid{divideUp(columns, kThreads * kColumnsOfThread), divideUp(rows, rowsOfEach)} {}
  int64_t rowsOfEach;
  Grid grid;
};

at::Tensor emptyLike(const at::Tensor& tensor, at::IntArrayRef sizes, at::ScalarType type) {
  return at::empty(sizes, tensor.options().dtype(type));
}

const char* nameOf(at::ScalarType type, const char* ofFloat, const char* ofBFloat16) {
  TORCH_CHECK(type == at::kFloat || type == at::kBFloat16, "there is no fused kernel for ", type);
  return type == at::kFloat ? ofFloat : ofBFloat16;
}

// partial: [sums, parts, columns].
template <size_t kCount>
void sumColumns(const Kernels& kernels, const at::Tensor& partial, const std::array<Sums, kCount>& sums) {
  struct {
    const void* sums[3];
    int32_t adds[3];
  } targets{};
  bool isWanted = false;
  for (size_t i = 0; i < kCount; ++i) {
    targets.sums[i] = floats(sums[i].values);
    targets.adds[i] = sums[i].adds;
    isWanted = isWanted || sums[i].values.defined();
  }
  if (!isWanted) return;
  const int64_t columns = partial.size(2);
  kernels.launch("columnSums", {divideUp(columns, kColumnsOfSums), partial.size(0)}, kThreadsOfSums,
                 floats(partial), number(partial.size(1)), number(columns), targets);
}

}  // namespace

bool takesNormalized(int64_t columns) {
  return columns % kColumnsOfThread == 0 && columns <= kMostThreads * kColumnsOfThread;
}

bool takes(int64_t columns) { return columns % kColumnsOfThread == 0; }

bool takesHeads(int64_t headSize, bool isRotary) {
  return headSize % (isRotary ? 2 * kColumnsOfThread : kColumnsOfThread) == 0;
}

Normalized addNorm(const Kernels& kernels, const at::Tensor& y, const at::Tensor& residual,
                   const NormArguments& norm, const Mask& mask, Wanted wanted) {
  const int64_t rows = y.size(0), columns = y.size(1);
  Normalized result;
  if (wanted.sum) result.sum = emptyLike(y, y.sizes(), at::kFloat);
  if (wanted.out) result.out = emptyLike(y, y.sizes(), at::kFloat);
  if (wanted.rounded) result.rounded = emptyLike(y, y.sizes(), at::kBFloat16);
  result.statistics = emptyLike(y, {rows, 2}, at::kFloat);
  kernels.launch(nameOf(y.scalar_type(), "addNormFloat", "addNormBFloat16"), {divideUp(rows, kRowsAtOnce)},
                 threadsOfRow(columns), pointer(y), floats(residual), floats(norm.weight), floats(norm.bias),
                 mask, static_cast<float>(norm.epsilon), number(rows), number(columns), floats(result.sum),
                 floats(result.out), pointer(result.rounded), result.statistics.data_ptr());
  return result;
}

AddNormBack addNormBackward(const Kernels& kernels, const NormGradients& gradients, const at::Tensor& sum,
                            const at::Tensor& statistics, const at::Tensor& weight, const Mask& mask,
                            std::optional<at::ScalarType> type, const std::array<Sums, 3>& sums) {
  const int64_t rows = sum.size(0), columns = sum.size(1), each = rowsOfBlock(rows, kMostRowBlocks),
                blocks = divideUp(rows, each);
  AddNormBack result{at::empty_like(sum), type ? emptyLike(sum, sum.sizes(), *type) : at::Tensor()};
  const at::Tensor partial = at::empty({3, blocks, columns}, sum.options());
  kernels.launch(nameOf(type.value_or(at::kFloat), "addNormBackwardFloat", "addNormBackwardBFloat16"),
                 {blocks}, threadsOfRow(columns), floats(gradients.out), floats(gradients.outToo),
                 floats(gradients.sum), floats(sum), statistics.const_data_ptr(), floats(weight), mask,
                 number(rows), number(columns), number(each), floats(result.dSum), pointer(result.dY),
                 floats(partial));
  sumColumns(kernels, partial, sums);
  return result;
}

at::Tensor dropoutAdd(const Kernels& kernels, const at::Tensor& y, const at::Tensor& residual,
                      const Mask& mask) {
  const int64_t rows = y.size(0), columns = y.size(1);
  at::Tensor out = emptyLike(y, y.sizes(), at::kFloat);
  const Tiles tiles(rows, columns);
  const void* const noSums = nullptr;
  kernels.launch(nameOf(y.scalar_type(), "dropoutAddFloat", "dropoutAddBFloat16"), tiles.grid, kThreads,
                 pointer(y), floats(residual), mask, number(rows), number(columns), number(tiles.rowsOfEach),
                 floats(out), noSums);
  return out;
}

at::Tensor dropoutAddBackward(const Kernels& kernels, const at::Tensor& dOut, const Mask& mask,
                              at::ScalarType type, const Sums& sums) {
  const int64_t rows = dOut.size(0), columns = dOut.size(1);
  at::Tensor dY = emptyLike(dOut, dOut.sizes(), type);
  const Tiles tiles(rows, columns);
  const at::Tensor partial = at::empty({1, tiles.grid.y, columns}, dOut.options());
  const void* const noResidual = nullptr;
  kernels.launch(nameOf(type, "dropoutAddFloat", "dropoutAddBackwardBFloat16"), tiles.grid, kThreads,
                 floats(dOut), noResidual, mask, number(rows), number(columns), number(tiles.rowsOfEach),
                 pointer(dY), floats(partial));
  sumColumns<1>(kernels, partial, {sums});
  return dY;
}

at::Tensor dropoutOf(const Kernels& kernels, const at::Tensor& x, const Mask& mask) {
  const int64_t rows = x.size(0), columns = x.size(1);
  at::Tensor out = at::empty_like(x);
  const Tiles tiles(rows, columns);
  const void *const noResidual = nullptr, *const noSums = nullptr;
  kernels.launch("dropoutAddOfBFloat16", tiles.grid, kThreads, pointerOf(x, at::kBFloat16), noResidual, mask,
                 number(rows), number(columns), number(tiles.rowsOfEach), pointer(out), noSums);
  return out;
}

at::Tensor activated(const Kernels& kernels, ActivationArguments activation, const at::Tensor& z,
                     const Mask& mask) {
  const int64_t rows = z.size(0), columns = activation.isGated ? z.size(1) / 2 : z.size(1);
  at::Tensor out = at::empty({rows, columns}, z.options());
  const Tiles tiles(rows, columns);
  kernels.launch(nameOf(z.scalar_type(), "activateFloat", "activateBFloat16"), tiles.grid, kThreads,
                 static_cast<int32_t>(activation.kind), static_cast<int32_t>(activation.isGated), pointer(z),
                 mask, number(rows), number(columns), number(tiles.rowsOfEach), pointer(out));
  return out;
}

at::Tensor activatedBackward(const Kernels& kernels, ActivationArguments activation, const at::Tensor& dOut,
                             const at::Tensor& z, const Mask& mask, const Sums& sums) {
  const int64_t rows = dOut.size(0), columns = dOut.size(1);
  at::Tensor dZ = at::empty_like(z);
  const Tiles tiles(rows, columns);
  const at::Tensor partial = emptyLike(z, {1, tiles.grid.y, z.size(1)}, at::kFloat);
  kernels.launch(nameOf(z.scalar_type(), "activateBackwardFloat", "activateBackwardBFloat16"), tiles.grid,
                 kThreads, static_cast<int32_t>(activation.kind), static_cast<int32_t>(activation.isGated),
                 pointerOf(dOut, z.scalar_type()), pointer(z), mask, number(rows), number(columns),
                 number(tiles.rowsOfEach), pointer(dZ), floats(partial));
  sumColumns<1>(kernels, partial, {sums});
  return dZ;
}

void rotate(const Kernels& kernels, at::Tensor& projected, const Rotary& rotary) {
  const int64_t tokens = projected.size(0), parts = projected.size(1), heads = projected.size(2),
                size = projected.size(3);
  const int64_t pairs = (parts - 1) * heads * size / 2 / kColumnsOfThread;
  kernels.launch(nameOf(projected.scalar_type(), "rotateFloat", "rotateBFloat16"),
                 {tokens, divideUp(pairs, kThreads)}, kThreads, pointer(projected),
                 rotary.positions.const_data_ptr(), floats(rotary.table), number(parts), number(heads),
                 number(size), number(rotary.table.size(1)));
}

at::Tensor packProjection(const Kernels& kernels, const std::vector<at::Tensor>& parts, int64_t headSize,
                          const std::optional<Rotary>& rotary) {
  const at::Tensor& first = parts[0];
  const int64_t tokens = first.size(0), heads = first.size(1), count = static_cast<int64_t>(parts.size()),
                columns = count * heads * headSize;
  at::Tensor packed = at::empty({tokens, count, heads, headSize}, first.options());
  struct {
    const void* parts[3];
    int64_t tokenStride, headStride;
  } from{{}, first.stride(0), first.stride(1)};
  for (size_t i = 0; i < parts.size(); ++i) {
    TORCH_CHECK(parts[i].scalar_type() == first.scalar_type() && parts[i].strides() == first.strides() &&
                    first.stride(2) == 1 && (first.stride(0) | first.stride(1)) % kColumnsOfThread == 0,
                "a fused kernel wants parts with the same strides");
    from.parts[i] = aligned(parts[i]);
  }
  const Tiles tiles(tokens, columns);
  kernels.launch(nameOf(first.scalar_type(), "packProjectionFloat", "packProjectionBFloat16"), tiles.grid,
                 kThreads, from, rotary ? rotary->positions.const_data_ptr() : nullptr,
                 rotary ? floats(rotary->table) : nullptr, number(tokens), number(count), number(heads),
                 number(headSize), number(rotary ? rotary->table.size(1) : 0), number(tiles.rowsOfEach),
                 pointer(packed));
  return packed;
}

Normalized embedded(const Kernels& kernels, const EmbeddingArguments& in, const Mask& mask, Wanted wanted) {
  const int64_t tokens = in.numbers[0].size(0), columns = in.tables[0].size(1);
  struct {
    const void* tables[3];
    const void* numbers[3];
    const void* magnitudes;
    Mask noise;
  } arguments{};
  for (size_t i = 0; i < in.tables.size(); ++i) {
    arguments.tables[i] = floats(in.tables[i]);
    arguments.numbers[i] = in.tables[i].defined() ? in.numbers[i].const_data_ptr() : nullptr;
  }
  arguments.magnitudes = in.noise.defined() ? in.noise.const_data_ptr() : nullptr;
  arguments.noise = in.noiseMask;
  Normalized result;
  const at::Tensor& like = in.tables[0];
  if (wanted.sum) result.sum = emptyLike(like, {tokens, columns}, at::kFloat);
  if (wanted.out) result.out = emptyLike(like, {tokens, columns}, at::kFloat);
  if (wanted.rounded) result.rounded = emptyLike(like, {tokens, columns}, at::kBFloat16);
  result.statistics = emptyLike(like, {tokens, 2}, at::kFloat);
  kernels.launch("embed", {divideUp(tokens, kRowsAtOnce)}, threadsOfRow(columns), arguments,
                 in.norm ? floats(in.norm->weight) : nullptr, in.norm ? floats(in.norm->bias) : nullptr, mask,
                 static_cast<float>(in.norm ? in.norm->epsilon : 0), number(tokens), number(columns),
                 floats(result.sum), floats(result.out), pointer(result.rounded),
                 result.statistics.data_ptr());
  return result;
}

void embeddingBackward(const Kernels& kernels, const at::Tensor& dSum,
                       const std::array<at::Tensor, 3>& numbers, const std::array<at::Tensor, 3>& gradients,
                       std::optional<int64_t> padId) {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  struct {
    const void* tables[3];
    int64_t firstRows[3], padKey;
  } targets{{}, {0, kNever, kNever}, gradients[0].defined() ? padId.value_or(-1) : -1};
  std::vector<at::Tensor> keys;
  int64_t rows = 0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    targets.tables[i] = floats(gradients[i]);
    targets.firstRows[i] = rows;
    keys.push_back(rows == 0 ? numbers[i] : numbers[i] + rows);
    rows += gradients[i].size(0);
  }
  if (keys.empty()) return;
  const auto [sorted, order] =
      at::sort(keys.size() == 1 ? keys[0] : at::cat(keys), /*stable=*/true, /*dim=*/0, /*descending=*/false);
  const int64_t tokens = dSum.size(0), columns = dSum.size(1),
                pieces = divideUp(sorted.numel(), kPieceTokens);
  const struct {
    const void *keys, *order;
    int32_t count, tokens;
  } places{sorted.const_data_ptr(), order.const_data_ptr(), number(sorted.numel()), number(tokens)};
  const at::Tensor partial = at::empty({pieces, 2, columns}, dSum.options());
  kernels.launch("embedBackward", {pieces}, threadsOfRow(columns), floats(dSum), places, number(columns),
                 targets, floats(partial));
  kernels.launch("embedBackwardParts", {pieces}, threadsOfRow(columns), floats(partial), places,
                 number(columns), targets);
}

}  // namespace bertune::fused
