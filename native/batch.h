// A packed batch: the tokens of all sequences one after another, no padding.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace bertune {

struct Batch {
  at::Tensor inputIds;      // int64 [tokens]
  at::Tensor positions;     // int64 [tokens], each sequence counted from 0
  at::Tensor tokenTypeIds;  // int64 [tokens]
  at::Tensor firstTokens;   // int64 [sequences], the row of each [CLS]
  at::Tensor offsets;       // cuSeqlens, int32 [sequences + 1]
  at::Tensor labels;        // int64 [sequences] or float [sequences, numLabels]; undefined for predict
  std::vector<int32_t> cuSeqlens;

  int64_t tokens() const { return cuSeqlens.back(); }
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

struct BatchLimits {
  int64_t vocabSize;
  int64_t typeVocabSize;
  int64_t maxPositions;
  int64_t numLabels;
  bool classLabels;  // one class id a sequence, else numLabels floats a sequence
};

// Throws std::invalid_argument with one readable line for anything that would read or write out of bounds.
void checkBatch(const RawBatch& raw, const BatchLimits& limits, bool needsLabels);

// `raw` must have passed checkBatch.
Batch toTensors(const RawBatch& raw, int64_t numLabels, at::Device device);

// Batches of whole sequences in their order, each of at most `maxTokens`, or of one sequence that is longer.
std::vector<RawBatch> split(const RawBatch& raw, int64_t maxTokens);

}  // namespace bertune
