// The encoder: embeddings, layers, and a norm behind them where the spec has one.
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <optional>
#include <vector>

#include "core/batch.h"
#include "core/spec.h"
#include "model/block.h"
#include "model/layers.h"

namespace bertune {

// The sum of word, token type and position embeddings, and what leads from there into the layers.
class Embeddings {
 public:
  Embeddings(const EmbeddingsSpec& spec, int64_t hidden, LayerFactory& factory);

  // float32 [tokens, hidden]
  at::Tensor forward(const Batch& batch, const TrainingPass* pass, at::ScalarType compute) const;

  bool isTrained() const;
  // Whether a backward pass comes as far down as the projection.
  void prepare(OperandBuilder& builder, bool isTraining);
  void mergeAdapters();

 private:
  bool isTrainedBelowProjection() const;

  EmbeddingsSpec spec_;
  Parameter *words_, *positions_ = nullptr, *types_ = nullptr;
  std::optional<NormLayer> norm_;
  std::optional<LinearLayer> projection_;
};

// The bias of attention by distance, which all layers share.
class RelativeBias {
 public:
  RelativeBias(const RelativeBiasSpec& spec, int64_t heads, LayerFactory& factory);

  // What `forward` reads for sequences of up to `longest` tokens.
  at::Tensor buckets(int64_t longest, at::Device device) const;
  // float32 [heads, 2 * longest - 1]
  at::Tensor forward(const at::Tensor& buckets) const;
  bool isTrained() const { return table_->isTrained(); }

 private:
  RelativeBiasSpec spec_;
  Parameter* table_;
};

class Encoder {
 public:
  // `isFirstOnly`: nothing but the first token of each sequence is read of the result.
  Encoder(const EncoderSpec& spec, bool isFirstOnly, LayerFactory& factory);

  // float32 [tokens, hidden], or [sequences, hidden].
  at::Tensor forward(const Batch& batch, const TrainingPass* pass, at::ScalarType compute) const;
  RowsAre outputRows() const { return isFirstOnly_ ? RowsAre::Sequences : RowsAre::Tokens; }

  void prepare(OperandBuilder& builder, bool isTraining);
  void mergeAdapters();

 private:
  bool isBiasTrained() const { return relativeBias_.has_value() && relativeBias_->isTrained(); }

  bool isFirstOnly_;
  int64_t headSize_;
  Embeddings embeddings_;
  std::optional<RelativeBias> relativeBias_;
  std::deque<Block> blocks_;
  std::vector<Block*> runs_;  // in the order in which they run; a shared layer several times
  std::optional<NormLayer> finalNorm_;
};

}  // namespace bertune
