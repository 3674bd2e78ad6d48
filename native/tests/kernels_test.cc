// The fused kernels for CUDA, run on the CPU thread by thread: against ATen's operators in float64, the same
// bits in whatever order threads and blocks run, and the mask's bits of the CPU's kernels.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "model/layers.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/fused.h"
#include "ops/linear.h"
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
  compareAll(name + ", rounded results", found,
             {Tensor(), Tensor(), out.detach(), Tensor(), Tensor(), Tensor(), dY.sum(0), dY},
             toleranceOf(type));
  if (!found.empty() && !given.isPreNorm)
    report(name + ", rounded as LibTorch rounds", sameBits(found[2], found[1].to(type)) ? 0 : 1, 0);
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

void testDropoutAdd(at::ScalarType type, const Mask& mask) {
  constexpr int64_t rows = 141, columns = 516;
  const std::string name = describe("fused dropout", type, mask);
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
    const fused::Sums sums{garbage({parts * heads * size})};
    return {turned, fused::packProjection(kernels(), given, size, rotary, sums), sums.values};
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
  compareAll(name, found, {out.detach(), input.grad(), input.grad().sum(0).flatten()}, toleranceOf(type));
}

// With a word that is in every second place, one token type, NEFTune's noise, and rows that no token reads.
void testEmbeddings(bool hasNorm, bool hasNoise, const Mask& mask) {
  constexpr int64_t tokens = 150, columns = 132;
  const std::string name = describe(
      std::string("fused embeddings") + (hasNorm ? " with norm" : "") + (hasNoise ? " and noise" : ""),
      at::kFloat, mask);
  std::vector<int32_t> words, types(tokens, 1), places;
  for (int32_t i = 0; i < tokens; ++i) {
    words.push_back(i % 2 == 0 ? 5 : i % 7);
    places.push_back(i % 80);
  }
  const auto numbersOf = [](const std::vector<int32_t>& values) { return at::tensor(values).to(at::kLong); };
  const std::array<Tensor, 3> tables{random({11, columns}, at::kFloat), random({2, columns}, at::kFloat),
                                     random({90, columns}, at::kFloat)},
      numbers{numbersOf(words), numbersOf(types), numbersOf(places)};
  const Tensor weight = random({columns}, at::kFloat), bias = random({columns}, at::kFloat),
               dOut = random({tokens, columns}, at::kFloat), magnitudes = random({tokens}, at::kFloat).abs();
  const Mask noise = makeMask(7, 2, -1, Site::Neftune, 0, 5);
  constexpr int32_t padId = 3;
  fused::EmbeddingArguments in;
  for (size_t i = 0; i < 3; ++i) in.tables[i] = single(tables[i]);
  in.numbers = numbers;
  if (hasNorm) in.norm = fused::NormArguments{single(weight), single(bias), 1e-5};
  if (hasNoise) in.noise = single(magnitudes);
  in.noiseMask = noise;
  const fused::EmbeddingSegments host = fused::segmentsOf({words, types, places}, padId);
  report(name + ": long rows are cut", host.rows.empty() ? 1 : 0, 0);
  const auto ints = [](const std::vector<int32_t>& values) { return at::tensor(values, at::kInt); };
  for (const bool adds : {false, true}) {
    const Tensors found = inAllOrders(name, [&]() -> Tensors {
      const fused::Normalized out = fused::embedded(kernels(), in, mask, {true, true, true});
      const Tensor d = fused::dropoutAddBackward(kernels(), single(dOut), mask, at::kFloat, {});
      Tensor dSum = d;
      const std::array<fused::Sums, 3> sums{fused::Sums{garbage({columns})}, {garbage({columns})}, {}};
      if (hasNorm)
        dSum = fused::addNormBackward(kernels(), {d, {}}, out.sum, out.statistics, in.norm->weight, {},
                                      at::kFloat, sums)
                   .dSum;
      std::array<Tensor, 3> gradients;
      for (size_t i = 0; i < 3; ++i)
        gradients[i] = adds ? at::ones_like(in.tables[i]) : garbage(in.tables[i].sizes());
      fused::embeddingBackward(kernels(), dSum, ints(host.tokens), ints(host.segments), ints(host.rows),
                               gradients, adds);
      return {out.out,
              gradients[0],
              gradients[1],
              gradients[2],
              hasNorm ? sums[0].values : Tensor(),
              hasNorm ? sums[1].values : Tensor(),
              out.rounded};
    });
    if (found.empty()) continue;
    Tensors leaves, rows, expected;
    for (size_t i = 0; i < 3; ++i) leaves.push_back(leaf(tables[i]));
    for (size_t i = 0; i < 3; ++i) rows.push_back(at::embedding(leaves[i], numbers[i], i == 0 ? padId : -1));
    Tensor x = rows[0] + rows[1] + rows[2];
    if (hasNoise) {
      const Tensor bits = hashTensor(noise, tokens, columns, at::kCPU).to(at::kDouble);
      x = x + (bits * (2.0 / 4294967296.0) - 1.0) * magnitudes.unsqueeze(1);
    }
    const Tensor weightLeaf = leaf(weight), biasLeaf = leaf(bias);
    if (hasNorm) x = at::layer_norm(x, {columns}, weightLeaf, biasLeaf, 1e-5);
    x = x * maskTensor(mask, tokens, columns, at::kCPU);
    x.backward(dOut);
    expected.push_back(x.detach());
    for (size_t i = 0; i < 3; ++i) {
      // Rows without a token are left as they are.
      Tensor untouched = at::ones({tables[i].size(0)}, at::kBool).index_fill_(0, numbers[i], false);
      if (i == 0) untouched[padId] = true;
      const Tensor whole = found[1 + i].index({untouched});
      const bool isLeft = adds ? whole.eq(1).all().item<bool>() : whole.isnan().all().item<bool>();
      report(name + ": rows without a token", isLeft ? 0 : 1, 0);
      expected.push_back(at::where(untouched.unsqueeze(1), found[1 + i].to(at::kDouble),
                                   leaves[i].grad() + (adds ? 1.0 : 0.0)));
      if (!adds) expected.back().nan_to_num_(0.0), found[1 + i].nan_to_num_(0.0);
    }
    if (hasNorm) {
      expected.push_back(weightLeaf.grad());
      expected.push_back(biasLeaf.grad());
    }
    compareAll(name + (adds ? ", added" : ""), found, expected, 3e-6);
    report(name + ", rounded", sameBits(found[6], found[0].to(at::kBFloat16)) ? 0 : 1, 0);
  }
}

// The operators that use the kernels, on a CPU that has them: two linear layers by LibTorch's operators, the
// first with an activation and the second with dropout, residual and norm; a gated activation; and dropout.
void testDispatch(at::ScalarType type, const Mask& mask, bool hasBias) {
  constexpr int64_t rows = 9, in = 12, hidden = 24, out = 20;
  standin::cuda = {};
  shim::setOrder(shim::Order::Ascending);
  cuda::setKernelsOfCpu(&kernels());
  const auto layer = [&](const Inputs& i, size_t first) {
    LinearWeights weights{i[first], std::nullopt, {type}, 0, i[first].size(0), gradientPlaceOf(i[first])};
    weights.operands.weight = i[first].detach().to(type);
    if (hasBias) {
      weights.bias = i[first + 1];
      weights.operands.bias = i[first + 1].detach().to(type);
    }
    return weights;
  };
  const auto affine = [&](const at::Tensor& x, const Inputs& i, size_t first) {
    return at::linear(x, i[first], hasBias ? std::optional(i[first + 1]) : std::nullopt);
  };
  const auto using_ = [](const at::Tensor& y, const Inputs& i) {  // biases that are left out get zeros
    return y + 0 * (i[3].sum() + i[5].sum() + i[7].sum()).to(y.scalar_type());
  };
  const at::ScalarType single = at::kFloat;
  compare(
      {describe(std::string("layers by fused kernels") + (hasBias ? "" : " without biases"), type, mask),
       {random({rows, in}, type), random({rows, out}, single), random({hidden, in}, type) / 4,
        random({hidden}, type), random({out, hidden}, type) / 4, random({out}, type), random({out}, single),
        random({out}, single)},
       {type, single, single, single, single, single, single, single},
       type,
       {rows, out}},
      [&](const Inputs& i) {
        const at::Tensor expanded = linearActivationLibrary(i[0], layer(i, 2), Activation::GeluTanh, {});
        const NormWeights norm{i[6], hasBias ? std::optional(i[7]) : std::nullopt, 1e-12};
        return using_(linearAddNormLibrary(expanded, i[1], layer(i, 4), norm, mask, {}), i);
      },
      [&](const Inputs& i) {
        const at::Tensor expanded = activate(Activation::GeluTanh, affine(i[0], i, 2));
        const at::Tensor sum = affine(expanded, i, 4) * maskTensor(mask, rows, out, at::kCPU) + i[1];
        return using_(at::layer_norm(sum, {out}, i[6], hasBias ? std::optional(i[7]) : std::nullopt, 1e-12),
                      i);
      });
  report("layers by fused kernels: launches", std::abs(standin::cuda.kernels - (hasBias ? 6 : 5)), 0);
  testDropout(type, mask);
  const int launches = standin::cuda.kernels;
  compare(
      {describe("gated activation by fused kernels", type, {}),
       {random({rows, 2 * hidden}, type)},
       {type},
       type,
       {rows, hidden}},
      [&](const Inputs& i) { return gatedActivation(Activation::Silu, i[0]); },
      [&](const Inputs& i) { return at::silu(i[0].narrow(1, 0, hidden)) * i[0].narrow(1, hidden, hidden); });
  report("gated activation by fused kernels: launches", standin::cuda.kernels > launches ? 0 : 1, 0);
  cuda::setKernelsOfCpu(nullptr);
}

}  // namespace

void testKernels(const Mask& none, const Mask& tenth) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const NormCase& given : {NormCase{1, 8, true, true, false},
                                  {5, 136, true, true, false},
                                  {13, 260, false, true, true},
                                  {9, 132, false, false, false}})
      for (const Mask& mask : {none, tenth}) testAddNorm(given, type, mask);
    testAddNorm({13, 768, true, true, false}, type, tenth);
    for (const Mask& mask : {none, tenth}) testDropoutAdd(type, mask);
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
  testEmbeddings(true, false, none);
  testEmbeddings(true, true, tenth);
  testEmbeddings(false, false, tenth);
  testKernelsOfAdam();
  testKernelsLoading();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const bool hasBias : {true, false}) testDispatch(type, tenth, hasBias);
}

}  // namespace bertune
