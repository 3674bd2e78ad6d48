// Sums the gradients of all processes of a training, layer by layer as the backward pass finishes with them.
#pragma once

#include <c10/core/ScalarType.h>

#include <memory>
#include <string>
#include <vector>

#include "core/parameters.h"
#include "core/spec.h"
#include "train/nccl_group.h"
#include "train/process_group.h"

namespace bertune {

class GradientReduction {
 public:
  // `gpus`: sums from GPU to GPU, or null for sums by way of the CPUs. `type`: what gradients are rounded to
  // on their way, float32 for not at all.
  GradientReduction(std::unique_ptr<ProcessGroup> group, std::unique_ptr<NcclGroup> gpus,
                    Parameters& parameters, const EncoderSpec& encoder, at::ScalarType type);

  // The backward pass has written the gradients of a layer and all above it; what of them is still to come,
  // such as those that autograd has, waits for `finish`.
  void layerDone(size_t layer);
  // After the last backward pass of a step (this process may have had none): then all processes have the same
  // sums.
  void finish();
  // Gives gradients that are of no use any more free: other parameters are trained.
  void forget();

  bool isUnderWay() const { return begun_ > 0; }
  bool isBetweenGpus() const { return gpus_ != nullptr; }
  // Throws where sums that are not waited for have come to nothing, and so what was updated with them.
  void check() const {
    if (gpus_ != nullptr) gpus_->check();
  }

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
  std::unique_ptr<NcclGroup> gpus_;
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
};

}  // namespace bertune
