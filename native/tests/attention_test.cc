// Attention: our kernels, and what surrounds LibTorch's for CUDA.
#include "ops/attention.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/device.h"
#include "tests/comparison.h"
#include "tests/cuda_stand_in.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

// From queries, keys and values of all tokens, one tensor: of a query alone the gradient is next to nothing
// where a sequence has one token.
AttentionInput inputOf(const at::Tensor& all, const std::vector<int32_t>& cuSeqlens, bool isFirstOnly) {
  if (!isFirstOnly) return {all};
  const std::vector<int64_t> first(cuSeqlens.begin(), cuSeqlens.end() - 1);
  return {all.narrow(1, 1, 2), all.select(1, 0).index_select(0, at::tensor(first))};
}

void testAttention(at::ScalarType type, const Mask& mask) {
  const std::vector<std::vector<int32_t>> batches{
      {0, 1}, {0, 1, 2, 3}, {0, 64, 129}, {0, 5, 6, 518, 555, 619}};
  // Heads, head size.
  const std::vector<std::pair<int64_t, int64_t>> shapes{{1, 24}, {3, 40}, {2, 80}, {3, 5}, {1, 130}};
  for (const auto& cuSeqlens : batches)
    for (const auto& [heads, headSize] : shapes)
      for (const bool isFirstOnly : {false, true}) {
        const int64_t tokens = cuSeqlens.back(), sequences = static_cast<int64_t>(cuSeqlens.size()) - 1;
        const std::string name = std::to_string(tokens) + " tokens, " + std::to_string(heads) + " x " +
                                 std::to_string(headSize) + (isFirstOnly ? ", first queries only" : "");
        compare(
            {describe("attention of " + name, type, mask),
             {random({tokens, 3, heads, headSize}, type)},
             {type},
             type,
             {isFirstOnly ? sequences : tokens, heads * headSize}},
            [&](const Inputs& in) {
              return attention(inputOf(in[0], cuSeqlens, isFirstOnly), cuSeqlens, {}, mask);
            },
            [&](const Inputs& in) {
              return attentionReference(inputOf(in[0], cuSeqlens, isFirstOnly), cuSeqlens, mask);
            });
      }
}

// Windows that end within tiles and at their borders, and rotary positions: from queries and keys that the
// reference turns by ATen's operators.
void testWindowsAndRotations(at::ScalarType type, const Mask& mask) {
  const std::vector<int32_t> cuSeqlens{0, 5, 6, 262, 299, 363};
  const std::vector<std::optional<int64_t>> windows{0, 1, 63, 64, 65, 300, std::nullopt};
  const int64_t tokens = cuSeqlens.back(), sequences = static_cast<int64_t>(cuSeqlens.size()) - 1;
  const at::Tensor offsets = at::tensor(at::ArrayRef<int32_t>(cuSeqlens), at::kInt);
  for (const auto& window : windows)
    for (const int64_t headSize : {6, 64})
      for (const bool isRotated : {false, true})
        for (const bool isFirstOnly : {false, true}) {
          constexpr int64_t heads = 2;
          const auto input = [&](const Inputs& in) {
            AttentionInput all = inputOf(in[0], cuSeqlens, isFirstOnly);
            all.window = window;
            if (isRotated) all.rotaryTable = rotaryTable(10.0, headSize, 256, at::kCPU);
            return all;
          };
          const std::string name =
              "attention, heads of " + std::to_string(headSize) +
              (window.has_value() ? ", window " + std::to_string(*window) : std::string()) +
              (isRotated ? ", rotated" : "") + (isFirstOnly ? ", first queries only" : "");
          const std::vector<int64_t> sizes{isFirstOnly ? sequences : tokens, heads * headSize};
          const Case given{
              describe(name, type, mask), {random({tokens, 3, heads, headSize}, type)}, {type}, type, sizes};
          compare(
              given, [&](const Inputs& in) { return attention(input(in), cuSeqlens, {}, mask); },
              [&](const Inputs& in) { return attentionReference(input(in), cuSeqlens, mask); });
          if (type != at::kBFloat16 || isRotated || isFirstOnly || !mask.dropsNothing() || headSize % 8 != 0)
            continue;
          compare(
              {"for CUDA: " + given.name, given.values, given.types, type, given.sizes},
              [&](const Inputs& in) { return attentionCuda(input(in), cuSeqlens, offsets, mask); },
              [&](const Inputs& in) { return attentionReference(input(in), cuSeqlens, mask); });
        }
}

// A bias by distance, of sequences that end within tiles and at their borders; and with a window, and rows
// for longer sequences than there are.
void testDistanceBias(at::ScalarType type, const Mask& mask) {
  constexpr int64_t heads = 3;
  for (const auto& cuSeqlens :
       std::vector<std::vector<int32_t>>{{0, 3, 4}, {0, 64, 129}, {0, 5, 6, 262, 299}})
    for (const int64_t headSize : {6, 64})
      for (const bool isWindowed : {false, true})
        for (const bool isFirstOnly : {false, true}) {
          int64_t longest = 0;
          for (size_t i = 1; i < cuSeqlens.size(); ++i)
            longest = std::max<int64_t>(longest, cuSeqlens[i] - cuSeqlens[i - 1]);
          if (isWindowed) longest += 3;
          const int64_t tokens = cuSeqlens.back(), sequences = static_cast<int64_t>(cuSeqlens.size()) - 1;
          const auto input = [&](const Inputs& in) {
            AttentionInput all = inputOf(in[0], cuSeqlens, isFirstOnly);
            all.distanceBias = in[1];
            if (isWindowed) all.window = 65;
            return all;
          };
          const std::string name = "attention of " + std::to_string(tokens) + " tokens with a bias of " +
                                   std::to_string(2 * longest - 1) + " distances, heads of " +
                                   std::to_string(headSize) + (isWindowed ? ", window" : "") +
                                   (isFirstOnly ? ", first queries only" : "");
          compare(
              {describe(name, type, mask),
               {random({tokens, 3, heads, headSize}, type), random({heads, 2 * longest - 1}, at::kFloat)},
               {type, at::kFloat},
               type,
               {isFirstOnly ? sequences : tokens, heads * headSize}},
              [&](const Inputs& in) { return attention(input(in), cuSeqlens, {}, mask); },
              [&](const Inputs& in) { return attentionReference(input(in), cuSeqlens, mask); });
        }
}

// The gradient of the bias has the same bits whatever the number of threads.
void testDistanceGradient() {
  const std::vector<int32_t> cuSeqlens{0, 5, 6, 262, 299, 363};
  const at::Tensor projected = random({cuSeqlens.back(), 3, 2, 16}, at::kFloat).to(at::kFloat);
  const at::Tensor bias = random({2, 511}, at::kFloat).to(at::kFloat);
  const int threads = at::get_num_threads();
  std::vector<at::Tensor> gradients;
  for (const int count : {1, 2, 3}) {
    at::set_num_threads(count);
    AttentionInput input{projected};
    input.distanceBias = bias.clone().set_requires_grad(true);
    attention(input, cuSeqlens, {}, Mask()).square().sum().backward();
    gradients.push_back(input.distanceBias.grad());
  }
  at::set_num_threads(threads);
  const bool isSame = at::equal(gradients[0], gradients[1]) && at::equal(gradients[0], gradients[2]);
  report("the gradient of a bias with other numbers of threads", isSame ? 0 : 1, 0);
}

// Of transformers 5.18: MPNetEncoder.relative_position_bucket of each first distance of a bucket.
void testDistanceBuckets() {
  const std::vector<int64_t> firsts{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
  constexpr int64_t longest = 600;
  const at::Tensor buckets = distanceBuckets(32, 128, longest, at::kCPU);
  int64_t wrong = buckets.numel() == 2 * longest - 1 ? 0 : 1;
  for (int64_t distance = 1 - longest; distance < longest; ++distance) {
    int64_t bucket = 0;
    while (bucket < 15 && firsts[bucket + 1] <= std::abs(distance)) ++bucket;
    if (distance > 0) bucket += 16;
    if (buckets[distance + longest - 1].item<int64_t>() != bucket) ++wrong;
  }
  report("the buckets of distances", static_cast<double>(wrong), 0);
}

// Rows for the distances of up to `longest` tokens, in reverse, so that none is where it may be expected: one
// for each of the nearest, and then one for every few.
RelativePositions relativePositions(int64_t longest, int64_t near) {
  RelativePositions positions;
  for (int64_t distance = 1 - longest; distance < longest; ++distance) {
    const int64_t size = std::abs(distance);
    const int64_t bucket = size <= near ? size : near + (size - near + 4) / 5;
    positions.rows.push_back(static_cast<int32_t>(distance < 0 ? bucket : -bucket));
  }
  const int32_t first = *std::min_element(positions.rows.begin(), positions.rows.end());
  for (int32_t& row : positions.rows) row -= first;
  return positions;
}

void testDisentangled(at::ScalarType type, const Mask& mask) {
  const std::vector<std::vector<int32_t>> batches{{0, 1, 17, 20}, {0, 64, 129}, {0, 5, 6, 330, 367, 431}};
  const std::vector<std::pair<int64_t, int64_t>> shapes{{1, 24}, {3, 40}, {2, 64}, {3, 5}};
  const std::vector<std::pair<bool, bool>> parts{{true, true}, {true, false}, {false, true}};
  for (const auto& cuSeqlens : batches)
    for (const auto& [heads, headSize] : shapes)
      for (const auto& [hasKeys, hasQueries] : parts)
        for (const bool isFirstOnly : {false, true}) {
          const int64_t tokens = cuSeqlens.back(), sequences = static_cast<int64_t>(cuSeqlens.size()) - 1;
          int64_t longest = 0;
          for (size_t i = 1; i < cuSeqlens.size(); ++i)
            longest = std::max<int64_t>(longest, cuSeqlens[i] - cuSeqlens[i - 1]);
          // More than the longest sequence has too: rows that nothing reaches.
          const RelativePositions positions = relativePositions(longest + headSize % 2, 70);
          const int64_t rows = *std::max_element(positions.rows.begin(), positions.rows.end()) + 1;
          const auto input = [&, hasKeys = hasKeys, hasQueries = hasQueries](const Inputs& in) {
            AttentionInput all = inputOf(in[0], cuSeqlens, isFirstOnly);
            all.relative = positions;
            if (hasKeys) all.relative.keys = in[1];
            if (hasQueries) all.relative.queries = in.back();
            return all;
          };
          Inputs values{random({tokens, 3, heads, headSize}, type)};
          // Products of three like vectors would be softmaxes of one key.
          for (int part = hasKeys + hasQueries; part > 0; --part)
            values.push_back(random({rows, heads, headSize}, type) / 2);
          compare(
              {describe("disentangled attention of " + std::to_string(tokens) + " tokens, " +
                            std::to_string(heads) + " x " + std::to_string(headSize) +
                            (hasKeys ? ", relative keys" : "") + (hasQueries ? ", relative queries" : "") +
                            (isFirstOnly ? ", first queries only" : ""),
                        type, mask),
               values,
               std::vector<at::ScalarType>(values.size(), type),
               type,
               {isFirstOnly ? sequences : tokens, heads * headSize}},
              [&](const Inputs& in) { return attention(input(in), cuSeqlens, {}, mask); },
              [&](const Inputs& in) { return attentionReference(input(in), cuSeqlens, mask); });
        }
}

// Pair j of a head of 4 turns by position * theta^(-j / 2): a scalar product of two turned vectors depends on
// the distance alone.
void testRotaryTable() {
  const at::Tensor table = rotaryTable(100.0, 4, 3, at::kCPU);
  double error = 0;
  for (int64_t position = 0; position < 3; ++position)
    for (int64_t pair = 0; pair < 2; ++pair) {
      const double angle = static_cast<double>(position) * std::pow(100.0, -static_cast<double>(pair) / 2);
      error = std::max(error, std::abs(table[0][position][pair].item<double>() - std::cos(angle)));
      error = std::max(error, std::abs(table[1][position][pair].item<double>() - std::sin(angle)));
    }
  report("the table of rotary positions", error, 1e-6);
}

// The first number that an operator draws from the default generator after it was seeded for `mask`.
uint64_t stateAt(const Mask& mask) {
  auto generator = at::detail::createCPUGenerator(generatorSeed(mask));
  return at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
}

// Attention with the masks that the stand-ins draw, from ATen operators and autograd. `padded`: the length
// that sequences have in the kernel's own eyes, or 0 for that of each.
at::Tensor attentionDrawn(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                          const Mask& mask, int64_t padded) {
  const int64_t heads = input.heads(), headSize = input.headSize(), parts = input.projected.size(1);
  std::vector<at::Tensor> outputs;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const int64_t start = cuSeqlens[i - 1], length = cuSeqlens[i] - start;
    const int64_t asked = input.isFirstOnly() ? 1 : length, number = static_cast<int64_t>(i) - 1;
    const at::Tensor sequence = input.projected.narrow(0, start, length).permute({1, 2, 0, 3});
    const at::Tensor query =
        input.isFirstOnly() ? input.query.narrow(0, number, 1).transpose(0, 1) : sequence[0];
    const at::Tensor scores =
        at::matmul(query, sequence[parts - 2].transpose(1, 2)) / std::sqrt(static_cast<double>(headSize));
    at::Tensor probabilities = at::softmax(scores, -1);
    std::vector<at::Tensor> kept;
    for (int64_t head = 0; head < heads; ++head)
      kept.push_back(standin::mask(stateAt(mask), number * heads + head,
                                   padded == 0 || input.isFirstOnly() ? asked : padded,
                                   padded == 0 ? length : padded, mask.probability())
                         .narrow(0, 0, asked)
                         .narrow(1, 0, length));
    if (!mask.dropsNothing()) probabilities = probabilities * at::stack(kept);
    outputs.push_back(
        at::matmul(probabilities, sequence[parts - 1]).permute({1, 0, 2}).reshape({asked, heads * headSize}));
  }
  return at::cat(outputs);
}

// What surrounds LibTorch's kernels for CUDA, on stand-ins for them.
// `bound`: a number of tokens that no sequence exceeds, as a bucket has it; 0 for none but the lengths.
void testAttentionCuda(at::ScalarType type, const Mask& mask, int64_t bound) {
  const std::vector<std::vector<int32_t>> batches{{0, 1}, {0, 1, 2, 3}, {0, 5, 6, 118, 155, 219}};
  const std::vector<std::pair<int64_t, int64_t>> shapes{{1, 24}, {3, 20}, {2, 64}};  // heads, head size
  for (const auto& cuSeqlens : batches)
    for (const auto& [heads, headSize] : shapes)
      for (const bool isFirstOnly : {false, true}) {
        const int64_t tokens = cuSeqlens.back(), sequences = static_cast<int64_t>(cuSeqlens.size()) - 1;
        const std::string name = "attention for CUDA of " + std::to_string(tokens) + " tokens, " +
                                 std::to_string(heads) + " x " + std::to_string(headSize) +
                                 (bound > 0 ? ", at most " + std::to_string(bound) : "") +
                                 (isFirstOnly ? ", first queries only" : "");
        int64_t longest = bound;
        for (size_t i = 1; i < cuSeqlens.size(); ++i)
          longest = std::max<int64_t>(longest, cuSeqlens[i] - cuSeqlens[i - 1]);
        const int64_t padded = type == at::kFloat ? (longest + 7) / 8 * 8 : 0;
        const at::Tensor offsets = at::tensor(at::ArrayRef<int32_t>(cuSeqlens), at::kInt);
        const auto input = [&](const Inputs& in) {
          AttentionInput all = inputOf(in[0], cuSeqlens, isFirstOnly);
          all.longest = bound;
          return all;
        };
        compare(
            {describe(name, type, mask),
             {random({tokens, 3, heads, headSize}, type)},
             {type},
             type,
             {isFirstOnly ? sequences : tokens, heads * headSize}},
            [&](const Inputs& in) { return attentionCuda(input(in), cuSeqlens, offsets, mask); },
            [&](const Inputs& in) { return attentionDrawn(input(in), cuSeqlens, mask, padded); });
      }
  report("LibTorch's switches are as before", at::globalContext().deterministicAlgorithms() ? 1 : 0, 0);
}

// Sequences 0 and 1 in one call, 2 and 3 in the next and 4 in a last one, each with draws of its own.
void testSeveralCalls(const Mask& mask) {
  constexpr int64_t heads = 3, length = 16;
  const std::vector<int32_t> cuSeqlens{0, 5, 18, 19, 35, 43};
  const at::Tensor offsets = at::tensor(at::ArrayRef<int32_t>(cuSeqlens), at::kInt);
  compare(
      {"attention for CUDA in several calls",
       {random({43, 3, heads, 24}, at::kFloat)},
       {at::kFloat},
       at::kFloat,
       {43, heads * 24}},
      [&](const Inputs& in) {
        return attentionCuda({in[0]}, cuSeqlens, offsets, mask, 3 * heads * length * length - 1);
      },
      [&](const Inputs& in) {
        std::vector<at::Tensor> outputs;
        for (const auto& [first, end] : {std::pair(0, 2), std::pair(2, 4), std::pair(4, 5)}) {
          const int32_t start = cuSeqlens[first];
          std::vector<int32_t> part(cuSeqlens.begin() + first, cuSeqlens.begin() + end + 1);
          for (int32_t& offset : part) offset -= start;
          outputs.push_back(attentionDrawn({in[0].narrow(0, start, part.back())}, part,
                                           mask.from(first * length * heads), length));
        }
        return at::cat(outputs);
      });
}

}  // namespace

void testAttentions(at::ScalarType type, const Mask& mask) {
  testAttention(type, mask);
  testWindowsAndRotations(type, mask);
  testDistanceBias(type, mask);
  testDisentangled(type, mask);
  if (type == at::kFloat && mask.dropsNothing()) {
    testRotaryTable();
    testDistanceGradient();
    testDistanceBuckets();
  }
  testAttentionCuda(type, mask, /*bound=*/0);
}

void testBoundedAttentions(const Mask& mask) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) testAttentionCuda(type, mask, /*bound=*/128);
  testSeveralCalls(mask);
}

// What is drawn in order is a function of one seed and the order, and another seed's after another: as a
// graph draws it, whose kernels go on from the same place. Otherwise each call has the numbers of its own
// place.
void testDrawsInOrder() {
  const std::vector<int32_t> cuSeqlens{0, 5, 6, 41};
  const at::Tensor offsets = at::tensor(at::ArrayRef<int32_t>(cuSeqlens), at::kInt);
  const at::Tensor qkv = random({41, 3, 2, 24}, at::kBFloat16).to(at::kBFloat16);
  const auto attend = [&](int64_t layer) {
    return attentionCuda({qkv}, cuSeqlens, offsets, makeMask(42, 3, layer, Site::Attention, 0.1, 0));
  };
  const auto check = [](const std::string& name, bool holds) {
    report("draws in order: " + name, holds ? 0 : 1, 0);
  };
  const at::Tensor placed = attend(1);
  at::Tensor first, second;
  {
    DrawsInOrder draws(at::kCPU);
    draws.seed(5);
    first = attend(1);
    second = attend(1);
    draws.seed(5);
    check("the same of the same seed", attend(1).equal(first) && attend(1).equal(second));
    draws.seed(6);
    check("others of another", !attend(1).equal(first));
  }
  check("each call has numbers of its own", !first.equal(second));
  check("by place before and behind", attend(1).equal(placed) && !attend(2).equal(placed));
}

// FlashAttention 2 runs from compute capability 8.0 on, with heads of up to 256 (LibTorch's sdp_utils.cpp);
// of heads above 192 it has no backward pass with dropout on 8.6, 8.7, 8.9 and 12.x.
void testCudaCapabilities() {
  const auto check = [](at::ScalarType type, int64_t headSize, std::pair<int, int> capability,
                        bool expected) {
    report("attention for CUDA of " + std::to_string(headSize) + " " + c10::toString(type) + " on " +
               std::to_string(capability.first) + "." + std::to_string(capability.second),
           hasCudaAttention(type, headSize, capability) == expected ? 0 : 1, 0);
  };
  for (const auto& old : {std::pair(6, 1), std::pair(7, 0), std::pair(7, 5)}) {
    check(at::kBFloat16, 64, old, false);
    check(at::kFloat, 64, old, true);
  }
  for (const auto& large : {std::pair(8, 0), std::pair(9, 0), std::pair(10, 0)})
    check(at::kBFloat16, 256, large, true);
  for (const auto& small : {std::pair(8, 6), std::pair(8, 9), std::pair(12, 0)}) {
    check(at::kBFloat16, 192, small, true);
    check(at::kBFloat16, 200, small, false);
  }
  check(at::kBFloat16, 264, {9, 0}, false);
}

}  // namespace bertune
