// What all optimizers share: which tensors are trained and how, clipping by global norm, and state by name. A
// step whose norm is not finite changes nothing and is counted. Nothing in an update waits for the device.
//
// State lies flat, as weights and gradients do, and tensors that are updated with the same numbers are a few
// slices.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/parameters.h"
#include "ops/fused_adam.h"

namespace bertune {

// The Euclidean norm of a flat float32 tensor, as a float32 scalar on its device. The order of its sums
// depends on nothing but the size.
at::Tensor gradientNorm(const at::Tensor& gradients);

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

// Slices that are updated with the same numbers, one entry a slice in each list.
struct UpdateGroup {
  std::vector<at::Tensor> weights, gradients, steps;
  std::vector<std::vector<at::Tensor>> state;  // by state name
  double learningRateFactor, weightDecayFactor;
  at::Tensor step;                                       // the one that `steps` repeats
  int64_t weightEnd = 0, gradientEnd = 0, stateEnd = 0;  // of the last slice
};

class Optimizer {
 public:
  // `stateNames`: what is kept of each tensor beside `step`, in shapes like the tensor's.
  Optimizer(Parameters& parameters, std::vector<std::string> stateNames);
  virtual ~Optimizer() = default;

  // One entry a tensor of the model.
  void configure(std::vector<TensorSettings> settings);

  // Runs work that could be recorded and repeated for later updates: of the host it reads nothing that
  // changes while `layout`, a number, is the same.
  using Runner = std::function<void(int64_t layout, const std::function<void()>& work)>;

  // An update in two halves: all that may fail for want of memory, and what changes weights and state. It
  // reads the gradients and leaves them. What fused kernels do is given to `run`; LibTorch's operators have
  // learning rates as numbers of the host, and run at once.
  void prepareUpdate(const UpdateOptions& options);
  void applyUpdate(const UpdateOptions& options, const Runner& run);

  // The state that tensors have, which is made by their first update, or written. `step` is the number of
  // updates that the tensor had: the bias correction of a tensor that was frozen before starts from 0.
  std::vector<std::string> stateNames() const;
  void requireState(const std::string& name) const { indexOf(name); }  // throws std::invalid_argument
  bool hasState(size_t tensor) const { return states_[tensor].exists; }
  at::Tensor readState(size_t tensor, const std::string& name) const;  // zeros where there is none
  // `value` is some rows of it, from `firstRow` on.
  void writeState(size_t tensor, const std::string& name, const at::Tensor& value, int64_t firstRow);

  const at::Tensor& updates() const { return updates_; }  // applied so far
  void setUpdates(int64_t updates);                       // also of each tensor that has state
  const at::Tensor& skipped() const { return skipped_; }  // updates left out for a norm that was not finite
  const at::Tensor& gradNorm() const { return gradNorm_; }

 private:
  struct TensorState {
    bool exists = false;
    double step = 0;  // where the tensor is in no group
    int group = -1;
  };

  // `gradScale` divides the gradients; with `foundInf` 1 nothing may change.
  virtual void apply(UpdateGroup& group, const UpdateOptions& options, double learningRate,
                     double weightDecay, const at::Tensor& gradScale, const at::Tensor& foundInf) const = 0;
  // All that is trained by fused kernels, norm and clipping included; null where the optimizer has none.
  virtual std::unique_ptr<fused::Adam> fusedFor(const std::vector<fused::UpdateSlice>& slices,
                                                const Parameters& parameters,
                                                const std::vector<at::Tensor>& state,
                                                const at::Tensor& steps) const {
    (void)slices, (void)parameters, (void)state, (void)steps;
    return nullptr;
  }

  void loadFused(const UpdateOptions& options);
  void allocateState(const std::vector<bool>& parameters);  // of these, beside what there is
  void clearGroups();
  void makeGroups();
  at::Tensor stateOf(const at::Tensor& flat, size_t tensor) const;
  double stepOf(size_t tensor) const;
  size_t indexOf(const std::string& name) const;

  Parameters& parameters_;
  std::vector<std::string> stateNames_;
  std::vector<TensorSettings> settings_;
  std::vector<TensorState> states_;  // by tensor
  FlatLayout layout_;                // of the state
  std::vector<at::Tensor> flats_;    // by state name; undefined until something has state
  std::vector<UpdateGroup> groups_;
  std::unique_ptr<fused::Adam> fused_;  // where kernels update the groups
  std::vector<Parameter*> copied_;      // whose rounded copies they write too
  bool hasGroups_ = false;
  int64_t layoutNumber_ = 0;  // another one whenever groups are made
  at::Tensor updates_, skipped_, gradNorm_, gradScale_, foundInf_;
};

struct OptimizerOptions {
  std::string name = "adamw";  // or adam, sgd, adagrad; as torch.optim's of these names
  double momentum = 0;         // of sgd
};

// Throws std::invalid_argument for a name that is none of these.
std::unique_ptr<Optimizer> makeOptimizer(Parameters& parameters, const OptimizerOptions& options);

}  // namespace bertune
