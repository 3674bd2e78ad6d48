// The head: stages from the encoder's hidden states to logits, in float32, since they are small.
#pragma once

#include <ATen/core/Tensor.h>

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

  // hidden: float32 [tokens or sequences, hidden], as `rows` says. Returns float32 [rows, outputs].
  at::Tensor forward(const at::Tensor& hidden, RowsAre rows, const Batch& batch,
                     const TrainingPass* pass) const;

  void mergeAdapters();

 private:
  struct Stage {
    HeadStage spec;
    LinearLayer linear = {};
    NormLayer norm = {};
    int64_t number = 0;  // among those of its kind, counted down from kNoLayer
  };

  std::vector<Stage> stages_;
};

}  // namespace bertune
