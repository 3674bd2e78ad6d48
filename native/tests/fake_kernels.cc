// The driver's and NVRTC's functions for kernels, under their own names, on the fake GPU (fake_cuda.cc):
// kernels run on the CPU, thread by thread, or are recorded. That is slow, so there are none unless
// BERTUNE_FAKE_KERNELS is 1.
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fake_cuda_graph.h"
#include "tests/kernels_stand_in.h"

namespace {

using bertune::standin::Launch;

constexpr int kLaunchFailed = 719;  // CUDA_ERROR_LAUNCH_FAILED

std::mutex running;  // the shim runs one kernel at a time
std::string problem;

template <typename Function, typename... Arguments>
int call(const bertune::cuda::Lookup& library, const char* name, Arguments... arguments) {
  return reinterpret_cast<Function>(library(name))(arguments...);
}

bool areThere() {
  const char* wanted = std::getenv("BERTUNE_FAKE_KERNELS");
  return wanted != nullptr && std::string_view(wanted) == "1";
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default"))) int
#define DRIVER_CALL(name, parameters, ...)                                                        \
  EXPORT name parameters {                                                                        \
    return call<int(*) parameters>(bertune::standin::driver(), #name __VA_OPT__(, ) __VA_ARGS__); \
  }
#define COMPILER_CALL(name, parameters, ...)                                                        \
  EXPORT name parameters {                                                                          \
    return call<int(*) parameters>(bertune::standin::compiler(), #name __VA_OPT__(, ) __VA_ARGS__); \
  }

EXPORT cuModuleLoadData(void** module, const void* image) {
  const std::lock_guard lock(running);
  bertune::standin::cuda.loads = areThere();
  return call<int (*)(void**, const void*)>(bertune::standin::driver(), "cuModuleLoadData", module, image);
}
DRIVER_CALL(cuModuleGetFunction, (void** function, void* module, const char* name), function, module, name)

EXPORT cuLaunchKernel(void* function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,
                      unsigned blockY, unsigned blockZ, unsigned sharedBytes, void* stream, void** arguments,
                      void** extra) {
  using Function = int (*)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                           void**, void**);
  std::vector<Launch> launches;
  {
    const std::lock_guard lock(running);
    bertune::standin::cuda.recording = &launches;
    const int error = call<Function>(bertune::standin::driver(), "cuLaunchKernel", function, gridX, gridY,
                                     gridZ, blockX, blockY, blockZ, sharedBytes, stream, arguments, extra);
    bertune::standin::cuda.recording = nullptr;
    if (error != 0) return error;
  }
  try {
    for (const Launch& launch : launches)
      fake::note([launch] {
        const std::lock_guard lock(running);
        launch.run();
      });
    return 0;
  } catch (const std::exception& error) {
    const std::lock_guard lock(running);
    problem = error.what();
    return kLaunchFailed;
  }
}

EXPORT cuGetErrorString(int error, const char** text) {
  if (error == kLaunchFailed) {
    *text = problem.c_str();
    return 0;
  }
  return call<int (*)(int, const char**)>(bertune::standin::driver(), "cuGetErrorString", error, text);
}

EXPORT cuStreamGetCaptureInfo_v2(void*, int* status, uint64_t*, void** graph, const void**, size_t*) {
  *status = fake::isRecording() ? 1 : 0;
  if (fake::isRecording()) *graph = status;  // any address
  return 0;
}
EXPORT cuGraphGetNodes(void*, void**, size_t* count) {
  *count = fake::nodes();
  return 0;
}

COMPILER_CALL(nvrtcVersion, (int* major, int* minor), major, minor)
COMPILER_CALL(nvrtcCreateProgram,
              (void** program, const char* source, const char* name, int headers, const char* const* texts,
               const char* const* names),
              program, source, name, headers, texts, names)
COMPILER_CALL(nvrtcCompileProgram, (void* program, int count, const char* const* options), program, count,
              options)
COMPILER_CALL(nvrtcGetProgramLogSize, (void* program, size_t* size), program, size)
COMPILER_CALL(nvrtcGetProgramLog, (void* program, char* text), program, text)
COMPILER_CALL(nvrtcGetCUBINSize, (void* program, size_t* size), program, size)
COMPILER_CALL(nvrtcGetCUBIN, (void* program, char* code), program, code)
COMPILER_CALL(nvrtcDestroyProgram, (void** program), program)
