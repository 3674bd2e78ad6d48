// For tests, on machines without a GPU: LibTorch's attention kernels for CUDA as CPU kernels of the same
// operators, so that what surrounds the calls runs. They hold what they are given against the conditions that
// LibTorch's own kernels set, and compute from what those would be given: the backward pass from the forward
// pass's log-sums and random state. Their random numbers are not Philox's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bertune::standin {

// The mask of one head of one sequence, float64 [queries, keys] of 0 and 1 / (1 - probability). `state` is
// the first number that the generator gave to the call, `number` is sequence * heads + head.
at::Tensor mask(uint64_t state, int64_t number, int64_t queries, int64_t keys, double probability);

}  // namespace bertune::standin
