#include "batch.h"

#include <ATen/ATen.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "transfer.h"

namespace bertune {
namespace {

constexpr int32_t kIgnoredLabel = -100;  // torch.nn.CrossEntropyLoss(ignore_index)

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void checkOffsets(const RawBatch& raw, const BatchLimits& limits) {
  const auto& offsets = raw.cuSeqlens;
  if (offsets.size() < 2) fail("cuSeqlens must hold at least 2 offsets: 0 and the number of tokens");
  if (offsets.front() != 0)
    fail("cuSeqlens must start at 0 but starts at " + std::to_string(offsets.front()));
  for (size_t i = 1; i < offsets.size(); ++i) {
    const int64_t length = static_cast<int64_t>(offsets[i]) - offsets[i - 1];
    if (length <= 0) fail("cuSeqlens must increase, but entry " + std::to_string(i) + " does not");
    if (length > limits.maxPositions)
      fail("sequence " + std::to_string(i - 1) + " has " + std::to_string(length) +
           " tokens; the model has " + std::to_string(limits.maxPositions) + " positions");
  }
  if (static_cast<size_t>(offsets.back()) != raw.inputIds.size())
    fail("cuSeqlens ends at " + std::to_string(offsets.back()) + " but there are " +
         std::to_string(raw.inputIds.size()) + " inputIds");
}

void checkIds(const std::vector<int32_t>& ids, const char* name, int64_t limit) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= limit)
      fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(ids[i]) +
           "; it must be from 0 to " + std::to_string(limit - 1));
}

void checkClassLabels(const RawBatch& raw, const BatchLimits& limits, size_t sequences) {
  if (raw.classLabels.size() != sequences)
    fail("labels must be an Int32Array with one class id for each of the " + std::to_string(sequences) +
         " sequences");
  for (size_t i = 0; i < sequences; ++i)
    if (raw.classLabels[i] != kIgnoredLabel &&
        (raw.classLabels[i] < 0 || raw.classLabels[i] >= limits.numLabels))
      fail("labels[" + std::to_string(i) + "] is " + std::to_string(raw.classLabels[i]) +
           "; it must be from 0 to " + std::to_string(limits.numLabels - 1) + ", or -100 for none");
}

void checkValueLabels(const RawBatch& raw, const BatchLimits& limits, size_t sequences) {
  const size_t expected = sequences * static_cast<size_t>(limits.numLabels);
  if (raw.valueLabels.size() != expected)
    fail("labels must be a Float32Array of " + std::to_string(expected) + " values: " +
         std::to_string(sequences) + " sequences x " + std::to_string(limits.numLabels) + " labels");
  for (size_t i = 0; i < expected; ++i)
    if (!std::isfinite(raw.valueLabels[i])) fail("labels[" + std::to_string(i) + "] is not a finite number");
}

// Arrays of integers side by side, so that all of them are one copy to the device.
class Packed {
 public:
  // Returns the array's number.
  size_t add(const std::vector<int32_t>& values) {
    values_.insert(values_.end(), values.begin(), values.end());
    ends_.push_back(static_cast<int64_t>(values_.size()));
    return ends_.size() - 1;
  }
  void copyTo(at::Device device) {
    integers_ = toDevice(values_, device);
    indices_ = integers_.to(at::kLong);
  }
  at::Tensor integers(size_t number) const { return part(integers_, number); }  // int32
  at::Tensor indices(size_t number) const { return part(indices_, number); }    // int64

 private:
  at::Tensor part(const at::Tensor& all, size_t number) const {
    const int64_t begin = number == 0 ? 0 : ends_[number - 1];
    return all.narrow(0, begin, ends_[number] - begin);
  }

  std::vector<int32_t> values_;
  std::vector<int64_t> ends_;
  at::Tensor integers_, indices_;
};

std::vector<int32_t> positionsOf(const std::vector<int32_t>& offsets) {
  std::vector<int32_t> positions;
  positions.reserve(offsets.back());
  for (size_t i = 1; i < offsets.size(); ++i)
    for (int32_t p = 0; p < offsets[i] - offsets[i - 1]; ++p) positions.push_back(p);
  return positions;
}

template <typename T>
std::vector<T> slice(const std::vector<T>& values, size_t begin, size_t end) {
  return values.empty() ? std::vector<T>() : std::vector<T>(values.begin() + begin, values.begin() + end);
}

RawBatch sequences(const RawBatch& raw, size_t begin, size_t end) {
  const int32_t first = raw.cuSeqlens[begin], last = raw.cuSeqlens[end];
  const size_t labels = raw.valueLabels.size() / (raw.cuSeqlens.size() - 1);
  RawBatch part;
  part.inputIds = slice(raw.inputIds, first, last);
  part.cuSeqlens = slice(raw.cuSeqlens, begin, end + 1);
  for (int32_t& offset : part.cuSeqlens) offset -= first;
  if (raw.tokenTypeIds.has_value()) part.tokenTypeIds = slice(*raw.tokenTypeIds, first, last);
  part.classLabels = slice(raw.classLabels, begin, end);
  part.valueLabels = slice(raw.valueLabels, begin * labels, end * labels);
  return part;
}

}  // namespace

void checkBatch(const RawBatch& raw, const BatchLimits& limits, bool needsLabels) {
  checkOffsets(raw, limits);
  checkIds(raw.inputIds, "inputIds", limits.vocabSize);
  if (raw.tokenTypeIds.has_value()) {
    if (raw.tokenTypeIds->size() != raw.inputIds.size()) fail("tokenTypeIds must be as long as inputIds");
    checkIds(*raw.tokenTypeIds, "tokenTypeIds", limits.typeVocabSize);
  }
  if (!needsLabels) return;
  const size_t sequences = raw.cuSeqlens.size() - 1;
  if (limits.classLabels)
    checkClassLabels(raw, limits, sequences);
  else
    checkValueLabels(raw, limits, sequences);
}

Batch toTensors(const RawBatch& raw, int64_t numLabels, at::Device device) {
  Packed packed;
  const size_t inputIds = packed.add(raw.inputIds), positions = packed.add(positionsOf(raw.cuSeqlens)),
               offsets = packed.add(raw.cuSeqlens),
               tokenTypeIds = packed.add(raw.tokenTypeIds.value_or(std::vector<int32_t>())),
               classLabels = packed.add(raw.classLabels);
  packed.copyTo(device);
  Batch batch;
  batch.cuSeqlens = raw.cuSeqlens;
  batch.inputIds = packed.indices(inputIds);
  batch.positions = packed.indices(positions);
  batch.tokenTypeIds =
      raw.tokenTypeIds.has_value() ? packed.indices(tokenTypeIds) : at::zeros_like(batch.inputIds);
  batch.firstTokens = packed.indices(offsets).narrow(0, 0, batch.sequences());
  batch.offsets = packed.integers(offsets);
  if (!raw.classLabels.empty()) batch.labels = packed.indices(classLabels);
  if (!raw.valueLabels.empty()) batch.labels = toDevice(raw.valueLabels, device).view({-1, numLabels});
  return batch;
}

std::vector<RawBatch> split(const RawBatch& raw, int64_t maxTokens) {
  std::vector<RawBatch> parts;
  const size_t count = raw.cuSeqlens.size() - 1;
  for (size_t begin = 0; begin < count;) {
    size_t end = begin + 1;
    while (end < count && raw.cuSeqlens[end + 1] - raw.cuSeqlens[begin] <= maxTokens) ++end;
    parts.push_back(sequences(raw, begin, end));
    begin = end;
  }
  return parts;
}

}  // namespace bertune
