#include "train/step_graph.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "core/device.h"
#include "core/memory.h"
#include "ops/attention.h"

namespace bertune {
namespace {

bool hasDropout(const SessionSpec& spec) {
  const AttentionSpec& attention = spec.encoder.attention;
  const MlpSpec& mlp = spec.encoder.mlp;
  bool drops = spec.encoder.embeddings.dropout > 0 || attention.dropout > 0 || attention.outputDropout > 0 ||
               mlp.innerDropout > 0 || mlp.outputDropout > 0 || spec.lora.dropout > 0;
  for (const HeadStage& stage : spec.head) drops = drops || stage.probability > 0;
  return drops;
}

// Whether some layer's attention is composed of operators, sequence by sequence (ops/attention.cc).
bool isComposed(const StepTraits& traits) {
  const EncoderSpec& encoder = traits.spec.encoder;
  if (!hasCudaAttention(traits.compute, encoder.hidden / encoder.heads, traits.capability)) return true;
  const std::vector<HeadStage>& head = traits.spec.head;
  const bool isFirstOnly = !head.empty() && head.front().kind == HeadStage::Kind::PoolFirst;
  const bool hasWindows = std::any_of(encoder.layers.begin(), encoder.layers.end(),
                                      [](const LayerSpec& layer) { return layer.window.has_value(); });
  return hasWindows &&
         (traits.compute == at::kFloat || (isFirstOnly && encoder.layers.back().window.has_value()));
}

}  // namespace

std::string whyNoBuckets(const StepTraits& traits) {
  const SessionSpec& spec = traits.spec;
  const AttentionSpec& attention = spec.encoder.attention;
  if (!spec.head.empty() && spec.head.back().kind == HeadStage::Kind::Vocabulary)
    return "the rows with labels of a masked language model are chosen on the host";
  if (attention.relativeBias.has_value() || attention.disentangled.has_value())
    return "attention with relative positions runs sequence by sequence";
  const auto& positions = spec.encoder.embeddings.positions;
  if (positions.has_value() && positions->rows - positions->first < 2) return "the model has one position";
  if (traits.addsNoise) return "NEFTune's noise depends on the lengths of the texts";
  if (traits.isCuda && isComposed(traits))
    return "attention with such heads or windows runs sequence by sequence";
  return "";
}

std::string whyNotRecorded(const StepTraits& traits) {
  if (traits.gradientCheckpointing && hasDropout(traits.spec))
    return "with gradient checkpointing dropout is drawn twice, at places of its own";
  return whyNoBuckets(traits);
}

void StepGraphs::setMaker(GraphMaker make) {
  clear();
  make_ = std::move(make);
  problem_.clear();
}

void StepGraphs::stop(const std::string& reason) {
  const std::string first = problem_.empty() ? reason : problem_;
  setMaker({});
  problem_ = first;
}

StepGraphs::Step& StepGraphs::step(const StepKey& key, const BatchFormat& format, at::Device device) {
  const auto known =
      std::find_if(steps_.begin(), steps_.end(), [&](const Step& each) { return each.key == key; });
  if (known != steps_.end()) {
    steps_.splice(steps_.begin(), steps_, known);
    return steps_.front();
  }
  while (steps_.size() >= most_) steps_.pop_back();
  steps_.emplace_front(key, format, device);
  return steps_.front();
}

void StepGraphs::clear() {
  steps_.clear();
  update_ = {};
}

void StepGraphs::run(Step& step, const std::function<void()>& prepare, const std::function<void()>& work) {
  run(step.recording, prepare, work);
}

void StepGraphs::runUpdate(int64_t layout, const std::function<void()>& work) {
  if (std::exchange(updateLayout_, layout) != layout) update_ = {};
  run(
      update_, [] {}, work);
}

void StepGraphs::run(Recording& recording, const std::function<void()>& prepare,
                     const std::function<void()>& work) {
  const bool isFirstSight = !std::exchange(recording.isSeen, true);
  const bool isToBeRecorded = make_ && !isFirstSight && !recording.isRefused && recording.graph == nullptr;
  if (isToBeRecorded && !tryCapture(recording, work)) recording.isRefused = true;
  prepare();
  if (recording.graph == nullptr || recording.writtenBefore != parameters_.written()) return work();
  recording.graph->replay();
  parameters_.setWritten(recording.writtenAfter);
}

bool StepGraphs::tryCapture(Recording& recording, const std::function<void()>& work) {
  recording.writtenBefore = parameters_.written();
  // While it is recorded LibTorch gives no memory back that it keeps for other tensors.
  releaseCudaMemory();
  std::unique_ptr<Graph> graph;
  try {
    graph = make_();
    graph->capture(work);
    recording.writtenAfter = parameters_.written();
    recording.graph = std::move(graph);
  } catch (const std::exception& error) {
    const std::string reason = error.what();
    if (problem_.empty()) problem_ = reason.substr(0, reason.find('\n'));
    graph.reset();
    if (isOutOfMemory(error)) releaseCudaMemory();
  }
  // Nothing was done yet, whatever the host noted.
  parameters_.forgetPending();
  parameters_.setWritten(recording.writtenBefore);
  return recording.graph != nullptr;
}

size_t StepGraphs::recorded() const {
  return static_cast<size_t>(std::count_if(steps_.begin(), steps_.end(),
                                           [](const Step& step) { return step.recording.graph != nullptr; }));
}

}  // namespace bertune
