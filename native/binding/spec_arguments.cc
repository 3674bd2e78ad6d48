// The spec of a session from JavaScript.
#include <limits>
#include <string>

#include "binding/arguments.h"

namespace bertune::arguments {
namespace {

// Numbers that are out of place would fill the memory with empty layers.
constexpr int64_t kMostLayers = 1024;
constexpr uint32_t kMostStages = 64, kMostParameters = 1 << 16, kMostDimensions = 2;
constexpr uint32_t kMostDistances = 1 << 17;
constexpr int64_t kMostValues = int64_t{1} << 40;  // of a parameter

// The members of one object of the spec. `name` is its place, as messages have it; nothing for the spec
// itself.
class Members {
 public:
  Members(const Napi::Value& value, const std::string& name)
      : object_(object(value, name.empty() ? "spec" : name.c_str())), path_(name.empty() ? "" : name + ".") {}

  Napi::Value get(const char* name) const { return object_.Get(name); }
  bool has(const char* name) const { return !get(name).IsUndefined(); }
  Members child(const char* name) const { return {get(name), at(name)}; }
  bool isNull(const char* name) const { return get(name).IsNull(); }

  int64_t size(const char* name, int64_t least = 1) const {
    return integer(get(name), at(name).c_str(), least);
  }
  int64_t row(const char* name, int64_t rows) const {
    return integer(get(name), at(name).c_str(), 0, rows - 1);
  }
  double probability(const char* name) const { return number(get(name), at(name).c_str(), 0, 0.999); }
  double value(const char* name, double most) const { return number(get(name), at(name).c_str(), 0, most); }
  bool isTrue(const char* name) const { return flag(get(name), at(name).c_str()); }
  std::string string(const char* name) const { return text(get(name), at(name).c_str()); }
  std::string at(const char* name) const { return path_ + name; }

  // One of `names`, as its number.
  template <size_t N>
  size_t choice(const char* name, const char* const (&names)[N]) const {
    const std::string given = string(name);
    std::string all;
    for (size_t i = 0; i < N; ++i) {
      if (given == names[i]) return i;
      all += std::string(i == 0 ? "" : i + 1 < N ? ", " : " or ") + names[i];
    }
    fail(get(name), all, at(name).c_str());
  }

  // body(element, its name) for the elements of an array.
  template <typename Body>
  void forEach(const char* name, uint32_t most, const Body& body) const {
    const Napi::Array elements = list(get(name), at(name).c_str());
    if (elements.Length() > most)
      fail(get(name), "at most " + std::to_string(most) + " elements", at(name).c_str());
    for (uint32_t i = 0; i < elements.Length(); ++i)
      body(elements.Get(i), at(name) + "[" + std::to_string(i) + "]");
  }

 private:
  Napi::Object object_;
  std::string path_;
};

Activation activation(const Members& members, const char* name) {
  static constexpr const char* names[] = {"gelu", "gelu_tanh", "relu", "silu", "tanh"};
  return static_cast<Activation>(members.choice(name, names));
}

NormSpec norm(const Members& members) { return {members.value("eps", 1), members.isTrue("bias")}; }

EmbeddingsSpec embeddings(const Members& members) {
  EmbeddingsSpec spec{};
  spec.width = members.size("width");
  spec.vocab = members.size("vocab");
  if (!members.isNull("padId")) spec.padId = members.row("padId", spec.vocab);
  if (!members.isNull("positions")) {
    const Members positions = members.child("positions");
    const int64_t rows = positions.size("rows");
    spec.positions = PositionsSpec{rows, positions.row("first", rows)};
  }
  spec.tokenTypes = members.size("tokenTypes", 0);
  if (!members.isNull("norm")) spec.norm = norm(members.child("norm"));
  spec.dropout = members.probability("dropout");
  spec.projection = members.isTrue("projection");
  return spec;
}

DisentangledSpec disentangled(const Members& members) {
  DisentangledSpec spec{};
  spec.rows = members.size("rows");
  members.forEach("rowOfDistance", kMostDistances, [&](const Napi::Value& row, const std::string& name) {
    spec.rowOfDistance.push_back(static_cast<int32_t>(integer(row, name.c_str(), 0, spec.rows - 1)));
  });
  if (spec.rowOfDistance.size() % 2 == 0)
    fail(members.get("rowOfDistance"), "an odd number of rows", members.at("rowOfDistance").c_str());
  spec.hasKeys = members.isTrue("keys");
  spec.hasQueries = members.isTrue("queries");
  if (!spec.hasKeys && !spec.hasQueries)
    fail(members.get("queries"), "true where keys is false", members.at("queries").c_str());
  spec.isShared = members.isTrue("shared");
  if (!members.isNull("norm")) spec.norm = norm(members.child("norm"));
  spec.dropout = members.probability("dropout");
  return spec;
}

// What depends on the distance of a query and a key.
void readRelative(const Members& members, AttentionSpec& spec) {
  static constexpr const char* kinds[] = {"bias", "disentangled"};
  if (members.choice("kind", kinds) == 1) {
    spec.disentangled = disentangled(members);
    return;
  }
  const int64_t buckets = members.size("buckets", 4);
  spec.relativeBias = RelativeBiasSpec{buckets, members.size("maxDistance", buckets / 4 + 1)};
}

LayerSpec layerSpec(const Members& members, const EncoderSpec& encoder) {
  LayerSpec spec{members.string("parameters"), members.isTrue("attentionNorm"), {}, {}};
  if (!spec.attentionNorm && !encoder.isPreNorm)
    fail(members.get("attentionNorm"), "true where norms come behind attention",
         members.at("attentionNorm").c_str());
  if (!members.isNull("window")) spec.window = members.size("window", 0);
  if (members.isNull("rotaryTheta")) return spec;
  spec.rotaryTheta = members.value("rotaryTheta", 1e12);
  if (*spec.rotaryTheta <= 0 || encoder.hidden / encoder.heads % 2 != 0)
    fail(members.get("rotaryTheta"), "a number above 0, for heads of an even size",
         members.at("rotaryTheta").c_str());
  return spec;
}

EncoderSpec encoder(const Members& members) {
  EncoderSpec spec{};
  spec.hidden = members.size("hidden");
  spec.heads = members.size("heads");
  if (spec.hidden % spec.heads != 0)
    fail(members.get("heads"), "a divisor of hidden (" + std::to_string(spec.hidden) + ")",
         members.at("heads").c_str());
  spec.embeddings = embeddings(members.child("embeddings"));
  if (!spec.embeddings.projection && spec.embeddings.width != spec.hidden)
    fail(members.child("embeddings").get("projection"),
         "a projection, since width is " + std::to_string(spec.embeddings.width) + " and hidden " +
             std::to_string(spec.hidden) + ",",
         "encoder.embeddings.projection");
  const Members attention = members.child("attention");
  spec.attention = {attention.isTrue("bias"), attention.probability("dropout"),
                    attention.probability("outputDropout")};
  if (attention.has("relative") && !attention.isNull("relative"))
    readRelative(attention.child("relative"), spec.attention);
  const Members mlp = members.child("mlp");
  spec.mlp = {mlp.size("width"),
              activation(mlp, "activation"),
              mlp.isTrue("gated"),
              mlp.isTrue("biasIn"),
              mlp.isTrue("biasOut"),
              mlp.probability("innerDropout"),
              mlp.probability("outputDropout")};
  static constexpr const char* orders[] = {"post", "pre"};
  spec.isPreNorm = members.choice("order", orders) == 1;
  spec.norm = norm(members.child("norm"));
  spec.finalNorm = members.isTrue("finalNorm");
  members.forEach("layers", kMostLayers, [&](const Napi::Value& layer, const std::string& name) {
    spec.layers.push_back(layerSpec(Members(layer, name), spec));
  });
  if (spec.layers.empty()) fail(members.get("layers"), "at least one layer", members.at("layers").c_str());
  return spec;
}

HeadStage stage(const Members& members) {
  using Kind = HeadStage::Kind;
  if (members.has("pool")) {
    static constexpr const char* pools[] = {"first", "mean"};
    return {members.choice("pool", pools) == 0 ? Kind::PoolFirst : Kind::PoolMean};
  }
  if (members.has("select")) {
    static constexpr const char* selections[] = {"labelled"};
    members.choice("select", selections);
    return {Kind::SelectLabelled};
  }
  if (members.has("vocabulary")) return {Kind::Vocabulary, members.string("vocabulary")};
  if (members.has("linear")) return {Kind::Linear, members.string("linear")};
  if (members.has("norm")) return {Kind::Norm, members.string("norm")};
  if (members.has("activation")) return {Kind::Activation, {}, activation(members, "activation")};
  return {Kind::Dropout, {}, Activation::Tanh, members.probability("dropout")};
}

Initialisation initialisation(const Members& members, int64_t rows) {
  using Kind = Initialisation::Kind;
  static constexpr const char* kinds[] = {"normal", "truncated_normal", "uniform", "zeros", "ones"};
  const auto kind = static_cast<Kind>(members.choice("kind", kinds));
  Initialisation result{kind};
  if (kind == Kind::Normal || kind == Kind::TruncatedNormal) result.spread = members.value("std", 1e3);
  if (kind == Kind::TruncatedNormal) result.cut = members.value("cut", 1e3);
  if (kind == Kind::Normal && members.has("zeroRow")) result.zeroRow = members.row("zeroRow", rows);
  if (kind == Kind::Uniform) result.spread = members.value("bound", 1e3);
  return result;
}

ParameterSpec parameter(const Members& members) {
  ParameterSpec spec{};
  spec.name = members.string("name");
  double values = 1;
  members.forEach("shape", kMostDimensions, [&](const Napi::Value& size, const std::string& name) {
    spec.shape.push_back(integer(size, name.c_str(), 1));
    values *= static_cast<double>(spec.shape.back());
  });
  if (spec.shape.empty() || values > static_cast<double>(kMostValues))
    fail(members.get("shape"), "one or two sizes that memory can hold", members.at("shape").c_str());
  spec.initialisation = initialisation(members.child("initialisation"), spec.shape[0]);
  spec.decays = members.isTrue("decays");
  int64_t rows = 0;
  members.forEach("tensors", kMostParameters, [&](const Napi::Value& value, const std::string& name) {
    const Members tensor(value, name);
    spec.tensors.push_back({tensor.string("name"), tensor.size("rows")});
    rows += spec.tensors.back().rows;
  });
  if (rows != spec.shape[0])
    fail(members.get("tensors"), "tensors of " + std::to_string(spec.shape[0]) + " rows together",
         members.at("tensors").c_str());
  return spec;
}

LoraSpec lora(const Members& members) {
  LoraSpec spec;
  spec.rank = members.size("rank");
  spec.scaling = members.value("scaling", 1e6);
  spec.dropout = members.probability("dropout");
  members.forEach("adapters", kMostParameters, [&](const Napi::Value& value, const std::string& name) {
    const Members adapter(value, name);
    spec.adapters.push_back({adapter.string("linear"), adapter.size("firstRow", 0), adapter.size("rows"),
                             adapter.string("a"), adapter.string("b")});
  });
  return spec;
}

}  // namespace

SessionSpec sessionSpec(const Napi::Value& value) {
  const Members members(value, "");
  SessionSpec spec{};
  spec.encoder = encoder(members.child("encoder"));
  members.forEach("head", kMostStages, [&](const Napi::Value& element, const std::string& name) {
    spec.head.push_back(stage(Members(element, name)));
  });
  static constexpr const char* losses[] = {"cross_entropy", "binary_cross_entropy", "mean_squared_error"};
  spec.loss = static_cast<LossKind>(members.choice("loss", losses));
  members.forEach("parameters", kMostParameters, [&](const Napi::Value& element, const std::string& name) {
    spec.parameters.push_back(parameter(Members(element, name)));
  });
  if (members.has("lora")) spec.lora = lora(members.child("lora"));
  return spec;
}

}  // namespace bertune::arguments
