#include "tests/kernels_stand_in.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <map>
#include <string_view>

namespace bertune::standin {
namespace {

namespace device {
using namespace bertune::shim;
// One program, in this order:
// clang-format off
#include "ops/cuda/prelude.cu"
#include "ops/cuda/add_norm.cu"
#include "ops/cuda/activation.cu"
#include "ops/cuda/projection.cu"
#include "ops/cuda/embedding.cu"
#include "ops/cuda/adam.cu"
// clang-format on
}  // namespace device

using Kernel = std::function<std::function<void()>(void**)>;

const std::map<std::string_view, Kernel>& kernelsByName() {
#define KERNEL(name)                    \
  {                                     \
#name, shim::callable(device::name) \
  }
#define BOTH(name) KERNEL(name##Float), KERNEL(name##BFloat16)
  static const std::map<std::string_view, Kernel> kernels{KERNEL(columnSums),
                                                          BOTH(addNorm),
                                                          BOTH(addNormBackward),
                                                          BOTH(dropoutAdd),
                                                          KERNEL(dropoutAddBackwardBFloat16),
                                                          KERNEL(dropoutAddOfBFloat16),
                                                          BOTH(activate),
                                                          BOTH(activateBackward),
                                                          BOTH(rotate),
                                                          BOTH(packProjection),
                                                          KERNEL(embed),
                                                          KERNEL(embedBackward),
                                                          KERNEL(embedBackwardParts),
                                                          KERNEL(squareSums),
                                                          KERNEL(prepareUpdate),
                                                          KERNEL(adam)};
#undef BOTH
#undef KERNEL
  return kernels;
}

std::string launchProblem;

int moduleLoadData(void** module, const void* image) {
  const bool isRefused =
      !cuda.loads || (!cuda.refused.empty() && cuda.refused == static_cast<const char*>(image));
  if (isRefused) return 209;  // CUDA_ERROR_NO_BINARY_FOR_GPU
  ++cuda.modules;
  *module = &cuda;
  return 0;
}

int moduleGetFunction(void** function, void* module, const char* name) {
  const auto found = kernelsByName().find(name);
  if (module != &cuda || found == kernelsByName().end()) return 500;  // CUDA_ERROR_NOT_FOUND
  *function = const_cast<void*>(static_cast<const void*>(&*found));
  return 0;
}

int launchKernel(void* function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,
                 unsigned blockY, unsigned blockZ, unsigned sharedBytes, void*, void** arguments,
                 void** extra) {
  const bool isPossible = cuda.launches && gridY <= 65535 && gridZ == 1 && blockX <= 1024 && blockY == 1 &&
                          blockZ == 1 && sharedBytes == 0 && extra == nullptr;
  if (!isPossible) return 701;  // CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
  ++cuda.kernels;
  const auto& [name, kernel] = *static_cast<std::pair<const std::string_view, Kernel>*>(function);
  if (name == cuda.faulty) return 0;
  const Launch launch{std::string(name), {gridX, gridY, 1}, blockX, kernel(arguments)};
  if (cuda.recording != nullptr) {
    cuda.recording->push_back(launch);
    return 0;
  }
  try {
    launch.run();
  } catch (const std::exception& error) {
    launchProblem = error.what();
    return 719;  // CUDA_ERROR_LAUNCH_FAILED
  }
  return 0;
}

int getErrorString(int error, const char** text) {
  *text = error == 719   ? launchProblem.c_str()
          : error == 209 ? "no kernel image is available for execution on the device"
          : error == 701 ? "too many resources requested for launch"
                         : nullptr;
  return *text == nullptr ? 1 : 0;
}

struct Program {
  std::string source, code, log;
};

int version(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return 0;
}

int createProgram(void** program, const char* source, const char*, int headers, const char* const*,
                  const char* const*) {
  if (headers != 0) return 1;
  *program = new Program{source, "", ""};
  return 0;
}

int compileProgram(void* handle, int count, const char* const* options) {
  auto* program = static_cast<Program*>(handle);
  ++cuda.compilations;
  if (!cuda.compiles) {
    program->log = "a remark\nadd_norm.cu(7): error: identifier \"x\" is undefined\n1 error\n";
    return 6;  // NVRTC_ERROR_COMPILATION
  }
  for (int i = 0; i < count; ++i) program->code += std::string(options[i]) + " ";
  program->code += program->source;
  return 0;
}

int logSize(void* program, size_t* size) {
  *size = static_cast<Program*>(program)->log.size() + 1;
  return 0;
}

int log(void* program, char* text) {
  std::strcpy(text, static_cast<Program*>(program)->log.c_str());
  return 0;
}

int cubinSize(void* program, size_t* size) {
  *size = static_cast<Program*>(program)->code.size() + 1;
  return 0;
}

int cubin(void* program, char* code) {
  std::strcpy(code, static_cast<Program*>(program)->code.c_str());
  return 0;
}

int destroyProgram(void** program) {
  delete static_cast<Program*>(*program);
  *program = nullptr;
  return 0;
}

cuda::Lookup lookupIn(const std::map<std::string_view, void*>& functions, bool isThere) {
  return [&functions, isThere](const char* name) {
    const auto found = functions.find(name);
    return isThere && found != functions.end() ? found->second : nullptr;
  };
}

}  // namespace

Cuda cuda;

cuda::Lookup driver() {
  static const std::map<std::string_view, void*> functions{
      {"cuModuleLoadData", reinterpret_cast<void*>(moduleLoadData)},
      {"cuModuleGetFunction", reinterpret_cast<void*>(moduleGetFunction)},
      {"cuLaunchKernel", reinterpret_cast<void*>(launchKernel)},
      {"cuGetErrorString", reinterpret_cast<void*>(getErrorString)}};
  return lookupIn(functions, cuda.hasDriver);
}

cuda::Lookup compiler() {
  static const std::map<std::string_view, void*> functions{
      {"nvrtcVersion", reinterpret_cast<void*>(version)},
      {"nvrtcCreateProgram", reinterpret_cast<void*>(createProgram)},
      {"nvrtcCompileProgram", reinterpret_cast<void*>(compileProgram)},
      {"nvrtcGetProgramLogSize", reinterpret_cast<void*>(logSize)},
      {"nvrtcGetProgramLog", reinterpret_cast<void*>(log)},
      {"nvrtcGetCUBINSize", reinterpret_cast<void*>(cubinSize)},
      {"nvrtcGetCUBIN", reinterpret_cast<void*>(cubin)},
      {"nvrtcDestroyProgram", reinterpret_cast<void*>(destroyProgram)}};
  return lookupIn(functions, cuda.hasCompiler);
}

std::vector<std::string> kernelNames() {
  std::vector<std::string> names;
  for (const auto& [name, kernel] : kernelsByName()) names.emplace_back(name);
  return names;
}

}  // namespace bertune::standin
