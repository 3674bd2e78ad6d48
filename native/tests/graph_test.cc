// Buckets, and steps as graphs: the policy by graphs that note what is asked of them, and whole trainings by
// graphs that behave as a device's do, but on the CPU.
#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/bucket.h"
#include "model/loss.h"
#include "tests/comparison.h"
#include "tests/graph_training.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

using namespace graphs;

void check(const std::string& name, bool holds) { report("graphs: " + name, holds ? 0 : 1, 0); }

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
  TrainingOptions runsAgain;
  runsAgain.gradientCheckpointing = true;
  training->restart(runsAgain);
  check("passes that run layers again are not recorded", recorded() == 0);
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
  const auto update = [&](int64_t layout) {
    graphs.runUpdate(layout, [&] { notes += 'u'; });
    return std::exchange(notes, "");
  };
  check("updates too", update(1) == "u" && update(1) == "cru" && update(1) == "ru" && graphs.hasUpdate());
  check("of one layout", update(2) == "du" && !graphs.hasUpdate() && update(2) == "cru");
  check("beside passes", run(64) == "prw" && update(2) == "ru");
  graphs.stop("reason");
  check("stopped",
        notes == "dd" && graphs.recorded() == 0 && !graphs.hasUpdate() && graphs.problem() == "reason");
  notes.clear();
  check("and not recorded again", run(64) == "pw" && run(64) == "pw" && update(2) == "u" && update(2) == "u");
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
  check("but has buckets", whyNoBuckets({spec, at::kFloat, true, {9, 0}, true, false}).empty());
  const auto inFloat = [](StepTraits& traits) { traits.compute = at::kFloat; };
  check("float32 is, with dropout too",
        reason(spec, inFloat).empty() && reason(specOf(0, false), inFloat).empty());
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
