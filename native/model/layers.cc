#include "model/layers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <stdexcept>

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
  if (builder.rounds()) {
    operands_.type = builder.type();
    const auto rowsOf = [&](Parameter& parameter) {
      return builder.rounded(parameter).narrow(0, firstRow_, rows_);
    };
    operands_.weight = rowsOf(*weight_);
    if (bias_ != nullptr) operands_.bias = rowsOf(*bias_);
    return;
  }
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
                               MaskRows maskRows, at::ScalarType type, const at::Tensor& selection) const {
  if (adapters_.empty()) return {};
  const at::Tensor input = x.to(type);
  const int64_t rows = selection.defined() ? selection.size(0) : x.size(0);
  const auto zeros = [&](int64_t columns) { return at::zeros({rows, columns}, input.options()); };
  std::vector<at::Tensor> parts;
  int64_t row = 0;
  for (const Adapter& adapter : adapters_) {
    if (adapter.firstRow > row) parts.push_back(zeros(adapter.firstRow - row));
    const Mask mask = maskAt(pass, adapter.site, layer, adapter.dropout, maskRows);
    at::Tensor dropped = dropoutAdd(input, {}, mask);
    if (selection.defined()) dropped = dropped.index_select(0, selection);
    const at::Tensor low = at::linear(dropped, adapter.a->value.to(type));
    const at::Tensor high = adapter.b->value.narrow(0, adapter.firstOfB, adapter.rows);
    parts.push_back(at::linear(low, (high * adapter.scaling).to(type)));
    row = adapter.firstRow + adapter.rows;
  }
  if (row < rows_) parts.push_back(zeros(rows_ - row));
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

at::Tensor LinearLayer::apply(const at::Tensor& x, int64_t layer, const TrainingPass* pass,
                              MaskRows maskRows) const {
  const at::Tensor y =
      bias_ == nullptr ? at::linear(x, weight_->value) : at::linear(x, weight_->value, bias_->value);
  const at::Tensor added = addend(x, layer, pass, maskRows, at::kFloat);
  return added.defined() ? y + added : y;
}

void LinearLayer::mergeAdapters() {
  const at::NoGradGuard guard;
  for (const Adapter& adapter : adapters_) {
    const at::Tensor b = adapter.b->value.narrow(0, adapter.firstOfB, adapter.rows);
    weight_->value.narrow(0, firstRow_ + adapter.firstRow, adapter.rows)
        .addmm_(b, adapter.a->value, 1, adapter.scaling);
    b.zero_();
    ++weight_->version;
    ++adapter.b->version;
  }
}

LinearLayer LayerFactory::linear(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site,
                                 int64_t parts) {
  return rows(name, out, in, hasBias, site, parts, 0, out);
}

LinearLayer LayerFactory::rows(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site,
                               int64_t parts, int64_t firstRow, int64_t count) {
  Parameter& weight = parameters_.require(name + ".weight", {out, in});
  Parameter* bias = hasBias ? &parameters_.require(name + ".bias", {out}) : nullptr;
  LinearLayer layer(weight, bias, firstRow, count);
  const int64_t part = out / parts;
  std::vector<AdapterSpec> adapters;
  for (const AdapterSpec& adapter : lora_.adapters)
    if (adapter.linear == name) adapters.push_back(adapter);
  std::sort(adapters.begin(), adapters.end(),
            [](const AdapterSpec& a, const AdapterSpec& b) { return a.firstRow < b.firstRow; });
  int64_t end = 0;
  for (const AdapterSpec& adapter : adapters) {
    if (adapter.firstRow < end || adapter.rows > out - adapter.firstRow)
      throw std::invalid_argument("the rows of the adapters of " + name + " overlap, or are more than its " +
                                  std::to_string(out));
    end = adapter.firstRow + adapter.rows;
    adapted_[name] = true;
    Parameter &a = parameters_.require(adapter.a, {lora_.rank, in}),
              &b = parameters_.require(adapter.b, {adapter.rows, lora_.rank});
    // Of those rows of an adapter that are among the layer's.
    const int64_t from = std::max(adapter.firstRow, firstRow), to = std::min(end, firstRow + count);
    if (from < to)
      layer.addAdapter({&a, &b, from - firstRow, from - adapter.firstRow, to - from,
                        static_cast<Site>(static_cast<uint64_t>(site) + adapter.firstRow / part),
                        lora_.scaling, lora_.dropout});
  }
  return layer;
}

LinearLayer LayerFactory::vocabulary(const std::string& name, int64_t words, int64_t in) {
  Parameter* bias = has(name + ".bias") ? &parameters_.require(name + ".bias", {words}) : nullptr;
  return LinearLayer(table("embeddings.words.weight", words, in), bias, 0, words);
}

NormLayer LayerFactory::norm(const std::string& name, int64_t size, const NormSpec& spec) {
  return {&parameters_.require(name + ".weight", {size}),
          spec.bias ? &parameters_.require(name + ".bias", {size}) : nullptr, spec.epsilon};
}

Parameter& LayerFactory::table(const std::string& name, int64_t rows, int64_t columns) {
  return parameters_.require(name, {rows, columns});
}

Parameter& LayerFactory::matrix(const std::string& name) {
  Parameter* parameter = parameters_.find(name);
  if (parameter == nullptr) throw std::invalid_argument("there is no parameter named '" + name + "'");
  if (parameter->value.dim() != 2)
    throw std::invalid_argument("parameter " + name + " must have 2 dimensions");
  return *parameter;
}

void LayerFactory::requireAllAdapted() const {
  for (const AdapterSpec& adapter : lora_.adapters)
    if (adapted_.count(adapter.linear) == 0)
      throw std::invalid_argument("there is no linear layer to adapt named '" + adapter.linear + "'");
}

}  // namespace bertune
