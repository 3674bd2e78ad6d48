#include "model/disentangled.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "ops/dropout.h"
#include "ops/linear.h"

namespace bertune {
namespace {

// Adapters of queries and keys see relative positions too. Their dropout masks begin with this row, so that
// they are not those of tokens.
constexpr int64_t kFirstMaskRow = int64_t{1} << 31;

}  // namespace

RelativeLayer::RelativeLayer(const EncoderSpec& spec, const std::string& prefix, LayerFactory& factory)
    : heads_(spec.heads),
      spec_(*spec.attention.disentangled),
      table_(&factory.table("relative.weight", spec_.rows, spec.hidden)) {
  const int64_t hidden = spec.hidden;
  if (spec_.norm.has_value()) norm_ = factory.norm("relative.norm", hidden, *spec_.norm);
  if (spec_.isShared) {
    const int64_t first = spec_.hasQueries ? 0 : hidden, end = spec_.hasKeys ? 2 * hidden : hidden;
    projections_ = {factory.rows(prefix + ".queryKeyValue", 3 * hidden, hidden, spec.attention.bias,
                                 Site::LoraQuery, 3, first, end - first)};
    return;
  }
  const auto add = [&](const std::string& name, Site site) {
    projections_.push_back(factory.linear(prefix + "." + name, hidden, hidden, spec.attention.bias, site));
  };
  if (spec_.hasQueries) add("relativeQuery", Site::LoraQuery);
  if (spec_.hasKeys) add("relativeKey", Site::LoraKey);
}

RelativePositions RelativeLayer::forward(const Batch& batch, int64_t number, const TrainingPass* pass,
                                         at::ScalarType compute) const {
  const std::vector<int32_t>& all = spec_.rowOfDistance;
  const int64_t longest = batch.longest(), farthest = static_cast<int64_t>(all.size() / 2);
  RelativePositions positions;
  for (int64_t distance = 1 - longest; distance < longest; ++distance)
    positions.rows.push_back(all[std::clamp(distance, -farthest, farthest) + farthest]);
  const auto [lowest, highest] = std::minmax_element(positions.rows.begin(), positions.rows.end());
  const int32_t first = *lowest;
  const int64_t rows = *highest - first + 1;
  for (int32_t& row : positions.rows) row -= first;

  at::Tensor x = table_->value.narrow(0, first, rows);
  if (norm_.has_value()) x = norm_->apply(x);
  const auto rowsFrom = [](int64_t row) { return MaskRows(RowsAre::Tokens, /*factor=*/0, row); };
  x = dropoutAdd(x, {}, maskAt(pass, Site::RelativePositions, number, spec_.dropout, rowsFrom(first)));
  std::vector<at::Tensor> parts;
  for (const LinearLayer& layer : projections_) {
    const at::Tensor projected =
        linear(x, layer.weights(), layer.addend(x, number, pass, rowsFrom(kFirstMaskRow + first), compute));
    const int64_t headSize = x.size(1) / heads_;
    for (const at::Tensor& part : projected.view({rows, -1, heads_, headSize}).unbind(1))
      parts.push_back(part);
  }
  if (spec_.hasQueries) positions.queries = parts.front();
  if (spec_.hasKeys) positions.keys = parts.back();
  return positions;
}

bool RelativeLayer::isTrained() const {
  return table_->isTrained() || (norm_.has_value() && norm_->isTrained()) ||
         std::any_of(projections_.begin(), projections_.end(),
                     [](const LinearLayer& layer) { return layer.isTrained(); });
}

std::vector<LinearLayer*> RelativeLayer::linears() {
  std::vector<LinearLayer*> all;
  for (LinearLayer& layer : projections_) all.push_back(&layer);
  return all;
}

}  // namespace bertune
