#include "ops/projection.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/fused.h"
#include "ops/fused_device.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const cuda::Kernels* kernelsFor(const at::Tensor& x, int64_t headSize, bool isRotary) {
  const bool isOfType = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  return isOfType && fused::takesHeads(headSize, isRotary) ? fused::kernelsOf(x.device()) : nullptr;
}

struct Rotate : torch::autograd::Function<Rotate> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected, const at::Tensor& table,
                            const at::Tensor& positions) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    at::Tensor turned = projected.alias();
    fused::rotate(*fused::kernelsOf(projected.device()), turned, {table, positions});
    context->save_for_backward({table, positions});
    return turned;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor dTurned = gradients[0].contiguous();
    return {fused::packProjection(*fused::kernelsOf(dTurned.device()), dTurned.unbind(1), dTurned.size(3),
                                  fused::Rotary{saved[0], saved[1]}),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool hasFusedRotation(const at::Tensor& projected) {
  return kernelsFor(projected, projected.size(3), /*isRotary=*/true) != nullptr;
}

at::Tensor rotatedProjection(const at::Tensor& projected, const at::Tensor& table,
                             const at::Tensor& positions) {
  return Rotate::apply(projected.contiguous(), table, positions);
}

at::Tensor joinedParts(const std::vector<at::Tensor>& parts, int64_t headSize) {
  if (const auto* kernels = kernelsFor(parts[0], headSize, /*isRotary=*/false))
    return fused::packProjection(*kernels, parts, headSize, std::nullopt);
  return at::stack(parts, 1).narrow(3, 0, headSize);
}

}  // namespace bertune
