#include "ops/fused_adam.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/memory.h"

namespace bertune::fused {
namespace {

constexpr int64_t kThreads = 256, kWarp = 32;  // as in ops/cuda/adam.cu
constexpr int64_t kMostBlocksOfNorm = 512, kElementsOfBlock = 4096;
constexpr int64_t kChunk = 16384;

struct Chunk {
  int64_t weight, gradient, moment, rounded;
  int32_t length, group;
};

const void* pointer(const at::Tensor& tensor, at::ScalarType type) {
  if (!tensor.defined()) return nullptr;
  TORCH_CHECK(tensor.is_contiguous() && tensor.scalar_type() == type, "adam wants contiguous ", type);
  return tensor.const_data_ptr();
}

// On the device, without waiting.
at::Tensor bytesOn(at::Device device, const void* bytes, size_t size) {
  std::vector<int32_t> words(size / sizeof(int32_t));
  std::memcpy(words.data(), bytes, size);
  return toDevice(words, device);
}

}  // namespace

std::vector<uint8_t> chunksOf(const std::vector<UpdateSlice>& slices) {
  std::vector<Chunk> chunks;
  for (const UpdateSlice& slice : slices)
    for (int64_t i = 0; i < slice.length; i += kChunk)
      chunks.push_back({slice.weight + i, slice.gradient + i, slice.moment + i,
                        slice.rounded < 0 ? -1 : slice.rounded + i,
                        static_cast<int32_t>(std::min(kChunk, slice.length - i)), slice.group});
  std::vector<uint8_t> bytes(chunks.size() * sizeof(Chunk));
  if (!chunks.empty()) std::memcpy(bytes.data(), chunks.data(), bytes.size());
  return bytes;
}

void adam(const cuda::Kernels& kernels, const at::Tensor& chunks, const FlatTensors& flat,
          const std::vector<GroupNumbers>& groups, const UpdateScalars& scalars, const AdamOptions& options) {
  const at::Device device = flat.weights.device();
  struct Group {
    float learningRate, weightDecay, firstCorrection, secondCorrection;
  };
  std::vector<Group> numbers;
  std::vector<const void*> steps;
  for (const GroupNumbers& group : groups) {
    numbers.push_back({static_cast<float>(group.learningRate), static_cast<float>(group.weightDecay), 0, 0});
    steps.push_back(pointer(group.step, at::kFloat));
  }
  const at::Tensor groupsOnDevice = bytesOn(device, numbers.data(), numbers.size() * sizeof(Group)),
                   stepsOnDevice = bytesOn(device, steps.data(), steps.size() * sizeof(void*));
  const int64_t size = flat.gradients.numel();
  // A function of the size alone, so that the sum has one order on every GPU.
  const int64_t blocks = std::clamp<int64_t>(size / kElementsOfBlock, 1, kMostBlocksOfNorm);
  const at::Tensor partial = at::empty({blocks}, flat.gradients.options().dtype(at::kDouble));
  kernels.launch("squareSums", {blocks}, kThreads, pointer(flat.gradients, at::kFloat), size,
                 partial.data_ptr());
  const struct {
    const void *norm, *divisor, *skips, *updates, *skipped;
  } state{pointer(scalars.norm, at::kFloat), pointer(scalars.divisor, at::kFloat),
          pointer(scalars.skips, at::kFloat), pointer(scalars.updates, at::kFloat),
          pointer(scalars.skipped, at::kFloat)};
  kernels.launch("prepareUpdate", {1}, kWarp, partial.const_data_ptr(), static_cast<int32_t>(blocks),
                 static_cast<float>(options.maxGradNorm), options.beta1, options.beta2,
                 static_cast<int32_t>(groups.size()), state, stepsOnDevice.const_data_ptr(),
                 groupsOnDevice.data_ptr());
  const struct {
    float firstRest, beta2, secondRest, epsilon;
    int32_t isDecoupled;
  } adamNumbers{static_cast<float>(1 - options.beta1), static_cast<float>(options.beta2),
                static_cast<float>(1 - options.beta2), static_cast<float>(options.epsilon),
                static_cast<int32_t>(options.isDecoupled)};
  kernels.launch("adam", {chunks.numel() * chunks.element_size() / static_cast<int64_t>(sizeof(Chunk))},
                 kThreads, chunks.const_data_ptr(), groupsOnDevice.const_data_ptr(), state.divisor,
                 state.skips, adamNumbers, pointer(flat.weights, at::kFloat),
                 pointer(flat.gradients, at::kFloat), pointer(flat.firstMoments, at::kFloat),
                 pointer(flat.secondMoments, at::kFloat), pointer(flat.rounded, at::kBFloat16));
}

}  // namespace bertune::fused
