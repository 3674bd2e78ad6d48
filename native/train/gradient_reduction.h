// Sums the gradients of all processes of a training, layer by layer as the backward pass gets done with them.
#pragma once

#include <c10/core/ScalarType.h>

#include <memory>
#include <string>
#include <vector>

#include "core/parameters.h"
#include "core/spec.h"
#include "train/process_group.h"

namespace bertune {

class GradientReduction {
 public:
  // What the reductions of the steps so far have taken.
  struct Costs {
    double bytes = 0;          // given by this process
    double waitedSeconds = 0;  // in which the update had to wait for them
  };

  // `type`: what gradients are rounded to on their way, float32 for not at all.
  GradientReduction(std::unique_ptr<ProcessGroup> group, Parameters& parameters, const EncoderSpec& encoder,
                    at::ScalarType type);

  // The backward pass has written the gradients of a layer and all above it; what of them is still to come, such
  // as those that autograd has, waits for `finish`.
  void layerDone(size_t layer);
  // Behind the last backward pass of a step, which this process may have had none of: afterwards all processes
  // have the same sums.
  void finish();

  bool isUnderWay() const { return begun_ > 0; }
  const Costs& costs() const { return costs_; }

 private:
  // Of the flat gradients. Every process gives the same slices in the same order.
  struct Slice {
    int64_t first, size;
    size_t layer;  // or the number of layers for what belongs to none
    std::vector<const Parameter*> parameters;
  };

  void layOut();  // anew where other parameters are trained
  void begin(const Slice& slice);

  std::unique_ptr<ProcessGroup> group_;
  Parameters& parameters_;
  std::vector<std::string> prefixes_;  // of the parameters of each layer
  at::ScalarType type_;
  at::Tensor gradients_;       // whose slices these are
  std::vector<Slice> slices_;  // from the last layer to the first, and the rest
  size_t begun_ = 0;
  struct Rounded {
    at::Tensor target, values;
  };
  std::vector<Rounded> rounded_;
  Costs costs_;
};

}  // namespace bertune
