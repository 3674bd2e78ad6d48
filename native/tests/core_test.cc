// Batches, flat parameters, and errors that mean that memory ran out.
#include <c10/util/Exception.h>

#include <new>
#include <stdexcept>

#include "core/batch.h"
#include "core/memory.h"
#include "core/parameters.h"
#include "tests/comparison.h"
#include "tests/operators_test.h"
#include "train/optimizer.h"

namespace bertune {
namespace {

ParameterSpec spec(const std::string& name, std::vector<int64_t> shape, bool decays) {
  const int64_t rows = shape[0];
  return {name, std::move(shape), {Initialisation::Kind::Normal, 1}, decays, {{name, rows}}};
}

}  // namespace

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

// Slices that are aligned and do not overlap, and gradients that are written first and added to later.
// Of the normal distribution cut at two standard deviations: nothing beyond, and its deviation, 0.8796 of
// that of the whole.
void testTruncatedNormal() {
  const ParameterSpec drawn{
      "a", {1000, 100}, {Initialisation::Kind::TruncatedNormal, 0.02, 2.0}, true, {{"a", 1000}}};
  Parameters parameters({drawn}, at::kCPU, 42);
  const at::Tensor values = parameters[0].value.detach();
  report("truncated normal: none beyond the cut", values.abs().max().item<double>() <= 0.04 ? 0 : 1, 0);
  report("truncated normal: standard deviation", std::abs(values.std().item<double>() / (0.02 * 0.8796) - 1),
         0.01);
}

void testParameters() {
  testTruncatedNormal();
  const auto check = [](const std::string& name, bool holds) {
    report("parameters: " + name, holds ? 0 : 1, 0);
  };
  Parameters parameters(
      {spec("a", {3, 5}, true), spec("b", {7}, false), spec("c", {2, 16}, true), spec("d", {1}, false)},
      at::kCPU, 42);
  bool isAligned = true;
  for (size_t i = 0; i < parameters.size(); ++i)
    isAligned = isAligned && parameters.layout().offsets[i] % 16 == 0;
  check("aligned slices", isAligned);
  check("what decays comes first", parameters.layout().offsets == std::vector<int64_t>{0, 48, 16, 64});
  parameters[0].value.detach().fill_(1);
  parameters[1].value.detach().fill_(2);
  parameters[2].value.detach().fill_(3);
  parameters[3].value.detach().fill_(4);
  check("no slice overlaps another", parameters.flatWeights().sum().item<double>() == 15 + 14 + 96 + 4);

  parameters.setTrained({true, false, true, true});
  parameters.prepareGradients();
  check("frozen parameters take no memory", parameters.gradientLayout().total == 16 + 32 + 16);
  for (const double factor : {1.0, 2.0}) {
    at::Tensor loss = factor * (parameters[0].value.sum() + 3 * parameters[3].value.sum());
    loss.backward();
    parameters.collectGradients();
  }
  // Some rows of a parameter: the others are zero.
  Gradient::Target rows = parameters[2].gradient->rows(1, 1);
  check("a part is added", rows.adds);
  rows.values.add_(2);
  report("parameters: norm of all gradients",
         distance(gradientNorm(parameters.flatGradients()),
                  at::scalar_tensor(15 * 9 + 81 + 16 * 4, at::kDouble).sqrt()),
         1e-6);
  parameters.dropGradients();
  check("no gradient is left", !parameters.hasGradients());
  Gradient::Target whole = parameters[2].gradient->rows(0, 2);
  check("the first write of a step does not add", !whole.adds);
  check("the second one does", parameters[2].gradient->rows(0, 2).adds);

  const at::Tensor values = random({100000}, at::kFloat);
  report("norm of many values", distance(gradientNorm(values.to(at::kFloat)), values.norm()), 1e-6);
}

// The texts are those of LibTorch, oneDNN, the CUDA driver and cuBLAS.
void testOutOfMemory() {
  const auto check = [](const std::exception& error, bool expected) {
    const std::string text = error.what();
    report("out of memory or not: " + text.substr(0, text.find('\n')),
           isOutOfMemory(error) == expected ? 0 : 1, 0);
  };
  check(std::bad_alloc(), true);
  check(c10::OutOfMemoryError({"", "", 0}, "a tensor"), true);
  for (const char* text : {"DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.",
                           "could not create a primitive", "CUDA error: out of memory",
                           "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
                           "CUDA driver error: out of memory", "cuModuleLoadData: CUDA_ERROR_OUT_OF_MEMORY"})
    check(std::runtime_error(text), true);
  for (const char* text : {"CUDA error: an illegal memory access was encountered",
                           "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
                           "mat1 and mat2 shapes cannot be multiplied"})
    check(std::runtime_error(text), false);
}

}  // namespace bertune
