// The sum of word, token type and position embeddings, and what leads from there into the layers.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "core/batch.h"
#include "core/spec.h"
#include "model/layer_factory.h"
#include "model/training_pass.h"

namespace bertune {

class Embeddings {
 public:
  Embeddings(const EmbeddingsSpec& spec, int64_t hidden, LayerFactory& factory);

  // float32 [tokens, hidden]
  at::Tensor forward(const Batch& batch, const TrainingPass* pass, at::ScalarType compute) const;

  bool isTrained() const;
  // Whether a backward pass comes as far down as the projection.
  void prepare(OperandBuilder& builder, bool isTraining);
  void mergeAdapters();

 private:
  bool isTrainedBelowProjection() const;

  EmbeddingsSpec spec_;
  Parameter *words_, *positions_ = nullptr, *types_ = nullptr;
  std::optional<NormLayer> norm_;
  std::optional<LinearLayer> projection_;
};

}  // namespace bertune
