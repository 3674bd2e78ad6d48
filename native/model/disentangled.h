// What a layer of disentangled attention makes of the encoder's table of relative positions: keys and queries
// of the distances that the tokens of a batch have.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/batch.h"
#include "core/spec.h"
#include "model/layers.h"
#include "ops/attention.h"

namespace bertune {

class RelativeLayer {
 public:
  // The table and its norm are those of all layers, `prefix` is that of this one's parameters.
  RelativeLayer(const EncoderSpec& spec, const std::string& prefix, LayerFactory& factory);

  // Computed from the rows that the longest sequence reaches alone. `number` is that of the layer.
  RelativePositions forward(const Batch& batch, int64_t number, const TrainingPass* pass,
                            at::ScalarType compute) const;

  bool isTrained() const;
  std::vector<LinearLayer*> linears();

 private:
  int64_t heads_;
  DisentangledSpec spec_;
  Parameter* table_;
  std::optional<NormLayer> norm_;
  // Queries and keys together where both come from the layer's own projections, else one by one.
  std::vector<LinearLayer> projections_;
};

}  // namespace bertune
