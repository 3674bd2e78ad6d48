#include "core/parameters.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "core/random.h"

namespace bertune {
namespace {

constexpr int64_t kAlignment = 16;  // values: 64 bytes

int64_t sizeOf(at::IntArrayRef shape) {
  int64_t size = 1;
  for (const int64_t length : shape) size *= length;
  return size;
}

// The normal distribution without its ends, by the inverse of its distribution function, as
// torch.nn.init.trunc_normal_ draws it.
void drawTruncated(at::Tensor& values, double deviation, double cut, const at::Generator& generator) {
  const double most = std::erf(cut / std::sqrt(2.0));
  values.uniform_(-most, most, generator).erfinv_().mul_(deviation * std::sqrt(2.0));
  values.clamp_(-cut * deviation, cut * deviation);
}

// `value` is zeros. Values are drawn on the CPU, so that a seed gives the same on every device.
void initialise(at::Tensor& value, const Initialisation& initial, uint64_t seed) {
  using Kind = Initialisation::Kind;
  if (initial.kind == Kind::Zeros) return;
  at::Tensor values = value.is_cpu() ? value : at::empty(value.sizes());
  auto generator = at::detail::createCPUGenerator(mix64(seed));
  if (initial.kind == Kind::Ones) values.fill_(1);
  if (initial.kind == Kind::Normal) values.normal_(0.0, initial.spread, generator);
  if (initial.kind == Kind::TruncatedNormal) drawTruncated(values, initial.spread, initial.cut, generator);
  if (initial.kind == Kind::Uniform) values.uniform_(-initial.spread, initial.spread, generator);
  if (initial.zeroRow.has_value()) values.select(0, *initial.zeroRow).zero_();
  if (!value.is_cpu()) value.copy_(values);
}

struct Extent {
  int64_t size;
  bool decays;
};

FlatLayout layoutOfExtents(const std::vector<Extent>& extents, const std::vector<bool>& members) {
  FlatLayout layout{std::vector<int64_t>(extents.size(), -1)};
  for (const bool decays : {true, false})
    for (size_t i = 0; i < extents.size(); ++i) {
      if (!members[i] || extents[i].decays != decays) continue;
      layout.offsets[i] = layout.total;
      layout.total += (extents[i].size + kAlignment - 1) / kAlignment * kAlignment;
    }
  return layout;
}

}  // namespace

Gradient::Target Gradient::rows(int64_t first, int64_t count) {
  const bool isWhole = count == values_.size(0);
  if (!isWhole && !isWritten_) values_.zero_();
  const bool adds = isWritten_ || !isWhole;
  isWritten_ = true;
  return {values_.narrow(0, first, count), adds};
}

at::Tensor Gradient::sums() {
  if (!isWritten_) values_.zero_();
  isWritten_ = true;
  return values_;
}

at::Tensor FlatLayout::slice(const at::Tensor& flat, size_t parameter, at::IntArrayRef shape) const {
  return flat.narrow(0, offsets[parameter], sizeOf(shape)).view(shape);
}

Parameters::Parameters(const std::vector<ParameterSpec>& specs, at::Device device, uint64_t seed)
    : isUsed_(specs.size(), false) {
  const at::NoGradGuard guard;
  std::vector<Extent> extents;
  for (const ParameterSpec& spec : specs) extents.push_back({sizeOf(spec.shape), spec.decays});
  layout_ = layoutOfExtents(extents, std::vector<bool>(specs.size(), true));
  weights_ = at::zeros({layout_.total}, at::TensorOptions().dtype(at::kFloat).device(device));
  for (size_t i = 0; i < specs.size(); ++i) {
    const ParameterSpec& spec = specs[i];
    if (find(spec.name) != nullptr)
      throw std::invalid_argument("two parameters are named '" + spec.name + "'");
    // Detached: a leaf of its own that shares the memory.
    at::Tensor value = layout_.slice(weights_, i, spec.shape).detach();
    initialise(value, spec.initialisation, seed + i);
    all_.push_back({spec.name, spec.decays, value.set_requires_grad(true), {}});
    int64_t row = 0;
    for (const TensorSpec& tensor : spec.tensors) {
      std::vector<int64_t> shape = spec.shape;
      shape[0] = tensor.rows;
      tensors_.push_back({tensor.name, i, row, shape});
      row += tensor.rows;
    }
  }
}

Parameter* Parameters::find(const std::string& name) {
  for (Parameter& parameter : all_)
    if (parameter.name == name) return &parameter;
  return nullptr;
}

Parameter& Parameters::require(const std::string& name, const std::vector<int64_t>& shape) {
  for (size_t i = 0; i < all_.size(); ++i) {
    if (all_[i].name != name) continue;
    if (!all_[i].value.sizes().equals(shape))
      throw std::invalid_argument("parameter " + name + " has shape " + c10::str(all_[i].value.sizes()) +
                                  "; it must be " + c10::str(at::IntArrayRef(shape)));
    isUsed_[i] = true;
    return all_[i];
  }
  throw std::invalid_argument("there is no parameter named '" + name + "'");
}

void Parameters::requireAllUsed() const {
  const auto unused = std::find(isUsed_.begin(), isUsed_.end(), false);
  if (unused != isUsed_.end())
    throw std::invalid_argument("parameter " + all_[static_cast<size_t>(unused - isUsed_.begin())].name +
                                " belongs to no part of the encoder or head");
}

size_t Parameters::tensor(const std::string& name) const {
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].name == name) return i;
  throw std::invalid_argument("the model has no tensor named '" + name + "'");
}

FlatLayout Parameters::layoutOf(const std::vector<bool>& members) const {
  std::vector<Extent> extents;
  for (const Parameter& parameter : all_) extents.push_back({parameter.value.numel(), parameter.decays});
  return layoutOfExtents(extents, members);
}

std::vector<bool> Parameters::trained() const {
  std::vector<bool> result;
  for (const Parameter& parameter : all_) result.push_back(parameter.isTrained());
  return result;
}

void Parameters::setTrained(const std::vector<bool>& trained) {
  dropGradients();
  for (size_t i = 0; i < all_.size(); ++i) {
    all_[i].value.set_requires_grad(trained[i]);
    all_[i].gradient.reset();
  }
  gradients_.reset();
}

void Parameters::prepareGradients() {
  if (gradients_.defined()) return;
  const at::NoGradGuard guard;
  FlatLayout layout = layoutOf(trained());
  at::Tensor flat = at::zeros({layout.total}, weights_.options());
  for (size_t i = 0; i < all_.size(); ++i)
    if (all_[i].isTrained())
      all_[i].gradient = c10::make_intrusive<Gradient>(layout.slice(flat, i, all_[i].value.sizes()));
  gradientLayout_ = std::move(layout);
  gradients_ = std::move(flat);
}

void Parameters::collectGradients() {
  const at::NoGradGuard guard;
  std::vector<at::Tensor> fresh, targets, more, sums;
  for (Parameter& parameter : all_) {
    if (!parameter.value.grad().defined()) continue;
    const bool adds = parameter.gradient->isWritten();
    (adds ? more : fresh).push_back(parameter.value.grad());
    (adds ? sums : targets).push_back(adds ? parameter.gradient->sums() : parameter.gradient->values());
  }
  if (!fresh.empty()) at::_foreach_copy_(targets, fresh);
  if (!more.empty()) at::_foreach_add_(sums, more);
  for (Parameter& parameter : all_) {
    if (!parameter.value.grad().defined()) continue;
    parameter.gradient->markWritten();
    parameter.value.mutable_grad().reset();
  }
}

void Parameters::dropGradients() {
  for (Parameter& parameter : all_) {
    parameter.value.mutable_grad().reset();
    if (parameter.gradient) parameter.gradient->forget();
  }
}

std::vector<bool> Parameters::written() const {
  std::vector<bool> result;
  for (const Parameter& parameter : all_)
    result.push_back(parameter.gradient && parameter.gradient->isWritten());
  return result;
}

void Parameters::setWritten(const std::vector<bool>& written) {
  for (size_t i = 0; i < all_.size(); ++i) {
    if (!all_[i].gradient) continue;
    if (written[i])
      all_[i].gradient->markWritten();
    else
      all_[i].gradient->forget();
  }
}

void Parameters::forgetPending() {
  for (Parameter& parameter : all_) parameter.value.mutable_grad().reset();
}

bool Parameters::hasGradients() const {
  return std::any_of(all_.begin(), all_.end(), [](const Parameter& parameter) {
    return parameter.gradient && parameter.gradient->isWritten();
  });
}

}  // namespace bertune
