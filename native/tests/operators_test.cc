// Every operator with a CPU kernel against its composition from ATen operators in float64, forward and
// backward, on sizes that fit no vector and no block. Prints TAP; test/native/operators.ts runs it.
//   operators_test            with LibTorch's allocator
//   operators_test guarded    with memory that ends the process when something goes beyond a tensor
//   operators_test caching    with the addon's allocator
#include "operators_test.h"

#include <ATen/Parallel.h>

#include <string_view>

#include "allocator.h"
#include "comparison.h"
#include "guarded_memory.h"

int main(int count, char** arguments) {
  using namespace bertune;
  const std::string_view memory = count > 1 ? arguments[1] : "";
  static GuardedMemory guarded;
  if (memory == "guarded") c10::SetCPUAllocator(&guarded, /*priority=*/1);
  if (memory == "caching") installAllocator();
  at::set_num_threads(2);
  const Mask none;
  const Mask tenth = makeMask(42, 3, 1, Site::Attention, 0.1, 17);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const Mask& mask : {none, tenth}) {
      testAttentions(type, mask);
      testLinears(type, mask);
      testDropout(type, mask);
    }
  testDropoutDrawn();
  testBatch();
  testNeftuneNoise();
  return reportEnd();
}
