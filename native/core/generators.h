// LibTorch's random generators, seeded at each place that draws, so that what is drawn there depends on
// (seed, step, layer, site, first row) alone, as with the masks of random.h. Nothing here waits for a device.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

#include <mutex>

#include "core/random.h"

namespace bertune {

// A new generator of `device`, at the beginning of the mask's own numbers.
at::Generator generatorFor(const Mask& mask, c10::Device device);

// The same for operators that take none but the device's default generator. That one belongs to the whole
// process: draw while the lock is held.
[[nodiscard]] std::unique_lock<std::mutex> seedDefaultGenerator(const Mask& mask, c10::Device device);

}  // namespace bertune
