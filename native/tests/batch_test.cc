#include "batch.h"

#include "comparison.h"
#include "operators_test.h"

namespace bertune {

// All arrays of a batch come out of their one copy.
void testBatch() {
  RawBatch raw;
  raw.inputIds = {11, 12, 13, 14, 15, 16};
  raw.cuSeqlens = {0, 2, 6};
  raw.tokenTypeIds = {{0, 1, 0, 0, 1, 1}};
  raw.classLabels = {3, -100};
  const auto check = [](const std::string& name, const at::Tensor& found, at::ScalarType type,
                        const std::vector<int64_t>& expected) {
    const bool same = found.scalar_type() == type && found.to(at::kLong).equal(at::tensor(expected));
    report("batch: " + name, same ? 0 : 1, 0);
  };
  const Batch batch = toTensors(raw, 4, at::kCPU);
  check("ids", batch.inputIds, at::kLong, {11, 12, 13, 14, 15, 16});
  check("positions", batch.positions, at::kLong, {0, 1, 0, 1, 2, 3});
  check("token types", batch.tokenTypeIds, at::kLong, {0, 1, 0, 0, 1, 1});
  check("first tokens", batch.firstTokens, at::kLong, {0, 2});
  check("offsets", batch.offsets, at::kInt, {0, 2, 6});
  check("labels", batch.labels, at::kLong, {3, -100});
  raw.tokenTypeIds.reset();
  raw.classLabels.clear();
  raw.valueLabels = {1, 2, 3, 4};
  const Batch values = toTensors(raw, 2, at::kCPU);
  check("no token types", values.tokenTypeIds, at::kLong, {0, 0, 0, 0, 0, 0});
  check("values as labels", values.labels.view({-1}), at::kFloat, {1, 2, 3, 4});
  report("batch: shape of values", values.labels.sizes() == at::IntArrayRef({2, 2}) ? 0 : 1, 0);
}

}  // namespace bertune
