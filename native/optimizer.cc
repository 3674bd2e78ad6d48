#include "optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

namespace bertune {

Optimizer::Optimizer(const Model& model, std::vector<std::string> stateNames)
    : model_(model),
      stateNames_(std::move(stateNames)),
      settings_(model.tensors().size()),
      states_(model.tensors().size()) {
  const auto scalar = at::TensorOptions().dtype(at::kFloat).device(model.device());
  updates_ = at::zeros({}, scalar);
  skipped_ = at::zeros({}, scalar);
  gradNorm_ = at::zeros({}, scalar);
}

void Optimizer::update(const UpdateOptions& options) {
  const at::NoGradGuard guard;
  const std::vector<size_t> tensors = tensorsToUpdate();
  if (tensors.empty()) throw std::logic_error("update was called before any accumulate");
  std::vector<TensorGroup> all = groups(tensors, options);

  gradNorm_ = at::stack(at::_foreach_norm(trainedGradients())).norm();
  const at::Tensor isBad = at::isfinite(gradNorm_).logical_not().to(at::kFloat);
  // The fused kernels divide gradients by their grad_scale: the inverse of torch's clip coefficient
  // max_norm / (norm + 1e-6), at least 1, clips without a pass of its own.
  const at::Tensor shrink = options.maxGradNorm > 0
                                ? ((gradNorm_ + 1e-6) / options.maxGradNorm).clamp_min(1.0)
                                : at::ones_like(gradNorm_);
  const at::Tensor applied = 1.0 - isBad;
  updates_ += applied;
  skipped_ += isBad;
  for (TensorGroup& group : all) {
    at::_foreach_add_(group.steps, applied);
    apply(group, options, shrink, isBad);
  }
  for (const auto& parameter : model_.parameters()) parameter.weight.mutable_grad().reset();
}

std::vector<size_t> Optimizer::tensorsToUpdate() const {
  std::vector<size_t> result;
  for (size_t i = 0; i < settings_.size(); ++i) {
    const at::Tensor& weight = model_.parameters()[model_.tensors()[i].parameter].weight;
    if (settings_[i].trainable && weight.grad().defined()) result.push_back(i);
  }
  return result;
}

std::vector<at::Tensor> Optimizer::trainedGradients() const {
  // Query, key and value have one gradient, and count only as far as they are trained.
  for (size_t i = 0; i < settings_.size(); ++i) {
    const NamedTensor& tensor = model_.tensors()[i];
    const at::Tensor& gradient = model_.parameters()[tensor.parameter].weight.grad();
    if (!settings_[i].trainable && gradient.defined()) tensor.of(gradient).zero_();
  }
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : model_.parameters())
    if (parameter.weight.grad().defined()) gradients.push_back(parameter.weight.grad());
  return gradients;
}

std::vector<TensorGroup> Optimizer::groups(const std::vector<size_t>& tensors, const UpdateOptions& options) {
  std::map<std::pair<double, double>, TensorGroup> byNumbers;
  for (const size_t i : tensors) {
    const NamedTensor& tensor = model_.tensors()[i];
    const Parameter& parameter = model_.parameters()[tensor.parameter];
    const double learningRate = options.learningRate * settings_[i].learningRateFactor;
    const double weightDecay = parameter.decays() ? options.weightDecay * settings_[i].weightDecayFactor : 0;
    TensorGroup& group = byNumbers[{learningRate, weightDecay}];
    group.learningRate = learningRate;
    group.weightDecay = weightDecay;
    group.state.resize(stateNames_.size());
    if (!hasState(i)) makeState(i, at::zeros_like(updates_));
    group.weights.push_back(tensor.of(parameter.weight));
    group.gradients.push_back(tensor.of(parameter.weight.grad()));
    group.steps.push_back(states_[i][0]);
    for (size_t s = 0; s < stateNames_.size(); ++s) group.state[s].push_back(states_[i][s + 1]);
  }
  std::vector<TensorGroup> result;
  for (auto& [numbers, group] : byNumbers) result.push_back(std::move(group));
  return result;
}

void Optimizer::makeState(size_t tensor, const at::Tensor& step) {
  states_[tensor].push_back(step);
  const NamedTensor& named = model_.tensors()[tensor];
  const at::Tensor& weight = model_.parameters()[named.parameter].weight;
  for (size_t s = 0; s < stateNames_.size(); ++s)
    states_[tensor].push_back(at::zeros(named.shape, weight.options().requires_grad(false)));
}

std::vector<std::string> Optimizer::stateNames() const {
  std::vector<std::string> names = {"step"};
  names.insert(names.end(), stateNames_.begin(), stateNames_.end());
  return names;
}

size_t Optimizer::indexOf(const std::string& name) const {
  const std::vector<std::string> names = stateNames();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw std::invalid_argument("this optimizer keeps no '" + name + "'");
  return static_cast<size_t>(found - names.begin());
}

at::Tensor Optimizer::readState(size_t tensor, const std::string& name) const {
  const size_t index = indexOf(name);
  if (hasState(tensor)) return states_[tensor][index];
  return index == 0 ? at::zeros_like(updates_) : at::zeros(model_.tensors()[tensor].shape, at::kFloat);
}

at::Tensor Optimizer::writableState(size_t tensor, const std::string& name) {
  const size_t index = indexOf(name);
  if (!hasState(tensor)) makeState(tensor, updates_.clone());
  return states_[tensor][index];
}

void Optimizer::setUpdates(int64_t updates) {
  updates_.fill_(updates);
  for (auto& state : states_)
    if (!state.empty()) state[0].fill_(updates);
}

}  // namespace bertune
