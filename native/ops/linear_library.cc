// The linear layers by LibTorch's own operators, forward and backward written out: for devices without tiles
// of ours. On a GPU a step is short, and what it waits for is the host that launches it: below autograd a
// layer is about half as many operators as by autograd, each of them cheaper to call.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "ops/dropout.h"
#include "ops/linear.h"
#include "ops/linear_backward.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

// a b in `type`. On a GPU the float32 sums of bfloat16 operands are taken as they are.
at::Tensor matmul(const at::Tensor& a, const at::Tensor& b, at::ScalarType type) {
  if (a.scalar_type() == type) return at::mm(a, b);
  return a.is_cuda() && type == at::kFloat ? at::mm(a, b, type) : at::mm(a, b).to(type);
}

// The same in float32, written or added where it belongs.
void matmulInto(Gradient::Target target, const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() == at::kFloat) {
    if (target.adds)
      target.values.addmm_(a, b);
    else
      at::mm_out(target.values, a, b);
  } else if (a.is_cuda() && !target.adds) {
    at::mm_out(target.values, a, b, at::kFloat);
  } else if (target.adds) {
    target.values.add_(matmul(a, b, at::kFloat));
  } else {
    target.values.copy_(at::mm(a, b));
  }
}

at::Tensor affine(const at::Tensor& input, const LinearOperands& operands, const OptionalTensor& addend) {
  at::Tensor y = operands.bias.defined() ? at::addmm(operands.bias, input, operands.weight.t())
                                         : at::mm(input, operands.weight.t());
  return addend ? y.add_(*addend) : y;
}

// With the weight rounded, even where it was packed.
LinearWeights rounded(const LinearWeights& weights) {
  LinearWeights result = weights;
  LinearOperands& operands = result.operands;
  if (operands.weight.defined()) return result;
  operands.weight = weights.weight.detach().narrow(0, weights.firstRow, weights.rows).to(operands.type);
  if (weights.bias.has_value()) operands.bias = weights.bias->detach().to(operands.type);
  return result;
}

void save(AutogradContext* context, const at::Tensor& x, const LinearWeights& weights) {
  context->saved_data["typeOfX"] = static_cast<int64_t>(x.scalar_type());
  context->saved_data["trainsBias"] = weights.bias.has_value() && weights.bias->requires_grad();
  saveTarget(context, weights);
}

// Only a trained weight's gradient reads the input again.
at::Tensor savedInput(const at::Tensor& input, const at::Tensor& weight) {
  return weight.requires_grad() ? input : at::Tensor();
}

struct Gradients {
  at::Tensor x, weight, bias;  // undefined where they are not needed, or were stored already
};

// Of y = input weight^T + bias; `input` is x in the compute type.
Gradients gradientsOf(AutogradContext* context, const at::Tensor& dY, const at::Tensor& input,
                      const at::Tensor& weight) {
  Gradients result;
  if (context->needs_input_grad(kInputPlace))
    result.x = matmul(dY, weight, static_cast<at::ScalarType>(context->saved_data["typeOfX"].toInt()));
  if (context->needs_input_grad(kWeightPlace)) {
    const WeightTarget target = savedTarget(context);
    if (target.gradient)
      matmulInto(target.gradient->rows(target.firstRow, target.rows), dY.t(), input);
    else
      result.weight = matmul(dY.t(), input, at::kFloat);
  }
  if (context->saved_data["trainsBias"].toBool())
    result.bias = dY.sum(at::IntArrayRef{0}, /*keepdim=*/false, at::kFloat);
  return result;
}

struct LinearLibrary : torch::autograd::Function<LinearLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& /*bias*/, const LinearWeights& weights) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(weights.operands.type);
    context->save_for_backward({savedInput(input, weight), weights.operands.weight});
    save(context, x, weights);
    return affine(input, weights.operands, std::nullopt);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Gradients d = gradientsOf(context, gradients[0].contiguous(), saved[0], saved[1]);
    return {d.x, d.weight, d.bias, at::Tensor()};
  }
};

struct LinearActivationLibrary : torch::autograd::Function<LinearActivationLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& /*bias*/, const LinearWeights& weights,
                            Activation activation, const OptionalTensor& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(weights.operands.type);
    const at::Tensor z = affine(input, weights.operands, addend);
    const at::Tensor y = activate(activation, z);
    const bool readsOutput = activation == Activation::Relu || activation == Activation::Tanh;
    context->save_for_backward(
        {savedInput(input, weight), weights.operands.weight, z, readsOutput ? y : at::Tensor()});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["hasAddend"] = addend.has_value();
    save(context, x, weights);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    at::Tensor dZ = at::empty_like(saved[2]);
    activateBackwardOut(dZ, static_cast<Activation>(context->saved_data["activation"].toInt()), gradients[0],
                        saved[2], saved[3]);
    const Gradients d = gradientsOf(context, dZ, saved[0], saved[1]);
    return {d.x,          d.weight,     d.bias,
            at::Tensor(), at::Tensor(), context->saved_data["hasAddend"].toBool() ? dZ : at::Tensor()};
  }
};

struct LinearAddNormLibrary : torch::autograd::Function<LinearAddNormLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& residual, const at::Tensor& normWeight,
                            const OptionalTensor& /*bias*/, const OptionalTensor& normBias,
                            const LinearWeights& weights, double epsilon, const Mask& mask,
                            const OptionalTensor& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(weights.operands.type), y = affine(input, weights.operands, addend);
    at::Tensor kept, sum;
    if (mask.dropsNothing()) {
      sum = residual + y;
    } else {
      kept = keptElements(mask, y.size(0), y.size(1), y.device());
      sum = at::addcmul(residual, y, kept, mask.scale);
    }
    auto [out, mean, inverseDeviation] =
        at::native_layer_norm(sum, {sum.size(1)}, normWeight, normBias, epsilon);
    context->save_for_backward({savedInput(input, weight), weights.operands.weight, sum, mean,
                                inverseDeviation, normWeight, normBias.value_or(at::Tensor()), kept});
    context->saved_data["scale"] = static_cast<double>(mask.scale);
    context->saved_data["trainsNormBias"] = normBias.has_value() && normBias->requires_grad();
    context->saved_data["hasAddend"] = addend.has_value();
    save(context, x, weights);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &weight = saved[1], &sum = saved[2], &kept = saved[7];
    const OptionalTensor normBias = saved[6].defined() ? OptionalTensor(saved[6]) : std::nullopt;
    auto [dSum, dNormWeight, dNormBias] = at::native_layer_norm_backward(
        gradients[0].contiguous(), sum, {sum.size(1)}, saved[3], saved[4], saved[5], normBias,
        {true, context->needs_input_grad(kNormWeightPlace), context->saved_data["trainsNormBias"].toBool()});
    const at::Tensor dropped =
        kept.defined() ? at::native_dropout_backward(dSum, kept, context->saved_data["scale"].toDouble())
                       : dSum;
    const at::Tensor dY = dropped.to(weight.scalar_type());
    const Gradients d = gradientsOf(context, dY, saved[0], weight);
    return {d.x,          d.weight,
            dSum,         dNormWeight,
            d.bias,       dNormBias,
            at::Tensor(), at::Tensor(),
            at::Tensor(), context->saved_data["hasAddend"].toBool() ? dY : at::Tensor()};
  }

 private:
  static constexpr size_t kNormWeightPlace = 3;  // among the tensors of forward
};

}  // namespace

at::Tensor linearLibrary(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::Tensor y = LinearLibrary::apply(x, weights.weight, weights.bias, rounded(weights));
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationLibrary(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                   const at::Tensor& addend) {
  return LinearActivationLibrary::apply(x, weights.weight, weights.bias, rounded(weights), activation,
                                        optionalRows(addend));
}

at::Tensor linearAddNormLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                                const NormWeights& norm, const Mask& mask, const at::Tensor& addend) {
  return LinearAddNormLibrary::apply(x, weights.weight, residual, norm.weight, weights.bias, norm.bias,
                                     rounded(weights), norm.epsilon, mask, optionalRows(addend));
}

}  // namespace bertune
