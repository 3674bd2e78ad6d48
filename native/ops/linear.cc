#include "ops/linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/brgemm.h"
#include "ops/linear_backward.h"
#include "ops/linear_tiles.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Slices = std::vector<std::pair<at::Tensor*, at::DimVector>>;

// Makes tensors of these shapes, as slices of one new allocation.
void allocate(const Slices& slices, at::ScalarType type, at::Device device) {
  constexpr int64_t alignment = 64;  // bytes
  const int64_t step = alignment / static_cast<int64_t>(c10::elementSize(type));
  int64_t total = 0, first = 0;
  for (const auto& [slice, shape] : slices) {
    slice->reset();  // frees the old allocation before there is a new one
    total += roundUp(c10::multiply_integers(shape), step);
  }
  const at::Tensor all = at::empty({total}, at::TensorOptions().dtype(type).device(device));
  for (const auto& [slice, shape] : slices) {
    const int64_t size = c10::multiply_integers(shape);
    *slice = all.narrow(0, first, size).view(shape);
    first += roundUp(size, step);
  }
}

struct Linear : torch::autograd::Function<Linear> {
  // `stored`: the input again, as the backward pass reads it.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& values, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const LinearWeights& weights,
                            const std::optional<at::Tensor>& addend, LinearInput::Kind kind,
                            const LinearInput& stored) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const LinearInput x(values, kind);
    at::Tensor y = at::empty({x.rows(), weights.rows}, weights.operands.type);
    const at::Tensor offsets = biasOrZeros(bias, weights.rows), packed = forwardOperand(weights);
    withType(y.scalar_type(), [&](auto zero) { compute<decltype(zero)>(y, x, offsets, packed, addend); });
    saveLayer(context, stored, weight, weights);
    context->saved_data["hasBias"] = bias.has_value();
    context->saved_data["hasAddend"] = addend.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const LinearInput x = inputOf(context, saved);
    const at::Tensor dY = gradients[0].contiguous(), packed = backwardOperand(context, saved);
    const RowRanges ranges(dY.size(0));
    at::Tensor dX = emptyInputGradient(context, x), dBias = rangeSums(ranges, dY.size(1));
    withType(dY.scalar_type(),
             [&](auto zero) { computeBackward<decltype(zero)>(dX, dBias, x, dY, packed, ranges); });
    return {dX,
            storeWeightGradient(context, dY, x),
            context->saved_data["hasBias"].toBool() ? dBias.sum(0) : at::Tensor(),
            at::Tensor(),
            context->saved_data["hasAddend"].toBool() ? dY : at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& y, const LinearInput& x, const at::Tensor& bias, const at::Tensor& packed,
                      const std::optional<at::Tensor>& addend) {
    const Rows<T> target(y);
    const auto* offset = bias.const_data_ptr<float>();
    forEachTile<T>(x, packed, target.columns(),
                   [&](int64_t first, int64_t rows, int64_t column, int64_t columns, float* tile) {
                     addRows<T>(tile, kTile, addend, first, rows, column, columns);
                     for (int64_t i = 0; i < rows; ++i)
                       rowKernels().addBias(target[first + i] + column, tile + i * kTile, offset + column,
                                            columns);
                   });
  }

  template <typename T>
  static void computeBackward(at::Tensor& dX, at::Tensor& dBias, const LinearInput& x, const at::Tensor& dY,
                              const at::Tensor& packed, const RowRanges& ranges) {
    const Rows<float> sums(dBias);
    const Rows<const T> gradients(dY);
    ranges.forEach([&](int64_t range, int64_t begin, int64_t count) {
      InputGradient<T> input(dX, x, dY, packed);
      forEachBlock(begin, count, input.rowsOfBlock(), [&](int64_t first, int64_t rows) {
        for (int64_t i = first; i < first + rows; ++i)
          rowKernels().add(sums[range], gradients[i], gradients.columns());
        input.compute(first, rows);
      });
    });
  }
};

}  // namespace

OperandBuilder::OperandBuilder(at::ScalarType type, at::Device device, bool packsWhenRead)
    : type_(type), usesTiles_(device.is_cpu() && hasBrgemm(type)), packsWhenRead_(packsWhenRead) {}

void OperandBuilder::add(LinearOperands& operands, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, int64_t version, bool wantsBackward) {
  operands.type = type_;
  const auto known = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const Request& each) { return each.operands == &operands; });
  if (known == requests_.end()) {
    requests_.push_back({&operands, weight, bias, version, wantsBackward});
  } else {
    known->wantsBackward = known->wantsBackward || wantsBackward;
    ++known->runs;
  }
}

void OperandBuilder::finish() {
  if (usesTiles_) {
    leaveToProducts();
    return pack();
  }
  if (rounds()) return round();
  for (const Request& request : requests_) {
    request.operands->weight = request.weight;
    request.operands->bias = request.bias.value_or(at::Tensor());
  }
}

void OperandBuilder::leaveToProducts() {
  for (const Request& request : requests_) {
    LinearOperands& operands = *request.operands;
    operands.packsWhenRead = packsWhenRead_ && request.runs == 1;
    if (!operands.packsWhenRead) continue;
    operands.packed = {};
    operands.forwardVersion = operands.backwardVersion = -1;
  }
  std::erase_if(requests_, [](const Request& request) { return request.operands->packsWhenRead; });
}

void OperandBuilder::pack() {
  Slices forward, backward;
  bool lacksForward = false, lacksBackward = false;
  for (const auto& [operands, weight, bias, version, wantsBackward, runs] : requests_) {
    forward.push_back({&operands->packed.forward, forwardShape(weight, type_)});
    lacksForward = lacksForward || !operands->packed.forward.defined();
    if (!wantsBackward) continue;
    backward.push_back({&operands->packed.backward, backwardShape(weight, type_)});
    lacksBackward = lacksBackward || !operands->packed.backward.defined();
  }
  if (lacksForward) {
    for (const Request& request : requests_) request.operands->forwardVersion = -1;
    allocate(forward, type_, at::kCPU);
  }
  if (lacksBackward) {
    for (const Request& request : requests_) {
      request.operands->backwardVersion = -1;
      request.operands->packed.backward.reset();
    }
    allocate(backward, type_, at::kCPU);
  }
  for (const auto& [operands, weight, bias, version, wantsBackward, runs] : requests_) {
    if (operands->forwardVersion != version) packForward(operands->packed.forward, weight);
    operands->forwardVersion = version;
    if (!wantsBackward) continue;
    if (operands->backwardVersion != version) packBackward(operands->packed.backward, weight);
    operands->backwardVersion = version;
  }
}

const at::Tensor& OperandBuilder::rounded(Parameter& parameter) {
  if (!parameter.rounded.defined()) {
    parameter.rounded = at::empty(parameter.value.sizes(), parameter.value.options().dtype(type_));
    parameter.roundedVersion = -1;
  }
  const bool isKnown = std::find(outdated_.begin(), outdated_.end(), &parameter) != outdated_.end();
  if (parameter.roundedVersion != parameter.version && !isKnown) outdated_.push_back(&parameter);
  return parameter.rounded;
}

void OperandBuilder::round() {
  std::vector<at::Tensor> targets, sources;
  for (const Parameter* parameter : outdated_) {
    targets.push_back(parameter->rounded);
    sources.push_back(parameter->value.detach());
  }
  if (!targets.empty()) at::_foreach_copy_(targets, sources);
  for (Parameter* parameter : outdated_) parameter->roundedVersion = parameter->version;
}

at::Tensor LinearInput::tensor() const {
  switch (kind) {
    case Kind::Gelu:
      return activate(Activation::Gelu, values);
    case Kind::GatedGelu:
      return gatedActivation(Activation::Gelu, values);
    case Kind::Norm:
      return at::addcmul(bias, values.to(bias.scalar_type()), weight);
    case Kind::Values:
      break;
  }
  return values;
}

at::Tensor linear(const LinearInput& x, const LinearWeights& weights, const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearLibrary(x.tensor(), weights, addend);
  const LinearInput rows(x.values.contiguous(), x.kind);
  return Linear::apply(rows.values, weights.weight, weights.bias, weights, optionalRows(addend), rows.kind,
                       rows);
}

at::Tensor linear(const Normed& x, const LinearWeights& weights, const at::Tensor& addend) {
  if (!usesTiles(weights)) return linearLibrary(x, weights, addend);
  if (x.stored.kind != LinearInput::Kind::Norm) return linear(LinearInput(x.values), weights, addend);
  return Linear::apply(x.values, weights.weight, weights.bias, weights, optionalRows(addend),
                       LinearInput::Kind::Values, x.stored);
}

LinearInput linearActivation(const Normed& x, const LinearWeights& weights, Activation activation,
                             const at::Tensor& addend, bool isGated) {
  using Kind = LinearInput::Kind;
  if (!usesTiles(weights) && !isGated) return linearActivationLibrary(x, weights, activation, addend);
  const at::Tensor z = linear(x, weights, addend);
  if (activation == Activation::Gelu && usesTiles(weights))
    return {z, isGated ? Kind::GatedGelu : Kind::Gelu};
  if (isGated) return gatedActivation(activation, z);
  return activate(activation, z, /*inPlace=*/!at::GradMode::is_enabled());
}

}  // namespace bertune
