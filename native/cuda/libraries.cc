#include "cuda/libraries.h"

#include <dlfcn.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace bertune::cuda {
namespace {

template <typename Function>
bool take(Function& function, const Lookup& lookup, const char* name) {
  function = reinterpret_cast<Function>(lookup(name));
  return function != nullptr;
}

void openBuiltins(const std::filesystem::path& compiler) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(compiler.parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("libnvrtc-builtins", 0) == 0 && name.find(".alt.") == std::string::npos)
      dlopen(entry.path().c_str(), RTLD_LAZY | RTLD_GLOBAL);
  }
}

}  // namespace

std::optional<Driver> Driver::find(const Lookup& lookup) {
  Driver found{};
  const bool isWhole = take(found.moduleLoadData, lookup, "cuModuleLoadData") &&
                       take(found.moduleGetFunction, lookup, "cuModuleGetFunction") &&
                       take(found.launchKernel, lookup, "cuLaunchKernel") &&
                       take(found.getErrorString, lookup, "cuGetErrorString");
  return isWhole ? std::optional(found) : std::nullopt;
}

std::string Driver::errorText(int error) const {
  const char* text = nullptr;
  const bool isKnown = getErrorString(error, &text) == 0 && text != nullptr;
  return isKnown ? text : "error " + std::to_string(error);
}

std::optional<Compiler> Compiler::find(const Lookup& lookup) {
  Compiler found{};
  const bool isWhole = take(found.version, lookup, "nvrtcVersion") &&
                       take(found.createProgram, lookup, "nvrtcCreateProgram") &&
                       take(found.compileProgram, lookup, "nvrtcCompileProgram") &&
                       take(found.getProgramLogSize, lookup, "nvrtcGetProgramLogSize") &&
                       take(found.getProgramLog, lookup, "nvrtcGetProgramLog") &&
                       take(found.getCubinSize, lookup, "nvrtcGetCUBINSize") &&
                       take(found.getCubin, lookup, "nvrtcGetCUBIN") &&
                       take(found.destroyProgram, lookup, "nvrtcDestroyProgram");
  return isWhole ? std::optional(found) : std::nullopt;
}

Lookup driverOfProcess() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY);
  return [driver](const char* name) { return driver == nullptr ? nullptr : dlsym(driver, name); };
}

Lookup compilerOfProcess() {
  Dl_info info;
  void* version = dlsym(RTLD_DEFAULT, "nvrtcVersion");
  if (version != nullptr && dladdr(version, &info) != 0) openBuiltins(info.dli_fname);
  return [](const char* name) { return dlsym(RTLD_DEFAULT, name); };
}

Lookup compilerOfFile(const std::string& path) {
  openBuiltins(path);
  void* library = dlopen(path.c_str(), RTLD_LAZY);
  if (library == nullptr) throw std::runtime_error(path + " cannot be opened: " + dlerror());
  return [library](const char* name) { return dlsym(library, name); };
}

}  // namespace bertune::cuda
