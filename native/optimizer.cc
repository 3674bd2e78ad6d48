#include "optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <stdexcept>

namespace bertune {

AdamW::AdamW(const Model& model) : model_(model) {
  for (const auto& parameter : model.parameters()) {
    expAvg_.push_back(at::zeros_like(parameter.weight));
    expAvgSq_.push_back(at::zeros_like(parameter.weight));
  }
  const auto scalar = at::TensorOptions().dtype(at::kFloat).device(model.device());
  step_ = at::zeros({}, scalar);
  skipped_ = at::zeros({}, scalar);
  gradNorm_ = at::zeros({}, scalar);
}

void AdamW::update(const UpdateOptions& options) {
  const at::NoGradGuard guard;
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : model_.parameters())
    if (parameter.weight.grad().defined()) gradients.push_back(parameter.weight.grad());
  if (gradients.empty()) throw std::logic_error("update was called before any accumulate");

  gradNorm_ = at::stack(at::_foreach_norm(gradients)).norm();
  const at::Tensor isBad = at::isfinite(gradNorm_).logical_not().to(at::kFloat);
  // The fused kernel divides gradients by its grad_scale: the inverse of torch's clip coefficient
  // max_norm / (norm + 1e-6), at least 1, clips without a pass of its own.
  const at::Tensor shrink = options.maxGradNorm > 0
                                ? ((gradNorm_ + 1e-6) / options.maxGradNorm).clamp_min(1.0)
                                : at::ones_like(gradNorm_);
  step_ += 1.0 - isBad;
  skipped_ += isBad;
  updateGroup(options, true, shrink, isBad);
  updateGroup(options, false, shrink, isBad);
  for (const auto& parameter : model_.parameters()) parameter.weight.mutable_grad().reset();
}

void AdamW::updateGroup(const UpdateOptions& options, bool decays, const at::Tensor& shrink,
                        const at::Tensor& isBad) {
  std::vector<at::Tensor> weights, gradients, expAvg, expAvgSq;
  for (size_t i = 0; i < expAvg_.size(); ++i) {
    const Parameter& parameter = model_.parameters()[i];
    if (parameter.decays() != decays || !parameter.weight.grad().defined()) continue;
    weights.push_back(parameter.weight);
    gradients.push_back(parameter.weight.grad());
    expAvg.push_back(expAvg_[i]);
    expAvgSq.push_back(expAvgSq_[i]);
  }
  if (weights.empty()) return;
  const std::vector<at::Tensor> steps(weights.size(), step_);
  at::_fused_adamw_(weights, gradients, expAvg, expAvgSq, {}, steps, options.learningRate, options.beta1,
                    options.beta2, decays ? options.weightDecay : 0.0, options.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false, shrink, isBad);
}

}  // namespace bertune
