// Linear layers with what follows them done on the tile: an activation, or dropout, residual and LayerNorm.
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

// What only the backward pass reads has no memory of its own where none follows (`isDifferentiated`): the
// result overwrites it.

struct LinearActivation : torch::autograd::Function<LinearActivation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*weight*/,
                            const std::optional<at::Tensor>& bias, const LinearWeights& weights,
                            Activation activation, const std::optional<at::Tensor>& addend,
                            bool isDifferentiated) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const PackedWeight& packed = weights.operands.packed;
    at::Tensor y = at::empty({x.size(0), weights.rows}, packed.forward.options());
    at::Tensor z = isDifferentiated ? at::empty_like(y) : y;
    const at::Tensor offsets = biasOrZeros(bias, weights.rows);
    withType(z.scalar_type(), [&](auto zero) {
      compute<decltype(zero)>(z, y, x, offsets, packed.forward, activation, addend);
    });
    context->save_for_backward({x, packed.backward, z, y});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["hasBias"] = bias.has_value();
    context->saved_data["hasAddend"] = addend.has_value();
    saveTarget(context, weights);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &z = saved[2], dY = gradients[0].contiguous();
    const RowRanges ranges(x.size(0));
    at::Tensor dX = emptyInputGradient(context, x);
    at::Tensor dZ = at::empty_like(z), dBias = rangeSums(ranges, z.size(1));
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    withType(z.scalar_type(), [&](auto zero) {
      computeBackward<decltype(zero)>(dX, dZ, dBias, dY, saved[1], z, saved[3], activation, ranges);
    });
    return {dX,
            storeWeightGradient(context, dZ, x),
            context->saved_data["hasBias"].toBool() ? dBias.sum(0) : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            context->saved_data["hasAddend"].toBool() ? dZ : at::Tensor(),
            at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& z, at::Tensor& y, const at::Tensor& x, const at::Tensor& bias,
                      const at::Tensor& packed, Activation activation,
                      const std::optional<at::Tensor>& addend) {
    const Rows<T> inputs(z), outputs(y);
    const auto* offset = bias.const_data_ptr<float>();
    const bool isGelu = activation == Activation::Gelu;
    forEachTile<T>(x, packed, inputs.columns(),
                   [&](int64_t first, int64_t rows, int64_t column, int64_t columns, float* tile) {
                     addRows<T>(tile, kTile, addend, first, rows, column, columns);
                     for (int64_t i = 0; i < rows; ++i) {
                       T* row = inputs[first + i] + column;
                       const float* sums = tile + i * kTile;
                       if (isGelu)
                         rowKernels().addBiasGelu(row, outputs[first + i] + column, sums, offset + column,
                                                  columns);
                       else
                         rowKernels().addBias(row, sums, offset + column, columns);
                     }
                   });
    if (!isGelu) activateOut(y, activation, z);
  }

  template <typename T>
  static void computeBackward(at::Tensor& dX, at::Tensor& dZ, at::Tensor& dBias, const at::Tensor& dY,
                              const at::Tensor& packed, const at::Tensor& z, const at::Tensor& y,
                              Activation activation, const RowRanges& ranges) {
    const Rows<float> sums(dBias);
    const Rows<T> dInputs(dZ);
    const Rows<const T> inputs(z), gradients(dY);
    const bool isGelu = activation == Activation::Gelu;
    if (!isGelu) activateBackwardOut(dZ, activation, dY, z, y);
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      InputGradient<T> input(dX, dZ, packed);
      forEachBlock(begin, count, input.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        for (int64_t i = first; i < first + rows; ++i)
          if (isGelu)
            rowKernels().geluBackward(dInputs[i], sums[range], gradients[i], inputs[i], inputs.columns());
          else
            rowKernels().add(sums[range], dInputs[i], inputs.columns());
        input.compute(first, rows);
      });
    });
  }
};

struct LinearAddNorm : torch::autograd::Function<LinearAddNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*weight*/,
                            const at::Tensor& residual, const at::Tensor& normWeight,
                            const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& normBias,
                            const LinearWeights& weights, double epsilon, const Mask& mask,
                            const std::optional<at::Tensor>& addend, bool isDifferentiated) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const PackedWeight& packed = weights.operands.packed;
    at::Tensor y = at::empty({x.size(0), weights.rows}, at::kFloat);
    at::Tensor normalized = isDifferentiated ? at::empty_like(y) : y;
    at::Tensor inverseDeviations = at::empty({x.size(0)}, at::kFloat);
    const at::Tensor offsets = biasOrZeros(bias, weights.rows),
                     normOffsets = biasOrZeros(normBias, weights.rows);
    const kernels::Norm norm{normWeight.const_data_ptr<float>(), normOffsets.const_data_ptr<float>(),
                             static_cast<float>(epsilon)};
    withType(packed.forward.scalar_type(), [&](auto zero) {
      compute<decltype(zero)>(y, normalized, inverseDeviations, x, residual.contiguous(), offsets,
                              packed.forward, norm, mask, addend);
    });
    context->save_for_backward({x, packed.backward, normWeight, normalized, inverseDeviations});
    context->saved_data["hasBias"] = bias.has_value();
    context->saved_data["hasNormBias"] = normBias.has_value();
    context->saved_data["hasAddend"] = addend.has_value();
    saveTarget(context, weights);
    saveMask(context, mask);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &packed = saved[1], &normalized = saved[3];
    const at::Tensor dY = gradients[0].contiguous();
    const RowRanges ranges(x.size(0));
    at::Tensor dX = emptyInputGradient(context, x), dResidual = at::empty_like(normalized),
               dLinear = at::empty(dY.sizes(), packed.options());
    at::Tensor dNormWeight = rangeSums(ranges, dY.size(1)), dNormBias = rangeSums(ranges, dY.size(1)),
               dBias = rangeSums(ranges, dY.size(1));
    const Rows<float> weightSums(dNormWeight), biasSums(dNormBias), linearSums(dBias);
    const auto sums = [&](int64_t range) {
      return kernels::NormSums{weightSums[range], biasSums[range], linearSums[range]};
    };
    withType(packed.scalar_type(), [&](auto zero) {
      computeBackward<decltype(zero)>(dX, dResidual, dLinear, sums, dY, packed, saved[2], normalized,
                                      saved[4], savedMask(context), ranges);
    });
    const auto given = [&](const char* name, const at::Tensor& gradient) {
      return context->saved_data[name].toBool() ? gradient : at::Tensor();
    };
    return {dX,
            storeWeightGradient(context, dLinear, x),
            dResidual,
            dNormWeight.sum(0),
            given("hasBias", dBias.sum(0)),
            given("hasNormBias", dNormBias.sum(0)),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            given("hasAddend", dLinear),
            at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& y, at::Tensor& normalized, at::Tensor& inverseDeviations,
                      const at::Tensor& x, const at::Tensor& residual, const at::Tensor& bias,
                      const at::Tensor& packed, const kernels::Norm& norm, const Mask& mask,
                      const std::optional<at::Tensor>& addend) {
    const Rows<float> target(y), values(normalized);
    const Rows<const float> added(residual);
    const int64_t n = target.columns();
    const Panels<T> weight(packed, n);
    const auto* offset = bias.const_data_ptr<float>();
    auto* inverseDeviation = inverseDeviations.mutable_data_ptr<float>();
    RowRanges(x.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
      RowBlocks<T> blocks(x, weight.rowsOfWholeBlock());
      Scratch<float> block(weight.rowsOfWholeBlock() * weight.width());
      forEachBlock(begin, count, weight.rowsOfWholeBlock(), [&](int64_t first, int64_t rows) {
        weight.multiplyAll(blocks.load(first, rows), blocks.ld(), rows, block.data());
        addRows<T>(block.data(), weight.width(), addend, first, rows, 0, n);
        for (int64_t i = 0; i < rows; ++i)
          inverseDeviation[first + i] =
              rowKernels().addNorm(target[first + i], values[first + i], block.data() + i * weight.width(),
                                   offset, added[first + i], norm, n, mask, first + i);
      });
    });
  }

  template <typename T, typename Sums>
  static void computeBackward(at::Tensor& dX, at::Tensor& dResidual, at::Tensor& dLinear, const Sums& sums,
                              const at::Tensor& dY, const at::Tensor& packed, const at::Tensor& normWeight,
                              const at::Tensor& normalized, const at::Tensor& inverseDeviations,
                              const Mask& mask, const RowRanges& ranges) {
    const Rows<float> residuals(dResidual);
    const Rows<T> linears(dLinear);
    const Rows<const float> gradients(dY), values(normalized);
    const auto *factors = normWeight.const_data_ptr<float>(),
               *inverseDeviation = inverseDeviations.const_data_ptr<float>();
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      InputGradient<T> input(dX, dLinear, packed);
      forEachBlock(begin, count, input.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        for (int64_t i = first; i < first + rows; ++i)
          rowKernels().addNormBackward(residuals[i], linears[i], sums(range), gradients[i], values[i],
                                       factors, inverseDeviation[i], gradients.columns(), mask, i);
        input.compute(first, rows);
      });
    });
  }
};

}  // namespace

at::Tensor linearActivation(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                            const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearActivationLibrary(x, weights, activation, addend);
  return LinearActivation::apply(x.contiguous(), weights.weight, weights.bias, weights, activation,
                                 optionalRows(addend), at::GradMode::is_enabled());
}

at::Tensor linearAddNorm(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                         const NormWeights& norm, const Mask& mask, const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearAddNormLibrary(x, residual, weights, norm, mask, addend);
  return LinearAddNorm::apply(x.contiguous(), weights.weight, residual, norm.weight, weights.bias, norm.bias,
                              weights, norm.epsilon, mask, optionalRows(addend), at::GradMode::is_enabled());
}

}  // namespace bertune
