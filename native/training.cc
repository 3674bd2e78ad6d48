#include "training.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "allocator.h"
#include "memory.h"
#include "phases.h"

namespace bertune {

Training::Training(const ModelConfig& config, Problem problem, at::Device device, at::ScalarType compute,
                   uint64_t seed)
    : problem_(problem),
      seed_(seed),
      model_(config, device, compute, seed),
      optimizer_(makeOptimizer(model_, {})),
      loss_(at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(device))) {}

void Training::accumulate(const RawBatch& raw, double divisor, const LossOptions& options) {
  const MicroBatch batch{raw, divisor, options};
  if (!options_.autoFindBatchSize) return backward(batch);
  if (batchesInStep_.empty()) lossBeforeStep_ = loss_.clone();
  batchesInStep_.push_back(batch);
  if (tryOrSplit(batch)) return;
  // Gradients may hold a part of what failed: the step begins anew, with smaller micro-batches.
  bool isDone = false;
  while (!isDone) {
    dropGradients();
    loss_ = lossBeforeStep_.clone();
    tokensInStep_ = sequencesInStep_ = 0;
    isDone = std::all_of(batchesInStep_.begin(), batchesInStep_.end(),
                         [this](const MicroBatch& each) { return tryOrSplit(each); });
  }
}

bool Training::tryOrSplit(const MicroBatch& batch) {
  const int64_t most = maxTokens_ > 0 ? maxTokens_ : batch.raw.cuSeqlens.back();
  for (RawBatch& part : split(batch.raw, most)) {
    const MicroBatch micro{std::move(part), batch.divisor, batch.options};
    try {
      backward(micro);
    } catch (const std::exception& error) {
      if (!isOutOfMemory(error) || micro.raw.cuSeqlens.size() <= 2) throw;
      maxTokens_ = micro.raw.cuSeqlens.back() / 2;
      releaseCachedMemory();
      return false;
    }
  }
  return true;
}

void Training::backward(const MicroBatch& micro) {
  const Batch batch = toTensors(micro.raw, model_.config().numLabels, model_.device());
  const TrainingPass pass{seed_,
                          step_,
                          tokensInStep_,
                          sequencesInStep_,
                          options_.neftuneNoiseAlpha,
                          options_.gradientCheckpointing};
  const at::Tensor loss =
      lossSum(problem_, model_.logits(batch, &pass), batch.labels, micro.options) / micro.divisor;
  loss.backward();
  // A loss that is not finite spoils its step only (which update leaves out), not the sum.
  // at::where would copy its 0 to the device and wait for it.
  loss_ += at::nan_to_num(loss.detach(), 0.0, 0.0, 0.0);
  tokensInStep_ += batch.tokens();
  sequencesInStep_ += batch.sequences();
}

void Training::dropGradients() {
  for (const auto& parameter : model_.parameters()) parameter.weight.mutable_grad().reset();
}

void Training::update(const UpdateOptions& options) {
  const phases::Scope phase(phases::Phase::Optimizer);
  // First, since an update that fails half way has changed weights too.
  for (size_t i = 0; i < model_.parameters().size(); ++i)
    if (model_.parameters()[i].weight.requires_grad()) model_.weightChanged(i);
  optimizer_->update(options);
  ++step_;
  tokensInStep_ = sequencesInStep_ = 0;
  batchesInStep_.clear();
}

at::Tensor Training::predict(const RawBatch& raw) {
  const at::NoGradGuard guard;
  return model_.logits(toTensors(raw, model_.config().numLabels, model_.device()), nullptr)
      .to(at::kCPU)
      .contiguous();
}

double Training::matmulRate(int64_t rows, int64_t inner, int64_t columns) const {
  constexpr size_t repetitions = 15;
  // A GPU is waited for after many products, since waiting takes longer than one of them.
  const int products = model_.device().is_cpu() ? 1 : 100;
  const at::NoGradGuard guard;
  const auto options = at::TensorOptions().device(model_.device());
  const at::Tensor a = at::rand({rows, inner}, options).to(model_.compute());
  const at::Tensor b = at::rand({columns, inner}, options).to(model_.compute());
  at::Tensor product = at::mm(a, b.t());
  const auto wait = [&] { product.view(-1)[0].item<float>(); };
  wait();
  std::vector<double> seconds;
  for (size_t i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int j = 0; j < products; ++j) at::mm_out(product, a, b.t());
    wait();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
                      products);
  }
  std::nth_element(seconds.begin(), seconds.begin() + repetitions / 2, seconds.end());
  return 2.0 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(columns) /
         seconds[repetitions / 2];
}

TrainingStats Training::stats() {
  const at::Tensor all =
      at::stack({loss_, optimizer_->gradNorm().to(at::kDouble), optimizer_->updates().to(at::kDouble),
                 optimizer_->skipped().to(at::kDouble)})
          .to(at::kCPU);  // waits once
  const auto* numbers = all.const_data_ptr<double>();
  return {numbers[0], numbers[1], numbers[2], numbers[3], static_cast<double>(maxTokens_)};
}

void Training::setProgress(int64_t step, int64_t updates, double loss, int64_t maxTokens) {
  step_ = step;
  maxTokens_ = maxTokens;
  optimizer_->setUpdates(updates);
  loss_.fill_(loss);
}

void Training::restart(const TrainingOptions& options) {
  dropGradients();
  for (const auto& parameter : model_.parameters()) parameter.weight.set_requires_grad(true);
  options_ = options;
  maxTokens_ = 0;
  batchesInStep_.clear();
  optimizer_ = makeOptimizer(model_, options.optimizer);
  loss_.zero_();
  step_ = tokensInStep_ = sequencesInStep_ = 0;
}

void Training::configure(const std::vector<std::pair<std::string, TensorSettings>>& settings) {
  if (tokensInStep_ > 0) throw std::logic_error("configure was called between accumulate and update");
  std::vector<TensorSettings> all(model_.tensors().size());
  for (const auto& [name, tensorSettings] : settings) all[find(name)] = tensorSettings;
  std::vector<bool> trains(model_.parameters().size(), false);
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i].trainable) trains[model_.tensors()[i].parameter] = true;
  if (std::find(trains.begin(), trains.end(), true) == trains.end())
    throw std::invalid_argument("all tensors are frozen: there is nothing to train");
  for (size_t i = 0; i < trains.size(); ++i) model_.parameters()[i].weight.set_requires_grad(trains[i]);
  optimizer_->configure(std::move(all));
}

std::vector<StateTensor> Training::optimizerState() const {
  std::vector<StateTensor> result;
  for (const std::string& kind : optimizer_->stateNames())
    for (size_t i = 0; i < model_.tensors().size(); ++i)
      if (optimizer_->hasState(i))
        result.push_back({model_.tensors()[i].name, kind, optimizer_->readState(i, kind).sizes().vec()});
  return result;
}

at::Tensor Training::read(const std::string& name, const std::string& kind) const {
  const size_t index = find(name);
  const NamedTensor& tensor = model_.tensors()[index];
  const at::Tensor& weight = model_.parameters()[tensor.parameter].weight;
  if (kind == "gradient" && !weight.grad().defined())
    throw std::invalid_argument(
        name +
        " has no gradient: accumulate a batch first, and read before update; a frozen tensor has none");
  const at::Tensor value = kind == "weight"     ? tensor.of(weight)
                           : kind == "gradient" ? tensor.of(weight.grad())
                                                : optimizer_->readState(index, kind);
  // A copy in any case: the caller looks at it when later jobs may already have changed the tensor.
  return value.detach().to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
}

void Training::write(const std::string& name, const std::string& kind, const at::Tensor& value) {
  const at::NoGradGuard guard;
  const size_t index = find(name);
  const NamedTensor& tensor = model_.tensors()[index];
  const bool isWeight = kind == "weight";
  const at::Tensor weight = tensor.of(model_.parameters()[tensor.parameter].weight);
  const at::Tensor present = isWeight ? weight : optimizer_->readState(index, kind);
  if (!present.sizes().equals(value.sizes()))
    throw std::invalid_argument(name + " has shape " + c10::str(present.sizes()) + " but was given " +
                                c10::str(value.sizes()));
  (isWeight ? weight : optimizer_->writableState(index, kind)).copy_(value);
  if (isWeight) model_.weightChanged(tensor.parameter);
}

size_t Training::find(const std::string& name) const {
  for (size_t i = 0; i < model_.tensors().size(); ++i)
    if (model_.tensors()[i].name == name) return i;
  throw std::invalid_argument("the model has no tensor named '" + name + "'");
}

}  // namespace bertune
