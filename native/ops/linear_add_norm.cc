// A linear layer with what follows it done on the tile, dropout, residual and LayerNorm; and LayerNorm alone.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "ops/dropout.h"
#include "ops/linear.h"
#include "ops/linear_backward.h"
#include "ops/linear_tiles.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

// body(row, its product) for all rows of x times a packed weight of `columns` columns.
template <typename T, typename Body>
void forEachProduct(const LinearInput& x, const at::Tensor& packed, int64_t columns,
                    const OptionalTensor& addend, const Body& body) {
  const Panels<T> weight(packed, columns);
  const int64_t width = weight.width(), most = weight.rowsOfWholeBlock();
  RowRanges(x.rows()).forEach([&](int64_t, int64_t begin, int64_t count) {
    RowBlocks<T> blocks(x, most);
    Scratch<float> block(most * width);
    forEachBlock(begin, count, most, [&](int64_t first, int64_t rows) {
      weight.multiplyAll(blocks.load(first, rows), blocks.ld(), rows, block.data());
      addRows<T>(block.data(), width, addend, first, rows, 0, columns);
      for (int64_t i = 0; i < rows; ++i) body(first + i, block.data() + i * width);
    });
  });
}

// dX from the gradients of the products, which body(range, row) writes row by row before they are read.
template <typename T, typename Body>
void forEachProductBackward(at::Tensor& dX, const LinearInput& x, const at::Tensor& dProduct,
                            const at::Tensor& packed, const RowRanges& ranges, const Body& body) {
  ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
    InputGradient<T> input(dX, x, dProduct, packed);
    forEachBlock(begin, count, input.rowsOfBlock(), [&](int64_t first, int64_t rows) {
      for (int64_t i = first; i < first + rows; ++i) body(range, i);
      input.compute(first, rows);
    });
  });
}

struct LinearAdd : torch::autograd::Function<LinearAdd> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& values, const at::Tensor& weight,
                            const at::Tensor& residual, const OptionalTensor& bias,
                            const LinearWeights& weights, const Mask& mask, const OptionalTensor& addend,
                            LinearInput::Kind kind) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const LinearInput x(values, kind);
    const at::Tensor packed = forwardOperand(weights);
    at::Tensor y = at::empty({x.rows(), weights.rows}, at::kFloat);
    const at::Tensor offsets = biasOrZeros(bias, weights.rows), others = residual.contiguous();
    const Rows<float> target(y);
    const Rows<const float> added(others);
    const auto* offset = offsets.const_data_ptr<float>();
    withType(packed.scalar_type(), [&](auto zero) {
      forEachProduct<decltype(zero)>(x, packed, weights.rows, addend, [&](int64_t row, float* product) {
        rowKernels().addBiasDropoutAdd(target[row], product, offset, added[row], weights.rows, mask, row);
      });
    });
    saveLayer(context, x, weight, weights);
    context->saved_data["hasBias"] = bias.has_value();
    context->saved_data["hasAddend"] = addend.has_value();
    saveMask(context, mask);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const LinearInput x = inputOf(context, saved);
    const at::Tensor packed = backwardOperand(context, saved), dY = gradients[0].contiguous();
    const Mask mask = savedMask(context);
    const RowRanges ranges(dY.size(0));
    at::Tensor dX = emptyInputGradient(context, x), dLinear = at::empty(dY.sizes(), packed.options()),
               dBias = rangeSums(ranges, dY.size(1));
    const Rows<float> sums(dBias);
    const Rows<const float> outputs(dY);
    withType(packed.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      const Rows<T> products(dLinear);
      forEachProductBackward<T>(dX, x, dLinear, packed, ranges, [&](int64_t range, int64_t row) {
        rowKernels().dropoutBackward(products[row], sums[range], outputs[row], dY.size(1), mask, row);
      });
    });
    return {dX,
            storeWeightGradient(context, dLinear, x),
            dY,
            context->saved_data["hasBias"].toBool() ? dBias.sum(0) : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            context->saved_data["hasAddend"].toBool() ? dLinear : at::Tensor(),
            at::Tensor()};
  }
};

// What a norm gives, and stores for its backward pass and for the layers behind it: nothing where no backward
// pass follows.
struct NormMemory {
  at::Tensor result, normalized, inverseDeviations;

  NormMemory(int64_t rows, int64_t columns, at::ScalarType compute)
      : result(at::empty({rows, columns}, at::kFloat)) {
    if (!at::GradMode::is_enabled()) return;
    normalized = at::empty({rows, columns}, compute);
    inverseDeviations = at::empty({rows}, at::kFloat);
  }
};

// The rows of that.
template <typename T>
class NormRows {
 public:
  explicit NormRows(NormMemory memory) : memory_(std::move(memory)), result_(memory_.result) {
    if (!memory_.normalized.defined()) return;
    normalized_ = memory_.normalized.mutable_data_ptr<T>();
    inverseDeviations_ = memory_.inverseDeviations.mutable_data_ptr<float>();
  }

  void compute(int64_t row, const float* x, const kernels::Norm& norm) const {
    const int64_t n = result_.columns();
    T* normalized = normalized_ == nullptr ? nullptr : normalized_ + row * n;
    const float inverseDeviation = rowKernels().norm(result_[row], normalized, x, norm, n);
    if (normalized != nullptr) inverseDeviations_[row] = inverseDeviation;
  }

 private:
  NormMemory memory_;
  Rows<float> result_;
  T* normalized_ = nullptr;
  float* inverseDeviations_ = nullptr;
};

// Its weights as the row kernels take them.
struct NormOperands {
  at::Tensor weight, bias;
  kernels::Norm norm;

  NormOperands(const NormWeights& weights)
      : weight(weights.weight.detach()),
        bias(biasOrZeros(weights.bias, weight.size(0)).detach()),
        norm{weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
             static_cast<float>(weights.epsilon)} {}
};

// The gradients of a norm's weight and bias, range by range.
class NormGradients {
 public:
  NormGradients(const RowRanges& ranges, int64_t columns)
      : weight(rangeSums(ranges, columns)),
        bias(rangeSums(ranges, columns)),
        linearBias(rangeSums(ranges, columns)),
        weights_(weight),
        biases_(bias),
        linearBiases_(linearBias) {}

  kernels::NormSums sums(int64_t range) const {
    return {weights_[range], biases_[range], linearBiases_[range]};
  }

  at::Tensor weight, bias, linearBias;

 private:
  Rows<float> weights_, biases_, linearBiases_;
};

struct LinearAddNorm : torch::autograd::Function<LinearAddNorm> {
  // Returns the norm, and the sum too where `givesSum`.
  static variable_list forward(AutogradContext* context, const at::Tensor& values, const at::Tensor& weight,
                               const at::Tensor& residual, const at::Tensor& /*normWeight*/,
                               const OptionalTensor& bias, const OptionalTensor& normBias,
                               const LinearWeights& weights, const NormOperands& norm, const Mask& mask,
                               const OptionalTensor& addend, LinearInput::Kind kind, bool givesSum,
                               const NormMemory& memory) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const LinearInput x(values, kind);
    const at::Tensor packed = forwardOperand(weights);
    at::Tensor sum = givesSum ? at::empty_like(memory.result) : memory.result;
    const at::Tensor offsets = biasOrZeros(bias, weights.rows), others = residual.contiguous();
    const Rows<float> sums(sum);
    const Rows<const float> added(others);
    const auto* offset = offsets.const_data_ptr<float>();
    const int64_t n = weights.rows;
    withType(packed.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      const NormRows<T> target(memory);
      forEachProduct<T>(x, packed, n, addend, [&](int64_t row, float* product) {
        rowKernels().addBiasDropoutAdd(sums[row], product, offset, added[row], n, mask, row);
        target.compute(row, sums[row], norm.norm);
      });
    });
    saveLayer(context, x, weight, weights, {norm.weight, memory.normalized, memory.inverseDeviations});
    context->saved_data["hasBias"] = bias.has_value();
    context->saved_data["hasNormBias"] = normBias.has_value();
    context->saved_data["hasAddend"] = addend.has_value();
    saveMask(context, mask);
    context->set_materialize_grads(false);  // the sum's, where nothing else reads it
    return givesSum ? variable_list{memory.result, sum} : variable_list{memory.result};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const LinearInput x = inputOf(context, saved);
    const at::Tensor packed = backwardOperand(context, saved), &normWeight = saved[kLayerTensors],
                     &normalized = saved[kLayerTensors + 1], &inverseDeviations = saved[kLayerTensors + 2];
    const at::Tensor dY =
        gradients[0].defined() ? gradients[0].contiguous() : at::zeros(normalized.sizes(), at::kFloat);
    const bool isAdded = gradients.size() > 1 && gradients[1].defined();
    const at::Tensor dSumAdded = isAdded ? gradients[1].contiguous() : dY;
    const Mask mask = savedMask(context);
    const int64_t n = dY.size(1);
    const RowRanges ranges(dY.size(0));
    at::Tensor dX = emptyInputGradient(context, x), dResidual = at::empty_like(dY),
               dLinear = at::empty(dY.sizes(), packed.options());
    const NormGradients of(ranges, n);
    const Rows<float> residuals(dResidual);
    const Rows<const float> outputs(dY), added(dSumAdded);
    const auto *factors = normWeight.const_data_ptr<float>(),
               *inverseDeviation = inverseDeviations.const_data_ptr<float>();
    withType(packed.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      const Rows<T> products(dLinear);
      const Rows<const T> values(normalized);
      forEachProductBackward<T>(dX, x, dLinear, packed, ranges, [&](int64_t range, int64_t row) {
        rowKernels().addNormBackward(residuals[row], products[row], of.sums(range), outputs[row],
                                     isAdded ? added[row] : nullptr, values[row], factors,
                                     inverseDeviation[row], n, mask, row);
      });
    });
    const auto given = [&](const char* name, const at::Tensor& gradient) {
      return context->saved_data[name].toBool() ? gradient : at::Tensor();
    };
    const at::Tensor none;
    return {dX,
            storeWeightGradient(context, dLinear, x),
            dResidual,
            of.weight.sum(0),
            given("hasBias", of.linearBias.sum(0)),
            given("hasNormBias", of.bias.sum(0)),
            none,
            none,
            none,
            given("hasAddend", dLinear),
            none,
            none,
            none};
  }
};

struct Norm : torch::autograd::Function<Norm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*weight*/,
                            const OptionalTensor& bias, const NormOperands& norm, const NormMemory& memory,
                            at::ScalarType compute) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const Rows<const float> values(x);
    withType(compute, [&](auto zero) {
      const NormRows<decltype(zero)> target(memory);
      RowRanges(x.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
        for (int64_t row = begin; row < begin + count; ++row) target.compute(row, values[row], norm.norm);
      });
    });
    context->save_for_backward({norm.weight, memory.normalized, memory.inverseDeviations});
    context->saved_data["hasBias"] = bias.has_value();
    return memory.result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &weight = saved[0], &normalized = saved[1], dY = gradients[0].contiguous();
    const RowRanges ranges(dY.size(0));
    at::Tensor dX = at::empty_like(dY);
    const NormGradients of(ranges, dY.size(1));
    const Rows<float> target(dX);
    const Rows<const float> outputs(dY);
    const auto *factors = weight.const_data_ptr<float>(),
               *inverseDeviation = saved[2].const_data_ptr<float>();
    withType(normalized.scalar_type(), [&](auto zero) {
      const Rows<const decltype(zero)> values(normalized);
      ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
        for (int64_t row = begin; row < begin + count; ++row)
          rowKernels().normBackward(target[row], of.sums(range), outputs[row], values[row], factors,
                                    inverseDeviation[row], values.columns());
      });
    });
    const at::Tensor none;
    return {
        dX,  of.weight.sum(0), context->saved_data["hasBias"].toBool() ? of.bias.sum(0) : none, none, none,
        none};
  }
};

Normed normedOf(const at::Tensor& values, const NormMemory& memory, const NormOperands& norm) {
  if (!memory.normalized.defined()) return values;
  LinearInput stored(memory.normalized, LinearInput::Kind::Norm);
  stored.weight = norm.weight;
  stored.bias = norm.bias;
  return {values, stored};
}

}  // namespace

at::Tensor linearAdd(const LinearInput& x, const at::Tensor& residual, const LinearWeights& weights,
                     const Mask& mask, const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearAddLibrary(x.tensor(), residual, weights, mask, addend);
  return LinearAdd::apply(x.values.contiguous(), weights.weight, residual, weights.bias, weights, mask,
                          optionalRows(addend), x.kind);
}

Normed linearAddNorm(const LinearInput& x, const at::Tensor& residual, const LinearWeights& weights,
                     const NormWeights& norm, const Mask& mask, const at::Tensor& addend, at::Tensor* sum) {
  if (!usesTiles(weights))
    return linearAddNormLibrary(x.tensor(), residual, weights, norm, mask, addend, sum);
  const NormOperands operands(norm);
  const NormMemory memory(x.rows(), weights.rows, weights.operands.type);
  const variable_list results = LinearAddNorm::apply(
      x.values.contiguous(), weights.weight, residual, norm.weight, weights.bias, norm.bias, weights,
      operands, mask, optionalRows(addend), x.kind, sum != nullptr, memory);
  if (sum != nullptr) *sum = results[1];
  return normedOf(results[0], memory, operands);
}

Normed norm(const at::Tensor& x, const NormWeights& weights, at::ScalarType compute, at::Tensor* residual) {
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || !hasBrgemm(compute))
    return normLibrary(x, weights, compute, residual);
  if (residual != nullptr) *residual = x;
  const NormOperands operands(weights);
  const NormMemory memory(x.size(0), x.size(1), compute);
  return normedOf(Norm::apply(x.contiguous(), weights.weight, weights.bias, operands, memory, compute),
                  memory, operands);
}

}  // namespace bertune
