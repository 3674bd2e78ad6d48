#include "linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "dropout.h"
#include "kernels.h"
#include "phases.h"
#include "row_blocks.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A float view of a row: the row itself, or a bfloat16 row widened into `buffer`.
const float* floatRow(const at::Tensor& rows, int64_t row, std::vector<float>& buffer) {
  const int64_t n = rows.size(1);
  if (rows.scalar_type() == at::kFloat) return rows.const_data_ptr<float>() + row * n;
  kernels::widen(buffer.data(), rows.const_data_ptr<at::BFloat16>() + row * n, n);
  return buffer.data();
}

float* floatRow(const at::Tensor& rows, int64_t row) {
  return rows.mutable_data_ptr<float>() + row * rows.size(1);
}

// The gradient of a weight that is trained; that of a frozen one would be half of the backward pass for
// nothing.
at::Tensor gradientIfTrained(const AutogradContext* context, size_t input, const at::Tensor& dY,
                             const at::Tensor& x) {
  return context->needs_input_grad(input) ? weightGradient(dY, x) : at::Tensor();
}

// Adds its rows to the products of the same rows, where there is an addend.
void addRows(at::Tensor& products, const std::optional<at::Tensor>& addend, int64_t first) {
  if (addend.has_value()) products.add_(addend->narrow(0, first, products.size(0)));
}

// An undefined tensor is no input that autograd takes.
std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// [blocks, columns] of zeros, one row a block, so that blocks can add up side by side and in a fixed order.
at::Tensor blockSums(const RowBlocks& blocks, int64_t columns) {
  return at::zeros({blocks.count(), columns}, at::kFloat);
}

// The sum of some rows into row `block` of `sums`.
void sumRows(at::Tensor& sums, int64_t block, const at::Tensor& rows) {
  at::Tensor target = sums.select(0, block);
  at::sum_out(target, rows, 0, /*keepdim=*/false, at::kFloat);
}

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& product) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(product.scalar_type()), offset = bias.to(product.scalar_type());
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, input.options());
    RowBlocks(x.size(0)).forEach([&](int64_t, int64_t first, int64_t rows) {
      at::Tensor target = y.narrow(0, first, rows);
      at::addmm_out(target, offset, input.narrow(0, first, rows), product.t());
    });
    context->save_for_backward({input, product});
    context->saved_data["type"] = x.scalar_type();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &product = saved[1];
    const at::Tensor dY = gradients[0].contiguous();
    const RowBlocks blocks(x.size(0));
    at::Tensor dX = at::empty_like(x), dBias = blockSums(blocks, dY.size(1));
    blocks.forEach([&](int64_t block, int64_t first, int64_t rows) {
      const at::Tensor dRows = dY.narrow(0, first, rows);
      sumRows(dBias, block, dRows);
      at::Tensor target = dX.narrow(0, first, rows);
      at::mm_out(target, dRows, product);
    });
    return {dX.to(context->saved_data["type"].toScalarType()), gradientIfTrained(context, 1, dY, x),
            dBias.sum(0), at::Tensor()};
  }
};

struct LinearActivation : torch::autograd::Function<LinearActivation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& product, int64_t activation,
                            const std::optional<at::Tensor>& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(product.scalar_type()), offset = bias.to(product.scalar_type());
    at::Tensor z = at::empty({x.size(0), weight.size(0)}, input.options());
    at::Tensor y = at::empty_like(z);
    RowBlocks(x.size(0)).forEach([&](int64_t, int64_t first, int64_t rows) {
      at::Tensor zRows = z.narrow(0, first, rows);
      at::addmm_out(zRows, offset, input.narrow(0, first, rows), product.t());
      addRows(zRows, addend, first);
      at::Tensor yRows = y.narrow(0, first, rows);
      activateOut(yRows, static_cast<Activation>(activation), zRows);
    });
    context->save_for_backward({input, product, z, y});
    context->saved_data["type"] = x.scalar_type();
    context->saved_data["activation"] = activation;
    context->saved_data["hasAddend"] = addend.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &product = saved[1], &z = saved[2], &y = saved[3];
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    const at::Tensor dY = gradients[0].contiguous();
    const RowBlocks blocks(x.size(0));
    at::Tensor dX = at::empty_like(x), dZ = at::empty_like(z), dBias = blockSums(blocks, z.size(1));
    blocks.forEach([&](int64_t block, int64_t first, int64_t rows) {
      at::Tensor dRows = dZ.narrow(0, first, rows);
      activateBackwardOut(dRows, activation, dY.narrow(0, first, rows), z.narrow(0, first, rows),
                          y.narrow(0, first, rows));
      sumRows(dBias, block, dRows);
      at::Tensor target = dX.narrow(0, first, rows);
      at::mm_out(target, dRows, product);
    });
    return {dX.to(context->saved_data["type"].toScalarType()),
            gradientIfTrained(context, 1, dZ, x),
            dBias.sum(0),
            at::Tensor(),
            at::Tensor(),
            context->saved_data["hasAddend"].toBool() ? dZ : at::Tensor()};
  }
};

struct LinearAddNorm : torch::autograd::Function<LinearAddNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& residual,
                            const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& product,
                            const at::Tensor& normWeight, const at::Tensor& normBias, double epsilon,
                            const Mask& mask, const std::optional<at::Tensor>& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(product.scalar_type()), added = residual.contiguous();
    const int64_t n = weight.size(0);
    const bool isFloat = product.scalar_type() == at::kFloat;
    at::Tensor y = at::empty({x.size(0), n}, at::kFloat), normalized = at::empty_like(y);
    at::Tensor inverseDeviations = at::empty({x.size(0)}, at::kFloat);
    const kernels::Norm norm{normWeight.const_data_ptr<float>(), normBias.const_data_ptr<float>(),
                             static_cast<float>(epsilon)};
    RowBlocks(x.size(0)).forEach([&](int64_t, int64_t first, int64_t rows) {
      // In float32 the products lie where the result will.
      at::Tensor products = isFloat ? y.narrow(0, first, rows) : at::empty({rows, n}, input.options());
      at::mm_out(products, input.narrow(0, first, rows), product.t());
      addRows(products, addend, first);
      const phases::Scope phase(phases::Phase::ElementWise);
      std::vector<float> buffer(n);
      auto* inverseDeviation = inverseDeviations.mutable_data_ptr<float>() + first;
      for (int64_t i = 0; i < rows; ++i)
        inverseDeviation[i] = kernels::addNorm(floatRow(y, first + i), floatRow(normalized, first + i),
                                               floatRow(products, i, buffer), bias.const_data_ptr<float>(),
                                               floatRow(added, first + i), norm, n, mask, first + i);
    });
    context->save_for_backward({input, product, normWeight, normalized, inverseDeviations});
    context->saved_data["type"] = x.scalar_type();
    context->saved_data["hasAddend"] = addend.has_value();
    saveMask(context, mask);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &product = saved[1], &normWeight = saved[2], &normalized = saved[3];
    const auto* inverseDeviations = saved[4].const_data_ptr<float>();
    const Mask mask = savedMask(context);
    const at::Tensor dY = gradients[0].contiguous();
    const int64_t n = dY.size(1);
    const RowBlocks blocks(x.size(0));
    at::Tensor dX = at::empty_like(x), dResidual = at::empty_like(normalized);
    at::Tensor dProducts = at::empty(dY.sizes(), x.options());
    at::Tensor dNormWeight = blockSums(blocks, n), dNormBias = blockSums(blocks, n),
               dBias = blockSums(blocks, n);
    blocks.forEach([&](int64_t block, int64_t first, int64_t rows) {
      const kernels::NormSums sums{floatRow(dNormWeight, block), floatRow(dNormBias, block),
                                   floatRow(dBias, block)};
      const bool narrows = x.scalar_type() != at::kFloat;
      std::vector<float> buffer(n);
      phases::Scope phase(phases::Phase::ElementWise);
      for (int64_t row = first; row < first + rows; ++row) {
        float* dRow = narrows ? buffer.data() : floatRow(dProducts, row);
        kernels::addNormBackward(floatRow(dResidual, row), dRow, sums, floatRow(dY, row),
                                 floatRow(normalized, row), normWeight.const_data_ptr<float>(),
                                 inverseDeviations[row], n, mask, row);
        if (narrows) kernels::narrow(dProducts.mutable_data_ptr<at::BFloat16>() + row * n, dRow, n);
      }
      phase.end();
      at::Tensor target = dX.narrow(0, first, rows);
      at::mm_out(target, dProducts.narrow(0, first, rows), product);
    });
    return {dX.to(context->saved_data["type"].toScalarType()),
            dResidual,
            gradientIfTrained(context, 2, dProducts, x),
            dBias.sum(0),
            at::Tensor(),
            dNormWeight.sum(0),
            dNormBias.sum(0),
            at::Tensor(),
            at::Tensor(),
            context->saved_data["hasAddend"].toBool() ? dProducts : at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  if (!x.is_cpu()) return linearComposed(x, weights, addend);
  const at::Tensor y = Linear::apply(x, weights.weight, weights.bias, weights.product);
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivation(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                            const at::Tensor& addend) {
  if (!x.is_cpu()) return linearActivationComposed(x, weights, activation, addend);
  return LinearActivation::apply(x, weights.weight, weights.bias, weights.product,
                                 static_cast<int64_t>(activation), optional(addend));
}

at::Tensor linearAddNorm(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                         const NormWeights& norm, const Mask& mask, const at::Tensor& addend) {
  if (!x.is_cpu()) return linearAddNormComposed(x, residual, weights, norm, mask, addend);
  return LinearAddNorm::apply(x, residual, weights.weight, weights.bias, weights.product, norm.weight,
                              norm.bias, norm.epsilon, mask, optional(addend));
}

at::Tensor linearComposed(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::ScalarType type = weights.product.scalar_type();
  const at::Tensor y = at::linear(x.to(type), weights.weight.to(type), weights.bias.to(type));
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationComposed(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                    const at::Tensor& addend) {
  return activate(activation, linearComposed(x, weights, addend));
}

at::Tensor linearAddNormComposed(const at::Tensor& x, const at::Tensor& residual,
                                 const LinearWeights& weights, const NormWeights& norm, const Mask& mask,
                                 const at::Tensor& addend) {
  const at::Tensor products = linearComposed(x, weights, addend).to(residual.scalar_type());
  return at::layer_norm(dropoutAdd(products, residual, mask), {residual.size(1)}, norm.weight, norm.bias,
                        norm.epsilon);
}

}  // namespace bertune
