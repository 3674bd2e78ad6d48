#include "model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "attention.h"
#include "dropout.h"

namespace bertune {
namespace {

constexpr int64_t kNoLayer = -1;

// `firstRow`: how many rows earlier micro-batches of the step had at this site.
Mask maskAt(const DropoutState* state, Site site, int64_t layer, double probability, int64_t firstRow) {
  if (state == nullptr || probability == 0) return {};
  return makeMask(state->seed, state->step, layer, site, probability, firstRow);
}

int64_t earlierTokens(const DropoutState* state) { return state == nullptr ? 0 : state->firstToken; }
int64_t earlierSequences(const DropoutState* state) { return state == nullptr ? 0 : state->firstSequence; }

}  // namespace

Model::Model(ModelConfig config, at::Device device, at::ScalarType compute, uint64_t seed)
    : config_(std::move(config)), device_(device), compute_(compute), seed_(seed) {
  const std::string embeddings = "bert.embeddings.";
  wordEmbeddings_ = addWordEmbeddings(embeddings + "word_embeddings.weight");
  positionEmbeddings_ =
      addEmbedding(embeddings + "position_embeddings.weight", config_.maxPositionEmbeddings);
  tokenTypeEmbeddings_ = addEmbedding(embeddings + "token_type_embeddings.weight", config_.typeVocabSize);
  embeddingNorm_ = addNorm(embeddings + "LayerNorm");
  for (int64_t i = 0; i < config_.numHiddenLayers; ++i)
    layers_.push_back(addLayer("bert.encoder.layer." + std::to_string(i) + "."));
  pooler_ = addLinear("bert.pooler.dense", config_.hiddenSize, config_.hiddenSize);
  classifier_ = addLinear("classifier", config_.numLabels, config_.hiddenSize);
  refreshProducts();
}

size_t Model::add(at::Tensor weight) {
  parameters_.push_back({weight.to(device_).set_requires_grad(true)});
  return parameters_.size() - 1;
}

size_t Model::addMatrix(int64_t rows, int64_t columns) {
  auto generator = at::detail::createCPUGenerator(mix64(seed_ + parameters_.size()));
  return add(at::empty({rows, columns}).normal_(0.0, config_.initializerRange, generator));
}

void Model::name(const std::string& name, size_t parameter) {
  tensors_.push_back({name, parameter, 0, weight(parameter).sizes().vec()});
}

size_t Model::addWordEmbeddings(const std::string& label) {
  const size_t parameter = addEmbedding(label, config_.vocabSize);
  const at::NoGradGuard guard;
  if (config_.padTokenId >= 0) weight(parameter).select(0, config_.padTokenId).zero_();
  return parameter;
}

size_t Model::addEmbedding(const std::string& label, int64_t rows) {
  const size_t parameter = addMatrix(rows, config_.hiddenSize);
  name(label, parameter);
  return parameter;
}

Model::Linear Model::addLinear(const std::string& prefix, int64_t out, int64_t in) {
  const Linear linear{addMatrix(out, in), add(at::zeros({out}))};
  name(prefix + ".weight", linear.weight);
  name(prefix + ".bias", linear.bias);
  return linear;
}

Model::Linear Model::addQueryKeyValue(const std::string& prefix) {
  const int64_t hidden = config_.hiddenSize;
  const Linear packed{addMatrix(3 * hidden, hidden), add(at::zeros({3 * hidden}))};
  int64_t row = 0;
  for (const char* part : {"query", "key", "value"}) {
    tensors_.push_back({prefix + part + ".weight", packed.weight, row, {hidden, hidden}});
    tensors_.push_back({prefix + part + ".bias", packed.bias, row, {hidden}});
    row += hidden;
  }
  return packed;
}

Model::Norm Model::addNorm(const std::string& prefix) {
  const Norm norm{add(at::ones({config_.hiddenSize})), add(at::zeros({config_.hiddenSize}))};
  name(prefix + ".weight", norm.weight);
  name(prefix + ".bias", norm.bias);
  return norm;
}

Model::Layer Model::addLayer(const std::string& prefix) {
  Layer layer{};
  layer.queryKeyValue = addQueryKeyValue(prefix + "attention.self.");
  layer.attentionOutput =
      addLinear(prefix + "attention.output.dense", config_.hiddenSize, config_.hiddenSize);
  layer.attentionNorm = addNorm(prefix + "attention.output.LayerNorm");
  layer.intermediate = addLinear(prefix + "intermediate.dense", config_.intermediateSize, config_.hiddenSize);
  layer.output = addLinear(prefix + "output.dense", config_.hiddenSize, config_.intermediateSize);
  layer.outputNorm = addNorm(prefix + "output.LayerNorm");
  return layer;
}

void Model::refreshProducts() {
  if (compute_ == at::kFloat) return;
  const at::NoGradGuard guard;
  products_.resize(parameters_.size());
  for (const Layer& layer : layers_)
    for (const Linear& linear :
         {layer.queryKeyValue, layer.attentionOutput, layer.intermediate, layer.output}) {
      at::Tensor& product = products_[linear.weight];
      if (product.defined())
        product.copy_(weight(linear.weight));
      else
        product = weight(linear.weight).detach().to(compute_);
    }
}

at::Tensor Model::logits(const Batch& batch, const DropoutState* dropout) const {
  at::Tensor x = embed(batch, dropout);
  for (size_t i = 0; i < layers_.size(); ++i) x = encode(i, x, batch, dropout);
  const at::Tensor pooled = at::tanh(head(pooler_, x));
  const Mask mask =
      maskAt(dropout, Site::Classifier, kNoLayer, config_.classifierDropout, earlierSequences(dropout));
  return head(classifier_, dropoutAdd(pooled, {}, mask));
}

at::Tensor Model::embed(const Batch& batch, const DropoutState* dropout) const {
  const at::Tensor sum = at::embedding(weight(wordEmbeddings_), batch.inputIds, config_.padTokenId) +
                         at::embedding(weight(tokenTypeEmbeddings_), batch.tokenTypeIds) +
                         at::embedding(weight(positionEmbeddings_), batch.positions);
  const NormWeights norm = weights(embeddingNorm_);
  const at::Tensor x = at::layer_norm(sum, {config_.hiddenSize}, norm.weight, norm.bias, norm.epsilon);
  return dropoutAdd(
      x, {}, maskAt(dropout, Site::Embedding, kNoLayer, config_.hiddenDropoutProb, earlierTokens(dropout)));
}

// The matrix products are in the compute type; residuals, LayerNorm and dropout stay float32, as with
// autocast in PyTorch. The classifier reads the first token of each sequence only, so the last layer computes
// no other.
at::Tensor Model::encode(size_t index, const at::Tensor& x, const Batch& batch,
                         const DropoutState* dropout) const {
  const Layer& layer = layers_[index];
  const auto number = static_cast<int64_t>(index);
  const bool isLast = index + 1 == layers_.size();
  const int64_t heads = config_.numAttentionHeads;
  const int64_t earlierRows = isLast ? earlierSequences(dropout) : earlierTokens(dropout);
  const auto hiddenMask = [&](Site site) {
    return maskAt(dropout, site, number, config_.hiddenDropoutProb, earlierRows);
  };
  const at::Tensor qkv = linear(x, weights(layer.queryKeyValue));
  const at::Tensor context =
      attention(qkv.view({batch.tokens(), 3, heads, config_.hiddenSize / heads}), batch.cuSeqlens,
                maskAt(dropout, Site::Attention, number, config_.attentionProbsDropoutProb,
                       earlierTokens(dropout) * heads),
                isLast ? Queries::First : Queries::All);
  const at::Tensor attended = linearAddNorm(context, isLast ? x.index_select(0, batch.firstTokens) : x,
                                            weights(layer.attentionOutput), weights(layer.attentionNorm),
                                            hiddenMask(Site::AttentionOutput));
  const at::Tensor expanded = linearActivation(attended, weights(layer.intermediate), config_.hiddenAct);
  return linearAddNorm(expanded, attended, weights(layer.output), weights(layer.outputNorm),
                       hiddenMask(Site::FeedForwardOutput));
}

// Pooler and classifier are small: always float32.
at::Tensor Model::head(const Linear& linear, const at::Tensor& x) const {
  return at::linear(x, weight(linear.weight), weight(linear.bias));
}

LinearWeights Model::weights(const Linear& linear) const {
  const bool isFloat = compute_ == at::kFloat;
  return {weight(linear.weight), weight(linear.bias),
          isFloat ? weight(linear.weight).detach() : products_[linear.weight]};
}

NormWeights Model::weights(const Norm& norm) const {
  return {weight(norm.weight), weight(norm.bias), config_.layerNormEps};
}

}  // namespace bertune
