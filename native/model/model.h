// An encoder with a head over packed batches, as a spec describes it. Owns the parameters; knows nothing of
// losses or optimizers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/batch.h"
#include "core/parameters.h"
#include "core/spec.h"
#include "model/encoder.h"
#include "model/head.h"
#include "model/layers.h"

namespace bertune {

class Model {
 public:
  // Throws std::invalid_argument where the parameters of the spec do not fit its encoder and head.
  Model(const SessionSpec& spec, at::Device device, at::ScalarType compute, uint64_t seed);

  // float32 [rows, outputs]: a row for each sequence, or token.
  at::Tensor logits(const Batch& batch, const TrainingPass* pass);

  // Adds the adapters to the weights that they adapt, and sets their B to zero.
  void mergeAdapters();

  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  const BatchFormat& format() const { return format_; }
  at::Device device() const { return parameters_.device(); }
  at::ScalarType compute() const { return compute_; }

 private:
  at::ScalarType compute_;
  Parameters parameters_;
  LayerFactory factory_;
  Encoder encoder_;
  Head head_;
  BatchFormat format_;
};

}  // namespace bertune
