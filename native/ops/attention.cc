#include "ops/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "core/device.h"
#include "core/memory.h"
#include "core/phases.h"
#include "ops/attention_kernels.h"
#include "ops/dropout.h"
#include "ops/projection.h"

namespace bertune {
namespace {

using namespace tiled;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// body(item, scratch) for all items, on all threads, and finish(scratch) when a thread has done its own.
template <typename ThreadScratch, typename Body, typename Finish>
void forEachItem(const Items& items, const Shape& shape, const Body& body, const Finish& finish) {
  at::parallel_for(0, items.count(), 1, [&](int64_t begin, int64_t end) {
    const phases::Scope phase(phases::Phase::Attention);
    ThreadScratch scratch(items.longest(), shape);
    const BrgemmScope scope;
    for (int64_t i = begin; i < end; ++i) body(items[i], scratch);
    finish(scratch);
  });
}

std::optional<at::Tensor> optionalContiguous(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor.contiguous()) : std::nullopt;
}

// The input with queries and keys turned by their positions, by ATen's operators.
AttentionInput rotated(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens) {
  if (!input.rotaryTable.defined()) return input;
  const auto rowsOf = [&] {
    if (input.positions.defined()) return input.rotaryTable.index_select(1, input.positions);
    std::vector<at::Tensor> rows;
    for (size_t i = 1; i < cuSeqlens.size(); ++i)
      rows.push_back(input.rotaryTable.narrow(1, 0, cuSeqlens[i] - cuSeqlens[i - 1]));
    return at::cat(rows, 1);
  };
  const at::Tensor table = rowsOf().unsqueeze(2);  // [2, tokens, 1, half]
  const auto turn = [&](const at::Tensor& x) {
    const at::ScalarType type = at::promoteTypes(x.scalar_type(), at::kFloat);
    const std::vector<at::Tensor> halves = x.to(type).chunk(2, -1);
    return at::cat({halves[0] * table[0] - halves[1] * table[1], halves[1] * table[0] + halves[0] * table[1]},
                   -1)
        .to(x.scalar_type());
  };
  std::vector<at::Tensor> parts = input.projected.unbind(1);
  // A query that is alone is at position 0, and is not turned.
  for (size_t i = 0; i + 1 < parts.size(); ++i) parts[i] = turn(parts[i]);
  AttentionInput result = input;
  result.projected = at::stack(parts, 1);
  result.rotaryTable.reset();
  return result;
}

// The same by a fused kernel where the device has it.
AttentionInput rotatedOnDevice(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens) {
  const bool isFused = input.rotaryTable.defined() && input.positions.defined();
  if (!isFused || !hasFusedRotation(input.projected)) return rotated(input, cuSeqlens);
  AttentionInput result = input;
  result.projected = rotatedProjection(input.projected, input.rotaryTable, input.positions);
  result.rotaryTable.reset();
  return result;
}

// The bias of each query and key, [heads, queries, length]: windows of a row, whose gradient is a sum in a
// fixed order on every device.
at::Tensor distanceScores(const at::Tensor& bias, int64_t queries, int64_t length) {
  const int64_t first = bias.size(1) / 2 - (queries - 1);
  return bias.narrow(1, first, queries + length - 1).unfold(1, length, 1).flip(1);
}

// q_i K(i - j) + k_j Q(i - j), by ATen's operators: [heads, queries, keys].
at::Tensor relativeScores(const RelativePositions& relative, const at::Tensor& query, const at::Tensor& key) {
  const int64_t heads = key.size(0), queries = query.size(1), keys = key.size(1);
  const at::Tensor rowOf = toDevice(relative.rows, key.device()).to(at::kLong);
  const auto positions = at::TensorOptions().dtype(at::kLong).device(key.device());
  const at::Tensor distances = at::arange(queries, positions).unsqueeze(1) - at::arange(keys, positions);
  const at::Tensor rows = rowOf.take(distances + rowOf.size(0) / 2).expand({heads, queries, keys});
  const auto products = [](const at::Tensor& vectors, const at::Tensor& table) {
    return at::matmul(vectors, table.permute({1, 2, 0}));
  };
  at::Tensor scores = at::zeros({}, key.options());
  if (relative.keys.defined()) scores = scores + products(query, relative.keys).gather(2, rows);
  if (relative.queries.defined())
    scores = scores + products(key, relative.queries).gather(2, rows.transpose(1, 2)).transpose(1, 2);
  return scores;
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const std::optional<at::Tensor>& query, const std::vector<int32_t>& cuSeqlens,
                            const Mask& mask, std::optional<int64_t> window,
                            const std::optional<at::Tensor>& rotaryTable,
                            const std::optional<at::Tensor>& distanceBias,
                            const std::optional<at::Tensor>& relativeKeys,
                            const std::optional<at::Tensor>& relativeQueries,
                            const std::vector<int32_t>& relativeRows) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor table = rotaryTable.value_or(at::Tensor());
    const at::Tensor biases = distanceBias.value_or(at::Tensor());
    const RelativePositions relative{relativeKeys.value_or(at::Tensor()),
                                     relativeQueries.value_or(at::Tensor()), relativeRows};
    const Shape shape(projected, window, table, relative);
    const DistanceBias bias(biases, shape.scale);
    const Items items(cuSeqlens, shape.heads, query.has_value());
    at::Tensor out = at::empty({items.outputs(), shape.heads, shape.headSize}, projected.options());
    at::Tensor logSums = at::empty({shape.heads, items.outputs()}, projected.options().dtype(at::kFloat));
    if (projected.scalar_type() == at::kFloat)
      compute<float>(out, logSums, projected, query, shape, bias, items, mask);
    else
      compute<at::BFloat16>(out, logSums, projected, query, shape, bias, items, mask);
    context->save_for_backward({projected, query.value_or(at::Tensor()), out, logSums, table, biases,
                                relative.keys, relative.queries});
    context->saved_data["relativeRows"] = std::vector<int64_t>(relativeRows.begin(), relativeRows.end());
    context->saved_data["window"] = window;
    context->saved_data["trainsBias"] = biases.defined() && biases.requires_grad();
    context->saved_data["cuSeqlens"] = std::vector<int64_t>(cuSeqlens.begin(), cuSeqlens.end());
    saveMask(context, mask);
    return out.view({items.outputs(), shape.hidden()});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &projected = saved[0], &out = saved[2], &logSums = saved[3];
    const auto query = saved[1].defined() ? std::optional(saved[1]) : std::nullopt;
    const at::Tensor dOut = gradients[0].contiguous();
    const std::vector<int64_t> offsets = context->saved_data["cuSeqlens"].toIntVector();
    const std::vector<int32_t> cuSeqlens(offsets.begin(), offsets.end());
    const Mask mask = savedMask(context);
    const std::vector<int64_t> rows = context->saved_data["relativeRows"].toIntVector();
    const RelativePositions relative{saved[6], saved[7], std::vector<int32_t>(rows.begin(), rows.end())};
    const Shape shape(projected, context->saved_data["window"].toOptional<int64_t>(), saved[4], relative);
    const Items items(cuSeqlens, shape.heads, query.has_value());
    const bool trainsBias = context->saved_data["trainsBias"].toBool();
    const Distances distances{DistanceBias(saved[5], shape.scale),
                              trainsBias ? DistanceSums(shape.heads, cuSeqlens.back()) : DistanceSums()};
    at::Tensor dProjected = at::empty_like(projected), dQuery;
    if (query.has_value()) dQuery = at::empty_like(*query);
    at::Tensor dKeys, dQueries;
    if (relative.keys.defined()) dKeys = at::empty_like(relative.keys);
    if (relative.queries.defined()) dQueries = at::empty_like(relative.queries);
    RelativeSums sums;
    if (projected.scalar_type() == at::kFloat) {
      computeBackward<float>(dProjected, dQuery, sums, projected, query, out, logSums, dOut, shape, distances,
                             items, mask);
      sums.store<float>(dKeys, dQueries, shape.scale);
    } else {
      computeBackward<at::BFloat16>(dProjected, dQuery, sums, projected, query, out, logSums, dOut, shape,
                                    distances, items, mask);
      sums.store<at::BFloat16>(dKeys, dQueries, shape.scale);
    }
    const at::Tensor dBias = trainsBias ? distances.sums.total(items, saved[5].size(1)) : at::Tensor();
    const at::Tensor none;
    return {dProjected, dQuery, none, none, none, none, dBias, dKeys, dQueries, none};
  }

 private:
  template <typename T>
  static Parts<const T> partsOf(const at::Tensor& projected, const std::optional<at::Tensor>& query) {
    return {projected.const_data_ptr<T>(), query.has_value() ? query->const_data_ptr<T>() : nullptr};
  }

  template <typename T>
  static void compute(at::Tensor& out, at::Tensor& logSums, const at::Tensor& projected,
                      const std::optional<at::Tensor>& query, const Shape& shape, const DistanceBias& bias,
                      const Items& items, const Mask& mask) {
    const Parts<const T> parts = partsOf<T>(projected, query);
    T* target = out.mutable_data_ptr<T>();
    auto* sums = logSums.mutable_data_ptr<float>();
    forEachItem<ForwardScratch<T>>(
        items, shape,
        [&](const Item& item, ForwardScratch<T>& scratch) {
          forwardItem<T>(shape.headOf(parts, item), shape, bias, item, mask, scratch, target,
                         sums + item.head * items.outputs() + item.firstOutput);
        },
        [](const ForwardScratch<T>&) {});
  }

  template <typename T>
  static void computeBackward(at::Tensor& dProjected, at::Tensor& dQuery, RelativeSums& relativeSums,
                              const at::Tensor& projected, const std::optional<at::Tensor>& query,
                              const at::Tensor& out, const at::Tensor& logSums, const at::Tensor& dOut,
                              const Shape& shape, const Distances& distances, const Items& items,
                              const Mask& mask) {
    const Parts<const T> parts = partsOf<T>(projected, query);
    const Parts<T> targets{dProjected.mutable_data_ptr<T>(),
                           dQuery.defined() ? dQuery.mutable_data_ptr<T>() : nullptr};
    const T *result = out.const_data_ptr<T>(), *gradient = dOut.const_data_ptr<T>();
    const auto* sums = logSums.const_data_ptr<float>();
    forEachItem<BackwardScratch<T>>(
        items, shape,
        [&](const Item& item, BackwardScratch<T>& scratch) {
          BackwardItem<T>(shape.headOf(parts, item), result,
                          sums + item.head * items.outputs() + item.firstOutput, gradient, shape, distances,
                          item, mask, scratch, shape.headOf(targets, item), relativeSums)
              .run();
        },
        [&](BackwardScratch<T>& scratch) { scratch.relative.finish(relativeSums); });
  }
};

}  // namespace

at::Tensor attention(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                     const at::Tensor& offsets, const Mask& mask) {
  const at::ScalarType type = input.projected.scalar_type();
  // The memory-efficient kernels have no window to both sides, and FlashAttention counts that of a single
  // query from the last key.
  const bool hasWindow = !input.window.has_value() || (type == at::kBFloat16 && !input.isFirstOnly());
  const bool isRelative = input.relative.parts() > 0;
  if (input.projected.is_cuda() && hasWindow && !input.distanceBias.defined() && !isRelative &&
      hasCudaAttention(type, input.headSize(), cudaCapability().value_or(std::pair(0, 0))))
    return attentionCuda(rotatedOnDevice(input, cuSeqlens), cuSeqlens, offsets, mask);
  // Of bfloat16 brgemm takes pairs.
  const bool hasPairs = type == at::kFloat || input.headSize() % 2 == 0;
  // The relative terms run over all keys, as they are.
  const bool isMixed = isRelative && (input.window.has_value() || input.rotaryTable.defined());
  if (!input.projected.is_cpu() || !hasPairs || !hasBrgemm(type) || isMixed)
    return attentionReference(input, cuSeqlens, mask);
  return Attention::apply(input.projected.contiguous(), optionalContiguous(input.query), cuSeqlens, mask,
                          input.window, optionalContiguous(input.rotaryTable),
                          optionalContiguous(input.distanceBias), optionalContiguous(input.relative.keys),
                          optionalContiguous(input.relative.queries), input.relative.rows);
}

at::Tensor rotaryTable(double theta, int64_t headSize, int64_t positions, at::Device device) {
  // In float32 step by step, as in transformers: with long texts the rounding of the angles is what counts.
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const at::Tensor exponents = at::arange(0, headSize, 2, options) / static_cast<double>(headSize);
  const at::Tensor frequencies = at::scalar_tensor(theta, options).pow(exponents).reciprocal();
  const at::Tensor angles = at::arange(positions, options).unsqueeze(1) * frequencies;
  return at::stack({angles.cos(), angles.sin()});
}

at::Tensor distanceBuckets(int64_t buckets, int64_t maxDistance, int64_t longest, at::Device device) {
  const int64_t ofSide = buckets / 2, exact = ofSide / 2;
  const at::Tensor distances = at::arange(1 - longest, longest, at::TensorOptions(at::kLong).device(device));
  const at::Tensor far = distances.abs();
  const double range = std::log(static_cast<double>(maxDistance) / static_cast<double>(exact));
  const at::Tensor logarithms = (far.clamp_min(exact).to(at::kFloat) / static_cast<double>(exact)).log();
  const at::Tensor steps = logarithms / range * static_cast<double>(ofSide - exact);
  const at::Tensor large = (steps.to(at::kLong) + exact).clamp_max(ofSide - 1);
  return at::where(far < exact, far, large) + (distances > 0).to(at::kLong) * ofSide;
}

at::Tensor attentionReference(const AttentionInput& given, const std::vector<int32_t>& cuSeqlens,
                              const Mask& mask) {
  const AttentionInput input = rotated(given, cuSeqlens);
  const int64_t heads = input.heads(), headSize = input.headSize();
  const int64_t parts = input.projected.size(1);
  const auto batchIndices = at::TensorOptions().dtype(at::kLong).device(input.projected.device());
  std::vector<at::Tensor> outputs;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const int64_t start = cuSeqlens[i - 1], length = cuSeqlens[i] - start;
    const int64_t queries = input.isFirstOnly() ? 1 : length;
    const at::Tensor sequence =
        input.projected.narrow(0, start, length).permute({1, 2, 0, 3});  // [parts, heads, length, head size]
    const at::Tensor query = input.isFirstOnly()
                                 ? input.query.narrow(0, static_cast<int64_t>(i) - 1, 1).transpose(0, 1)
                                 : sequence[0];
    const at::Tensor key = sequence[parts - 2];
    at::Tensor scores = at::matmul(query, key.transpose(1, 2));
    if (input.relative.parts() > 0) scores = scores + relativeScores(input.relative, query, key);
    scores = scores / std::sqrt(static_cast<double>(headSize * (1 + input.relative.parts())));
    if (input.distanceBias.defined())
      scores = (scores + distanceScores(input.distanceBias, queries, length)).to(scores.scalar_type());
    if (input.window.has_value()) {
      const at::Tensor positions = at::arange(length, batchIndices);
      const at::Tensor distances = (positions.narrow(0, 0, queries).unsqueeze(1) - positions).abs();
      scores = scores.masked_fill(distances > *input.window, -std::numeric_limits<double>::infinity());
    }
    at::Tensor probabilities = at::softmax(scores, -1);
    if (!mask.dropsNothing()) {
      const at::Tensor kept =
          maskTensor(mask.from(start * heads), queries * heads, length, input.projected.device());
      probabilities = probabilities *
                      kept.view({queries, heads, length}).transpose(0, 1).to(input.projected.scalar_type());
    }
    outputs.push_back(at::matmul(probabilities, sequence[parts - 1])
                          .permute({1, 0, 2})
                          .reshape({queries, heads * headSize}));
  }
  return at::cat(outputs);
}

}  // namespace bertune
