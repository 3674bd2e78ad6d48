// The dense layers, by tiles and by LibTorch's operators.
#include "linear.h"

#include <utility>

#include "comparison.h"
#include "linear_composed.h"
#include "operators_test.h"
#include "packing.h"

namespace bertune {
namespace {

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

void testLinear(at::ScalarType type, const Mask& mask, Way way) {
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

}  // namespace

void testLinears(at::ScalarType type, const Mask& mask) {
  for (const Way way : {Way::Tiles, Way::Library}) {
    testLinear(type, mask, way);
    testLinearsOfTheModel(type, mask, way);
    testFrozen(type, mask, way);
  }
}

}  // namespace bertune
