// The optimizers, each LibTorch's fused kernel (torch.optim's `fused=True`).
#include <ATen/ATen.h>

#include <memory>
#include <stdexcept>

#include "train/optimizer.h"

namespace bertune {
namespace {

class AdamW : public Optimizer {
 public:
  explicit AdamW(Parameters& parameters) : Optimizer(parameters, {"exp_avg", "exp_avg_sq"}) {}

 private:
  void apply(UpdateGroup& group, const UpdateOptions& options, double learningRate, double weightDecay,
             const at::Tensor& shrink, const at::Tensor& isBad) const override {
    at::_fused_adamw_(group.weights, group.gradients, group.state[0], group.state[1], {}, group.steps,
                      learningRate, options.beta1, options.beta2, weightDecay, options.epsilon,
                      /*amsgrad=*/false, /*maximize=*/false, shrink, isBad);
  }
};

class Adam : public Optimizer {
 public:
  explicit Adam(Parameters& parameters) : Optimizer(parameters, {"exp_avg", "exp_avg_sq"}) {}

 private:
  void apply(UpdateGroup& group, const UpdateOptions& options, double learningRate, double weightDecay,
             const at::Tensor& shrink, const at::Tensor& isBad) const override {
    at::_fused_adam_(group.weights, group.gradients, group.state[0], group.state[1], {}, group.steps,
                     learningRate, options.beta1, options.beta2, weightDecay, options.epsilon,
                     /*amsgrad=*/false, /*maximize=*/false, shrink, isBad);
  }
};

// A momentum buffer that begins at zero is torch's, which begins with the first gradient: dampening is 0.
class Sgd : public Optimizer {
 public:
  Sgd(Parameters& parameters, double momentum)
      : Optimizer(parameters,
                  momentum > 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{}),
        momentum_(momentum) {}

 private:
  void apply(UpdateGroup& group, const UpdateOptions&, double learningRate, double weightDecay,
             const at::Tensor& shrink, const at::Tensor& isBad) const override {
    const at::TensorList buffers = momentum_ > 0 ? at::TensorList(group.state[0]) : at::TensorList();
    at::_fused_sgd_(group.weights, group.gradients, buffers, weightDecay, momentum_, learningRate,
                    /*dampening=*/0, /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false, shrink,
                    isBad);
  }

  double momentum_;
};

class Adagrad : public Optimizer {
 public:
  explicit Adagrad(Parameters& parameters) : Optimizer(parameters, {"sum"}) {}

 private:
  void apply(UpdateGroup& group, const UpdateOptions& options, double learningRate, double weightDecay,
             const at::Tensor& shrink, const at::Tensor& isBad) const override {
    at::_fused_adagrad_(group.weights, group.gradients, group.state[0], group.steps, learningRate,
                        /*lr_decay=*/0, weightDecay, options.epsilon, /*maximize=*/false, shrink, isBad);
  }
};

}  // namespace

std::unique_ptr<Optimizer> makeOptimizer(Parameters& parameters, const OptimizerOptions& options) {
  if (options.name == "adamw") return std::make_unique<AdamW>(parameters);
  if (options.name == "adam") return std::make_unique<Adam>(parameters);
  if (options.name == "sgd") return std::make_unique<Sgd>(parameters, options.momentum);
  if (options.name == "adagrad") return std::make_unique<Adagrad>(parameters);
  throw std::invalid_argument("there is no optimizer '" + options.name +
                              "'; there are adamw, adam, sgd and adagrad");
}

}  // namespace bertune
