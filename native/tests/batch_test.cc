#include "core/batch.h"

#include "tests/comparison.h"
#include "tests/operators_test.h"

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
  const BatchFormat format{20, 2, PositionsSpec{8, 0}, 4, false, LossKind::CrossEntropy};
  const Batch batch = toTensors(raw, format, at::kCPU);
  check("ids", batch.inputIds, at::kLong, {11, 12, 13, 14, 15, 16});
  check("positions", batch.positions, at::kLong, {0, 1, 0, 1, 2, 3});
  check("token types", batch.tokenTypeIds, at::kLong, {0, 1, 0, 0, 1, 1});
  check("first tokens", batch.firstTokens, at::kLong, {0, 2});
  check("offsets", batch.offsets, at::kInt, {0, 2, 6});
  check("labels", batch.labels, at::kLong, {3, -100});
  BatchFormat shifted = format;
  shifted.positions->first = 2;
  check("positions from the third row on", toTensors(raw, shifted, at::kCPU).positions, at::kLong,
        {2, 3, 2, 3, 4, 5});
  BatchFormat two = format;
  two.outputs = 2;
  raw.tokenTypeIds.reset();
  raw.classLabels.clear();
  raw.valueLabels = {1, 2, 3, 4};
  const Batch values = toTensors(raw, two, at::kCPU);
  check("no token types", values.tokenTypeIds, at::kLong, {0, 0, 0, 0, 0, 0});
  check("values as labels", values.labels.view({-1}), at::kFloat, {1, 2, 3, 4});
  two.isPerToken = true;
  raw.valueLabels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::vector<RawBatch> parts = split(raw, two, 4);
  const bool isSplit = parts.size() == 2 && parts[0].valueLabels == std::vector<float>{1, 2, 3, 4} &&
                       parts[1].valueLabels == std::vector<float>{5, 6, 7, 8, 9, 10, 11, 12};
  report("batch: labels of tokens go with their sequences", isSplit ? 0 : 1, 0);
  report("batch: shape of values", values.labels.sizes() == at::IntArrayRef({2, 2}) ? 0 : 1, 0);
}

}  // namespace bertune
