#include "linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "dropout.h"
#include "kernels.h"
#include "linear_tiles.h"
#include "row_ranges.h"
#include "weight_gradient.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The gradient of a weight that is trained; that of a frozen one would be half of the backward pass for
// nothing.
at::Tensor gradientIfTrained(const AutogradContext* context, size_t input, const at::Tensor& dY,
                             const at::Tensor& x) {
  return context->needs_input_grad(input) ? weightGradient(dY, x) : at::Tensor();
}

// The gradient of x is not worth a product where nothing below is trained.
at::Tensor emptyIfWanted(const AutogradContext* context, const at::Tensor& x) {
  return context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
}

// An undefined tensor is no input that autograd takes.
std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor.contiguous()) : std::nullopt;
}

// [ranges, columns] of zeros, one row a range, so that ranges can add up side by side and in a fixed order.
at::Tensor rangeSums(const RowRanges& ranges, int64_t columns) {
  return at::zeros({ranges.count(), columns}, at::kFloat);
}

// body(zero of the type): calls the version of the products' type.
template <typename Body>
void withType(at::ScalarType type, const Body& body) {
  if (type == at::kBFloat16)
    body(at::BFloat16());
  else
    body(float());
}

// Adds the rows of an addend to products, where there is an addend.
template <typename T>
void addRows(float* products, int64_t ld, const std::optional<at::Tensor>& addend, int64_t firstRow,
             int64_t rows, int64_t first, int64_t columns) {
  if (!addend.has_value()) return;
  const Rows<const T> added(*addend);
  for (int64_t i = 0; i < rows; ++i) kernels::add(products + i * ld, added[firstRow + i] + first, columns);
}

// dX = dY weight, block by block; dX is float32 or of type T, or not wanted.
template <typename T>
class InputGradient {
 public:
  InputGradient(at::Tensor& dX, const at::Tensor& dY, const at::Tensor& packed)
      : dX_(dX),
        weight_(packed, dX.defined() ? dX.size(1) : 0),
        dY_(dY, weight_.rowsOfBlock()),
        products_(weight_.rowsOfBlock() * kTile) {}

  int64_t rowsOfBlock() const { return weight_.rowsOfBlock(); }

  void compute(int64_t first, int64_t rows) {
    if (!dX_.defined()) return;
    if (dX_.scalar_type() == at::kFloat)
      computeInto(Rows<float>(dX_), first, rows);
    else
      computeInto(Rows<T>(dX_), first, rows);
  }

 private:
  template <typename X>
  void computeInto(const Rows<X>& target, int64_t first, int64_t rows) {
    weight_.forEach(dY_.load(first, rows), dY_.ld(), rows, products_.data(),
                    [&](int64_t column, int64_t columns, const float* products) {
                      for (int64_t i = 0; i < rows; ++i)
                        kernels::narrow(target[first + i] + column, products + i * kTile, columns);
                    });
  }

  at::Tensor& dX_;
  Panels<T> weight_;
  RowBlocks<T> dY_;
  Scratch<float> products_;
};

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const PackedWeight& packed) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, packed.forward.options());
    withType(y.scalar_type(), [&](auto zero) { compute<decltype(zero)>(y, x, bias, packed.forward); });
    context->save_for_backward({x, packed.backward});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], dY = gradients[0].contiguous();
    const RowRanges ranges(x.size(0));
    at::Tensor dX = emptyIfWanted(context, x), dBias = rangeSums(ranges, dY.size(1));
    withType(dY.scalar_type(),
             [&](auto zero) { computeBackward<decltype(zero)>(dX, dBias, dY, saved[1], ranges); });
    return {dX, gradientIfTrained(context, 1, dY, x), dBias.sum(0), at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& y, const at::Tensor& x, const at::Tensor& bias, const at::Tensor& packed) {
    const Rows<T> target(y);
    const auto* offset = bias.const_data_ptr<float>();
    const Panels<T> weight(packed, target.columns());
    RowRanges(x.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
      RowBlocks<T> blocks(x, weight.rowsOfBlock());
      Scratch<float> block(weight.rowsOfBlock() * kTile);
      forEachBlock(begin, count, weight.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        weight.forEach(blocks.load(first, rows), blocks.ld(), rows, block.data(),
                       [&](int64_t column, int64_t columns, const float* products) {
                         for (int64_t i = 0; i < rows; ++i)
                           kernels::addBias(target[first + i] + column, products + i * kTile, offset + column,
                                            columns);
                       });
      });
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
          kernels::add(sums[range], gradients[i], gradients.columns());
        input.compute(first, rows);
      });
    });
  }
};

struct LinearActivation : torch::autograd::Function<LinearActivation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const PackedWeight& packed, Activation activation,
                            const std::optional<at::Tensor>& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    at::Tensor z = at::empty({x.size(0), weight.size(0)}, packed.forward.options());
    at::Tensor y = at::empty_like(z);
    withType(z.scalar_type(),
             [&](auto zero) { compute<decltype(zero)>(z, y, x, bias, packed.forward, activation, addend); });
    context->save_for_backward({x, packed.backward, z, y});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["hasAddend"] = addend.has_value();
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
    return {dX,           gradientIfTrained(context, 1, dZ, x),
            dBias.sum(0), at::Tensor(),
            at::Tensor(), context->saved_data["hasAddend"].toBool() ? dZ : at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& z, at::Tensor& y, const at::Tensor& x, const at::Tensor& bias,
                      const at::Tensor& packed, Activation activation,
                      const std::optional<at::Tensor>& addend) {
    const Rows<T> inputs(z), outputs(y);
    const auto* offset = bias.const_data_ptr<float>();
    const bool isGelu = activation == Activation::Gelu;
    const Panels<T> weight(packed, inputs.columns());
    RowRanges(x.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
      RowBlocks<T> blocks(x, weight.rowsOfBlock());
      Scratch<float> block(weight.rowsOfBlock() * kTile);
      forEachBlock(begin, count, weight.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        weight.forEach(blocks.load(first, rows), blocks.ld(), rows, block.data(),
                       [&](int64_t column, int64_t columns, const float* products) {
                         addRows<T>(block.data(), kTile, addend, first, rows, column, columns);
                         for (int64_t i = 0; i < rows; ++i) {
                           T* row = inputs[first + i] + column;
                           if (isGelu)
                             kernels::addBiasGelu(row, outputs[first + i] + column, products + i * kTile,
                                                  offset + column, columns);
                           else
                             kernels::addBias(row, products + i * kTile, offset + column, columns);
                         }
                       });
        if (isGelu) return;
        at::Tensor yRows = y.narrow(0, first, rows);
        activateOut(yRows, activation, z.narrow(0, first, rows));
      });
    });
  }

  template <typename T>
  static void computeBackward(at::Tensor& dX, at::Tensor& dZ, at::Tensor& dBias, const at::Tensor& dY,
                              const at::Tensor& packed, const at::Tensor& z, const at::Tensor& y,
                              Activation activation, const RowRanges& ranges) {
    const Rows<float> sums(dBias);
    const Rows<T> dInputs(dZ);
    const Rows<const T> inputs(z), gradients(dY);
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      InputGradient<T> input(dX, dZ, packed);
      forEachBlock(begin, count, input.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        const auto rowsOf = [&](const at::Tensor& tensor) { return tensor.narrow(0, first, rows); };
        at::Tensor dRows = rowsOf(dZ);
        const bool isGelu = activation == Activation::Gelu;
        if (!isGelu) activateBackwardOut(dRows, activation, rowsOf(dY), rowsOf(z), rowsOf(y));
        for (int64_t i = first; i < first + rows; ++i)
          if (isGelu)
            kernels::geluBackward(dInputs[i], sums[range], gradients[i], inputs[i], inputs.columns());
          else
            kernels::add(sums[range], dInputs[i], inputs.columns());
        input.compute(first, rows);
      });
    });
  }
};

struct LinearAddNorm : torch::autograd::Function<LinearAddNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& residual,
                            const at::Tensor& weight, const at::Tensor& bias, const PackedWeight& packed,
                            const at::Tensor& normWeight, const at::Tensor& normBias, double epsilon,
                            const Mask& mask, const std::optional<at::Tensor>& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, at::kFloat), normalized = at::empty_like(y);
    at::Tensor inverseDeviations = at::empty({x.size(0)}, at::kFloat);
    const kernels::Norm norm{normWeight.const_data_ptr<float>(), normBias.const_data_ptr<float>(),
                             static_cast<float>(epsilon)};
    withType(packed.forward.scalar_type(), [&](auto zero) {
      compute<decltype(zero)>(y, normalized, inverseDeviations, x, residual.contiguous(), bias,
                              packed.forward, norm, mask, addend);
    });
    context->save_for_backward({x, packed.backward, normWeight, normalized, inverseDeviations});
    context->saved_data["hasAddend"] = addend.has_value();
    saveMask(context, mask);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &packed = saved[1], &normalized = saved[3];
    const at::Tensor dY = gradients[0].contiguous();
    const RowRanges ranges(x.size(0));
    at::Tensor dX = emptyIfWanted(context, x), dResidual = at::empty_like(normalized),
               dProducts = at::empty(dY.sizes(), packed.options());
    at::Tensor dNormWeight = rangeSums(ranges, dY.size(1)), dNormBias = rangeSums(ranges, dY.size(1)),
               dBias = rangeSums(ranges, dY.size(1));
    const Rows<float> weightSums(dNormWeight), biasSums(dNormBias), linearSums(dBias);
    const auto sums = [&](int64_t range) {
      return kernels::NormSums{weightSums[range], biasSums[range], linearSums[range]};
    };
    withType(packed.scalar_type(), [&](auto zero) {
      computeBackward<decltype(zero)>(dX, dResidual, dProducts, sums, dY, packed, saved[2], normalized,
                                      saved[4], savedMask(context), ranges);
    });
    return {dX,
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
              kernels::addNorm(target[first + i], values[first + i], block.data() + i * weight.width(),
                               offset, added[first + i], norm, n, mask, first + i);
      });
    });
  }

  template <typename T, typename Sums>
  static void computeBackward(at::Tensor& dX, at::Tensor& dResidual, at::Tensor& dProducts, const Sums& sums,
                              const at::Tensor& dY, const at::Tensor& packed, const at::Tensor& normWeight,
                              const at::Tensor& normalized, const at::Tensor& inverseDeviations,
                              const Mask& mask, const RowRanges& ranges) {
    const Rows<float> residuals(dResidual);
    const Rows<T> products(dProducts);
    const Rows<const float> gradients(dY), values(normalized);
    const auto *factors = normWeight.const_data_ptr<float>(),
               *inverseDeviation = inverseDeviations.const_data_ptr<float>();
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      InputGradient<T> input(dX, dProducts, packed);
      forEachBlock(begin, count, input.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        for (int64_t i = first; i < first + rows; ++i)
          kernels::addNormBackward(residuals[i], products[i], sums(range), gradients[i], values[i], factors,
                                   inverseDeviation[i], gradients.columns(), mask, i);
        input.compute(first, rows);
      });
    });
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  if (!weights.packed.forward.defined()) return linearComposed(x, weights, addend);
  const at::Tensor y = Linear::apply(x.contiguous(), weights.weight, weights.bias, weights.packed);
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivation(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                            const at::Tensor& addend) {
  if (!weights.packed.forward.defined()) return linearActivationComposed(x, weights, activation, addend);
  return LinearActivation::apply(x.contiguous(), weights.weight, weights.bias, weights.packed, activation,
                                 optional(addend));
}

at::Tensor linearAddNorm(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                         const NormWeights& norm, const Mask& mask, const at::Tensor& addend) {
  if (!weights.packed.forward.defined())
    return linearAddNormComposed(x, residual, weights, norm, mask, addend);
  return LinearAddNorm::apply(x.contiguous(), residual, weights.weight, weights.bias, weights.packed,
                              norm.weight, norm.bias, norm.epsilon, mask, optional(addend));
}

at::Tensor linearComposed(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::ScalarType type = weights.type;
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
