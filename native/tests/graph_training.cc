#include "tests/graph_training.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "ops/fused_device.h"

namespace bertune::graphs {

ParameterSpec parameter(const std::string& name, std::vector<int64_t> shape) {
  const int64_t rows = shape[0];
  const bool decays = shape.size() > 1;
  return {name, std::move(shape), {Initialisation::Kind::Normal, 0.3}, decays, {{name, rows}}};
}

SessionSpec specOf(double dropout, bool hasAdapters, LossKind loss) {
  SessionSpec spec{};
  const NormSpec norm{1e-5, true};
  EncoderSpec& encoder = spec.encoder;
  encoder.hidden = kHidden;
  encoder.heads = 2;
  encoder.embeddings = {kHidden, kVocab, 0, PositionsSpec{kPositions, 0}, 2, norm, dropout, false};
  encoder.attention.bias = true;
  encoder.attention.dropout = encoder.attention.outputDropout = dropout;
  encoder.mlp = {20, Activation::Gelu, false, true, true, 0, dropout};
  encoder.norm = norm;
  encoder.layers = {{"layers.0", true, {}, {}}, {"layers.1", true, {}, {}}};
  spec.head = {{HeadStage::Kind::PoolFirst},
               {HeadStage::Kind::Dropout, {}, Activation::Tanh, dropout},
               {HeadStage::Kind::Linear, "classifier"}};
  spec.loss = loss;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    spec.parameters.push_back(parameter(name, std::move(shape)));
  };
  const auto addLinear = [&](const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  };
  add("embeddings.words.weight", {kVocab, kHidden});
  add("embeddings.positions.weight", {kPositions, kHidden});
  add("embeddings.types.weight", {2, kHidden});
  const auto addNorm = [&](const std::string& name) {
    add(name + ".weight", {kHidden});
    add(name + ".bias", {kHidden});
  };
  addNorm("embeddings.norm");
  for (const std::string layer : {"layers.0", "layers.1"}) {
    addLinear(layer + ".queryKeyValue", 3 * kHidden, kHidden);
    addLinear(layer + ".attentionOutput", kHidden, kHidden);
    addLinear(layer + ".mlpIn", 20, kHidden);
    addLinear(layer + ".mlpOut", kHidden, 20);
    addNorm(layer + ".attentionNorm");
    addNorm(layer + ".mlpNorm");
  }
  addLinear("classifier", kClasses, kHidden);
  if (!hasAdapters) return spec;
  spec.lora = {4, 2.0, dropout, {}};
  for (const std::string layer : {"layers.0", "layers.1"}) {
    const std::string linear = layer + ".queryKeyValue";
    add(layer + ".a", {4, kHidden});
    add(layer + ".b", {kHidden, 4});
    spec.lora.adapters.push_back({linear, 0, kHidden, layer + ".a", layer + ".b"});
  }
  return spec;
}

int64_t below(Random& random, int64_t end) { return static_cast<int64_t>(random() % end); }

RawBatch batchOf(Random& random, const BatchFormat& format, int64_t sequences) {
  RawBatch raw;
  raw.cuSeqlens = {0};
  for (int64_t i = 0; i < sequences; ++i)
    raw.cuSeqlens.push_back(raw.cuSeqlens.back() + 1 + static_cast<int32_t>(below(random, kPositions)));
  std::vector<int32_t> types;
  for (int32_t i = 0; i < raw.cuSeqlens.back(); ++i) {
    raw.inputIds.push_back(static_cast<int32_t>(below(random, kVocab)));
    types.push_back(static_cast<int32_t>(below(random, 2)));
  }
  if (below(random, 4) > 0) raw.tokenTypeIds = types;
  for (int64_t i = 0; i < sequences; ++i) {
    if (format.loss == LossKind::CrossEntropy)
      raw.classLabels.push_back(static_cast<int32_t>(below(random, kClasses)));
    else
      for (int64_t j = 0; j < kClasses; ++j) raw.valueLabels.push_back(static_cast<float>(below(random, 2)));
  }
  return raw;
}

void FakeGraph::capture(const std::function<void()>& work) {
  Parameters& parameters = training_.model().parameters();
  written_ = parameters.written();
  std::vector<at::Tensor> device = training_.deviceState(), before;
  for (const at::Tensor& each : device) before.push_back(each.detach().clone());
  const auto undo = [&] {
    const at::NoGradGuard guard;
    standin::cuda.recording = nullptr;
    for (size_t i = 0; i < device.size(); ++i) device[i].detach().copy_(before[i]);
  };
  standin::cuda.recording = &launches_;
  try {
    work();
    log_.duringCapture();
  } catch (const std::exception&) {
    undo();
    throw;
  }
  undo();
  work_ = work;
  ++log_.captures;
}

void FakeGraph::replay() {
  log_.duringReplay();
  ++log_.replays;
  for (const standin::Launch& launch : launches_) launch.run();
  if (!launches_.empty()) {
    ++log_.launches;
    return;
  }
  Parameters& parameters = training_.model().parameters();
  const std::vector<bool> now = parameters.written();
  parameters.setWritten(written_);
  work_();
  parameters.setWritten(now);
}

GraphMaker fakeGraphs(Training& training, FakeGraph::Log& log) {
  return [&training, &log] { return std::make_unique<FakeGraph>(training, log); };
}

void update(Training& training, const UpdateOptions& options, bool hasKernels) {
  struct Kernels {
    explicit Kernels(const cuda::Kernels* kernels) { fused::setKernelsOfCpu(kernels); }
    ~Kernels() { fused::setKernelsOfCpu(nullptr); }
  };
  const Kernels kernels(hasKernels ? &standin::kernels() : nullptr);
  training.update(options);
}

std::vector<at::Tensor> train(Training& training, const Run& run, int steps) {
  const BatchFormat format = batchFormat(specOf(run.dropout, run.hasAdapters, run.loss));
  Random random(7);
  std::vector<at::Tensor> result;
  for (int step = 0; step < steps; ++step) {
    run.beforeStep(training, step);
    const int64_t micro = 1 + below(random, 3);
    std::vector<RawBatch> batches;
    double divisor = 0;
    for (int64_t i = 0; i < micro; ++i) {
      batches.push_back(batchOf(random, format, 3 + below(random, 3)));
      divisor += static_cast<double>(batches.back().cuSeqlens.size() - 1);
    }
    for (const RawBatch& batch : batches) training.accumulate(batch, divisor, run.options);
    run.beforeUpdate(training, step);
    update(training, {run.learningRate(step), 0.9, 0.999, 1e-8, 0.01, 1.0}, run.hasKernels);
  }
  for (const NamedTensor& tensor : training.tensors()) result.push_back(training.read(tensor.name, "weight"));
  for (const StateTensor& state : training.optimizerState())
    result.push_back(training.read(state.name, state.kind));
  const TrainingStats stats = training.stats();
  result.push_back(at::tensor({stats.loss, stats.gradNorm, stats.updates, stats.skipped}, at::kDouble));
  return result;
}

bool areEqual(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) { return x.equal(y); });
}

std::unique_ptr<Training> trainingOf(const Run& run, bool usesBuckets) {
  auto training = std::make_unique<Training>(specOf(run.dropout, run.hasAdapters, run.loss), at::kCPU,
                                             run.compute, 11, usesBuckets);
  TrainingOptions options;
  options.autoFindBatchSize = run.autoFindBatchSize;
  options.optimizer.name = run.optimizer;
  training->restart(options);
  if (run.hasAdapters) {
    std::vector<std::pair<std::string, TensorSettings>> settings;
    for (const NamedTensor& tensor : training->tensors())
      if (tensor.name.back() != 'a' && tensor.name.back() != 'b') settings.push_back({tensor.name, {false}});
    training->configure(settings);
  }
  return training;
}

}  // namespace bertune::graphs
