#include "ops/activation.h"

#include <ATen/ATen.h>

namespace bertune {

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::Gelu:
      return at::gelu(x);
    case Activation::GeluTanh:
      return at::gelu(x, "tanh");
    case Activation::Relu:
      return at::relu(x);
    case Activation::Silu:
      return at::silu(x);
    case Activation::Tanh:
      return at::tanh(x);
  }
  return {};
}

void activateOut(at::Tensor& y, Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::Gelu:
      at::gelu_out(y, x);
      break;
    case Activation::GeluTanh:
      at::gelu_out(y, x, "tanh");
      break;
    case Activation::Relu:
      at::relu_out(y, x);
      break;
    case Activation::Silu:
      at::silu_out(y, x);
      break;
    case Activation::Tanh:
      at::tanh_out(y, x);
      break;
  }
}

void activateBackwardOut(at::Tensor& dX, Activation activation, const at::Tensor& dY, const at::Tensor& x,
                         const at::Tensor& y) {
  switch (activation) {
    case Activation::Gelu:
      at::gelu_backward_out(dX, dY, x);
      break;
    case Activation::GeluTanh:
      at::gelu_backward_out(dX, dY, x, "tanh");
      break;
    case Activation::Relu:
      at::threshold_backward_out(dX, dY, y, 0);
      break;
    case Activation::Silu:
      at::silu_backward_out(dX, dY, x);
      break;
    case Activation::Tanh:
      at::tanh_backward_out(dX, dY, y);
      break;
  }
}

}  // namespace bertune
