#include "model/gradient_checkpointing.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/intrusive_ptr.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <memory>
#include <type_traits>
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

// What autograd holds its nodes by: std::shared_ptr in LibTorch 2.11, c10::intrusive_ptr in later ones.
using NodePointer = decltype(torch::autograd::Edge::function);

template <typename Pointer, typename... Arguments>
Pointer makeNode(Arguments&&... arguments) {
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<torch::autograd::Node>>)
    return std::make_shared<RunAgain>(std::forward<Arguments>(arguments)...);
  else
    return c10::make_intrusive<RunAgain>(std::forward<Arguments>(arguments)...);
}

}  // namespace

at::Tensor checkpoint(Layer layer, const at::Tensor& x) {
  at::Tensor y;
  {
    const at::NoGradGuard guard;
    y = layer(x);
  }
  torch::autograd::set_history(y, makeNode<NodePointer>(std::move(layer), x));
  return y;
}

}  // namespace bertune
