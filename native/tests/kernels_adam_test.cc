// The fused AdamW and Adam against torch's kernels in float64, over several steps of two groups.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "ops/fused_adam.h"
#include "tests/comparison.h"
#include "tests/kernels_stand_in.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

using at::Tensor;

constexpr int64_t kSize = 16384 + 4096 + 61;

struct Given {
  bool isDecoupled;
  double maxGradNorm;
};

void testAdam(const Given& given) {
  const std::string name = std::string(given.isDecoupled ? "fused AdamW" : "fused Adam") +
                           (given.maxGradNorm > 0 ? ", clipped" : "");
  // The third slice begins and ends nowhere in particular.
  const std::vector<fused::UpdateSlice> slices{
      {0, 0, 0, 64, 16384 + 4, 0}, {16388, 16388, 16388, -1, 4052, 1}, {20441, 20441, 20441, 7, 13, 0}};
  const std::vector<uint8_t> bytes = fused::chunksOf(slices);
  const Tensor chunks =
      at::from_blob(const_cast<uint8_t*>(bytes.data()), {static_cast<int64_t>(bytes.size())}, at::kByte)
          .clone();
  const auto scalar = [] { return at::zeros({}, at::kFloat); };
  const Tensor weights = random({kSize}, at::kFloat);
  constexpr double kRates[2] = {3e-3, 1e-3}, kDecays[2] = {0.1, 0};
  constexpr double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  const std::vector<Tensor> gradients{random({kSize}, at::kFloat), random({kSize}, at::kFloat) * 1e-3,
                                      random({kSize}, at::kFloat), random({kSize}, at::kFloat)};
  std::vector<std::vector<Tensor>> results;
  for (const shim::Order order : {shim::Order::Ascending, shim::Order::Shuffled}) {
    shim::setOrder(order);
    const fused::UpdateScalars scalars{scalar(), scalar(), scalar(), scalar(), scalar()};
    std::vector<fused::GroupNumbers> groups{{kRates[0], kDecays[0], scalar()},
                                            {kRates[1], kDecays[1], scalar() + 5}};
    fused::FlatTensors flat{weights.to(at::kFloat),
                            {},
                            at::zeros({kSize}),
                            at::zeros({kSize}),
                            at::full({kSize}, std::nan(""), at::kBFloat16)};
    for (size_t step = 0; step < gradients.size(); ++step) {
      flat.gradients = gradients[step].to(at::kFloat);
      // The third step is left out as a whole.
      const Tensor before = flat.weights.clone();
      if (step == 2) flat.gradients[kSize - 1] = std::numeric_limits<float>::infinity();
      try {
        fused::adam(standin::kernels(), chunks, flat, groups, scalars,
                    {beta1, beta2, epsilon, given.maxGradNorm, given.isDecoupled});
      } catch (const std::exception& error) {
        return reportFailure(name, error.what());
      }
      if (step == 2) report(name + ": a step that is not finite", at::equal(flat.weights, before) ? 0 : 1, 0);
      if (step == 0) report(name + ": norm", distance(scalars.norm, gradients[0].norm()), 1e-6);
    }
    results.push_back({flat.weights, flat.firstMoments, flat.secondMoments, flat.rounded, groups[0].step,
                       groups[1].step, scalars.updates, scalars.skipped});
  }
  bool isSame = true;
  for (size_t i = 0; i < results[0].size(); ++i)
    isSame = isSame && at::allclose(results[0][i], results[1][i], 0, 0, /*equal_nan=*/true);
  report(name + ": the same in every order", isSame ? 0 : 1, 0);

  const Tensor expected = weights.clone(), first = at::zeros({kSize}, at::kDouble),
               second = at::zeros({kSize}, at::kDouble);
  const Tensor steps[2] = {scalar(), scalar() + 5};
  for (size_t step = 0; step < gradients.size(); ++step) {
    if (step == 2) continue;
    Tensor gradient = gradients[step];
    const double norm = gradient.norm().item<double>();
    if (given.maxGradNorm > 0) gradient = gradient * std::min(1.0, given.maxGradNorm / (norm + 1e-6));
    for (int group = 0; group < 2; ++group) {
      std::vector<Tensor> of[4], stepsOf;
      for (const fused::UpdateSlice& slice : slices) {
        if (slice.group != group) continue;
        const Tensor all[4] = {expected, gradient, first, second};
        for (int i = 0; i < 4; ++i) of[i].push_back(all[i].narrow(0, slice.weight, slice.length));
        stepsOf.push_back(steps[group]);
      }
      steps[group].add_(1);
      if (given.isDecoupled)
        at::_fused_adamw_(of[0], of[1], of[2], of[3], {}, stepsOf, kRates[group], beta1, beta2,
                          kDecays[group], epsilon, false, false);
      else
        at::_fused_adam_(of[0], of[1], of[2], of[3], {}, stepsOf, kRates[group], beta1, beta2, kDecays[group],
                         epsilon, false, false);
    }
  }
  report(name + ": weights", distance(results[0][0], expected), 3e-7);
  report(name + ": what changed", distance(results[0][0].to(at::kDouble) - weights, expected - weights),
         3e-5);
  report(name + ": moments", std::max(distance(results[0][1], first), distance(results[0][2], second)), 1e-6);
  const Tensor copies = at::full({kSize}, std::nan(""), at::kBFloat16);
  for (const fused::UpdateSlice& slice : slices)
    if (slice.rounded >= 0)
      copies.narrow(0, slice.rounded, slice.length)
          .copy_(results[0][0].narrow(0, slice.weight, slice.length));
  report(name + ": copies, and nothing else",
         at::allclose(results[0][3], copies, 0, 0, /*equal_nan=*/true) ? 0 : 1, 0);
  const bool isCounted = results[0][4].item<float>() == 3 && results[0][5].item<float>() == 8 &&
                         results[0][6].item<float>() == 3 && results[0][7].item<float>() == 1;
  report(name + ": counters", isCounted ? 0 : 1, 0);
}

}  // namespace

void testKernelsOfAdam() {
  for (const bool isDecoupled : {true, false})
    for (const double maxGradNorm : {0.0, 1.0}) testAdam({isDecoupled, maxGradNorm});
}

}  // namespace bertune
