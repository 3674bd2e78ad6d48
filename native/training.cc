#include "training.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace bertune {

Training::Training(const ModelConfig& config, Problem problem, at::Device device, at::ScalarType compute,
                   uint64_t seed)
    : problem_(problem),
      seed_(seed),
      model_(config, device, compute, seed),
      optimizer_(std::make_unique<AdamW>(model_)),
      loss_(at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(device))) {}

void Training::accumulate(const RawBatch& raw, double divisor, const LossOptions& options) {
  const Batch batch = toTensors(raw, model_.config().numLabels, model_.device());
  const DropoutState dropout{seed_, step_, tokensInStep_, sequencesInStep_};
  const at::Tensor loss = lossSum(problem_, model_.logits(batch, &dropout), batch.labels, options) / divisor;
  loss.backward();
  // A loss that is not finite spoils its step only (which update leaves out), not the sum.
  loss_ += at::where(at::isfinite(loss), loss.detach(), 0.0);
  tokensInStep_ += batch.tokens();
  sequencesInStep_ += batch.sequences();
}

void Training::update(const UpdateOptions& options) {
  optimizer_->update(options);
  model_.refreshProducts();
  ++step_;
  tokensInStep_ = sequencesInStep_ = 0;
}

at::Tensor Training::predict(const RawBatch& raw) {
  const at::NoGradGuard guard;
  return model_.logits(toTensors(raw, model_.config().numLabels, model_.device()), nullptr)
      .to(at::kCPU)
      .contiguous();
}

double Training::matmulRate(int64_t rows, int64_t inner, int64_t columns) const {
  constexpr size_t repetitions = 15;
  if (!model_.device().is_cpu()) throw std::invalid_argument("matmulRate measures CPUs only");
  const at::NoGradGuard guard;
  const at::Tensor a = at::rand({rows, inner}).to(model_.compute());
  const at::Tensor b = at::rand({columns, inner}).to(model_.compute());
  at::Tensor product = at::mm(a, b.t());
  std::vector<double> seconds;
  for (size_t i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    at::mm_out(product, a, b.t());
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repetitions / 2, seconds.end());
  return 2.0 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(columns) /
         seconds[repetitions / 2];
}

TrainingStats Training::stats() {
  return {loss_.item<double>(), optimizer_->gradNorm().item<double>(), optimizer_->step().item<double>(),
          optimizer_->skipped().item<double>()};
}

void Training::setProgress(int64_t step, int64_t updates, double loss) {
  step_ = step;
  optimizer_->setUpdates(updates);
  loss_.fill_(loss);
}

void Training::restart() {
  for (const auto& parameter : model_.parameters()) parameter.weight.mutable_grad().reset();
  optimizer_ = std::make_unique<AdamW>(model_);
  loss_.zero_();
  step_ = tokensInStep_ = sequencesInStep_ = 0;
}

at::Tensor Training::read(const std::string& name, TensorKind kind) const {
  // A copy in any case: the caller looks at it when later jobs may already have changed the tensor.
  return select(find(name), kind)
      .detach()
      .to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true)
      .contiguous();
}

void Training::write(const std::string& name, TensorKind kind, const at::Tensor& value) {
  const at::NoGradGuard guard;
  at::Tensor target = select(find(name), kind);
  if (!target.sizes().equals(value.sizes()))
    throw std::invalid_argument(name + " has shape " + c10::str(target.sizes()) + " but was given " +
                                c10::str(value.sizes()));
  target.copy_(value);
  model_.refreshProducts();
}

const NamedTensor& Training::find(const std::string& name) const {
  for (const auto& tensor : model_.tensors())
    if (tensor.name == name) return tensor;
  throw std::invalid_argument("the model has no tensor named '" + name + "'");
}

at::Tensor Training::select(const NamedTensor& tensor, TensorKind kind) const {
  const at::Tensor& weight = model_.parameters()[tensor.parameter].weight;
  switch (kind) {
    case TensorKind::Weight:
      return tensor.of(weight);
    case TensorKind::ExpAvg:
      return tensor.of(optimizer_->expAvg(tensor.parameter));
    case TensorKind::ExpAvgSq:
      return tensor.of(optimizer_->expAvgSq(tensor.parameter));
    case TensorKind::Gradient:
      break;
  }
  if (!weight.grad().defined())
    throw std::invalid_argument(tensor.name +
                                " has no gradient: accumulate a batch first, and read before update");
  return tensor.of(weight.grad());
}

}  // namespace bertune
