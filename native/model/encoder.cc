#include "model/encoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/intrusive_ptr.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "ops/attention.h"
#include "ops/embedding.h"
#include "ops/linear.h"

namespace bertune {
namespace {

using Layer = std::function<at::Tensor(const at::Tensor&)>;
using torch::autograd::variable_list;

// A node of its own rather than a torch::autograd::Function: the layer's weights get their gradients though
// only x is an input, even where x needs none.
struct Recompute : torch::autograd::Node {
  Recompute(Layer run, const at::Tensor& x)
      : Node(torch::autograd::collect_next_edges(x)), layer(std::move(run)), input(x.detach()) {}

  variable_list apply(variable_list&& gradients) override {
    const at::AutoGradMode guard(true);
    const at::Tensor x = input.detach().set_requires_grad(task_should_compute_output(0));
    torch::autograd::backward({layer(x)}, {gradients[0]});
    return {x.grad()};
  }

  void release_variables() override {
    layer = nullptr;
    input.reset();
  }

  Layer layer;
  at::Tensor input;
};

// What autograd holds its nodes by: std::shared_ptr in LibTorch 2.11, c10::intrusive_ptr in later ones.
using NodePointer = decltype(torch::autograd::Edge::function);

template <typename Pointer, typename... Arguments>
Pointer makeNode(Arguments&&... arguments) {
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<torch::autograd::Node>>)
    return std::make_shared<Recompute>(std::forward<Arguments>(arguments)...);
  else
    return c10::make_intrusive<Recompute>(std::forward<Arguments>(arguments)...);
}

// Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): a layer keeps its input only and runs again in
// the backward pass. Differentiable in x and in all that the layer reads. `layer` must give the same result
// each time (its dropout masks are functions of the step), and what it refers to must live until the backward
// pass.
at::Tensor checkpoint(Layer layer, const at::Tensor& x) {
  at::Tensor y;
  {
    const at::NoGradGuard guard;
    y = layer(x);
  }
  torch::autograd::set_history(y, makeNode<NodePointer>(std::move(layer), x));
  return y;
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
  const auto tableOf = [](const Parameter& table, const at::Tensor& ids) {
    return EmbeddingTable{table.value, table.gradient, ids};
  };
  EmbeddingInput input{tableOf(*words_, batch.inputIds), {}, {}, spec_.padId};
  if (types_ != nullptr) input.types = tableOf(*types_, batch.tokenTypeIds);
  if (positions_ != nullptr) input.positions = tableOf(*positions_, batch.positions);
  if (norm_.has_value()) input.norm = norm_->weights();
  if (pass != nullptr && pass->neftuneNoiseAlpha > 0) {
    input.noise = neftuneMagnitudes(batch, spec_.width, pass->neftuneNoiseAlpha);
    input.noiseKey = keyAt(*pass, Site::Neftune, kNoLayer, 0, RowsAre::Tokens);
  }
  input.mask = maskAt(pass, Site::Embedding, kNoLayer, spec_.dropout, RowsAre::Tokens);
  const at::Tensor x = embeddings(input);
  if (!projection_.has_value()) return x;
  const at::Tensor added = projection_->addend(x, kNoLayer, pass, RowsAre::Tokens, compute);
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

RelativeBias::RelativeBias(const RelativeBiasSpec& spec, int64_t heads, LayerFactory& factory)
    : spec_(spec), table_(&factory.table("relativeBias.weight", spec.buckets, heads)) {}

at::Tensor RelativeBias::buckets(int64_t longest, at::Device device) const {
  return distanceBuckets(spec_.buckets, spec_.maxDistance, longest, device);
}

at::Tensor RelativeBias::forward(const at::Tensor& buckets) const {
  return embedding(table_->value, table_->gradient, buckets).t();
}

Encoder::Encoder(const EncoderSpec& spec, bool isFirstOnly, LayerFactory& factory)
    : isFirstOnly_(isFirstOnly),
      headSize_(spec.hidden / spec.heads),
      embeddings_(spec.embeddings, spec.hidden, factory) {
  if (spec.attention.relativeBias.has_value())
    relativeBias_ = RelativeBias(*spec.attention.relativeBias, spec.heads, factory);
  // Runs share a block where nothing differs: the same parameters may run with another window.
  using Key = std::tuple<std::string, bool, std::optional<int64_t>, std::optional<double>>;
  std::map<Key, Block*> blocks;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    // The last one may compute less, so it is one of its own even where its parameters are shared.
    const bool isLess = isFirstOnly && i + 1 == spec.layers.size();
    Block*& shared = blocks[{layer.parameters, layer.attentionNorm, layer.window, layer.rotaryTheta}];
    if (shared == nullptr || isLess) {
      blocks_.emplace_back(spec, layer, isLess, factory);
      shared = &blocks_.back();
    }
    runs_.push_back(shared);
  }
  if (spec.finalNorm) finalNorm_ = factory.norm("finalNorm", spec.hidden, spec.norm);
}

at::Tensor Encoder::forward(const Batch& batch, const TrainingPass* pass, at::ScalarType compute) const {
  Normed x = embeddings_.forward(batch, pass, compute);
  std::map<double, at::Tensor> rotaryTables;  // by theta
  at::Tensor buckets;
  if (relativeBias_.has_value()) buckets = relativeBias_->buckets(batch.longest(), x.values.device());
  for (size_t i = 0; i < runs_.size(); ++i) {
    const Block& block = *runs_[i];
    const auto number = static_cast<int64_t>(i);
    at::Tensor table;
    if (const auto theta = block.rotaryTheta(); theta.has_value()) {
      at::Tensor& known = rotaryTables[*theta];
      if (!known.defined()) known = rotaryTable(*theta, headSize_, batch.longest(), x.values.device());
      table = known;
    }
    if (pass != nullptr && pass->layerDone != nullptr && x.values.requires_grad())
      x.values.register_hook([done = pass->layerDone, i](const at::Tensor&) { (*done)(i); });
    // A layer that runs again for its backward pass has no part of a graph in common with the others.
    const auto layer = [this, &block, &batch, pass, number, compute, table, buckets](const Normed& input) {
      const at::Tensor bias = buckets.defined() ? relativeBias_->forward(buckets) : at::Tensor();
      return block.forward(input, number, batch, pass, compute, {table, bias});
    };
    // Below the lowest trained parameter nothing is kept for a backward pass anyway.
    const bool recomputes = pass != nullptr && pass->gradientCheckpointing &&
                            (x.values.requires_grad() || block.isTrained() || isBiasTrained());
    if (recomputes)
      x = checkpoint([layer](const at::Tensor& input) { return layer(input).values; }, x.values);
    else
      x = layer(x);
  }
  return finalNorm_.has_value() ? finalNorm_->apply(x.values) : x.values;
}

void Encoder::prepare(OperandBuilder& builder, bool isTraining) {
  embeddings_.prepare(builder, isTraining);
  bool hasBackward = embeddings_.isTrained() ||
                     isBiasTrained();  // below the lowest trained parameter there is no backward pass
  for (Block* block : runs_) {
    hasBackward = hasBackward || block->isTrained();
    block->prepare(builder, isTraining && hasBackward);
  }
}

void Encoder::mergeAdapters() {
  embeddings_.mergeAdapters();
  for (Block& block : blocks_) block.mergeAdapters();
}

}  // namespace bertune
