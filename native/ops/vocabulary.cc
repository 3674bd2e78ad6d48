#include "ops/vocabulary.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "ops/brgemm.h"
#include "ops/linear_backward.h"
#include "ops/linear_tiles.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Columns whose logits have a gradient in memory at once: a multiple of kTile.
constexpr int64_t kColumns = 2048;
static_assert(kColumns % kTile == 0);

// What the backward pass reads of the forward pass, and what is told of a row.
struct RowSums {
  at::Tensor logSums;  // float32 [rows]: the logarithm of the sum of exponentials
  at::Tensor losses;   // float32 [rows]
  at::Tensor largest;  // int64 [rows], the place of the first largest logit
};

RowSums emptySums(const at::Tensor& labels) {
  const auto floats = labels.options().dtype(at::kFloat);
  return {at::empty(labels.sizes(), floats), at::empty(labels.sizes(), floats), at::empty_like(labels)};
}

// By tiles: a thread takes some rows through the whole vocabulary.
template <typename T>
RowSums sumsByTiles(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& bias,
                    const at::Tensor& labels) {
  RowSums result = emptySums(labels);
  const int64_t rows = x.size(0);
  const auto* label = labels.const_data_ptr<int64_t>();
  const auto* offset = bias.const_data_ptr<float>();
  Scratch<kernels::LogitSums> sums(rows);
  Scratch<float> labelLogits(rows);
  std::fill_n(sums.data(), rows, kernels::LogitSums{-std::numeric_limits<float>::infinity(), 0, -1});
  forEachTile<T>(x, weights.operands.packed.forward, weights.rows,
                 [&](int64_t first, int64_t count, int64_t column, int64_t columns, const float* tile) {
                   for (int64_t i = 0; i < count; ++i) {
                     const float* logits = tile + i * kTile;
                     rowKernels().addLogits(sums.data()[first + i], logits, offset + column, column, columns);
                     const int64_t place = label[first + i] - column;
                     if (place >= 0 && place < columns)
                       labelLogits.data()[first + i] = logits[place] + offset[column + place];
                   }
                 });
  for (int64_t i = 0; i < rows; ++i) {
    const kernels::LogitSums& row = sums.data()[i];
    const float logSum = row.largest + std::log(row.sum);
    result.logSums.mutable_data_ptr<float>()[i] = logSum;
    result.losses.mutable_data_ptr<float>()[i] = logSum - labelLogits.data()[i];
    result.largest.mutable_data_ptr<int64_t>()[i] = row.largestPlace;
  }
  return result;
}

// What the gradients of one chunk of columns after another are made of.
template <typename T>
class ChunkGradients {
 public:
  ChunkGradients(const at::Tensor& x, const at::Tensor& labels, const at::Tensor& logSums,
                 const PackedWeight& packed, const at::Tensor& bias, float factor)
      : x_(x),
        labels_(labels.const_data_ptr<int64_t>()),
        logSums_(logSums.const_data_ptr<float>()),
        packed_(packed),
        bias_(bias.const_data_ptr<float>()),
        factor_(factor),
        width_(tilingOf(packed.forward.scalar_type()).columns),
        ranges_(x.size(0)),
        // Products write whole tiles.
        dX_(at::zeros({roundUp(x.size(0), kTileStep), roundUp(x.size(1), kTile)}, at::kFloat)) {}

  // [rows, columns] of type T: the gradient of the logits [first, first + columns); the sums over rows go to
  // dBias, and the gradient of x grows where it `wantsX`.
  at::Tensor compute(int64_t first, int64_t columns, at::Tensor dBias, bool wantsX) {
    at::Tensor chunk = at::empty({x_.size(0), columns}, packed_.forward.scalar_type());
    const at::Tensor panels = packed_.forward.narrow(0, first / width_, (columns + width_ - 1) / width_);
    const Panels<T> weight(panels, columns);
    at::Tensor sums = rangeSums(ranges_, columns);
    const Rows<float> sumRows(sums);
    const Rows<T> target(chunk);
    ranges_.forEach([&](int64_t range, int64_t begin, int64_t count) {
      RowBlocks<T> blocks(LinearInput(x_), weight.rowsOfBlock());
      RowBlocks<T> gradients(LinearInput(chunk), weight.rowsOfBlock());
      Scratch<float> tile(weight.rowsOfBlock() * kTile);
      forEachBlock(begin, count, weight.rowsOfBlock(), [&](int64_t row, int64_t rows) {
        weight.forEach(blocks.load(row, rows), blocks.ld(), rows, tile.data(),
                       [&](int64_t column, int64_t width, const float* logits) {
                         for (int64_t i = row; i < row + rows; ++i) {
                           writeGradient(target[i] + column, i, logits + (i - row) * kTile, first + column,
                                         width);
                           rowKernels().add(sumRows[range] + column, target[i] + column, width);
                         }
                       });
        if (wantsX) addToX(gradients.load(row, rows), gradients.ld(), row, rows, first, columns);
      });
    });
    at::sum_out(dBias, sums, 0);
    return chunk;
  }

  at::Tensor ofX() const { return dX_.narrow(0, 0, x_.size(0)).narrow(1, 0, x_.size(1)).contiguous(); }

 private:
  void writeGradient(T* out, int64_t row, const float* logits, int64_t first, int64_t columns) const {
    rowKernels().softmaxGradient(out, logits, bias_ + first, logSums_[row], factor_, columns);
    const int64_t place = labels_[row] - first;
    if (place < 0 || place >= columns) return;
    const float p = std::exp(logits[place] + bias_[first + place] - logSums_[row]);
    out[place] = static_cast<T>((p - 1) * factor_);
  }

  // dX += chunk weight[first ... first + columns).
  void addToX(const T* left, int64_t ld, int64_t firstRow, int64_t rows, int64_t first, int64_t columns) {
    const phases::Scope phase(phases::Phase::Gemm);
    const at::Tensor& packed = packed_.backward;
    const Tiling& tiling = tilingOf(packed.scalar_type());
    const int64_t inner = packed.size(1) * kPair<T>;
    const Rows<float> target(dX_);
    for (int64_t panel = 0; panel < packed.size(0); ++panel)
      for (int64_t row = 0; row < rows; row += tiling.rows)
        brgemm(target[firstRow + row] + panel * width_, target.columns(), left + row * ld, ld,
               packed.const_data_ptr<T>() + (panel * inner + first) * width_, width_,
               {roundUp(std::min(tiling.rows, rows - row), kTileStep), width_, roundUp(columns, kPair<T>)},
               /*adds=*/true);
  }

  const at::Tensor x_;
  const int64_t* labels_;
  const float* logSums_;
  const PackedWeight& packed_;
  const float* bias_;
  float factor_;
  int64_t width_;
  RowRanges ranges_;
  at::Tensor dX_;
};

// Where the gradient of a weight goes, chunk by chunk of its rows.
class WeightGradient {
 public:
  WeightGradient(AutogradContext* context, int64_t rows, const at::Tensor& x) {
    if (!context->needs_input_grad(kWeightPlace)) return;
    if (const WeightTarget target = savedTarget(context); target.gradient)
      place_ = target.gradient->rows(target.firstRow, target.rows);
    else
      place_ = Gradient::Target{own_ = at::empty({rows, x.size(1)}, x.options().dtype(at::kFloat)), false};
  }

  // The rows [first, first + rows), or undefined where none are wanted.
  std::optional<Gradient::Target> chunk(int64_t first, int64_t rows) const {
    if (!place_.has_value()) return std::nullopt;
    return Gradient::Target{place_->values.narrow(0, first, rows), place_->adds};
  }
  const at::Tensor& forAutograd() const { return own_; }

 private:
  std::optional<Gradient::Target> place_;
  at::Tensor own_;
};

void save(AutogradContext* context, const LinearWeights& weights) {
  context->saved_data["trainsBias"] = weights.bias.has_value() && weights.bias->requires_grad();
  saveTarget(context, weights);
}

struct ByTiles : torch::autograd::Function<ByTiles> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*weight*/,
                            const std::optional<at::Tensor>& bias, const LinearWeights& weights,
                            const at::Tensor& labels) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor offsets = biasOrZeros(bias, weights.rows);
    RowSums sums;
    withType(weights.operands.type,
             [&](auto zero) { sums = sumsByTiles<decltype(zero)>(x, weights, offsets, labels); });
    const PackedWeight& packed = weights.operands.packed;
    context->save_for_backward({x, labels, sums.logSums, offsets, packed.forward, packed.backward});
    save(context, weights);
    return sums.losses.sum();
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list result(kInputs);
    withType(context->get_saved_variables()[4].scalar_type(),
             [&](auto zero) { compute<decltype(zero)>(context, gradients[0].item<float>(), result); });
    return result;
  }

 private:
  static constexpr size_t kInputs = 5, kBiasPlace = 2;

  template <typename T>
  static void compute(AutogradContext* context, float factor, variable_list& result) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &bias = saved[3];
    const PackedWeight packed{saved[4], saved[5]};
    const int64_t vocabulary = bias.size(0);
    const bool wantsX = context->needs_input_grad(kInputPlace);
    WeightGradient weight(context, vocabulary, x);
    ChunkGradients<T> chunks(x, saved[1], saved[2], packed, bias, factor);
    at::Tensor dBias = at::empty_like(bias);
    for (int64_t first = 0; first < vocabulary; first += kColumns) {
      const int64_t columns = std::min(kColumns, vocabulary - first);
      const at::Tensor chunk = chunks.compute(first, columns, dBias.narrow(0, first, columns), wantsX);
      if (auto target = weight.chunk(first, columns))
        weightGradient(target->values, chunk, LinearInput(x), target->adds);
    }
    if (wantsX) result[kInputPlace] = chunks.ofX();
    result[kWeightPlace] = weight.forAutograd();
    if (context->saved_data["trainsBias"].toBool()) result[kBiasPlace] = dBias;
  }
};

// By LibTorch's operators, chunk by chunk. Nothing here waits for a GPU.

// float32 [rows, columns] of the logits from `first` on; operands of the compute type.
at::Tensor logitsOf(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, int64_t first,
                    int64_t columns) {
  const at::Tensor part = weight.narrow(0, first, columns).t();
  const bool widens = input.is_cuda() && input.scalar_type() != at::kFloat;
  const at::Tensor products = widens ? at::mm(input, part, at::kFloat) : at::mm(input, part).to(at::kFloat);
  return products + bias.narrow(0, first, columns);
}

// Of a chunk: the columns of the labels (0 where they are elsewhere), and 1 where they are here.
struct LabelsOfChunk {
  at::Tensor columns, isHere;  // [rows, 1]
};

LabelsOfChunk labelsOf(const at::Tensor& labels, int64_t first, int64_t columns) {
  const at::Tensor places = labels - first;
  const at::Tensor isHere = places.ge(0).logical_and(places.lt(columns));
  return {places.mul(isHere).unsqueeze(1), isHere.to(at::kFloat).unsqueeze(1)};
}

RowSums sumsByLibrary(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& labels) {
  const auto floats = labels.options().dtype(at::kFloat);
  at::Tensor largest = at::full({labels.size(0)}, -std::numeric_limits<float>::infinity(), floats);
  at::Tensor place = at::zeros_like(labels), sum = at::zeros_like(largest),
             labelLogits = at::zeros_like(largest);
  for (int64_t first = 0; first < bias.size(0); first += kColumns) {
    const int64_t columns = std::min(kColumns, bias.size(0) - first);
    const at::Tensor logits = logitsOf(input, weight, bias, first, columns);
    const auto [most, mostPlace] = logits.max(1);
    place = at::where(most.gt(largest), mostPlace + first, place);
    const at::Tensor larger = at::maximum(largest, most);
    sum = sum * (largest - larger).exp() + (logits - larger.unsqueeze(1)).exp().sum(1);
    largest = larger;
    const auto [label, isHere] = labelsOf(labels, first, columns);
    labelLogits = labelLogits + logits.gather(1, label).mul(isHere).squeeze(1);
  }
  const at::Tensor logSums = largest + sum.log();
  return {logSums, logSums - labelLogits, place};
}

struct ByLibrary : torch::autograd::Function<ByLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const LinearWeights& weights,
                            const at::Tensor& labels) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor operand =
        weights.operands.weight.defined()
            ? weights.operands.weight
            : weight.narrow(0, weights.firstRow, weights.rows).to(weights.operands.type);
    const at::Tensor input = x.to(operand.scalar_type());
    const at::Tensor offsets = bias.has_value() ? *bias : at::zeros({weights.rows}, x.options());
    const RowSums sums = sumsByLibrary(input, operand, offsets, labels);
    context->save_for_backward({input, labels, sums.logSums, offsets, operand});
    save(context, weights);
    return sums.losses.sum();
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &logSums = saved[2], &bias = saved[3], &weight = saved[4];
    const int64_t vocabulary = bias.size(0);
    WeightGradient target(context, vocabulary, input);
    at::Tensor dX = at::zeros(input.sizes(), bias.options()), dBias = at::empty_like(bias);
    for (int64_t first = 0; first < vocabulary; first += kColumns) {
      const int64_t columns = std::min(kColumns, vocabulary - first);
      const auto [label, isHere] = labelsOf(saved[1], first, columns);
      at::Tensor dLogits = (logitsOf(input, weight, bias, first, columns) - logSums.unsqueeze(1)).exp();
      dLogits = dLogits.scatter_add(1, label, -isHere).mul(gradients[0]);
      dBias.narrow(0, first, columns).copy_(dLogits.sum(0));
      const at::Tensor rounded = dLogits.to(input.scalar_type());
      dX.add_(at::mm(rounded, weight.narrow(0, first, columns)));
      auto place = target.chunk(first, columns);
      if (!place.has_value()) continue;
      const at::Tensor product = at::mm(rounded.t(), input);
      if (place->adds)
        place->values.add_(product);
      else
        place->values.copy_(product);
    }
    return {dX, target.forAutograd(), context->saved_data["trainsBias"].toBool() ? dBias : at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor vocabularyLoss(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& labels) {
  // No label: the sum of nothing, with gradients of zeros for what is below.
  if (labels.size(0) == 0) {
    const at::Tensor none = x.sum();
    return weights.bias.has_value() ? none + weights.bias->narrow(0, 0, 0).sum() : none;
  }
  if (!usesTiles(weights)) return vocabularyLossLibrary(x, weights, labels);
  return ByTiles::apply(x.contiguous(), weights.weight, weights.bias, weights, labels);
}

at::Tensor vocabularyLossLibrary(const at::Tensor& x, const LinearWeights& weights,
                                 const at::Tensor& labels) {
  return ByLibrary::apply(x.contiguous(), weights.weight, weights.bias, weights, labels);
}

at::Tensor vocabularyScores(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& labels) {
  const at::NoGradGuard guard;
  if (labels.size(0) == 0) return at::empty({0, 2}, x.options());
  RowSums sums;
  if (usesTiles(weights)) {
    const at::Tensor offsets = biasOrZeros(weights.bias, weights.rows), values = x.contiguous();
    withType(weights.operands.type,
             [&](auto zero) { sums = sumsByTiles<decltype(zero)>(values, weights, offsets, labels); });
  } else {
    const LinearOperands& operands = weights.operands;
    const at::Tensor offsets =
        weights.bias.has_value() ? *weights.bias : at::zeros({weights.rows}, x.options());
    sums = sumsByLibrary(x.to(operands.type), operands.weight, offsets, labels);
  }
  return at::stack({sums.losses, sums.largest.to(at::kFloat)}, 1);
}

}  // namespace bertune
