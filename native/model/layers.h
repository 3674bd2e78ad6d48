// The layers that embeddings, blocks and heads are made of, and the pass that they take part in.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/batch.h"
#include "core/parameters.h"
#include "core/random.h"
#include "core/spec.h"
#include "ops/linear.h"

namespace bertune {

// Which numbers are drawn where: what belongs to no layer counts down from kNoLayer.
constexpr int64_t kNoLayer = -1;

// What a forward pass in training does that one in evaluation (no TrainingPass) does not.
struct TrainingPass {
  uint64_t seed;  // with step, token and sequence decides what is dropped, and the noise
  int64_t step;
  int64_t firstToken;  // tokens and sequences that earlier micro-batches of this step had
  int64_t firstSequence;
  double neftuneNoiseAlpha;               // 0 = no noise
  bool gradientCheckpointing;             // layers run again in the backward pass
  bool packsWhenRead;                     // weights, instead of all of them before the pass (OperandBuilder)
  const PassNumbers* onDevice = nullptr;  // the first four in memory of a GPU, for kernels; see Mask
  // Called when the backward pass has come to the input of a layer: with those above it is done.
  const std::function<void(size_t layer)>* layerDone = nullptr;
  // Of each token and sequence of the batch its place in the step, where these are not all in order.
  const std::vector<int32_t>*tokenPlaces = nullptr, *sequencePlaces = nullptr;
};

// What the numbers of a site are drawn with, dropout or other noise.
inline Mask keyAt(const TrainingPass& pass, Site site, int64_t layer, double probability, MaskRows rows) {
  Mask mask = makeMask(pass.seed, pass.step, layer, site, probability,
                       rows.first(pass.firstToken, pass.firstSequence));
  mask.onDevice = pass.onDevice;
  mask.layer = layer;
  mask.site = site;
  mask.rows = rows;
  const auto* places = rows.of == RowsAre::Tokens ? pass.tokenPlaces : pass.sequencePlaces;
  if (places != nullptr && rows.factor > 0) mask.places = places->data();
  return mask;
}

inline Mask maskAt(const TrainingPass* pass, Site site, int64_t layer, double probability, MaskRows rows) {
  return pass == nullptr || probability == 0 ? Mask() : keyAt(*pass, site, layer, probability, rows);
}

struct Adapter {
  Parameter *a, *b;
  int64_t firstRow;        // among those of the layer
  int64_t firstOfB, rows;  // of B that are of the layer
  Site site;               // of the dropout of its input, with `layer`
  double scaling, dropout;
};

// A linear layer of the model: rows of a weight and its bias, and the low-rank adapters (LoRA, Hu et al.
// 2021) of those rows: y = W x + b becomes W x + b + scaling * B A x.
class LinearLayer {
 public:
  LinearLayer() = default;
  // Rows [firstRow, firstRow + rows) of `weight` and `bias`; `bias` may be null.
  LinearLayer(Parameter& weight, Parameter* bias, int64_t firstRow, int64_t rows)
      : weight_(&weight), bias_(bias), firstRow_(firstRow), rows_(rows) {}

  void addAdapter(const Adapter& adapter) { adapters_.push_back(adapter); }
  bool hasAdapters() const { return !adapters_.empty(); }
  int64_t rows() const { return rows_; }
  bool isTrained() const;
  // Brings what the matrix products read up to date with the weights, before a pass.
  void prepare(OperandBuilder& builder, bool wantsBackward);
  LinearWeights weights() const;

  // What the adapters add, [rows, out] of `type`; undefined where there are none. `selection`: the rows of x
  // that are wanted, where these are not all.
  at::Tensor addend(const at::Tensor& x, int64_t layer, const TrainingPass* pass, MaskRows maskRows,
                    at::ScalarType type, const at::Tensor& selection = {}) const;
  // The layer in float32 by LibTorch's operators, adapters included: for the small ones of a head.
  at::Tensor apply(const at::Tensor& x, int64_t layer, const TrainingPass* pass, MaskRows maskRows) const;

  // Adds the adapters to the weight that they adapt, and sets these rows of their B to zero.
  void mergeAdapters();

 private:
  Parameter *weight_ = nullptr, *bias_ = nullptr;
  int64_t firstRow_ = 0, rows_ = 0;
  std::vector<Adapter> adapters_;  // by row
  LinearOperands operands_;
};

// LayerNorm with its parameters.
struct NormLayer {
  Parameter *weight = nullptr, *bias = nullptr;  // bias may be null
  double epsilon = 0;

  bool isTrained() const { return weight->isTrained() || (bias != nullptr && bias->isTrained()); }
  NormWeights weights() const {
    return {weight->value, bias == nullptr ? std::nullopt : std::optional(bias->value), epsilon};
  }
  at::Tensor apply(const at::Tensor& x) const {
    return at::layer_norm(x, weight->value.sizes(), weight->value, weights().bias, epsilon);
  }
};

// Finds the parameters of layers by their names, and checks their shapes.
class LayerFactory {
 public:
  LayerFactory(Parameters& parameters, LoraSpec lora) : parameters_(parameters), lora_(std::move(lora)) {}

  // `site` is that of the adapters of the layer's first rows; where a layer has parts, those of part i are at
  // site + i.
  LinearLayer linear(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site,
                     int64_t parts = 1);
  // Some rows of a layer that `linear` has made: the same parameters again.
  LinearLayer rows(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site, int64_t parts,
                   int64_t firstRow, int64_t count);
  // The table of the word embeddings once more, as a layer whose outputs are the words. Its bias, if any, is
  // NAME.bias.
  LinearLayer vocabulary(const std::string& name, int64_t words, int64_t in);
  NormLayer norm(const std::string& name, int64_t size, const NormSpec& spec);
  Parameter& table(const std::string& name, int64_t rows, int64_t columns);
  Parameter& matrix(const std::string& name);  // whatever its sizes; throws where there is none
  bool has(const std::string& name) { return parameters_.find(name) != nullptr; }

  // Throws std::invalid_argument where an adapter is of no layer.
  void requireAllAdapted() const;

 private:
  Parameters& parameters_;
  LoraSpec lora_;
  std::map<std::string, bool> adapted_;  // names of layers with adapters
};

}  // namespace bertune
