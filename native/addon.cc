// Registration, nothing else.
#include <torch/version.h>

#include "device.h"
#include "js.h"
#include "session.h"

namespace {

Napi::Value deviceInfo(const Napi::CallbackInfo& info) {
  auto result = Napi::Object::New(info.Env());
  result.Set("cudaDevices", static_cast<double>(bertune::cudaDevices()));
  result.Set("cudaProblem", bertune::cudaProblem());
  result.Set("cpuHasBFloat16", bertune::cpuHasBFloat16());
  result.Set("libtorch", TORCH_VERSION);
  return result;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  bertune::loadCuda();
  exports.Set("Session", bertune::Session::define(env));
  exports.Set("deviceInfo", Napi::Function::New<deviceInfo>(env, "deviceInfo"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialize)
