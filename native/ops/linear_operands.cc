#include <ATen/ATen.h>

#include <utility>

#include "ops/brgemm.h"
#include "ops/linear.h"

namespace bertune {

OperandBuilder::OperandBuilder(at::ScalarType type, at::Device device)
    : type_(type), usesTiles_(device.is_cpu() && hasTileProducts(type)) {}

void OperandBuilder::add(LinearOperands& operands, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, int64_t version, bool wantsBackward) {
  operands.type = type_;
  if (usesTiles_) {
    if (operands.forwardVersion != version) {
      operands.packed.forward.reset();  // gives its memory to the new one
      operands.packed.forward = packForward(weight, type_);
      operands.forwardVersion = version;
    }
    if (wantsBackward && operands.backwardVersion != version) {
      operands.packed.backward.reset();
      operands.packed.backward = packBackward(weight, type_);
      operands.backwardVersion = version;
    }
    return;
  }
  if (operands.forwardVersion == version) return;
  if (type_ == at::kFloat) {
    operands.weight = weight;
    operands.bias = bias.value_or(at::Tensor());
  } else {
    const auto round = [&](at::Tensor& target, const at::Tensor& source) {
      if (!target.defined()) target = at::empty_like(source, type_);
      targets_.push_back(target);
      sources_.push_back(source);
    };
    round(operands.weight, weight);
    if (bias.has_value()) round(operands.bias, *bias);
  }
  rounded_.emplace_back(&operands, version);
}

void OperandBuilder::finish() {
  if (!targets_.empty()) at::_foreach_copy_(targets_, sources_);
  // Last: memory may have run out before.
  for (const auto& [operands, version] : rounded_) operands->forwardVersion = version;
}

}  // namespace bertune
