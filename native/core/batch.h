// A packed batch: the tokens of all sequences one after another, no padding.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/spec.h"

namespace bertune {

struct Batch {
  at::Tensor inputIds;      // int64 [tokens]
  at::Tensor positions;     // int64 [tokens], each sequence counted from the encoder's first position
  at::Tensor tokenTypeIds;  // int64 [tokens]
  at::Tensor firstTokens;   // int64 [sequences], the row of each sequence's first token
  at::Tensor offsets;       // cuSeqlens, int32 [sequences + 1]
  at::Tensor labels;        // int64 [rows], or float [rows, outputs or twice as many]; undefined for predict
  at::Tensor labelledRows;  // int64, which rows have a label, where the outputs are a vocabulary
  std::vector<int32_t> cuSeqlens;

  int64_t tokens() const { return cuSeqlens.back(); }
  int64_t longest() const;  // tokens of the longest sequence
  int64_t sequences() const { return static_cast<int64_t>(cuSeqlens.size()) - 1; }
};

// What came from JavaScript, copied but not yet checked. No tokenTypeIds means all zero.
struct RawBatch {
  std::vector<int32_t> inputIds;
  std::vector<int32_t> cuSeqlens;
  std::optional<std::vector<int32_t>> tokenTypeIds;
  std::vector<int32_t> classLabels;
  std::vector<float> valueLabels;
};

// What a batch must keep to, and how it is read.
struct BatchFormat {
  int64_t vocab, tokenTypes;
  std::optional<PositionsSpec> positions;
  int64_t outputs;  // logits of a row
  bool isPerToken;  // a row is a token, else a sequence
  LossKind loss;
  bool isVocabulary = false;  // the outputs are the words of the encoder: logits of labelled rows only
};

BatchFormat batchFormat(const SessionSpec& spec);

// Values of labels, of which a batch has as many or, for distillation with the rows' own labels, twice as
// many.
size_t valuesOf(const RawBatch& raw, const BatchFormat& format);

// Throws std::invalid_argument with one readable line for anything that would read or write out of bounds.
void checkBatch(const RawBatch& raw, const BatchFormat& format, bool needsLabels);

// `raw` must have passed checkBatch.
Batch toTensors(const RawBatch& raw, const BatchFormat& format, at::Device device);

// Batches of whole sequences in their order, each of at most `maxTokens`, or of one sequence that is longer.
std::vector<RawBatch> split(const RawBatch& raw, const BatchFormat& format, int64_t maxTokens);

}  // namespace bertune
