// The activation between the two matrices of a feed-forward block, and its derivative, through ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/spec.h"

namespace bertune {

// `inPlace`: the result takes the memory of `x`, which nothing may need for a gradient.
at::Tensor activate(Activation activation, at::Tensor x, bool inPlace = false);

// dX from dY; `x` is the input of the activation and `y` its output.
void activateBackwardOut(at::Tensor& dX, Activation activation, const at::Tensor& dY, const at::Tensor& x,
                         const at::Tensor& y);

// activation(z[:, :n]) * z[:, n:] of z [rows, 2 n], as gated linear units have it (Shazeer 2020,
// arXiv 2002.05202). Returns [rows, n].
at::Tensor gatedActivation(Activation activation, const at::Tensor& z);

}  // namespace bertune
