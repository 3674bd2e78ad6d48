// AdamW and Adam by the kernels of ops/cuda/adam.cu: the norm of all gradients and an update of everything in
// three launches, with nothing read back.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "cuda/kernels.h"

namespace bertune::fused {

// Elements that are updated with the same numbers: places in the flat tensors. `rounded` is -1 where the
// weight has no copy in bfloat16.
struct UpdateSlice {
  int64_t weight, gradient, moment, rounded, length;
  int32_t group;
};

// The slices as the kernel has them, a chunk for each block: bytes for a tensor of the device, which stays
// valid until what is trained changes.
std::vector<uint8_t> chunksOf(const std::vector<UpdateSlice>& slices);

// Float32 scalars of the device.
struct UpdateScalars {
  at::Tensor norm, divisor, skips;  // of this step: written
  at::Tensor updates, skipped;      // so far: they grow
};

// One group's. `step` is a scalar that grows unless the step is left out.
struct GroupNumbers {
  double learningRate, weightDecay;
  at::Tensor step;
};

struct FlatTensors {
  at::Tensor weights, gradients, firstMoments, secondMoments;
  at::Tensor rounded;  // bfloat16; undefined where there are no copies
};

struct AdamOptions {
  double beta1, beta2, epsilon, maxGradNorm;  // 0 = no clipping
  bool isDecoupled;                           // weight decay: AdamW's
};

// `chunks`: the bytes of chunksOf on the device. The gradients are read and left.
void adam(const cuda::Kernels& kernels, const at::Tensor& chunks, const FlatTensors& flat,
          const std::vector<GroupNumbers>& groups, const UpdateScalars& scalars, const AdamOptions& options);

}  // namespace bertune::fused
