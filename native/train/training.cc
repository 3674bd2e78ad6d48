#include "train/training.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "core/device.h"
#include "core/memory.h"
#include "core/phases.h"
#include "core/random.h"
#include "train/cuda_graph.h"

namespace bertune {
namespace {

template <typename Call>
void sumWithOthers(const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    std::throw_with_nested(SessionLost(isOutOfMemory(error)
                                           ? "other processes have a part of this step's gradients already"
                                           : "the gradients of all processes could not be summed"));
  }
}

// Whether a tensor of this shape is rows of a whole one from `firstRow` on.
bool areRows(at::IntArrayRef shape, int64_t firstRow, at::IntArrayRef whole) {
  return !whole.empty() && shape.size() == whole.size() && shape.slice(1).equals(whole.slice(1)) &&
         firstRow <= whole[0] && shape[0] <= whole[0] - firstRow;
}

}  // namespace

Training::Training(const SessionSpec& spec, at::Device device, at::ScalarType compute, uint64_t seed,
                   std::optional<bool> usesBuckets)
    : spec_(spec),
      wantsBuckets_(usesBuckets.value_or(device.is_cuda())),
      seed_(seed),
      drawSeed_(seed),
      model_(spec, device, compute, seed),
      optimizer_(makeOptimizer(model_.parameters(), {})),
      makeGraph_(device.is_cuda() ? cudaGraphs(device) : GraphMaker()),
      graphs_(model_.parameters()),
      lossBeforeStep_(at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(device))),
      loss_(at::zeros_like(lossBeforeStep_)) {
  chooseSteps();
}

StepTraits Training::traits() const {
  return {spec_,
          model_.compute(),
          model_.device().is_cuda(),
          cudaCapability().value_or(std::pair(0, 0)),
          options_.gradientCheckpointing,
          options_.neftuneNoiseAlpha > 0};
}

void Training::chooseSteps() {
  usesBuckets_ = wantsBuckets_ && whyNoBuckets(traits()).empty();
  recordsPasses_ = whyNotRecorded(traits()).empty();
  graphs_.setMaker(options_.recordsSteps ? makeGraph_ : GraphMaker());
}

void Training::recordWith(GraphMaker make) {
  makeGraph_ = std::move(make);
  chooseSteps();
}

void Training::accumulate(const RawBatch& raw, double divisor, const LossOptions& options, bool endsStep) {
  requireNoSumUnderWay("accumulate");
  const MicroBatch batch{raw, divisor, options, endsStep};
  if (batchesInStep_.empty()) lossBeforeStep_.copy_(loss_);
  const int64_t maxTokens = maxTokens_;
  try {
    if (!options_.autoFindBatchSize) {
      backward(batch);
    } else if (!tryOrSplit(batch)) {
      // Gradients may hold a part of what failed: the step starts over, with smaller micro-batches.
      bool isDone = false;
      while (!isDone) {
        resetStep();
        isDone = std::all_of(batchesInStep_.begin(), batchesInStep_.end(),
                             [this](const MicroBatch& each) { return tryOrSplit(each); }) &&
                 tryOrSplit(batch);
      }
    }
    batchesInStep_.push_back(batch);
  } catch (const SessionLost&) {
    throw;
  } catch (const std::exception& error) {
    if (reduction_ != nullptr && reduction_->isUnderWay())
      std::throw_with_nested(SessionLost("other processes have a part of this step's gradients already"));
    maxTokens_ = maxTokens;
    const bool canRetry = isOutOfMemory(error) && graphs_.recorded() > 0;
    if (canRetry) graphs_.stop("their memory was needed");
    replayStep();
    if (!canRetry) throw;
    accumulate(raw, divisor, options, endsStep);
  }
}

bool Training::tryOrSplit(const MicroBatch& batch) {
  const int64_t most = maxTokens_ > 0 ? maxTokens_ : batch.raw.cuSeqlens.back();
  for (RawBatch& part : split(batch.raw, model_.format(), most)) {
    const MicroBatch micro{std::move(part), batch.divisor, batch.options};
    try {
      backward(micro);
    } catch (const std::exception& error) {
      if (!isOutOfMemory(error) || graphs_.recorded() > 0 || micro.raw.cuSeqlens.size() <= 2) throw;
      maxTokens_ = micro.raw.cuSeqlens.back() / 2;
      releaseCachedMemory();
      return false;
    }
  }
  return true;
}

void Training::backward(const MicroBatch& micro) {
  pass_ = {drawSeed_,
           step_,
           tokensInStep_,
           sequencesInStep_,
           options_.neftuneNoiseAlpha,
           options_.gradientCheckpointing,
           !accumulates_};
  model_.parameters().prepareGradients();
  model_.prepare(&pass_);
  const std::function<void(size_t)> layerDone = [this](size_t layer) {
    sumWithOthers([&] {
      const phases::Scope phase(phases::Phase::Reduction);
      reduction_->layerDone(layer);
    });
  };
  if (micro.endsStep && sumsBeside()) pass_.layerDone = &layerDone;
  const int64_t loss = numberOf(micro.options);
  if (usesBuckets_)
    runInBucket(micro, loss);
  else
    runAsItIs(micro, losses_[loss]);
  pass_.layerDone = nullptr;
  tokensInStep_ += micro.raw.cuSeqlens.back();
  sequencesInStep_ += static_cast<int64_t>(micro.raw.cuSeqlens.size()) - 1;
  ++passesInStep_;
  hasPartialGradients_ = false;
}

// Whether gradients are summed beside the backward pass. Not where memory may run out half way and the step
// start over, where the copy from a GPU would wait, or where what is launched is recorded.
bool Training::sumsBeside() const {
  return reduction_ != nullptr && !options_.autoFindBatchSize && !graphs_.records() &&
         (model_.device().is_cpu() || reduction_->isBetweenGpus());
}

void Training::run(const Batch& batch, const KnownLoss& loss, const at::Tensor& divisor) {
  const at::Tensor sum = model_.loss(batch, pass_, loss.options, loss.weights) / divisor;
  hasPartialGradients_ = true;
  sum.backward();
  model_.parameters().collectGradients();
  // A loss that is not finite spoils its step only (which update leaves out), not the sum.
  // at::where would copy its 0 to the device and wait for it.
  loss_ += at::nan_to_num(sum.detach(), 0.0, 0.0, 0.0);
}

void Training::runAsItIs(const MicroBatch& micro, const KnownLoss& loss) {
  const Batch batch = toTensors(micro.raw, model_.format(), model_.device());
  // Until the backward pass is done; on a GPU dropout is not a function of places.
  std::vector<int32_t> tokenPlaces;
  if (!micro.raw.tokenPlaces.empty() && model_.device().is_cpu()) {
    for (size_t i = 0; i < micro.raw.tokenPlaces.size(); ++i)
      for (int32_t j = micro.raw.cuSeqlens[i]; j < micro.raw.cuSeqlens[i + 1]; ++j)
        tokenPlaces.push_back(micro.raw.tokenPlaces[i] + j - micro.raw.cuSeqlens[i]);
    pass_.tokenPlaces = &tokenPlaces;
    pass_.sequencePlaces = &micro.raw.sequencePlaces;
    pass_.firstToken = pass_.firstSequence = 0;
  }
  run(batch, loss, at::scalar_tensor(micro.divisor, at::kFloat));
  pass_.tokenPlaces = pass_.sequencePlaces = nullptr;
}

void Training::runInBucket(const MicroBatch& micro, int64_t loss) {
  const StepKey key{bucketOf(micro.raw.cuSeqlens, model_.format()), passesInStep_ == 0,
                    labelValuesOf(micro.raw, model_.format()), loss};
  StepGraphs::Step& step = graphs_.step(key, model_.format(), model_.device());
  step.batch.load(micro.raw, micro.divisor, {drawSeed_, step_, tokensInStep_, sequencesInStep_});
  if (model_.device().is_cuda()) pass_.onDevice = step.batch.numbers();
  const KnownLoss& known = losses_[loss];
  const std::function<void()> work = [this, &step, &known] {
    run(step.batch.batch(), known, step.batch.divisor());
  };
  if (!recordsPasses_) return work();
  // One seed for all that a pass draws from LibTorch's generator, in the order of its calls.
  std::optional<DrawsInOrder> draws;
  if (model_.device().is_cuda() && spec_.encoder.attention.dropout > 0) draws.emplace(model_.device());
  const Mask mask = makeMask(drawSeed_, step_, kNoLayer, Site::Attention, 0, tokensInStep_);
  graphs_.run(
      step,
      [&] {
        if (draws.has_value()) draws->seed(generatorSeed(mask));
      },
      work);
}

int64_t Training::numberOf(const LossOptions& options) {
  constexpr size_t most = 8;  // of one training there is one
  const auto known = std::find_if(losses_.begin(), losses_.end(),
                                  [&](const KnownLoss& each) { return each.options == options; });
  if (known != losses_.end()) return known - losses_.begin();
  if (losses_.size() == most) {
    graphs_.clear();
    losses_.clear();
  }
  losses_.push_back({options, LossWeights(options, model_.device())});
  return static_cast<int64_t>(losses_.size()) - 1;
}

void Training::resetStep() {
  model_.parameters().dropGradients();
  loss_.copy_(lossBeforeStep_);
  tokensInStep_ = sequencesInStep_ = passesInStep_ = 0;
  hasPartialGradients_ = false;
}

void Training::replayStep() {
  releaseCachedMemory();
  int64_t tokens = 0;
  for (const MicroBatch& each : batchesInStep_) tokens += each.raw.cuSeqlens.back();
  if (!hasPartialGradients_ && tokensInStep_ == tokens) return;
  try {
    resetStep();
    for (const MicroBatch& each : batchesInStep_) {
      const int64_t most =
          options_.autoFindBatchSize && maxTokens_ > 0 ? maxTokens_ : each.raw.cuSeqlens.back();
      for (RawBatch& part : split(each.raw, model_.format(), most))
        backward({std::move(part), each.divisor, each.options});
    }
  } catch (const std::exception&) {
    std::throw_with_nested(SessionLost("the gradients of earlier micro-batches could not be restored"));
  }
}

std::string Training::join(std::unique_ptr<ProcessGroup> group, at::ScalarType type, bool allowsNccl) {
  std::string problem;
  std::unique_ptr<NcclGroup> gpus;
  if (allowsNccl) gpus = NcclGroup::meet(*group, model_.device(), problem);
  if (!model_.device().is_cuda()) problem.clear();
  // On a GPU masks are no function of places: each process draws its own.
  if (model_.device().is_cuda()) drawSeed_ = mix64(seed_ + static_cast<uint64_t>(group->rank()) + 1);
  reduction_ = std::make_unique<GradientReduction>(std::move(group), std::move(gpus), model_.parameters(),
                                                   spec_.encoder, type);
  return problem;
}

void Training::leave() {
  reduction_.reset();
  drawSeed_ = seed_;
}

void Training::checkSums() const {
  if (reduction_ != nullptr) sumWithOthers([this] { reduction_->check(); });
}

void Training::requireNoSumUnderWay(const char* call) const {
  if (reduction_ != nullptr && reduction_->isUnderWay())
    throw std::logic_error(std::string(call) +
                           " was called after the batch that ends a step: other processes have a part of its "
                           "gradients, so call update first");
}

void Training::update(const UpdateOptions& options) {
  if (reduction_ != nullptr)
    sumWithOthers([this] {
      const phases::Scope phase(phases::Phase::Reduction);
      reduction_->finish();
    });
  const phases::Scope phase(phases::Phase::Optimizer);
  try {
    optimizer_->prepareUpdate(options);
  } catch (const std::exception&) {
    if (reduction_ == nullptr) throw;
    std::throw_with_nested(SessionLost("other processes have made this update, and this one could not"));
  }
  try {
    Parameters& parameters = model_.parameters();
    for (size_t i = 0; i < parameters.size(); ++i)
      if (parameters[i].isTrained()) ++parameters[i].version;
    optimizer_->applyUpdate(options, [this](int64_t layout, const std::function<void()>& work) {
      graphs_.runUpdate(layout, work);
    });
  } catch (const std::exception&) {
    std::throw_with_nested(SessionLost("an update failed half way"));
  }
  model_.parameters().dropGradients();
  ++step_;
  accumulates_ = passesInStep_ > 1;
  tokensInStep_ = sequencesInStep_ = passesInStep_ = 0;
  batchesInStep_.clear();
}

at::Tensor Training::predict(const RawBatch& raw) {
  const at::NoGradGuard guard;
  const Batch batch = toTensors(raw, model_.format(), model_.device());
  model_.prepare(nullptr);
  at::Tensor result = model_.predict(batch).to(at::kCPU).contiguous();
  checkSums();
  return result;
}

TrainingStats Training::stats() {
  const at::Tensor all =
      at::stack({loss_, optimizer_->gradNorm().to(at::kDouble), optimizer_->updates().to(at::kDouble),
                 optimizer_->skipped().to(at::kDouble)})
          .to(at::kCPU);  // waits once
  checkSums();
  const auto* numbers = all.const_data_ptr<double>();
  return {numbers[0], numbers[1], numbers[2], numbers[3], static_cast<double>(maxTokens_), graphs_.problem()};
}

void Training::setProgress(int64_t step, int64_t updates, double loss, int64_t maxTokens) {
  step_ = step;
  maxTokens_ = maxTokens;
  optimizer_->setUpdates(updates);
  loss_.fill_(loss);
}

void Training::restart(const TrainingOptions& options) {
  requireNoSumUnderWay("restart");
  if (reduction_ != nullptr) reduction_->forget();
  std::unique_ptr<Optimizer> optimizer = makeOptimizer(model_.parameters(), options.optimizer);
  graphs_.clear();
  model_.parameters().setTrained(std::vector<bool>(model_.parameters().size(), true));
  options_ = options;
  maxTokens_ = 0;
  batchesInStep_.clear();
  optimizer_ = std::move(optimizer);
  loss_.zero_();
  step_ = tokensInStep_ = sequencesInStep_ = passesInStep_ = 0;
  accumulates_ = false;
  chooseSteps();
}

void Training::mergeAdapters() {
  graphs_.clear();
  try {
    model_.mergeAdapters();
  } catch (const std::exception&) {
    std::throw_with_nested(SessionLost("adapters were merged in part"));
  }
}

void Training::configure(const std::vector<std::pair<std::string, TensorSettings>>& settings) {
  if (tokensInStep_ > 0) throw std::logic_error("configure was called between accumulate and update");
  Parameters& parameters = model_.parameters();
  std::vector<TensorSettings> all(parameters.tensors().size());
  for (const auto& [name, tensorSettings] : settings) all[parameters.tensor(name)] = tensorSettings;
  std::vector<bool> trained(parameters.size(), false);
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i].trainable) trained[parameters.tensors()[i].parameter] = true;
  if (std::find(trained.begin(), trained.end(), true) == trained.end())
    throw std::invalid_argument("all tensors are frozen: there is nothing to train");
  graphs_.clear();
  if (reduction_ != nullptr) reduction_->forget();
  optimizer_->configure(std::move(all));
  parameters.setTrained(trained);
}

std::vector<StateTensor> Training::optimizerState() const {
  std::vector<StateTensor> result;
  for (const std::string& kind : optimizer_->stateNames())
    for (size_t i = 0; i < tensors().size(); ++i)
      if (optimizer_->hasState(i)) result.push_back({tensors()[i].name, kind, shapeOf(i, kind).vec()});
  return result;
}

at::IntArrayRef Training::shapeOf(size_t tensor, const std::string& kind) const {
  return kind == "step" ? at::IntArrayRef() : at::IntArrayRef(tensors()[tensor].shape);
}

at::Tensor Training::read(const std::string& name, const std::string& kind) const {
  if (kind == "gradient") requireNoSumUnderWay("read");
  const size_t index = model_.parameters().tensor(name);
  const NamedTensor& tensor = tensors()[index];
  const Parameter& parameter = model_.parameters()[tensor.parameter];
  if (kind == "gradient" && !(parameter.gradient && parameter.gradient->isWritten()))
    throw std::invalid_argument(
        name +
        " has no gradient: accumulate a batch first, and read before update; a frozen tensor has none");
  const at::Tensor value = kind == "weight"     ? tensor.of(parameter.value)
                           : kind == "gradient" ? tensor.of(parameter.gradient->values())
                                                : optimizer_->readState(index, kind);
  // A copy in any case: the caller looks at it when later jobs may already have changed the tensor.
  at::Tensor copy =
      value.detach().to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  checkSums();
  return copy;
}

void Training::write(const std::string& name, const std::string& kind, const at::Tensor& value,
                     std::optional<int64_t> firstRow) {
  const at::NoGradGuard guard;
  const size_t index = model_.parameters().tensor(name);
  const NamedTensor& tensor = tensors()[index];
  const bool isWeight = kind == "weight";
  if (!isWeight) optimizer_->requireState(kind);
  const at::IntArrayRef whole = shapeOf(index, kind);
  if (firstRow.has_value() ? !areRows(value.sizes(), *firstRow, whole) : !value.sizes().equals(whole))
    throw std::invalid_argument(name + " has shape " + c10::str(whole) + " but was given " +
                                c10::str(value.sizes()) +
                                (firstRow.has_value() ? " from row " + std::to_string(*firstRow) : ""));
  if (!isWeight) return optimizer_->writeState(index, kind, value, firstRow.value_or(0));
  Parameter& parameter = model_.parameters()[tensor.parameter];
  tensor.of(parameter.value).narrow(0, firstRow.value_or(0), value.size(0)).copy_(value);
  ++parameter.version;
}

}  // namespace bertune
