#include "model/head.h"

#include <ATen/ATen.h>

#include <stdexcept>

#include "ops/activation.h"
#include "ops/dropout.h"

namespace bertune {
namespace {

using Kind = HeadStage::Kind;

// The mean over the tokens of each sequence.
at::Tensor meanOf(const at::Tensor& hidden, const Batch& batch) {
  return at::segment_reduce(hidden, "mean", batch.offsets.diff().to(at::kLong), /*indices=*/{},
                            /*offsets=*/{},
                            /*axis=*/0, /*unsafe=*/true);
}

}  // namespace

Head::Head(const std::vector<HeadStage>& stages, const EncoderSpec& encoder, LayerFactory& factory) {
  int64_t width = encoder.hidden, linears = 0, dropouts = 0;
  bool isPooled = false;
  for (const HeadStage& spec : stages) {
    Stage stage{spec};
    if (vocabulary_.has_value())
      throw std::invalid_argument("the vocabulary must be the last stage of a head");
    switch (spec.kind) {
      case Kind::PoolFirst:
      case Kind::PoolMean:
        if (isPooled) throw std::invalid_argument("a head can pool only once");
        isPooled = true;
        break;
      case Kind::Linear: {
        const Parameter& weight = factory.matrix(spec.name + ".weight");
        const int64_t out = weight.value.size(0);
        stage.linear =
            factory.linear(spec.name, out, width, factory.has(spec.name + ".bias"), Site::LoraHead);
        stage.number = kNoLayer - linears++;
        width = out;
        break;
      }
      case Kind::Norm:
        stage.norm = factory.norm(spec.name, width, {encoder.norm.epsilon, factory.has(spec.name + ".bias")});
        break;
      case Kind::Dropout:
        stage.number = kNoLayer - dropouts++;
        break;
      case Kind::Activation:
        break;
      case Kind::SelectLabelled:
        if (stages.back().kind != Kind::Vocabulary)
          throw std::invalid_argument("only a head that ends with a vocabulary can select labelled rows");
        break;
      case Kind::Vocabulary:
        if (isPooled) throw std::invalid_argument("a vocabulary is for tokens; leave the pool out");
        vocabulary_ = factory.vocabulary(spec.name, encoder.embeddings.vocab, width);
        break;
    }
    stages_.push_back(stage);
  }
}

void Head::prepare(OperandBuilder& builder, bool isTraining) {
  if (vocabulary_.has_value()) vocabulary_->prepare(builder, isTraining);
}

bool Head::readsFirstOnly(const std::vector<HeadStage>& stages) {
  return !stages.empty() && stages.front().kind == Kind::PoolFirst;
}

at::Tensor Head::forward(const at::Tensor& hidden, RowsAre rows, const Batch& batch,
                         const TrainingPass* pass) const {
  at::Tensor x = hidden;
  for (const Stage& stage : stages_) {
    switch (stage.spec.kind) {
      case Kind::PoolFirst:
        if (rows == RowsAre::Tokens) x = x.index_select(0, batch.firstTokens);
        rows = RowsAre::Sequences;
        break;
      case Kind::PoolMean:
        x = meanOf(x, batch);
        rows = RowsAre::Sequences;
        break;
      case Kind::Linear:
        x = stage.linear.apply(x, stage.number, pass, rows);
        break;
      case Kind::Norm:
        x = stage.norm.apply(x);
        break;
      case Kind::Dropout:
        x = dropoutAdd(x, {}, maskAt(pass, Site::Classifier, stage.number, stage.spec.probability, rows));
        break;
      case Kind::Activation:
        x = activate(stage.spec.activation, x);
        break;
      case Kind::SelectLabelled:
        if (batch.labelledRows.defined()) x = x.index_select(0, batch.labelledRows);
        break;
      case Kind::Vocabulary:
        break;
    }
  }
  return x;
}

void Head::mergeAdapters() {
  for (Stage& stage : stages_) stage.linear.mergeAdapters();
}

}  // namespace bertune
