// The stream of a session's work on a device.
#pragma once

#include <c10/core/Device.h>

namespace bertune {

// From now on what the calling thread launches on the device goes to a stream of its own, out of LibTorch's
// pool: what is recorded as a graph must not go to the default one. Tensors keep to the stream that they were
// made on, so this comes before the first. Nothing on a CPU.
void useOwnStream(c10::Device device);

}  // namespace bertune
