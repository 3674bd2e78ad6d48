#include "model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <utility>

#include "attention.h"
#include "checkpoint.h"
#include "dropout.h"
#include "neftune.h"

namespace bertune {
namespace {

constexpr int64_t kNoLayer = -1;

// `firstRow`: how many rows earlier micro-batches of the step had at this site.
Mask maskAt(const TrainingPass* pass, Site site, int64_t layer, double probability, int64_t firstRow) {
  if (pass == nullptr || probability == 0) return {};
  return makeMask(pass->seed, pass->step, layer, site, probability, firstRow);
}

int64_t earlierTokens(const TrainingPass* pass) { return pass == nullptr ? 0 : pass->firstToken; }
int64_t earlierSequences(const TrainingPass* pass) { return pass == nullptr ? 0 : pass->firstSequence; }

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
  addAdapters();
  packed_.resize(parameters_.size());
  rounded_.resize(parameters_.size());
  isRounded_.resize(parameters_.size(), false);
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
  Linear linear{addMatrix(out, in), add(at::zeros({out}))};
  name(prefix + ".weight", linear.weight);
  name(prefix + ".bias", linear.bias);
  return linear;
}

Model::Linear Model::addQueryKeyValue(const std::string& prefix) {
  const int64_t hidden = config_.hiddenSize;
  Linear packed{addMatrix(3 * hidden, hidden), add(at::zeros({3 * hidden}))};
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
  const size_t first = parameters_.size();
  layer.queryKeyValue = addQueryKeyValue(prefix + "attention.self.");
  layer.attentionOutput =
      addLinear(prefix + "attention.output.dense", config_.hiddenSize, config_.hiddenSize);
  layer.attentionNorm = addNorm(prefix + "attention.output.LayerNorm");
  layer.intermediate = addLinear(prefix + "intermediate.dense", config_.intermediateSize, config_.hiddenSize);
  layer.output = addLinear(prefix + "output.dense", config_.hiddenSize, config_.intermediateSize);
  layer.outputNorm = addNorm(prefix + "output.LayerNorm");
  for (size_t i = first; i < parameters_.size(); ++i) layer.parameters.push_back(i);
  return layer;
}

void Model::addAdapters() {
  std::set<std::string> missing(config_.lora.modules.begin(), config_.lora.modules.end());
  const auto adaptRows = [&](std::vector<size_t>& owners, Linear& linear, const std::string& module,
                             int64_t firstRow, int64_t rows, Site site) {
    if (missing.erase(module) == 0) return;
    const int64_t in = weight(linear.weight).size(1);
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    auto generator = at::detail::createCPUGenerator(mix64(seed_ + parameters_.size()));
    const Adapter adapter{add(at::empty({config_.lora.rank, in}).uniform_(-bound, bound, generator)),
                          add(at::zeros({rows, config_.lora.rank})), firstRow, site};
    name(module + ".lora_A.weight", adapter.a);
    name(module + ".lora_B.weight", adapter.b);
    owners.insert(owners.end(), {adapter.a, adapter.b});
    linear.adapters.push_back(adapter);
  };
  const int64_t hidden = config_.hiddenSize;
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    const std::string prefix = "bert.encoder.layer." + std::to_string(i) + ".",
                      self = prefix + "attention.self.";
    std::vector<size_t>& owners = layer.parameters;
    adaptRows(owners, layer.queryKeyValue, self + "query", 0, hidden, Site::LoraQuery);
    adaptRows(owners, layer.queryKeyValue, self + "key", hidden, hidden, Site::LoraKey);
    adaptRows(owners, layer.queryKeyValue, self + "value", 2 * hidden, hidden, Site::LoraValue);
    adaptRows(owners, layer.attentionOutput, prefix + "attention.output.dense", 0, hidden,
              Site::LoraAttentionOutput);
    adaptRows(owners, layer.intermediate, prefix + "intermediate.dense", 0, config_.intermediateSize,
              Site::LoraIntermediate);
    adaptRows(owners, layer.output, prefix + "output.dense", 0, hidden, Site::LoraOutput);
  }
  std::vector<size_t> ofPooler;  // above all layers: nobody asks what it trains
  adaptRows(ofPooler, pooler_, "bert.pooler.dense", 0, hidden, Site::LoraPooler);
  if (!missing.empty())
    throw std::invalid_argument("there is no linear layer to adapt named '" + *missing.begin() + "'");
}

void Model::mergeAdapters() {
  const at::NoGradGuard guard;
  const auto merge = [this](const Linear& linear) {
    for (const Adapter& adapter : linear.adapters) {
      const at::Tensor &a = weight(adapter.a), &b = weight(adapter.b);
      weight(linear.weight).narrow(0, adapter.firstRow, b.size(0)).addmm_(b, a, 1, config_.lora.scaling);
      b.zero_();
      weightChanged(linear.weight);
    }
  };
  for (const Layer& layer : layers_)
    for (const Linear* linear : layer.linears()) merge(*linear);
  merge(pooler_);
}

bool Model::isTrained(const Layer& layer) const {
  return std::any_of(layer.parameters.begin(), layer.parameters.end(),
                     [&](size_t parameter) { return weight(parameter).requires_grad(); });
}

void Model::prepare(bool isTraining) {
  const at::NoGradGuard guard;
  if (device_.is_cpu() && hasTileProducts(compute_))
    pack(isTraining);
  else
    round();
}

// Into the same tensors each time, all in one call: on a GPU that is a few launches for the whole model.
void Model::round() {
  std::vector<at::Tensor> targets, sources;
  std::vector<size_t> stale;
  const auto add = [&](size_t parameter) {
    if (isRounded_[parameter]) return;
    stale.push_back(parameter);
    const at::Tensor& source = weight(parameter);
    at::Tensor& target = rounded_[parameter];
    if (source.scalar_type() == compute_) {
      target = source.detach();  // float32 is what it is
      return;
    }
    if (!target.defined()) target = at::empty_like(source, compute_);
    targets.push_back(target);
    sources.push_back(source);
  };
  for (const Layer& layer : layers_)
    for (const Linear* linear : layer.linears()) {
      add(linear->weight);
      add(linear->bias);
    }
  if (!targets.empty()) at::_foreach_copy_(targets, sources);
  for (const size_t parameter : stale) isRounded_[parameter] = true;  // last: memory may have run out before
}

void Model::pack(bool isTraining) {
  // Below the lowest trained tensor there is no backward pass.
  bool hasBackward = weight(wordEmbeddings_).requires_grad() || weight(positionEmbeddings_).requires_grad() ||
                     weight(tokenTypeEmbeddings_).requires_grad() ||
                     weight(embeddingNorm_.weight).requires_grad() ||
                     weight(embeddingNorm_.bias).requires_grad();
  for (const Layer& layer : layers_) {
    hasBackward = hasBackward || isTrained(layer);
    for (const Linear* linear : layer.linears()) {
      PackedWeight& packed = packed_[linear->weight];
      if (!packed.forward.defined()) packed.forward = packForward(weight(linear->weight), compute_);
      if (isTraining && hasBackward && !packed.backward.defined())
        packed.backward = packBackward(weight(linear->weight), compute_);
    }
  }
}

at::Tensor Model::logits(const Batch& batch, const TrainingPass* pass) {
  prepare(pass != nullptr);
  at::Tensor x = embed(batch, pass);
  for (size_t i = 0; i < layers_.size(); ++i) {
    // Below the lowest trained tensor nothing is kept for a backward pass anyway.
    const bool recomputes =
        pass != nullptr && pass->gradientCheckpointing && (x.requires_grad() || isTrained(layers_[i]));
    const auto layer = [this, &batch, pass, i](const at::Tensor& input) {
      return encode(i, input, batch, pass);
    };
    x = recomputes ? checkpoint(layer, x) : layer(x);
  }
  const at::Tensor pooled = pool(x, pass);
  const Mask mask =
      maskAt(pass, Site::Classifier, kNoLayer, config_.classifierDropout, earlierSequences(pass));
  return head(classifier_, dropoutAdd(pooled, {}, mask));
}

at::Tensor Model::embed(const Batch& batch, const TrainingPass* pass) const {
  at::Tensor words = at::embedding(weight(wordEmbeddings_), batch.inputIds, config_.padTokenId);
  if (pass != nullptr && pass->neftuneNoiseAlpha > 0) {
    const Mask key = makeMask(pass->seed, pass->step, kNoLayer, Site::Neftune, 0, pass->firstToken);
    words = words + neftuneNoise(batch, config_.hiddenSize, pass->neftuneNoiseAlpha, key);
  }
  const at::Tensor sum = words + at::embedding(weight(tokenTypeEmbeddings_), batch.tokenTypeIds) +
                         at::embedding(weight(positionEmbeddings_), batch.positions);
  const NormWeights norm = weights(embeddingNorm_);
  const at::Tensor x = at::layer_norm(sum, {config_.hiddenSize}, norm.weight, norm.bias, norm.epsilon);
  return dropoutAdd(x, {},
                    maskAt(pass, Site::Embedding, kNoLayer, config_.hiddenDropoutProb, earlierTokens(pass)));
}

// The matrix products are in the compute type; residuals, LayerNorm and dropout stay float32, as with
// autocast in PyTorch. The classifier reads the first token of each sequence only, so the last layer computes
// no other.
at::Tensor Model::encode(size_t index, const at::Tensor& x, const Batch& batch,
                         const TrainingPass* pass) const {
  const Layer& layer = layers_[index];
  const auto number = static_cast<int64_t>(index);
  const bool isLast = index + 1 == layers_.size();
  const int64_t heads = config_.numAttentionHeads;
  const int64_t earlierRows = isLast ? earlierSequences(pass) : earlierTokens(pass);
  const auto hiddenMask = [&](Site site) {
    return maskAt(pass, site, number, config_.hiddenDropoutProb, earlierRows);
  };
  const auto addend = [&](const Linear& linear, const at::Tensor& input, int64_t earlier) {
    return adapt(linear, input, number, pass, earlier, compute_);
  };
  const at::Tensor qkv =
      linear(x, weights(layer.queryKeyValue), addend(layer.queryKeyValue, x, earlierTokens(pass)));
  const at::Tensor context = attention(
      qkv.view({batch.tokens(), 3, heads, config_.hiddenSize / heads}), batch.cuSeqlens, batch.offsets,
      maskAt(pass, Site::Attention, number, config_.attentionProbsDropoutProb, earlierTokens(pass) * heads),
      isLast ? Queries::First : Queries::All);
  const at::Tensor attended =
      linearAddNorm(context, isLast ? x.index_select(0, batch.firstTokens) : x,
                    weights(layer.attentionOutput), weights(layer.attentionNorm),
                    hiddenMask(Site::AttentionOutput), addend(layer.attentionOutput, context, earlierRows));
  const at::Tensor expanded = linearActivation(attended, weights(layer.intermediate), config_.hiddenAct,
                                               addend(layer.intermediate, attended, earlierRows));
  return linearAddNorm(expanded, attended, weights(layer.output), weights(layer.outputNorm),
                       hiddenMask(Site::FeedForwardOutput), addend(layer.output, expanded, earlierRows));
}

at::Tensor Model::adapt(const Linear& linear, const at::Tensor& x, int64_t layer, const TrainingPass* pass,
                        int64_t earlierRows, at::ScalarType type) const {
  if (linear.adapters.empty()) return {};
  const at::Tensor input = x.to(type);
  const auto zeros = [&](int64_t columns) { return at::zeros({x.size(0), columns}, input.options()); };
  std::vector<at::Tensor> parts;
  int64_t row = 0;
  for (const Adapter& adapter : linear.adapters) {
    if (adapter.firstRow > row) parts.push_back(zeros(adapter.firstRow - row));
    const Mask mask = maskAt(pass, adapter.site, layer, config_.lora.dropout, earlierRows);
    const at::Tensor low = at::linear(dropoutAdd(input, {}, mask), weight(adapter.a).to(type));
    parts.push_back(at::linear(low, (weight(adapter.b) * config_.lora.scaling).to(type)));
    row = adapter.firstRow + weight(adapter.b).size(0);
  }
  if (row < weight(linear.weight).size(0)) parts.push_back(zeros(weight(linear.weight).size(0) - row));
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

at::Tensor Model::pool(const at::Tensor& x, const TrainingPass* pass) const {
  const at::Tensor y = head(pooler_, x);
  const at::Tensor update = adapt(pooler_, x, kNoLayer, pass, earlierSequences(pass), at::kFloat);
  return at::tanh(update.defined() ? y + update : y);
}

// Pooler and classifier are small: always float32.
at::Tensor Model::head(const Linear& linear, const at::Tensor& x) const {
  return at::linear(x, weight(linear.weight), weight(linear.bias));
}

LinearWeights Model::weights(const Linear& linear) const {
  return {weight(linear.weight),
          weight(linear.bias),
          packed_[linear.weight],
          {rounded_[linear.weight], rounded_[linear.bias]}};
}

NormWeights Model::weights(const Norm& norm) const {
  return {weight(norm.weight), weight(norm.bias), config_.layerNormEps};
}

}  // namespace bertune
