// Buckets, and steps as graphs: the policy by graphs that note what is asked of them, and whole trainings by
// graphs that behave as a device's do, but on the CPU.
#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/bucket.h"
#include "model/loss.h"
#include "tests/comparison.h"
#include "tests/operators_test.h"
#include "train/step_graph.h"
#include "train/training.h"

namespace bertune {
namespace {

constexpr int64_t kVocab = 30, kHidden = 16, kPositions = 40, kClasses = 3;

void check(const std::string& name, bool holds) { report("graphs: " + name, holds ? 0 : 1, 0); }

ParameterSpec parameter(const std::string& name, std::vector<int64_t> shape) {
  const int64_t rows = shape[0];
  const bool decays = shape.size() > 1;
  return {name, std::move(shape), {Initialisation::Kind::Normal, 0.3}, decays, {{name, rows}}};
}

SessionSpec specOf(double dropout, bool hasAdapters, LossKind loss = LossKind::CrossEntropy) {
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

using Random = std::mt19937;

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

// A graph as a device has them. Recording does nothing to the tensors of the device; repeating does what was
// recorded, with what the host noted at that time, and leaves no note on the host.
class FakeGraph : public Graph {
 public:
  struct Log {
    int made = 0, captures = 0, replays = 0, destroyed = 0;
    std::function<void()> duringCapture = [] {}, duringReplay = [] {};
  };

  FakeGraph(Training& training, Log& log) : training_(training), log_(log) { ++log_.made; }
  ~FakeGraph() override { ++log_.destroyed; }

  void capture(const std::function<void()>& work) override {
    Parameters& parameters = training_.model().parameters();
    written_ = parameters.written();
    std::vector<at::Tensor> device = training_.deviceState(), before;
    for (const at::Tensor& each : device) before.push_back(each.detach().clone());
    const auto undo = [&] {
      const at::NoGradGuard guard;
      for (size_t i = 0; i < device.size(); ++i) device[i].detach().copy_(before[i]);
    };
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

  void replay() override {
    log_.duringReplay();
    Parameters& parameters = training_.model().parameters();
    const std::vector<bool> now = parameters.written();
    parameters.setWritten(written_);
    work_();
    parameters.setWritten(now);
    ++log_.replays;
  }

 private:
  Training& training_;
  Log& log_;
  std::vector<bool> written_;
  std::function<void()> work_;
};

GraphMaker fakeGraphs(Training& training, FakeGraph::Log& log) {
  return [&training, &log] { return std::make_unique<FakeGraph>(training, log); };
}

struct Run {
  double dropout = 0.1;
  bool hasAdapters = false;
  at::ScalarType compute = at::kFloat;
  LossKind loss = LossKind::CrossEntropy;
  LossOptions options = {};
  bool autoFindBatchSize = false;
};

// Steps of random batches and micro-batches, with a learning rate of their own each. All that a run could
// depend on at the end.
std::vector<at::Tensor> train(Training& training, const Run& run, int steps, bool clips = true) {
  const BatchFormat format = batchFormat(specOf(run.dropout, run.hasAdapters, run.loss));
  Random random(7);
  std::vector<at::Tensor> result;
  for (int step = 0; step < steps; ++step) {
    const int64_t micro = 1 + below(random, 3);
    std::vector<RawBatch> batches;
    double divisor = 0;
    for (int64_t i = 0; i < micro; ++i) {
      batches.push_back(batchOf(random, format, 3 + below(random, 3)));
      divisor += static_cast<double>(batches.back().cuSeqlens.size() - 1);
    }
    for (const RawBatch& batch : batches) training.accumulate(batch, divisor, run.options);
    training.update({1e-3 * (1 + step), 0.9, 0.999, 1e-8, 0.01, clips ? 1.0 : 0.0});
  }
  for (const NamedTensor& tensor : training.tensors()) result.push_back(training.read(tensor.name, "weight"));
  const TrainingStats stats = training.stats();
  result.push_back(at::tensor({stats.loss, stats.gradNorm, stats.updates, stats.skipped}, at::kDouble));
  return result;
}

bool areEqual(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) { return x.equal(y); });
}

std::unique_ptr<Training> trainingOf(const Run& run, bool usesBuckets = true) {
  auto training = std::make_unique<Training>(specOf(run.dropout, run.hasAdapters, run.loss), at::kCPU,
                                             run.compute, 11, usesBuckets);
  TrainingOptions options;
  options.autoFindBatchSize = run.autoFindBatchSize;
  training->restart(options);
  if (run.hasAdapters) {
    std::vector<std::pair<std::string, TensorSettings>> settings;
    for (const NamedTensor& tensor : training->tensors())
      if (tensor.name.back() != 'a' && tensor.name.back() != 'b') settings.push_back({tensor.name, {false}});
    training->configure(settings);
  }
  return training;
}

void testTrainings() {
  const std::vector<std::pair<std::string, Run>> runs{
      {"steps", {}},
      {"steps in bfloat16", {0.1, false, at::kBFloat16}},
      {"steps of adapters", {0.1, true}},
      {"steps with weights of classes", {0.1, false, at::kFloat, LossKind::CrossEntropy, {0, 0, {1, 2, 3}}}},
      {"steps of several labels",
       {0.1, false, at::kFloat, LossKind::BinaryCrossEntropy, {0.1, 0, {}, {1, 2, 3}}}}};
  for (const auto& [kind, run] : runs) {
    const int steps = kind == "steps" ? 30 : 12;
    const std::string name = std::to_string(steps) + " " + kind;
    const auto eager = trainingOf(run);
    const std::vector<at::Tensor> expected = train(*eager, run, steps);
    FakeGraph::Log log;
    auto recorded = trainingOf(run);
    recorded->recordWith(fakeGraphs(*recorded, log));
    check(name + " as graphs have the bits of those without",
          areEqual(train(*recorded, run, steps), expected));
    check(name + ": most passes were repeated", log.replays > steps / 2 && log.captures > 2);
    check(name + ": nothing went wrong", recorded->stats().graphProblem.empty());
    recorded.reset();
    check(name + ": all graphs are gone with the session", log.destroyed == log.made);
  }
}

// What fails leaves the run as it would have been.
void testFailures() {
  const Run run;
  const std::vector<at::Tensor> expected = train(*trainingOf(run), run, 12);
  const auto runs = [&](const std::string& name, FakeGraph::Log& log, const auto& holds) {
    auto training = trainingOf(run);
    training->recordWith(fakeGraphs(*training, log));
    check(name + ": the same bits", areEqual(train(*training, run, 12), expected));
    check(name + ": as it should be", holds(*training));
  };
  FakeGraph::Log failing;
  failing.duringCapture = [] { throw std::runtime_error("operation not permitted\nwhen capturing"); };
  runs("a pass that cannot be recorded", failing, [&](Training& training) {
    return failing.replays == 0 && failing.made > 0 && training.graphs().recorded() == 0 &&
           training.stats().graphProblem == "operation not permitted";
  });
  FakeGraph::Log full;
  full.duringCapture = [] { throw c10::OutOfMemoryError({"", "", 0}, "no room"); };
  runs("memory that runs out while a pass is recorded", full,
       [&](Training& training) { return full.replays == 0 && training.graphs().recorded() == 0; });
  for (const bool finds : {false, true}) {
    FakeGraph::Log tight;
    tight.duringReplay = [&] {
      if (tight.replays == 5) throw c10::OutOfMemoryError({"", "", 0}, "no room");
    };
    auto training = trainingOf({0.1, false, at::kFloat, LossKind::CrossEntropy, {}, finds});
    training->recordWith(fakeGraphs(*training, tight));
    const std::string name = finds ? "memory that runs out, with autoFindBatchSize" : "memory that runs out";
    check(name + ": the same bits", areEqual(train(*training, run, 12), expected));
    check(name + ": graphs give theirs back, and batches stay whole",
          tight.destroyed == tight.made && training->graphs().recorded() == 0 &&
              training->stats().maxTokens == 0 && !training->stats().graphProblem.empty());
  }
}

void testNonFinite() {
  const Run run{0.1, false, at::kFloat, LossKind::MeanSquaredError};
  FakeGraph::Log log;
  auto training = trainingOf(run);
  training->recordWith(fakeGraphs(*training, log));
  const BatchFormat format = batchFormat(specOf(0.1, false, run.loss));
  Random random(3);
  RawBatch batch = batchOf(random, format, 4);
  const UpdateOptions options{1e-3, 0.9, 0.999, 1e-8, 0.01, 1};
  for (int i = 0; i < 4; ++i) {
    training->accumulate(batch, 4, {});
    training->update(options);
  }
  const at::Tensor before = training->read("classifier.weight", "weight");
  std::fill(batch.valueLabels.begin(), batch.valueLabels.end(), std::numeric_limits<float>::max());
  const int replays = log.replays;
  training->accumulate(batch, 4, {});
  training->update(options);
  check("a step that is not finite is repeated and changes nothing",
        log.replays == replays + 1 && training->stats().skipped == 1 &&
            training->read("classifier.weight", "weight").equal(before));
}

// What changes addresses, or what is launched, forgets all graphs.
void testForgetting() {
  const Run run{0.1, true};
  const BatchFormat format = batchFormat(specOf(0.1, true));
  Random random(3);
  const RawBatch batch = batchOf(random, format, 4);
  FakeGraph::Log log;
  auto training = trainingOf(run);
  training->recordWith(fakeGraphs(*training, log));
  const auto recorded = [&] {
    for (int i = 0; i < 3; ++i) {
      training->accumulate(batch, 4, {});
      training->update({1e-3, 0.9, 0.999, 1e-8, 0.01, 1});
    }
    return training->graphs().recorded();
  };
  check("a key is recorded", recorded() == 1);
  training->configure({{"classifier.weight", {false}}});
  check("configure forgets", training->graphs().recorded() == 0 && recorded() == 1);
  training->mergeAdapters();
  check("mergeAdapters forgets", training->graphs().recorded() == 0 && recorded() == 1);
  training->restart({});
  check("restart forgets", training->graphs().recorded() == 0 && recorded() == 1);
  TrainingOptions without;
  without.recordsSteps = false;
  training->restart(without);
  check("graphs can be switched off", recorded() == 0);
}

// Notes what is asked of it.
struct Noting : Graph {
  std::string& notes;
  std::function<void()> work;

  explicit Noting(std::string& notes) : notes(notes) {}
  ~Noting() override { notes += 'd'; }
  void capture(const std::function<void()>& given) override {
    notes += 'c';
    work = given;
  }
  void replay() override {
    notes += 'r';
    work();
  }
};

void testPolicy() {
  Parameters parameters({parameter("a", {3, 5})}, at::kCPU, 42);
  BatchFormat format{20, 2, PositionsSpec{8, 0}, 4, false, LossKind::CrossEntropy};
  std::string notes;
  StepGraphs graphs(parameters, /*most=*/2);
  const auto run = [&](int64_t tokens, bool isFirst = true) {
    StepGraphs::Step& step = graphs.step({{tokens, 4, 8}, isFirst, 0, 0}, format, at::kCPU);
    graphs.run(
        step, [&] { notes += 'p'; }, [&] { notes += 'w'; });
    return std::exchange(notes, "");
  };
  check("without a maker all runs as it is", run(64) == "pw" && run(64) == "pw" && run(64) == "pw");
  graphs.setMaker([&] { return std::make_unique<Noting>(notes); });
  check("first as it is, then recorded and repeated",
        run(64) == "pw" && run(64) == "cprw" && run(64) == "prw");
  check("another key of the same bucket", run(64, false) == "pw" && run(64, false) == "cprw");
  check("the first is still there", run(64) == "prw");
  check("the one not seen for longest goes", run(128) == "dpw" && run(64) == "prw" && run(64, false) == "pw");
  graphs.stop("reason");
  check("stopped", notes == "d" && graphs.recorded() == 0 && graphs.problem() == "reason");
  notes.clear();
  check("and not recorded again", run(64) == "pw" && run(64) == "pw");
}

void testBuckets() {
  BatchFormat format{20, 2, PositionsSpec{512, 0}, 3, false, LossKind::CrossEntropy};
  format.padId = 5;
  Random random(1);
  double mostWaste = 0, mostOfLarge = 0;
  bool isWhole = true;
  for (int i = 0; i < 4000; ++i) {
    const int64_t sequences = 1 + below(random, 120), longest = 16 + below(random, 497);
    std::vector<int32_t> cuSeqlens{0};
    for (int64_t j = 0; j < sequences; ++j)
      cuSeqlens.push_back(cuSeqlens.back() + 16 + static_cast<int32_t>(below(random, longest - 15)));
    const Bucket bucket = bucketOf(cuSeqlens, format);
    RawBatch raw;
    raw.cuSeqlens = cuSeqlens;
    raw.inputIds.assign(cuSeqlens.back(), 7);
    raw.classLabels.assign(sequences, 1);
    const RawBatch all = filled(raw, format, bucket);
    isWhole = isWhole && all.cuSeqlens.back() == bucket.tokens && bucket.tokens % 64 == 0 &&
              static_cast<int64_t>(all.cuSeqlens.size()) == bucket.sequences + 1 &&
              bucket.sequences > sequences && static_cast<int64_t>(all.inputIds.size()) == bucket.tokens &&
              all.inputIds.back() == 5 && all.classLabels.back() == -100 &&
              all.classLabels[sequences - 1] == 1;
    for (size_t j = 1; j < all.cuSeqlens.size(); ++j) {
      const int64_t length = all.cuSeqlens[j] - all.cuSeqlens[j - 1];
      isWhole = isWhole && length >= 1 && length <= bucket.longest && length <= 512;
    }
    const double tokens = cuSeqlens.back(), waste = static_cast<double>(bucket.tokens) / tokens - 1;
    if (tokens >= 1200) mostWaste = std::max(mostWaste, waste);
    if (tokens >= 2048) mostOfLarge = std::max(mostOfLarge, waste);
  }
  check("buckets: whole batches, with fillers that are sequences", isWhole);
  report("graphs: buckets: fillers of 1,200 tokens and more", mostWaste, 0.06);
  report("graphs: buckets: fillers of 2,048 tokens and more", mostOfLarge, 0.036);
  BatchFormat narrow = format;
  narrow.positions = PositionsSpec{2 + 4, 2};
  const Bucket bucket = bucketOf({0, 1}, narrow);
  check("buckets: no filler is longer than the model's positions",
        bucket.longest == 4 && 4 * (bucket.sequences - 1) >= bucket.tokens - 1);
}

// Gradients of rows that count for nothing are 0 even where their logits are not finite.
void testRowWeights() {
  const at::Tensor rowWeights = at::tensor({1.0f, 1.0f, 0.0f});
  const auto of = [&](LossKind kind, const at::Tensor& labels, const LossOptions& options, bool isFilled) {
    at::Tensor logits = at::tensor({0.5f, -1.0f, 2.0f, 0.25f, 1.5f, -0.75f}).view({2, 3});
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    if (isFilled) logits = at::cat({logits, at::tensor({nan, inf, -inf}).view({1, 3})});
    logits.requires_grad_();
    const at::Tensor loss = lossSum(kind, logits, isFilled ? labels : labels.narrow(0, 0, 2), options,
                                    LossWeights(options, at::kCPU), isFilled ? rowWeights : at::Tensor());
    loss.backward();
    return std::pair(loss.detach(), logits.grad());
  };
  const at::Tensor ids = at::tensor({2, 0, -100}, at::kLong);
  const at::Tensor values = at::tensor({0.2f, 0.3f, 0.5f, 1.0f, 0.0f, 0.0f, 0.4f, 0.3f, 0.3f}).view({3, 3});
  const std::vector<std::tuple<LossKind, at::Tensor, LossOptions>> cases{
      {LossKind::CrossEntropy, ids, {0.1}},
      {LossKind::CrossEntropy, ids, {0, 2, {1, 2, 3}}},
      {LossKind::CrossEntropy, values, {0.1, 0, {1, 2, 3}}},
      {LossKind::CrossEntropy, values, {0, 0, {}, {}, 3}},
      {LossKind::BinaryCrossEntropy, values, {0.1, 0, {}, {1, 2, 3}}},
      {LossKind::BinaryCrossEntropy, values, {0, 2}},
      {LossKind::BinaryCrossEntropy, values, {0, 0, {}, {}, 3}},
      {LossKind::MeanSquaredError, values, {}}};
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto& [kind, labels, options] = cases[i];
    const auto [loss, gradient] = of(kind, labels, options, true);
    const auto [expected, expectedGradient] = of(kind, labels, options, false);
    const std::string name = "graphs: a row without weight, loss " + std::to_string(i);
    report(name, distance(loss, expected.to(at::kDouble)), 1e-6);
    report(name + ", gradient", distance(gradient.narrow(0, 0, 2), expectedGradient.to(at::kDouble)), 1e-6);
    report(name + ", its own gradient", gradient[2].eq(0).all().item<bool>() ? 0 : 1, 0);
  }
}

void testWhyNot() {
  const SessionSpec spec = specOf(0.1, false);
  const auto reason = [](const SessionSpec& of, const std::function<void(StepTraits&)>& change) {
    StepTraits traits{of, at::kBFloat16, true, {9, 0}, false, false};
    change(traits);
    return whyNotRecorded(traits);
  };
  const auto unchanged = [](StepTraits&) {};
  check("a BERT in bfloat16 is recorded", reason(spec, unchanged).empty());
  check("NEFTune is not", !reason(spec, [](StepTraits& traits) { traits.addsNoise = true; }).empty());
  check("gradient checkpointing with dropout is not",
        !reason(spec, [](StepTraits& traits) { traits.gradientCheckpointing = true; }).empty());
  check("without dropout it is",
        reason(specOf(0, false), [](StepTraits& traits) { traits.gradientCheckpointing = true; }).empty());
  const auto inFloat = [](StepTraits& traits) { traits.compute = at::kFloat; };
  check("float32 with dropout is not", !reason(spec, inFloat).empty());
  check("without dropout it is", reason(specOf(0, false), inFloat).empty());
  check("on an old GPU bfloat16 is not", !reason(spec, [](StepTraits& traits) {
                                            traits.capability = {7, 5};
                                          }).empty());
  SessionSpec other = spec;
  other.head = {{HeadStage::Kind::Vocabulary, "vocabulary"}};
  check("a masked language model is not", !reason(other, unchanged).empty());
  other = spec;
  other.encoder.attention.relativeBias = RelativeBiasSpec{32, 128};
  check("a bias by distance is not", !reason(other, unchanged).empty());
  other = spec;
  other.encoder.attention.disentangled = DisentangledSpec{};
  check("disentangled attention is not", !reason(other, unchanged).empty());
  other = spec;
  other.encoder.layers[0].window = 8;
  check("windows are", reason(other, unchanged).empty());
  other.encoder.layers[1].window = 8;
  check("but not of a last layer that is asked for first tokens", !reason(other, unchanged).empty());
}

}  // namespace

void testGraphs() {
  testBuckets();
  testRowWeights();
  testWhyNot();
  testPolicy();
  testTrainings();
  testFailures();
  testNonFinite();
  testForgetting();
}

}  // namespace bertune
