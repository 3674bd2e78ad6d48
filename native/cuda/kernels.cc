#include "cuda/kernels.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>
#include <stdexcept>

#include "core/phases.h"
#include "cuda/cubins.h"

namespace bertune::cuda {
namespace {

// The code of the kernels, and their module where it loads. What the cache holds may be damaged in a way that
// its checksum does not show, or be of another driver: it is compiled again then.
void* load(const Kernels::Source& source, const Driver& driver, std::string& cacheProblem) {
  const std::optional<Compiler> compiler = Compiler::find(source.compiler);
  if (!compiler)
    throw std::runtime_error(
        "NVRTC, NVIDIA's run-time compiler, was not found beside LibTorch; install LibTorch again");
  std::pair<int, int> version;
  if (compiler->version(&version.first, &version.second) != 0) throw std::runtime_error("NVRTC does not run");
  const CubinCache cache(source.cache);
  const std::string name = CubinCache::nameOf(source.text, version, source.capability);
  void* module = nullptr;
  if (const auto cubin = cache.read(name))
    if (driver.moduleLoadData(&module, cubin->data()) == 0) return module;
  const std::string cubin = compile(*compiler, source.text, source.capability).cubin;
  if (const int error = driver.moduleLoadData(&module, cubin.data()); error != 0)
    throw std::runtime_error("the NVIDIA driver does not load them: " + driver.errorText(error) +
                             "; if it is older than LibTorch's CUDA, update it");
  try {
    cache.write(name, cubin);
  } catch (const std::exception& error) {
    cacheProblem = error.what();
  }
  return module;
}

// LibTorch's current stream of the device, as the driver has it.
void* streamOf(c10::Device device) {
  if (!device.is_cuda()) return nullptr;
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
}

}  // namespace

Kernels::Kernels(c10::Device device, const Source& source) : device_(device), driver_() {
  const std::optional<Driver> driver = Driver::find(source.driver);
  if (!driver)
    throw std::runtime_error("libcuda.so.1 lacks a function that launches them; update the NVIDIA driver");
  driver_ = *driver;
  module_ = load(source, driver_, cacheProblem_);
}

void* Kernels::function(const char* name) const {
  const std::lock_guard lock(mutex_);
  const auto found = functions_.find(std::string_view(name));
  if (found != functions_.end()) return found->second;
  void* function = nullptr;
  if (const int error = driver_.moduleGetFunction(&function, module_, name); error != 0)
    throw std::runtime_error(std::string("there is no kernel ") + name + ": " + driver_.errorText(error));
  return functions_.emplace(name, function).first->second;
}

void Kernels::launchWith(const char* name, Grid grid, int64_t threads, void** arguments) const {
  if (grid.x == 0 || grid.y == 0) return;
  const int error =
      driver_.launchKernel(function(name), static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), 1,
                           static_cast<unsigned>(threads), 1, 1, 0, streamOf(device_), arguments, nullptr);
  phases::countLaunches(1);
  if (error != 0)
    throw std::runtime_error(std::string("CUDA cannot run the kernel ") + name + ": " +
                             driver_.errorText(error));
}

}  // namespace bertune::cuda
