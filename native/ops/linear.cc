#include "ops/linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/linear_backward.h"
#include "ops/linear_library.h"
#include "ops/linear_tiles.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*weight*/,
                            const std::optional<at::Tensor>& bias, const LinearWeights& weights) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const PackedWeight& packed = weights.operands.packed;
    at::Tensor y = at::empty({x.size(0), weights.rows}, packed.forward.options());
    const at::Tensor offsets = biasOrZeros(bias, weights.rows);
    withType(y.scalar_type(), [&](auto zero) { compute<decltype(zero)>(y, x, offsets, packed.forward); });
    context->save_for_backward({x, packed.backward});
    context->saved_data["hasBias"] = bias.has_value();
    saveTarget(context, weights);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], dY = gradients[0].contiguous();
    const RowRanges ranges(x.size(0));
    at::Tensor dX = emptyIfWanted(context, x), dBias = rangeSums(ranges, dY.size(1));
    withType(dY.scalar_type(),
             [&](auto zero) { computeBackward<decltype(zero)>(dX, dBias, dY, saved[1], ranges); });
    return {dX, giveWeightGradient(context, dY, x),
            context->saved_data["hasBias"].toBool() ? dBias.sum(0) : at::Tensor(), at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& y, const at::Tensor& x, const at::Tensor& bias, const at::Tensor& packed) {
    const Rows<T> target(y);
    const auto* offset = bias.const_data_ptr<float>();
    forEachProduct<T>(
        x, packed, target.columns(),
        [&](int64_t first, int64_t rows, int64_t column, int64_t columns, const float* products) {
          for (int64_t i = 0; i < rows; ++i)
            rowKernels().addBias(target[first + i] + column, products + i * kTile, offset + column, columns);
        });
  }

  template <typename T>
  static void computeBackward(at::Tensor& dX, at::Tensor& dBias, const at::Tensor& dY,
                              const at::Tensor& packed, const RowRanges& ranges) {
    const Rows<float> sums(dBias);
    const Rows<const T> gradients(dY);
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      InputGradient<T> input(dX, dY, packed);
      forEachBlock(begin, count, input.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        for (int64_t i = first; i < first + rows; ++i)
          rowKernels().add(sums[range], gradients[i], gradients.columns());
        input.compute(first, rows);
      });
    });
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearLibrary(x, weights, addend);
  const at::Tensor y = Linear::apply(x.contiguous(), weights.weight, weights.bias, weights);
  return addend.defined() ? y + addend : y;
}

}  // namespace bertune
