#include "ops/fused_check.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <array>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "core/random.h"
#include "ops/activation.h"
#include "ops/dropout.h"
#include "ops/fused.h"
#include "ops/fused_adam.h"

namespace bertune::fused {
namespace {

using at::Tensor;

// Rows that fill no block of threads, and columns of several warps.
constexpr int64_t kRows = 9, kColumns = 136;
constexpr double kEpsilon = 1e-5;

class Check {
 public:
  Check(const Kernels& kernels, c10::Device device)
      : kernels_(kernels), device_(device), mask_(makeMask(42, 3, 1, Site::AttentionOutput, 0.25, 17)) {
    // The same mask once more, from where a recorded launch reads it.
    const PassNumbers numbers{42, 3, 17, 0};
    std::vector<int32_t> words(sizeof numbers / sizeof(int32_t));
    std::memcpy(words.data(), &numbers, sizeof numbers);
    numbers_ = toDevice(words, device);
    recordedMask_ = mask_;
    recordedMask_.first = recordedMask_.second = 0;
    recordedMask_.firstRow = 0;
    recordedMask_.onDevice = static_cast<const PassNumbers*>(numbers_.const_data_ptr());
    recordedMask_.layer = 1;
    recordedMask_.site = Site::AttentionOutput;
    factors_ = maskTensor(mask_, kRows, kColumns, device);
  }

  void run() {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      norms(type);
      sums(type);
      activations(type);
      projections(type);
    }
    embeddings();
    for (const bool isDecoupled : {true, false}) update(isDecoupled);
    finish();
  }

 private:
  // Different numbers in each call, around 1 in size.
  Tensor values(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
    const Tensor places =
        at::arange(c10::multiply_integers(sizes), at::TensorOptions(at::kFloat).device(device_));
    const double seed = 1.7 + 0.37 * ++calls_;
    return ((places * seed).sin() * 1.5).view(sizes).to(type);
  }
  Tensor nothing(at::IntArrayRef sizes) const {
    return at::full(sizes, std::nan(""), at::TensorOptions(at::kFloat).device(device_));
  }

  // Relative, in the Euclidean norm; bfloat16 has 8 bits.
  void expect(const std::string& name, const Tensor& found, const Tensor& expected) {
    const Tensor difference = (found.to(at::kDouble) - expected.to(at::kDouble)).norm();
    const double tolerance = found.scalar_type() == at::kBFloat16 ? 1e-2 : 1e-4;
    names_.push_back(name);
    errors_.push_back(difference / (expected.to(at::kDouble).norm() * tolerance));
  }
  static Tensor sumOf(const Tensor& x) { return x.to(at::kDouble).sum(0); }

  void norms(at::ScalarType type) {
    const Tensor y = values({kRows, kColumns}, type), residual = values({kRows, kColumns}),
                 weight = values({kColumns}), bias = values({kColumns}), dOut = values({kRows, kColumns}),
                 dOutToo = values({kRows, kColumns}), dSumOut = values({kRows, kColumns});
    const std::string name = std::string("norm in ") + c10::toString(type);
    const Normalized found =
        addNorm(kernels_, y, residual, {weight, bias, kEpsilon}, recordedMask_, {true, true, true});
    const Tensor sum = y.to(at::kFloat) * factors_ + residual;
    const auto [out, mean, inverse] = at::native_layer_norm(sum, {kColumns}, weight, bias, kEpsilon);
    expect(name, found.sum, sum);
    expect(name, found.out, out);
    expect(name, found.rounded, out);
    const std::array<Sums, 3> sums{
        Sums{nothing({kColumns})}, {at::ones_like(weight), true}, {nothing({kColumns})}};
    const AddNormBack back = addNormBackward(kernels_, {dOut, dOutToo, dSumOut}, found.sum, found.statistics,
                                             weight, mask_, type, sums);
    const auto [dX, dWeight, dBias] = at::native_layer_norm_backward(
        dOut + dOutToo, sum, {kColumns}, mean, inverse, weight, bias, {true, true, true});
    const Tensor dSum = dX + dSumOut;
    expect(name + " backward", back.dSum, dSum);
    expect(name + " backward", back.dY, dSum * factors_);
    expect(name + " backward", sums[0].values, dWeight);
    expect(name + " backward", sums[1].values, dBias + 1);
    expect(name + " backward", sums[2].values, sumOf(back.dY));
  }

  void sums(at::ScalarType type) {
    const Tensor y = values({kRows, kColumns}, type), residual = values({kRows, kColumns});
    const std::string name = std::string("dropout in ") + c10::toString(type);
    expect(name, dropoutAdd(kernels_, y, residual, recordedMask_), y.to(at::kFloat) * factors_ + residual);
    const Sums sums{nothing({kColumns})};
    const Tensor back = dropoutAddBackward(kernels_, residual, mask_, type, sums);
    expect(name + " backward", back, residual * factors_);
    expect(name + " backward", sums.values, sumOf(back));
    if (type == at::kBFloat16) expect(name, dropoutOf(kernels_, y, mask_), y.to(at::kFloat) * factors_);
  }

  void activations(at::ScalarType type) {
    // The two types differ in nothing but loads and stores.
    const std::vector<Activation> all{Activation::Gelu, Activation::GeluTanh, Activation::Relu,
                                      Activation::Silu, Activation::Tanh};
    for (const Activation kind : type == at::kFloat ? all : std::vector<Activation>{Activation::Gelu})
      for (const bool isGated : {false, true}) {
        const Tensor z = values({kRows, isGated ? 2 * kColumns : kColumns}, type),
                     dOut = values({kRows, kColumns}, type);
        const std::string name =
            "activation " + std::to_string(static_cast<int>(kind)) + " in " + c10::toString(type);
        const Tensor x = z.to(at::kFloat), left = isGated ? x.narrow(1, 0, kColumns) : x;
        const Tensor active = activate(kind, left);
        const Tensor right = isGated ? x.narrow(1, kColumns, kColumns) : at::ones_like(left);
        expect(name, activated(kernels_, {kind, isGated}, z, mask_), active * right * factors_);
        const Sums sums{kind == Activation::Gelu ? nothing({z.size(1)}) : Tensor()};
        const Tensor back = activatedBackward(kernels_, {kind, isGated}, dOut, z, mask_, sums);
        const Tensor d = dOut.to(at::kFloat) * factors_;
        const Tensor dLeft = activateBackwardLibrary(kind, d * right, left.contiguous(), active);
        expect(name + " backward", back, isGated ? at::cat({dLeft, d * active}, 1) : dLeft);
        if (sums.values.defined()) expect(name + " backward", sums.values, sumOf(back));
      }
  }

  void projections(at::ScalarType type) {
    constexpr int64_t parts = 3, heads = 2, size = 40, padded = 48, length = 5;
    const std::string name = std::string("projection in ") + c10::toString(type);
    const auto longs = at::TensorOptions(at::kLong).device(device_);
    const Rotary rotary{values({2, length, size / 2}), at::arange(kRows, longs).remainder(length)};
    const Tensor angles = rotary.table.index_select(1, rotary.positions).unsqueeze(2);
    const auto turned = [&](const Tensor& x, double direction) {
      const auto halves = x.to(at::kFloat).chunk(2, -1);
      return at::cat({halves[0] * angles[0] - halves[1] * angles[1] * direction,
                      halves[1] * angles[0] + halves[0] * angles[1] * direction},
                     -1);
    };
    Tensor projected = values({kRows, parts, heads, size}, type);
    std::vector<Tensor> expected = projected.to(at::kFloat).unbind(1);
    for (int64_t i = 0; i + 1 < parts; ++i) expected[i] = turned(expected[i], 1);
    rotate(kernels_, projected, rotary);
    expect(name, projected, at::stack(expected, 1));
    std::vector<Tensor> given, back;
    for (int64_t i = 0; i < parts; ++i) {
      given.push_back(values({kRows, heads, padded}, type));
      const Tensor narrow = given.back().narrow(2, 0, size).to(at::kFloat);
      back.push_back(i + 1 < parts ? turned(narrow, -1) : narrow);
    }
    expect(name + " backward", packProjection(kernels_, given, size, rotary), at::stack(back, 1));
  }

  // A word that more tokens have than a block sums up.
  void embeddings() {
    constexpr int64_t tokens = 70, words = 11, padId = 3;
    const auto longs = at::TensorOptions(at::kLong).device(device_);
    const Tensor ids = at::arange(tokens, longs), weight = values({kColumns}), bias = values({kColumns});
    EmbeddingArguments in;
    in.tables = {values({words, kColumns}), values({2, kColumns}), values({tokens, kColumns})};
    in.numbers = {ids.remainder(words), at::zeros_like(ids), ids};
    in.norm = NormArguments{weight, bias, kEpsilon};
    const Normalized found = embedded(kernels_, in, {}, {true, true, true});
    Tensor sum = in.tables[0].index_select(0, in.numbers[0]);
    for (size_t i = 1; i < 3; ++i) sum = sum + in.tables[i].index_select(0, in.numbers[i]);
    expect("embeddings", found.sum, sum);
    expect("embeddings", found.out, at::layer_norm(sum, {kColumns}, weight, bias, kEpsilon));
    expect("embeddings", found.rounded, found.out);
    const Tensor gradient = values({tokens, kColumns});
    std::array<Tensor, 3> gradients;
    for (size_t i = 0; i < 3; ++i) gradients[i] = at::ones_like(in.tables[i]);
    embeddingBackward(kernels_, gradient, in.numbers, gradients, padId);
    for (size_t i = 0; i < 3; ++i)
      expect("embeddings backward", gradients[i],
             1 + at::embedding_dense_backward(gradient, in.numbers[i], gradients[i].size(0),
                                              i == 0 ? padId : -1, false));
  }

  void update(bool isDecoupled) {
    constexpr int64_t size = 4099, first = 3000;
    constexpr double rate = 1e-2, decay = 0.1, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, maxNorm = 1;
    const std::string name = isDecoupled ? "AdamW" : "Adam";
    const FlatTensors flat{values({size}), values({size}), values({size}), values({size}).abs()};
    const std::array<Tensor, 4> before{flat.weights.clone(), flat.gradients.clone(),
                                       flat.firstMoments.clone(), flat.secondMoments.clone()};
    const Tensor steps = at::arange(2, flat.weights.options()), copy = nothing({first}).to(at::kBFloat16);
    const auto scalar = [&] { return at::zeros({}, flat.weights.options()); };
    const UpdateScalars scalars{scalar(), scalar(), scalar(), scalar(), scalar()};
    Adam adam({{0, 0, 0, first, 0, copy}, {first, first, first, size - first, 1}}, flat, steps, isDecoupled);
    adam.load({beta1, beta2, epsilon, maxNorm}, {{rate, decay}, {rate / 2, 0}});
    adam.update(kernels_, scalars);
    const Tensor norm = at::linalg_vector_norm(before[1]);
    const Tensor scale = ((norm + 1e-6) / maxNorm).clamp_min(1.0);
    for (int64_t group = 0; group < 2; ++group) {
      const auto slice = [&](const Tensor& all) {
        return std::vector<Tensor>{group == 0 ? all.narrow(0, 0, first) : all.narrow(0, first, size - first)};
      };
      const auto of = slice(before[1] / scale);
      const std::vector<Tensor> step{at::full({}, group + 1, flat.weights.options())};
      const auto kernel = isDecoupled ? plainAdamW : plainAdam;
      kernel(slice(before[0]), of, slice(before[2]), slice(before[3]), step, rate / (group + 1),
             group == 0 ? decay : 0, beta1, beta2, epsilon);
    }
    expect(name, flat.weights, before[0]);
    expect(name, flat.firstMoments, before[2]);
    expect(name, flat.secondMoments, before[3]);
    expect(name, copy, flat.weights.narrow(0, 0, first));
    expect(name, scalars.norm, norm);
    expect(name, steps, at::arange(1, 3, steps.options()));
  }

  static void plainAdamW(at::TensorList weights, at::TensorList gradients, at::TensorList firsts,
                         at::TensorList seconds, at::TensorList steps, double rate, double decay,
                         double beta1, double beta2, double epsilon) {
    at::_fused_adamw_(weights, gradients, firsts, seconds, {}, steps, rate, beta1, beta2, decay, epsilon,
                      false, false);
  }
  static void plainAdam(at::TensorList weights, at::TensorList gradients, at::TensorList firsts,
                        at::TensorList seconds, at::TensorList steps, double rate, double decay, double beta1,
                        double beta2, double epsilon) {
    at::_fused_adam_(weights, gradients, firsts, seconds, {}, steps, rate, beta1, beta2, decay, epsilon,
                     false, false);
  }

  void finish() const {
    const Tensor all = at::stack(errors_).to(at::kCPU);  // waits once
    for (size_t i = 0; i < names_.size(); ++i)
      if (!(all[static_cast<int64_t>(i)].item<double>() <= 1))  // nor where it is NaN
        throw std::runtime_error("on this GPU the kernel of " + names_[i] +
                                 " computes something else than LibTorch's operators");
  }

  const Kernels& kernels_;
  c10::Device device_;
  Mask mask_, recordedMask_;
  Tensor numbers_, factors_;
  int calls_ = 0;
  std::vector<std::string> names_;
  std::vector<Tensor> errors_;
};

}  // namespace

void check(const cuda::Kernels& kernels, c10::Device device) {
  const at::NoGradGuard guard;
  Check(kernels, device).run();
}

}  // namespace bertune::fused
