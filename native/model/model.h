// An encoder with a head over packed batches, as a spec describes it. Owns the parameters; knows nothing of
// optimizers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/batch.h"
#include "core/parameters.h"
#include "core/spec.h"
#include "model/encoder.h"
#include "model/head.h"
#include "model/layers.h"
#include "model/loss.h"

namespace bertune {

class Model {
 public:
  // Throws std::invalid_argument where the parameters of the spec do not fit its encoder and head.
  Model(const SessionSpec& spec, at::Device device, at::ScalarType compute, uint64_t seed);

  // Brings what matrix products read up to date with the weights; to be called before each pass.
  void prepare(const TrainingPass* pass);

  // The sum of the losses over the labels of a batch, a scalar.
  at::Tensor loss(const Batch& batch, const TrainingPass& pass, const LossOptions& options,
                  const LossWeights& weights) const;

  // float32 [rows, outputs]: the logits of each sequence, or token. Of a masked language model and a batch
  // with labels: [labelled rows, 2], the loss of each and the word with the largest logit.
  at::Tensor predict(const Batch& batch) const;

  // Adds the adapters to the weights that they adapt, and sets their B to zero.
  void mergeAdapters();

  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  const BatchFormat& format() const { return format_; }
  at::Device device() const { return parameters_.device(); }
  at::ScalarType compute() const { return compute_; }

 private:
  // What the head gives.
  at::Tensor forward(const Batch& batch, const TrainingPass* pass) const;

  at::ScalarType compute_;
  Parameters parameters_;
  LayerFactory factory_;
  Encoder encoder_;
  Head head_;
  BatchFormat format_;
};

}  // namespace bertune
