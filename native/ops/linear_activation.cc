#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "ops/linear.h"
#include "ops/linear_backward.h"
#include "ops/linear_library.h"
#include "ops/linear_tiles.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LinearActivation : torch::autograd::Function<LinearActivation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*weight*/,
                            const std::optional<at::Tensor>& bias, const LinearWeights& weights,
                            Activation activation, const std::optional<at::Tensor>& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const PackedWeight& packed = weights.operands.packed;
    at::Tensor z = at::empty({x.size(0), weights.rows}, packed.forward.options());
    at::Tensor y = at::empty_like(z);
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
    at::Tensor dX = emptyIfWanted(context, x);
    at::Tensor dZ = at::empty_like(z), dBias = rangeSums(ranges, z.size(1));
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    withType(z.scalar_type(), [&](auto zero) {
      computeBackward<decltype(zero)>(dX, dZ, dBias, dY, saved[1], z, saved[3], activation, ranges);
    });
    return {dX,
            giveWeightGradient(context, dZ, x),
            context->saved_data["hasBias"].toBool() ? dBias.sum(0) : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            context->saved_data["hasAddend"].toBool() ? dZ : at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& z, at::Tensor& y, const at::Tensor& x, const at::Tensor& bias,
                      const at::Tensor& packed, Activation activation,
                      const std::optional<at::Tensor>& addend) {
    const Rows<T> inputs(z), outputs(y);
    const auto* offset = bias.const_data_ptr<float>();
    const bool isGelu = activation == Activation::Gelu;
    forEachProduct<T>(x, packed, inputs.columns(),
                      [&](int64_t first, int64_t rows, int64_t column, int64_t columns, float* products) {
                        addRows<T>(products, kTile, addend, first, rows, column, columns);
                        for (int64_t i = 0; i < rows; ++i) {
                          T* row = inputs[first + i] + column;
                          const float* product = products + i * kTile;
                          if (isGelu)
                            rowKernels().addBiasGelu(row, outputs[first + i] + column, product,
                                                     offset + column, columns);
                          else
                            rowKernels().addBias(row, product, offset + column, columns);
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

}  // namespace

at::Tensor linearActivation(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                            const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearActivationLibrary(x, weights, activation, addend);
  return LinearActivation::apply(x.contiguous(), weights.weight, weights.bias, weights, activation,
                                 optionalRows(addend));
}

}  // namespace bertune
