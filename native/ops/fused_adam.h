// AdamW and Adam by the kernels of ops/cuda/adam.cu: the norm of all gradients and an update of everything in
// three launches, with nothing read back, and with nothing of the host's that changes from update to update:
// the launches can be recorded and repeated.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "cuda/kernels.h"

namespace bertune::fused {

// Elements that are updated with the same numbers: places in the flat tensors. `rounded`: where the weight's
// copy in bfloat16 is, undefined where it has none.
struct UpdateSlice {
  int64_t weight, gradient, moment, length;
  int32_t group;
  at::Tensor rounded = {};
};

struct FlatTensors {
  at::Tensor weights, gradients, firstMoments, secondMoments;  // float32, one-dimensional
};

// Float32 scalars of the device.
struct UpdateScalars {
  at::Tensor norm, divisor, skips;  // of this step: written
  at::Tensor updates, skipped;      // so far: they grow
};

struct AdamOptions {
  double beta1, beta2, epsilon, maxGradNorm;  // 0 = no clipping
};
struct GroupNumbers {
  double learningRate, weightDecay;
};

class Adam {
 public:
  // For these slices of these tensors, at the addresses that they have now. steps: float32 [groups] on the
  // device, which grow unless a step is left out. `isDecoupled`: weight decay, AdamW's.
  Adam(const std::vector<UpdateSlice>& slices, FlatTensors flat, at::Tensor steps, bool isDecoupled);

  // The numbers of the next update, one entry a group; without waiting for the device.
  void load(const AdamOptions& options, const std::vector<GroupNumbers>& groups);
  // That update, as the numbers say that are there when it runs. The gradients are read and left.
  void update(const cuda::Kernels& kernels, const UpdateScalars& scalars) const;

 private:
  FlatTensors flat_;
  at::Tensor steps_;
  bool isDecoupled_;
  std::vector<at::Tensor> copies_;  // so that they live as long as what writes them
  at::Tensor chunks_, numbers_, corrections_, partial_;
};

}  // namespace bertune::fused
