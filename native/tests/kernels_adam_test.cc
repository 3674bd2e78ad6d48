// The fused AdamW and Adam against torch's kernels in float64, over several steps of two groups.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "ops/fused_adam.h"
#include "ops/fused_device.h"
#include "tests/comparison.h"
#include "tests/kernels_stand_in.h"
#include "tests/operators_test.h"
#include "train/optimizer.h"

namespace bertune {
namespace {

using at::Tensor;

constexpr int64_t kSize = 16384 + 4096 + 61;
// Slices of two groups; the third begins and ends nowhere in particular.
constexpr int64_t kFirst = 16384 + 4, kSecond = 4052, kThird = kFirst + kSecond + 1, kLast = 13;

struct Given {
  bool isDecoupled;
  double maxGradNorm;
  int64_t offset;  // of all flat tensors, so that their elements cannot be read by fours
};

void testAdam(const Given& given) {
  const std::string name = std::string(given.isDecoupled ? "fused AdamW" : "fused Adam") +
                           (given.maxGradNorm > 0 ? ", clipped" : "") +
                           (given.offset > 0 ? ", not aligned" : "");
  const auto scalar = [] { return at::zeros({}, at::kFloat); };
  const Tensor weights = random({kSize}, at::kFloat);
  // Rates change from step to step, and the launches do not.
  const auto rateOf = [](int group, size_t step) { return (group == 0 ? 3e-3 : 1e-3) / (1.0 + step); };
  constexpr double kDecays[2] = {0.1, 0};
  constexpr double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  const std::vector<Tensor> gradients{random({kSize}, at::kFloat), random({kSize}, at::kFloat) * 1e-3,
                                      random({kSize}, at::kFloat), random({kSize}, at::kFloat)};
  std::vector<std::vector<Tensor>> results;
  for (const shim::Order order : {shim::Order::Ascending, shim::Order::Shuffled}) {
    shim::setOrder(order);
    const fused::UpdateScalars scalars{scalar(), scalar(), scalar(), scalar(), scalar()};
    const Tensor steps = at::tensor({0.0f, 5.0f});
    const Tensor rounded = at::full({kSize}, std::nan(""), at::kBFloat16);
    const auto zeros = [&] { return at::zeros({kSize + given.offset}).narrow(0, given.offset, kSize); };
    fused::FlatTensors flat{zeros(), zeros(), zeros(), zeros()};
    flat.weights.copy_(weights);
    const auto copyAt = [&](int64_t first, int64_t length) { return rounded.narrow(0, first, length); };
    const std::vector<fused::UpdateSlice> slices{{0, 0, 0, kFirst, 0, copyAt(64, kFirst)},
                                                 {kFirst, kFirst, kFirst, kSecond, 1},
                                                 {kThird, kThird, kThird, kLast, 0, copyAt(7, kLast)}};
    fused::Adam adam(slices, flat, steps, given.isDecoupled);
    for (size_t step = 0; step < gradients.size(); ++step) {
      flat.gradients.copy_(gradients[step]);
      // The third step is left out as a whole.
      const Tensor before = flat.weights.clone();
      if (step == 2) flat.gradients[kSize - 1] = std::numeric_limits<float>::infinity();
      try {
        adam.load({beta1, beta2, epsilon, given.maxGradNorm},
                  {{rateOf(0, step), kDecays[0]}, {rateOf(1, step), kDecays[1]}});
        adam.update(standin::kernels(), scalars);
      } catch (const std::exception& error) {
        return reportFailure(name, error.what());
      }
      if (step == 2) report(name + ": a step that is not finite", at::equal(flat.weights, before) ? 0 : 1, 0);
      if (step == 0) report(name + ": norm", distance(scalars.norm, gradients[0].norm()), 1e-6);
    }
    results.push_back({flat.weights, flat.firstMoments, flat.secondMoments, rounded, steps, scalars.updates,
                       scalars.skipped});
  }
  bool isSame = true;
  for (size_t i = 0; i < results[0].size(); ++i)
    isSame = isSame && at::allclose(results[0][i], results[1][i], 0, 0, /*equal_nan=*/true);
  report(name + ": the same in every order", isSame ? 0 : 1, 0);

  const Tensor expected = weights.clone(), first = at::zeros({kSize}, at::kDouble),
               second = at::zeros({kSize}, at::kDouble);
  const Tensor steps[2] = {scalar(), scalar() + 5};
  const std::vector<std::pair<int64_t, int64_t>> slices[2] = {{{0, kFirst}, {kThird, kLast}},
                                                              {{kFirst, kSecond}}};
  for (size_t step = 0; step < gradients.size(); ++step) {
    if (step == 2) continue;
    Tensor gradient = gradients[step];
    const double norm = gradient.norm().item<double>();
    if (given.maxGradNorm > 0) gradient = gradient * std::min(1.0, given.maxGradNorm / (norm + 1e-6));
    for (int group = 0; group < 2; ++group) {
      std::vector<Tensor> of[4], stepsOf;
      for (const auto& [begin, length] : slices[group]) {
        const Tensor all[4] = {expected, gradient, first, second};
        for (int i = 0; i < 4; ++i) of[i].push_back(all[i].narrow(0, begin, length));
        stepsOf.push_back(steps[group]);
      }
      steps[group].add_(1);
      if (given.isDecoupled)
        at::_fused_adamw_(of[0], of[1], of[2], of[3], {}, stepsOf, rateOf(group, step), beta1, beta2,
                          kDecays[group], epsilon, false, false);
      else
        at::_fused_adam_(of[0], of[1], of[2], of[3], {}, stepsOf, rateOf(group, step), beta1, beta2,
                         kDecays[group], epsilon, false, false);
    }
  }
  report(name + ": weights", distance(results[0][0], expected), 3e-7);
  report(name + ": what changed", distance(results[0][0].to(at::kDouble) - weights, expected - weights),
         3e-5);
  report(name + ": moments", std::max(distance(results[0][1], first), distance(results[0][2], second)), 1e-6);
  const Tensor copies = at::full({kSize}, std::nan(""), at::kBFloat16);
  copies.narrow(0, 64, kFirst).copy_(results[0][0].narrow(0, 0, kFirst));
  copies.narrow(0, 7, kLast).copy_(results[0][0].narrow(0, kThird, kLast));
  report(name + ": copies, and nothing else",
         at::allclose(results[0][3], copies, 0, 0, /*equal_nan=*/true) ? 0 : 1, 0);
  const bool isCounted = results[0][4].equal(at::tensor({3.0f, 8.0f})) && results[0][5].item<float>() == 3 &&
                         results[0][6].item<float>() == 1;
  report(name + ": counters", isCounted ? 0 : 1, 0);
}

bool sameBits(const Tensor& a, const Tensor& b) {
  return a.sizes() == b.sizes() && at::equal(a.detach().view(at::kShort), b.detach().view(at::kShort));
}

struct Trained {
  std::vector<Tensor> values;  // weights, moments, steps of tensors, and counters
  int launches;
};

// Some steps of a session's optimizer: of a tensor in two parts with rates of their own, one that is frozen
// later, and a step that is not finite.
Trained train(const std::string& optimizer, bool hasKernels) {
  standin::cuda = {};
  fused::setKernelsOfCpu(hasKernels ? &standin::kernels() : nullptr);
  const Initialisation normal{Initialisation::Kind::Normal, 0.5};
  Parameters parameters({{"a", {6, 35}, normal, true, {{"a.first", 2}, {"a.second", 4}}},
                         {"b", {7}, normal, false, {{"b", 7}}},
                         {"c", {40, 16}, normal, true, {{"c", 40}}}},
                        at::kCPU, 42);
  for (const size_t i : {0, 2}) parameters[i].rounded = parameters[i].value.detach().to(at::kBFloat16);
  for (const size_t i : {0, 2}) parameters[i].roundedVersion = parameters[i].version;
  const auto trained = makeOptimizer(parameters, {optimizer});
  std::vector<TensorSettings> settings(4);
  settings[1].learningRateFactor = 0.5;
  bool areCopiesRight = true;
  for (int step = 0; step < 6; ++step) {
    if (step == 2) settings[2].trainable = false;
    if (step == 0 || step == 2) {
      trained->configure(settings);
      parameters.setTrained({true, step < 2, true});
    }
    parameters.prepareGradients();
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (!parameters[i].gradient) continue;
      const at::Tensor places = at::arange(parameters[i].value.numel(), at::kFloat);
      parameters[i]
          .gradient->rows(0, parameters[i].value.size(0))
          .values.copy_((places * (step + 1.3)).sin().view(parameters[i].value.sizes()));
    }
    if (step == 4) parameters[2].gradient->sums()[3][3] = std::numeric_limits<float>::quiet_NaN();
    const UpdateOptions options{0.01 / (step + 1), 0.9, 0.99, 1e-8, 0.1, step < 3 ? 1.0 : 0.0};
    trained->prepareUpdate(options);
    for (size_t i = 0; i < parameters.size(); ++i) ++parameters[i].version;
    trained->applyUpdate(options, [](int64_t, const auto& work) { work(); });
    for (const size_t i : {0, 2}) {
      const bool isCurrent = parameters[i].roundedVersion == parameters[i].version;
      const bool isRight =
          isCurrent && sameBits(parameters[i].rounded, parameters[i].value.to(at::kBFloat16));
      areCopiesRight = areCopiesRight && (hasKernels ? isRight : !isCurrent);
    }
    parameters.dropGradients();
  }
  Trained result{{trained->updates(), trained->skipped(), trained->gradNorm()}, standin::cuda.kernels};
  for (size_t i = 0; i < 4; ++i) {
    const NamedTensor& tensor = parameters.tensors()[i];
    result.values.push_back(tensor.of(parameters[tensor.parameter].value.detach()));
    for (const std::string& name : trained->stateNames())
      result.values.push_back(trained->readState(i, name));
  }
  fused::setKernelsOfCpu(nullptr);
  report("optimizer " + optimizer + (hasKernels ? "" : " without") + " kernels: rounded copies",
         areCopiesRight ? 0 : 1, 0);
  return result;
}

void testOptimizer(const std::string& optimizer) {
  shim::setOrder(shim::Order::Ascending);
  const Trained found = train(optimizer, true), expected = train(optimizer, false);
  double worst = 0;
  for (size_t i = 0; i < expected.values.size(); ++i)
    if (!expected.values[i].isnan().any().item<bool>())
      worst = std::max(worst, distance(found.values[i], expected.values[i].to(at::kDouble)));
  report("optimizer " + optimizer + " by fused kernels", worst, 1e-6);
  report("optimizer " + optimizer + " by fused kernels: launches",
         std::abs(found.launches - 3 * 6) + expected.launches, 0);
}

}  // namespace

void testKernelsOfAdam() {
  for (const char* optimizer : {"adamw", "adam"}) testOptimizer(optimizer);

  for (const bool isDecoupled : {true, false})
    for (const double maxGradNorm : {0.0, 1.0})
      for (const int64_t offset : {0, 1}) testAdam({isDecoupled, maxGradNorm, offset});
}

}  // namespace bertune
