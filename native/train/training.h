// What one session trains: a model, its optimizer, and the state of the running optimizer step.
// Single-threaded by design; the session's worker thread is the only caller.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/batch.h"
#include "model/loss.h"
#include "model/model.h"
#include "train/optimizer.h"

namespace bertune {

struct TrainingStats {
  double loss;       // sum of all accumulated losses
  double gradNorm;   // of the last update, before clipping
  double updates;    // applied since the session began, those given to setProgress included
  double skipped;    // updates left out because the gradient norm was not finite
  double maxTokens;  // what a micro-batch may have since memory ran out; 0 = it did not
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
};

// A call that throws leaves everything as it was, unless it throws SessionLost.
class Training {
 public:
  Training(const SessionSpec& spec, at::Device device, at::ScalarType compute, uint64_t seed);

  // Adds the gradients of (sum of the batch's losses) / divisor.
  void accumulate(const RawBatch& raw, double divisor, const LossOptions& options);
  void update(const UpdateOptions& options);
  at::Tensor predict(const RawBatch& raw);  // as Model::predict, on the CPU
  // FLOP/s of [rows, inner] x [columns, inner]^T in the compute type: what the device can do at most, for the
  // bench to hold a step against. The median of some repetitions.
  double matmulRate(int64_t rows, int64_t inner, int64_t columns) const;
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
  const std::vector<NamedTensor>& tensors() const { return model_.parameters().tensors(); }
  std::vector<StateTensor> optimizerState() const;

 private:
  struct MicroBatch {
    RawBatch raw;
    double divisor;
    LossOptions options;
  };

  void backward(const MicroBatch& batch);
  bool tryOrSplit(const MicroBatch& batch);  // false where memory ran out: maxTokens_ is smaller now
  void resetStep();                          // as before its first micro-batch
  void replayStep();                         // as after all of batchesInStep_
  at::IntArrayRef shapeOf(size_t tensor, const std::string& kind) const;

  uint64_t seed_;
  Model model_;
  std::unique_ptr<Optimizer> optimizer_;
  TrainingOptions options_;
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
