#include "model/block.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/dropout.h"
#include "ops/linear.h"

namespace bertune {

Block::Block(const EncoderSpec& spec, const LayerSpec& layer, bool isFirstOnly, LayerFactory& factory)
    : hidden_(spec.hidden),
      heads_(spec.heads),
      attention_(spec.attention),
      mlp_(spec.mlp),
      layer_(layer),
      isPreNorm_(spec.isPreNorm),
      isFirstOnly_(isFirstOnly) {
  constexpr int64_t parts = 3;
  const std::string& prefix = layer.parameters;
  const auto projection = [&](int64_t firstRow, int64_t rows) {
    return factory.rows(prefix + ".queryKeyValue", parts * hidden_, hidden_, attention_.bias, Site::LoraQuery,
                        parts, firstRow, rows);
  };
  if (isFirstOnly)
    projections_ = {projection(0, hidden_), projection(hidden_, 2 * hidden_)};
  else
    projections_ = {projection(0, parts * hidden_)};
  if (attention_.disentangled.has_value()) relative_.emplace(spec, prefix, factory);
  attentionOutput_ = factory.linear(prefix + ".attentionOutput", hidden_, hidden_, attention_.bias,
                                    Site::LoraAttentionOutput);
  if (layer.attentionNorm) attentionNorm_ = factory.norm(prefix + ".attentionNorm", hidden_, spec.norm);
  mlpIn_ = factory.linear(prefix + ".mlpIn", mlp_.isGated ? 2 * mlp_.width : mlp_.width, hidden_, mlp_.biasIn,
                          Site::LoraIntermediate);
  mlpOut_ = factory.linear(prefix + ".mlpOut", hidden_, mlp_.width, mlp_.biasOut, Site::LoraOutput);
  mlpNorm_ = factory.norm(prefix + ".mlpNorm", hidden_, spec.norm);
}

// The matrix products are in the compute type; residuals, LayerNorm and dropout stay float32, as with
// autocast in PyTorch.
Normed Block::forward(const Normed& x, int64_t number, const Batch& batch, const TrainingPass* pass,
                      at::ScalarType compute, const Relations& relations) const {
  const Call call{number, batch, pass, compute, relations};
  const Mask attentionMask = outputMask(Site::AttentionOutput, attention_.outputDropout, call);
  const Mask mlpMask = outputMask(Site::FeedForwardOutput, mlp_.outputDropout, call);
  const bool isNormFirst = isPreNorm_ && attentionNorm_.has_value();
  at::Tensor beside = x.values;
  const at::Tensor context =
      attend(isNormFirst ? norm(x.values, attentionNorm_->weights(), compute, &beside) : x, call);
  const at::Tensor residual = isFirstOnly_ ? beside.index_select(0, batch.firstTokens) : beside;
  // Norms come behind their layers, and what they give goes on; or before them, and the sum goes on.
  const NormLayer& firstNorm = isPreNorm_ ? mlpNorm_ : *attentionNorm_;
  at::Tensor sum;
  const Normed attended =
      linearAddNorm(context, residual, attentionOutput_.weights(), firstNorm.weights(), attentionMask,
                    addend(attentionOutput_, context, call), isPreNorm_ ? &sum : nullptr);
  const LinearInput expanded = expand(attended, call);
  const at::Tensor added = addend(mlpOut_, expanded.values, call);
  if (isPreNorm_) return linearAdd(expanded, sum, mlpOut_.weights(), mlpMask, added);
  return linearAddNorm(expanded, attended.values, mlpOut_.weights(), mlpNorm_.weights(), mlpMask, added);
}

LinearInput Block::expand(const Normed& x, const Call& call) const {
  const LinearInput expanded =
      linearActivation(x, mlpIn_.weights(), mlp_.activation, addend(mlpIn_, x.values, call), mlp_.isGated);
  // Adapters read it too, and dropout changes it.
  const Mask mask = outputMask(Site::FeedForwardInner, mlp_.innerDropout, call);
  const bool isRead = mlpOut_.hasAdapters() || !mask.dropsNothing();
  return isRead ? LinearInput(dropoutAdd(expanded.tensor(), {}, mask)) : expanded;
}

at::Tensor Block::attend(const Normed& x, const Call& call) const {
  const int64_t headSize = hidden_ / heads_;
  // The projection of keys and values, and of queries too where these are of all tokens.
  const LinearLayer& last = projections_.back();
  const at::Tensor projected =
      linear(x, last.weights(), last.addend(x.values, call.number, call.pass, RowsAre::Tokens, call.compute));
  AttentionInput input{projected.view({call.batch.tokens(), isFirstOnly_ ? 2 : 3, heads_, headSize})};
  input.window = layer_.window;
  input.rotaryTable = call.relations.rotaryTable;
  if (input.rotaryTable.defined()) {
    const Batch& batch = call.batch;
    input.positions = batch.firstPosition == 0 ? batch.positions : batch.positions - batch.firstPosition;
  }
  input.longest = call.batch.longest();
  input.distanceBias = call.relations.distanceBias;
  if (relative_.has_value())
    input.relative = relative_->forward(call.batch, call.number, call.pass, call.compute);
  if (isFirstOnly_) {
    const LinearLayer& query = projections_.front();
    const at::Tensor& first = call.batch.firstTokens;
    const at::Tensor added =
        query.addend(x.values, call.number, call.pass, RowsAre::Tokens, call.compute, first);
    input.query = linear(x.values.index_select(0, first), query.weights(), added)
                      .view({call.batch.sequences(), heads_, headSize});
  }
  const Mask mask = maskAt(call.pass, Site::Attention, call.number, attention_.dropout,
                           {RowsAre::Tokens, static_cast<int32_t>(heads_)});
  return attention(input, call.batch.cuSeqlens, call.batch.offsets, mask);
}

at::Tensor Block::addend(const LinearLayer& layer, const at::Tensor& x, const Call& call) const {
  return layer.addend(x, call.number, call.pass, outputRows(), call.compute);
}

Mask Block::outputMask(Site site, double probability, const Call& call) const {
  return maskAt(call.pass, site, call.number, probability, outputRows());
}

std::vector<LinearLayer*> Block::linears() {
  std::vector<LinearLayer*> all{&attentionOutput_, &mlpIn_, &mlpOut_};
  for (LinearLayer& projection : projections_) all.push_back(&projection);
  if (relative_.has_value())
    for (LinearLayer* layer : relative_->linears()) all.push_back(layer);
  return all;
}

bool Block::isTrained() const {
  const auto isTrained = [](const LinearLayer& layer) { return layer.isTrained(); };
  return (attentionNorm_.has_value() && attentionNorm_->isTrained()) || mlpNorm_.isTrained() ||
         (relative_.has_value() && relative_->isTrained()) || attentionOutput_.isTrained() ||
         mlpIn_.isTrained() || mlpOut_.isTrained() ||
         std::any_of(projections_.begin(), projections_.end(), isTrained);
}

void Block::prepare(OperandBuilder& builder, bool wantsBackward) {
  for (LinearLayer* layer : linears()) layer->prepare(builder, wantsBackward);
}

void Block::mergeAdapters() {
  for (LinearLayer* layer : linears()) layer->mergeAdapters();
}

}  // namespace bertune
