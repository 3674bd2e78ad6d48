#include "ops/fused_adam.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "core/memory.h"

namespace bertune::fused {
namespace {

constexpr int64_t kThreads = 256, kWarp = 32;  // as in ops/cuda/adam.cu
constexpr int64_t kMostBlocksOfNorm = 512, kElementsOfBlock = 4096;
constexpr int64_t kChunk = 16384;

struct Chunk {
  int64_t weight, gradient, moment;
  const void* rounded;
  int32_t length, group;
};

struct Numbers {
  double beta1, beta2;
  float epsilon, maxNorm;
};
struct Group {
  float learningRate, weightDecay;
};

const void* pointer(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_contiguous() && tensor.scalar_type() == at::kFloat, "adam wants contiguous floats");
  return tensor.const_data_ptr();
}

// Plain data as words.
class Words {
 public:
  template <typename T>
  void add(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(int32_t) == 0);
    words_.resize(words_.size() + sizeof(T) / sizeof(int32_t));
    std::memcpy(words_.data() + words_.size() - sizeof(T) / sizeof(int32_t), &value, sizeof(T));
  }
  // A tensor of the device begins where the largest of them may.
  at::Tensor on(at::Device device) const { return toDevice(words_, device); }

 private:
  std::vector<int32_t> words_;
};

}  // namespace

Adam::Adam(const std::vector<UpdateSlice>& slices, FlatTensors flat, at::Tensor steps, bool isDecoupled)
    : flat_(std::move(flat)), steps_(std::move(steps)), isDecoupled_(isDecoupled) {
  Words chunks;
  for (const UpdateSlice& slice : slices) {
    if (slice.rounded.defined()) copies_.push_back(slice.rounded);
    const auto* rounded = slice.rounded.defined() ? slice.rounded.const_data_ptr<at::BFloat16>() : nullptr;
    for (int64_t i = 0; i < slice.length; i += kChunk)
      chunks.add(Chunk{slice.weight + i, slice.gradient + i, slice.moment + i,
                       rounded == nullptr ? nullptr : rounded + i,
                       static_cast<int32_t>(std::min(kChunk, slice.length - i)), slice.group});
  }
  chunks_ = chunks.on(flat_.weights.device());
  const auto options = flat_.weights.options();
  corrections_ = at::empty({steps_.size(0), 2}, options);
  // A function of the size alone, so that the sum has one order on every GPU.
  const int64_t blocks =
      std::clamp<int64_t>(flat_.gradients.numel() / kElementsOfBlock, 1, kMostBlocksOfNorm);
  partial_ = at::empty({blocks}, options.dtype(at::kDouble));
}

void Adam::load(const AdamOptions& options, const std::vector<GroupNumbers>& groups) {
  Words numbers;
  numbers.add(Numbers{options.beta1, options.beta2, static_cast<float>(options.epsilon),
                      static_cast<float>(options.maxGradNorm)});
  for (const GroupNumbers& group : groups)
    numbers.add(Group{static_cast<float>(group.learningRate), static_cast<float>(group.weightDecay)});
  const at::Tensor fresh = numbers.on(flat_.weights.device());
  if (numbers_.defined())
    numbers_.copy_(fresh);  // at the address that a recorded launch reads
  else
    numbers_ = fresh;
}

void Adam::update(const cuda::Kernels& kernels, const UpdateScalars& scalars) const {
  const auto groups = static_cast<int32_t>(steps_.size(0));
  const auto blocks = static_cast<int32_t>(partial_.numel());
  const int64_t chunks = chunks_.nbytes() / sizeof(Chunk), size = flat_.gradients.numel();
  const void *numbers = numbers_.const_data_ptr(), *corrections = corrections_.const_data_ptr();
  const struct {
    const void *norm, *divisor, *skips, *updates, *skipped;
  } state{pointer(scalars.norm), pointer(scalars.divisor), pointer(scalars.skips), pointer(scalars.updates),
          pointer(scalars.skipped)};
  kernels.launch("squareSums", {blocks}, kThreads, pointer(flat_.gradients), size, partial_.const_data_ptr());
  kernels.launch("prepareUpdate", {1}, kWarp, partial_.const_data_ptr(), blocks, numbers, groups, state,
                 pointer(steps_), corrections);
  kernels.launch("adam", {chunks}, kThreads, chunks_.const_data_ptr(), numbers, corrections, state.divisor,
                 state.skips, static_cast<int32_t>(isDecoupled_), pointer(flat_.weights),
                 pointer(flat_.gradients), pointer(flat_.firstMoments), pointer(flat_.secondMoments));
}

}  // namespace bertune::fused
