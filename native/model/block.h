// One layer of the encoder: self-attention and an MLP, each with a residual and a norm.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/batch.h"
#include "core/spec.h"
#include "model/disentangled.h"
#include "model/layers.h"

namespace bertune {

class Block {
 public:
  // `isFirstOnly`: the layer computes the first token of each sequence alone, from the keys and values of
  // all.
  Block(const EncoderSpec& spec, const LayerSpec& layer, bool isFirstOnly, LayerFactory& factory);

  // What depends on the positions of a batch: for all of them, and undefined where the layer has none.
  struct Relations {
    at::Tensor rotaryTable, distanceBias;
  };

  // x: float32 [tokens, hidden]. Returns float32 [tokens, hidden], or [sequences, hidden]. `number` says
  // which masks are drawn.
  Normed forward(const Normed& x, int64_t number, const Batch& batch, const TrainingPass* pass,
                 at::ScalarType compute, const Relations& relations) const;
  std::optional<double> rotaryTheta() const { return layer_.rotaryTheta; }

  bool isTrained() const;
  void prepare(OperandBuilder& builder, bool wantsBackward);
  void mergeAdapters();

 private:
  // One call of the layer.
  struct Call {
    int64_t number;
    const Batch& batch;
    const TrainingPass* pass;
    at::ScalarType compute;
    const Relations& relations;
  };

  // softmax(q k^T) v of `x`, which a norm has seen where it comes first.
  at::Tensor attend(const Normed& x, const Call& call) const;
  // What the last layer of the MLP reads.
  LinearInput expand(const Normed& x, const Call& call) const;
  at::Tensor addend(const LinearLayer& layer, const at::Tensor& x, const Call& call) const;
  Mask outputMask(Site site, double probability, const Call& call) const;
  std::vector<LinearLayer*> linears();
  RowsAre outputRows() const { return isFirstOnly_ ? RowsAre::Sequences : RowsAre::Tokens; }

  int64_t hidden_, heads_;
  AttentionSpec attention_;
  MlpSpec mlp_;
  LayerSpec layer_;
  bool isPreNorm_, isFirstOnly_;
  // Queries, keys and values of all tokens, or queries of the first ones apart from keys and values of all.
  std::vector<LinearLayer> projections_;
  LinearLayer attentionOutput_, mlpIn_, mlpOut_;
  std::optional<RelativeLayer> relative_;
  std::optional<NormLayer> attentionNorm_;
  NormLayer mlpNorm_;
};

}  // namespace bertune
