// CPU kernels that work on rows, in the vectors of vectors.h: one implementation for each instruction set,
// chosen at run time, so nothing assumes the machine that built the addon.
#pragma once

#include <c10/util/BFloat16.h>

#include <algorithm>

#include "core/random.h"

// Where one compiler call can be given the instructions of several processors.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define BERTUNE_X86_VARIANTS
#endif

namespace bertune {

namespace kernels {

struct Norm {
  const float* weight;
  const float* bias;
  float epsilon;
};

// Where a block of rows adds up the gradients of what all rows share.
struct NormSums {
  float* weight;
  float* bias;
  float* linearBias = nullptr;
};

// Attention sees the keys of a sequence in panels of kPanel, and so has its scores: those of one query are
// kPanel values in each panel, the panels `stride` apart.
constexpr int64_t kPanel = 64;

struct SoftmaxSums {
  float sum;     // of exp(scale * (score - largest score))
  float logSum;  // log(sum(exp(scale * score)))
};

// Of the logits of a row that were seen so far.
struct LogitSums {
  float largest, sum;    // sum of exp(logit - largest)
  int64_t largestPlace;  // -1 before there was any
};

// One query of the backward pass. A row of padding has an infinite logSum.
struct QueryBack {
  float logSum, delta;
  RowKey key;
};

}  // namespace kernels

class RowKernels {
 public:
  virtual ~RowKernels() = default;

  virtual void narrow(c10::BFloat16* out, const float* x,
                      int64_t n) const = 0;  // to the nearest, ties to even

  // out[i] = first[i] | second[i] << 16 as bfloat16; no `second` is zeros.
  virtual void interleave(uint32_t* out, const c10::BFloat16* first, const c10::BFloat16* second,
                          int64_t n) const = 0;
  virtual void interleave(uint32_t* out, const float* first, const float* second, int64_t n) const = 0;

  // out[j * ldOut + i] = in[i * ldIn + j] for i < rows, j < columns.
  virtual void transpose(uint32_t* out, int64_t ldOut, const uint32_t* in, int64_t ldIn, int64_t rows,
                         int64_t columns) const = 0;

  // sum += x.
  virtual void add(float* sum, const float* x, int64_t n) const = 0;
  virtual void add(float* sum, const c10::BFloat16* x, int64_t n) const = 0;

  // out = (x * factor) rounded.
  virtual void scale(float* out, const float* x, float factor, int64_t n) const = 0;
  virtual void scale(c10::BFloat16* out, const float* x, float factor, int64_t n) const = 0;

  virtual float dot(const float* a, const float* b, int64_t n) const = 0;
  virtual float dot(const c10::BFloat16* a, const c10::BFloat16* b, int64_t n) const = 0;

  // out = (x + bias) rounded.
  virtual void addBias(float* out, const float* x, const float* bias, int64_t n) const = 0;
  virtual void addBias(c10::BFloat16* out, const float* x, const float* bias, int64_t n) const = 0;

  // y = gelu(z) = z * Phi(z) with Phi the normal distribution (Hendrycks, Gimpel 2016).
  virtual void gelu(float* y, const float* z, int64_t n) const = 0;
  virtual void gelu(c10::BFloat16* y, const c10::BFloat16* z, int64_t n) const = 0;

  // dZ = dY * gelu'(z); dZ may be dY.
  virtual void geluBackward(float* dZ, const float* dY, const float* z, int64_t n) const = 0;
  virtual void geluBackward(c10::BFloat16* dZ, const c10::BFloat16* dY, const c10::BFloat16* z,
                            int64_t n) const = 0;

  // y = gelu(z) * gate, and its backward pass, where dZ may be dY.
  virtual void gatedGelu(float* y, const float* z, const float* gate, int64_t n) const = 0;
  virtual void gatedGelu(c10::BFloat16* y, const c10::BFloat16* z, const c10::BFloat16* gate,
                         int64_t n) const = 0;
  virtual void gatedGeluBackward(float* dZ, float* dGate, const float* dY, const float* z, const float* gate,
                                 int64_t n) const = 0;
  virtual void gatedGeluBackward(c10::BFloat16* dZ, c10::BFloat16* dGate, const c10::BFloat16* dY,
                                 const c10::BFloat16* z, const c10::BFloat16* gate, int64_t n) const = 0;

  // The pairs (x[j], x[j + half]) turned by angles of these cosines and sines; out may be x.
  virtual void rotate(float* out, const float* x, const float* cosines, const float* sines,
                      int64_t half) const = 0;
  virtual void rotate(c10::BFloat16* out, const c10::BFloat16* x, const float* cosines, const float* sines,
                      int64_t half) const = 0;
  // And back.
  virtual void rotateBack(float* out, const float* x, const float* cosines, const float* sines,
                          int64_t half) const = 0;

  // out = dropout(x) + residual; residual may be null.
  virtual void dropoutAdd(float* out, const float* x, const float* residual, int64_t n, const Mask& mask,
                          int64_t row) const = 0;

  // out = dropout(x + bias) + residual.
  virtual void addBiasDropoutAdd(float* out, const float* x, const float* bias, const float* residual,
                                 int64_t n, const Mask& mask, int64_t row) const = 0;

  // Its backward pass: dX is the gradient of x, by which `dBias` grows.
  virtual void dropoutBackward(float* dX, float* dBias, const float* dOut, int64_t n, const Mask& mask,
                               int64_t row) const = 0;
  virtual void dropoutBackward(c10::BFloat16* dX, float* dBias, const float* dOut, int64_t n,
                               const Mask& mask, int64_t row) const = 0;

  // out = LayerNorm(x), which may be x; `normalized`, unless it is null, receives what LayerNorm's weight
  // multiplies, for a backward pass. Returns LayerNorm's 1 / standard deviation.
  virtual float norm(float* out, float* normalized, const float* x, const kernels::Norm& norm,
                     int64_t n) const = 0;
  virtual float norm(float* out, c10::BFloat16* normalized, const float* x, const kernels::Norm& norm,
                     int64_t n) const = 0;

  // LayerNorm's result once more: out = (normalized * weight + bias) rounded.
  virtual void scaleNormalized(float* out, const float* normalized, const float* weight, const float* bias,
                               int64_t n) const = 0;
  virtual void scaleNormalized(c10::BFloat16* out, const c10::BFloat16* normalized, const float* weight,
                               const float* bias, int64_t n) const = 0;

  // The backward pass of out = LayerNorm(sum), sum = dropout(x + bias) + residual. dSum is the gradient of
  // the sum and so of the residual, to which belongs what reached the sum by another way (`dSumAdded`, or
  // null); dX is that of x; `sums` grow.
  virtual void addNormBackward(float* dSum, float* dX, const kernels::NormSums& sums, const float* dOut,
                               const float* dSumAdded, const float* normalized, const float* weight,
                               float inverseDeviation, int64_t n, const Mask& mask, int64_t row) const = 0;
  virtual void addNormBackward(float* dSum, c10::BFloat16* dX, const kernels::NormSums& sums,
                               const float* dOut, const float* dSumAdded, const c10::BFloat16* normalized,
                               const float* weight, float inverseDeviation, int64_t n, const Mask& mask,
                               int64_t row) const = 0;
  // Of the norm alone; `sums` have no bias of a linear layer.
  virtual void normBackward(float* dSum, const kernels::NormSums& sums, const float* dOut,
                            const float* normalized, const float* weight, float inverseDeviation,
                            int64_t n) const = 0;
  virtual void normBackward(float* dSum, const kernels::NormSums& sums, const float* dOut,
                            const c10::BFloat16* normalized, const float* weight, float inverseDeviation,
                            int64_t n) const = 0;

  // out = exp(scale * (score - largest score)) of the keys that dropout keeps, and 0 of the others and up to
  // a multiple of 16. Softmax with dropout is that times mask.scale / sum. The keys are [first, first +
  // keys), where `first` begins a panel.
  virtual kernels::SoftmaxSums expDropout(float* out, const float* scores, int64_t first, int64_t keys,
                                          int64_t stride, float scale, const Mask& mask,
                                          int64_t row) const = 0;
  virtual kernels::SoftmaxSums expDropout(c10::BFloat16* out, const float* scores, int64_t first,
                                          int64_t keys, int64_t stride, float scale, const Mask& mask,
                                          int64_t row) const = 0;

  // Two queries and the keys [first, first + keys) of a panel, their rows kPanel apart: p = exp(scale * score
  // - logSum) again, dropped = dropout(p) and dScores = p * (dropout(dProbabilities) - delta), 0 up to a
  // multiple of 16. As bfloat16 `dropped` and `dScorePairs` are right-hand sides of brgemm, [key][query];
  // as float32 all are rows.
  virtual void softmaxBackward(c10::BFloat16* dScores, c10::BFloat16* dScorePairs, c10::BFloat16* dropped,
                               const float* scores, const float* dProbabilities, int64_t first, int64_t keys,
                               float scale, const Mask& mask, const kernels::QueryBack queries[2]) const = 0;
  virtual void softmaxBackward(float* dScores, float* dScorePairs, float* dropped, const float* scores,
                               const float* dProbabilities, int64_t first, int64_t keys, float scale,
                               const Mask& mask, const kernels::QueryBack queries[2]) const = 0;

  // Takes the logits x + bias of the places [first, first + n) into the sums of a row.
  virtual void addLogits(kernels::LogitSums& sums, const float* x, const float* bias, int64_t first,
                         int64_t n) const = 0;

  // out = exp(x + bias - logSum) * factor: the gradient of cross-entropy but for the label's place.
  virtual void softmaxGradient(float* out, const float* x, const float* bias, float logSum, float factor,
                               int64_t n) const = 0;
  virtual void softmaxGradient(c10::BFloat16* out, const float* x, const float* bias, float logSum,
                               float factor, int64_t n) const = 0;

  void narrow(float* out, const float* x, int64_t n) const { std::copy_n(x, n, out); }
};

// Those of this processor's instruction set, chosen when the program is loaded (processor.cc): they are
// called row by row.
extern const RowKernels& chosenKernels;
inline const RowKernels& rowKernels() { return chosenKernels; }

}  // namespace bertune
