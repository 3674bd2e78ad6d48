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

// An undefined tensor is no input that autograd takes.
std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// [ranges, columns] of zeros, one row a range, so that ranges can add up side by side and in a fixed order.
at::Tensor rangeSums(const RowRanges& ranges, int64_t columns) {
  return at::zeros({ranges.count(), columns}, at::kFloat);
}

template <typename T>
T* rowOf(at::Tensor& matrix, int64_t row) {
  return matrix.mutable_data_ptr<T>() + row * matrix.size(1);
}

template <typename T>
const T* rowOf(const at::Tensor& matrix, int64_t row) {
  return matrix.const_data_ptr<T>() + row * matrix.size(1);
}

// body(zero of the type): calls the version of the products' type.
template <typename Body>
auto withType(at::ScalarType type, const Body& body) {
  return type == at::kBFloat16 ? body(at::BFloat16()) : body(float());
}

// A tile as float32 [rows, n] to rows of a matrix, from column `first` on.
template <typename T>
void store(at::Tensor& target, int64_t firstRow, int64_t rows, int64_t first, int64_t columns,
           const float* tile) {
  for (int64_t i = 0; i < rows; ++i)
    kernels::narrow(rowOf<T>(target, firstRow + i) + first, tile + i * kTile, columns);
}

// dX = dY weight for a tile of rows of dY; dX is float32 or of type T.
template <typename T>
void inputGradient(at::Tensor& dX, const Panels<T>& weight, RowTiles<T>& dY, int64_t first, int64_t rows,
                   float* tile) {
  const bool isFloat = dX.scalar_type() == at::kFloat;
  weight.forEach(dY.load(first, rows), dY.ld(), rows, tile,
                 [&](int64_t column, int64_t columns, const float* products) {
                   if (isFloat)
                     store<float>(dX, first, rows, column, columns, products);
                   else
                     store<T>(dX, first, rows, column, columns, products);
                 });
}

// Adds the rows of an addend to a tile of products, where there is an addend.
template <typename T>
void addRows(float* tile, int64_t ld, const std::optional<at::Tensor>& addend, int64_t firstRow, int64_t rows,
             int64_t first, int64_t columns) {
  if (!addend.has_value()) return;
  for (int64_t i = 0; i < rows; ++i)
    kernels::add(tile + i * ld, rowOf<T>(*addend, firstRow + i) + first, columns);
}

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const PackedWeight& packed) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({x, packed.backward});
    return withType(packed.forward.scalar_type(), [&](auto zero) {
      return compute<decltype(zero)>(x, weight.size(0), bias, packed.forward);
    });
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], dY = gradients[0].contiguous();
    const RowRanges ranges(x.size(0));
    at::Tensor dX = context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
    at::Tensor dBias = rangeSums(ranges, dY.size(1));
    withType(dY.scalar_type(),
             [&](auto zero) { computeBackward<decltype(zero)>(dX, dBias, dY, saved[1], ranges); });
    return {dX, gradientIfTrained(context, 1, dY, x), dBias.sum(0), at::Tensor()};
  }

 private:
  template <typename T>
  static at::Tensor compute(const at::Tensor& x, int64_t out, const at::Tensor& bias,
                            const at::Tensor& packed) {
    at::Tensor y = at::empty({x.size(0), out}, packed.options());
    const auto* offset = bias.const_data_ptr<float>();
    const Panels<T> weight(packed, out);
    RowRanges(x.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
      RowTiles<T> tiles(x);
      Scratch<float> tile(kTile * kTile);
      forEachTile(begin, count, [&](int64_t first, int64_t rows) {
        weight.forEach(tiles.load(first, rows), tiles.ld(), rows, tile.data(),
                       [&](int64_t column, int64_t columns, const float* products) {
                         for (int64_t i = 0; i < rows; ++i)
                           kernels::addBias(rowOf<T>(y, first + i) + column, products + i * kTile,
                                            offset + column, columns);
                       });
      });
    });
    return y;
  }

  template <typename T>
  static void computeBackward(at::Tensor& dX, at::Tensor& dBias, const at::Tensor& dY,
                              const at::Tensor& packed, const RowRanges& ranges) {
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      RowTiles<T> tiles(dY);
      Scratch<float> tile(kTile * kTile);
      auto* sum = rowOf<float>(dBias, range);
      forEachTile(begin, count, [&](int64_t first, int64_t rows) {
        for (int64_t i = 0; i < rows; ++i) kernels::add(sum, rowOf<T>(dY, first + i), dY.size(1));
        if (dX.defined()) inputGradient<T>(dX, {packed, dX.size(1)}, tiles, first, rows, tile.data());
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
    at::Tensor dX = context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
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
    const auto* offset = bias.const_data_ptr<float>();
    const bool isGelu = activation == Activation::Gelu;
    const Panels<T> weight(packed, z.size(1));
    RowRanges(x.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
      RowTiles<T> tiles(x);
      Scratch<float> tile(kTile * kTile);
      forEachTile(begin, count, [&](int64_t first, int64_t rows) {
        weight.forEach(tiles.load(first, rows), tiles.ld(), rows, tile.data(),
                       [&](int64_t column, int64_t columns, const float* products) {
                         addRows<T>(tile.data(), kTile, addend, first, rows, column, columns);
                         for (int64_t i = 0; i < rows; ++i) {
                           T* zRow = rowOf<T>(z, first + i) + column;
                           const float* row = products + i * kTile;
                           if (isGelu)
                             kernels::addBiasGelu(zRow, rowOf<T>(y, first + i) + column, row, offset + column,
                                                  columns);
                           else
                             kernels::addBias(zRow, row, offset + column, columns);
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
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      RowTiles<T> tiles(dZ);
      Scratch<float> tile(kTile * kTile);
      auto* sum = rowOf<float>(dBias, range);
      forEachTile(begin, count, [&](int64_t first, int64_t rows) {
        at::Tensor dRows = dZ.narrow(0, first, rows);
        if (activation != Activation::Gelu)
          activateBackwardOut(dRows, activation, dY.narrow(0, first, rows), z.narrow(0, first, rows),
                              y.narrow(0, first, rows));
        for (int64_t i = first; i < first + rows; ++i)
          if (activation == Activation::Gelu)
            kernels::geluBackward(rowOf<T>(dZ, i), sum, rowOf<T>(dY, i), rowOf<T>(z, i), z.size(1));
          else
            kernels::add(sum, rowOf<T>(dZ, i), z.size(1));
        if (dX.defined()) inputGradient<T>(dX, {packed, dX.size(1)}, tiles, first, rows, tile.data());
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
    const int64_t n = dY.size(1);
    const RowRanges ranges(x.size(0));
    at::Tensor dX = context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
    at::Tensor dResidual = at::empty_like(normalized), dProducts = at::empty(dY.sizes(), packed.options());
    at::Tensor dNormWeight = rangeSums(ranges, n), dNormBias = rangeSums(ranges, n),
               dBias = rangeSums(ranges, n);
    const auto sums = [&](int64_t range) {
      return kernels::NormSums{rowOf<float>(dNormWeight, range), rowOf<float>(dNormBias, range),
                               rowOf<float>(dBias, range)};
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
    const int64_t n = y.size(1);
    const Panels<T> weight(packed, n);
    auto* inverseDeviation = inverseDeviations.mutable_data_ptr<float>();
    RowRanges(x.size(0)).forEach([&](int64_t, int64_t begin, int64_t count) {
      RowTiles<T> tiles(x);
      Scratch<float> tile(kTile * weight.width());
      forEachTile(begin, count, [&](int64_t first, int64_t rows) {
        weight.multiplyAll(tiles.load(first, rows), tiles.ld(), rows, tile.data());
        addRows<T>(tile.data(), weight.width(), addend, first, rows, 0, n);
        for (int64_t i = 0; i < rows; ++i)
          inverseDeviation[first + i] =
              kernels::addNorm(rowOf<float>(y, first + i), rowOf<float>(normalized, first + i),
                               tile.data() + i * weight.width(), bias.const_data_ptr<float>(),
                               rowOf<float>(residual, first + i), norm, n, mask, first + i);
      });
    });
  }

  template <typename T, typename Sums>
  static void computeBackward(at::Tensor& dX, at::Tensor& dResidual, at::Tensor& dProducts, const Sums& sums,
                              const at::Tensor& dY, const at::Tensor& packed, const at::Tensor& normWeight,
                              const at::Tensor& normalized, const at::Tensor& inverseDeviations,
                              const Mask& mask, const RowRanges& ranges) {
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      RowTiles<T> tiles(dProducts);
      Scratch<float> tile(kTile * kTile);
      forEachTile(begin, count, [&](int64_t first, int64_t rows) {
        for (int64_t i = first; i < first + rows; ++i)
          kernels::addNormBackward(rowOf<float>(dResidual, i), rowOf<T>(dProducts, i), sums(range),
                                   rowOf<float>(dY, i), rowOf<float>(normalized, i),
                                   normWeight.const_data_ptr<float>(),
                                   inverseDeviations.const_data_ptr<float>()[i], dY.size(1), mask, i);
        if (dX.defined()) inputGradient<T>(dX, {packed, dX.size(1)}, tiles, first, rows, tile.data());
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
