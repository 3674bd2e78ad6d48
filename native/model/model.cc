#include "model/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "ops/vocabulary.h"

namespace bertune {

Model::Model(const SessionSpec& spec, at::Device device, at::ScalarType compute, uint64_t seed)
    : compute_(compute),
      parameters_(spec.parameters, device, seed),
      factory_(parameters_, spec.lora),
      encoder_(spec.encoder, Head::readsFirstOnly(spec.head), factory_),
      head_(spec.head, spec.encoder, factory_),
      format_(batchFormat(spec)) {
  factory_.requireAllAdapted();
  parameters_.requireAllUsed();
}

void Model::prepare(const TrainingPass* pass) {
  const at::NoGradGuard guard;
  OperandBuilder ofEncoder(compute_, device(), pass != nullptr && pass->packsWhenRead);
  encoder_.prepare(ofEncoder, pass != nullptr);
  ofEncoder.finish();
  // A vocabulary is read in parts, and in both passes several times.
  OperandBuilder ofHead(compute_, device(), /*packsWhenRead=*/false);
  head_.prepare(ofHead, pass != nullptr);
  ofHead.finish();
}

at::Tensor Model::forward(const Batch& batch, const TrainingPass* pass) const {
  const at::Tensor hidden = encoder_.forward(batch, pass, compute_);
  return head_.forward(hidden, encoder_.outputRows(), batch, pass);
}

at::Tensor Model::loss(const Batch& batch, const TrainingPass& pass, const LossOptions& options,
                       const LossWeights& weights) const {
  const at::Tensor y = forward(batch, &pass);
  const LinearLayer* vocabulary = head_.vocabulary();
  if (vocabulary == nullptr)
    return lossSum(format_.loss, y, batch.labels, options, weights, batch.rowWeights);
  return vocabularyLoss(y, vocabulary->weights(), batch.labels.index_select(0, batch.labelledRows));
}

at::Tensor Model::predict(const Batch& batch) const {
  const at::Tensor y = forward(batch, nullptr);
  const LinearLayer* vocabulary = head_.vocabulary();
  if (vocabulary == nullptr) return y;
  const LinearWeights weights = vocabulary->weights();
  if (!batch.labelledRows.defined()) return linear(y, weights).to(at::kFloat);
  return vocabularyScores(y, weights, batch.labels.index_select(0, batch.labelledRows));
}

void Model::mergeAdapters() {
  encoder_.mergeAdapters();
  head_.mergeAdapters();
}

}  // namespace bertune
