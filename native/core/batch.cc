#include "core/batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "core/memory.h"

namespace bertune {
namespace {

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void checkOffsets(const RawBatch& raw, const BatchFormat& format) {
  const auto& offsets = raw.cuSeqlens;
  if (offsets.size() < 2) fail("cuSeqlens must hold at least 2 offsets: 0 and the number of tokens");
  if (offsets.front() != 0)
    fail("cuSeqlens must start at 0 but starts at " + std::to_string(offsets.front()));
  for (size_t i = 1; i < offsets.size(); ++i) {
    const int64_t length = static_cast<int64_t>(offsets[i]) - offsets[i - 1];
    if (length <= 0) fail("cuSeqlens must increase, but entry " + std::to_string(i) + " does not");
    if (format.positions.has_value() && length > format.positions->rows - format.positions->first)
      fail("sequence " + std::to_string(i - 1) + " has " + std::to_string(length) +
           " tokens; the model has " + std::to_string(format.positions->rows - format.positions->first) +
           " positions");
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

void checkTypes(const std::vector<int32_t>& types, int64_t limit) {
  const auto other = std::find_if(types.begin(), types.end(), [](int32_t type) { return type != 0; });
  if (limit == 1 && other != types.end())
    fail("tokenTypeIds[" + std::to_string(other - types.begin()) + "] is " + std::to_string(*other) +
         ", but the model has one token type, 0: leave tokenTypeIds out, or encode with tokenTypes 1");
  checkIds(types, "tokenTypeIds", limit);
}

void checkPlaces(const std::vector<int32_t>& places, const RawBatch& raw, const char* name) {
  if (places.empty()) return;
  if (places.size() + 1 != raw.cuSeqlens.size())
    fail(std::string(name) + " must have one number for each of the " +
         std::to_string(raw.cuSeqlens.size() - 1) + " sequences");
  for (size_t i = 0; i < places.size(); ++i)
    if (places[i] < 0 || places[i] > INT32_MAX - raw.cuSeqlens.back())
      fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(places[i]) +
           "; it must be from 0 to " + std::to_string(INT32_MAX - raw.cuSeqlens.back()));
}

size_t rowsOf(const RawBatch& raw, const BatchFormat& format) {
  return format.isPerToken ? raw.inputIds.size() : raw.cuSeqlens.size() - 1;
}

std::string rowsInWords(size_t rows, const BatchFormat& format) {
  return std::to_string(rows) + (format.isPerToken ? " tokens" : " sequences");
}

void checkClassLabels(const RawBatch& raw, const BatchFormat& format, size_t rows) {
  if (raw.classLabels.size() != rows)
    fail("labels must be an Int32Array with one class id for each of the " + rowsInWords(rows, format));
  for (size_t i = 0; i < rows; ++i)
    if (raw.classLabels[i] != kIgnoredLabel &&
        (raw.classLabels[i] < 0 || raw.classLabels[i] >= format.outputs))
      fail("labels[" + std::to_string(i) + "] is " + std::to_string(raw.classLabels[i]) +
           "; it must be from 0 to " + std::to_string(format.outputs - 1) + ", or -100 for none");
}

void checkValueLabels(const RawBatch& raw, const BatchFormat& format, size_t rows) {
  const size_t expected = valuesOf(raw, format);
  if (raw.valueLabels.size() != expected && raw.valueLabels.size() != 2 * expected)
    fail("labels must be a Float32Array of " + std::to_string(expected) +
         " values: " + rowsInWords(rows, format) + " x " + std::to_string(format.outputs) + " labels");
  for (size_t i = 0; i < raw.valueLabels.size(); ++i)
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

std::vector<int32_t> labelled(const std::vector<int32_t>& labels) {
  std::vector<int32_t> rows;
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != kIgnoredLabel) rows.push_back(static_cast<int32_t>(i));
  return rows;
}

template <typename T>
std::vector<T> slice(const std::vector<T>& values, size_t begin, size_t end) {
  return values.empty() ? std::vector<T>() : std::vector<T>(values.begin() + begin, values.begin() + end);
}

RawBatch sequences(const RawBatch& raw, const BatchFormat& format, size_t begin, size_t end) {
  const int32_t first = raw.cuSeqlens[begin], last = raw.cuSeqlens[end];
  const size_t values = raw.valueLabels.size() / rowsOf(raw, format);
  const size_t firstRow = format.isPerToken ? first : begin, lastRow = format.isPerToken ? last : end;
  RawBatch part;
  part.inputIds = slice(raw.inputIds, first, last);
  part.cuSeqlens = slice(raw.cuSeqlens, begin, end + 1);
  for (int32_t& offset : part.cuSeqlens) offset -= first;
  if (raw.tokenTypeIds.has_value()) part.tokenTypeIds = slice(*raw.tokenTypeIds, first, last);
  part.classLabels = slice(raw.classLabels, firstRow, lastRow);
  part.valueLabels = slice(raw.valueLabels, firstRow * values, lastRow * values);
  part.tokenPlaces = slice(raw.tokenPlaces, begin, end);
  part.sequencePlaces = slice(raw.sequencePlaces, begin, end);
  return part;
}

}  // namespace

size_t valuesOf(const RawBatch& raw, const BatchFormat& format) {
  return rowsOf(raw, format) * static_cast<size_t>(format.outputs);
}

std::vector<int32_t> positionsOf(const std::vector<int32_t>& offsets, int32_t first) {
  std::vector<int32_t> positions;
  positions.reserve(offsets.back());
  for (size_t i = 1; i < offsets.size(); ++i)
    for (int32_t p = 0; p < offsets[i] - offsets[i - 1]; ++p) positions.push_back(first + p);
  return positions;
}

int64_t Batch::longest() const {
  int64_t longest = mostLongest;
  for (size_t i = 1; i < cuSeqlens.size(); ++i)
    longest = std::max<int64_t>(longest, cuSeqlens[i] - cuSeqlens[i - 1]);
  return longest;
}

BatchFormat batchFormat(const SessionSpec& spec) {
  const EmbeddingsSpec& embeddings = spec.encoder.embeddings;
  BatchFormat format{embeddings.vocab,    embeddings.tokenTypes, embeddings.positions,
                     spec.encoder.hidden, /*isPerToken=*/true,   spec.loss};
  format.padId = embeddings.padId;
  for (const HeadStage& stage : spec.head) {
    using Kind = HeadStage::Kind;
    if (stage.kind == Kind::PoolFirst || stage.kind == Kind::PoolMean) format.isPerToken = false;
    if (stage.kind == Kind::Vocabulary) {
      format.isVocabulary = true;
      format.outputs = embeddings.vocab;
    }
    if (stage.kind != Kind::Linear) continue;
    for (const ParameterSpec& parameter : spec.parameters)
      if (parameter.name == stage.name + ".weight") format.outputs = parameter.shape[0];
  }
  return format;
}

void checkBatch(const RawBatch& raw, const BatchFormat& format, bool needsLabels) {
  checkOffsets(raw, format);
  checkIds(raw.inputIds, "inputIds", format.vocab);
  checkPlaces(raw.tokenPlaces, raw, "tokenPlaces");
  checkPlaces(raw.sequencePlaces, raw, "sequencePlaces");
  if (raw.tokenPlaces.empty() != raw.sequencePlaces.empty())
    fail("tokenPlaces and sequencePlaces go together; give both or neither");
  if (raw.tokenTypeIds.has_value()) {
    if (format.tokenTypes == 0) fail("the encoder has no token types; leave tokenTypeIds out");
    if (raw.tokenTypeIds->size() != raw.inputIds.size()) fail("tokenTypeIds must be as long as inputIds");
    checkTypes(*raw.tokenTypeIds, format.tokenTypes);
  }
  if (!needsLabels) return;
  const size_t rows = rowsOf(raw, format);
  const bool isClasses =
      format.loss == LossKind::CrossEntropy && (raw.valueLabels.empty() || format.isVocabulary);
  if (isClasses)
    checkClassLabels(raw, format, rows);
  else
    checkValueLabels(raw, format, rows);
}

Batch toTensors(const RawBatch& raw, const BatchFormat& format, at::Device device) {
  Packed packed;
  const auto first = static_cast<int32_t>(format.firstPosition());
  const size_t inputIds = packed.add(raw.inputIds), positions = packed.add(positionsOf(raw.cuSeqlens, first)),
               offsets = packed.add(raw.cuSeqlens),
               tokenTypeIds = packed.add(raw.tokenTypeIds.value_or(std::vector<int32_t>())),
               classLabels = packed.add(raw.classLabels),
               labelledRows =
                   packed.add(format.isVocabulary ? labelled(raw.classLabels) : std::vector<int32_t>());
  packed.copyTo(device);
  Batch batch;
  batch.cuSeqlens = raw.cuSeqlens;
  batch.firstPosition = format.firstPosition();
  batch.inputIds = packed.indices(inputIds);
  batch.positions = packed.indices(positions);
  batch.tokenTypeIds =
      raw.tokenTypeIds.has_value() ? packed.indices(tokenTypeIds) : at::zeros_like(batch.inputIds);
  batch.firstTokens = packed.indices(offsets).narrow(0, 0, batch.sequences());
  batch.offsets = packed.integers(offsets);
  if (!raw.classLabels.empty()) batch.labels = packed.indices(classLabels);
  if (!raw.classLabels.empty() && format.isVocabulary) batch.labelledRows = packed.indices(labelledRows);
  if (!raw.valueLabels.empty()) {
    const int64_t width = static_cast<int64_t>(raw.valueLabels.size() / rowsOf(raw, format));
    batch.labels = toDevice(raw.valueLabels, device).view({-1, width});
  }
  return batch;
}

std::vector<RawBatch> split(const RawBatch& raw, const BatchFormat& format, int64_t maxTokens) {
  std::vector<RawBatch> parts;
  const size_t count = raw.cuSeqlens.size() - 1;
  for (size_t begin = 0; begin < count;) {
    size_t end = begin + 1;
    while (end < count && raw.cuSeqlens[end + 1] - raw.cuSeqlens[begin] <= maxTokens) ++end;
    parts.push_back(sequences(raw, format, begin, end));
    begin = end;
  }
  return parts;
}

}  // namespace bertune
