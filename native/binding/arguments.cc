#include "binding/arguments.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstring>
#include <sstream>

#include "core/device.h"

namespace bertune {

std::string oneLine(std::string text, size_t most) {
  for (const char* separator : {"\u2028", "\u2029"})  // ends of lines for JavaScript
    for (size_t at = text.find(separator); at != std::string::npos; at = text.find(separator, at))
      text.replace(at, 3, 1, ' ');
  for (char& character : text)
    if (static_cast<unsigned char>(character) < ' ' || character == '\x7f') character = ' ';
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

std::string oneLine(const std::exception& error, size_t most) {
  const auto* torchError = dynamic_cast<const c10::Error*>(&error);
  if (torchError == nullptr) return oneLine(std::string(error.what()), most);
  const std::string text = torchError->what_without_backtrace();
  return oneLine(text.substr(0, text.find('\n')), most);
}

namespace arguments {
namespace {

std::string shown(double value) {
  std::ostringstream digits;
  digits.precision(16);
  digits << value;
  return digits.str();
}

constexpr size_t kQuoted = 80;

std::string quoted(const std::string& text) { return '"' + oneLine(text, kQuoted) + '"'; }

std::string describe(const Napi::Value& value) {
  if (value.IsNumber()) return shown(value.As<Napi::Number>().DoubleValue());
  if (value.IsString()) return quoted(value.As<Napi::String>().Utf8Value());
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsTypedArray()) return "another typed array";
  if (value.IsArray()) return "an array";
  if (value.IsObject()) return "an object";
  return "a value of another type";
}

template <typename T>
Napi::TypedArrayOf<T> typedArray(const Napi::Value& value, napi_typedarray_type type, const char* expected,
                                 const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    fail(value, expected, name);
  return value.As<Napi::TypedArrayOf<T>>();
}

template <typename T>
std::vector<T> copyOf(const Napi::Value& value, napi_typedarray_type type, const char* expected,
                      const char* name) {
  const auto array = typedArray<T>(value, type, expected, name);
  if (array.ElementLength() == 0) return {};
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

std::vector<int32_t> integers(const Napi::Value& value, const char* name) {
  return copyOf<int32_t>(value, napi_int32_array, "an Int32Array", name);
}

at::ScalarType storageType(const Napi::Value& value) {
  const std::string dtype = text(value, "dtype");
  if (dtype == "F32") return at::kFloat;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "BF16") return at::kBFloat16;
  fail(value, "'F32', 'F16' or 'BF16'", "dtype");
}

std::vector<int64_t> shapeOf(const Napi::Value& value) {
  if (!value.IsArray()) fail(value, "an array of sizes", "shape");
  constexpr uint32_t mostSizes = 8;  // of the model's tensors none has more than two
  const auto array = value.As<Napi::Array>();
  if (array.Length() > mostSizes) fail(value, "at most 8 sizes", "shape");
  std::vector<int64_t> shape;
  for (uint32_t i = 0; i < array.Length(); ++i) shape.push_back(integer(array.Get(i), "shape", 0));
  return shape;
}

}  // namespace

void fail(const Napi::Value& value, const std::string& expected, const char* name) {
  throw Napi::TypeError::New(value.Env(),
                             "Expected " + expected + " for " + name + " but received " + describe(value));
}

bool flag(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean()) fail(value, "true or false", name);
  return value.As<Napi::Boolean>().Value();
}

Napi::Array list(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) fail(value, "an array", name);
  return value.As<Napi::Array>();
}

Napi::Object object(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) fail(value, "an object", name);
  return value.As<Napi::Object>();
}

std::string text(const Napi::Value& value, const char* name) {
  if (!value.IsString()) fail(value, "a string", name);
  return value.As<Napi::String>().Utf8Value();
}

double number(const Napi::Value& value, const char* name, double least, double most) {
  const double result = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(result >= least && result <= most)) {
    if (least == -std::numeric_limits<double>::max()) fail(value, "a finite number", name);
    const bool open = most == std::numeric_limits<double>::max();
    fail(value,
         open ? "a finite number of at least " + shown(least)
              : "a number from " + shown(least) + " to " + shown(most),
         name);
  }
  return result;
}

int64_t integer(const Napi::Value& value, const char* name, int64_t least, int64_t most) {
  const double result = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(result >= static_cast<double>(least) && result <= static_cast<double>(most) &&
        result == std::floor(result)))
    fail(value, "a whole number from " + std::to_string(least) + " to " + std::to_string(most), name);
  return static_cast<int64_t>(result);
}

c10::Device device(const Napi::Value& value) {
  const std::string name = text(value, "device");
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == "cuda") return cudaDevice(0);
  const std::string index = name.rfind("cuda:", 0) == 0 ? name.substr(5) : "";
  const bool isIndex =
      !index.empty() && index.size() <= 3 && index.find_first_not_of("0123456789") == std::string::npos;
  if (isIndex) return cudaDevice(std::stoll(index));
  fail(value, "'cpu', 'cuda' or one such as 'cuda:1'", "device");
}

WorldAddress worldAddress(const Napi::Value& value) {
  const Napi::Object given = object(value, "world");
  WorldAddress address;
  address.host = text(given.Get("host"), "host");
  address.port = static_cast<uint16_t>(integer(given.Get("port"), "port", 1, 65535));
  address.size = static_cast<int>(integer(given.Get("size"), "size", 1, 1 << 16));
  address.rank = static_cast<int>(integer(given.Get("rank"), "rank", 0, address.size - 1));
  address.isServer = flag(given.Get("isServer"), "isServer");
  address.prefix = text(given.Get("prefix"), "prefix");
  address.interface = text(given.Get("interface"), "interface");
  address.timeout = std::chrono::milliseconds(integer(given.Get("timeout"), "timeout", 1, 1LL << 40));
  return address;
}

at::ScalarType computeType(const Napi::Value& value) {
  const std::string dtype = text(value, "dtype");
  if (dtype == "float32") return at::kFloat;
  if (dtype == "bfloat16") return at::kBFloat16;
  fail(value, "'float32' or 'bfloat16'", "dtype");
}

RawBatch batch(const Napi::Value& value) {
  const Napi::Object packed = object(value, "batch");
  RawBatch raw;
  raw.inputIds = integers(packed.Get("inputIds"), "inputIds");
  raw.cuSeqlens = integers(packed.Get("cuSeqlens"), "cuSeqlens");
  const Napi::Value types = packed.Get("tokenTypeIds");
  if (!types.IsUndefined()) raw.tokenTypeIds = integers(types, "tokenTypeIds");
  const Napi::Value places = packed.Get("places");
  if (!places.IsUndefined()) {
    const Napi::Object given = object(places, "places");
    raw.tokenPlaces = integers(given.Get("tokens"), "places.tokens");
    raw.sequencePlaces = integers(given.Get("sequences"), "places.sequences");
  }
  const Napi::Value labels = packed.Get("labels");
  if (labels.IsTypedArray() && labels.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array)
    raw.classLabels = integers(labels, "labels");
  else if (!labels.IsUndefined())
    raw.valueLabels = copyOf<float>(labels, napi_float32_array, "an Int32Array or a Float32Array", "labels");
  return raw;
}

std::optional<bool> optionalFlag(const Napi::Object& options, const char* name) {
  const Napi::Value given = options.Get(name);
  if (given.IsUndefined()) return std::nullopt;
  return flag(given, name);
}

LossOptions lossOptions(const Napi::Object& options, int64_t outputs) {
  const auto factor = [&](const char* name, double most) {
    const Napi::Value value = options.Get(name);
    return value.IsUndefined() ? 0 : number(value, name, 0, most);
  };
  const auto weights = [&](const char* name) -> std::vector<float> {
    const Napi::Value value = options.Get(name);
    if (value.IsUndefined()) return {};
    auto result = copyOf<float>(value, napi_float32_array, "a Float32Array", name);
    if (result.size() != static_cast<size_t>(outputs))
      throw Napi::RangeError::New(value.Env(), "Expected " + std::to_string(outputs) + " values for " + name +
                                                   ", one a label, but received " +
                                                   std::to_string(result.size()));
    return result;
  };
  const Napi::Value temperature = options.Get("temperature"), alpha = options.Get("alpha");
  return {factor("labelSmoothing", 1),
          factor("focalGamma", std::numeric_limits<double>::max()),
          weights("classWeights"),
          weights("posWeight"),
          temperature.IsUndefined() ? 1 : number(temperature, "temperature", 0.01, 1000),
          alpha.IsUndefined() ? 1 : number(alpha, "alpha", 0, 1)};
}

TrainingOptions trainingOptions(const Napi::Value& value) {
  TrainingOptions result;
  if (value.IsUndefined()) return result;
  const Napi::Object options = object(value, "options");
  const Napi::Value optimizer = options.Get("optimizer");
  if (!optimizer.IsUndefined()) result.optimizer.name = text(optimizer, "optimizer");
  const Napi::Value momentum = options.Get("momentum");
  if (!momentum.IsUndefined()) result.optimizer.momentum = number(momentum, "momentum", 0, 1);
  const Napi::Value alpha = options.Get("neftuneNoiseAlpha");
  if (!alpha.IsUndefined()) result.neftuneNoiseAlpha = number(alpha, "neftuneNoiseAlpha", 0, 1e6);
  result.gradientCheckpointing = optionalFlag(options, "gradientCheckpointing").value_or(false);
  result.autoFindBatchSize = optionalFlag(options, "autoFindBatchSize").value_or(false);
  result.recordsSteps = optionalFlag(options, "cudaGraphs").value_or(true);
  return result;
}

UpdateOptions updateOptions(const Napi::Object& options) {
  constexpr double most = std::numeric_limits<double>::max();
  const auto get = [&](const char* name, double limit) { return number(options.Get(name), name, 0, limit); };
  return {get("learningRate", most), get("beta1", 1),          get("beta2", 1),
          get("epsilon", most),      get("weightDecay", most), get("maxGradNorm", most)};
}

std::vector<std::pair<std::string, TensorSettings>> tensorSettings(const Napi::Value& value) {
  constexpr double most = std::numeric_limits<double>::max();
  if (!value.IsArray()) fail(value, "an array of settings", "tensors");
  const auto list = value.As<Napi::Array>();
  std::vector<std::pair<std::string, TensorSettings>> result;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Object entry = object(list.Get(i), "a tensor's settings");
    const auto factor = [&](const char* name) {
      const Napi::Value given = entry.Get(name);
      return given.IsUndefined() ? 1 : number(given, name, 0, most);
    };
    const Napi::Value trainable = entry.Get("trainable");
    if (!trainable.IsUndefined() && !trainable.IsBoolean()) fail(trainable, "true or false", "trainable");
    result.push_back({text(entry.Get("name"), "name"),
                      {trainable.IsUndefined() || trainable.As<Napi::Boolean>().Value(),
                       factor("learningRateFactor"), factor("weightDecayFactor")}});
  }
  return result;
}

at::Tensor tensor(const Napi::Object& value) {
  const at::ScalarType type = storageType(value.Get("dtype"));
  const std::vector<int64_t> shape = shapeOf(value.Get("shape"));
  const auto bytes = typedArray<uint8_t>(value.Get("data"), napi_uint8_array, "a Uint8Array", "data");
  const size_t given = bytes.ElementLength();
  double count = 1;  // a double cannot overflow; an equal size below shows that it was exact
  for (const int64_t size : shape) count *= static_cast<double>(size);
  const double needed = count * static_cast<double>(c10::elementSize(type));
  if (needed != static_cast<double>(given))
    throw Napi::RangeError::New(value.Env(), "Expected " + shown(needed) + " bytes for data of shape " +
                                                 c10::str(at::IntArrayRef(shape)) + " but received " +
                                                 std::to_string(given));
  at::Tensor result = at::empty(shape, type);
  if (given > 0) std::memcpy(result.data_ptr(), bytes.Data(), given);
  return result;
}

std::optional<int64_t> firstRow(const Napi::Object& tensor) {
  const Napi::Value given = tensor.Get("firstRow");
  if (given.IsUndefined()) return std::nullopt;
  return integer(given, "firstRow", 0);
}

}  // namespace arguments
}  // namespace bertune
