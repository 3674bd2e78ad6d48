// AdamW and Adam over flat storage: the norm of all gradients, and then one pass that clips, leaves out a
// step that is not finite, updates weights and moments and writes the copies in bfloat16. What changes from
// step to step is read from memory of the device.

constexpr int kNormThreads = 256;

// partial: [blocks].
extern "C" __global__ void __launch_bounds__(kNormThreads)
    squareSums(const float* gradients, Long size, double* partial) {
  SHARED(float, scratch, kNormThreads / kWarp);
  const Long stride = static_cast<Long>(gridDim.x) * blockDim.x * kColumnsOfThread;
  Four<float> lanes = {};
  Long place = (static_cast<Long>(blockIdx.x) * blockDim.x + threadIdx.x) * kColumnsOfThread;
#pragma unroll 4
  for (; place + kColumnsOfThread <= size; place += stride) {
    const Four<float> x = load(gradients, place);
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) lanes.at[i] += x.at[i] * x.at[i];
  }
  for (; place < size; ++place) lanes.at[0] += gradients[place] * gradients[place];
  float sums[1] = {(lanes.at[0] + lanes.at[1]) + (lanes.at[2] + lanes.at[3])};
  sumOverBlock(sums, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
}

// What an update reads and changes beside weights and moments; float32 scalars of the device.
struct UpdateState {
  float *norm, *divisor, *skips;  // of this step
  float *updates, *skipped;       // so far
};

// Of one group of tensors; `learningRate` and `weightDecay` are given, the rest is this kernel's.
struct UpdateGroup {
  float learningRate, weightDecay;
  float firstCorrection, secondCorrection;  // 1 - beta1^step, sqrt(1 - beta2^step)
};

// One block. A divisor of 1 or more clips, as torch's clip_grad_norm_ does. steps: of the groups.
extern "C" __global__ void __launch_bounds__(kWarp)
    prepareUpdate(const double* partial, int parts, float maxNorm, double beta1, double beta2, int groups,
                  UpdateState state, float* const* steps, UpdateGroup* group) {
  double sum = 0.0;
  for (int i = threadIdx.x; i < parts; i += kWarp) sum += partial[i];
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
  const float norm = static_cast<float>(sqrt(sum));
  const float skips = norm - norm == 0.0f ? 0.0f : 1.0f;
  for (int i = threadIdx.x; i < groups; i += kWarp) {
    const float step = *steps[i] + (1.0f - skips);
    *steps[i] = step;
    group[i].firstCorrection = static_cast<float>(1.0 - pow(beta1, static_cast<double>(step)));
    group[i].secondCorrection = static_cast<float>(sqrt(1.0 - pow(beta2, static_cast<double>(step))));
  }
  if (threadIdx.x != 0) return;
  const float clip = (norm + 1e-6f) / maxNorm;
  *state.norm = norm;
  *state.divisor = maxNorm > 0.0f && clip > 1.0f ? clip : 1.0f;
  *state.skips = skips;
  *state.updates += 1.0f - skips;
  *state.skipped += skips;
}

// A part of a slice that one block updates: places in the flat tensors. `rounded` is -1 where there is no
// copy.
struct UpdateChunk {
  Long weight, gradient, moment, rounded;
  int length, group;
};

struct AdamNumbers {
  float firstRest, beta2, secondRest, epsilon;  // rests: 1 - beta, which float32 has no 1 - 0.999 for
  int isDecoupled;                              // weight decay: AdamW's, else Adam's
};

__device__ inline void updateOne(float& weight, float gradient, float& first, float& second,
                                 const UpdateGroup& group, const AdamNumbers& numbers) {
  if (numbers.isDecoupled)
    weight -= group.learningRate * group.weightDecay * weight;
  else
    gradient += group.weightDecay * weight;
  first += numbers.firstRest * (gradient - first);
  second = numbers.beta2 * second + numbers.secondRest * gradient * gradient;
  const float denominator = sqrtf(second) / group.secondCorrection + numbers.epsilon;
  weight -= group.learningRate / group.firstCorrection * first / denominator;
}

extern "C" __global__ void __launch_bounds__(256)
    adam(const UpdateChunk* chunks, const UpdateGroup* groups, const float* divisor, const float* skips,
         AdamNumbers numbers, float* weights, const float* gradients, float* firsts, float* seconds,
         BFloat16* rounded) {
  if (*skips != 0.0f) return;
  const UpdateChunk chunk = chunks[blockIdx.x];
  const UpdateGroup group = groups[chunk.group];
  const float factor = 1.0f / *divisor;
  const bool isAligned = ((chunk.weight | chunk.gradient | chunk.moment | chunk.length |
                           (chunk.rounded < 0 ? 0 : chunk.rounded)) &
                          (kColumnsOfThread - 1)) == 0;
  if (isAligned) {
#pragma unroll 2
    for (int i = threadIdx.x * kColumnsOfThread; i < chunk.length; i += blockDim.x * kColumnsOfThread) {
      Four<float> weight = load(weights, chunk.weight + i), first = load(firsts, chunk.moment + i),
                  second = load(seconds, chunk.moment + i);
      const Four<float> gradient = load(gradients, chunk.gradient + i);
#pragma unroll
      for (int k = 0; k < kColumnsOfThread; ++k)
        updateOne(weight.at[k], gradient.at[k] * factor, first.at[k], second.at[k], group, numbers);
      store(weights, chunk.weight + i, weight);
      store(firsts, chunk.moment + i, first);
      store(seconds, chunk.moment + i, second);
      if (chunk.rounded >= 0) store(rounded, chunk.rounded + i, weight);
    }
    return;
  }
  for (int i = threadIdx.x; i < chunk.length; i += blockDim.x) {
    float weight = weights[chunk.weight + i], first = firsts[chunk.moment + i],
          second = seconds[chunk.moment + i];
    updateOne(weight, gradients[chunk.gradient + i] * factor, first, second, group, numbers);
    weights[chunk.weight + i] = weight;
    firsts[chunk.moment + i] = first;
    seconds[chunk.moment + i] = second;
    if (chunk.rounded >= 0) narrow(rounded[chunk.rounded + i], weight);
  }
}
