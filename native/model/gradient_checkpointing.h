// Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): a layer keeps its input only and runs again in
// the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace bertune {

// layer(x), differentiable in x and in all that the layer reads. `layer` must give the same result each time
// (its dropout masks are functions of the step), and what it refers to must live until the backward pass.
at::Tensor checkpoint(std::function<at::Tensor(const at::Tensor&)> layer, const at::Tensor& x);

}  // namespace bertune
