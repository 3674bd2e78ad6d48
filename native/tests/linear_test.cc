// The linear layers, by tiles and by LibTorch's operators.
#include "ops/linear.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <utility>

#include "ops/brgemm.h"
#include "ops/dropout.h"
#include "tests/comparison.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

// The linear layers of linear.h from ATen operators and autograd alone, in the type of what they are given.
at::Tensor linearReference(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend = {}) {
  const at::Tensor y = at::linear(x, weights.weight.narrow(0, weights.firstRow, weights.rows), weights.bias);
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationReference(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                     const at::Tensor& addend = {}) {
  return activate(activation, linearReference(x, weights, addend));
}

at::Tensor linearAddNormReference(const at::Tensor& x, const at::Tensor& residual,
                                  const LinearWeights& weights, const NormWeights& norm, const Mask& mask,
                                  const at::Tensor& addend = {}) {
  const at::Tensor sum = dropoutAdd(linearReference(x, weights, addend), residual, mask);
  return at::layer_norm(sum, {sum.size(1)}, norm.weight, norm.bias, norm.epsilon);
}

// The ways of the linear layers.
enum class Way { Tiles, PackedWhenRead, Library };

// A layer of some rows of a weight (all, where `rows` is left out) and of a bias, in[first + 1], whose
// gradient goes into a place of its own.
LinearWeights weightsOf(const Inputs& in, size_t first, at::ScalarType type, Way way, int64_t firstRow = 0,
                        int64_t rows = -1) {
  if (rows < 0) rows = in[first].size(0);
  const at::Tensor weight = in[first].detach().narrow(0, firstRow, rows), bias = in[first + 1].detach();
  LinearWeights result{in[first], in[first + 1], {type}, firstRow, rows, gradientPlaceOf(in[first])};
  if (way == Way::Tiles) {
    PackedWeight& packed = result.operands.packed;
    packForward(packed.forward = at::empty(forwardShape(weight, type), type), weight);
    packBackward(packed.backward = at::empty(backwardShape(weight, type), type), weight);
  }
  result.operands.packsWhenRead = way == Way::PackedWhenRead;
  if (way == Way::Library) {
    result.operands.weight = weight.to(type);
    result.operands.bias = bias.to(type);
  }
  return result;
}

// Of a reference, which needs no operands.
LinearWeights plainWeights(const Inputs& in, size_t first, int64_t firstRow = 0, int64_t rows = -1) {
  return {in[first], in[first + 1], {}, firstRow, rows < 0 ? in[first].size(0) : rows};
}

std::string nameOf(Way way) {
  if (way == Way::PackedWhenRead) return ", packed when read";
  return way == Way::Library ? " by LibTorch's operators" : "";
}

// On few binary digits, so that float32 gives exact sums: at the kink of ReLU a rounding would decide a
// gradient.
Inputs onGrid(const Inputs& in) {
  return {(in[0] * 8).round() / 8, (in[1] * 64).round() / 64, (in[2] * 8).round() / 8};
}

// Two layers with an activation between them; the second has 40 outputs.
void testActivation(Activation kind, const std::string& size, const Inputs& first, at::ScalarType type,
                    Way way) {
  const int64_t rows = first[0].size(0), hidden = first[1].size(0), out = 40;
  Inputs inputs = first;
  inputs.push_back(random({out, hidden}, type) / 8);
  inputs.push_back(random({out}, type));
  compare(
      {describe("activation " + std::to_string(static_cast<int>(kind)) + " after linear of " + size, type,
                {}),
       inputs,
       {type, at::kFloat, at::kFloat, at::kFloat, at::kFloat},
       type,
       {rows, out}},
      [&](const Inputs& i) {
        return linear(linearActivation(i[0], weightsOf(i, 1, type, way), kind), weightsOf(i, 3, type, way));
      },
      [&](const Inputs& i) {
        return linearReference(linearActivationReference(i[0], plainWeights(i, 1), kind), plainWeights(i, 3));
      });
}

void testLinear(at::ScalarType type, const Mask& mask, Way way) {
  const std::vector<std::pair<int64_t, int64_t>> shapes{{24, 40}, {80, 24}, {129, 387}, {64, 64}};  // in, out
  for (const int64_t rows : {1, 3, 33, 64, 601})
    for (const auto& [in, out] : shapes) {
      const std::string size =
          std::to_string(rows) + " rows, " + std::to_string(in) + " to " + std::to_string(out) + nameOf(way);
      const Inputs dense{random({rows, in}, type), random({out, in}, type) / 8, random({out}, type)};
      const std::vector<at::ScalarType> types{type, at::kFloat, at::kFloat};
      if (mask.dropsNothing()) {
        compare(
            {describe("linear of " + size, type, mask), dense, types, type, {rows, out}},
            [&](const Inputs& i) { return linear(i[0], weightsOf(i, 1, type, way)); },
            [&](const Inputs& i) { return linearReference(i[0], plainWeights(i, 1)); });
        for (const Activation kind :
             {Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh})
          testActivation(kind, size, kind == Activation::Relu ? onGrid(dense) : dense, type, way);
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
            return linearAddNorm(i[0], i[3], weightsOf(i, 1, type, way), {i[4], i[5], 1e-12}, mask).values;
          },
          [&](const Inputs& i) {
            return linearAddNormReference(i[0], i[3], plainWeights(i, 1), {i[4], i[5], 1e-12}, mask);
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
        [&](const Inputs& i) { return linearReference(i[0], plainWeights(i, 1), i[3]); });
    for (const at::Tensor& more :
         {random({rows, out}, at::kFloat), random({out}, at::kFloat), random({out}, at::kFloat)}) {
      inputs.push_back(more);
      types.push_back(at::kFloat);
    }
    compare(
        {describe("add and norm with an addend, " + size, type, mask), inputs, types, type, {rows, out}},
        [&](const Inputs& i) {
          return linearAddNorm(i[0], i[4], weightsOf(i, 1, type, way), {i[5], i[6], 1e-12}, mask, i[3])
              .values;
        },
        [&](const Inputs& i) {
          return linearAddNormReference(i[0], i[4], plainWeights(i, 1), {i[5], i[6], 1e-12}, mask, i[3]);
        });
    inputs.push_back(random({out, out}, type) / 8);
    inputs.push_back(random({out}, type));
    types.insert(types.end(), 2, at::kFloat);
    compare(
        {describe("gelu with an addend, add and norm, " + size, type, mask),
         inputs,
         types,
         type,
         {rows, out}},
        [&](const Inputs& i) {
          const LinearInput expanded =
              linearActivation(i[0], weightsOf(i, 1, type, way), Activation::Gelu, i[3]);
          return linearAddNorm(expanded, i[4], weightsOf(i, 7, type, way), {i[5], i[6], 1e-12}, mask).values;
        },
        [&](const Inputs& i) {
          const at::Tensor expanded =
              linearActivationReference(i[0], plainWeights(i, 1), Activation::Gelu, i[3]);
          return linearAddNormReference(expanded, i[4], plainWeights(i, 7), {i[5], i[6], 1e-12}, mask);
        });
  }
}

// What reaches x through layers that are frozen.
void testFrozen(at::ScalarType type, const Mask& mask, Way way) {
  const int64_t rows = 33, in = 40, out = 72;
  const Inputs frozen{random({out, in}, type) / 8, random({out}, type),       random({rows, out}, at::kFloat),
                      random({out}, at::kFloat),   random({out}, at::kFloat), random({out, out}, type) / 8,
                      random({out}, type)};
  const auto check = [&](const std::string& name, const Operator& kernel, const Operator& reference) {
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
        [&](const Inputs& x) { return reference(withFrozen(x, at::kDouble)); });
  };
  check(
      "linear", [&](const Inputs& i) { return linear(i[0], weightsOf(i, 1, type, way)); },
      [](const Inputs& i) { return linearReference(i[0], plainWeights(i, 1)); });
  check(
      "tanh",
      [&](const Inputs& i) {
        return linearActivation(i[0], weightsOf(i, 1, type, way), Activation::Tanh).tensor();
      },
      [](const Inputs& i) { return linearActivationReference(i[0], plainWeights(i, 1), Activation::Tanh); });
  check(
      "add and norm",
      [&](const Inputs& i) {
        return linearAddNorm(i[0], i[3], weightsOf(i, 1, type, way), {i[4], i[5], 1e-12}, mask).values;
      },
      [&](const Inputs& i) {
        return linearAddNormReference(i[0], i[3], plainWeights(i, 1), {i[4], i[5], 1e-12}, mask);
      });
  const auto twoLayers = [&](const Inputs& i) {
    return linear(linearActivation(i[0], weightsOf(i, 1, type, way), Activation::Gelu),
                  weightsOf(i, 6, type, way));
  };
  const auto twoLayersReference = [&](const Inputs& i) {
    return linearReference(linearActivationReference(i[0], plainWeights(i, 1), Activation::Gelu),
                           plainWeights(i, 6));
  };
  check("two linears and gelu", twoLayers, twoLayersReference);
  // The second one is trained, and nothing below it.
  const at::Tensor x = random({rows, in}, type);
  const auto belowTrained = [&](const Inputs& trained, at::ScalarType typeOfX, at::ScalarType other) {
    Inputs i{x.to(typeOfX)};
    for (const at::Tensor& each : frozen) i.push_back(each.to(other));
    i[6] = trained[0];
    i[7] = trained[1];
    return i;
  };
  compare(
      {describe("linear after a frozen one and gelu" + nameOf(way), type, mask),
       {random({out, out}, type) / 8, random({out}, type)},
       {at::kFloat, at::kFloat},
       type,
       {rows, out}},
      [&](const Inputs& i) { return twoLayers(belowTrained(i, type, at::kFloat)); },
      [&](const Inputs& i) { return twoLayersReference(belowTrained(i, at::kDouble, at::kDouble)); });
}

// Layers without biases, of norms without them too.
void testWithoutBias(at::ScalarType type, const Mask& mask, Way way) {
  const int64_t rows = 33, in = 40, out = 72;
  const auto bare = [](LinearWeights weights) {
    weights.bias = std::nullopt;
    weights.operands.bias = at::Tensor();
    return weights;
  };
  const Inputs inputs{random({rows, in}, type), random({out, in}, type) / 8, random({out}, type),
                      random({rows, out}, at::kFloat), random({out}, at::kFloat)};
  const std::vector<at::ScalarType> types{type, at::kFloat, at::kFloat, at::kFloat, at::kFloat};
  const auto check = [&](const std::string& name, const Operator& kernel, const Operator& reference) {
    // The unused inputs get zeros for gradients.
    const auto usingAll = [](const Operator& apply) {
      return [apply](const Inputs& i) {
        const at::Tensor y = apply(i);
        return y + (0 * (i[2].sum() + i[3].sum() + i[4].sum())).to(y.scalar_type());
      };
    };
    compare({describe(name + " without bias" + nameOf(way), type, mask), inputs, types, type, {rows, out}},
            usingAll(kernel), usingAll(reference));
  };
  check(
      "linear", [&](const Inputs& i) { return linear(i[0], bare(weightsOf(i, 1, type, way))); },
      [&](const Inputs& i) { return linearReference(i[0], bare(plainWeights(i, 1))); });
  check(
      "gelu",
      [&](const Inputs& i) {
        return linearActivation(i[0], bare(weightsOf(i, 1, type, way)), Activation::Gelu).tensor();
      },
      [&](const Inputs& i) {
        return linearActivationReference(i[0], bare(plainWeights(i, 1)), Activation::Gelu);
      });
  check(
      "add and norm",
      [&](const Inputs& i) {
        return linearAddNorm(i[0], i[3], bare(weightsOf(i, 1, type, way)), {i[4], std::nullopt, 1e-12}, mask)
            .values;
      },
      [&](const Inputs& i) {
        return linearAddNormReference(i[0], i[3], bare(plainWeights(i, 1)), {i[4], std::nullopt, 1e-12},
                                      mask);
      });
}

// A block whose norms come before its layers: what goes on is the sum, and the MLP reads its norm. The widths
// of the MLP are such that neither half begins at a vector.
void testPreNorm(at::ScalarType type, const Mask& mask, Way way) {
  const int64_t hidden = 72, in = 40, width = 51;
  for (const int64_t rows : {1, 33, 301}) {
    const auto name = [&](const std::string& what) {
      return describe(what + ", " + std::to_string(rows) + " rows" + nameOf(way), type, mask);
    };
    const Inputs inputs{random({rows, in}, type),     random({hidden, in}, type) / 8,
                        random({hidden}, type),       random({rows, hidden}, at::kFloat),
                        random({hidden}, at::kFloat), random({hidden}, at::kFloat),
                        random({rows, hidden}, type), random({2 * width, hidden}, type) / 8,
                        random({2 * width}, type),    random({hidden, width}, type) / 8,
                        random({hidden}, type)};
    const std::vector<at::ScalarType> types{type, at::kFloat, at::kFloat, at::kFloat, at::kFloat, at::kFloat,
                                            type, at::kFloat, at::kFloat, at::kFloat, at::kFloat};
    const auto first = [](size_t count, const auto& all) {
      return std::decay_t<decltype(all)>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    };
    const auto sumReference = [](const Inputs& i, const Mask& of) {
      return dropoutAdd(linearReference(i[0], plainWeights(i, 1), i[6]), i[3], of);
    };
    const auto normReference = [](const at::Tensor& x, const Inputs& i) {
      return at::layer_norm(x, {x.size(1)}, i[4], i[5], 1e-5);
    };
    const Inputs layer{inputs[0], inputs[1], inputs[2], inputs[3], inputs[6]};
    compare(
        {name("add"), layer, {type, at::kFloat, at::kFloat, at::kFloat, type}, type, {rows, hidden}},
        [&](const Inputs& i) { return linearAdd(i[0], i[3], weightsOf(i, 1, type, way), mask, i[4]); },
        [&](const Inputs& i) {
          return dropoutAdd(linearReference(i[0], plainWeights(i, 1), i[4]), i[3], mask);
        });
    compare(
        {name("sum and norm"), first(7, inputs), first(7, types), type, {rows, 2 * hidden}},
        [&](const Inputs& i) {
          at::Tensor sum;
          const Normed normed =
              linearAddNorm(i[0], i[3], weightsOf(i, 1, type, way), {i[4], i[5], 1e-5}, mask, i[6], &sum);
          return at::cat({normed.values, sum}, 1);
        },
        [&](const Inputs& i) {
          const at::Tensor sum = sumReference(i, mask);
          return at::cat({normReference(sum, i), sum}, 1);
        });
    compare(
        {name("attention's output and a gated MLP"), inputs, types, type, {rows, hidden}},
        [&](const Inputs& i) {
          at::Tensor sum;
          const Normed normed =
              linearAddNorm(i[0], i[3], weightsOf(i, 1, type, way), {i[4], i[5], 1e-5}, mask, i[6], &sum);
          const LinearInput expanded =
              linearActivation(normed, weightsOf(i, 7, type, way), Activation::Gelu, {}, /*isGated=*/true);
          return linearAdd(expanded, sum, weightsOf(i, 9, type, way), mask);
        },
        [&](const Inputs& i) {
          const at::Tensor sum = sumReference(i, mask);
          const std::vector<at::Tensor> halves =
              linearReference(normReference(sum, i), plainWeights(i, 7)).chunk(2, 1);
          return dropoutAdd(linearReference(at::gelu(halves[0]) * halves[1], plainWeights(i, 9)), sum, mask);
        });
    compare(
        {name("norm and linear"),
         {inputs[3], inputs[7], inputs[8], inputs[4], inputs[5]},
         std::vector<at::ScalarType>(5, at::kFloat),
         type,
         {rows, 2 * width}},
        [&](const Inputs& i) {
          return linear(norm(i[0], {i[3], i[4], 1e-5}, type), weightsOf(i, 1, type, way));
        },
        [&](const Inputs& i) {
          return linearReference(at::layer_norm(i[0], {hidden}, i[3], i[4], 1e-5), plainWeights(i, 1));
        });
    // Where norms come behind: what follows reads the norm from what the norm stores.
    compare(
        {name("add and norm, then linear"),
         {inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[7], inputs[8]},
         {type, at::kFloat, at::kFloat, at::kFloat, at::kFloat, at::kFloat, at::kFloat, at::kFloat},
         type,
         {rows, 2 * width}},
        [&](const Inputs& i) {
          const Normed normed =
              linearAddNorm(i[0], i[3], weightsOf(i, 1, type, way), {i[4], i[5], 1e-5}, mask);
          return linear(normed, weightsOf(i, 6, type, way));
        },
        [&](const Inputs& i) {
          const at::Tensor sum = dropoutAdd(linearReference(i[0], plainWeights(i, 1)), i[3], mask);
          return linearReference(normReference(sum, i), plainWeights(i, 6));
        });
  }
}

// The activation of one half of a layer's outputs times the other half.
void testGatedActivations(at::ScalarType type) {
  for (const auto& [activation, name] :
       {std::pair(Activation::Gelu, "gelu"), std::pair(Activation::Silu, "silu")})
    for (const int64_t width : {1, 16, 137}) {
      const int64_t rows = 65;
      compare(
          {describe("gated " + std::string(name) + " of " + std::to_string(width), type, {}),
           {random({rows, 2 * width}, type)},
           {type},
           type,
           {rows, width}},
          [&](const Inputs& i) { return gatedActivation(activation, i[0]); },
          [&](const Inputs& i) {
            return activate(activation, i[0].narrow(1, 0, width)) * i[0].narrow(1, width, width);
          });
    }
}

// Two layers that share a weight: some of its rows, and all of them. The gradients add up in one place.
void testRows(at::ScalarType type, Way way) {
  const int64_t in = 40, out = 150, first = 50, count = 100;
  for (const int64_t rows : {1, 33}) {
    const Inputs inputs{random({rows, in}, type), random({out, in}, type) / 8, random({count}, type),
                        random({out}, type)};
    const std::vector<at::ScalarType> types{type, at::kFloat, at::kFloat, at::kFloat};
    const auto arrange = [](const Inputs& i) { return Inputs{i[1], i[3]}; };
    compare(
        {describe("rows of a weight, " + std::to_string(rows) + " rows" + nameOf(way), type, {}),
         inputs,
         types,
         type,
         {rows, count + out}},
        [&](const Inputs& i) {
          return at::cat({linear(i[0], weightsOf(i, 1, type, way, first, count)),
                          linear(i[0], weightsOf(arrange(i), 0, type, way))},
                         1);
        },
        [&](const Inputs& i) {
          return at::cat({linearReference(i[0], plainWeights(i, 1, first, count)),
                          linearReference(i[0], plainWeights(arrange(i), 0))},
                         1);
        });
  }
}

// The allocator under it, counted.
class CountingMemory final : public c10::Allocator {
 public:
  CountingMemory() : inner_(*c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, kPriority); }
  ~CountingMemory() override { c10::SetCPUAllocator(&inner_, kPriority); }
  c10::DataPtr allocate(size_t bytes) override {
    bytes_ += bytes;
    return inner_.allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_.raw_deleter(); }
  void copy_data(void* target, const void* source, size_t bytes) const override {
    inner_.copy_data(target, source, bytes);
  }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr uint8_t kPriority = 2;  // that of main() is 1

  c10::Allocator& inner_;
  std::atomic<size_t> bytes_ = 0;
};

// No tensor for GELU of a layer, nor in an evaluation for what only a backward pass reads.
void testMemory(at::ScalarType type) {
  if (!hasBrgemm(type)) return;
  const int64_t rows = 33, in = 40, out = 72;
  const Inputs i{random({rows, in}, type).to(type), random({out, in}, type).to(at::kFloat),
                 random({out}, type).to(at::kFloat), random({rows, out}, type).to(at::kFloat),
                 random({out}, type).to(at::kFloat)};
  const LinearWeights weights = weightsOf(i, 1, type, Way::Tiles);
  const auto bytesOf = [](bool isDifferentiated, const auto& apply) {
    const at::AutoGradMode mode(isDifferentiated);
    const CountingMemory memory;
    apply();
    return memory.bytes();
  };
  const auto check = [&](const std::string& name, bool isRight) {
    report(describe("memory of " + name, type, {}), isRight ? 0 : 1, 0);
  };
  const auto bytes = [&](at::ScalarType of) {
    return static_cast<size_t>(rows * out) * c10::elementSize(of);
  };
  const auto gelu = [&] { linearActivation(i[0], weights, Activation::Gelu); };
  check("gelu", bytesOf(true, gelu) == bytesOf(true, [&] { linear(i[0], weights); }));
  const auto tanh = [&] { linearActivation(i[0], weights, Activation::Tanh); };
  check("an evaluation, tanh", bytesOf(false, tanh) + bytes(type) == bytesOf(true, tanh));
  const auto addNorm = [&] { linearAddNorm(i[0], i[3], weights, {i[4], i[4], 1e-12}, {}); };
  const size_t deviations = rows * sizeof(float);
  check("an evaluation, add and norm",
        bytesOf(false, addNorm) + bytes(type) + deviations == bytesOf(true, addNorm));
  const auto gated = [&] { linearActivation(i[0], weights, Activation::Gelu, {}, /*isGated=*/true); };
  check("a gated layer", bytesOf(true, gated) == bytesOf(true, [&] { linear(i[0], weights); }));
  // A norm's result has no other owner once the layers behind it have read it.
  const Inputs trained{i[0], i[1].clone().set_requires_grad(true), i[2]};
  Normed normed =
      linearAddNorm(trained[0], i[3], weightsOf(trained, 1, type, Way::Tiles), {i[4], i[4], 1e-12}, {});
  const Inputs next{i[1].t().contiguous().set_requires_grad(true), i[2].narrow(0, 0, in)};
  const at::Tensor y = linear(normed, weightsOf(next, 0, type, Way::Tiles));
  check("a norm's result", normed.values.storage().use_count() == 1 && y.requires_grad());
}

}  // namespace

void testLinears(at::ScalarType type, const Mask& mask) {
  if (mask.dropsNothing()) {
    testMemory(type);
    testGatedActivations(type);
  }
  for (const Way way : {Way::Tiles, Way::Library}) {
    testLinear(type, mask, way);
    testLinearsOfTheModel(type, mask, way);
    testFrozen(type, mask, way);
    testWithoutBias(type, mask, way);
    testRows(type, way);
  }
}

void testLayersBehindNorms(at::ScalarType type, const Mask& mask) {
  for (const Way way : {Way::Tiles, Way::PackedWhenRead, Way::Library}) testPreNorm(type, mask, way);
  if (mask.dropsNothing()) testRows(type, Way::PackedWhenRead);
}

}  // namespace bertune
