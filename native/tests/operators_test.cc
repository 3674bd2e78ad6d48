// Every operator with a CPU kernel against its reference from ATen operators in float64, forward and
// backward, on sizes that fit no vector and no block. Prints TAP; test/native/operators.ts runs it.
//   operators_test            with LibTorch's allocator
//   operators_test guarded    with memory that ends the process when something goes beyond a tensor
//   operators_test caching    with the addon's allocator
//   operators_test kernels    only those for GPUs, and more of them; `guarded kernels`: in such memory
//   operators_test compile FILE 80 90 ...   compiles the kernels for GPUs of those compute capabilities with
//                                           libnvrtc.so in FILE, and prints what the compiler says of each
//   operators_test throwing   only the quick ones, behind one that throws
#include "tests/operators_test.h"

#include <ATen/Parallel.h>

#include <cstdio>
#include <stdexcept>
#include <string_view>

#include "core/memory.h"
#include "ops/brgemm.h"
#include "ops/processor.h"
#include "tests/comparison.h"
#include "tests/guarded_memory.h"

int main(int count, char** arguments) {
  using namespace bertune;
  if (count > 3 && std::string_view(arguments[1]) == "compile")
    return compileKernels(arguments[2], {arguments + 3, arguments + count});
  const std::string_view memory = count > 1 ? arguments[1] : "";
  static GuardedMemory guarded;
  if (memory == "guarded") c10::SetCPUAllocator(&guarded, /*priority=*/1);
  if (memory == "caching") installAllocator();
  at::set_num_threads(2);
  std::printf("# %s, brgemm of %s\n", instructionSet(),
              hasBrgemm(at::kBFloat16) ? "float32 and bfloat16"
              : hasBrgemm(at::kFloat)  ? "float32"
                                       : "no type");
  const Mask none;
  const Mask tenth = makeMask(42, 3, 1, Site::Attention, 0.1, 17);
  if (memory == "kernels" || (count > 2 && std::string_view(arguments[2]) == "kernels")) {
    testKernels(none, tenth, /*isThorough=*/memory == "kernels");
    return reportEnd();
  }
  if (memory == "throwing") {
    compare({"a comparison that throws", {}, {}, at::kFloat, {1}},
            [](const Inputs&) -> at::Tensor { throw std::runtime_error("thrown on purpose"); }, {});
    testBatch();
    return reportEnd();
  }
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const Mask& mask : {none, tenth}) {
      testAttentions(type, mask);
      testLinears(type, mask);
      testDropout(type, mask);
    }
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) testVocabulary(type);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const Mask& mask : {none, tenth}) testLayersBehindNorms(type, mask);
  testDropoutDrawn();
  testBatch();
  testNeftuneNoise();
  testEmbedding();
  testParameters();
  testOutOfMemory();
  testCudaCapabilities();
  testDrawsInOrder();
  testGraphs();
  testUpdateGraphs();
  // Slow, and the same on every processor.
  if (memory == "guarded") testKernels(none, tenth, /*isThorough=*/false);
  testBoundedAttentions(tenth);
  return reportEnd();
}
