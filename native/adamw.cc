#include <ATen/ATen.h>

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

}  // namespace

std::unique_ptr<Optimizer> makeAdamW(const Model& model) { return std::make_unique<AdamW>(model); }

}  // namespace bertune
