#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "core/device.h"
#include "ops/attention.h"
#include "ops/dropout.h"
#include "ops/projection.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kHeadStep = 8;  // head sizes are multiples of it: elements are loaded 16 bytes at a time
constexpr int64_t kLargestHead = 256;         // of FlashAttention 2
constexpr int64_t kLargestSmallHead = 192;    // its backward pass on GPUs with little shared memory
constexpr std::pair<int, int> kAmpere{8, 0};  // the first with FlashAttention 2 and bfloat16 arithmetic
constexpr int64_t kNoCausalMask = 0;          // sdp::CustomMaskType::NoCustomMask

// Rows of one call: all sequences of the batch with their offsets, or a single one.
struct Rows {
  int64_t firstQuery, queries;
  int64_t firstKey, keys;
  int64_t longestQuery, longestKey;                    // of a sequence
  std::optional<at::Tensor> queryOffsets, keyOffsets;  // int32 [sequences + 1]; none for a single sequence
};

// [rows, heads, head size] each. `query` and `key` may be strided; `value` too.
struct Inputs {
  at::Tensor query, key, value;

  Inputs of(const Rows& rows) const {
    return {query.narrow(0, rows.firstQuery, rows.queries), key.narrow(0, rows.firstKey, rows.keys),
            value.narrow(0, rows.firstKey, rows.keys)};
  }
};

struct Settings {
  double probability;             // of dropping
  double scale;                   // of the scores
  std::optional<int64_t> window;  // to both sides
};

// What a kernel returns and wants back; `random` are two tensors that say where its generator was.
struct Outputs {
  at::Tensor out, logSums, random, randomToo;
};

Outputs flash(const Inputs& in, const Rows& rows, const Settings& settings) {
  auto [out, logSums, state, unused, debugMask] = at::_flash_attention_forward(
      in.query, in.key, in.value, rows.queryOffsets, rows.keyOffsets, rows.longestQuery, rows.longestKey,
      settings.probability, /*is_causal=*/false, /*return_debug_mask=*/false, settings.scale, settings.window,
      settings.window);
  return {out, logSums, state, unused};
}

// FlashAttention's backward pass adds up dQ in any order unless LibTorch's switch for determinism is on. The
// switch belongs to the process, so it is on for this call only, which launches kernels and returns.
class Deterministic {
 public:
  Deterministic() : lock_(switches()) {
    context_.setDeterministicFillUninitializedMemory(false);  // else every new tensor is filled
    context_.setDeterministicAlgorithms(true, /*warn_only=*/false);
  }
  ~Deterministic() {
    context_.setDeterministicAlgorithms(was_, wasWarning_);
    context_.setDeterministicFillUninitializedMemory(wasFilling_);
  }
  Deterministic(const Deterministic&) = delete;
  Deterministic& operator=(const Deterministic&) = delete;

 private:
  static std::mutex& switches() {
    static std::mutex mutex;
    return mutex;
  }

  std::lock_guard<std::mutex> lock_;
  at::Context& context_ = at::globalContext();
  const bool was_ = context_.deterministicAlgorithms(),
             wasWarning_ = context_.deterministicAlgorithmsWarnOnly(),
             wasFilling_ = context_.deterministicFillUninitializedMemory();
};

Inputs flashBackward(const at::Tensor& dOut, const Inputs& in, const Outputs& outputs, const Rows& rows,
                     const Settings& settings) {
  const Deterministic guard;
  auto [dQuery, dKey, dValue] = at::_flash_attention_backward(
      dOut, in.query, in.key, in.value, outputs.out, outputs.logSums, *rows.queryOffsets, *rows.keyOffsets,
      rows.longestQuery, rows.longestKey, settings.probability, /*is_causal=*/false, outputs.random,
      outputs.randomToo, settings.scale, settings.window, settings.window);
  return {dQuery, dKey, dValue};
}

// [1, rows, heads, head size] is what the memory-efficient kernels take.
Outputs efficient(const Inputs& in, const Rows& rows, const Settings& settings) {
  auto [out, logSums, seed, offset, longestQuery, longestKey] = at::_efficient_attention_forward(
      in.query.unsqueeze(0), in.key.unsqueeze(0), in.value.unsqueeze(0), /*bias=*/std::nullopt,
      rows.queryOffsets, rows.keyOffsets, rows.longestQuery, rows.longestKey, settings.probability,
      kNoCausalMask, /*compute_log_sumexp=*/true, settings.scale);
  return {out.squeeze(0), logSums, seed, offset};
}

Inputs efficientBackward(const at::Tensor& dOut, const Inputs& in, const Outputs& outputs, const Rows& rows,
                         const Settings& settings) {
  auto [dQuery, dKey, dValue, dBias] = at::_efficient_attention_backward(
      dOut.unsqueeze(0), in.query.unsqueeze(0), in.key.unsqueeze(0), in.value.unsqueeze(0),
      /*bias=*/std::nullopt, outputs.out.unsqueeze(0), rows.queryOffsets, rows.keyOffsets, rows.longestQuery,
      rows.longestKey, outputs.logSums, settings.probability, outputs.random, outputs.randomToo,
      kNoCausalMask, /*bias_requires_grad=*/false, settings.scale,
      /*num_splits_key=*/1);  // more of them would add up in any order
  return {dQuery.squeeze(0), dKey.squeeze(0), dValue.squeeze(0)};
}

bool usesFlash(at::ScalarType type) { return type == at::kBFloat16; }

// The batch as one call, or as one call a sequence. The latter is for the memory-efficient kernels with
// dropout: given offsets, LibTorch's forward kernel takes the number of keys for 0 when it looks up where a
// sequence's and a head's random numbers begin, and its backward kernel does not (pytorch issue 115590).
// Masks would be the same for all heads, and wrong gradients. It has its good side: masks do not depend on
// the batch.
//
// `longest`: a number of tokens that no sequence exceeds, or 0. The kernels lay out their work by it, and
// what is beyond a sequence's end returns at once.
std::vector<Rows> callsOf(const std::vector<int32_t>& cuSeqlens, const at::Tensor& offsets, bool first,
                          bool oneByOne, int64_t longest) {
  const auto sequences = static_cast<int64_t>(cuSeqlens.size()) - 1;
  std::vector<Rows> calls;
  for (int64_t i = 0; i < sequences; ++i) {
    const int64_t start = cuSeqlens[i], length = cuSeqlens[i + 1] - start, asked = first ? 1 : length;
    longest = std::max(longest, length);
    if (oneByOne)
      calls.push_back({first ? i : start, asked, start, length, asked, length, std::nullopt, std::nullopt});
  }
  if (oneByOne) return calls;
  const int64_t tokens = cuSeqlens.back();
  if (first)
    return {{0, sequences, 0, tokens, 1, longest, at::arange(sequences + 1, offsets.options()), offsets}};
  return {{0, tokens, 0, tokens, longest, longest, offsets, offsets}};
}

at::Tensor joined(const variable_list& parts) { return parts.size() == 1 ? parts[0] : at::cat(parts); }

struct AttentionCuda : torch::autograd::Function<AttentionCuda> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const std::optional<at::Tensor>& query, const at::Tensor& offsets,
                            const std::vector<int32_t>& cuSeqlens, const Mask& mask,
                            std::optional<int64_t> window, int64_t longest) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const Inputs all = inputsOf(projected, query);
    const Settings settings = settingsOf(projected, mask, window);
    variable_list saved{projected, query.value_or(at::Tensor()), offsets}, outs;
    for (const Rows& rows :
         callsOf(cuSeqlens, offsets, query.has_value(), isOneByOne(projected, mask), longest)) {
      const Outputs outputs =
          run(all.of(rows), rows, settings, maskOf(rows, mask, projected), projected.device());
      outs.push_back(outputs.out);
      saved.insert(saved.end(), {outputs.out, outputs.logSums, outputs.random, outputs.randomToo});
    }
    context->save_for_backward(saved);
    context->saved_data["cuSeqlens"] = std::vector<int64_t>(cuSeqlens.begin(), cuSeqlens.end());
    context->saved_data["window"] = window;
    context->saved_data["longest"] = longest;
    saveMask(context, mask);
    return joined(outs).narrow(2, 0, projected.size(3)).reshape({-1, projected.size(2) * projected.size(3)});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &projected = saved[0], &offsets = saved[2];
    const auto query = saved[1].defined() ? std::optional(saved[1]) : std::nullopt;
    const std::vector<int64_t> stored = context->saved_data["cuSeqlens"].toIntVector();
    const std::vector<int32_t> cuSeqlens(stored.begin(), stored.end());
    const Mask mask = savedMask(context);
    const Inputs all = inputsOf(projected, query);
    const Settings settings =
        settingsOf(projected, mask, context->saved_data["window"].toOptional<int64_t>());
    const at::Tensor dOut = padded(gradients[0].reshape({-1, projected.size(2), projected.size(3)}));
    variable_list dQueries, dKeys, dValues;
    auto next = saved.begin() + 3;
    const int64_t longest = context->saved_data["longest"].toInt();
    for (const Rows& rows :
         callsOf(cuSeqlens, offsets, query.has_value(), isOneByOne(projected, mask), longest)) {
      const Outputs outputs{next[0], next[1], next[2], next[3]};
      next += 4;
      const at::Tensor dRows = dOut.narrow(0, rows.firstQuery, rows.queries).contiguous();
      const auto back = usesFlash(projected.scalar_type()) ? flashBackward : efficientBackward;
      const Inputs d = back(dRows, all.of(rows), outputs, rows, settings);
      dQueries.push_back(d.query);
      dKeys.push_back(d.key);
      dValues.push_back(d.value);
    }
    const int64_t headSize = projected.size(3);
    const at::Tensor dQuery = joined(dQueries), dKey = joined(dKeys), dValue = joined(dValues);
    variable_list parts{dKey, dValue};
    if (!query.has_value()) parts.insert(parts.begin(), dQuery);
    return {joinedParts(parts, headSize),
            query.has_value() ? dQuery.narrow(2, 0, headSize) : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }

 private:
  static at::Tensor padded(const at::Tensor& heads) {
    const int64_t size = heads.size(-1), missing = (kHeadStep - size % kHeadStep) % kHeadStep;
    return missing == 0 ? heads : at::constant_pad_nd(heads, {0, missing});
  }

  static Inputs inputsOf(const at::Tensor& projected, const std::optional<at::Tensor>& query) {
    const variable_list parts = padded(projected).unbind(1);
    if (!query.has_value()) return {parts[0], parts[1], parts[2]};
    return {padded(*query), parts[0], parts[1]};
  }

  // Of the head's own size: padding adds nothing to the scores.
  static Settings settingsOf(const at::Tensor& qkv, const Mask& mask, std::optional<int64_t> window) {
    return {mask.probability(), 1.0 / std::sqrt(static_cast<double>(qkv.size(3))), window};
  }

  static bool isOneByOne(const at::Tensor& qkv, const Mask& mask) {
    return !mask.dropsNothing() && !usesFlash(qkv.scalar_type());
  }

  static Mask maskOf(const Rows& rows, const Mask& mask, const at::Tensor& qkv) {
    return mask.from(rows.firstKey * qkv.size(2));
  }

  static Outputs run(const Inputs& in, const Rows& rows, const Settings& settings, const Mask& mask,
                     at::Device device) {
    const auto kernel = usesFlash(in.query.scalar_type()) ? flash : efficient;
    if (mask.dropsNothing()) return kernel(in, rows, settings);
    const auto lock = seedDefaultGenerator(mask, device);
    return kernel(in, rows, settings);
  }
};

}  // namespace

bool hasCudaAttention(at::ScalarType type, int64_t headSize, std::pair<int, int> capability) {
  if (headSize > kLargestHead) return false;
  if (type == at::kFloat) return true;
  if (type != at::kBFloat16 || capability < kAmpere) return false;
  // What a backward pass of larger heads needs of shared memory is more than these have.
  const auto [major, minor] = capability;
  const bool isSmall = (major == 8 && minor > 0) || major == 12;
  return !isSmall || headSize <= kLargestSmallHead;
}

at::Tensor attentionCuda(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                         const at::Tensor& offsets, const Mask& mask) {
  const auto query = input.isFirstOnly() ? std::optional(input.query) : std::nullopt;
  return AttentionCuda::apply(input.projected, query, offsets, cuSeqlens, mask, input.window, input.longest);
}

}  // namespace bertune
