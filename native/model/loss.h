// The loss of a batch as a sum over its labels, so that micro-batches add up exactly.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "core/batch.h"
#include "core/spec.h"

namespace bertune {

struct LossOptions {
  double labelSmoothing = 0;
  double focalGamma = 0;                 // 0 is no focal loss
  std::vector<float> classWeights = {};  // [outputs] or empty: a factor by class, of cross-entropy
  // [outputs] or empty: a factor of the positive term, of binary cross-entropy
  std::vector<float> posWeight = {};
  double temperature = 1;  // of distillation: probabilities as labels, and the logits, are softened by it
  double alpha = 1;        // of distillation: the share of the probabilities; below 1 a row has labels too

  bool operator==(const LossOptions&) const = default;
};

// The weights of the options on the device, which are copied there once and not in each pass.
struct LossWeights {
  std::optional<at::Tensor> ofClasses, ofPositives;

  LossWeights(const LossOptions& options, at::Device device);
};

// logits: float [rows, outputs]. Returns a scalar: the sum of cross-entropy over labels that are not -100, or
// over rows of probabilities, of binary cross-entropy, or of squared errors. Smoothing and weights are those
// of torch.nn.CrossEntropyLoss and BCEWithLogitsLoss; a focal loss (Lin et al. 2017) takes no smoothing, and
// of cross-entropy class ids only. With a temperature T the labels are probabilities p of a teacher: the loss
// is T^2 times that of logits / T for softmax(log p / T), or sigmoid(logit p / T) (Hinton, Vinyals and Dean
// 2015). With an alpha below 1 the labels are [rows, 2 * outputs], behind the probabilities 0 and 1 of the
// row's own labels: the loss is alpha times that of the first and 1 - alpha times that of the second, whose
// temperature is 1.
//
// rowWeights: float [rows], or undefined for none. A row with a 0 counts for nothing and has a gradient of
// exactly 0, whatever its logits and labels are.
at::Tensor lossSum(LossKind kind, const at::Tensor& logits, const at::Tensor& labels,
                   const LossOptions& options, const LossWeights& weights, const at::Tensor& rowWeights);

// Throws std::invalid_argument for options that do not go with such labels.
void checkLoss(const LossOptions& options, const BatchFormat& format, const RawBatch& raw);

}  // namespace bertune
