#include "ops/fused_device.h"

#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string_view>

#include "core/device.h"
#include "cuda/cubins.h"
#include "ops/fused_check.h"

namespace bertune::fused {
namespace {

using cuda::Kernels;

const Kernels* kernelsOfCpu = nullptr;

struct Loaded {
  std::unique_ptr<Kernels> kernels;
  std::string problem;
};

Loaded loadFor(c10::Device device) {
  const char* wanted = std::getenv("BERTUNE_FUSED_KERNELS");
  if (wanted != nullptr && std::string_view(wanted) == "0") return {nullptr, ""};
  try {
    const auto capability = cudaCapability();
    if (!capability) throw std::runtime_error("the compute capability of the GPU is not known");
    auto kernels = std::make_unique<Kernels>(
        device, Kernels::Source{cuda::driverOfProcess(), cuda::compilerOfProcess(), cuda::cubinFolder(),
                                *capability, cuda::kernelSource()});
    check(*kernels, device);
    const std::string problem = kernels->cacheProblem();
    return {std::move(kernels), problem.empty() ? "" : "fused kernels are compiled each time: " + problem};
  } catch (const std::exception& error) {
    const std::string reason = error.what();
    return {nullptr, "no fused kernels: " + reason.substr(0, reason.find('\n'))};
  }
}

std::mutex loading;
std::map<c10::DeviceIndex, Loaded> loaded;  // by device; entries stay where they are

}  // namespace

const Kernels* kernelsOf(c10::Device device) {
  if (device.is_cpu()) return kernelsOfCpu;
  if (!device.is_cuda()) return nullptr;
  const std::lock_guard lock(loading);
  auto found = loaded.find(device.index());
  if (found == loaded.end()) found = loaded.emplace(device.index(), loadFor(device)).first;
  return found->second.kernels.get();
}

std::string kernelsProblem() {
  const std::lock_guard lock(loading);
  for (const auto& [device, each] : loaded)
    if (!each.problem.empty()) return each.problem;
  return "";
}

void setKernelsOfCpu(const Kernels* kernels) { kernelsOfCpu = kernels; }

}  // namespace bertune::fused
