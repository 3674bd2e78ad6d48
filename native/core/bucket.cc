#include "core/bucket.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace bertune {
namespace {

constexpr int64_t kSmallestTokenStep = 64;  // matrix products have tiles of as many rows
constexpr int kTokenStepsOfAnOctave = 5;    // as powers of 2: 32 buckets from one power of 2 to the next
constexpr int kSequenceStepsOfAnOctave = 4;
constexpr int64_t kSmallestLongest = 64;

int64_t roundUpTo(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// The largest power of 2 that is not larger.
int64_t powerBelow(int64_t value) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(value)));
}

int64_t roomOf(const BatchFormat& format) {
  return format.positions.has_value() ? format.positions->rows - format.positions->first : INT64_MAX;
}

size_t realRowsOf(const RawBatch& raw, const BatchFormat& format) {
  return format.isPerToken ? raw.inputIds.size() : raw.cuSeqlens.size() - 1;
}

// What a row of a filler has as values: nothing that the row's weight of 0 could not undo. Probabilities are
// divided by their sum where they are softened.
float fillerValue(const BatchFormat& format) {
  return format.loss == LossKind::CrossEntropy ? 1.0f / static_cast<float>(format.outputs) : 0.0f;
}

}  // namespace

Bucket bucketOf(const std::vector<int32_t>& cuSeqlens, const BatchFormat& format) {
  const int64_t tokens = cuSeqlens.back(), sequences = static_cast<int64_t>(cuSeqlens.size()) - 1;
  const int64_t room = roomOf(format);
  if (room < 2) throw std::invalid_argument("there are no buckets for a model with one position");
  int64_t longest = kSmallestLongest;
  for (size_t i = 1; i < cuSeqlens.size(); ++i)
    while (longest < cuSeqlens[i] - cuSeqlens[i - 1]) longest *= 2;
  longest = std::min(longest, room);
  const int64_t tokenStep = std::max(kSmallestTokenStep, powerBelow(tokens) >> kTokenStepsOfAnOctave);
  const int64_t sequenceStep = std::max<int64_t>(1, powerBelow(sequences) >> kSequenceStepsOfAnOctave);
  // Fillers have from one token each to a step of tokens more than that, and must not be too long for it.
  const int64_t leastFillers = (tokenStep - 2) / (longest - 1) + 1;
  const int64_t all = roundUpTo(sequences + leastFillers, sequenceStep);
  return {roundUpTo(tokens + all - sequences, tokenStep), all, longest};
}

RawBatch filled(const RawBatch& raw, const BatchFormat& format, const Bucket& bucket) {
  RawBatch batch = raw;
  const int64_t sequences = static_cast<int64_t>(raw.cuSeqlens.size()) - 1, tokens = raw.cuSeqlens.back();
  const int64_t fillers = bucket.sequences - sequences, missing = bucket.tokens - tokens;
  for (int64_t i = 1; i <= fillers; ++i)
    batch.cuSeqlens.push_back(static_cast<int32_t>(tokens + missing * i / fillers));
  batch.inputIds.resize(bucket.tokens, static_cast<int32_t>(format.padId.value_or(0)));
  if (batch.tokenTypeIds.has_value()) batch.tokenTypeIds->resize(bucket.tokens, 0);
  const int64_t rows = format.isPerToken ? bucket.tokens : bucket.sequences;
  if (!raw.classLabels.empty()) batch.classLabels.resize(rows, kIgnoredLabel);
  batch.valueLabels.resize(rows * labelValuesOf(raw, format), fillerValue(format));
  return batch;
}

int64_t labelValuesOf(const RawBatch& raw, const BatchFormat& format) {
  return static_cast<int64_t>(raw.valueLabels.size() / realRowsOf(raw, format));
}

StaticBatch::StaticBatch(const Bucket& bucket, const BatchFormat& format, int64_t labelValues,
                         at::Device device)
    : bucket_(bucket),
      format_(format),
      numbers_(reserve(sizeof(PassNumbers) / sizeof(int32_t))),  // the first, so that they are aligned
      ids_(reserve(bucket.tokens)),
      positions_(reserve(bucket.tokens)),
      types_(reserve(bucket.tokens)),
      offsets_(reserve(bucket.sequences + 1)),
      labels_{},
      rowWeights_{},
      divisorPart_(reserve(1)) {
  const int64_t rows = format.isPerToken ? bucket.tokens : bucket.sequences;
  labels_ = reserve(labelValues == 0 ? rows : rows * labelValues);
  rowWeights_ = reserve(rows);
  words_ = at::zeros({size_}, at::TensorOptions().dtype(at::kInt).device(device));
  indices_ = words_.to(at::kLong);
  divisor_ = floats(divisorPart_).squeeze(0);
  batch_.inputIds = indices(ids_);
  batch_.positions = indices(positions_);
  batch_.tokenTypeIds = indices(types_);
  batch_.firstTokens = indices(offsets_).narrow(0, 0, bucket.sequences);
  batch_.offsets = integers(offsets_);
  batch_.labels = labelValues == 0 ? indices(labels_) : floats(labels_).view({rows, labelValues});
  batch_.rowWeights = floats(rowWeights_);
  batch_.firstPosition = format.firstPosition();
  batch_.mostLongest = bucket.longest;
}

StaticBatch::Part StaticBatch::reserve(int64_t size) { return {std::exchange(size_, size_ + size), size}; }

const PassNumbers* StaticBatch::numbers() const {
  return reinterpret_cast<const PassNumbers*>(words_.const_data_ptr<int32_t>() + numbers_.first);
}

void StaticBatch::load(const RawBatch& raw, double divisor, const PassNumbers& numbers) {
  const at::Device device = words_.device();
  RawBatch all = filled(raw, format_, bucket_);
  const at::Tensor host =
      at::zeros({size_}, at::TensorOptions().dtype(at::kInt).pinned_memory(!device.is_cpu()));
  auto* words = host.mutable_data_ptr<int32_t>();
  const auto put = [&](Part part, const auto& values) {
    static_assert(sizeof(values[0]) == sizeof(int32_t));
    std::memcpy(words + part.first, values.data(), values.size() * sizeof(int32_t));
  };
  std::memcpy(words + numbers_.first, &numbers, sizeof numbers);
  put(ids_, all.inputIds);
  put(positions_, positionsOf(all.cuSeqlens, static_cast<int32_t>(format_.firstPosition())));
  if (all.tokenTypeIds.has_value()) put(types_, *all.tokenTypeIds);
  put(offsets_, all.cuSeqlens);
  if (all.classLabels.empty())
    put(labels_, all.valueLabels);
  else
    put(labels_, all.classLabels);
  put(rowWeights_, std::vector<float>(realRowsOf(raw, format_), 1.0f));
  put(divisorPart_, std::vector<float>{static_cast<float>(divisor)});
  words_.copy_(host, /*non_blocking=*/true);
  indices_.copy_(words_);
  batch_.fillers = bucket_.sequences - (static_cast<int64_t>(raw.cuSeqlens.size()) - 1);
  batch_.cuSeqlens = std::move(all.cuSeqlens);
}

}  // namespace bertune
