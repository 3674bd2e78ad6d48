// The functions of NVIDIA's driver and of its run-time compiler that kernels need, by name: there are no CUDA
// headers. Signatures as in cuda.h and nvrtc.h, enums as int; handles are pointers.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace bertune::cuda {

// The address of a function; null where there is none.
using Lookup = std::function<void*(const char* name)>;

struct Driver {
  int (*moduleLoadData)(void** module, const void* image);
  int (*moduleGetFunction)(void** function, void* module, const char* name);
  int (*launchKernel)(void* function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,
                      unsigned blockY, unsigned blockZ, unsigned sharedBytes, void* stream, void** arguments,
                      void** extra);
  int (*getErrorString)(int error, const char** text);

  static std::optional<Driver> find(const Lookup& lookup);  // none where a function is missing
  std::string errorText(int error) const;
};

struct Compiler {
  int (*version)(int* major, int* minor);
  int (*createProgram)(void** program, const char* source, const char* name, int headers,
                       const char* const* headerTexts, const char* const* headerNames);
  int (*compileProgram)(void* program, int options, const char* const* texts);
  int (*getProgramLogSize)(void* program, size_t* size);
  int (*getProgramLog)(void* program, char* log);
  int (*getCubinSize)(void* program, size_t* size);
  int (*getCubin)(void* program, char* cubin);
  int (*destroyProgram)(void** program);

  static std::optional<Compiler> find(const Lookup& lookup);
};

// Those of this process: LibTorch's libraries for CUDA need NVRTC, and so it is loaded with them. NVRTC opens
// a second library, by name only, which this opens first, beside NVRTC wherever that is.
Lookup driverOfProcess();
Lookup compilerOfProcess();
// From a file, for tests without LibTorch's libraries for CUDA. Throws std::runtime_error.
Lookup compilerOfFile(const std::string& path);

}  // namespace bertune::cuda
