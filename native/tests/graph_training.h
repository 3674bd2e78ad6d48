// Trainings of a small model, and graphs that behave as a device's do, but on the CPU.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/batch.h"
#include "tests/kernels_stand_in.h"
#include "train/training.h"

namespace bertune::graphs {

constexpr int64_t kVocab = 30, kHidden = 16, kPositions = 40, kClasses = 3;

ParameterSpec parameter(const std::string& name, std::vector<int64_t> shape);
SessionSpec specOf(double dropout, bool hasAdapters, LossKind loss = LossKind::CrossEntropy);

using Random = std::mt19937;
int64_t below(Random& random, int64_t end);
RawBatch batchOf(Random& random, const BatchFormat& format, int64_t sequences);

// A graph as a device has them. Recording does nothing to the tensors of the device; repeating does what was
// recorded, with what the host noted at that time, and leaves no note on the host. Of launches of fused
// kernels (kernels_stand_in.h) it repeats these, with the arguments that they had; of other work the work.
class FakeGraph : public Graph {
 public:
  struct Log {
    int made = 0, captures = 0, replays = 0, destroyed = 0;
    int launches = 0;  // replays of such
    std::function<void()> duringCapture = [] {}, duringReplay = [] {};
  };

  FakeGraph(Training& training, Log& log) : training_(training), log_(log) { ++log_.made; }
  ~FakeGraph() override { ++log_.destroyed; }

  void capture(const std::function<void()>& work) override;
  void replay() override;

 private:
  Training& training_;
  Log& log_;
  std::vector<bool> written_;
  std::function<void()> work_;
  std::vector<standin::Launch> launches_;
};

GraphMaker fakeGraphs(Training& training, FakeGraph::Log& log);

struct Run {
  double dropout = 0.1;
  bool hasAdapters = false;
  at::ScalarType compute = at::kFloat;
  LossKind loss = LossKind::CrossEntropy;
  LossOptions options = {};
  bool autoFindBatchSize = false;
  bool hasKernels = false;  // for updates
  std::string optimizer = "adamw";
  std::function<double(int step)> learningRate = [](int step) { return 1e-3 * (1 + step); };
  std::function<void(Training&, int step)> beforeStep = [](Training&, int) {}, beforeUpdate = beforeStep;
};

std::unique_ptr<Training> trainingOf(const Run& run, bool usesBuckets = true);

// Steps of random batches and micro-batches, with a learning rate of their own each. All that a run could
// depend on at the end.
std::vector<at::Tensor> train(Training& training, const Run& run, int steps);
void update(Training& training, const UpdateOptions& options, bool hasKernels);
bool areEqual(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b);

}  // namespace bertune::graphs
