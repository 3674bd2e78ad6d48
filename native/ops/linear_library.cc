// The linear layers by LibTorch's own operators, forward and backward written out: for devices without tiles
// of ours. On a GPU a step is short, and what it waits for is the host that launches it: below autograd a
// layer is about half as many operators as by autograd, each of them cheaper to call.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "ops/add_norm.h"
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

bool trainsBias(AutogradContext* context) { return context->saved_data["trainsBias"].toBool(); }

// Of y = input weight^T + bias; `input` is x in the compute type, and `dBias` that of the bias where it is
// known.
Gradients gradientsOf(AutogradContext* context, const at::Tensor& dY, const at::Tensor& input,
                      const at::Tensor& weight, const at::Tensor& dBias = {}) {
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
  if (trainsBias(context))
    result.bias = dBias.defined() ? dBias : dY.sum(at::IntArrayRef{0}, /*keepdim=*/false, at::kFloat);
  return result;
}

// x in the compute type, which may be there already; hidden from autograd, which has x itself.
struct Rounded {
  at::Tensor values;

  at::Tensor of(const at::Tensor& x, at::ScalarType type) const {
    return values.defined() && values.scalar_type() == type ? values : x.to(type);
  }
};

struct LinearLibrary : torch::autograd::Function<LinearLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& /*bias*/, const LinearWeights& weights,
                            const Rounded& rounded) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = rounded.of(x, weights.operands.type);
    context->save_for_backward({savedInput(input, weight), weights.operands.weight});
    save(context, x, weights);
    return affine(input, weights.operands, std::nullopt);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Gradients d = gradientsOf(context, gradients[0].contiguous(), saved[0], saved[1]);
    return {d.x, d.weight, d.bias, at::Tensor(), at::Tensor()};
  }
};

struct LinearActivationLibrary : torch::autograd::Function<LinearActivationLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& /*bias*/, const LinearWeights& weights,
                            Activation activation, const OptionalTensor& addend, const Rounded& rounded) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = rounded.of(x, weights.operands.type);
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
    const auto [dZ, dBias] =
        activateBackward(static_cast<Activation>(context->saved_data["activation"].toInt()), gradients[0],
                         saved[2], saved[3], trainsBias(context));
    const Gradients d = gradientsOf(context, dZ, saved[0], saved[1], dBias);
    return {d.x,          d.weight,     d.bias,
            at::Tensor(), at::Tensor(), context->saved_data["hasAddend"].toBool() ? dZ : at::Tensor(),
            at::Tensor()};
  }
};

struct LinearAddLibrary : torch::autograd::Function<LinearAddLibrary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& residual, const OptionalTensor& /*bias*/,
                            const LinearWeights& weights, const Mask& mask, const OptionalTensor& addend) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(weights.operands.type);
    at::Tensor kept;
    const at::Tensor out = addOf(affine(input, weights.operands, addend), residual, mask, kept);
    context->save_for_backward({savedInput(input, weight), weights.operands.weight, kept});
    saveMask(context, mask);
    context->saved_data["hasAddend"] = addend.has_value();
    save(context, x, weights);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const AddGradients sum =
        addBackward(gradients[0], savedMask(context), saved[2], saved[1].scalar_type(), trainsBias(context));
    const Gradients d = gradientsOf(context, sum.y, saved[0], saved[1], sum.sumOfY);
    return {d.x,
            d.weight,
            gradients[0],
            d.bias,
            at::Tensor(),
            at::Tensor(),
            context->saved_data["hasAddend"].toBool() ? sum.y : at::Tensor()};
  }
};

struct LinearAddNormLibrary : torch::autograd::Function<LinearAddNormLibrary> {
  // Returns the norm, the same once more for the layers that follow, and the sum where `givesSum`.
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& residual, const at::Tensor& normWeight,
                               const OptionalTensor& /*bias*/, const OptionalTensor& normBias,
                               const LinearWeights& weights, double epsilon, const Mask& mask,
                               const OptionalTensor& addend, bool givesSum, at::Tensor* rounded) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor input = x.to(weights.operands.type), y = affine(input, weights.operands, addend);
    const AddNormResult result = addNorm(y, residual, normWeight, normBias, epsilon, mask);
    variable_list saved = result.saved;
    saved.insert(saved.end(), {savedInput(input, weight), weights.operands.weight, normWeight,
                               normBias.value_or(at::Tensor())});
    context->save_for_backward(saved);
    saveMask(context, mask);
    context->saved_data["trainsNormBias"] = normBias.has_value() && normBias->requires_grad();
    context->saved_data["hasAddend"] = addend.has_value();
    save(context, x, weights);
    context->set_materialize_grads(false);  // of what nothing else reads
    *rounded = result.rounded;
    variable_list outputs{result.out, result.out.alias()};
    if (givesSum) outputs.push_back(result.sum);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto next = saved.begin() + kAddNormSaved;
    const at::Tensor &input = next[0], &weight = next[1], &normWeight = next[2];
    const OptionalTensor normBias = next[3].defined() ? OptionalTensor(next[3]) : std::nullopt;
    const AddNormGradients norm =
        addNormBackward({gradients[0], gradients[1], gradients.size() > 2 ? gradients[2] : at::Tensor()},
                        {saved.begin(), next}, normWeight, normBias, savedMask(context), weight.scalar_type(),
                        {context->needs_input_grad(kNormWeightPlace),
                         context->saved_data["trainsNormBias"].toBool(), trainsBias(context)});
    const Gradients d = gradientsOf(context, norm.y, input, weight, norm.sumOfY);
    return {d.x,           d.weight,
            norm.residual, norm.weight,
            d.bias,        norm.bias,
            at::Tensor(),  at::Tensor(),
            at::Tensor(),  context->saved_data["hasAddend"].toBool() ? norm.y : at::Tensor(),
            at::Tensor(),  at::Tensor()};
  }

 private:
  static constexpr size_t kNormWeightPlace = 3;  // among the tensors of forward
};

struct NormFused : torch::autograd::Function<NormFused> {
  // Returns the norm, and x once more for what goes beside the layers that follow.
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                               const OptionalTensor& bias, double epsilon, at::ScalarType compute,
                               at::Tensor* rounded) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const AddNormResult result = fusedNorm(x.contiguous(), weight, bias, epsilon, compute);
    variable_list saved = result.saved;
    saved.push_back(weight);
    context->save_for_backward(saved);
    context->saved_data["trainsBias"] = bias.has_value() && bias->requires_grad();
    context->set_materialize_grads(false);
    *rounded = result.rounded;
    return {result.out, x.alias()};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& weight = saved[kAddNormSaved];
    const AddNormGradients d = fusedNormBackward(
        {gradients[0], at::Tensor(), gradients[1]}, {saved.begin(), saved.begin() + kAddNormSaved}, weight,
        {weight.requires_grad(), trainsBias(context), /*sumOfY=*/false});
    return {d.residual, d.weight, d.bias, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor linearLibrary(const Normed& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::Tensor y =
      LinearLibrary::apply(x.forLayers, weights.weight, weights.bias, rounded(weights), Rounded{x.rounded});
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationLibrary(const Normed& x, const LinearWeights& weights, Activation activation,
                                   const at::Tensor& addend) {
  return LinearActivationLibrary::apply(x.forLayers, weights.weight, weights.bias, rounded(weights),
                                        activation, optionalRows(addend), Rounded{x.rounded});
}

at::Tensor linearAddLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                            const Mask& mask, const at::Tensor& addend) {
  return LinearAddLibrary::apply(x, weights.weight, residual, weights.bias, rounded(weights), mask,
                                 optionalRows(addend));
}

Normed linearAddNormLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                            const NormWeights& norm, const Mask& mask, const at::Tensor& addend,
                            at::Tensor* sum) {
  at::Tensor narrow;
  const variable_list results = LinearAddNormLibrary::apply(
      x, weights.weight, residual, norm.weight, weights.bias, norm.bias, rounded(weights), norm.epsilon, mask,
      optionalRows(addend), sum != nullptr, &narrow);
  if (sum != nullptr) *sum = results[2];
  return {results[0], results[1], narrow};
}

Normed normLibrary(const at::Tensor& x, const NormWeights& norm, at::ScalarType compute,
                   at::Tensor* residual) {
  if (!hasFusedNorm(x)) {
    if (residual != nullptr) *residual = x;
    return at::layer_norm(x, norm.weight.sizes(), norm.weight, norm.bias, norm.epsilon);
  }
  at::Tensor narrow;
  const variable_list results = NormFused::apply(x, norm.weight, norm.bias, norm.epsilon, compute, &narrow);
  if (residual != nullptr) *residual = results[1];
  return {results[0], results[0], narrow};
}

}  // namespace bertune
