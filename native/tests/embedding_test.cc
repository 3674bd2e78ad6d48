// Embeddings: rows of a table, their gradients added up by row, and NEFTune's noise.
#include "ops/embedding.h"

#include <cmath>
#include <utility>

#include "tests/comparison.h"
#include "tests/operators_test.h"

namespace bertune {

void testEmbedding() {
  const at::Tensor ids = at::tensor({3, 0, 3, 7, 3, 1, 0}, at::kLong);
  for (const int64_t width : {1, 40, 130})
    for (const std::optional<int64_t> padId : {std::optional<int64_t>(), std::optional<int64_t>(0)})
      compare(
          {"embeddings of " + std::to_string(width) + (padId.has_value() ? " with a padding row" : ""),
           {random({9, width}, at::kFloat)},
           {at::kFloat},
           at::kFloat,
           {7, width}},
          [&](const Inputs& in) { return embedding(in[0], gradientPlaceOf(in[0]), ids, padId); },
          [&](const Inputs& in) { return at::embedding(in[0], ids, padId.value_or(-1)); });
}

// Uniform in +-m: no value beyond m, a mean of 0, a mean square of m^2 / 3 (m = alpha / sqrt(L * columns)),
// and the same numbers when the sequences come one by one.
void testNeftuneNoise() {
  constexpr int64_t columns = 512;
  constexpr double alpha = 5;
  Batch batch;
  batch.cuSeqlens = {0, 40, 240};
  batch.inputIds = at::zeros({240}, at::kLong);
  Batch second;
  second.cuSeqlens = {0, 200};
  second.inputIds = at::zeros({200}, at::kLong);
  const auto noiseOf = [](const Batch& of, int64_t firstRow) {
    return neftuneNoise(neftuneMagnitudes(of, columns, alpha), columns,
                        makeMask(42, 3, 1, Site::Neftune, 0, firstRow));
  };
  const at::Tensor noise = noiseOf(batch, 0).to(at::kDouble);
  for (const auto& [first, length] : {std::pair<int64_t, int64_t>{0, 40}, {40, 200}}) {
    const double most = alpha / std::sqrt(static_cast<double>(length * columns));
    const at::Tensor scaled = noise.narrow(0, first, length) / most;
    const std::string name = "NEFTune noise of " + std::to_string(length) + " tokens: ";
    report(name + "most", std::abs(scaled.abs().max().item<double>() - 1), 1e-3);
    report(name + "mean", std::abs(scaled.mean().item<double>()), 0.02);
    report(name + "mean square", std::abs(scaled.square().mean().item<double>() - 1.0 / 3), 0.01);
  }
  const at::Tensor alone = noiseOf(second, 40).to(at::kDouble);
  report("NEFTune noise of a micro-batch", distance(alone, noise.narrow(0, 40, 200)), 0);
}

}  // namespace bertune
