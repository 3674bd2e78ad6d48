// AdamW over all parameters (Loshchilov and Hutter 2019) through LibTorch's fused kernel, with clipping by
// global norm. A step whose norm is not finite changes nothing and is counted. Nothing here waits for the
// device.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model.h"

namespace bertune {

struct UpdateOptions {
  double learningRate, beta1, beta2, epsilon, weightDecay;
  double maxGradNorm;  // 0 = no clipping
};

class AdamW {
 public:
  explicit AdamW(const Model& model);

  // Reads and then drops the parameters' gradients; a parameter without one is left as it is.
  void update(const UpdateOptions& options);

  at::Tensor& expAvg(size_t parameter) { return expAvg_[parameter]; }
  at::Tensor& expAvgSq(size_t parameter) { return expAvgSq_[parameter]; }

  const at::Tensor& step() const { return step_; }  // updates applied so far, for the bias correction
  void setUpdates(int64_t updates) { step_.fill_(updates); }
  const at::Tensor& skipped() const { return skipped_; }  // updates left out for a norm that was not finite
  const at::Tensor& gradNorm() const { return gradNorm_; }

 private:
  void updateGroup(const UpdateOptions& options, bool decays, const at::Tensor& shrink,
                   const at::Tensor& isBad);

  const Model& model_;
  std::vector<at::Tensor> expAvg_, expAvgSq_;
  at::Tensor step_, skipped_, gradNorm_;
};

}  // namespace bertune
