// The optimizers, each LibTorch's fused kernel (torch.optim's `fused=True`).
#include <ATen/ATen.h>

#include <memory>
#include <stdexcept>

#include "optimizer.h"

namespace bertune {
namespace {

class AdamW : public Optimizer {
 public:
  explicit AdamW(const Model& model) : Optimizer(model, {"exp_avg", "exp_avg_sq"}) {}

 private:
  void apply(TensorGroup& group, const UpdateOptions& options, const at::Tensor& shrink,
             const at::Tensor& isBad) const override {
    at::_fused_adamw_(group.weights, group.gradients, group.state[0], group.state[1], {}, group.steps,
                      group.learningRate, options.beta1, options.beta2, group.weightDecay, options.epsilon,
                      /*amsgrad=*/false, /*maximize=*/false, shrink, isBad);
  }
};

class Adam : public Optimizer {
 public:
  explicit Adam(const Model& model) : Optimizer(model, {"exp_avg", "exp_avg_sq"}) {}

 private:
  void apply(TensorGroup& group, const UpdateOptions& options, const at::Tensor& shrink,
             const at::Tensor& isBad) const override {
    at::_fused_adam_(group.weights, group.gradients, group.state[0], group.state[1], {}, group.steps,
                     group.learningRate, options.beta1, options.beta2, group.weightDecay, options.epsilon,
                     /*amsgrad=*/false, /*maximize=*/false, shrink, isBad);
  }
};

// A momentum buffer that begins at zero is torch's, which begins with the first gradient: dampening is 0.
class Sgd : public Optimizer {
 public:
  Sgd(const Model& model, double momentum)
      : Optimizer(model,
                  momentum > 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{}),
        momentum_(momentum) {}

 private:
  void apply(TensorGroup& group, const UpdateOptions&, const at::Tensor& shrink,
             const at::Tensor& isBad) const override {
    const at::TensorList buffers = momentum_ > 0 ? at::TensorList(group.state[0]) : at::TensorList();
    at::_fused_sgd_(group.weights, group.gradients, buffers, group.weightDecay, momentum_, group.learningRate,
                    /*dampening=*/0, /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false, shrink,
                    isBad);
  }

  double momentum_;
};

class Adagrad : public Optimizer {
 public:
  explicit Adagrad(const Model& model) : Optimizer(model, {"sum"}) {}

 private:
  void apply(TensorGroup& group, const UpdateOptions& options, const at::Tensor& shrink,
             const at::Tensor& isBad) const override {
    at::_fused_adagrad_(group.weights, group.gradients, group.state[0], group.steps, group.learningRate,
                        /*lr_decay=*/0, group.weightDecay, options.epsilon, /*maximize=*/false, shrink,
                        isBad);
  }
};

}  // namespace

std::unique_ptr<Optimizer> makeOptimizer(const Model& model, const OptimizerOptions& options) {
  if (options.name == "adamw") return std::make_unique<AdamW>(model);
  if (options.name == "adam") return std::make_unique<Adam>(model);
  if (options.name == "sgd") return std::make_unique<Sgd>(model, options.momentum);
  if (options.name == "adagrad") return std::make_unique<Adagrad>(model);
  throw std::invalid_argument("there is no optimizer '" + options.name +
                              "'; there are adamw, adam, sgd and adagrad");
}

}  // namespace bertune
