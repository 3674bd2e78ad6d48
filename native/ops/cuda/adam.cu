// AdamW and Adam over flat storage: the norm of all gradients, and then one pass that clips, leaves out a
// step that is not finite, updates weights and moments and writes the copies in bfloat16. Whatever changes
// from update to update is read from memory of the device, so that the launches can be recorded and repeated.

constexpr int kNormThreads = 256;

// partial: [blocks].
extern "C" __global__ void __launch_bounds__(kNormThreads)
    squareSums(const float* gradients, Long size, double* partial) {
  SHARED(float, scratch, kNormThreads / kWarp);
  const Long stride = static_cast<Long>(gridDim.x) * blockDim.x * kColumnsOfThread;
  Four<float> lanes = {};
  Long place = (static_cast<Long>(blockIdx.x) * blockDim.x + threadIdx.x) * kColumnsOfThread;
#pragma unroll 4
  for (; place + kColumnsOfThread <= size && isAligned(gradients); place += stride) {
    const Four<float> x = load(gradients, place);
#pragma unroll
    for (int i = 0; i < kColumnsOfThread; ++i) lanes.at[i] += x.at[i] * x.at[i];
  }
  for (; place < size; place += stride)
    for (Long i = place; i < place + kColumnsOfThread && i < size; ++i)
      lanes.at[0] += gradients[i] * gradients[i];
  float sums[1] = {(lanes.at[0] + lanes.at[1]) + (lanes.at[2] + lanes.at[3])};
  sumOverBlock(sums, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
}

// What an update reads and changes beside weights and moments; float32 scalars of the device.
struct UpdateState {
  float *norm, *divisor, *skips;  // of this step
  float *updates, *skipped;       // so far
};

// What the host says before each update, and behind it of each group of tensors.
struct UpdateNumbers {
  double beta1, beta2;
  float epsilon, maxNorm;  // 0 = no clipping
};
struct UpdateGroup {
  float learningRate, weightDecay;
};
struct UpdateCorrections {
  float first, second;  // 1 - beta1^step, sqrt(1 - beta2^step)
};

__device__ inline const UpdateGroup* groupsOf(const UpdateNumbers* numbers) {
  return reinterpret_cast<const UpdateGroup*>(numbers + 1);
}

// One block. A divisor of 1 or more clips, as torch's clip_grad_norm_ does. steps and corrections: of each
// group.
extern "C" __global__ void __launch_bounds__(kWarp)
    prepareUpdate(const double* partial, int parts, const UpdateNumbers* numbers, int groups,
                  UpdateState state, float* steps, UpdateCorrections* corrections) {
  const float maxNorm = numbers->maxNorm;
  double sum = 0.0;
  for (int i = threadIdx.x; i < parts; i += kWarp) sum += partial[i];
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
  const float norm = static_cast<float>(sqrt(sum));
  const float skips = norm - norm == 0.0f ? 0.0f : 1.0f;
  for (int i = threadIdx.x; i < groups; i += kWarp) {
    const float step = steps[i] + (1.0f - skips);
    steps[i] = step;
    corrections[i].first = static_cast<float>(1.0 - pow(numbers->beta1, static_cast<double>(step)));
    corrections[i].second = static_cast<float>(sqrt(1.0 - pow(numbers->beta2, static_cast<double>(step))));
  }
  if (threadIdx.x != 0) return;
  const float clip = (norm + 1e-6f) / maxNorm;
  *state.norm = norm;
  *state.divisor = maxNorm > 0.0f && clip > 1.0f ? clip : 1.0f;
  *state.skips = skips;
  *state.updates += 1.0f - skips;
  *state.skipped += skips;
}

// A part of a slice that one block updates: places in the flat tensors. `rounded` is null where there is no
// copy.
struct UpdateChunk {
  Long weight, gradient, moment;
  BFloat16* rounded;
  int length, group;
};

// What all elements of a group have in common.
struct AdamStep {
  float firstRest, beta2, secondRest, epsilon;  // rests: 1 - beta, which float32 has no 1 - 0.999 for
  float decay, size, secondCorrection;
  bool isDecoupled;  // weight decay: AdamW's, else Adam's
};

__device__ inline void updateOne(float& weight, float gradient, float& first, float& second,
                                 const AdamStep& step) {
  if (step.isDecoupled)
    weight -= step.decay * weight;
  else
    gradient += step.decay * weight;
  first += step.firstRest * (gradient - first);
  second = step.beta2 * second + step.secondRest * gradient * gradient;
  const float denominator = sqrtf(second) / step.secondCorrection + step.epsilon;
  weight -= step.size * first / denominator;
}

extern "C" __global__ void __launch_bounds__(256)
    adam(const UpdateChunk* chunks, const UpdateNumbers* numbers, const UpdateCorrections* corrections,
         const float* divisor, const float* skips, int isDecoupled, float* weights, const float* gradients,
         float* firsts, float* seconds) {
  if (*skips != 0.0f) return;
  const UpdateChunk chunk = chunks[blockIdx.x];
  const UpdateGroup group = groupsOf(numbers)[chunk.group];
  const UpdateCorrections correction = corrections[chunk.group];
  const AdamStep step{static_cast<float>(1.0 - numbers->beta1),
                      static_cast<float>(numbers->beta2),
                      static_cast<float>(1.0 - numbers->beta2),
                      numbers->epsilon,
                      isDecoupled ? group.learningRate * group.weightDecay : group.weightDecay,
                      group.learningRate / correction.first,
                      correction.second,
                      isDecoupled != 0};
  const float factor = 1.0f / *divisor;
  weights += chunk.weight;
  gradients += chunk.gradient;
  firsts += chunk.moment;
  seconds += chunk.moment;
  BFloat16* const rounded = chunk.rounded;
  const bool areFours = chunk.length % kColumnsOfThread == 0 && isAligned(weights) && isAligned(gradients) &&
                        isAligned(firsts) && isAligned(seconds) && isAligned(rounded);
  if (areFours) {
#pragma unroll 2
    for (int i = threadIdx.x * kColumnsOfThread; i < chunk.length; i += blockDim.x * kColumnsOfThread) {
      Four<float> weight = load(weights, i), first = load(firsts, i), second = load(seconds, i);
      const Four<float> gradient = load(gradients, i);
#pragma unroll
      for (int k = 0; k < kColumnsOfThread; ++k)
        updateOne(weight.at[k], gradient.at[k] * factor, first.at[k], second.at[k], step);
      store(weights, i, weight);
      store(firsts, i, first);
      store(seconds, i, second);
      if (rounded != nullptr) store(rounded, i, weight);
    }
    return;
  }
  for (int i = threadIdx.x; i < chunk.length; i += blockDim.x) {
    float weight = weights[i], first = firsts[i], second = seconds[i];
    updateOne(weight, gradients[i] * factor, first, second, step);
    weights[i] = weight;
    firsts[i] = first;
    seconds[i] = second;
    if (rounded != nullptr) narrow(rounded[i], weight);
  }
}
