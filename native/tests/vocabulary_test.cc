// The softmax over a vocabulary, by tiles and by LibTorch's operators.
#include "ops/vocabulary.h"

#include <ATen/ATen.h>

#include "ops/brgemm.h"
#include "tests/comparison.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

LinearWeights weightsOf(const Inputs& in, at::ScalarType type, bool hasBias, bool isPacked) {
  const int64_t rows = in[1].size(0);
  const at::Tensor weight = in[1].detach();
  LinearWeights result{in[1], {}, {type}, 0, rows, gradientPlaceOf(in[1])};
  if (hasBias) result.bias = in[2];
  if (isPacked) {
    PackedWeight& packed = result.operands.packed;
    packForward(packed.forward = at::empty(forwardShape(weight, type), type), weight);
    packBackward(packed.backward = at::empty(backwardShape(weight, type), type), weight);
  } else {
    result.operands.weight = weight.to(type);
  }
  return result;
}

at::Tensor labelsFor(int64_t rows, int64_t vocabulary) {
  at::Tensor labels = at::empty({rows}, at::kLong);
  // The first and the last column among them.
  for (int64_t i = 0; i < rows; ++i) labels[i] = i % 3 == 0 ? vocabulary - 1 : i * 37 % vocabulary;
  return labels;
}

void testLoss(at::ScalarType type, int64_t rows, int64_t in, int64_t vocabulary, bool hasBias,
              bool isPacked) {
  const at::Tensor labels = labelsFor(rows, vocabulary);
  Inputs inputs{random({rows, in}, type), random({vocabulary, in}, type) / 4};
  if (hasBias) inputs.push_back(random({vocabulary}, at::kFloat));
  const std::string name = "cross-entropy of " + std::to_string(rows) + " rows, " + std::to_string(in) +
                           " to " + std::to_string(vocabulary) + (hasBias ? "" : " without a bias") +
                           (isPacked ? "" : " by LibTorch's operators");
  const auto logitsOf = [&](const Inputs& i) {
    return at::linear(i[0], i[1], hasBias ? std::optional(i[2]) : std::nullopt);
  };
  compare(
      {describe(name, type, {}), inputs, std::vector<at::ScalarType>(inputs.size(), at::kFloat), type, {}},
      [&](const Inputs& i) {
        const LinearWeights weights = weightsOf(i, type, hasBias, isPacked);
        return isPacked ? vocabularyLoss(i[0], weights, labels)
                        : vocabularyLossLibrary(i[0], weights, labels);
      },
      [&](const Inputs& i) { return at::cross_entropy_loss(logitsOf(i), labels, {}, at::Reduction::Sum); });
  Inputs floats;
  for (const at::Tensor& each : inputs) floats.push_back(each.to(at::kFloat));
  const at::Tensor scores = vocabularyScores(floats[0], weightsOf(floats, type, hasBias, isPacked), labels);
  const at::Tensor logits = logitsOf(inputs);
  report(describe("losses of rows, " + name, type, {}),
         distance(scores.select(1, 0), at::cross_entropy_loss(logits, labels, {}, at::Reduction::None)),
         type == at::kFloat ? 1e-6 : 2e-2);
  // Where two logits are nearly equal either may come out as the largest.
  const at::Tensor best = std::get<0>(logits.max(1));
  const at::Tensor chosen = logits.gather(1, scores.select(1, 1).to(at::kLong).unsqueeze(1)).squeeze(1);
  report(describe("largest logits of rows, " + name, type, {}), distance(chosen, best),
         type == at::kFloat ? 1e-6 : 2e-2);
}

}  // namespace

void testVocabulary(at::ScalarType type) {
  for (const bool isPacked : {true, false}) {
    if (isPacked && !hasBrgemm(type)) continue;
    for (const int64_t rows : {1, 17, 150}) {
      testLoss(type, rows, 24, 61, true, isPacked);
      testLoss(type, rows, 72, 4099, true, isPacked);
      testLoss(type, rows, 40, 2048, false, isPacked);
    }
  }
  const at::Tensor x = at::ones({0, 8}).set_requires_grad(true), weight = at::ones({4, 8});
  const at::Tensor loss = vocabularyLoss(x, {weight, {}, {}, 0, 4}, at::empty({0}, at::kLong));
  loss.backward();
  report("cross-entropy of no rows", std::abs(loss.item<double>()) + static_cast<double>(x.grad().numel()),
         0);
}

}  // namespace bertune
