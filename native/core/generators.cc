#include "core/generators.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

namespace bertune {

at::Generator generatorFor(const Mask& mask, c10::Device device) {
  if (device.is_cpu()) return at::detail::createCPUGenerator(generatorSeed(mask));
  at::Generator generator =
      at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(generatorSeed(mask));
  return generator;
}

std::unique_lock<std::mutex> seedDefaultGenerator(const Mask& mask, c10::Device device) {
  static std::mutex drawing;
  std::unique_lock lock(drawing);
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard own(generator.mutex());  // LibTorch's: its operators take it too
  generator.set_current_seed(generatorSeed(mask));
  return lock;
}

}  // namespace bertune
