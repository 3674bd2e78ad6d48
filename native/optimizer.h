// What all optimizers share: which tensors are trained and how, clipping by global norm, and state by name. A
// step whose norm is not finite changes nothing and is counted. Nothing here waits for the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "model.h"

namespace bertune {

struct UpdateOptions {
  double learningRate, beta1, beta2, epsilon, weightDecay;
  double maxGradNorm;  // 0 = no clipping
};

// How one tensor is trained. Query, key and value may differ though they are rows of one parameter.
struct TensorSettings {
  bool trainable = true;
  double learningRateFactor = 1;
  double weightDecayFactor = 1;
};

// Tensors that are updated with the same numbers, one entry a tensor in each list.
struct TensorGroup {
  std::vector<at::Tensor> weights, gradients, steps;
  std::vector<std::vector<at::Tensor>> state;  // by state name
  double learningRate, weightDecay;
};

class Optimizer {
 public:
  // `stateNames`: what is kept of each tensor beside `step`, in shapes like the tensor's.
  Optimizer(const Model& model, std::vector<std::string> stateNames);
  virtual ~Optimizer() = default;

  // One entry a tensor of the model.
  void configure(std::vector<TensorSettings> settings) { settings_ = std::move(settings); }

  // Reads and then drops the parameters' gradients; a tensor without one, or not trainable, is left as it is.
  void update(const UpdateOptions& options);

  // The state that tensors have, which is made by their first update, or written. `step` is the number of
  // updates that the tensor had: the bias correction of a tensor that was frozen before begins anew.
  std::vector<std::string> stateNames() const;
  bool hasState(size_t tensor) const { return !states_[tensor].empty(); }
  at::Tensor readState(size_t tensor, const std::string& name) const;  // zeros where there is none
  at::Tensor writableState(size_t tensor, const std::string& name);

  const at::Tensor& updates() const { return updates_; }  // applied so far
  void setUpdates(int64_t updates);                       // also of each tensor that has state
  const at::Tensor& skipped() const { return skipped_; }  // updates left out for a norm that was not finite
  const at::Tensor& gradNorm() const { return gradNorm_; }

 private:
  // `shrink` divides the gradients; with `isBad` 1 nothing may change.
  virtual void apply(TensorGroup& group, const UpdateOptions& options, const at::Tensor& shrink,
                     const at::Tensor& isBad) const = 0;

  std::vector<size_t> tensorsToUpdate() const;
  std::vector<at::Tensor> trainedGradients() const;  // by parameter; zero in rows that are frozen
  std::vector<TensorGroup> groups(const std::vector<size_t>& tensors, const UpdateOptions& options);
  void makeState(size_t tensor, const at::Tensor& step);
  size_t indexOf(const std::string& name) const;

  const Model& model_;
  std::vector<std::string> stateNames_;
  std::vector<TensorSettings> settings_;
  std::vector<std::vector<at::Tensor>> states_;  // by tensor: `step`, then by state name; or nothing
  at::Tensor updates_, skipped_, gradNorm_;
};

struct OptimizerOptions {
  std::string name = "adamw";  // or adam, sgd, adagrad; as torch.optim's of these names
  double momentum = 0;         // of sgd
};

// Throws std::invalid_argument for a name that is none of these.
std::unique_ptr<Optimizer> makeOptimizer(const Model& model, const OptimizerOptions& options);

}  // namespace bertune
