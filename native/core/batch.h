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
  at::Tensor positions;     // int64 [tokens], each sequence counted from `firstPosition`
  at::Tensor tokenTypeIds;  // int64 [tokens]
  at::Tensor firstTokens;   // int64 [sequences], the row of each sequence's first token
  at::Tensor offsets;       // cuSeqlens, int32 [sequences + 1]
  at::Tensor labels;        // int64 [rows], or float [rows, outputs or twice as many]; undefined for predict
  at::Tensor labelledRows;  // int64, which rows have a label, where the outputs are a vocabulary
  std::vector<int32_t> cuSeqlens;
  int64_t firstPosition = 0;  // of the encoder

  // Where the batch was filled up to a bucket (core/bucket.h):
  int64_t fillers = 0;      // sequences that it was filled up with, the last ones
  int64_t mostLongest = 0;  // tokens that its longest sequence may have
  at::Tensor rowWeights;    // float [rows]: 1, or 0 for a row of a filler; undefined where there is none

  int64_t tokens() const { return cuSeqlens.back(); }
  int64_t sequences() const { return static_cast<int64_t>(cuSeqlens.size()) - 1; }
  int64_t realSequences() const { return sequences() - fillers; }
  int64_t realTokens() const { return cuSeqlens[realSequences()]; }
  // Tokens of the longest sequence, or as many as those of the bucket may have.
  int64_t longest() const;
};

// What came from JavaScript, copied but not yet checked. No tokenTypeIds means all zero.
struct RawBatch {
  std::vector<int32_t> inputIds;
  std::vector<int32_t> cuSeqlens;
  std::optional<std::vector<int32_t>> tokenTypeIds;
  std::vector<int32_t> classLabels;
  std::vector<float> valueLabels;
  // Of each sequence where its first token, and it itself, would be if one process had the whole optimizer
  // step: what dropout is a function of. None where the step's batches come one after another.
  std::vector<int32_t> tokenPlaces, sequencePlaces;
};

// What a batch must keep to, and how it is read.
struct BatchFormat {
  int64_t vocab, tokenTypes;
  std::optional<PositionsSpec> positions;
  int64_t outputs;  // logits of a row
  bool isPerToken;  // a row is a token, else a sequence
  LossKind loss;
  bool isVocabulary = false;  // the outputs are the words of the encoder: logits of labelled rows only
  std::optional<int64_t> padId = std::nullopt;

  int64_t firstPosition() const { return positions.has_value() ? positions->first : 0; }
};

BatchFormat batchFormat(const SessionSpec& spec);

// Values of labels, of which a batch has as many or, for distillation with the rows' own labels, twice as
// many.
size_t valuesOf(const RawBatch& raw, const BatchFormat& format);

constexpr int32_t kIgnoredLabel = -100;  // torch.nn.CrossEntropyLoss(ignore_index)

// Throws std::invalid_argument with one readable line for anything that would read or write out of bounds.
void checkBatch(const RawBatch& raw, const BatchFormat& format, bool needsLabels);

// `raw` must have passed checkBatch.
Batch toTensors(const RawBatch& raw, const BatchFormat& format, at::Device device);

// The position of each token in the encoder's table, `first` for the first of a sequence.
std::vector<int32_t> positionsOf(const std::vector<int32_t>& cuSeqlens, int32_t first);

// Batches of whole sequences in their order, each of at most `maxTokens`, or of one sequence that is longer.
std::vector<RawBatch> split(const RawBatch& raw, const BatchFormat& format, int64_t maxTokens);

}  // namespace bertune
