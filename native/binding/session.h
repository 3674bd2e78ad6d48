// The one JavaScript class: checks its arguments, copies them, and hands the work to its own thread.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "binding/worker.h"
#include "core/spec.h"
#include "train/training.h"

namespace bertune {

class Session : public Napi::ObjectWrap<Session> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Session(const Napi::CallbackInfo& info);  // (spec, options)
  ~Session() override;

 private:
  using Args = const Napi::CallbackInfo&;
  Napi::Value open(Args info);        // () -> [{name, shape}]: makes the weights
  Napi::Value read(Args info);        // (name, kind) -> Float32Array
  Napi::Value write(Args info);       // (name, kind, {dtype, shape, data, firstRow?})
  Napi::Value accumulate(Args info);  // (batch, {divisor, endsStep?, ...LossOptions})
  Napi::Value update(Args info);      // (options)
  Napi::Value join(Args info);     // (world, name, {reduceDtype, nccl}): sums gradients with other processes
  Napi::Value leave(Args info);    // (): trains alone again
  Napi::Value predict(Args info);  // (batch) -> Float32Array
  Napi::Value matmulRate(Args info);      // (rows, inner, columns) -> FLOP/s
  Napi::Value stats(Args info);           // () -> {loss, gradNorm, updates, skipped}
  Napi::Value setProgress(Args info);     // (step, updates, loss, maxTokens)
  Napi::Value restart(Args info);         // (options): a new optimizer for the same weights
  Napi::Value mergeAdapters(Args info);   // (): adds adapters to the weights
  Napi::Value configure(Args info);       // ([{name, trainable, learningRateFactor, weightDecayFactor}])
  Napi::Value optimizerState(Args info);  // () -> [{name, kind, shape}]
  Napi::Value close(Args info);           // (): after the jobs posted before; frees all memory

  Training& training() const;  // on the worker thread
  RawBatch checkedBatch(Args info, bool needsLabels) const;
  void requireOpen(Args info) const;
  Napi::Value post(Args info, std::function<void()> run, Worker::Resolve resolve = {});
  Napi::Value postInStep(Args info,
                         std::function<void()> run);  // a call of a step: not done behind one that failed

  // Runs a job. A failure that changed nothing says so, and any other closes the session.
  void runWhole(const std::function<void()>& run);

  SessionSpec spec_;
  BatchFormat format_{};
  c10::Device device_{c10::kCPU};
  at::ScalarType compute_ = at::kFloat;
  std::optional<bool> tf32_, buckets_;
  int threads_ = 1;
  uint64_t seed_ = 0;
  bool closed_ = false;
  bool isLost_ = false;                 // on the worker thread
  std::unique_ptr<Training> training_;  // made, used and freed on the worker thread
  std::unique_ptr<Worker> worker_;      // stopped before anything that it uses goes
};

}  // namespace bertune
