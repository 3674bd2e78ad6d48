// BERT with a sequence classification head over packed batches (HF modeling_bert.py,
// BertForSequenceClassification). Owns the fp32 master weights; knows nothing of losses or optimizers.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "activation.h"
#include "batch.h"
#include "linear.h"
#include "random.h"

namespace bertune {

// Low-rank adapters (LoRA, Hu et al. 2021): a linear layer y = W x + b becomes W x + b + scaling * B A x.
struct LoraConfig {
  std::vector<std::string> modules;  // full names of the linear layers, of encoder and pooler, that get one
  int64_t rank;
  double scaling;
  double dropout;  // of the adapters' input
};

struct ModelConfig {
  int64_t vocabSize, hiddenSize, numHiddenLayers, numAttentionHeads, intermediateSize;
  int64_t maxPositionEmbeddings, typeVocabSize, padTokenId, numLabels;
  double hiddenDropoutProb, attentionProbsDropoutProb, classifierDropout, initializerRange, layerNormEps;
  Activation hiddenAct;
  LoraConfig lora;
};

// Weights that are one tensor here. Matrices decay only, which for BERT is HF's rule (no biases, no
// LayerNorm).
struct Parameter {
  at::Tensor weight;
  bool decays() const { return weight.dim() >= 2; }
};

// A tensor as Hugging Face names it: some rows of a parameter (query, key and value are one matrix here).
struct NamedTensor {
  std::string name;
  size_t parameter;
  int64_t firstRow;
  std::vector<int64_t> shape;

  at::Tensor of(const at::Tensor& whole) const { return whole.narrow(0, firstRow, shape[0]); }
};

// What a forward pass in training does that one in evaluation (null) does not.
struct TrainingPass {
  uint64_t seed;  // with step, token and sequence decides what is dropped, and the noise
  int64_t step;
  int64_t firstToken;  // tokens and sequences that earlier micro-batches of this step had
  int64_t firstSequence;
  double neftuneNoiseAlpha;    // 0 = no noise
  bool gradientCheckpointing;  // layers run again in the backward pass
};

class Model {
 public:
  // Random initial weights as HF's _init_weights: normal(0, initializerRange), zero biases, LayerNorm 1 and
  // 0. Each tensor draws from its own generator, so that a new head does not depend on the rest of the model.
  // Of an adapter A is uniform in +-1 / sqrt(in) and B zero, as PEFT begins.
  Model(ModelConfig config, at::Device device, at::ScalarType compute, uint64_t seed);

  // float32 [sequences, numLabels]
  at::Tensor logits(const Batch& batch, const TrainingPass* pass);

  // To be called after a weight has changed: what was packed or rounded of it is worth nothing now.
  void weightChanged(size_t parameter) {
    packed_[parameter] = {};
    isRounded_[parameter] = false;
  }

  // Adds the adapters to the weights that they adapt, and begins them anew from zero.
  void mergeAdapters();

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  const ModelConfig& config() const { return config_; }
  at::Device device() const { return device_; }
  at::ScalarType compute() const { return compute_; }

 private:
  // Indices into parameters_. An adapter goes with some rows of a weight: query, key and value have their
  // own.
  struct Adapter {
    size_t a, b;
    int64_t firstRow;
    Site site;
  };
  struct Linear {
    size_t weight, bias;
    std::vector<Adapter> adapters = {};  // by row
  };
  struct Norm {
    size_t weight, bias;
  };
  struct Layer {
    Linear queryKeyValue, attentionOutput, intermediate, output;
    Norm attentionNorm, outputNorm;
    std::vector<size_t> parameters;  // all of them

    std::array<const Linear*, 4> linears() const {
      return {&queryKeyValue, &attentionOutput, &intermediate, &output};
    }
  };

  size_t add(at::Tensor weight);
  size_t addMatrix(int64_t rows, int64_t columns);
  size_t addEmbedding(const std::string& name, int64_t rows);
  size_t addWordEmbeddings(const std::string& name);  // HF: the row of the padding token is zero
  void name(const std::string& name, size_t parameter);
  Linear addLinear(const std::string& name, int64_t out, int64_t in);
  Linear addQueryKeyValue(const std::string& prefix);
  Norm addNorm(const std::string& name);
  Layer addLayer(const std::string& prefix);
  void addAdapters();

  // What has changed since the last time: packed for tile products, or else rounded to the compute type.
  void prepare(bool isTraining);
  void pack(bool isTraining);
  void round();
  at::Tensor embed(const Batch& batch, const TrainingPass* pass) const;
  // float32 [tokens, hiddenSize]; of the last layer [sequences, hiddenSize]: the first token of each
  // sequence.
  at::Tensor encode(size_t index, const at::Tensor& x, const Batch& batch, const TrainingPass* pass) const;
  bool isTrained(const Layer& layer) const;
  // scaling * B A dropout(x) of all adapters side by side, [rows, out] of `type`; undefined where there are
  // none.
  at::Tensor adapt(const Linear& linear, const at::Tensor& x, int64_t layer, const TrainingPass* pass,
                   int64_t earlierRows, at::ScalarType type) const;
  at::Tensor pool(const at::Tensor& x, const TrainingPass* pass) const;
  at::Tensor head(const Linear& linear, const at::Tensor& x) const;
  LinearWeights weights(const Linear& linear) const;
  NormWeights weights(const Norm& norm) const;
  const at::Tensor& weight(size_t parameter) const { return parameters_[parameter].weight; }

  ModelConfig config_;
  at::Device device_;
  at::ScalarType compute_;
  uint64_t seed_;
  std::vector<Parameter> parameters_;
  // By parameter; of the encoder's linear layers, one of the two, when needed.
  std::vector<PackedWeight> packed_;
  std::vector<at::Tensor> rounded_;
  std::vector<bool> isRounded_;
  std::vector<NamedTensor> tensors_;

  size_t wordEmbeddings_, positionEmbeddings_, tokenTypeEmbeddings_;
  Norm embeddingNorm_;
  std::vector<Layer> layers_;
  Linear pooler_, classifier_;
};

}  // namespace bertune
