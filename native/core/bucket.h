// Batches rounded up to one of few sizes, so that a step can be recorded once and repeated for other batches.
// What is missing is filled up with sequences behind the real ones, which count for nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include <compare>
#include <cstdint>
#include <vector>

#include "core/batch.h"
#include "core/random.h"

namespace bertune {

// Tokens and sequences of a batch with its fillers, and a number of tokens that no sequence exceeds.
struct Bucket {
  int64_t tokens, sequences, longest;

  auto operator<=>(const Bucket&) const = default;
};

// A function of the lengths alone, so that a batch has the same shape, and the same bits, wherever it comes
// in a run. Of 1,200 tokens and more the fillers are at most 6 %, of 2,048 and more about 3 % (of sequences
// that have 16 tokens each; among shorter ones there are more fillers). There is at least one filler, and
// each has a token.
//
// Throws std::invalid_argument where the model has one position: fillers could not be longer than that.
Bucket bucketOf(const std::vector<int32_t>& cuSeqlens, const BatchFormat& format);

// The batch with its fillers: ids of padding, token type 0, and labels that count for nothing.
RawBatch filled(const RawBatch& raw, const BatchFormat& format, const Bucket& bucket);

// Values that each row has as labels; 0 for class ids.
int64_t labelValuesOf(const RawBatch& raw, const BatchFormat& format);

// A batch of one bucket at fixed addresses of the device, which its batches share one after another: each
// arrives in one copy. All but the lengths are read on the device.
class StaticBatch {
 public:
  // `labelValues`: those of a row's labels, as of labelValuesOf.
  StaticBatch(const Bucket& bucket, const BatchFormat& format, int64_t labelValues, at::Device device);
  StaticBatch(const StaticBatch&) = delete;
  StaticBatch& operator=(const StaticBatch&) = delete;

  // `raw` without fillers. Does not wait for the device.
  void load(const RawBatch& raw, double divisor, const PassNumbers& numbers);

  const Batch& batch() const { return batch_; }
  const PassNumbers* numbers() const;                     // those of `load`, in memory of the device
  const at::Tensor& divisor() const { return divisor_; }  // of the loss, a float32 scalar

 private:
  struct Part {
    int64_t first, size;
  };

  Part reserve(int64_t size);
  at::Tensor integers(Part part) const { return words_.narrow(0, part.first, part.size); }
  at::Tensor indices(Part part) const { return indices_.narrow(0, part.first, part.size); }
  at::Tensor floats(Part part) const { return integers(part).view(at::kFloat); }

  Bucket bucket_;
  const BatchFormat format_;
  int64_t size_ = 0;  // words of all parts
  Part numbers_, ids_, positions_, types_, offsets_, labels_, rowWeights_, divisorPart_;
  at::Tensor words_, indices_;  // int32, and the same as int64
  at::Tensor divisor_;
  Batch batch_;
};

}  // namespace bertune
