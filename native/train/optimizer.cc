#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "core/memory.h"
#include "ops/fused_device.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

// What an update by kernels writes beside the weight.
at::Tensor copyOf(const NamedTensor& tensor, const Parameter& parameter) {
  const bool isWritten = parameter.rounded.defined() && parameter.rounded.scalar_type() == at::kBFloat16;
  return isWritten ? tensor.of(parameter.rounded).flatten() : at::Tensor();
}

}  // namespace

at::Tensor gradientNorm(const at::Tensor& gradients) {
  if (!gradients.is_cpu()) return at::linalg_vector_norm(gradients);
  constexpr int64_t chunk = 4096;  // few enough for float32 sums of 16 lanes
  const int64_t size = gradients.numel(), chunks = (size + chunk - 1) / chunk;
  const auto* values = gradients.const_data_ptr<float>();
  std::vector<double> sums(static_cast<size_t>(chunks));
  at::parallel_for(0, chunks, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* first = values + i * chunk;
      sums[i] = rowKernels().dot(first, first, std::min(chunk, size - i * chunk));
    }
  });
  double sum = 0;
  for (const double each : sums) sum += each;
  return at::scalar_tensor(std::sqrt(sum), gradients.options());
}

Optimizer::Optimizer(Parameters& parameters, std::vector<std::string> stateNames)
    : parameters_(parameters),
      stateNames_(std::move(stateNames)),
      settings_(parameters.tensors().size()),
      states_(parameters.tensors().size()),
      flats_(stateNames_.size()) {
  layout_.offsets.assign(parameters.size(), -1);
  const auto scalar = at::TensorOptions().dtype(at::kFloat).device(parameters.device());
  for (at::Tensor* each : {&updates_, &skipped_, &gradNorm_, &gradScale_, &foundInf_})
    *each = at::zeros({}, scalar);
}

void Optimizer::configure(std::vector<TensorSettings> settings) {
  clearGroups();
  settings_ = std::move(settings);
}

void Optimizer::prepareUpdate(const UpdateOptions& options) {
  const at::NoGradGuard guard;
  if (!parameters_.hasGradients()) throw std::logic_error("update was called before any accumulate");
  if (!hasGroups_) makeGroups();
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (parameters_[i].gradient) parameters_[i].gradient->sums();  // zero where nothing was written
  // Query, key and value have one gradient, and count only as far as they are trained.
  for (size_t i = 0; i < settings_.size(); ++i) {
    const NamedTensor& tensor = parameters_.tensors()[i];
    const GradientPointer& gradient = parameters_[tensor.parameter].gradient;
    if (!settings_[i].trainable && gradient) tensor.of(gradient->values()).zero_();
  }
  if (fused_ != nullptr) return loadFused(options);
  at::Tensor norm = gradientNorm(parameters_.flatGradients());
  foundInf_ = at::isfinite(norm).logical_not().to(at::kFloat);
  // The fused kernels divide gradients by their grad_scale: the inverse of torch's clip coefficient max_norm
  // / (norm + 1e-6), at least 1, clips without a pass of its own.
  gradScale_ =
      options.maxGradNorm > 0 ? ((norm + 1e-6) / options.maxGradNorm).clamp_min(1.0) : at::ones_like(norm);
  gradNorm_ = std::move(norm);
}

void Optimizer::loadFused(const UpdateOptions& options) {
  std::vector<fused::GroupNumbers> groups;
  for (const UpdateGroup& group : groups_)
    groups.push_back(
        {options.learningRate * group.learningRateFactor, options.weightDecay * group.weightDecayFactor});
  fused_->load({options.beta1, options.beta2, options.epsilon, options.maxGradNorm}, groups);
}

void Optimizer::applyUpdate(const UpdateOptions& options, const Runner& run) {
  const at::NoGradGuard guard;
  if (fused_ != nullptr) {
    run(layoutNumber_, [this] {
      fused_->update(*fused::kernelsOf(parameters_.device()),
                     {gradNorm_, gradScale_, foundInf_, updates_, skipped_});
    });
    for (Parameter* parameter : copied_) {
      // Rows that are frozen have no update: they must have been up to date before.
      const bool isCurrent = parameter->roundedVersion == parameter->version - 1;
      if (isCurrent) parameter->roundedVersion = parameter->version;
    }
  } else {
    const at::Tensor applied = 1.0 - foundInf_;
    updates_ += applied;
    skipped_ += foundInf_;
    for (UpdateGroup& group : groups_) {
      group.step += applied;
      apply(group, options, options.learningRate * group.learningRateFactor,
            options.weightDecay * group.weightDecayFactor, gradScale_, foundInf_);
    }
  }
  for (TensorState& state : states_)
    if (state.group >= 0) state.exists = true;
}

void Optimizer::allocateState(const std::vector<bool>& parameters) {
  if (stateNames_.empty()) return;
  std::vector<bool> members = parameters;
  bool isEnough = true;
  for (size_t i = 0; i < members.size(); ++i) {
    const bool has = layout_.offsets[i] >= 0;
    isEnough = isEnough && (has || !members[i]);
    members[i] = members[i] || has;
  }
  if (isEnough) return;
  clearGroups();
  FlatLayout layout = parameters_.layoutOf(members);
  std::vector<at::Tensor> flats;
  for (const at::Tensor& old : flats_) {
    flats.push_back(at::zeros({layout.total}, parameters_.flatWeights().options()));
    for (size_t i = 0; i < layout_.offsets.size(); ++i) {
      if (layout_.offsets[i] < 0) continue;
      const at::IntArrayRef shape = parameters_[i].value.sizes();
      layout.slice(flats.back(), i, shape).copy_(layout_.slice(old, i, shape));
    }
  }
  layout_ = std::move(layout);
  flats_ = std::move(flats);
}

void Optimizer::clearGroups() {
  for (size_t i = 0; i < states_.size(); ++i) states_[i].step = stepOf(i);
  for (TensorState& state : states_) state.group = -1;
  groups_.clear();
  fused_.reset();
  copied_.clear();
  hasGroups_ = false;
}

void Optimizer::makeGroups() {
  allocateState(parameters_.trained());
  const FlatLayout &weightLayout = parameters_.layout(), &gradientLayout = parameters_.gradientLayout();
  // In the order of the flat layouts, so that neighbours become one slice.
  std::vector<size_t> order;
  for (size_t i = 0; i < settings_.size(); ++i)
    if (settings_[i].trainable) order.push_back(i);
  const auto placeOf = [&](size_t i) {
    const NamedTensor& tensor = parameters_.tensors()[i];
    return std::pair(weightLayout.offsets[tensor.parameter], tensor.firstRow);
  };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return placeOf(a) < placeOf(b); });

  std::map<std::tuple<double, double, double>, int> numbers;
  std::vector<UpdateGroup> groups;
  std::vector<float> steps;
  std::vector<fused::UpdateSlice> slices;
  std::vector<int> groupOf(states_.size(), -1);
  for (const size_t i : order) {
    const NamedTensor& tensor = parameters_.tensors()[i];
    const Parameter& parameter = parameters_[tensor.parameter];
    const double decay = parameter.decays ? settings_[i].weightDecayFactor : 0;
    const std::tuple key(settings_[i].learningRateFactor, decay, states_[i].step);
    const auto [found, isNew] = numbers.emplace(key, static_cast<int>(groups.size()));
    if (isNew) {
      UpdateGroup fresh{};
      fresh.learningRateFactor = settings_[i].learningRateFactor;
      fresh.weightDecayFactor = decay;
      steps.push_back(static_cast<float>(states_[i].step));
      fresh.state.resize(stateNames_.size());
      groups.push_back(std::move(fresh));
    }
    groupOf[i] = found->second;
    UpdateGroup& group = groups[found->second];
    const int64_t rowSize = parameter.value.numel() / parameter.value.size(0);
    const int64_t offset = tensor.firstRow * rowSize, length = tensor.shape[0] * rowSize;
    const int64_t weight = weightLayout.offsets[tensor.parameter] + offset,
                  gradient = gradientLayout.offsets[tensor.parameter] + offset,
                  state = layout_.offsets[tensor.parameter] + offset;
    const bool continues = !group.weights.empty() && weight == group.weightEnd &&
                           gradient == group.gradientEnd && (stateNames_.empty() || state == group.stateEnd);
    const auto extend = [&](std::vector<at::Tensor>& slices, const at::Tensor& flat, int64_t first) {
      if (continues) {
        const int64_t before = slices.back().numel();
        slices.back() = flat.narrow(0, first - before, before + length);
      } else {
        slices.push_back(flat.narrow(0, first, length));
      }
    };
    extend(group.weights, parameters_.flatWeights(), weight);
    extend(group.gradients, parameters_.flatGradients(), gradient);
    for (size_t s = 0; s < stateNames_.size(); ++s) extend(group.state[s], flats_[s], state);
    slices.push_back({weight, gradient, state, length, found->second, copyOf(tensor, parameter)});
    group.weightEnd = weight + length;
    group.gradientEnd = gradient + length;
    group.stateEnd = state + length;
  }
  const at::Tensor stepOfGroups = toDevice(steps, parameters_.device());
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i].step = stepOfGroups.select(0, static_cast<int64_t>(i));
    groups[i].steps.assign(groups[i].weights.size(), groups[i].step);
  }
  std::unique_ptr<fused::Adam> fused;
  if (fused::kernelsOf(parameters_.device()) != nullptr)
    fused = fusedFor(slices, parameters_, flats_, stepOfGroups);
  groups_ = std::move(groups);
  fused_ = std::move(fused);
  for (size_t i = 0; i < parameters_.size() && fused_ != nullptr; ++i)
    if (parameters_[i].isTrained() && parameters_[i].rounded.defined()) copied_.push_back(&parameters_[i]);
  for (size_t i = 0; i < states_.size(); ++i) states_[i].group = groupOf[i];
  hasGroups_ = true;
  ++layoutNumber_;
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

at::Tensor Optimizer::stateOf(const at::Tensor& flat, size_t tensor) const {
  const NamedTensor& named = parameters_.tensors()[tensor];
  return named.of(layout_.slice(flat, named.parameter, parameters_[named.parameter].value.sizes()));
}

double Optimizer::stepOf(size_t tensor) const {
  const TensorState& state = states_[tensor];
  return state.group < 0 ? state.step : groups_[state.group].step.item<double>();
}

at::Tensor Optimizer::readState(size_t tensor, const std::string& name) const {
  const size_t index = indexOf(name);
  if (index == 0) return at::full_like(updates_, hasState(tensor) ? stepOf(tensor) : 0);
  if (!hasState(tensor)) return at::zeros(parameters_.tensors()[tensor].shape, at::kFloat);
  return stateOf(flats_[index - 1], tensor);
}

void Optimizer::writeState(size_t tensor, const std::string& name, const at::Tensor& value,
                           int64_t firstRow) {
  const at::NoGradGuard guard;
  const size_t index = indexOf(name);
  // Room for all that are trained at once, since others will follow.
  std::vector<bool> members = parameters_.trained();
  members[parameters_.tensors()[tensor].parameter] = true;
  allocateState(members);
  if (!hasState(tensor) || index == 0) {
    clearGroups();
    TensorState& state = states_[tensor];
    if (!state.exists) state.step = updates_.item<double>();
    state.exists = true;
    if (index == 0) state.step = value.item<double>();
  }
  if (index > 0) stateOf(flats_[index - 1], tensor).narrow(0, firstRow, value.size(0)).copy_(value);
}

void Optimizer::setUpdates(int64_t updates) {
  clearGroups();
  updates_.fill_(updates);
  for (TensorState& state : states_)
    if (state.exists) state.step = static_cast<double>(updates);
}

}  // namespace bertune
