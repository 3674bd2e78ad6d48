// The head: stages from the encoder's hidden states to logits, in float32, since they are small.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "core/batch.h"
#include "core/spec.h"
#include "model/layers.h"

namespace bertune {

class Head {
 public:
  Head(const std::vector<HeadStage>& stages, const EncoderSpec& encoder, LayerFactory& factory);

  // Whether all that is read of the hidden states are the first tokens of sequences.
  static bool readsFirstOnly(const std::vector<HeadStage>& stages);

  // hidden: float32 [tokens or sequences, hidden], as `rows` says. Returns float32 [rows, outputs], or what
  // the vocabulary reads: [labelled rows, width], of all rows where the batch has no labels.
  at::Tensor forward(const at::Tensor& hidden, RowsAre rows, const Batch& batch,
                     const TrainingPass* pass) const;

  // The layer that gives the logits of a masked language model, whose outputs are the words of the encoder:
  // null for other heads. `prepare` brings what it multiplies up to date.
  const LinearLayer* vocabulary() const { return vocabulary_.has_value() ? &*vocabulary_ : nullptr; }
  void prepare(OperandBuilder& builder, bool isTraining);

  void mergeAdapters();

 private:
  struct Stage {
    HeadStage spec;
    LinearLayer linear = {};
    NormLayer norm = {};
    int64_t number = 0;  // among those of its kind, counted down from kNoLayer
  };

  std::vector<Stage> stages_;
  std::optional<LinearLayer> vocabulary_;
};

}  // namespace bertune
