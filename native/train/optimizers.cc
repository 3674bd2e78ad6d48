// The optimizers, each LibTorch's fused kernel (torch.optim's `fused=True`).
#include <ATen/ATen.h>

#include <memory>
#include <stdexcept>

#include "train/optimizer.h"

namespace bertune {
namespace {

// AdamW's weight decay is decoupled, Adam's an L2 term of the gradient: two kernels with the same arguments.
class Adam : public Optimizer {
 public:
  Adam(Parameters& parameters, bool isDecoupled)
      : Optimizer(parameters, {"exp_avg", "exp_avg_sq"}), isDecoupled_(isDecoupled) {}

 private:
  void apply(UpdateGroup& group, const UpdateOptions& options, double learningRate, double weightDecay,
             const at::Tensor& gradScale, const at::Tensor& foundInf) const override {
    using Kernel = void (*)(at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList,
                            at::TensorList, double, double, double, double, double, bool, bool,
                            const std::optional<at::Tensor>&, const std::optional<at::Tensor>&);
    const Kernel update = isDecoupled_ ? Kernel(at::_fused_adamw_) : Kernel(at::_fused_adam_);
    update(group.weights, group.gradients, group.state[0], group.state[1], /*max_exp_avg_sqs=*/{},
           group.steps, learningRate, options.beta1, options.beta2, weightDecay, options.epsilon,
           /*amsgrad=*/false,
           /*maximize=*/false, gradScale, foundInf);
  }

  std::unique_ptr<fused::Adam> fusedFor(const std::vector<fused::UpdateSlice>& slices,
                                        const Parameters& parameters, const std::vector<at::Tensor>& state,
                                        const at::Tensor& steps) const override {
    const fused::FlatTensors flat{parameters.flatWeights(), parameters.flatGradients(), state[0], state[1]};
    return std::make_unique<fused::Adam>(slices, flat, steps, isDecoupled_);
  }

  bool isDecoupled_;
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
             const at::Tensor& gradScale, const at::Tensor& foundInf) const override {
    const at::TensorList buffers = momentum_ > 0 ? at::TensorList(group.state[0]) : at::TensorList();
    at::_fused_sgd_(group.weights, group.gradients, buffers, weightDecay, momentum_, learningRate,
                    /*dampening=*/0, /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false,
                    gradScale, foundInf);
  }

  double momentum_;
};

class Adagrad : public Optimizer {
 public:
  explicit Adagrad(Parameters& parameters) : Optimizer(parameters, {"sum"}) {}

 private:
  void apply(UpdateGroup& group, const UpdateOptions& options, double learningRate, double weightDecay,
             const at::Tensor& gradScale, const at::Tensor& foundInf) const override {
    at::_fused_adagrad_(group.weights, group.gradients, group.state[0], group.steps, learningRate,
                        /*lr_decay=*/0, weightDecay, options.epsilon, /*maximize=*/false, gradScale,
                        foundInf);
  }
};

}  // namespace

std::unique_ptr<Optimizer> makeOptimizer(Parameters& parameters, const OptimizerOptions& options) {
  if (options.name == "adamw") return std::make_unique<Adam>(parameters, /*isDecoupled=*/true);
  if (options.name == "adam") return std::make_unique<Adam>(parameters, /*isDecoupled=*/false);
  if (options.name == "sgd") return std::make_unique<Sgd>(parameters, options.momentum);
  if (options.name == "adagrad") return std::make_unique<Adagrad>(parameters);
  throw std::invalid_argument("there is no optimizer '" + options.name +
                              "'; there are adamw, adam, sgd and adagrad");
}

}  // namespace bertune
