// What a forward pass in training does that one in evaluation (no TrainingPass) does not.
#pragma once

#include <cstdint>

#include "core/random.h"

namespace bertune {

// Which numbers are drawn where: what belongs to no layer counts down from kNoLayer.
constexpr int64_t kNoLayer = -1;

struct TrainingPass {
  uint64_t seed;  // with step, token and sequence decides what is dropped, and the noise
  int64_t step;
  int64_t firstToken;  // tokens and sequences that earlier micro-batches of this step had
  int64_t firstSequence;
  double neftuneNoiseAlpha;    // 0 = no noise
  bool gradientCheckpointing;  // layers run again in the backward pass
};

// Whether the rows of a tensor are the tokens of a batch or its sequences.
enum class RowsAre { Tokens, Sequences };

// How many rows earlier micro-batches of the step had.
inline int64_t earlierRows(const TrainingPass* pass, RowsAre rows) {
  if (pass == nullptr) return 0;
  return rows == RowsAre::Tokens ? pass->firstToken : pass->firstSequence;
}

inline Mask maskAt(const TrainingPass* pass, Site site, int64_t layer, double probability, int64_t firstRow) {
  if (pass == nullptr || probability == 0) return {};
  return makeMask(pass->seed, pass->step, layer, site, probability, firstRow);
}

}  // namespace bertune
