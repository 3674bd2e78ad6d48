#include "ops/embedding.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/memory.h"
#include "core/phases.h"
#include "ops/dropout.h"
#include "ops/fused.h"
#include "ops/fused_device.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kNoPad = -1;

// Each thread takes some columns of all rows, so that sums have one order and no two threads meet.
void scatterAdd(at::Tensor& table, const at::Tensor& ids, const at::Tensor& rows, int64_t padId) {
  constexpr int64_t block = 64;
  const phases::Scope phase(phases::Phase::ElementWise);
  const int64_t width = table.size(1), count = ids.size(0);
  const auto* numbers = ids.const_data_ptr<int64_t>();
  const auto* source = rows.const_data_ptr<float>();
  auto* target = table.mutable_data_ptr<float>();
  at::parallel_for(0, (width + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * block, columns = std::min(end * block, width) - first;
    for (int64_t i = 0; i < count; ++i)
      if (numbers[i] != padId)
        rowKernels().add(target + numbers[i] * width + first, source + i * width + first, columns);
  });
}

struct Embedding : torch::autograd::Function<Embedding> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& table,
                            const GradientPointer& gradient, const at::Tensor& ids, int64_t padId) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({ids});
    if (gradient) context->saved_data["gradient"] = c10::IValue::make_capsule(gradient);
    context->saved_data["rows"] = table.size(0);
    context->saved_data["padId"] = padId;
    return at::embedding(table, ids);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor ids = context->get_saved_variables()[0], dY = gradients[0].contiguous();
    const int64_t padId = context->saved_data["padId"].toInt(), rows = context->saved_data["rows"].toInt();
    const auto found = context->saved_data.find("gradient");
    if (found != context->saved_data.end() && dY.is_cpu()) {
      at::Tensor sums = c10::static_intrusive_pointer_cast<Gradient>(found->second.toCapsule())->sums();
      scatterAdd(sums, ids, dY, padId);
      return {at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    }
    return {at::embedding_dense_backward(dY, ids, rows, padId, /*scale_grad_by_freq=*/false), at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

bool isTrained(const EmbeddingTable& table) { return table.values.defined() && table.values.requires_grad(); }

// Null where there are none for such embeddings, or a gradient has no place to go.
const cuda::Kernels* kernelsFor(const EmbeddingInput& in) {
  for (const EmbeddingTable* table : {&in.words, &in.types, &in.positions})
    if (isTrained(*table) && !table->gradient) return nullptr;
  const at::Tensor& words = in.words.values;
  return fused::takesNormalized(words.size(1)) ? fused::kernelsOf(words.device()) : nullptr;
}

struct FusedEmbeddings : torch::autograd::Function<FusedEmbeddings> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& words,
                            const std::optional<at::Tensor>& /*types*/,
                            const std::optional<at::Tensor>& /*positions*/,
                            const std::optional<at::Tensor>& normWeight,
                            const std::optional<at::Tensor>& normBias, const EmbeddingInput& in) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const std::array<const EmbeddingTable*, 3> tables{&in.words, &in.types, &in.positions};
    fused::EmbeddingArguments arguments;
    for (size_t i = 0; i < tables.size(); ++i) {
      arguments.tables[i] = tables[i]->values;
      arguments.numbers[i] = tables[i]->ids;
      const bool isWanted = isTrained(*tables[i]);
      if (isWanted) context->saved_data[kGradients[i]] = c10::IValue::make_capsule(tables[i]->gradient);
    }
    if (in.norm) arguments.norm = {*normWeight, normBias.value_or(at::Tensor()), in.norm->epsilon};
    arguments.noise = in.noise;
    arguments.noiseMask = in.noiseKey;
    const fused::Normalized found =
        fused::embedded(*fused::kernelsOf(words.device()), arguments, in.mask,
                        {/*sum=*/in.norm.has_value(), /*out=*/true, /*rounded=*/false});
    context->save_for_backward({in.words.ids, in.types.ids, in.positions.ids, found.sum, found.statistics,
                                normWeight.value_or(at::Tensor())});
    context->saved_data["padId"] = in.padId;
    context->saved_data["trainsBias"] = normBias.has_value() && normBias->requires_grad();
    context->saved_data["trainsWeight"] = normWeight.has_value() && normWeight->requires_grad();
    saveMask(context, in.mask);
    return found.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &sum = saved[3], &statistics = saved[4], &normWeight = saved[5];
    const cuda::Kernels& kernels = *fused::kernelsOf(gradients[0].device());
    const Mask mask = savedMask(context);
    at::Tensor d = gradients[0].contiguous();
    if (!mask.dropsNothing()) d = fused::dropoutAddBackward(kernels, d, mask, at::kFloat, {});
    std::array<fused::Sums, 3> sums;
    if (normWeight.defined()) {
      if (context->saved_data["trainsWeight"].toBool()) sums[0].values = at::empty_like(normWeight);
      if (context->saved_data["trainsBias"].toBool()) sums[1].values = at::empty_like(normWeight);
      d = fused::addNormBackward(kernels, {d, {}}, sum, statistics, normWeight, {}, std::nullopt, sums).dSum;
    }
    std::array<at::Tensor, 3> targets;
    for (size_t i = 0; i < targets.size(); ++i) {
      const auto found = context->saved_data.find(kGradients[i]);
      if (found != context->saved_data.end())
        targets[i] = c10::static_intrusive_pointer_cast<Gradient>(found->second.toCapsule())->sums();
    }
    fused::embeddingBackward(kernels, d, {saved[0], saved[1], saved[2]}, targets,
                             context->saved_data["padId"].toOptional<int64_t>());
    return {at::Tensor(), at::Tensor(), at::Tensor(), sums[0].values, sums[1].values, at::Tensor()};
  }

 private:
  static constexpr std::array<const char*, 3> kGradients{"words", "types", "positions"};
};

}  // namespace

at::Tensor embeddings(const EmbeddingInput& in) {
  const auto optional = [](const at::Tensor& tensor) {
    return tensor.defined() ? std::optional(tensor) : std::nullopt;
  };
  if (kernelsFor(in) != nullptr) {
    return FusedEmbeddings::apply(in.words.values, optional(in.types.values), optional(in.positions.values),
                                  in.norm ? std::optional(in.norm->weight) : std::nullopt,
                                  in.norm ? in.norm->bias : std::nullopt, in);
  }
  const auto rowsOf = [](const EmbeddingTable& table, std::optional<int64_t> padId = std::nullopt) {
    return embedding(table.values, table.gradient, table.ids, padId);
  };
  at::Tensor x = rowsOf(in.words, in.padId);
  if (in.noise.defined()) x = x + neftuneNoise(in.noise, x.size(1), in.noiseKey);
  if (in.types.values.defined()) x = x + rowsOf(in.types);
  if (in.positions.values.defined()) x = x + rowsOf(in.positions);
  if (in.norm)
    x = at::layer_norm(x, in.norm->weight.sizes(), in.norm->weight, in.norm->bias, in.norm->epsilon);
  return dropoutAdd(x, {}, in.mask);
}

at::Tensor embedding(const at::Tensor& table, const GradientPointer& gradient, const at::Tensor& ids,
                     std::optional<int64_t> padId) {
  return Embedding::apply(table, gradient, ids, padId.value_or(kNoPad));
}

at::Tensor neftuneMagnitudes(const Batch& batch, int64_t columns, double alpha) {
  std::vector<float> magnitudes;
  magnitudes.reserve(batch.tokens());
  for (size_t i = 1; i < batch.cuSeqlens.size(); ++i) {
    const int32_t length = batch.cuSeqlens[i] - batch.cuSeqlens[i - 1];
    const double elements = static_cast<double>(length) * static_cast<double>(columns);
    magnitudes.insert(magnitudes.end(), length, static_cast<float>(alpha / std::sqrt(elements)));
  }
  return toDevice(magnitudes, batch.inputIds.device()).unsqueeze(1);
}

at::Tensor neftuneNoise(const at::Tensor& magnitudes, int64_t columns, const Mask& key) {
  const at::Tensor bits = hashTensor(key, magnitudes.size(0), columns, magnitudes.device());
  return (bits.to(at::kFloat) * (2.0 / 4294967296.0) - 1.0) * magnitudes;
}

}  // namespace bertune
