// Every operator with a CPU kernel against its composition from ATen operators in float64, forward and
// backward, on sizes that fit no vector and no block. Prints TAP; test/operators.ts runs it.
//   operators_test            with LibTorch's allocator
//   operators_test guarded    with memory that ends the process when something goes beyond a tensor
//   operators_test caching    with the addon's allocator
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "allocator.h"
#include "attention.h"
#include "attention_cuda.h"
#include "cuda_stand_in.h"
#include "dropout.h"
#include "generators.h"
#include "guarded_memory.h"
#include "linear_composed.h"
#include "neftune.h"

namespace {

using namespace bertune;
using Inputs = std::vector<at::Tensor>;
using Operator = std::function<at::Tensor(const Inputs&)>;

int tests = 0, failures = 0;

// Relative distance in the Euclidean norm. float32: some hundred roundings of 6e-8. bfloat16: results and
// gradients are rounded to 8 bits once or twice, 2^-9 each.
double toleranceOf(at::ScalarType type) { return type == at::kFloat ? 3e-6 : 2e-2; }

double distance(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor difference = found.to(at::kDouble) - expected;
  const double size = expected.norm().item<double>();
  return difference.norm().item<double>() / (size > 0 ? size : 1);
}

void report(const std::string& name, double error, double tolerance) {
  const bool passes = error <= tolerance;  // false for NaN
  failures += passes ? 0 : 1;
  std::printf("%sok %d - %s: %.1e of %.1e\n", passes ? "" : "not ", ++tests, name.c_str(), error, tolerance);
}

// The same random numbers on every run, and such as the type can hold exactly.
at::Tensor random(at::IntArrayRef sizes, at::ScalarType type) {
  static auto generator = at::detail::createCPUGenerator(42);
  return at::empty(sizes).normal_(0, 1, generator).to(type).to(at::kDouble);
}

Inputs leaves(const Inputs& values, const std::vector<at::ScalarType>& types) {
  Inputs result;
  for (size_t i = 0; i < values.size(); ++i)
    result.push_back(values[i].to(types[i], /*non_blocking=*/false, /*copy=*/true).set_requires_grad(true));
  return result;
}

// The result and the gradients of all inputs for one random gradient of the result.
Inputs evaluate(const Operator& apply, const Inputs& inputs, const at::Tensor& gradient) {
  const at::Tensor y = apply(inputs);
  y.backward(gradient.to(y.scalar_type()));
  Inputs results{y.detach()};
  for (const auto& input : inputs) results.push_back(input.grad());
  return results;
}

struct Case {
  std::string name;
  Inputs values;                      // float64
  std::vector<at::ScalarType> types;  // of the inputs when the kernel gets them
  at::ScalarType type;                // of the products
  at::IntArrayRef sizes;              // of the result
};

void compare(const Case& given, const Operator& kernel, const Operator& composition) {
  const at::Tensor gradient = random(given.sizes, given.type);
  const Inputs found = evaluate(kernel, leaves(given.values, given.types), gradient);
  const std::vector<at::ScalarType> doubles(given.values.size(), at::kDouble);
  const Inputs expected = evaluate(composition, leaves(given.values, doubles), gradient);
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double error = distance(found[i], expected[i]);
    if (!std::isnan(worst) && !(error <= worst)) worst = error;  // NaN stays
  }
  report(given.name, worst, toleranceOf(given.type));
}

std::string describe(const std::string& name, at::ScalarType type, const Mask& mask) {
  return name + ", " + c10::toString(type) + (mask.dropsNothing() ? "" : ", dropout");
}

void testAttention(at::ScalarType type, const Mask& mask) {
  const std::vector<std::vector<int32_t>> batches{
      {0, 1}, {0, 1, 2, 3}, {0, 64, 129}, {0, 5, 6, 518, 555, 619}};
  // Heads, head size.
  const std::vector<std::pair<int64_t, int64_t>> shapes{{1, 24}, {3, 40}, {2, 80}, {3, 5}, {1, 130}};
  for (const auto& cuSeqlens : batches)
    for (const auto& [heads, headSize] : shapes)
      for (const Queries queries : {Queries::All, Queries::First}) {
        const int64_t tokens = cuSeqlens.back();
        const int64_t rows = queries == Queries::All ? tokens : static_cast<int64_t>(cuSeqlens.size()) - 1;
        const std::string name = std::to_string(tokens) + " tokens, " + std::to_string(heads) + " x " +
                                 std::to_string(headSize) +
                                 (queries == Queries::All ? "" : ", first queries only");
        compare(
            {describe("attention of " + name, type, mask),
             {random({tokens, 3, heads, headSize}, type)},
             {type},
             type,
             {rows, heads * headSize}},
            [&](const Inputs& in) { return attention(in[0], cuSeqlens, {}, mask, queries); },
            [&](const Inputs& in) { return attentionComposed(in[0], cuSeqlens, mask, queries); });
      }
}

// The first number that an operator draws from the default generator after it was seeded for `mask`.
uint64_t stateAt(const Mask& mask) {
  auto generator = at::detail::createCPUGenerator(generatorSeed(mask));
  return at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
}

// Attention with the masks that the stand-ins draw, from ATen operators and autograd. `oneByOne`: each
// sequence is a call of its own.
at::Tensor attentionDrawn(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const Mask& mask,
                          Queries queries, bool oneByOne) {
  const int64_t heads = qkv.size(2), headSize = qkv.size(3);
  std::vector<at::Tensor> outputs;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const int64_t start = cuSeqlens[i - 1], length = cuSeqlens[i] - start;
    const int64_t asked = queries == Queries::First ? 1 : length, number = oneByOne ? 0 : i - 1;
    Mask call = mask;
    if (oneByOne) call.firstRow += start * heads;
    const at::Tensor sequence = qkv.narrow(0, start, length).permute({1, 2, 0, 3});
    const at::Tensor scores = at::matmul(sequence[0].narrow(1, 0, asked), sequence[1].transpose(1, 2)) /
                              std::sqrt(static_cast<double>(headSize));
    at::Tensor probabilities = at::softmax(scores, -1);
    std::vector<at::Tensor> kept;
    for (int64_t head = 0; head < heads; ++head)
      kept.push_back(standin::mask(stateAt(call), number * heads + head, asked, length, mask.probability()));
    if (!mask.dropsNothing()) probabilities = probabilities * at::stack(kept);
    outputs.push_back(
        at::matmul(probabilities, sequence[2]).permute({1, 0, 2}).reshape({asked, heads * headSize}));
  }
  return at::cat(outputs);
}

// What surrounds LibTorch's kernels for CUDA, on stand-ins for them.
void testAttentionCuda(at::ScalarType type, const Mask& mask) {
  const std::vector<std::vector<int32_t>> batches{{0, 1}, {0, 1, 2, 3}, {0, 5, 6, 118, 155, 219}};
  const std::vector<std::pair<int64_t, int64_t>> shapes{{1, 24}, {3, 20}, {2, 64}};  // heads, head size
  for (const auto& cuSeqlens : batches)
    for (const auto& [heads, headSize] : shapes)
      for (const Queries queries : {Queries::All, Queries::First}) {
        const int64_t tokens = cuSeqlens.back();
        const int64_t rows = queries == Queries::All ? tokens : static_cast<int64_t>(cuSeqlens.size()) - 1;
        const std::string name = "attention for CUDA of " + std::to_string(tokens) + " tokens, " +
                                 std::to_string(heads) + " x " + std::to_string(headSize) +
                                 (queries == Queries::All ? "" : ", first queries only");
        const at::Tensor offsets = at::tensor(at::ArrayRef<int32_t>(cuSeqlens), at::kInt);
        compare(
            {describe(name, type, mask),
             {random({tokens, 3, heads, headSize}, type)},
             {type},
             type,
             {rows, heads * headSize}},
            [&](const Inputs& in) { return attentionCuda(in[0], cuSeqlens, offsets, mask, queries); },
            [&](const Inputs& in) {
              return attentionDrawn(in[0], cuSeqlens, mask, queries, type == at::kFloat);
            });
      }
  report("LibTorch's switches are as before", at::globalContext().deterministicAlgorithms() ? 1 : 0, 0);
}

// Which elements are dropped, as 1: x is 1, the residual 0.
at::Tensor dropped(const Mask& mask, int64_t rows) {
  const at::Tensor x = at::ones({rows, 128});
  return dropoutAddDrawn(x, at::zeros_like(x), mask).eq(0).to(at::kDouble);
}

// Kept elements are scaled and the residual is added, with a pure function of the mask's numbers as mask.
void testDropoutDrawn() {
  constexpr double p = 0.1;
  const auto maskOf = [&](uint64_t seed, int64_t step, int64_t layer, Site site, int64_t firstRow) {
    return makeMask(seed, step, layer, site, p, firstRow);
  };
  const Mask mask = maskOf(42, 3, 1, Site::AttentionOutput, 17);
  const at::Tensor drops = dropped(mask, 64), kept = 1 - drops;
  // Four standard deviations of a mean of 64 * 128 elements.
  report("drawn dropout: rate", std::abs(drops.mean().item<double>() - p), 4 * std::sqrt(p * (1 - p) / 8192));
  report("drawn dropout: drawn again", distance(dropped(mask, 64), drops), 0);
  const at::Tensor x = random({64, 128}, at::kFloat), residual = random({64, 128}, at::kFloat);
  const at::Tensor scaled = x * kept / (1 - p);
  report("drawn dropout: with a residual",
         distance(dropoutAddDrawn(x.to(at::kFloat), residual.to(at::kFloat), mask), scaled + residual), 3e-7);
  const at::Tensor alone = dropoutAddDrawn(x.to(at::kBFloat16), {}, mask);
  report("drawn dropout: alone", distance(alone, scaled), 2e-2);
  report("drawn dropout: keeps the type", alone.scalar_type() == at::kBFloat16 ? 0 : 1, 0);
  // Of two independent masks p^2 + (1 - p)^2 of the elements agree.
  const double agree = p * p + (1 - p) * (1 - p), tolerance = 4 * std::sqrt(agree * (1 - agree) / 8192);
  for (const auto& [name, other] :
       std::vector<std::pair<std::string, Mask>>{{"seed", maskOf(43, 3, 1, Site::AttentionOutput, 17)},
                                                 {"step", maskOf(42, 4, 1, Site::AttentionOutput, 17)},
                                                 {"layer", maskOf(42, 3, 2, Site::AttentionOutput, 17)},
                                                 {"site", maskOf(42, 3, 1, Site::FeedForwardOutput, 17)},
                                                 {"first row", maskOf(42, 3, 1, Site::AttentionOutput, 18)}})
    report("drawn dropout: another " + name,
           std::abs(dropped(other, 64).eq(drops).to(at::kDouble).mean().item<double>() - agree), tolerance);
}

// All arrays of a batch come out of their one copy.
void testBatch() {
  RawBatch raw;
  raw.inputIds = {11, 12, 13, 14, 15, 16};
  raw.cuSeqlens = {0, 2, 6};
  raw.tokenTypeIds = {{0, 1, 0, 0, 1, 1}};
  raw.classLabels = {3, -100};
  const auto check = [](const std::string& name, const at::Tensor& found, at::ScalarType type,
                        const std::vector<int64_t>& expected) {
    const bool same = found.scalar_type() == type && found.to(at::kLong).equal(at::tensor(expected));
    report("batch: " + name, same ? 0 : 1, 0);
  };
  const Batch batch = toTensors(raw, 4, at::kCPU);
  check("ids", batch.inputIds, at::kLong, {11, 12, 13, 14, 15, 16});
  check("positions", batch.positions, at::kLong, {0, 1, 0, 1, 2, 3});
  check("token types", batch.tokenTypeIds, at::kLong, {0, 1, 0, 0, 1, 1});
  check("first tokens", batch.firstTokens, at::kLong, {0, 2});
  check("offsets", batch.offsets, at::kInt, {0, 2, 6});
  check("labels", batch.labels, at::kLong, {3, -100});
  raw.tokenTypeIds.reset();
  raw.classLabels.clear();
  raw.valueLabels = {1, 2, 3, 4};
  const Batch values = toTensors(raw, 2, at::kCPU);
  check("no token types", values.tokenTypeIds, at::kLong, {0, 0, 0, 0, 0, 0});
  check("values as labels", values.labels.view({-1}), at::kFloat, {1, 2, 3, 4});
  report("batch: shape of values", values.labels.sizes() == at::IntArrayRef({2, 2}) ? 0 : 1, 0);
}

// The two ways of the dense layers.
enum class Way { Tiles, Library };

LinearWeights weightsOf(const Inputs& in, size_t first, at::ScalarType type, Way way) {
  const at::Tensor weight = in[first].detach(), bias = in[first + 1].detach();
  LinearWeights result{in[first], in[first + 1], {}};
  if (way == Way::Tiles) result.packed = {packForward(weight, type), packBackward(weight, type)};
  if (way == Way::Library) result.rounded = {weight.to(type), bias.to(type)};
  return result;
}

// Of a composition, which needs no others.
LinearWeights plainWeights(const Inputs& in, size_t first) { return {in[first], in[first + 1], {}}; }

std::string nameOf(Way way) { return way == Way::Library ? " by LibTorch's operators" : ""; }

void testLinears(at::ScalarType type, const Mask& mask, Way way) {
  const std::vector<std::pair<int64_t, int64_t>> shapes{{24, 40}, {80, 24}, {129, 387}, {64, 64}};  // in, out
  for (const int64_t rows : {1, 3, 33, 64, 1201})
    for (const auto& [in, out] : shapes) {
      const std::string size =
          std::to_string(rows) + " rows, " + std::to_string(in) + " to " + std::to_string(out) + nameOf(way);
      const Inputs dense{random({rows, in}, type), random({out, in}, type) / 8, random({out}, type)};
      const std::vector<at::ScalarType> types{type, at::kFloat, at::kFloat};
      if (mask.dropsNothing()) {
        compare(
            {describe("linear of " + size, type, mask), dense, types, type, {rows, out}},
            [&](const Inputs& i) { return linear(i[0], weightsOf(i, 1, type, way)); },
            [&](const Inputs& i) { return linearComposed(i[0], plainWeights(i, 1)); });
        for (const Activation kind :
             {Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh}) {
          const std::string name = "activation " + std::to_string(static_cast<int>(kind)) + " of " + size;
          compare(
              {describe(name, type, mask), dense, types, type, {rows, out}},
              [&](const Inputs& i) { return linearActivation(i[0], weightsOf(i, 1, type, way), kind); },
              [&](const Inputs& i) { return linearActivationComposed(i[0], plainWeights(i, 1), kind); });
        }
      }
      Inputs normed = dense;
      for (const at::Tensor& more :
           {random({rows, out}, at::kFloat), random({out}, at::kFloat), random({out}, at::kFloat)})
        normed.push_back(more);
      compare(
          {describe("add and norm of " + size, type, mask),
           normed,
           {type, at::kFloat, at::kFloat, at::kFloat, at::kFloat, at::kFloat},
           type,
           {rows, out}},
          [&](const Inputs& i) {
            return linearAddNorm(i[0], i[3], weightsOf(i, 1, type, way), {i[4], i[5], 1e-12}, mask);
          },
          [&](const Inputs& i) {
            return linearAddNormComposed(i[0], i[3], plainWeights(i, 1), {i[4], i[5], 1e-12}, mask);
          });
    }
}

// What bfloat16 meets in the model: x is the float32 stream of residuals, which the kernels round, and
// adapters bring an addend.
void testLinearsOfTheModel(at::ScalarType type, const Mask& mask, Way way) {
  const int64_t in = 72, out = 136;
  for (const int64_t rows : {1, 64, 301}) {
    const std::string size =
        std::to_string(rows) + " rows, " + std::to_string(in) + " to " + std::to_string(out) + nameOf(way);
    Inputs inputs{random({rows, in}, type), random({out, in}, type) / 8, random({out}, type),
                  random({rows, out}, type)};
    std::vector<at::ScalarType> types{at::kFloat, at::kFloat, at::kFloat, type};
    compare(
        {describe("linear of float32, " + size, type, mask), inputs, types, type, {rows, out}},
        [&](const Inputs& i) { return linear(i[0], weightsOf(i, 1, type, way), i[3]); },
        [&](const Inputs& i) { return linearComposed(i[0], plainWeights(i, 1), i[3]); });
    compare(
        {describe("gelu of float32 and an addend, " + size, type, mask), inputs, types, type, {rows, out}},
        [&](const Inputs& i) {
          return linearActivation(i[0], weightsOf(i, 1, type, way), Activation::Gelu, i[3]);
        },
        [&](const Inputs& i) {
          return linearActivationComposed(i[0], plainWeights(i, 1), Activation::Gelu, i[3]);
        });
    for (const at::Tensor& more :
         {random({rows, out}, at::kFloat), random({out}, at::kFloat), random({out}, at::kFloat)}) {
      inputs.push_back(more);
      types.push_back(at::kFloat);
    }
    compare(
        {describe("add and norm with an addend, " + size, type, mask), inputs, types, type, {rows, out}},
        [&](const Inputs& i) {
          return linearAddNorm(i[0], i[4], weightsOf(i, 1, type, way), {i[5], i[6], 1e-12}, mask, i[3]);
        },
        [&](const Inputs& i) {
          return linearAddNormComposed(i[0], i[4], plainWeights(i, 1), {i[5], i[6], 1e-12}, mask, i[3]);
        });
  }
}

// What reaches x through layers that are frozen.
void testFrozen(at::ScalarType type, const Mask& mask, Way way) {
  const int64_t rows = 33, in = 40, out = 72;
  const Inputs frozen{random({out, in}, type) / 8, random({out}, type), random({rows, out}, at::kFloat),
                      random({out}, at::kFloat), random({out}, at::kFloat)};
  const auto check = [&](const std::string& name, const Operator& kernel, const Operator& composition) {
    const auto withFrozen = [&](Inputs x, at::ScalarType other) {
      for (const at::Tensor& each : frozen) x.push_back(each.to(other));
      return x;
    };
    compare(
        {describe(name + " of frozen weights" + nameOf(way), type, mask),
         {random({rows, in}, type)},
         {type},
         type,
         {rows, out}},
        [&](const Inputs& x) { return kernel(withFrozen(x, at::kFloat)); },
        [&](const Inputs& x) { return composition(withFrozen(x, at::kDouble)); });
  };
  check(
      "linear", [&](const Inputs& i) { return linear(i[0], weightsOf(i, 1, type, way)); },
      [](const Inputs& i) { return linearComposed(i[0], plainWeights(i, 1)); });
  check(
      "tanh",
      [&](const Inputs& i) { return linearActivation(i[0], weightsOf(i, 1, type, way), Activation::Tanh); },
      [](const Inputs& i) { return linearActivationComposed(i[0], plainWeights(i, 1), Activation::Tanh); });
  check(
      "add and norm",
      [&](const Inputs& i) {
        return linearAddNorm(i[0], i[3], weightsOf(i, 1, type, way), {i[4], i[5], 1e-12}, mask);
      },
      [&](const Inputs& i) {
        return linearAddNormComposed(i[0], i[3], plainWeights(i, 1), {i[4], i[5], 1e-12}, mask);
      });
}

// The kernel for float32, ATen's operators for bfloat16; both against the mask itself in float64.
void testDropout(at::ScalarType type, const Mask& mask) {
  compare(
      {describe("dropout of 33 x 129", type, mask),
       {random({33, 129}, type), random({33, 129}, type)},
       {type, type},
       type,
       {33, 129}},
      [&](const Inputs& in) {
        const at::Tensor y = dropoutAdd(in[0], in[1], mask);
        TORCH_CHECK(y.scalar_type() == type, "dropout changed the type");
        return y;
      },
      [&](const Inputs& in) { return in[0] * maskTensor(mask, 33, 129, at::kCPU) + in[1]; });
}

// Uniform in +-m: no value beyond m, a mean of 0, a mean square of m^2 / 3 (m = alpha / sqrt(L * columns)),
// and the same numbers when the sequences come one by one.
void testNeftuneNoise() {
  constexpr int64_t columns = 512;
  constexpr double alpha = 5;
  Batch batch;
  batch.cuSeqlens = {0, 40, 240};
  batch.inputIds = at::zeros({240}, at::kLong);
  Batch second;
  second.cuSeqlens = {0, 200};
  second.inputIds = at::zeros({200}, at::kLong);
  const auto key = [](int64_t firstRow) { return makeMask(42, 3, 1, Site::Neftune, 0, firstRow); };
  const at::Tensor noise = neftuneNoise(batch, columns, alpha, key(0)).to(at::kDouble);
  for (const auto& [first, length] : {std::pair<int64_t, int64_t>{0, 40}, {40, 200}}) {
    const double most = alpha / std::sqrt(static_cast<double>(length * columns));
    const at::Tensor scaled = noise.narrow(0, first, length) / most;
    const std::string name = "NEFTune noise of " + std::to_string(length) + " tokens: ";
    report(name + "most", std::abs(scaled.abs().max().item<double>() - 1), 1e-3);
    report(name + "mean", std::abs(scaled.mean().item<double>()), 0.02);
    report(name + "mean square", std::abs(scaled.square().mean().item<double>() - 1.0 / 3), 0.01);
  }
  const at::Tensor alone = neftuneNoise(second, columns, alpha, key(40)).to(at::kDouble);
  report("NEFTune noise of a micro-batch", distance(alone, noise.narrow(0, 40, 200)), 0);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view memory = count > 1 ? arguments[1] : "";
  static GuardedMemory guarded;
  if (memory == "guarded") c10::SetCPUAllocator(&guarded, /*priority=*/1);
  if (memory == "caching") installAllocator();
  at::set_num_threads(2);
  const Mask none;
  const Mask tenth = makeMask(42, 3, 1, Site::Attention, 0.1, 17);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const Mask& mask : {none, tenth}) {
      testAttention(type, mask);
      for (const Way way : {Way::Tiles, Way::Library}) {
        testLinears(type, mask, way);
        testLinearsOfTheModel(type, mask, way);
        testFrozen(type, mask, way);
      }
      testDropout(type, mask);
      testAttentionCuda(type, mask);
    }
  testDropoutDrawn();
  testBatch();
  testNeftuneNoise();
  std::printf("1..%d\n", tests);
  return failures == 0 ? 0 : 1;
}
