#include "model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "attention.h"
#include "dropout.h"

namespace bertune {
namespace {

Mask maskAt(const DropoutState* state, Site site, int64_t layer, double probability,
            int64_t rowsPerToken = 1) {
  if (state == nullptr || probability == 0) return {};
  const int64_t first = site == Site::Classifier ? state->firstSequence : state->firstToken * rowsPerToken;
  return makeMask(state->seed, state->step, layer, site, probability, first);
}

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

at::Tensor Model::logits(const Batch& batch, const DropoutState* dropout) const {
  at::Tensor x = embed(batch, dropout);
  for (size_t i = 0; i < layers_.size(); ++i)
    x = encode(layers_[i], static_cast<int64_t>(i), x, batch, dropout);
  const at::Tensor first = x.index_select(0, batch.firstTokens);
  const at::Tensor pooled =
      at::tanh(linear(pooler_, first, at::kFloat));  // the head is small: always float32
  return linear(classifier_,
                dropoutAdd(pooled, {}, maskAt(dropout, Site::Classifier, -1, config_.classifierDropout)),
                at::kFloat);
}

at::Tensor Model::embed(const Batch& batch, const DropoutState* dropout) const {
  const at::Tensor sum = at::embedding(weight(wordEmbeddings_), batch.inputIds, config_.padTokenId) +
                         at::embedding(weight(tokenTypeEmbeddings_), batch.tokenTypeIds) +
                         at::embedding(weight(positionEmbeddings_), batch.positions);
  const at::Tensor x = norm(embeddingNorm_, sum);
  return dropoutAdd(x, {}, maskAt(dropout, Site::Embedding, -1, config_.hiddenDropoutProb));
}

at::Tensor Model::encode(const Layer& layer, int64_t index, const at::Tensor& x, const Batch& batch,
                         const DropoutState* dropout) const {
  const int64_t heads = config_.numAttentionHeads;
  const at::Tensor qkv =
      linear(layer.queryKeyValue, x, compute_).view({batch.tokens(), 3, heads, config_.hiddenSize / heads});
  const at::Tensor context =
      attention(qkv, batch.cuSeqlens,
                maskAt(dropout, Site::Attention, index, config_.attentionProbsDropoutProb, heads));
  const at::Tensor attended =
      norm(layer.attentionNorm,
           dropoutAdd(linear(layer.attentionOutput, context, compute_).to(at::kFloat), x,
                      maskAt(dropout, Site::AttentionOutput, index, config_.hiddenDropoutProb)));
  const at::Tensor expanded = activate(linear(layer.intermediate, attended, compute_));
  return norm(layer.outputNorm,
              dropoutAdd(linear(layer.output, expanded, compute_).to(at::kFloat), attended,
                         maskAt(dropout, Site::FeedForwardOutput, index, config_.hiddenDropoutProb)));
}

// Products in the compute type; everything between them (residuals, LayerNorm, dropout) stays float32, as
// with autocast in PyTorch.
at::Tensor Model::linear(const Linear& linear, const at::Tensor& x, at::ScalarType type) const {
  return at::linear(x.to(type), weight(linear.weight).to(type), weight(linear.bias).to(type));
}

at::Tensor Model::norm(const Norm& norm, const at::Tensor& x) const {
  return at::layer_norm(x, {config_.hiddenSize}, weight(norm.weight), weight(norm.bias),
                        config_.layerNormEps);
}

at::Tensor Model::activate(const at::Tensor& x) const {
  switch (config_.hiddenAct) {
    case Activation::Gelu:
      return at::gelu(x);
    case Activation::GeluTanh:
      return at::gelu(x, "tanh");
    case Activation::Relu:
      return at::relu(x);
    case Activation::Silu:
      return at::silu(x);
    case Activation::Tanh:
      return at::tanh(x);
  }
  return {};
}

}  // namespace bertune
