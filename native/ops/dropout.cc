#include "ops/dropout.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "core/device.h"
#include "core/phases.h"
#include "ops/fused.h"
#include "ops/fused_device.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SavedMask : torch::CustomClassHolder {
  explicit SavedMask(const Mask& mask) : mask(mask) {}
  Mask mask;
};

constexpr int64_t kWord = 0xffffffff;
constexpr int64_t kRowsPerTask = 64;

at::Tensor mix32(at::Tensor x, const at::Tensor& second = {}) {
  x = (x.bitwise_xor(x.__rshift__(16)) * 0x7feb352d).bitwise_and(kWord);
  x = x.bitwise_xor(x.__rshift__(15));
  if (second.defined()) x = (x + second).bitwise_and(kWord);
  x = (x * 0x846ca68b).bitwise_and(kWord);
  return x.bitwise_xor(x.__rshift__(16));
}

at::Tensor onCpu(const at::Tensor& x, const at::Tensor& residual, const Mask& mask) {
  const phases::Scope phase(phases::Phase::ElementWise);
  at::Tensor out = at::empty_like(x);
  const int64_t columns = x.size(1);
  auto* target = out.mutable_data_ptr<float>();
  const auto* source = x.const_data_ptr<float>();
  const auto* added = residual.defined() ? residual.const_data_ptr<float>() : nullptr;
  at::parallel_for(0, x.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = row * columns;
      rowKernels().dropoutAdd(target + first, source + first, added == nullptr ? nullptr : added + first,
                              columns, mask, row);
    }
  });
  return out;
}

at::Tensor drawnElements(const Mask& mask, int64_t rows, int64_t columns, at::Device device) {
  return at::empty({rows, columns}, at::TensorOptions().dtype(at::kBool).device(device))
      .bernoulli_(1.0 - mask.probability(), generatorFor(mask, device));
}

// Null where there are none for such tensors. Forward and backward ask the same question.
const cuda::Kernels* kernelsFor(const at::Tensor& x, const at::Tensor& residual) {
  const at::ScalarType type = x.scalar_type();
  const bool isOfType = type == at::kFloat || (type == at::kBFloat16 && !residual.defined());
  return isOfType && x.dim() == 2 && fused::takes(x.size(1)) ? fused::kernelsOf(x.device()) : nullptr;
}

at::Tensor compute(const at::Tensor& x, const at::Tensor& residual, const Mask& mask) {
  if (const auto* kernels = kernelsFor(x, residual)) {
    if (x.scalar_type() == at::kBFloat16) return fused::dropoutOf(*kernels, x.contiguous(), mask);
    return fused::dropoutAdd(*kernels, x.contiguous(), residual.defined() ? residual.contiguous() : residual,
                             mask);
  }
  if (!x.is_cpu()) return dropoutAddDrawn(x, residual, mask);
  if (x.scalar_type() == at::kFloat)
    return onCpu(x.contiguous(), residual.defined() ? residual.contiguous() : residual, mask);
  // bfloat16 cannot represent the factors: the result is rounded, not they.
  const at::Tensor kept = (x * maskTensor(mask, x.size(0), x.size(1), x.device())).to(x.scalar_type());
  return residual.defined() ? kept + residual : kept;
}

// Keeps the mask's few numbers instead of the mask.
struct DropoutAdd : torch::autograd::Function<DropoutAdd> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& residual, const Mask& mask) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->saved_data["hasResidual"] = residual.has_value();
    saveMask(context, mask);
    return compute(x, residual.value_or(at::Tensor()), mask);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const bool hasResidual = context->saved_data["hasResidual"].toBool();
    return {compute(gradients[0], {}, savedMask(context)), hasResidual ? gradients[0] : at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

void saveMask(AutogradContext* context, const Mask& mask) {
  context->saved_data["mask"] = c10::IValue::make_capsule(c10::make_intrusive<SavedMask>(mask));
}

Mask savedMask(AutogradContext* context) {
  return c10::static_intrusive_pointer_cast<SavedMask>(context->saved_data["mask"].toCapsule())->mask;
}

at::Tensor hashTensor(const Mask& mask, int64_t rows, int64_t columns, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  std::vector<int64_t> numbers;
  for (int64_t i = 0; mask.places != nullptr && i < rows; ++i) numbers.push_back(mask.number(i));
  const at::Tensor number =
      numbers.empty() ? at::arange(rows, options) + mask.firstRow : at::tensor(numbers, at::kLong).to(device);
  const at::Tensor row = number.bitwise_and(kWord).unsqueeze(1);
  const at::Tensor column = (at::arange(columns, options) * 0x9e3779b9).bitwise_and(kWord);
  const at::Tensor first = mix32((row + static_cast<int64_t>(mask.first)).bitwise_and(kWord));
  const at::Tensor second =
      mix32((row.bitwise_xor(0x9e3779b9) + static_cast<int64_t>(mask.second)).bitwise_and(kWord));
  return mix32((column + first).bitwise_and(kWord), second);
}

at::Tensor maskTensor(const Mask& mask, int64_t rows, int64_t columns, at::Device device) {
  const at::Tensor bits = hashTensor(mask, rows, columns, device);
  return bits.ge(static_cast<int64_t>(mask.threshold)).to(at::kFloat) * static_cast<double>(mask.scale);
}

at::Tensor keptElements(const Mask& mask, int64_t rows, int64_t columns, at::Device device) {
  if (device.is_cpu()) return onCpu(at::ones({rows, columns}), {}, mask).ne(0);
  return drawnElements(mask, rows, columns, device);
}

at::Tensor dropoutAddDrawn(const at::Tensor& x, const at::Tensor& residual, const Mask& mask) {
  const at::Tensor kept = drawnElements(mask, x.size(0), x.size(1), x.device());
  if (!residual.defined()) return at::native_dropout_backward(x, kept, mask.scale);  // x * kept * scale
  return at::addcmul(residual, x, kept, mask.scale);
}

at::Tensor dropoutAdd(const at::Tensor& x, const at::Tensor& residual, const Mask& mask) {
  if (mask.dropsNothing()) return residual.defined() ? x + residual : x;
  return DropoutAdd::apply(x, residual.defined() ? std::optional(residual) : std::nullopt, mask);
}

}  // namespace bertune
