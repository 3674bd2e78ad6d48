#include "model/linear_layer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "ops/dropout.h"

namespace bertune {

bool LinearLayer::isTrained() const {
  const auto isTrained = [](const Parameter* parameter) {
    return parameter != nullptr && parameter->isTrained();
  };
  return isTrained(weight_) || isTrained(bias_) ||
         std::any_of(adapters_.begin(), adapters_.end(),
                     [&](const Adapter& adapter) { return isTrained(adapter.a) || isTrained(adapter.b); });
}

void LinearLayer::prepare(OperandBuilder& builder, bool wantsBackward) {
  const at::NoGradGuard guard;
  const auto rowsOf = [this](const Parameter& parameter) {
    return parameter.value.detach().narrow(0, firstRow_, rows_);
  };
  const auto bias = bias_ == nullptr ? std::nullopt : std::optional(rowsOf(*bias_));
  // Versions only grow, so their sum says whether one of the two has changed.
  const int64_t version = weight_->version + (bias_ == nullptr ? 0 : bias_->version);
  builder.add(operands_, rowsOf(*weight_), bias, version, wantsBackward);
}

LinearWeights LinearLayer::weights() const {
  std::optional<at::Tensor> bias;
  if (bias_ != nullptr) {
    const bool isWhole = rows_ == bias_->value.size(0);
    bias = isWhole ? bias_->value : bias_->value.narrow(0, firstRow_, rows_);
  }
  return {weight_->value, bias, operands_, firstRow_, rows_, weight_->gradient};
}

at::Tensor LinearLayer::addend(const at::Tensor& x, int64_t layer, const TrainingPass* pass,
                               int64_t earlierRows, at::ScalarType type, const at::Tensor& selection) const {
  if (adapters_.empty()) return {};
  const at::Tensor input = x.to(type);
  const int64_t rows = selection.defined() ? selection.size(0) : x.size(0);
  const auto zeros = [&](int64_t columns) { return at::zeros({rows, columns}, input.options()); };
  std::vector<at::Tensor> parts;
  int64_t row = 0;
  for (const Adapter& adapter : adapters_) {
    if (adapter.firstRow > row) parts.push_back(zeros(adapter.firstRow - row));
    const Mask mask = maskAt(pass, adapter.site, layer, adapter.dropout, earlierRows);
    at::Tensor dropped = dropoutAdd(input, {}, mask);
    if (selection.defined()) dropped = dropped.index_select(0, selection);
    const at::Tensor low = at::linear(dropped, adapter.a->value.to(type));
    parts.push_back(at::linear(low, (adapter.b->value * adapter.scaling).to(type)));
    row = adapter.firstRow + adapter.b->value.size(0);
  }
  if (row < rows_) parts.push_back(zeros(rows_ - row));
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

at::Tensor LinearLayer::apply(const at::Tensor& x, int64_t layer, const TrainingPass* pass,
                              int64_t earlierRows) const {
  const at::Tensor y =
      bias_ == nullptr ? at::linear(x, weight_->value) : at::linear(x, weight_->value, bias_->value);
  const at::Tensor added = addend(x, layer, pass, earlierRows, at::kFloat);
  return added.defined() ? y + added : y;
}

void LinearLayer::mergeAdapters() {
  const at::NoGradGuard guard;
  for (const Adapter& adapter : adapters_) {
    at::Tensor &a = adapter.a->value, &b = adapter.b->value;
    weight_->value.narrow(0, firstRow_ + adapter.firstRow, b.size(0)).addmm_(b, a, 1, adapter.scaling);
    b.zero_();
    ++weight_->version;
    ++adapter.b->version;
  }
}

}  // namespace bertune
