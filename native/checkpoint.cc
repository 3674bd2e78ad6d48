#include "checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/intrusive_ptr.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <utility>

namespace bertune {
namespace {

using Layer = std::function<at::Tensor(const at::Tensor&)>;
using torch::autograd::variable_list;

// A node of its own rather than a torch::autograd::Function: the layer's weights get their gradients though
// only x is an input, even where x needs none.
struct RunAgain : torch::autograd::Node {
  RunAgain(Layer run, const at::Tensor& x)
      : Node(torch::autograd::collect_next_edges(x)), layer(std::move(run)), input(x.detach()) {}

  variable_list apply(variable_list&& gradients) override {
    const at::AutoGradMode guard(true);
    const at::Tensor x = input.detach().set_requires_grad(task_should_compute_output(0));
    torch::autograd::backward({layer(x)}, {gradients[0]});
    return {x.grad()};
  }

  void release_variables() override {
    layer = nullptr;
    input.reset();
  }

  Layer layer;
  at::Tensor input;
};

}  // namespace

at::Tensor checkpoint(Layer layer, const at::Tensor& x) {
  at::Tensor y;
  {
    const at::NoGradGuard guard;
    y = layer(x);
  }
  torch::autograd::set_history(y, c10::make_intrusive<RunAgain>(std::move(layer), x));
  return y;
}

}  // namespace bertune
