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
#include "ops/padding.h"
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
constexpr int64_t kLengthStep = 8;            // rows of a bias begin at multiples of 16 bytes

// [..., rows, heads, head size] each, of any strides but the last.
struct Inputs {
  at::Tensor query, key, value;

  Inputs narrow(int64_t first, int64_t count) const {
    return {query.narrow(0, first, count), key.narrow(0, first, count), value.narrow(0, first, count)};
  }
};

// How the sequences of a call lie: behind one another, or side by side with a bias that hides what they are
// padded with.
struct Sequences {
  int64_t longestQuery, longestKey;
  std::optional<at::Tensor> queryOffsets = {}, keyOffsets = {};  // int32 [sequences + 1]
  std::optional<at::Tensor> bias = {};
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

// [tokens or sequences, heads, head size] is what FlashAttention takes.
Outputs flash(const Inputs& in, const Sequences& sequences, const Settings& settings) {
  auto [out, logSums, state, unused, debugMask] = at::_flash_attention_forward(
      in.query, in.key, in.value, sequences.queryOffsets, sequences.keyOffsets, sequences.longestQuery,
      sequences.longestKey, settings.probability, /*is_causal=*/false, /*return_debug_mask=*/false,
      settings.scale, settings.window, settings.window);
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

Inputs flashBackward(const at::Tensor& dOut, const Inputs& in, const Outputs& outputs,
                     const Sequences& sequences, const Settings& settings) {
  const Deterministic guard;
  auto [dQuery, dKey, dValue] = at::_flash_attention_backward(
      dOut, in.query, in.key, in.value, outputs.out, outputs.logSums, *sequences.queryOffsets,
      *sequences.keyOffsets, sequences.longestQuery, sequences.longestKey, settings.probability,
      /*is_causal=*/false, outputs.random, outputs.randomToo, settings.scale, settings.window,
      settings.window);
  return {dQuery, dKey, dValue};
}

// [batch, rows, heads, head size] is what the memory-efficient kernels take.
Outputs efficient(const Inputs& in, const Sequences& sequences, const Settings& settings) {
  auto [out, logSums, seed, offset, longestQuery, longestKey] = at::_efficient_attention_forward(
      in.query, in.key, in.value, sequences.bias, sequences.queryOffsets, sequences.keyOffsets,
      sequences.longestQuery, sequences.longestKey, settings.probability, kNoCausalMask,
      /*compute_log_sumexp=*/true, settings.scale);
  return {out, logSums, seed, offset};
}

Inputs efficientBackward(const at::Tensor& dOut, const Inputs& in, const Outputs& outputs,
                         const Sequences& sequences, const Settings& settings) {
  auto [dQuery, dKey, dValue, dBias] = at::_efficient_attention_backward(
      dOut, in.query, in.key, in.value, sequences.bias, outputs.out, sequences.queryOffsets,
      sequences.keyOffsets, sequences.longestQuery, sequences.longestKey, outputs.logSums,
      settings.probability, outputs.random, outputs.randomToo, kNoCausalMask, /*bias_requires_grad=*/false,
      settings.scale,
      /*num_splits_key=*/1);  // more of them would add up in any order
  return {dQuery, dKey, dValue};
}

bool usesFlash(at::ScalarType type) { return type == at::kBFloat16; }

at::Tensor withWholeHeads(const at::Tensor& heads) {
  const int64_t size = heads.size(-1), missing = (kHeadStep - size % kHeadStep) % kHeadStep;
  return missing == 0 ? heads : at::constant_pad_nd(heads, {0, missing});
}

// The scale is that of the head's own size: what heads are filled up with adds nothing to the scores.
Settings settingsOf(const at::Tensor& projected, const Mask& mask, std::optional<int64_t> window = {}) {
  return {mask.probability(), 1.0 / std::sqrt(static_cast<double>(projected.size(3))), window};
}

// The gradients of what `inputs` took: of `projected`, and of `query` where it is apart.
std::pair<at::Tensor, at::Tensor> gradientsOf(const Inputs& d, bool isFirstOnly, int64_t headSize) {
  variable_list parts{d.key, d.value};
  if (!isFirstOnly) parts.insert(parts.begin(), d.query);
  return {joinedParts(parts, headSize), isFirstOnly ? d.query.narrow(2, 0, headSize) : at::Tensor()};
}

std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// The sequences of a batch behind one another, in one call.
struct AttentionPacked : torch::autograd::Function<AttentionPacked> {
  // `longest`: a number of tokens that no sequence exceeds. The kernels lay out their work by it, and what is
  // beyond a sequence's end returns at once.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const std::optional<at::Tensor>& query, const at::Tensor& offsets,
                            const Mask& mask, std::optional<int64_t> window, int64_t longest) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const Inputs in = inputsOf(projected, query);
    const Sequences sequences = sequencesOf(query.has_value(), offsets, longest);
    const Settings settings = settingsOf(projected, mask, window);
    std::unique_lock<std::mutex> lock;
    if (!mask.dropsNothing()) lock = seedDefaultGenerator(mask, projected.device());
    const Outputs outputs = usesFlash(projected.scalar_type()) ? flash(in, sequences, settings)
                                                               : efficient(in, sequences, settings);
    context->save_for_backward({projected, query.value_or(at::Tensor()), offsets, outputs.out,
                                outputs.logSums, outputs.random, outputs.randomToo});
    context->saved_data["window"] = window;
    context->saved_data["longest"] = longest;
    saveMask(context, mask);
    return outputs.out.narrow(-1, 0, projected.size(3)).reshape({-1, projected.size(2) * projected.size(3)});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& projected = saved[0];
    const auto query = optional(saved[1]);
    const Inputs in = inputsOf(projected, query);
    const Outputs outputs{saved[3], saved[4], saved[5], saved[6]};
    const Sequences sequences =
        sequencesOf(query.has_value(), saved[2], context->saved_data["longest"].toInt());
    const Settings settings =
        settingsOf(projected, savedMask(context), context->saved_data["window"].toOptional<int64_t>());
    const at::Tensor dOut = withWholeHeads(gradients[0].reshape({-1, projected.size(2), projected.size(3)}))
                                .contiguous()
                                .view(outputs.out.sizes());
    Inputs d = usesFlash(projected.scalar_type()) ? flashBackward(dOut, in, outputs, sequences, settings)
                                                  : efficientBackward(dOut, in, outputs, sequences, settings);
    if (!usesFlash(projected.scalar_type())) d = {d.query.squeeze(0), d.key.squeeze(0), d.value.squeeze(0)};
    const auto [dProjected, dQuery] = gradientsOf(d, query.has_value(), projected.size(3));
    return {dProjected, dQuery, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static Inputs inputsOf(const at::Tensor& projected, const std::optional<at::Tensor>& query) {
    variable_list parts = withWholeHeads(projected).unbind(1);
    if (query.has_value()) parts.insert(parts.begin(), withWholeHeads(*query));
    if (!usesFlash(projected.scalar_type()))
      for (at::Tensor& part : parts) part = part.unsqueeze(0);
    return {parts[0], parts[1], parts[2]};
  }

  static Sequences sequencesOf(bool isFirstOnly, const at::Tensor& offsets, int64_t longest) {
    if (!isFirstOnly) return {longest, longest, offsets, offsets};
    return {1, longest, at::arange(offsets.size(0), offsets.options()), offsets};
  }
};

// The memory-efficient kernels with dropout: given offsets, LibTorch's forward kernel takes the number of
// keys for 0 when it looks up where a sequence's and a head's random numbers begin, and its backward kernel
// does not (pytorch issue 115590): masks would be the same for all heads, and gradients wrong. So the
// sequences are padded, side by side, as in transformers.
struct AttentionPadded : torch::autograd::Function<AttentionPadded> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const std::optional<at::Tensor>& query, const at::Tensor& offsets,
                            const Mask& mask, int64_t longest, int64_t mostScores) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const int64_t heads = projected.size(2), headSize = projected.size(3);
    const int64_t length = (longest + kLengthStep - 1) / kLengthStep * kLengthStep;
    const Padding padding = Padding::of(offsets, projected.size(0), length);
    const Calls calls(projected, query, padding, mostScores);
    const Settings settings = settingsOf(projected, mask);
    variable_list saved{
        projected, query.value_or(at::Tensor()), padding.tokens, padding.places, padding.beyond, {}},
        outs;
    for (int64_t first = 0; first < padding.sequences(); first += calls.most()) {
      const auto lock = seedDefaultGenerator(mask.from(first * length * heads), projected.device());
      const Outputs outputs = efficient(calls.inputs(first), calls.sequences(first), settings);
      outs.push_back(outputs.out);
      saved.insert(saved.end(), {outputs.logSums, outputs.random, outputs.randomToo});
    }
    const at::Tensor padded = joined(outs),
                     out = (query.has_value() ? padded.squeeze(1) : padding.pack(padded))
                               .narrow(2, 0, headSize)
                               .contiguous();
    saved[5] = out;
    context->save_for_backward(saved);
    context->saved_data["mostScores"] = mostScores;
    saveMask(context, mask);
    return out.view({-1, heads * headSize});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &projected = saved[0], &packedOut = saved[5];
    const auto query = optional(saved[1]);
    const Padding padding{saved[2], saved[3], saved[4]};
    const Calls calls(projected, query, padding, context->saved_data["mostScores"].toInt());
    const Settings settings = settingsOf(projected, savedMask(context));
    // Of a place behind a sequence's end nothing came out, whatever is computed there.
    const at::Tensor dRows = withWholeHeads(gradients[0].reshape(packedOut.sizes())),
                     rows = withWholeHeads(packedOut),
                     dOut = query.has_value() ? dRows.unsqueeze(1) : padding.padWithZeros(dRows),
                     out = query.has_value() ? rows.unsqueeze(1) : padding.pad(rows);
    variable_list dQueries, dKeys, dValues;
    auto next = saved.begin() + 6;
    for (int64_t first = 0; first < padding.sequences(); first += calls.most(), next += 3) {
      const int64_t count = calls.count(first);
      const Outputs outputs{out.narrow(0, first, count), next[0], next[1], next[2]};
      const Inputs d = efficientBackward(dOut.narrow(0, first, count).contiguous(), calls.inputs(first),
                                         outputs, calls.sequences(first), settings);
      dQueries.push_back(d.query);
      dKeys.push_back(d.key);
      dValues.push_back(d.value);
    }
    const at::Tensor dQuery = joined(dQueries);
    const Inputs d{query.has_value() ? dQuery.squeeze(1) : padding.pack(dQuery), padding.pack(joined(dKeys)),
                   padding.pack(joined(dValues))};
    const auto [dProjected, dFirst] = gradientsOf(d, query.has_value(), projected.size(3));
    return {dProjected, dFirst, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  class Calls {
   public:
    Calls(const at::Tensor& projected, const std::optional<at::Tensor>& query, const Padding& padding,
          int64_t mostScores)
        : padding_(padding), queries_(query.has_value() ? 1 : padding.length()) {
      variable_list parts = padding.pad(withWholeHeads(projected)).unbind(2);
      if (query.has_value()) parts.insert(parts.begin(), withWholeHeads(*query).unsqueeze(1));
      all_ = {parts[0], parts[1], parts[2]};
      bias_ = padding.bias(projected.size(2), queries_);
      most_ = std::max<int64_t>(1, mostScores / (projected.size(2) * queries_ * padding.length()));
    }

    int64_t most() const { return most_; }  // sequences of a call
    int64_t count(int64_t first) const { return std::min(most_, padding_.sequences() - first); }
    Inputs inputs(int64_t first) const { return all_.narrow(first, count(first)); }
    Sequences sequences(int64_t first) const {
      return {queries_, padding_.length(), {}, {}, bias_.narrow(0, first, count(first))};
    }

   private:
    const Padding& padding_;
    int64_t queries_, most_;
    Inputs all_;
    at::Tensor bias_;
  };

  static at::Tensor joined(const variable_list& parts) {
    return parts.size() == 1 ? parts[0] : at::cat(parts);
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
                         const at::Tensor& offsets, const Mask& mask, int64_t mostScores) {
  int64_t longest = input.longest;
  for (size_t i = 1; i < cuSeqlens.size(); ++i)
    longest = std::max<int64_t>(longest, cuSeqlens[i] - cuSeqlens[i - 1]);
  const auto query = optional(input.query);
  if (!mask.dropsNothing() && !usesFlash(input.projected.scalar_type()))
    return AttentionPadded::apply(input.projected, query, offsets, mask, longest, mostScores);
  return AttentionPacked::apply(input.projected, query, offsets, mask, input.window, longest);
}

}  // namespace bertune
