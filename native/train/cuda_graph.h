// Graphs of CUDA.
#pragma once

#include "train/step_graph.h"

namespace bertune {

// Makes graphs of what is launched on the calling thread's stream of the device, which must not be the
// default one. Null where this LibTorch has none.
GraphMaker cudaGraphs(c10::Device device);

}  // namespace bertune
