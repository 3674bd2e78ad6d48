// The tests of operators_test, by subject; `type` is the compute type.
#pragma once

#include <ATen/ATen.h>

#include "ops/dropout.h"

namespace bertune {

void testAttentions(at::ScalarType type, const Mask& mask);
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

}  // namespace bertune
