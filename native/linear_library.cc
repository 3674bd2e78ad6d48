#include "linear_library.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "dropout.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

// a b in `type`. On a GPU the float32 sums of a bfloat16 product are taken as they are.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, at::ScalarType type) {
  if (a.scalar_type() == type) return at::mm(a, b);
  return a.is_cuda() && type == at::kFloat ? at::mm(a, b, type) : at::mm(a, b).to(type);
}

at::Tensor products(const at::Tensor& input, const RoundedWeights& rounded, const OptionalTensor& addend) {
  at::Tensor y = at::addmm(rounded.bias, input, rounded.weight.t());
  return addend ? y.add_(*addend) : y;
}

// Where a function's inputs stand, to ask which of them want a gradient.
struct Places {
  size_t x, weight, bias;
};

struct Gradients {
  at::Tensor x, weight, bias;  // undefined where nobody wants them
};

// Of y = input weight^T + bias; `input` is x in the type of the products.
Gradients gradientsOf(AutogradContext* context, const Places& places, const at::Tensor& dY,
                      const at::Tensor& input, const at::Tensor& weight) {
  const auto wants = [&](size_t place) { return context->needs_input_grad(place); };
  Gradients result;
  if (wants(places.x))
    result.x = product(dY, weight, static_cast<at::ScalarType>(context->saved_data["typeOfX"].toInt()));
  if (wants(places.weight)) result.weight = product(dY.t(), input, at::kFloat);
  if (wants(places.bias)) result.bias = dY.sum(at::IntArrayRef{0}, /*keepdim=*/false, at::kFloat);
  return result;
}

void saveTypeOfX(AutogradContext* context, const at::Tensor& x) {
  context->saved_data["typeOfX"] = static_cast<int64_t>(x.scalar_type());
}

// Only a trained weight's gradient reads the input again.
at::Tensor inputToKeep(const at::Tensor& input, const at::Tensor& weight) {
  return weight.requires_grad() ? input : at::Tensor();
}

struct LinearLibrary : torch::autograd::Function<LinearLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& /*bias*/, const RoundedWeights& rounded) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(rounded.weight.scalar_type());
    context->save_for_backward({inputToKeep(input, weight), rounded.weight});
    saveTypeOfX(context, x);
    return products(input, rounded, std::nullopt);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Gradients d = gradientsOf(context, {0, 1, 2}, gradients[0].contiguous(), saved[0], saved[1]);
    return {d.x, d.weight, d.bias, at::Tensor()};
  }
};

struct LinearActivationLibrary : torch::autograd::Function<LinearActivationLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& /*bias*/, const RoundedWeights& rounded, Activation activation,
                            const OptionalTensor& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(rounded.weight.scalar_type());
    const at::Tensor z = products(input, rounded, addend);
    const at::Tensor y = activate(activation, z);
    const bool readsOutput = activation == Activation::Relu || activation == Activation::Tanh;
    context->save_for_backward(
        {inputToKeep(input, weight), rounded.weight, z, readsOutput ? y : at::Tensor()});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["hasAddend"] = addend.has_value();
    saveTypeOfX(context, x);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    at::Tensor dZ = at::empty_like(saved[2]);
    activateBackwardOut(dZ, static_cast<Activation>(context->saved_data["activation"].toInt()), gradients[0],
                        saved[2], saved[3]);
    const Gradients d = gradientsOf(context, {0, 1, 2}, dZ, saved[0], saved[1]);
    return {d.x,          d.weight,     d.bias,
            at::Tensor(), at::Tensor(), context->saved_data["hasAddend"].toBool() ? dZ : at::Tensor()};
  }
};

struct LinearAddNormLibrary : torch::autograd::Function<LinearAddNormLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& residual,
                            const at::Tensor& weight, const at::Tensor& /*bias*/,
                            const RoundedWeights& rounded, const at::Tensor& normWeight,
                            const at::Tensor& normBias, double epsilon, const Mask& mask,
                            const OptionalTensor& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(rounded.weight.scalar_type()), y = products(input, rounded, addend);
    at::Tensor kept, sum;
    if (mask.dropsNothing()) {
      sum = residual + y;
    } else {
      kept = keptElements(mask, y.size(0), y.size(1), y.device());
      sum = at::addcmul(residual, y, kept, mask.scale);
    }
    auto [out, mean, inverseDeviation] =
        at::native_layer_norm(sum, {sum.size(1)}, normWeight, normBias, epsilon);
    context->save_for_backward({inputToKeep(input, weight), rounded.weight, sum, mean, inverseDeviation,
                                normWeight, normBias, kept});
    context->saved_data["scale"] = static_cast<double>(mask.scale);
    context->saved_data["hasAddend"] = addend.has_value();
    saveTypeOfX(context, x);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &weight = saved[1], &sum = saved[2], &kept = saved[7];
    const auto wants = [&](size_t place) { return context->needs_input_grad(place); };
    auto [dSum, dNormWeight, dNormBias] =
        at::native_layer_norm_backward(gradients[0].contiguous(), sum, {sum.size(1)}, saved[3], saved[4],
                                       saved[5], saved[6], {true, wants(kNormWeight), wants(kNormBias)});
    const at::Tensor dropped =
        kept.defined() ? at::native_dropout_backward(dSum, kept, context->saved_data["scale"].toDouble())
                       : dSum;
    const at::Tensor dY = dropped.to(weight.scalar_type());
    const Gradients d = gradientsOf(context, {0, 2, 3}, dY, saved[0], weight);
    return {d.x,          dSum,
            d.weight,     d.bias,
            at::Tensor(), dNormWeight,
            dNormBias,    at::Tensor(),
            at::Tensor(), context->saved_data["hasAddend"].toBool() ? dY : at::Tensor()};
  }

 private:
  static constexpr size_t kNormWeight = 4, kNormBias = 5;  // among the tensors of forward
};

}  // namespace

at::Tensor linearLibrary(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::Tensor y = LinearLibrary::apply(x, weights.weight, weights.bias, weights.rounded);
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationLibrary(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                   const at::Tensor& addend) {
  return LinearActivationLibrary::apply(x, weights.weight, weights.bias, weights.rounded, activation,
                                        optionalRows(addend));
}

at::Tensor linearAddNormLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                                const NormWeights& norm, const Mask& mask, const at::Tensor& addend) {
  return LinearAddNormLibrary::apply(x, residual, weights.weight, weights.bias, weights.rounded, norm.weight,
                                     norm.bias, norm.epsilon, mask, optionalRows(addend));
}

}  // namespace bertune
