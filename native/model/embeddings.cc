#include "model/embeddings.h"

#include <ATen/ATen.h>

#include "ops/dropout.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/neftune.h"

namespace bertune {
namespace {

at::Tensor rowsOf(const Parameter& table, const at::Tensor& ids,
                  std::optional<int64_t> padId = std::nullopt) {
  return embedding(table.value, table.gradient, ids, padId);
}

}  // namespace

Embeddings::Embeddings(const EmbeddingsSpec& spec, int64_t hidden, LayerFactory& factory)
    : spec_(spec), words_(&factory.table("embeddings.words.weight", spec.vocab, spec.width)) {
  if (spec.positions.has_value())
    positions_ = &factory.table("embeddings.positions.weight", spec.positions->rows, spec.width);
  if (spec.tokenTypes > 0) types_ = &factory.table("embeddings.types.weight", spec.tokenTypes, spec.width);
  if (spec.norm.has_value()) norm_ = factory.norm("embeddings.norm", spec.width, *spec.norm);
  if (spec.projection)
    projection_ = factory.linear("embeddings.projection", hidden, spec.width, true, Site::LoraProjection);
}

at::Tensor Embeddings::forward(const Batch& batch, const TrainingPass* pass, at::ScalarType compute) const {
  at::Tensor x = rowsOf(*words_, batch.inputIds, spec_.padId);
  if (pass != nullptr && pass->neftuneNoiseAlpha > 0) {
    const Mask key = makeMask(pass->seed, pass->step, kNoLayer, Site::Neftune, 0, pass->firstToken);
    x = x + neftuneNoise(batch, spec_.width, pass->neftuneNoiseAlpha, key);
  }
  if (types_ != nullptr) x = x + rowsOf(*types_, batch.tokenTypeIds);
  if (positions_ != nullptr) x = x + rowsOf(*positions_, batch.positions);
  if (norm_.has_value()) x = norm_->apply(x);
  const int64_t earlier = earlierRows(pass, RowsAre::Tokens);
  x = dropoutAdd(x, {}, maskAt(pass, Site::Embedding, kNoLayer, spec_.dropout, earlier));
  if (!projection_.has_value()) return x;
  const at::Tensor added = projection_->addend(x, kNoLayer, pass, earlier, compute);
  return linear(x, projection_->weights(), added).to(at::kFloat);
}

bool Embeddings::isTrainedBelowProjection() const {
  const auto isTrained = [](const Parameter* table) { return table != nullptr && table->isTrained(); };
  return isTrained(words_) || isTrained(positions_) || isTrained(types_) ||
         (norm_.has_value() && norm_->isTrained());
}

bool Embeddings::isTrained() const {
  return isTrainedBelowProjection() || (projection_.has_value() && projection_->isTrained());
}

void Embeddings::prepare(OperandBuilder& builder, bool isTraining) {
  if (projection_.has_value()) projection_->prepare(builder, isTraining && isTrained());
}

void Embeddings::mergeAdapters() {
  if (projection_.has_value()) projection_->mergeAdapters();
}

}  // namespace bertune
