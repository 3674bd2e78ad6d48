// The parameters of a session. All weights are slices of one float32 allocation, and all gradients of
// another, which has room for trained parameters only.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/spec.h"

namespace bertune {

// The gradient of one parameter in an optimizer step. Backward passes of operators write it in place: the
// first micro-batch of a step writes, later ones add.
class Gradient : public torch::CustomClassHolder {
 public:
  explicit Gradient(at::Tensor values) : values_(std::move(values)) {}

  struct Target {
    at::Tensor values;
    bool adds;  // else what is there means nothing
  };
  // Some rows, to be written now.
  Target rows(int64_t first, int64_t count);
  // The whole, for sums: zero at the beginning of a step.
  at::Tensor sums();

  const at::Tensor& values() const { return values_; }
  bool isWritten() const { return isWritten_; }
  void markWritten() { isWritten_ = true; }
  void forget() { isWritten_ = false; }

 private:
  at::Tensor values_;  // in the shape of the parameter
  bool isWritten_ = false;
};

using GradientPointer = c10::intrusive_ptr<Gradient>;

struct Parameter {
  std::string name;
  bool decays;
  at::Tensor value;          // a leaf that requires a gradient where the parameter is trained
  GradientPointer gradient;  // null where it is frozen, or nothing was accumulated yet
  int64_t version = 0;       // changes with the value
  // The value in the compute type, where layers read that (OperandBuilder), and the version that it is of.
  at::Tensor rounded = {};
  int64_t roundedVersion = -1;

  bool isTrained() const { return value.requires_grad(); }
};

// A tensor as it is named outside: some rows of a parameter.
struct NamedTensor {
  std::string name;
  size_t parameter;
  int64_t firstRow;
  std::vector<int64_t> shape;

  at::Tensor of(const at::Tensor& whole) const { return whole.narrow(0, firstRow, shape[0]); }
};

// Where each parameter lies in a flat allocation, or -1 where it has no part in it. Those that decay come
// first, so that what is updated with the same numbers lies side by side.
struct FlatLayout {
  std::vector<int64_t> offsets;
  int64_t total = 0;

  at::Tensor slice(const at::Tensor& flat, size_t parameter, at::IntArrayRef shape) const;
};

class Parameters {
 public:
  // Random initial values: parameter i draws from a generator of its own, seeded by `seed` and i, so that a
  // new head does not depend on the rest.
  Parameters(const std::vector<ParameterSpec>& specs, at::Device device, uint64_t seed);

  size_t size() const { return all_.size(); }
  Parameter& operator[](size_t index) { return all_[index]; }
  const Parameter& operator[](size_t index) const { return all_[index]; }
  Parameter* find(const std::string& name);
  // Throws std::invalid_argument where there is none of this name and shape.
  Parameter& require(const std::string& name, const std::vector<int64_t>& shape);
  void requireAllUsed() const;  // throws std::invalid_argument where nothing has asked for a parameter

  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  size_t tensor(const std::string& name) const;  // its index; throws std::invalid_argument
  at::Device device() const { return weights_.device(); }

  // Which parameters are trained from now on. Gradients are dropped.
  void setTrained(const std::vector<bool>& trained);

  // A micro-batch: room for gradients before it, and what autograd left behind after its backward pass.
  void prepareGradients();
  void collectGradients();
  void dropGradients();
  bool hasGradients() const;
  // Which gradients are written, as a pass that the device repeats by itself leaves it to the host to note.
  std::vector<bool> written() const;
  void setWritten(const std::vector<bool>& written);
  void forgetPending();  // what autograd left behind and nobody collected
  // Of all trained parameters. Parts that are no parameter's are zero.
  const at::Tensor& flatGradients() const { return gradients_; }
  const FlatLayout& gradientLayout() const { return gradientLayout_; }

  const at::Tensor& flatWeights() const { return weights_; }
  const FlatLayout& layout() const { return layout_; }
  FlatLayout layoutOf(const std::vector<bool>& members) const;
  std::vector<bool> trained() const;

 private:
  std::deque<Parameter> all_;  // which stay where they are
  std::vector<bool> isUsed_;
  std::vector<NamedTensor> tensors_;
  FlatLayout layout_, gradientLayout_;
  at::Tensor weights_, gradients_;
};

}  // namespace bertune
