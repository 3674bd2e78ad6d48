// A linear layer with what follows it done on the tile: dropout, residual and LayerNorm.
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

struct LinearAddNorm : torch::autograd::Function<LinearAddNorm> {
  // What only the backward pass reads has no memory of its own where none follows (`isDifferentiated`): the
  // result overwrites it.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& values, const at::Tensor& /*weight*/,
                            const at::Tensor& residual, const at::Tensor& normWeight,
                            const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& normBias,
                            const LinearWeights& weights, double epsilon, const Mask& mask,
                            const std::optional<at::Tensor>& addend, bool isGelu, bool isDifferentiated) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const PackedWeight& packed = weights.operands.packed;
    const LinearInput x(values, isGelu);
    at::Tensor y = at::empty({values.size(0), weights.rows}, at::kFloat);
    at::Tensor normalized = isDifferentiated ? at::empty_like(y) : y;
    at::Tensor inverseDeviations = at::empty({values.size(0)}, at::kFloat);
    const at::Tensor offsets = biasOrZeros(bias, weights.rows),
                     normOffsets = biasOrZeros(normBias, weights.rows);
    const kernels::Norm norm{normWeight.const_data_ptr<float>(), normOffsets.const_data_ptr<float>(),
                             static_cast<float>(epsilon)};
    withType(packed.forward.scalar_type(), [&](auto zero) {
      compute<decltype(zero)>(y, normalized, inverseDeviations, x, residual.contiguous(), offsets,
                              packed.forward, norm, mask, addend);
    });
    context->save_for_backward({values, packed.backward, normWeight, normalized, inverseDeviations});
    saveGelu(context, x);
    context->saved_data["hasBias"] = bias.has_value();
    context->saved_data["hasNormBias"] = normBias.has_value();
    context->saved_data["hasAddend"] = addend.has_value();
    saveTarget(context, weights);
    saveMask(context, mask);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const LinearInput x = inputOf(context, saved);
    const at::Tensor &packed = saved[1], &normalized = saved[3], dY = gradients[0].contiguous();
    const RowRanges ranges(dY.size(0));
    at::Tensor dX = emptyInputGradient(context, x), dResidual = at::empty_like(normalized),
               dLinear = at::empty(dY.sizes(), packed.options());
    at::Tensor dNormWeight = rangeSums(ranges, dY.size(1)), dNormBias = rangeSums(ranges, dY.size(1)),
               dBias = rangeSums(ranges, dY.size(1));
    const Rows<float> weightSums(dNormWeight), biasSums(dNormBias), linearSums(dBias);
    const auto sums = [&](int64_t range) {
      return kernels::NormSums{weightSums[range], biasSums[range], linearSums[range]};
    };
    withType(packed.scalar_type(), [&](auto zero) {
      computeBackward<decltype(zero)>(dX, dResidual, dLinear, sums, x, dY, packed, saved[2], normalized,
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
            at::Tensor(),
            at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& y, at::Tensor& normalized, at::Tensor& inverseDeviations,
                      const LinearInput& x, const at::Tensor& residual, const at::Tensor& bias,
                      const at::Tensor& packed, const kernels::Norm& norm, const Mask& mask,
                      const std::optional<at::Tensor>& addend) {
    const Rows<float> target(y), values(normalized);
    const Rows<const float> added(residual);
    const int64_t n = target.columns();
    const Panels<T> weight(packed, n);
    const auto* offset = bias.const_data_ptr<float>();
    auto* inverseDeviation = inverseDeviations.mutable_data_ptr<float>();
    RowRanges(y.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
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
                              const LinearInput& x, const at::Tensor& dY, const at::Tensor& packed,
                              const at::Tensor& normWeight, const at::Tensor& normalized,
                              const at::Tensor& inverseDeviations, const Mask& mask,
                              const RowRanges& ranges) {
    const Rows<float> residuals(dResidual);
    const Rows<T> linears(dLinear);
    const Rows<const float> gradients(dY), values(normalized);
    const auto *factors = normWeight.const_data_ptr<float>(),
               *inverseDeviation = inverseDeviations.const_data_ptr<float>();
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      InputGradient<T> input(dX, x, dLinear, packed);
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

at::Tensor linearAddNorm(const LinearInput& x, const at::Tensor& residual, const LinearWeights& weights,
                         const NormWeights& norm, const Mask& mask, const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearAddNormLibrary(x.tensor(), residual, weights, norm, mask, addend);
  return LinearAddNorm::apply(x.values.contiguous(), weights.weight, residual, norm.weight, weights.bias,
                              norm.bias, weights, norm.epsilon, mask, optionalRows(addend), x.isGelu,
                              at::GradMode::is_enabled());
}

}  // namespace bertune
