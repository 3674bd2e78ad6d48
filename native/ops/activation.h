// The activation between the two matrices of a feed-forward block, and its derivative, through ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/spec.h"

namespace bertune {

at::Tensor activate(Activation activation, const at::Tensor& x);

// The same into `y`, below autograd.
void activateOut(at::Tensor& y, Activation activation, const at::Tensor& x);

// dX from dY; `x` is the input of the activation and `y` its output.
void activateBackwardOut(at::Tensor& dX, Activation activation, const at::Tensor& dY, const at::Tensor& x,
                         const at::Tensor& y);

// activation(z[:, :n]) * z[:, n:] of z [rows, 2 n], as gated linear units have it (Shazeer 2020,
// arXiv 2002.05202). Returns [rows, n].
at::Tensor gatedActivation(Activation activation, const at::Tensor& z);

}  // namespace bertune
