#include "binding/session.h"

#include <ATen/ATen.h>

#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "binding/arguments.h"
#include "core/device.h"
#include "core/memory.h"
#include "ops/fused_device.h"

namespace bertune {
namespace {

constexpr int64_t kMaxSafeInteger = 9007199254740991;

// Bytes of a reason, such that what is said of the session behind it is not cut off.
constexpr size_t kReason = 150;

Napi::Value toFloat32Array(Napi::Env env, const at::Tensor& tensor) {
  const auto count = static_cast<size_t>(tensor.numel());
  // By JavaScript's constructor, which throws where there is no memory; Node-API's function ends the process.
  const auto constructor = env.Global().Get("Float32Array").As<Napi::Function>();
  const Napi::Value made = constructor.New({Napi::Number::New(env, static_cast<double>(count))});
  if (!made.IsTypedArray()) throw Napi::Error::New(env, "Float32Array was replaced by something else");
  auto array = made.As<Napi::Float32Array>();
  if (array.TypedArrayType() != napi_float32_array || array.ElementLength() != count)
    throw Napi::Error::New(env, "Float32Array was replaced by something else");
  if (count > 0) std::memcpy(array.Data(), tensor.const_data_ptr<float>(), count * sizeof(float));
  return array;
}

Napi::Array shapeArray(Napi::Env env, const std::vector<int64_t>& shape) {
  auto array = Napi::Array::New(env);
  for (const int64_t size : shape) array.Set(array.Length(), static_cast<double>(size));
  return array;
}

Napi::Value toJs(Napi::Env env, const std::vector<NamedTensor>& tensors) {
  auto list = Napi::Array::New(env, tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    auto entry = Napi::Object::New(env);
    entry.Set("name", tensors[i].name);
    entry.Set("shape", shapeArray(env, tensors[i].shape));
    list.Set(static_cast<uint32_t>(i), entry);
  }
  return list;
}

}  // namespace

Napi::Function Session::define(Napi::Env env) {
  return DefineClass(
      env, "Session",
      {InstanceMethod<&Session::open>("open"), InstanceMethod<&Session::read>("read"),
       InstanceMethod<&Session::write>("write"), InstanceMethod<&Session::accumulate>("accumulate"),
       InstanceMethod<&Session::update>("update"), InstanceMethod<&Session::join>("join"),
       InstanceMethod<&Session::leave>("leave"), InstanceMethod<&Session::predict>("predict"),
       InstanceMethod<&Session::matmulRate>("matmulRate"), InstanceMethod<&Session::stats>("stats"),
       InstanceMethod<&Session::setProgress>("setProgress"), InstanceMethod<&Session::restart>("restart"),
       InstanceMethod<&Session::mergeAdapters>("mergeAdapters"),
       InstanceMethod<&Session::configure>("configure"),
       InstanceMethod<&Session::optimizerState>("optimizerState"), InstanceMethod<&Session::close>("close")});
}

Session::Session(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Session>(info) {
  spec_ = arguments::sessionSpec(info[0]);
  format_ = batchFormat(spec_);
  const Napi::Object options = arguments::object(info[1], "options");
  compute_ = arguments::computeType(options.Get("dtype"));
  threads_ = static_cast<int>(arguments::integer(options.Get("threads"), "threads", 1, 1024));
  seed_ = static_cast<uint64_t>(arguments::integer(options.Get("seed"), "seed", 0, kMaxSafeInteger));
  device_ = arguments::device(options.Get("device"));
  tf32_ = arguments::optionalFlag(options, "tf32");
  buckets_ = arguments::optionalFlag(options, "buckets");  // for tests, see Training
  worker_ = std::make_unique<Worker>(info.Env());
}

Napi::Value Session::open(Args info) {
  auto tensors = std::make_shared<std::vector<NamedTensor>>();
  return post(
      info,
      [this, tensors] {
        if (training_ != nullptr) throw std::logic_error("the session is open already");
        setThreads(threads_);
        useDevice(device_);
        keepBackwardOnThisThread();
        if (tf32_.has_value() && device_.is_cuda()) allowTf32(*tf32_);
        training_ = std::make_unique<Training>(spec_, device_, compute_, seed_, buckets_);
        fused::kernelsOf(device_);  // compiled now where the cache has none, and not in the first step
        *tensors = training_->tensors();
      },
      [tensors](Napi::Env env) { return toJs(env, *tensors); });
}

Napi::Value Session::read(Args info) {
  auto result = std::make_shared<at::Tensor>();
  return post(
      info,
      [this, result, name = arguments::text(info[0], "name"), kind = arguments::text(info[1], "kind")] {
        *result = training().read(name, kind);
      },
      [result](Napi::Env env) { return toFloat32Array(env, *result); });
}

Napi::Value Session::write(Args info) {
  const Napi::Object tensor = arguments::object(info[2], "tensor");
  return post(info, [this, name = arguments::text(info[0], "name"), kind = arguments::text(info[1], "kind"),
                     value = arguments::tensor(tensor), firstRow = arguments::firstRow(tensor)] {
    training().write(name, kind, value, firstRow);
  });
}

Napi::Value Session::accumulate(Args info) {
  const Napi::Object options = arguments::object(info[1], "options");
  const double divisor = arguments::number(options.Get("divisor"), "divisor", 1e-30, 1e30);
  RawBatch raw = checkedBatch(info, true);
  const LossOptions loss = arguments::lossOptions(options, format_.outputs);
  try {
    checkLoss(loss, format_, raw);
  } catch (const std::invalid_argument& error) {
    throw Napi::RangeError::New(info.Env(), error.what());
  }
  return postInStep(info, [this, raw = std::move(raw), divisor, loss,
                           endsStep = arguments::optionalFlag(options, "endsStep").value_or(false)] {
    training().accumulate(raw, divisor, loss, endsStep);
  });
}

Napi::Value Session::update(Args info) {
  return postInStep(info, [this, options = arguments::updateOptions(arguments::object(info[0], "options"))] {
    training().update(options);
  });
}

Napi::Value Session::join(Args info) {
  const Napi::Object options = arguments::object(info[2], "options");
  auto result = std::make_shared<std::string>();
  return post(
      info,
      [this, address = arguments::worldAddress(info[0]), name = arguments::text(info[1], "name"),
       type = arguments::computeType(options.Get("reduceDtype")), result,
       allowsNccl = arguments::flag(options.Get("nccl"), "nccl")] {
        *result = training().join(std::make_unique<ProcessGroup>(address, name), type, allowsNccl);
      },
      [result](Napi::Env env) { return Napi::String::New(env, *result); });
}

Napi::Value Session::leave(Args info) {
  return post(info, [this] { training().leave(); });
}

Napi::Value Session::predict(Args info) {
  auto result = std::make_shared<at::Tensor>();
  return post(
      info, [this, result, raw = checkedBatch(info, false)] { *result = training().predict(raw); },
      [result](Napi::Env env) { return toFloat32Array(env, *result); });
}

Napi::Value Session::matmulRate(Args info) {
  constexpr int64_t most = 1 << 16;
  auto result = std::make_shared<double>();
  return post(
      info,
      [this, result, rows = arguments::integer(info[0], "rows", 1, most),
       inner = arguments::integer(info[1], "inner", 1, most),
       columns = arguments::integer(info[2], "columns", 1, most)] {
        *result = training().matmulRate(rows, inner, columns);
      },
      [result](Napi::Env env) { return Napi::Number::New(env, *result); });
}

Napi::Value Session::stats(Args info) {
  auto result = std::make_shared<TrainingStats>();
  return post(
      info, [this, result] { *result = training().stats(); },
      [result](Napi::Env env) {
        auto stats = Napi::Object::New(env);
        stats.Set("loss", result->loss);
        stats.Set("gradNorm", result->gradNorm);
        stats.Set("updates", result->updates);
        stats.Set("skipped", result->skipped);
        stats.Set("maxTokens", result->maxTokens);
        stats.Set("graphProblem", oneLine(result->graphProblem, kReason));
        return stats;
      });
}

Napi::Value Session::setProgress(Args info) {
  constexpr double most = std::numeric_limits<double>::max();
  return post(info, [this, step = arguments::integer(info[0], "step", 0),
                     updates = arguments::integer(info[1], "updates", 0),
                     loss = arguments::number(info[2], "loss", -most, most),
                     maxTokens = arguments::integer(info[3], "maxTokens", 0)] {
    training().setProgress(step, updates, loss, maxTokens);
  });
}

Napi::Value Session::restart(Args info) {
  return post(info, [this, options = arguments::trainingOptions(info[0])] { training().restart(options); });
}

Napi::Value Session::mergeAdapters(Args info) {
  return post(info, [this] { training().mergeAdapters(); });
}

Napi::Value Session::configure(Args info) {
  return postInStep(
      info, [this, settings = arguments::tensorSettings(info[0])] { training().configure(settings); });
}

Napi::Value Session::optimizerState(Args info) {
  auto result = std::make_shared<std::vector<StateTensor>>();
  return post(
      info, [this, result] { *result = training().optimizerState(); },
      [result](Napi::Env env) {
        auto list = Napi::Array::New(env, result->size());
        for (size_t i = 0; i < result->size(); ++i) {
          const StateTensor& tensor = (*result)[i];
          auto entry = Napi::Object::New(env);
          entry.Set("name", tensor.name);
          entry.Set("kind", tensor.kind);
          entry.Set("shape", shapeArray(env, tensor.shape));
          list.Set(static_cast<uint32_t>(i), entry);
        }
        return list;
      });
}

Napi::Value Session::close(Args info) {
  requireOpen(info);
  closed_ = true;
  return worker_->postLast(
      info.This().As<Napi::Object>(),
      [this] {
        training_.reset();
        releaseCachedMemory();
      },
      [](Napi::Env env) { return env.Undefined(); });
}

Session::~Session() {
  worker_.reset();
  if (training_ == nullptr) return;
  training_.reset();  // nobody closed it
  releaseCachedMemory();
}

Training& Session::training() const {
  if (isLost_) throw std::logic_error("the session is closed, since an earlier call failed half way");
  if (training_ == nullptr) throw std::logic_error("the session is not open: its weights could not be made");
  return *training_;
}

RawBatch Session::checkedBatch(Args info, bool needsLabels) const {
  RawBatch raw = arguments::batch(info[0]);
  const bool readsLabels = needsLabels || (format_.isVocabulary && !raw.classLabels.empty());
  checkBatch(raw, format_, readsLabels);
  if (!readsLabels) raw.classLabels.clear();
  if (!needsLabels) raw.valueLabels.clear();
  return raw;
}

void Session::requireOpen(Args info) const {
  if (closed_) throw Napi::Error::New(info.Env(), "the session is closed");
}

Napi::Value Session::post(Args info, std::function<void()> run, Worker::Resolve resolve) {
  requireOpen(info);
  if (!resolve) resolve = [](Napi::Env env) { return env.Undefined(); };
  return worker_->post(
      info.This().As<Napi::Object>(), [this, run = std::move(run)] { runWhole(run); }, std::move(resolve));
}

Napi::Value Session::postInStep(Args info, std::function<void()> run) {
  requireOpen(info);
  return worker_->postInSequence(
      info.This().As<Napi::Object>(), [this, run = std::move(run)] { runWhole(run); },
      [](Napi::Env env) { return env.Undefined(); });
}

void Session::runWhole(const std::function<void()>& run) {
  try {
    run();
  } catch (const SessionLost& lost) {
    training_.reset();
    releaseCachedMemory();
    isLost_ = true;
    try {
      std::rethrow_if_nested(lost);
    } catch (const std::exception& cause) {
      const char* mark = isOutOfMemory(cause) ? "out of memory: " : "";
      throw std::runtime_error(mark + std::string(lost.what()) + ": " + oneLine(cause, kReason) +
                               "; the session is closed");
    }
    throw;
  } catch (const std::exception& error) {
    if (!isOutOfMemory(error)) throw;
    const char* state = training_ == nullptr ? "" : "; the session is as it was before this call";
    throw std::runtime_error("out of memory: " + oneLine(error, kReason) + state);
  }
}

}  // namespace bertune
