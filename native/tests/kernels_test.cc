// The fused kernels for CUDA, run on the CPU thread by thread: against ATen's operators in float64, the same
// bits in whatever order threads and blocks run, and the mask's bits of the CPU's kernels.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "model/layers.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/embedding.h"
#include "ops/fused.h"
#include "ops/fused_check.h"
#include "ops/fused_device.h"
#include "ops/linear.h"
#include "ops/projection.h"
#include "tests/comparison.h"
#include "tests/kernels_stand_in.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

const cuda::Kernels& kernels() { return standin::kernels(); }

double toleranceOf(at::ScalarType type) { return type == at::kFloat ? 3e-6 : 8e-3; }

bool sameBits(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.is_contiguous() &&
         b.is_contiguous() && std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

// What the kernels compute, and one line about orders. Empty where a kernel fails.
Tensors inAllOrders(const std::string& name, const std::function<Tensors()>& compute) {
  Tensors first;
  bool isSame = true;
  try {
    for (const shim::Order order : {shim::Order::Ascending, shim::Order::Descending, shim::Order::Shuffled}) {
      shim::setOrder(order);
      const Tensors found = compute();
      if (first.empty()) first = found;
      for (size_t i = 0; i < found.size(); ++i) isSame = isSame && sameBits(found[i], first[i]);
    }
  } catch (const std::exception& error) {
    const std::string message = error.what();
    reportFailure(name, message.substr(0, message.find('\n')));
    return {};
  }
  report(name + ": the same in every order", isSame ? 0 : 1, 0);
  return first;
}

void compareAll(const std::string& name, const Tensors& found, const Tensors& expected, double tolerance) {
  if (found.empty()) return;
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!expected[i].defined()) continue;
    const double error = distance(found[i], expected[i]);
    if (!std::isnan(worst) && !(error <= worst)) worst = error;  // NaN stays
  }
  report(name, worst, tolerance);
}

Tensor leaf(const Tensor& values) { return values.clone().set_requires_grad(true); }
Tensor garbage(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
  return at::full(sizes, std::nan(""), type);
}
Tensor single(const Tensor& values) { return values.to(at::kFloat); }

struct NormCase {
  int64_t rows, columns;
  bool hasBias, hasResidual, isPreNorm;
};

void testAddNorm(const NormCase& given, at::ScalarType type, const Mask& mask) {
  const int64_t rows = given.rows, columns = given.columns;
  const std::string name =
      describe("fused norm of " + std::to_string(rows) + " x " + std::to_string(columns), type, mask);
  const Tensor y = random({rows, columns}, type), residual = random({rows, columns}, at::kFloat),
               weight = random({columns}, at::kFloat), bias = random({columns}, at::kFloat),
               dOut = random({rows, columns}, at::kFloat), dOutToo = random({rows, columns}, at::kFloat),
               dSumOut = random({rows, columns}, at::kFloat);
  constexpr double epsilon = 1e-5;
  const auto optional = [](bool isThere, const Tensor& x) { return isThere ? single(x) : Tensor(); };
  const fused::NormArguments norm{single(weight), optional(given.hasBias, bias), epsilon};
  const Tensors found = inAllOrders(name, [&]() -> Tensors {
    const fused::Normalized out = fused::addNorm(kernels(), y.to(type), optional(given.hasResidual, residual),
                                                 norm, mask, {true, !given.isPreNorm, true});
    const std::array<fused::Sums, 3> sums{
        fused::Sums{garbage({columns})}, {at::ones({columns}), true}, {garbage({columns})}};
    const fused::AddNormBack back = fused::addNormBackward(
        kernels(), {single(dOut), optional(!given.isPreNorm, dOutToo), optional(given.isPreNorm, dSumOut)},
        out.sum, out.statistics, norm.weight, mask, type, sums);
    return {out.sum,        out.out,        out.rounded,    back.dSum,
            sums[0].values, sums[1].values, sums[2].values, back.dY};
  });
  const Tensor yLeaf = leaf(y), residualLeaf = leaf(residual), weightLeaf = leaf(weight),
               biasLeaf = leaf(bias);
  const Tensor factors = maskTensor(mask, rows, columns, at::kCPU);
  Tensor sum = yLeaf * factors + 0 * residualLeaf;
  if (given.hasResidual) sum = sum + residualLeaf;
  const Tensor out = at::layer_norm(sum, {columns}, weightLeaf,
                                    given.hasBias ? std::optional(biasLeaf) : std::nullopt, epsilon);
  (given.isPreNorm ? (out * dOut + sum * dSumOut) : out * (dOut + dOutToo)).sum().backward();
  const Tensor dSum = given.isPreNorm ? dOut : dOut + dOutToo;
  const Tensor dY = yLeaf.grad(), dResidual = given.hasResidual ? residualLeaf.grad() : Tensor();
  compareAll(name + ", float32 results", found,
             {sum.detach(), given.isPreNorm ? Tensor() : out.detach(), Tensor(), dResidual, weightLeaf.grad(),
              dSum.sum(0) + 1},
             3e-6);
  // dY is a sum of terms that cancel where there are few columns.
  compareAll(name + ", rounded results", found, {Tensor(), Tensor(), out.detach()},
             toleranceOf(at::kBFloat16));
  compareAll(name + ", results of the type", found,
             {Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), dY.sum(0), dY}, toleranceOf(type));
  if (!found.empty() && !given.isPreNorm)
    report(name + ", rounded as LibTorch rounds", sameBits(found[2], found[1].to(at::kBFloat16)) ? 0 : 1, 0);
}

// Which elements are dropped: exactly those of the CPU's kernel, from any row on.
void testMaskBits(const Mask& mask) {
  constexpr int64_t rows = 9, columns = 132;
  const Tensor kept = keptElements(mask, rows, columns, at::kCPU).to(at::kFloat) * mask.scale;
  const std::string name = mask.onDevice == nullptr ? "fused mask" : "fused mask of numbers on the device";
  const Tensors found = inAllOrders(name, [&]() -> Tensors {
    const Tensor ones = at::ones({rows, columns}), some = at::ones({columns});
    Mask given = mask;  // what the host knows must not matter where the device has it
    if (mask.onDevice != nullptr) given.first = given.second = 0, given.firstRow = 0;
    const fused::Normalized out =
        fused::addNorm(kernels(), ones, {}, {some, {}, 1e-5}, given, {true, true, true});
    return {fused::dropoutAdd(kernels(), ones, {}, given), out.sum,
            fused::activated(kernels(), {Activation::Relu, false}, ones, given)};
  });
  for (const Tensor& each : found) report(name + ": the CPU's bits", at::equal(each, kept) ? 0 : 1, 0);
}

// The same where a pass has its numbers in memory, for each site and way to count rows.
void testMaskNumbers() {
  const PassNumbers numbers{0x123456789abcdef0u, (int64_t{1} << 40) + 3, 4100, 37};
  TrainingPass pass{numbers.seed, numbers.step, numbers.firstToken, numbers.firstSequence, 0, false, false};
  pass.onDevice = &numbers;
  constexpr double probability = 0.3;
  for (const MaskRows& rows : {MaskRows(RowsAre::Tokens), MaskRows(RowsAre::Sequences),
                               MaskRows(RowsAre::Tokens, 12), MaskRows(RowsAre::Tokens, 0, int64_t{1} << 31)})
    testMaskBits(maskAt(&pass, Site::AttentionOutput, rows.factor, probability, rows));
  for (int site = 0; site <= static_cast<int>(Site::RelativePositions); ++site)
    testMaskBits(maskAt(&pass, static_cast<Site>(site), -1 - site % 3, probability, RowsAre::Tokens));
}

void testDropoutAdd(int64_t rows, at::ScalarType type, const Mask& mask) {
  constexpr int64_t columns = 516;
  const std::string name = describe("fused dropout of " + std::to_string(rows) + " rows", type, mask);
  const Tensor y = random({rows, columns}, type), residual = random({rows, columns}, at::kFloat);
  const Tensors found = inAllOrders(name, [&]() -> Tensors {
    const fused::Sums sums{garbage({columns})};
    return {fused::dropoutAdd(kernels(), y.to(type), single(residual), mask),
            fused::dropoutAddBackward(kernels(), single(residual), mask, type, sums), sums.values};
  });
  const Tensor factors = maskTensor(mask, rows, columns, at::kCPU).to(at::kDouble);
  compareAll(name, found, {y * factors + residual}, 3e-6);
  compareAll(name + ", backward", found, {Tensor(), residual * factors, (residual * factors).sum(0)},
             toleranceOf(type));
}

void testActivation(Activation kind, bool isGated, at::ScalarType type, const Mask& mask) {
  const int64_t rows = 11, columns = kind == Activation::Gelu ? 516 : 132;
  const std::string name = describe(std::string(isGated ? "fused gated activation " : "fused activation ") +
                                        std::to_string(static_cast<int>(kind)),
                                    type, mask);
  const Tensor z = random({rows, isGated ? 2 * columns : columns}, type) * 4,
               dOut = random({rows, columns}, type);
  const Tensors found = inAllOrders(name, [&]() -> Tensors {
    const fused::Sums sums{garbage({z.size(1)})};
    const Tensor out = fused::activated(kernels(), {kind, isGated}, z.to(type), mask);
    return {out, fused::activatedBackward(kernels(), {kind, isGated}, dOut.to(type), z.to(type), mask, sums),
            sums.values};
  });
  const Tensor zLeaf = leaf(z);
  const auto halves = zLeaf.chunk(2, 1);
  const Tensor factors = maskTensor(mask, rows, columns, at::kCPU);
  const Tensor out = (isGated ? activate(kind, halves[0]) * halves[1] : activate(kind, zLeaf)) * factors;
  out.backward(dOut);
  compareAll(name, found, {out.detach(), zLeaf.grad(), zLeaf.grad().sum(0)}, toleranceOf(type));
}

void testActivationValues() {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const Tensor z = at::tensor({-100.0f, -9.0f, -3.0f, 0.0f, 3.0f, 100.0f, infinity, nan}).view({2, 4});
  for (const Activation kind : {Activation::Gelu, Activation::Relu, Activation::Silu, Activation::Tanh}) {
    const std::string name = "fused activation of extreme values " + std::to_string(static_cast<int>(kind));
    const Tensors found = inAllOrders(name, [&]() -> Tensors {
      return {fused::activated(kernels(), {kind, false}, z, {})};
    });
    if (found.empty()) continue;
    // ATen's GELU has no digits left at -9.
    const Tensor x = z.to(at::kDouble);
    const Tensor expected =
        kind == Activation::Gelu ? x * at::erfc(-x * std::sqrt(0.5)) / 2 : activate(kind, x);
    report(name, at::allclose(found[0].to(at::kDouble), expected, 2e-5, 1e-37, /*equal_nan=*/true) ? 0 : 1,
           0);
  }
}

void testProjection(at::ScalarType type, bool isRotary, int64_t parts) {
  constexpr int64_t heads = 3, size = 40, padded = 48, tokens = 37;
  const std::string name = describe(
      "fused packing of " + std::to_string(parts) + " parts" + (isRotary ? ", rotary positions" : ""), type,
      {});
  const Tensor positions = at::cat({at::arange(20), at::arange(17)});
  const Tensor table = rotaryTable(10000, size, 20, at::kCPU);
  const std::optional<fused::Rotary> rotary =
      isRotary ? std::optional(fused::Rotary{table, positions}) : std::nullopt;
  const Tensor projected = random({tokens, parts, heads, size}, type);
  Tensors gradients, narrow, given;
  for (int64_t i = 0; i < parts; ++i) {
    gradients.push_back(random({tokens, heads, padded}, type));
    narrow.push_back(gradients.back().narrow(2, 0, size));
    given.push_back(gradients.back().to(type));
  }
  const Tensors found = inAllOrders(name, [&]() -> Tensors {
    Tensor turned = projected.to(type, false, /*copy=*/true);
    if (isRotary) fused::rotate(kernels(), turned, *rotary);
    return {turned, fused::packProjection(kernels(), given, size, rotary)};
  });
  const Tensor input = leaf(projected);
  Tensors turned = input.unbind(1);
  for (int64_t i = 0; isRotary && i + 1 < parts; ++i) {
    const Tensor angles =
        table.to(at::kDouble).index_select(1, positions).unsqueeze(2);  // [2, tokens, 1, half]
    const auto halves = turned[i].chunk(2, -1);
    turned[i] = at::cat(
        {halves[0] * angles[0] - halves[1] * angles[1], halves[1] * angles[0] + halves[0] * angles[1]}, -1);
  }
  const Tensor out = at::stack(turned, 1);
  out.backward(at::stack(narrow, 1));
  compareAll(name, found, {out.detach(), input.grad()}, toleranceOf(type));
}

struct EmbeddingCase {
  int64_t tokens;
  bool hasNorm, hasNoise;
  std::array<bool, 3> isTrained{true, true, true};
  int64_t columns = 132;
};

// With a word that is in every second place, one token type, NEFTune's noise, rows that no token reads, and
// gradients that are there already.
void testEmbeddings(const EmbeddingCase& given, const Mask& mask) {
  const int64_t tokens = given.tokens, columns = given.columns;
  const std::string name =
      describe("fused embeddings of " + std::to_string(tokens) + " tokens" +
                   (given.hasNorm ? " with norm" : "") + (given.hasNoise ? " and noise" : ""),
               at::kFloat, mask);
  std::vector<int64_t> words, types(tokens, 1), places;
  for (int64_t i = 0; i < tokens; ++i) {
    words.push_back(i % 2 == 0 ? 5 : i % 7);
    places.push_back(i % 80);
  }
  const std::array<Tensor, 3> tables{random({11, columns}, at::kFloat), random({2, columns}, at::kFloat),
                                     random({90, columns}, at::kFloat)},
      numbers{at::tensor(words), at::tensor(types), at::tensor(places)};
  const Tensor weight = random({columns}, at::kFloat), bias = random({columns}, at::kFloat),
               dOut = random({tokens, columns}, at::kFloat), magnitudes = random({tokens}, at::kFloat).abs();
  const Mask noise = makeMask(7, 2, -1, Site::Neftune, 0, 5);
  constexpr int64_t padId = 3;
  fused::EmbeddingArguments in;
  for (size_t i = 0; i < 3; ++i) in.tables[i] = single(tables[i]);
  in.numbers = numbers;
  if (given.hasNorm) in.norm = fused::NormArguments{single(weight), single(bias), 1e-5};
  if (given.hasNoise) in.noise = single(magnitudes);
  in.noiseMask = noise;
  const Tensors found = inAllOrders(name, [&]() -> Tensors {
    const fused::Normalized out = fused::embedded(kernels(), in, mask, {true, true, true});
    Tensor dSum = fused::dropoutAddBackward(kernels(), single(dOut), mask, at::kFloat, {});
    const std::array<fused::Sums, 3> sums{fused::Sums{garbage({columns})}, {garbage({columns})}, {}};
    if (given.hasNorm)
      dSum = fused::addNormBackward(kernels(), {dSum}, out.sum, out.statistics, in.norm->weight, {},
                                    std::nullopt, sums)
                 .dSum;
    std::array<Tensor, 3> gradients;
    for (size_t i = 0; i < 3; ++i)
      if (given.isTrained[i]) gradients[i] = at::ones_like(in.tables[i]);
    fused::embeddingBackward(kernels(), dSum, numbers, gradients, padId);
    return {out.out,
            gradients[0],
            gradients[1],
            gradients[2],
            given.hasNorm ? sums[0].values : Tensor(),
            given.hasNorm ? sums[1].values : Tensor(),
            out.rounded};
  });
  if (found.empty()) return;
  Tensors leaves, rows;
  for (size_t i = 0; i < 3; ++i) leaves.push_back(leaf(tables[i]));
  for (size_t i = 0; i < 3; ++i) rows.push_back(at::embedding(leaves[i], numbers[i], i == 0 ? padId : -1));
  Tensor x = rows[0] + rows[1] + rows[2];
  if (given.hasNoise) {
    const Tensor bits = hashTensor(noise, tokens, columns, at::kCPU).to(at::kDouble);
    x = x + (bits * (2.0 / 4294967296.0) - 1.0) * magnitudes.unsqueeze(1);
  }
  const Tensor weightLeaf = leaf(weight), biasLeaf = leaf(bias);
  if (given.hasNorm) x = at::layer_norm(x, {columns}, weightLeaf, biasLeaf, 1e-5);
  x = x * maskTensor(mask, tokens, columns, at::kCPU);
  x.backward(dOut);
  Tensors expected{x.detach()};
  for (size_t i = 0; i < 3; ++i) {
    expected.push_back(given.isTrained[i] ? leaves[i].grad() + 1.0 : Tensor());
    if (!given.isTrained[i]) continue;
    Tensor untouched = at::ones({tables[i].size(0)}, at::kBool).index_fill_(0, numbers[i], false);
    if (i == 0) untouched[padId] = true;
    const bool isLeft = found[1 + i].index({untouched}).eq(1).all().item<bool>();
    report(name + ": rows without a token", isLeft ? 0 : 1, 0);
  }
  if (given.hasNorm) {
    expected.push_back(weightLeaf.grad());
    expected.push_back(biasLeaf.grad());
  }
  compareAll(name, found, expected, 3e-6);
  report(name + ", rounded", sameBits(found[6], found[0].to(at::kBFloat16)) ? 0 : 1, 0);
}

// The operators that use the kernels, on a CPU that has them and on one that has not: the layers of a block
// by LibTorch's operators, with norms behind them or before, a gated activation, embeddings, and dropout.
struct Dispatch {
  at::ScalarType type;
  Mask mask;
  bool hasBias, hasKernels;

  LinearWeights layer(const Inputs& i, size_t first) const {
    LinearWeights weights{i[first], std::nullopt, {type}, 0, i[first].size(0), gradientPlaceOf(i[first])};
    weights.operands.weight = i[first].detach().to(type);
    if (hasBias) {
      weights.bias = i[first + 1];
      weights.operands.bias = i[first + 1].detach().to(type);
    }
    return weights;
  }
  std::optional<Tensor> bias(const Inputs& i, size_t place) const {
    return hasBias ? std::optional(i[place]) : std::nullopt;
  }
  Tensor affine(const Tensor& x, const Inputs& i, size_t first) const {
    return at::linear(x, i[first], bias(i, first + 1));
  }
  Tensor normed(const Tensor& x, const Inputs& i, size_t first) const {
    return at::layer_norm(x, {x.size(1)}, i[first], bias(i, first + 1), 1e-12);
  }
  NormWeights norm(const Inputs& i, size_t first) const { return {i[first], bias(i, first + 1), 1e-12}; }
  // Biases that are left out get zeros.
  Tensor all(const Tensor& y, const Inputs& i) const {
    Tensor sum = y;
    for (const Tensor& each : i)
      if (each.dim() == 1) sum = sum + 0 * each.sum().to(y.scalar_type());
    return sum;
  }
  std::string name(const std::string& what) const {
    return describe(
        what + (hasKernels ? " by fused kernels" : " without fused kernels") + (hasBias ? "" : ", no biases"),
        type, mask);
  }
  void checkLaunches(const std::string& what, int expected) const {
    report(name(what) + ": launches", std::abs(standin::cuda.kernels - (hasKernels ? expected : 0)), 0);
    standin::cuda.kernels = 0;
  }
};

constexpr int64_t kRows = 9, kIn = 12, kHidden = 24, kOut = 20;

// `launches`: with biases and without, where rows of `out` fit the kernels or do not.
void testBehind(const Dispatch& given, int64_t out, std::pair<int, int> launches) {
  const at::ScalarType type = given.type, single = at::kFloat;
  compare(
      {given.name("layers with norms behind them, " + std::to_string(out)),
       {random({kRows, kIn}, type), random({kRows, out}, single), random({kHidden, kIn}, type) / 4,
        random({kHidden}, type), random({out, kHidden}, type) / 4, random({out}, type), random({out}, single),
        random({out}, single), random({kIn, out}, type), random({kIn}, type)},
       {type, single, single, single, single, single, single, single, single, single},
       type,
       {kRows, kIn + out}},
      [&](const Inputs& i) {
        const Tensor expanded = linearActivationLibrary(i[0], given.layer(i, 2), Activation::GeluTanh, {});
        const Normed x =
            linearAddNormLibrary(expanded, i[1], given.layer(i, 4), given.norm(i, 6), given.mask, {});
        const Tensor next = linearLibrary(x, given.layer(i, 8), {}).to(at::kFloat);
        return given.all(at::cat({next, x.values}, 1), i);
      },
      [&](const Inputs& i) {
        const Tensor expanded = activate(Activation::GeluTanh, given.affine(i[0], i, 2));
        const Tensor factors = maskTensor(given.mask, kRows, out, at::kCPU);
        const Tensor x = given.normed(given.affine(expanded, i, 4) * factors + i[1], i, 6);
        return given.all(at::cat({given.affine(x, i, 8), x}, 1), i);
      });
  given.checkLaunches("layers with norms behind them, " + std::to_string(out),
                      given.hasBias ? launches.first : launches.second);
}

void testBefore(const Dispatch& given) {
  const at::ScalarType type = given.type, single = at::kFloat;
  compare(
      {given.name("layers with norms before them"),
       {random({kRows, kOut}, single), random({kOut}, single), random({kOut}, single),
        random({kHidden, kOut}, type) / 4, random({kHidden}, type), random({kOut, kHidden}, type) / 4,
        random({kOut}, type), random({kOut}, single), random({kOut}, single),
        random({kHidden, kOut}, type) / 4, random({kHidden}, type), random({kOut, kHidden}, type) / 4,
        random({kOut}, type)},
       {single, single, single, single, single, single, single, single, single, single, single, single,
        single},
       type,
       {kRows, kOut}},
      [&](const Inputs& i) {
        Tensor residual, sum;
        const Normed first = normLibrary(i[0], given.norm(i, 1), given.type, &residual);
        const Tensor attended = linearActivationLibrary(first, given.layer(i, 3), Activation::Silu, {});
        const Normed second = linearAddNormLibrary(attended, residual, given.layer(i, 5), given.norm(i, 7),
                                                   given.mask, {}, &sum);
        const Tensor expanded = linearActivationLibrary(second, given.layer(i, 9), Activation::Tanh, {});
        return given.all(linearAddLibrary(expanded, sum, given.layer(i, 11), given.mask, {}), i);
      },
      [&](const Inputs& i) {
        const Tensor factors = maskTensor(given.mask, kRows, kOut, at::kCPU);
        const Tensor attended = at::silu(given.affine(given.normed(i[0], i, 1), i, 3));
        const Tensor sum = given.affine(attended, i, 5) * factors + i[0];
        const Tensor expanded = at::tanh(given.affine(given.normed(sum, i, 7), i, 9));
        return given.all(given.affine(expanded, i, 11) * factors + sum, i);
      });
  given.checkLaunches("layers with norms before them", given.hasBias ? 16 : 13);
}

void testGated(const Dispatch& given) {
  compare(
      {given.name("gated activation"),
       {random({kRows, 2 * kHidden}, given.type)},
       {given.type},
       given.type,
       {kRows, kHidden}},
      [&](const Inputs& i) { return gatedActivation(Activation::Silu, i[0]); },
      [&](const Inputs& i) {
        return at::silu(i[0].narrow(1, 0, kHidden)) * i[0].narrow(1, kHidden, kHidden);
      });
  given.checkLaunches("gated activation", 3);
}

// Types without a gradient, as where they are frozen.
void testEmbeddingDispatch(const Dispatch& given) {
  const Tensor words = at::tensor({3, 0, 3, 7, 3, 1, 0, 2, 3}, at::kLong),
               places = at::tensor({0, 1, 2, 3, 0, 1, 2, 3, 4}, at::kLong), types = at::zeros_like(words),
               typeRows = random({2, kOut}, at::kFloat), noise = random({kRows, 1}, at::kFloat).abs();
  const Mask key = makeMask(7, 2, -1, Site::Neftune, 0, 5);
  constexpr int64_t padId = 0;
  compare(
      {given.name("embeddings"),
       {random({9, kOut}, at::kFloat), random({6, kOut}, at::kFloat), random({kOut}, at::kFloat),
        random({kOut}, at::kFloat)},
       {at::kFloat, at::kFloat, at::kFloat, at::kFloat},
       at::kFloat,
       {kRows, kOut}},
      [&](const Inputs& i) {
        const auto table = [](const Tensor& values, const Tensor& ids) {
          return EmbeddingTable{values, gradientPlaceOf(values), ids};
        };
        EmbeddingInput in{table(i[0], words), table(single(typeRows), types), table(i[1], places), padId};
        in.norm = given.norm(i, 2);
        in.noise = single(noise);
        in.noiseKey = key;
        in.mask = given.mask;
        return given.all(embeddings(in), i);
      },
      [&](const Inputs& i) {
        const Tensor bits = hashTensor(key, kRows, kOut, at::kCPU).to(at::kDouble);
        const Tensor x = at::embedding(i[0], words, padId) +
                         (bits * (2.0 / 4294967296.0) - 1.0) * noise.to(i[0].scalar_type()) +
                         at::embedding(typeRows.to(i[0].scalar_type()), types) + at::embedding(i[1], places);
        return given.all(given.normed(x, i, 2) * maskTensor(given.mask, kRows, kOut, at::kCPU), i);
      });
  // Forward twice; dropout, the norm with its sums, and two for the tables.
  given.checkLaunches("embeddings", 2 + (given.mask.dropsNothing() ? 0 : 1) + 2 + 2);
}

void testProjectionDispatch(const Dispatch& given) {
  constexpr int64_t heads = 2, size = 16, padded = 24, length = 4;
  const Tensor positions = at::arange(kRows, at::kLong).remainder(length),
               table = rotaryTable(100, size, length, at::kCPU);
  compare(
      {given.name("rotary positions"),
       {random({kRows, 3, heads, size}, given.type)},
       {given.type},
       given.type,
       {kRows, 3, heads, size}},
      [&](const Inputs& i) { return rotatedProjection(i[0] * 1, table, positions); },
      [&](const Inputs& i) {
        const Tensor angles = table.to(i[0].scalar_type()).index_select(1, positions).unsqueeze(2);
        Tensors parts = i[0].unbind(1);
        for (size_t part = 0; part < 2; ++part) {
          const auto halves = parts[part].chunk(2, -1);
          parts[part] = at::cat(
              {halves[0] * angles[0] - halves[1] * angles[1], halves[1] * angles[0] + halves[0] * angles[1]},
              -1);
        }
        return at::stack(parts, 1);
      });
  given.checkLaunches("rotary positions", 3);
  Tensors parts;
  for (int i = 0; i < 3; ++i) parts.push_back(random({kRows, heads, padded}, given.type).to(given.type));
  report(given.name("joined parts"),
         sameBits(joinedParts(parts, size), at::stack(parts, 1).narrow(3, 0, size).contiguous()) ? 0 : 1, 0);
  given.checkLaunches("joined parts", 1);
}

// All is well on a device that computes what LibTorch does, and a kernel that does not is found, whichever it
// is.
void testCheck(bool isThorough) {
  const at::Device cpu(at::kCPU);
  at::globalContext().setDeterministicAlgorithms(true, false);  // memory that nothing was written to is NaN
  for (const shim::Order order : {shim::Order::Ascending, shim::Order::Shuffled}) {
    shim::setOrder(order);
    try {
      fused::check(kernels(), cpu);
      report("check of the kernels", 0, 0);
    } catch (const std::exception& error) {
      reportFailure("check of the kernels", error.what());
    }
  }
  for (const std::string& name : isThorough ? standin::kernelNames() : std::vector<std::string>()) {
    standin::cuda.faulty = name;
    std::string problem;
    try {
      fused::check(kernels(), cpu);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    report("check of a kernel that does nothing: " + name,
           problem.find("computes something else than LibTorch's operators") == std::string::npos ? 1 : 0, 0);
  }
  standin::cuda = {};
  at::globalContext().setDeterministicAlgorithms(false, false);
}

void testDispatch(const Dispatch& given) {
  standin::cuda = {};
  shim::setOrder(shim::Order::Ascending);
  fused::setKernelsOfCpu(given.hasKernels ? &kernels() : nullptr);
  testBehind(given, kOut, {6, 5});
  testBehind(given, 21, {2, 1});                          // no fours: only the activation
  if (given.hasKernels) testBehind(given, 2052, {6, 4});  // too many for a norm
  testBefore(given);
  if (!given.hasKernels) return;
  testGated(given);
  testEmbeddingDispatch(given);
  testProjectionDispatch(given);
  testDropout(given.type, given.mask);
  fused::setKernelsOfCpu(nullptr);
}

}  // namespace

void testKernels(const Mask& none, const Mask& tenth, bool isThorough) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const NormCase& given : {NormCase{1, 8, true, true, false},
                                  {5, 136, true, true, false},
                                  {13, 260, false, true, true},
                                  {9, 132, false, false, false}})
      for (const Mask& mask : {none, tenth}) testAddNorm(given, type, mask);
    testAddNorm({13, 768, true, true, false}, type, tenth);
    testAddNorm({0, 136, true, true, false}, type, tenth);
    for (const Mask& mask : {none, tenth})
      for (const int64_t rows : {0, 1, 141}) testDropoutAdd(rows, type, mask);
    for (int kind = 0; kind <= static_cast<int>(Activation::Tanh); ++kind)
      for (const bool isGated : {false, true})
        testActivation(static_cast<Activation>(kind), isGated, type, isGated ? tenth : none);
    for (const bool isRotary : {false, true})
      for (const int64_t parts : {2, 3}) testProjection(type, isRotary, parts);
  }
  testAddNorm({2, 2048, true, true, true}, at::kBFloat16, tenth);
  testMaskBits(tenth);
  testMaskNumbers();
  testActivationValues();
  testEmbeddings({150, true, false}, none);
  testEmbeddings({150, true, true}, tenth);
  testEmbeddings({97, false, false}, tenth);
  testEmbeddings({1, true, false}, tenth);
  testEmbeddings({32, true, false, {true, true, true}, 8}, none);
  testEmbeddings({33, true, false, {false, true, true}}, none);
  testEmbeddings({64, true, false, {true, false, true}}, none);
  testEmbeddings({65, false, false, {false, false, false}}, none);
  testEmbeddings({7, true, false, {true, true, true}, 2048}, tenth);
  testKernelsOfAdam();
  testCheck(isThorough);
  testKernelsLoading();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const bool hasBias : {true, false})
      for (const bool hasKernels : {true, false})
        for (const Mask& mask : {none, tenth}) testDispatch({type, mask, hasBias, hasKernels});
}

}  // namespace bertune
