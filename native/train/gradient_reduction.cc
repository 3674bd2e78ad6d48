#include "train/gradient_reduction.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace bertune {

GradientReduction::GradientReduction(std::unique_ptr<ProcessGroup> group, std::unique_ptr<NcclGroup> gpus,
                                     Parameters& parameters, const EncoderSpec& encoder, at::ScalarType type)
    : group_(std::move(group)), gpus_(std::move(gpus)), parameters_(parameters), type_(type) {
  for (const LayerSpec& layer : encoder.layers) prefixes_.push_back(layer.parameters + ".");
}

void GradientReduction::layOut() {
  const at::Tensor& gradients = parameters_.flatGradients();
  if (gradients_.is_same(gradients)) return;
  gradients_ = gradients;
  slices_.clear();
  const FlatLayout& layout = parameters_.gradientLayout();
  // Layers may share their parameters: those are done with the first of them.
  for (size_t layer = prefixes_.size(); layer-- > 0;) {
    const std::string& prefix = prefixes_[layer];
    if (std::find(prefixes_.begin(), prefixes_.begin() + static_cast<int64_t>(layer), prefix) !=
        prefixes_.begin() + static_cast<int64_t>(layer))
      continue;
    Slice slice{layout.total, 0, layer, {}};
    int64_t end = 0;
    // Matrices, which lie side by side; what does not decay lies apart, and is small.
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Parameter& parameter = parameters_[i];
      if (layout.offsets[i] < 0 || !parameter.decays || parameter.name.rfind(prefix, 0) != 0) continue;
      slice.first = std::min(slice.first, layout.offsets[i]);
      end = std::max(end, layout.offsets[i] + parameter.value.numel());
      slice.parameters.push_back(&parameter);
    }
    slice.size = end - slice.first;
    if (slice.size > 0) slices_.push_back(std::move(slice));
  }
  std::vector<std::pair<int64_t, int64_t>> taken;
  for (const Slice& slice : slices_) taken.emplace_back(slice.first, slice.first + slice.size);
  taken.emplace_back(layout.total, layout.total);
  std::sort(taken.begin(), taken.end());
  int64_t first = 0;
  for (const auto& [from, to] : taken) {
    if (from < first)
      throw std::logic_error("the matrices of two layers are mixed: they cannot be summed layer by layer");
    if (from > first) slices_.push_back({first, from - first, prefixes_.size(), {}});
    first = to;
  }
}

void GradientReduction::begin(const Slice& slice) {
  const at::Tensor values = gradients_.narrow(0, slice.first, slice.size);
  at::Tensor given = values;
  const at::Device device = gpus_ == nullptr ? at::Device(at::kCPU) : values.device();
  if (type_ != at::kFloat || values.device() != device) {
    given = values.to(device, type_);
    rounded_.push_back({values, given});
  }
  if (gpus_ != nullptr)
    gpus_->begin(given);
  else
    group_->begin(given);
}

void GradientReduction::layerDone(size_t layer) {
  const at::NoGradGuard guard;
  layOut();
  const auto isReady = [](const Parameter* parameter) {
    return parameter->gradient->isWritten() && !parameter->value.grad().defined();
  };
  for (;
       begun_ < slices_.size() && slices_[begun_].layer >= layer && slices_[begun_].layer < prefixes_.size();
       ++begun_) {
    const std::vector<const Parameter*>& all = slices_[begun_].parameters;
    if (!std::all_of(all.begin(), all.end(), isReady)) return;
    begin(slices_[begun_]);
  }
}

void GradientReduction::finish() {
  const at::NoGradGuard guard;
  parameters_.prepareGradients();
  layOut();
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (parameters_[i].gradient) parameters_[i].gradient->sums();  // zero where nothing was written
  for (; begun_ < slices_.size(); ++begun_) begin(slices_[begun_]);
  begun_ = 0;
  if (gpus_ != nullptr)
    gpus_->finish();
  else
    group_->finish();
  for (const auto& [target, values] : std::exchange(rounded_, {})) target.copy_(values);
}

void GradientReduction::forget() {
  gradients_.reset();
  slices_.clear();
  begun_ = 0;
}

}  // namespace bertune
