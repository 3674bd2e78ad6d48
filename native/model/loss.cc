#include "model/loss.h"

#include <ATen/ATen.h>

#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "core/memory.h"

namespace bertune {
namespace {

std::optional<at::Tensor> onDevice(const std::vector<float>& weights, at::Device device) {
  if (weights.empty()) return std::nullopt;
  return toDevice(weights, device);
}

// What the losses of a batch have beside logits, labels and options.
struct Weights {
  const LossWeights& ofLabels;
  const at::Tensor& ofRows;
};

// losses: [rows] or [rows, outputs].
at::Tensor total(const at::Tensor& losses, const at::Tensor& rowWeights) {
  if (!rowWeights.defined()) return losses.sum();
  return (losses * (losses.dim() == 1 ? rowWeights : rowWeights.unsqueeze(1))).sum();
}

// (1 - p)^gamma. Below 1 its derivative has no bound at 0, where the loss itself is 0: the clamp keeps
// infinity times 0 out of the gradient.
at::Tensor focalFactor(const at::Tensor& missing, double gamma) {
  return missing.clamp_min(std::numeric_limits<float>::min()).pow(gamma);
}

at::Tensor focalCrossEntropy(const at::Tensor& logits, const at::Tensor& labels, const LossOptions& options,
                             const Weights& weights) {
  const at::Tensor losses = at::cross_entropy_loss(logits, labels, {}, at::Reduction::None, kIgnoredLabel);
  at::Tensor focal = focalFactor(-at::expm1(-losses), options.focalGamma) * losses;
  if (const auto& ofClasses = weights.ofLabels.ofClasses)
    focal = focal * ofClasses->index_select(0, labels.clamp_min(0));  // an ignored label's loss is 0 already
  return focal.sum();
}

at::Tensor crossEntropy(const at::Tensor& logits, const at::Tensor& labels, const LossOptions& options,
                        const Weights& weights) {
  if (options.focalGamma > 0) return focalCrossEntropy(logits, labels, options, weights);
  // Rows of class ids without a label are ignored as it is.
  const bool hasFillers = weights.ofRows.defined() && labels.is_floating_point();
  const at::Tensor losses = at::cross_entropy_loss(logits, labels, weights.ofLabels.ofClasses,
                                                   hasFillers ? at::Reduction::None : at::Reduction::Sum,
                                                   kIgnoredLabel, options.labelSmoothing);
  return hasFillers ? total(losses, weights.ofRows) : losses;
}

at::Tensor binaryCrossEntropy(const at::Tensor& logits, const at::Tensor& labels, const LossOptions& options,
                              const Weights& weights) {
  const double smoothing = options.labelSmoothing;
  const at::Tensor targets = smoothing > 0 ? labels * (1 - smoothing) + smoothing / 2 : labels;
  const auto& posWeight = weights.ofLabels.ofPositives;
  if (options.focalGamma == 0 && !weights.ofRows.defined())
    return at::binary_cross_entropy_with_logits(logits, targets, {}, posWeight, at::Reduction::Sum);
  const at::Tensor losses =
      at::binary_cross_entropy_with_logits(logits, targets, {}, posWeight, at::Reduction::None);
  if (options.focalGamma == 0) return total(losses, weights.ofRows);
  const at::Tensor missing = at::sigmoid(logits) * (1 - targets) + at::sigmoid(-logits) * targets;
  return total(focalFactor(missing, options.focalGamma) * losses, weights.ofRows);
}

at::Tensor squaredErrors(const at::Tensor& logits, const at::Tensor& labels, const Weights& weights) {
  if (!weights.ofRows.defined()) return at::mse_loss(logits, labels, at::Reduction::Sum);
  return total(at::mse_loss(logits, labels, at::Reduction::None), weights.ofRows);
}

// What a teacher with these probabilities says at a higher temperature.
at::Tensor softened(LossKind kind, const at::Tensor& probabilities, double temperature) {
  const at::Tensor powers = probabilities.pow(1 / temperature);
  if (kind == LossKind::CrossEntropy) return powers / powers.sum(-1, /*keepdim=*/true);
  return powers / (powers + (1 - probabilities).pow(1 / temperature));
}

}  // namespace

LossWeights::LossWeights(const LossOptions& options, at::Device device)
    : ofClasses(onDevice(options.classWeights, device)), ofPositives(onDevice(options.posWeight, device)) {}

at::Tensor lossSum(LossKind kind, const at::Tensor& logits, const at::Tensor& labels,
                   const LossOptions& options, const LossWeights& weights, const at::Tensor& rowWeights) {
  if (const double alpha = options.alpha; alpha != 1) {
    LossOptions ofTeacher = options;
    ofTeacher.alpha = 1;
    LossOptions own = ofTeacher;
    own.temperature = 1;
    const std::vector<at::Tensor> parts = labels.chunk(2, /*dim=*/1);
    return alpha * lossSum(kind, logits, parts[0], ofTeacher, weights, rowWeights) +
           (1 - alpha) * lossSum(kind, logits, parts[1], own, weights, rowWeights);
  }
  if (const double temperature = options.temperature; temperature != 1) {
    LossOptions others = options;
    others.temperature = 1;
    const at::Tensor sum =
        lossSum(kind, logits / temperature, softened(kind, labels, temperature), others, weights, rowWeights);
    return sum * (temperature * temperature);  // keeps the size of the gradients
  }
  // A weight of 0 alone would leave 0 times infinity.
  const at::Tensor known =
      rowWeights.defined() ? logits.masked_fill(rowWeights.eq(0).unsqueeze(1), 0) : logits;
  const Weights all{weights, rowWeights};
  switch (kind) {
    case LossKind::CrossEntropy:
      return crossEntropy(known, labels, options, all);
    case LossKind::BinaryCrossEntropy:
      return binaryCrossEntropy(known, labels, options, all);
    case LossKind::MeanSquaredError:
      return squaredErrors(known, labels, all);
  }
  return {};
}

void checkLoss(const LossOptions& options, const BatchFormat& format, const RawBatch& raw) {
  const bool isClasses = raw.valueLabels.empty();
  const bool hasBoth = raw.valueLabels.size() == 2 * valuesOf(raw, format);
  if (format.loss == LossKind::MeanSquaredError && options.alpha != 1)
    throw std::invalid_argument("alpha needs probabilities as labels, not values; leave it out");
  if (options.alpha != 1 && !hasBoth)
    throw std::invalid_argument(
        "alpha needs a Float32Array with the probabilities and the labels of each row; leave it out for one "
        "of them");
  if (options.alpha == 1 && hasBoth)
    throw std::invalid_argument(
        "labels have probabilities and labels of each row, which need an alpha below 1");
  if (format.isVocabulary &&
      (options.labelSmoothing > 0 || options.focalGamma > 0 || !options.classWeights.empty()))
    throw std::invalid_argument(
        "a masked language model has no labelSmoothing, focalGamma or classWeights; leave them out");
  if (format.loss == LossKind::CrossEntropy && !isClasses && options.focalGamma > 0)
    throw std::invalid_argument(
        "focalGamma needs class ids as labels; leave it out where labels are probabilities");
  if (isClasses && options.temperature != 1)
    throw std::invalid_argument("temperature needs probabilities as labels, not class ids; leave it out");
  if (format.loss == LossKind::MeanSquaredError && options.temperature != 1)
    throw std::invalid_argument("temperature needs probabilities as labels, not values; leave it out");
}

}  // namespace bertune
