#include "ops/activation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/phases.h"
#include "ops/fused.h"
#include "ops/fused_device.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 64;

// body(row) for all rows, on all threads.
template <typename Body>
void forEachRow(int64_t rows, const Body& body) {
  const phases::Scope phase(phases::Phase::ElementWise);
  at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

struct GatedGelu : torch::autograd::Function<GatedGelu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& z) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({z});
    at::Tensor y = at::empty({z.size(0), z.size(1) / 2}, z.options());
    if (z.scalar_type() == at::kFloat)
      compute<float>(y, z);
    else
      compute<at::BFloat16>(y, z);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor z = context->get_saved_variables()[0], dY = gradients[0].contiguous();
    at::Tensor dZ = at::empty_like(z);
    if (z.scalar_type() == at::kFloat)
      computeBackward<float>(dZ, dY, z);
    else
      computeBackward<at::BFloat16>(dZ, dY, z);
    return {dZ};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& y, const at::Tensor& z) {
    const int64_t n = y.size(1);
    T* target = y.mutable_data_ptr<T>();
    const T* source = z.const_data_ptr<T>();
    forEachRow(y.size(0), [&](int64_t row) {
      const T* first = source + row * 2 * n;
      rowKernels().gatedGelu(target + row * n, first, first + n, n);
    });
  }

  template <typename T>
  static void computeBackward(at::Tensor& dZ, const at::Tensor& dY, const at::Tensor& z) {
    const int64_t n = dY.size(1);
    T* target = dZ.mutable_data_ptr<T>();
    const T *gradient = dY.const_data_ptr<T>(), *source = z.const_data_ptr<T>();
    forEachRow(dY.size(0), [&](int64_t row) {
      const int64_t first = row * 2 * n;
      rowKernels().gatedGeluBackward(target + first, target + first + n, gradient + row * n, source + first,
                                     source + first + n, n);
    });
  }
};

// Null where there are none for so many columns. Forward and backward ask the same question.
const cuda::Kernels* kernelsFor(const at::Tensor& z, int64_t columns) {
  const at::ScalarType type = z.scalar_type();
  const bool isTaken = (type == at::kFloat || type == at::kBFloat16) && fused::takes(columns);
  return isTaken ? fused::kernelsOf(z.device()) : nullptr;
}

struct GatedFused : torch::autograd::Function<GatedFused> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& z, Activation activation) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({z});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    return fused::activated(*fused::kernelsOf(z.device()), {activation, true}, z, {});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor z = context->get_saved_variables()[0];
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    return {fused::activatedBackward(*fused::kernelsOf(z.device()), {activation, true},
                                     gradients[0].contiguous(), z, {}, {}),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor activate(Activation activation, at::Tensor x, bool inPlace) {
  switch (activation) {
    case Activation::Gelu:
      return inPlace ? at::gelu_(x) : at::gelu(x);
    case Activation::GeluTanh:
      return inPlace ? at::gelu_(x, "tanh") : at::gelu(x, "tanh");
    case Activation::Relu:
      return inPlace ? at::relu_(x) : at::relu(x);
    case Activation::Silu:
      return inPlace ? at::silu_(x) : at::silu(x);
    case Activation::Tanh:
      return inPlace ? at::tanh_(x) : at::tanh(x);
  }
  return {};
}

std::pair<at::Tensor, at::Tensor> activateBackward(Activation activation, const at::Tensor& dY,
                                                   const at::Tensor& z, const at::Tensor& y, bool wantsSums) {
  if (const auto* kernels = kernelsFor(z, z.size(1))) {
    const fused::Sums sums{wantsSums ? at::empty({z.size(1)}, z.options().dtype(at::kFloat)) : at::Tensor()};
    return {
        fused::activatedBackward(*kernels, {activation, false}, dY.contiguous(), z.contiguous(), {}, sums),
        sums.values};
  }
  const at::Tensor dZ = activateBackwardLibrary(activation, dY, z, y);
  return {dZ, wantsSums ? dZ.sum(at::IntArrayRef{0}, /*keepdim=*/false, at::kFloat) : at::Tensor()};
}

at::Tensor activateBackwardLibrary(Activation activation, const at::Tensor& dY, const at::Tensor& z,
                                   const at::Tensor& y) {
  at::Tensor dZ = at::empty_like(z);
  switch (activation) {
    case Activation::Gelu:
      at::gelu_backward_out(dZ, dY, z);
      break;
    case Activation::GeluTanh:
      at::gelu_backward_out(dZ, dY, z, "tanh");
      break;
    case Activation::Relu:
      at::threshold_backward_out(dZ, dY, y, 0);
      break;
    case Activation::Silu:
      at::silu_backward_out(dZ, dY, z);
      break;
    case Activation::Tanh:
      at::tanh_backward_out(dZ, dY, y);
      break;
  }
  return dZ;
}

at::Tensor gatedActivation(Activation activation, const at::Tensor& z) {
  if (kernelsFor(z, z.size(1) / 2) != nullptr) return GatedFused::apply(z.contiguous(), activation);
  const at::ScalarType type = z.scalar_type();
  if (activation == Activation::Gelu && z.is_cpu() && (type == at::kFloat || type == at::kBFloat16))
    return GatedGelu::apply(z.contiguous());
  const std::vector<at::Tensor> halves = z.chunk(2, 1);
  return activate(activation, halves[0]) * halves[1];
}

}  // namespace bertune
