// What a session is built from: numbers and kinds, never the name of a model. src/native/spec.ts says what
// each means.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bertune {

enum class Activation { Gelu, GeluTanh, Relu, Silu, Tanh };

enum class LossKind { CrossEntropy, BinaryCrossEntropy, MeanSquaredError };

struct NormSpec {
  double epsilon;
  bool bias;
};

struct PositionsSpec {
  int64_t rows;
  int64_t first;  // the row of a sequence's first token
};

struct EmbeddingsSpec {
  int64_t width, vocab;
  std::optional<int64_t> padId;  // the row of the word table that gets no gradient
  std::optional<PositionsSpec> positions;
  int64_t tokenTypes;  // rows; 0 for an encoder without token types
  std::optional<NormSpec> norm;
  double dropout;
  bool projection;
};

// A value a head for each bucket of distances between query and key, added to the scores of all layers.
struct RelativeBiasSpec {
  int64_t buckets, maxDistance;
};

// A table of relative positions for all layers, whose keys and queries the scores of disentangled attention
// have too.
struct DisentangledSpec {
  int64_t rows;
  // Of the distances query - key from -n to n; farther ones have the rows of the last.
  std::vector<int32_t> rowOfDistance;
  bool hasKeys, hasQueries;
  bool isShared;  // projected as the layer's own queries and keys are
  std::optional<NormSpec> norm;
  double dropout;
};

struct AttentionSpec {
  bool bias;
  double dropout, outputDropout;
  std::optional<RelativeBiasSpec> relativeBias = std::nullopt;
  std::optional<DisentangledSpec> disentangled = std::nullopt;
};

struct MlpSpec {
  int64_t width;
  Activation activation;
  bool isGated, biasIn, biasOut;
  double innerDropout, outputDropout;
};

struct LayerSpec {
  std::string parameters;  // the prefix of their names
  bool attentionNorm;
  std::optional<int64_t> window;  // the most tokens between a query and a key that it sees
  std::optional<double> rotaryTheta;
};

struct EncoderSpec {
  int64_t hidden, heads;
  EmbeddingsSpec embeddings;
  AttentionSpec attention;
  MlpSpec mlp;
  bool isPreNorm;
  NormSpec norm;
  bool finalNorm;
  std::vector<LayerSpec> layers;  // in the order in which they run
};

struct HeadStage {
  enum class Kind { PoolFirst, PoolMean, SelectLabelled, Linear, Activation, Norm, Dropout, Vocabulary };
  Kind kind;
  std::string name = {};                     // of a linear layer, a norm or a vocabulary
  Activation activation = Activation::Tanh;  // of an activation
  double probability = 0;                    // of a dropout
};

struct Initialisation {
  enum class Kind { Normal, TruncatedNormal, Uniform, Zeros, Ones };
  Kind kind;
  double spread = 0;  // the standard deviation, or the bound
  double cut = 0;     // of a truncated normal distribution: standard deviations from 0
  std::optional<int64_t> zeroRow = std::nullopt;
};

// What some rows of a parameter are called outside.
struct TensorSpec {
  std::string name;
  int64_t rows;
};

struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  Initialisation initialisation;
  bool decays;
  std::vector<TensorSpec> tensors;  // side by side, all rows together
};

struct AdapterSpec {
  std::string linear;
  int64_t firstRow, rows;
  std::string a, b;
};

struct LoraSpec {
  int64_t rank = 0;
  double scaling = 0, dropout = 0;
  std::vector<AdapterSpec> adapters;
};

struct SessionSpec {
  EncoderSpec encoder;
  std::vector<HeadStage> head;
  LossKind loss;
  std::vector<ParameterSpec> parameters;
  LoraSpec lora;
};

}  // namespace bertune
