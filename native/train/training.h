// What one session trains: a model, its optimizer, and the state of the running optimizer step.
// Single-threaded by design; the session's worker thread is the only caller.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/batch.h"
#include "core/device.h"
#include "model/loss.h"
#include "model/model.h"
#include "train/gradient_reduction.h"
#include "train/optimizer.h"
#include "train/step_graph.h"

namespace bertune {

struct TrainingStats {
  double loss;               // sum of all accumulated losses
  double gradNorm;           // of the last update, before clipping
  double updates;            // applied since the session began, those given to setProgress included
  double skipped;            // updates left out because the gradient norm was not finite
  double maxTokens;          // what a micro-batch may have since memory ran out; 0 = it did not
  std::string graphProblem;  // why a pass that was to be recorded as a graph was not; empty where all were
};

// What there is of the optimizer's state.
struct StateTensor {
  std::string name, kind;
  std::vector<int64_t> shape;
};

// A failure that left weights or state half changed: the session cannot continue. Its cause is nested in it.
struct SessionLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct TrainingOptions {
  OptimizerOptions optimizer;
  double neftuneNoiseAlpha = 0;
  bool gradientCheckpointing = false;
  bool autoFindBatchSize = false;  // where memory runs out, continue with smaller micro-batches
  bool recordsSteps = true;        // as graphs, where the device has them
};

// A call that throws leaves everything as it was, unless it throws SessionLost.
class Training {
 public:
  // `usesBuckets`: whether batches are filled up to common sizes, where passes could be recorded; left out,
  // it is so where the device has graphs.
  Training(const SessionSpec& spec, at::Device device, at::ScalarType compute, uint64_t seed,
           std::optional<bool> usesBuckets = std::nullopt);

  // Adds the gradients of (sum of the batch's losses) / divisor. Where processes sum them, they begin during
  // the backward pass of a batch that `endsStep`.
  void accumulate(const RawBatch& raw, double divisor, const LossOptions& options, bool endsStep = false);
  void update(const UpdateOptions& options);
  // From now on updates use the sums of all processes' gradients, rounded to `type` on their way: where
  // `allowsNccl` from GPU to GPU, else by way of the CPUs. All make the same updates, also where they had no
  // batch for one. Returns why GPUs cannot sum by themselves, for people; empty if they do, or there is none.
  std::string join(std::unique_ptr<ProcessGroup> group, at::ScalarType type, bool allowsNccl);
  void leave();                             // trains alone again
  at::Tensor predict(const RawBatch& raw);  // as Model::predict, on the CPU
  // As the function of this name, on the device and in the compute type of the model.
  double matmulRate(int64_t rows, int64_t inner, int64_t columns) const {
    return bertune::matmulRate(model_.device(), model_.compute(), rows, inner, columns);
  }
  TrainingStats stats();  // waits for the device

  // For a resumed run: `step` counts the optimizer steps begun and decides the dropout masks, `updates` those
  // that were applied and decides AdamW's bias correction (they differ by the skipped ones), and `loss` is
  // the sum of losses that stats() continues from.
  void setProgress(int64_t step, int64_t updates, double loss, int64_t maxTokens);

  // Forgets gradients, optimizer state, settings, counters and loss; the weights stay.
  void restart(const TrainingOptions& options);
  void mergeAdapters();

  // How the named tensors are trained from the next step on; the others are trained as usual. Layers below
  // the lowest trainable tensor have no backward pass.
  void configure(const std::vector<std::pair<std::string, TensorSettings>>& settings);

  // `kind`: weight, gradient, or what the optimizer keeps. A float copy on the CPU.
  at::Tensor read(const std::string& name, const std::string& kind) const;
  // The whole tensor, or with `firstRow` some rows of it.
  void write(const std::string& name, const std::string& kind, const at::Tensor& value,
             std::optional<int64_t> firstRow);
  // By what passes are recorded, instead of by graphs of the device; for tests, like the three that follow.
  void recordWith(GraphMaker make);
  const StepGraphs& graphs() const { return graphs_; }
  Model& model() { return model_; }
  // What passes write: tensors that stay where they are.
  std::vector<at::Tensor> deviceState() const { return {model_.parameters().flatGradients(), loss_}; }

  const std::vector<NamedTensor>& tensors() const { return model_.parameters().tensors(); }
  std::vector<StateTensor> optimizerState() const;

 private:
  struct MicroBatch {
    RawBatch raw;
    double divisor;
    LossOptions options;
    bool endsStep = false;
  };

  // Options of a loss, with what of them is on the device.
  struct KnownLoss {
    LossOptions options;
    LossWeights weights;
  };

  void backward(const MicroBatch& batch);
  // Forward and backward of `pass_`, and what they add to gradients and loss.
  void run(const Batch& batch, const KnownLoss& loss, const at::Tensor& divisor);
  void runAsItIs(const MicroBatch& batch, const KnownLoss& loss);
  bool sumsBeside() const;
  void checkSums() const;
  void requireNoSumUnderWay(const char* call) const;
  void runInBucket(const MicroBatch& batch, int64_t loss);
  int64_t numberOf(const LossOptions& options);  // among losses_
  StepTraits traits() const;
  void chooseSteps();                        // buckets and graphs, as the options say
  bool tryOrSplit(const MicroBatch& batch);  // false where memory ran out: maxTokens_ is smaller now
  void resetStep();                          // as before its first micro-batch
  void replayStep();                         // as after all of batchesInStep_
  at::IntArrayRef shapeOf(size_t tensor, const std::string& kind) const;

  const SessionSpec spec_;
  const bool wantsBuckets_;
  uint64_t seed_, drawSeed_;  // the second for what is drawn: of several processes on GPUs each has its own
  Model model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::deque<KnownLoss> losses_;
  TrainingPass pass_{};  // which graphs that are not of a device read again
  bool usesBuckets_ = false, recordsPasses_ = false;
  GraphMaker makeGraph_;
  StepGraphs graphs_;
  TrainingOptions options_;
  std::unique_ptr<GradientReduction> reduction_;  // none where this process is alone
  int64_t maxTokens_ = 0;
  std::vector<MicroBatch> batchesInStep_;
  bool hasPartialGradients_ = false;  // a backward pass has begun and not ended
  at::Tensor lossBeforeStep_;
  at::Tensor loss_;   // float64, so that reading it often or seldom gives the same numbers
  int64_t step_ = 0;  // optimizer steps begun, applied or skipped
  int64_t tokensInStep_ = 0;
  int64_t sequencesInStep_ = 0;
  int64_t passesInStep_ = 0;
  bool accumulates_ = false;  // the last step had several passes
};

}  // namespace bertune
