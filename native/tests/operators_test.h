// The tests of operators_test, by subject; `type` is the compute type.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "ops/dropout.h"

namespace bertune {

void testAttentions(at::ScalarType type, const Mask& mask);
void testBoundedAttentions(const Mask& mask);
void testLinears(at::ScalarType type, const Mask& mask);
void testLayersBehindNorms(at::ScalarType type, const Mask& mask);
void testDropout(at::ScalarType type, const Mask& mask);
void testDropoutDrawn();
void testBatch();
void testNeftuneNoise();
void testEmbedding();
void testVocabulary(at::ScalarType type);
void testParameters();
void testOutOfMemory();
void testCudaCapabilities();
void testDrawsInOrder();
void testGraphs();
void testUpdateGraphs();
// Those for GPUs: all three. `isThorough`: also that the check at first use finds every kernel that is wrong.
void testKernels(const Mask& none, const Mask& tenth, bool isThorough);
void testKernelsOfAdam();
void testKernelsLoading();
// Prints the compiler's log of each architecture, such as 90. Returns the exit code.
int compileKernels(const std::string& compiler, const std::vector<std::string>& architectures);

}  // namespace bertune
