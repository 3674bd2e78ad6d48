// Updates as graphs: of the launches of fused kernels, repeated with the arguments that they had when they
// were recorded. Passes run as they are.
#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/comparison.h"
#include "tests/graph_training.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

using namespace graphs;

constexpr int kSteps = 10;

void check(const std::string& name, bool holds) { report("updates as graphs: " + name, holds ? 0 : 1, 0); }

Run kernelRun() {
  Run run;
  run.hasKernels = true;
  return run;
}

std::vector<at::Tensor> eager(const Run& run) { return train(*trainingOf(run, false), run, kSteps); }

void poison(Training& training, int step) {
  if (step == 4)
    training.model().parameters().flatGradients().select(0, 3).fill_(std::numeric_limits<float>::infinity());
}

void testBits() {
  std::vector<std::pair<std::string, Run>> runs;
  for (const char* optimizer : {"adamw", "adam"})
    for (const at::ScalarType compute : {at::kFloat, at::kBFloat16}) {
      Run run = kernelRun();
      run.optimizer = optimizer;
      run.compute = compute;
      runs.emplace_back(std::string(optimizer) + ", " + c10::toString(compute), run);
    }
  runs.emplace_back("adapters", kernelRun());
  runs.back().second.hasAdapters = true;
  runs.emplace_back("a step that is not finite", kernelRun());
  runs.back().second.beforeUpdate = poison;
  for (const auto& [name, run] : runs) {
    FakeGraph::Log log;
    auto training = trainingOf(run, false);
    training->recordWith(fakeGraphs(*training, log));
    check(name + ": the bits of those that run as they are",
          areEqual(train(*training, run, kSteps), eager(run)));
    check(name + ": all but the first are repeated",
          log.made == 1 && log.captures == 1 && log.launches == kSteps - 1 && log.replays == kSteps - 1 &&
              training->graphs().hasUpdate() && training->stats().graphProblem.empty());
    check(name + ": skipped", training->stats().skipped == (name == "a step that is not finite" ? 1 : 0));
  }
}

// A learning rate, or the number of an update, that stayed as it was when the graph was recorded, with the
// second update, would show in the bits.
void testStale() {
  const Run run = kernelRun();
  const auto weights = [](std::vector<at::Tensor> all) {
    all.resize(trainingOf({})->tensors().size());
    return all;
  };
  const std::vector<at::Tensor> expected = weights(eager(run));
  Run stale = run;
  stale.learningRate = [&](int step) { return run.learningRate(std::min(step, 1)); };
  check("a learning rate that is recorded gives other bits", !areEqual(weights(eager(stale)), expected));
  stale = run;
  stale.beforeUpdate = [](Training& training, int step) {
    if (step > 1) training.setProgress(step, /*updates=*/1, 0, 0);
  };
  check("so does a number of updates", !areEqual(weights(eager(stale)), expected));
  stale.beforeUpdate = [](Training& training, int step) { training.setProgress(step, step, 0, 0); };
  check("but not the right one", areEqual(weights(eager(stale)), expected));
}

// What moves the tensors of an update, or changes which they are, forgets the graph.
void testForgetting() {
  Run run = kernelRun();
  const std::string name = "layers.0.mlpIn.weight";
  run.beforeStep = [&](Training& training, int step) {
    if (step == 3) training.configure({{name, {false}}, {"classifier.bias", {true, 0.5}}});
    if (step == 5) training.write(name, "weight", at::ones({20, kHidden}), std::nullopt);
    if (step == 6)
      training.write("classifier.weight", "exp_avg", at::ones({kClasses, kHidden}), std::nullopt);
    if (step == 8) training.write("classifier.weight", "step", at::scalar_tensor(40), std::nullopt);
  };
  FakeGraph::Log log;
  auto training = trainingOf(run, false);
  training->recordWith(fakeGraphs(*training, log));
  check("the bits where tensors are frozen and written", areEqual(train(*training, run, kSteps), eager(run)));
  check("a graph for each layout", log.made == 3 && log.launches == kSteps - 3);
  training->restart({});
  check("restart forgets", !training->graphs().hasUpdate() && log.destroyed == log.made);
  TrainingOptions without;
  without.recordsSteps = false;
  training->restart(without);
  train(*training, kernelRun(), 3);
  check("they can be switched off", log.made == 3);
}

void testFailures() {
  const Run run = kernelRun();
  const std::vector<at::Tensor> expected = eager(run);
  const auto fails = [&](const std::string& name, const std::function<void()>& failure,
                         const std::string& problem) {
    FakeGraph::Log log;
    log.duringCapture = failure;
    auto training = trainingOf(run, false);
    training->recordWith(fakeGraphs(*training, log));
    check(name + ": the bits are as without", areEqual(train(*training, run, kSteps), expected));
    check(name + ": it is tried once, and said", log.made == 1 && log.destroyed == 1 && log.replays == 0 &&
                                                     training->stats().graphProblem.find(problem) == 0);
  };
  fails(
      "what cannot be recorded", [] { throw std::runtime_error("operation not permitted\nwhen capturing"); },
      "operation not permitted");
  fails(
      "memory that runs out",
      [] {
        throw c10::OutOfMemoryError({"", "", 0}, "no room");
      },
      "no room");
}

// LibTorch's operators have the learning rate as a number of the host, and other optimizers have no kernels.
void testExcluded() {
  for (const auto& [optimizer, hasKernels] : {std::pair("adamw", false), std::pair("sgd", true)}) {
    Run run = kernelRun();
    run.optimizer = optimizer;
    run.hasKernels = hasKernels;
    FakeGraph::Log log;
    auto training = trainingOf(run, false);
    training->recordWith(fakeGraphs(*training, log));
    check(std::string(optimizer) + (hasKernels ? "" : " without kernels") + " runs as it is",
          areEqual(train(*training, run, kSteps), eager(run)) && log.made == 0);
  }
}

}  // namespace

void testUpdateGraphs() {
  testBits();
  testStale();
  testForgetting();
  testFailures();
  testExcluded();
}

}  // namespace bertune
