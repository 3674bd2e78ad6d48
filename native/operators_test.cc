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
#include "guarded_memory.h"
#include "linear.h"
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
    worst = error <= worst ? worst : error;  // NaN stays
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
            [&](const Inputs& in) { return attention(in[0], cuSeqlens, mask, queries); },
            [&](const Inputs& in) { return attentionComposed(in[0], cuSeqlens, mask, queries); });
      }
}

LinearWeights weightsOf(const Inputs& in, size_t first, at::ScalarType type) {
  PackedWeight packed;
  if (type != at::kDouble) packWeight(packed, in[first].detach(), type);
  return {in[first], in[first + 1], type, packed};
}

void testLinears(at::ScalarType type, const Mask& mask) {
  const std::vector<std::pair<int64_t, int64_t>> shapes{{24, 40}, {80, 24}, {129, 387}, {64, 64}};  // in, out
  for (const int64_t rows : {1, 3, 33, 64, 1201})
    for (const auto& [in, out] : shapes) {
      const std::string size =
          std::to_string(rows) + " rows, " + std::to_string(in) + " to " + std::to_string(out);
      const Inputs dense{random({rows, in}, type), random({out, in}, type) / 8, random({out}, type)};
      const std::vector<at::ScalarType> types{type, at::kFloat, at::kFloat};
      const auto productOf = [&](bool isKernel) { return isKernel ? type : at::kDouble; };
      if (mask.dropsNothing()) {
        compare(
            {describe("linear of " + size, type, mask), dense, types, type, {rows, out}},
            [&](const Inputs& i) { return linear(i[0], weightsOf(i, 1, productOf(true))); },
            [&](const Inputs& i) { return linearComposed(i[0], weightsOf(i, 1, productOf(false))); });
        for (const Activation kind :
             {Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh}) {
          const std::string name = "activation " + std::to_string(static_cast<int>(kind)) + " of " + size;
          compare(
              {describe(name, type, mask), dense, types, type, {rows, out}},
              [&](const Inputs& i) { return linearActivation(i[0], weightsOf(i, 1, type), kind); },
              [&](const Inputs& i) {
                return linearActivationComposed(i[0], weightsOf(i, 1, at::kDouble), kind);
              });
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
            return linearAddNorm(i[0], i[3], weightsOf(i, 1, type), {i[4], i[5], 1e-12}, mask);
          },
          [&](const Inputs& i) {
            return linearAddNormComposed(i[0], i[3], weightsOf(i, 1, at::kDouble), {i[4], i[5], 1e-12}, mask);
          });
    }
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
      testLinears(type, mask);
    }
  testNeftuneNoise();
  std::printf("1..%d\n", tests);
  return failures == 0 ? 0 : 1;
}
