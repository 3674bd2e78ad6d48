#include "tests/cuda_stand_in.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/random.h"

namespace bertune::standin {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

constexpr int64_t kLogSumStep = 32;  // rows of the memory-efficient kernels' log-sums come in such blocks

// One call: float64 copies of [rows, heads, head size], and where sequences begin.
struct Call {
  Tensor query, key, value;
  std::vector<int64_t> queryOffsets, keyOffsets;
  double probability, scale;
  std::optional<int64_t> window;  // to both sides
  Tensor bias = {};               // float64 [sequences, heads, queries, keys]

  int64_t sequences() const { return static_cast<int64_t>(queryOffsets.size()) - 1; }
  int64_t heads() const { return query.size(1); }
};

// [heads, rows, head size] of one sequence.
Tensor rowsOf(const Tensor& all, const std::vector<int64_t>& offsets, int64_t sequence) {
  return all.narrow(0, offsets[sequence], offsets[sequence + 1] - offsets[sequence]).transpose(0, 1);
}

Tensor scores(const Call& call, int64_t sequence) {
  const Tensor all = call.scale * at::matmul(rowsOf(call.query, call.queryOffsets, sequence),
                                             rowsOf(call.key, call.keyOffsets, sequence).transpose(1, 2));
  if (call.bias.defined()) return all + call.bias[sequence];
  if (!call.window.has_value()) return all;
  TORCH_CHECK(all.size(1) == all.size(2), "the window of fewer queries than keys begins elsewhere");
  const Tensor positions = at::arange(all.size(1));
  const Tensor isFar = (positions.unsqueeze(1) - positions).abs() > *call.window;
  return all.masked_fill(isFar, -std::numeric_limits<double>::infinity());
}

Tensor masks(const Call& call, uint64_t state, int64_t sequence, const Tensor& like) {
  if (call.probability == 0) return at::ones_like(like);
  std::vector<Tensor> heads;
  for (int64_t head = 0; head < call.heads(); ++head)
    heads.push_back(
        mask(state, sequence * call.heads() + head, like.size(1), like.size(2), call.probability));
  return at::stack(heads);
}

uint64_t drawState(double probability) {
  if (probability == 0) return 0;
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  return at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
}

// Outputs [rows, heads, head size], and the log-sums of each sequence [heads, queries].
std::pair<Tensor, std::vector<Tensor>> forward(const Call& call, uint64_t state) {
  std::vector<Tensor> outs, logSums;
  for (int64_t i = 0; i < call.sequences(); ++i) {
    const Tensor s = scores(call, i);
    logSums.push_back(at::logsumexp(s, 2));
    const Tensor dropped = at::softmax(s, -1) * masks(call, state, i, s);
    outs.push_back(at::matmul(dropped, rowsOf(call.value, call.keyOffsets, i)).transpose(0, 1));
  }
  return {at::cat(outs), logSums};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Call& call, uint64_t state, const Tensor& out,
                                            const Tensor& dOut, const std::vector<Tensor>& logSums) {
  std::vector<Tensor> dQuery, dKey, dValue;
  for (int64_t i = 0; i < call.sequences(); ++i) {
    const Tensor s = scores(call, i), p = at::exp(s - logSums[i].unsqueeze(2)),
                 kept = masks(call, state, i, s);
    const Tensor d = rowsOf(dOut, call.queryOffsets, i);
    const Tensor sums = (d * rowsOf(out, call.queryOffsets, i)).sum(2, true);
    const Tensor dP = kept * at::matmul(d, rowsOf(call.value, call.keyOffsets, i).transpose(1, 2));
    const Tensor dScores = call.scale * p * (dP - sums);
    dQuery.push_back(at::matmul(dScores, rowsOf(call.key, call.keyOffsets, i)).transpose(0, 1));
    dKey.push_back(
        at::matmul(dScores.transpose(1, 2), rowsOf(call.query, call.queryOffsets, i)).transpose(0, 1));
    dValue.push_back(at::matmul((kept * p).transpose(1, 2), d).transpose(0, 1));
  }
  return {at::cat(dQuery), at::cat(dKey), at::cat(dValue)};
}

std::vector<int64_t> offsetsOf(const Tensor& offsets, int64_t rows, int64_t longest) {
  TORCH_CHECK(offsets.scalar_type() == at::kInt && offsets.dim() == 1 && offsets.is_contiguous());
  const auto* values = offsets.const_data_ptr<int32_t>();
  std::vector<int64_t> result(values, values + offsets.numel());
  TORCH_CHECK(result.size() >= 2 && result.front() == 0 && result.back() == rows);
  int64_t found = 0;
  for (size_t i = 1; i < result.size(); ++i) found = std::max(found, result[i] - result[i - 1]);
  // A bucket says how long sequences may be.
  TORCH_CHECK(found <= longest, "the longest sequence has ", found, " rows, more than ", longest);
  return result;
}

// What both kernels ask of [rows, heads, head size].
void check(const Tensor& query, const Tensor& key, const Tensor& value, at::ScalarType type) {
  for (const Tensor& x : {query, key, value}) {
    TORCH_CHECK(x.scalar_type() == type && x.stride(-1) == 1);
    TORCH_CHECK(x.size(-1) % 8 == 0 && x.size(-1) <= 256, "head size ", x.size(-1));
    for (int64_t i = 0; i + 1 < x.dim(); ++i) TORCH_CHECK(x.stride(i) % 8 == 0, "rows that are not aligned");
  }
  TORCH_CHECK(key.sizes() == value.sizes() && query.size(-2) == key.size(-2));
}

Call flashCall(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& queryOffsets,
               const Tensor& keyOffsets, int64_t longestQuery, int64_t longestKey, double probability,
               double scale, const std::optional<c10::SymInt>& left,
               const std::optional<c10::SymInt>& right) {
  check(query, key, value, at::kBFloat16);
  TORCH_CHECK(left == right);
  return {query.to(at::kDouble),
          key.to(at::kDouble),
          value.to(at::kDouble),
          offsetsOf(queryOffsets, query.size(0), longestQuery),
          offsetsOf(keyOffsets, key.size(0), longestKey),
          probability,
          scale,
          left.has_value() ? std::optional(left->expect_int()) : std::nullopt};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> flashForward(
    const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& queryOffsets,
    const OptionalTensor& keyOffsets, const c10::SymInt& longestQuery, const c10::SymInt& longestKey,
    double probability, bool causal, bool debugMask, std::optional<double> scale,
    const std::optional<c10::SymInt>& left, const std::optional<c10::SymInt>& right, const auto&...) {
  TORCH_CHECK(!causal && !debugMask);
  const Call call =
      flashCall(query, key, value, queryOffsets.value(), keyOffsets.value(), longestQuery.expect_int(),
                longestKey.expect_int(), probability, scale.value(), left, right);
  const uint64_t state = drawState(probability);
  const auto [out, logSums] = forward(call, state);
  const Tensor random = at::tensor({static_cast<int64_t>(state), int64_t{0}}).view(at::kUInt64);
  return {out.to(at::kBFloat16).contiguous(), at::cat(logSums, 1).to(at::kFloat), random,
          at::empty({}, at::kUInt64), at::empty({0}, query.options())};
}

std::tuple<Tensor, Tensor, Tensor> flashBackward(
    const Tensor& dOut, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
    const Tensor& logSums, const Tensor& queryOffsets, const Tensor& keyOffsets,
    const c10::SymInt& longestQuery, const c10::SymInt& longestKey, double probability, bool causal,
    const Tensor& random, const Tensor&, std::optional<double> scale, const std::optional<c10::SymInt>& left,
    const std::optional<c10::SymInt>& right, const auto&...) {
  TORCH_CHECK(!causal && at::globalContext().deterministicAlgorithms(), "dQ adds up in any order");
  TORCH_CHECK(!at::globalContext().deterministicFillUninitializedMemory());
  const Call call = flashCall(query, key, value, queryOffsets, keyOffsets, longestQuery.expect_int(),
                              longestKey.expect_int(), probability, scale.value(), left, right);
  TORCH_CHECK(dOut.is_contiguous() && dOut.scalar_type() == at::kBFloat16 && dOut.sizes() == query.sizes());
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < call.sequences(); ++i)
    parts.push_back(logSums.to(at::kDouble)
                        .narrow(1, call.queryOffsets[i], call.queryOffsets[i + 1] - call.queryOffsets[i]));
  const auto state = probability == 0 ? 0 : *random.const_data_ptr<uint64_t>();
  auto [dQuery, dKey, dValue] = backward(call, state, out.to(at::kDouble), dOut.to(at::kDouble), parts);
  return {dQuery.to(at::kBFloat16), dKey.to(at::kBFloat16), dValue.to(at::kBFloat16)};
}

void checkBias(const Tensor& bias, const Tensor& query, const Tensor& key) {
  TORCH_CHECK(bias.scalar_type() == at::kFloat && bias.stride(-1) == 1);
  const std::vector<int64_t> sizes{query.size(0), query.size(2), query.size(1), key.size(1)};
  TORCH_CHECK(bias.sizes().equals(sizes), "a bias of ", bias.sizes());
  for (int64_t i = 0; i < 3; ++i)
    TORCH_CHECK(bias.stride(i) % 4 == 0, "rows of the bias that are not aligned");
}

// Several sequences are a batch, or have offsets.
Call efficientCall(const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& bias,
                   const OptionalTensor& queryOffsets, const OptionalTensor& keyOffsets, int64_t longestQuery,
                   int64_t longestKey, double probability, int64_t maskType, double scale) {
  TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && query.size(0) == key.size(0));
  check(query, key, value, at::kFloat);
  TORCH_CHECK(maskType == 0 && queryOffsets.has_value() == keyOffsets.has_value());
  TORCH_CHECK(!queryOffsets.has_value() || query.size(0) == 1);
  TORCH_CHECK(!queryOffsets.has_value() || probability == 0, "pytorch issue 115590");
  TORCH_CHECK(!queryOffsets.has_value() || !bias.has_value());
  if (bias.has_value()) checkBias(*bias, query, key);
  const int64_t scores = query.size(0) * query.size(2) * query.size(1) * key.size(1);
  TORCH_CHECK(probability == 0 || scores <= std::numeric_limits<int32_t>::max(), "places of random numbers");
  const auto offsets = [](const OptionalTensor& given, const Tensor& x, int64_t longest) {
    if (given.has_value()) return offsetsOf(*given, x.size(1), longest);
    std::vector<int64_t> result;
    for (int64_t i = 0; i <= x.size(0); ++i) result.push_back(i * x.size(1));
    return result;
  };
  const auto rows = [](const Tensor& x) { return x.to(at::kDouble).flatten(0, 1); };
  return {rows(query),
          rows(key),
          rows(value),
          offsets(queryOffsets, query, longestQuery),
          offsets(keyOffsets, key, longestKey),
          probability,
          scale,
          /*window=*/std::nullopt,
          bias.has_value() ? bias->to(at::kDouble) : Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt> efficientForward(
    const Tensor& query, const Tensor& key, const Tensor& value, const OptionalTensor& bias,
    const OptionalTensor& queryOffsets, const OptionalTensor& keyOffsets,
    const std::optional<c10::SymInt>& longestQuery, const std::optional<c10::SymInt>& longestKey,
    double probability, int64_t maskType, bool wantsLogSums, std::optional<double> scale, const auto&...) {
  TORCH_CHECK(wantsLogSums);
  const Call call =
      efficientCall(query, key, value, bias, queryOffsets, keyOffsets, longestQuery.value().expect_int(),
                    longestKey.value().expect_int(), probability, maskType, scale.value());
  const uint64_t state = drawState(probability);
  const auto [out, parts] = forward(call, state);
  const int64_t rows = (longestQuery->expect_int() + kLogSumStep - 1) / kLogSumStep * kLogSumStep;
  const Tensor logSums = at::empty({call.sequences(), call.heads(), rows}, at::kFloat);
  for (int64_t i = 0; i < call.sequences(); ++i) logSums[i].narrow(1, 0, parts[i].size(1)).copy_(parts[i]);
  return {out.to(at::kFloat).contiguous().view(query.sizes()),
          logSums,
          at::scalar_tensor(static_cast<int64_t>(state), at::kLong),
          at::scalar_tensor(0, at::kLong),
          *longestQuery,
          *longestKey};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> efficientBackward(
    const Tensor& dOut, const Tensor& query, const Tensor& key, const Tensor& value,
    const OptionalTensor& bias, const Tensor& out, const OptionalTensor& queryOffsets,
    const OptionalTensor& keyOffsets, const c10::SymInt& longestQuery, const c10::SymInt& longestKey,
    const Tensor& logSums, double probability, const Tensor& seed, const Tensor&, int64_t maskType,
    bool biasRequiresGrad, std::optional<double> scale, std::optional<int64_t> keySplits, const auto&...) {
  TORCH_CHECK(!biasRequiresGrad && keySplits == 1, "the gradients of keys add up in any order");
  TORCH_CHECK(dOut.is_contiguous() && dOut.sizes() == query.sizes() && out.sizes() == query.sizes());
  const Call call =
      efficientCall(query, key, value, bias, queryOffsets, keyOffsets, longestQuery.expect_int(),
                    longestKey.expect_int(), probability, maskType, scale.value());
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < call.sequences(); ++i)
    parts.push_back(logSums[i].narrow(1, 0, call.queryOffsets[i + 1] - call.queryOffsets[i]).to(at::kDouble));
  const auto state = static_cast<uint64_t>(seed.item<int64_t>());
  const auto rows = [](const Tensor& x) { return x.to(at::kDouble).flatten(0, 1); };
  auto [dQuery, dKey, dValue] = backward(call, state, rows(out), rows(dOut), parts);
  return {dQuery.to(at::kFloat).view(query.sizes()), dKey.to(at::kFloat).view(key.sizes()),
          dValue.to(at::kFloat).view(value.sizes()), Tensor()};
}

// A kernel with an operator's own signature, whose last parameters differ from one LibTorch to the next.
template <typename Operator, typename Schema = typename Operator::schema>
struct Kernel;
template <typename Operator, typename Result, typename... Arguments>
struct Kernel<Operator, Result(Arguments...)> {
  static Result run(Arguments... arguments) {
    if constexpr (std::is_same_v<Operator, at::_ops::_flash_attention_forward>)
      return flashForward(arguments...);
    else if constexpr (std::is_same_v<Operator, at::_ops::_flash_attention_backward>)
      return flashBackward(arguments...);
    else if constexpr (std::is_same_v<Operator, at::_ops::_efficient_attention_forward>)
      return efficientForward(arguments...);
    else
      return efficientBackward(arguments...);
  }
};

TORCH_LIBRARY_IMPL(aten, CPU, library) {
  library.impl("_flash_attention_forward", Kernel<at::_ops::_flash_attention_forward>::run);
  library.impl("_flash_attention_backward", Kernel<at::_ops::_flash_attention_backward>::run);
  library.impl("_efficient_attention_forward", Kernel<at::_ops::_efficient_attention_forward>::run);
  library.impl("_efficient_attention_backward", Kernel<at::_ops::_efficient_attention_backward>::run);
}

}  // namespace

at::Tensor mask(uint64_t state, int64_t number, int64_t queries, int64_t keys, double probability) {
  auto generator = at::detail::createCPUGenerator(mix64(state ^ mix64(static_cast<uint64_t>(number) + 1)));
  return at::empty({queries, keys}, at::kDouble).bernoulli_(1 - probability, generator) / (1 - probability);
}

}  // namespace bertune::standin
