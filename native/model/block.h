// One layer of the encoder: self-attention and an MLP, each with a residual and a norm.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/batch.h"
#include "core/spec.h"
#include "model/layers.h"

namespace bertune {

class Block {
 public:
  // `isFirstOnly`: the layer computes the first token of each sequence alone, from the keys and values of
  // all.
  Block(const EncoderSpec& spec, const std::string& prefix, bool isFirstOnly, LayerFactory& factory);

  // x: float32 [tokens, hidden]. Returns float32 [tokens, hidden], or [sequences, hidden]. `number` says
  // which masks are drawn.
  at::Tensor forward(const at::Tensor& x, int64_t number, const Batch& batch, const TrainingPass* pass,
                     at::ScalarType compute) const;

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
  };

  // softmax(q k^T) v of `x`, which a norm has seen where it comes first.
  at::Tensor attend(const at::Tensor& x, const Call& call) const;
  at::Tensor addend(const LinearLayer& layer, const at::Tensor& x, const Call& call) const;
  Mask outputMask(Site site, double probability, const Call& call) const;
  // dropout(layer(x)) + residual
  at::Tensor add(const LinearLayer& layer, const LinearInput& x, const at::Tensor& residual, const Mask& mask,
                 const Call& call) const;
  std::vector<LinearLayer*> linears();
  RowsAre outputRows() const { return isFirstOnly_ ? RowsAre::Sequences : RowsAre::Tokens; }

  int64_t hidden_, heads_;
  AttentionSpec attention_;
  MlpSpec mlp_;
  bool isPreNorm_, isFirstOnly_;
  // Queries, keys and values of all tokens, or queries of the first ones apart from keys and values of all.
  std::vector<LinearLayer> projections_;
  LinearLayer attentionOutput_, mlpIn_, mlpOut_;
  NormLayer attentionNorm_, mlpNorm_;
};

}  // namespace bertune
