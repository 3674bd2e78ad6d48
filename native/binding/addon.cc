// Registration, nothing else.
#include <napi.h>
#include <torch/version.h>

#include "binding/arguments.h"
#include "binding/session.h"
#include "binding/worker.h"
#include "binding/world.h"
#include "core/device.h"
#include "core/memory.h"
#include "core/phases.h"
#include "ops/fused_device.h"
#include "ops/processor.h"

namespace {

Napi::Object toJs(Napi::Env env, const bertune::CudaDevice& device) {
  auto result = Napi::Object::New(env);
  if (!device.name.empty()) result.Set("name", device.name);
  if (device.capability.has_value()) {
    auto pair = Napi::Array::New(env, 2);
    pair.Set(0u, device.capability->first);
    pair.Set(1u, device.capability->second);
    result.Set("capability", pair);
  }
  if (device.bytes > 0) result.Set("bytes", static_cast<double>(device.bytes));
  return result;
}

Napi::Value deviceInfo(const Napi::CallbackInfo& info) {
  auto result = Napi::Object::New(info.Env());
  result.Set("cudaProblem", bertune::cudaProblem());
  auto devices = Napi::Array::New(info.Env());
  for (const bertune::CudaDevice& device : bertune::cudaTable())
    devices.Set(devices.Length(), toJs(info.Env(), device));
  result.Set("cudaDevices", devices);
  result.Set("cpuHasBFloat16", bertune::cpuHasBFloat16());
  result.Set("instructionSet", bertune::instructionSet());
  result.Set("libtorch", TORCH_VERSION);
  return result;
}

Napi::Value cudaPeakBytes(const Napi::CallbackInfo& info) {
  const int64_t index = bertune::arguments::integer(info[0], "index", 0, 127);
  const int64_t bytes = bertune::cudaPeakBytes(static_cast<c10::DeviceIndex>(index));
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

Napi::Value kernelsProblem(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), bertune::fused::kernelsProblem());
}

Napi::Value busySeconds(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), bertune::phases::busySeconds());
}

Napi::Value stopPhases(const Napi::CallbackInfo& info) {
  const bertune::phases::Times times = bertune::phases::stop();
  auto result = Napi::Object::New(info.Env());
  result.Set("gemm", times.gemm);
  result.Set("attention", times.attention);
  result.Set("elementWise", times.elementWise);
  result.Set("optimizer", times.optimizer);
  result.Set("reduction", times.reduction);
  result.Set("dispatches", static_cast<double>(times.operators));
  result.Set("launches", static_cast<double>(times.launches));
  return result;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  bertune::installAllocator();
  bertune::loadCuda();
  exports.Set("Session", bertune::Session::define(env));
  exports.Set("World", bertune::World::define(env));
  exports.Set("deviceInfo", Napi::Function::New<deviceInfo>(env, "deviceInfo"));
  exports.Set("cudaPeakBytes", Napi::Function::New<cudaPeakBytes>(env, "cudaPeakBytes"));
  exports.Set("kernelsProblem", Napi::Function::New<kernelsProblem>(env, "kernelsProblem"));
  exports.Set("busySeconds", Napi::Function::New<busySeconds>(env, "busySeconds"));
  exports.Set("startPhases",
              Napi::Function::New(env, [](const Napi::CallbackInfo&) { bertune::phases::start(); }));
  exports.Set("stopPhases", Napi::Function::New<stopPhases>(env, "stopPhases"));
  // process.exit and uncaught exceptions run no clean-up hooks of the environment, and LibTorch's statics
  // must not be destroyed while a step runs.
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto stop =
      Napi::Function::New(env, [](const Napi::CallbackInfo& info) { bertune::Worker::stopAll(info.Env()); });
  process.Get("on").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), stop});
  return exports;
}

// Loading LibTorch is slow; a worker thread may be terminated meanwhile, and then no call of N-API succeeds.
// The exception of the first one would end the process.
napi_value initializeUnlessEnding(napi_env env, napi_value exports) {
  bool isThere = false;
  if (napi_has_named_property(env, exports, "Session", &isThere) != napi_ok) return exports;
  return Napi::RegisterModule(env, exports, initialize);
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, initializeUnlessEnding)
