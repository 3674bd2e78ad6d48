#include "model/loss.h"

#include <ATen/ATen.h>

#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "core/memory.h"

namespace bertune {
namespace {

constexpr int64_t kIgnoredLabel = -100;

std::optional<at::Tensor> weightTensor(const std::vector<float>& weights, const at::Tensor& like) {
  if (weights.empty()) return std::nullopt;
  return toDevice(weights, like.device());
}

// (1 - p)^gamma. Below 1 its derivative has no bound at 0, where the loss itself is 0: the clamp keeps
// infinity times 0 out of the gradient.
at::Tensor focalFactor(const at::Tensor& missing, double gamma) {
  return missing.clamp_min(std::numeric_limits<float>::min()).pow(gamma);
}

at::Tensor focalCrossEntropy(const at::Tensor& logits, const at::Tensor& labels, const LossOptions& options) {
  const at::Tensor losses = at::cross_entropy_loss(logits, labels, {}, at::Reduction::None, kIgnoredLabel);
  at::Tensor focal = focalFactor(-at::expm1(-losses), options.focalGamma) * losses;
  if (const auto weights = weightTensor(options.classWeights, logits))
    focal = focal * weights->index_select(0, labels.clamp_min(0));  // an ignored label's loss is 0 already
  return focal.sum();
}

at::Tensor crossEntropy(const at::Tensor& logits, const at::Tensor& labels, const LossOptions& options) {
  if (options.focalGamma > 0) return focalCrossEntropy(logits, labels, options);
  return at::cross_entropy_loss(logits, labels, weightTensor(options.classWeights, logits),
                                at::Reduction::Sum, kIgnoredLabel, options.labelSmoothing);
}

at::Tensor binaryCrossEntropy(const at::Tensor& logits, const at::Tensor& labels,
                              const LossOptions& options) {
  const double smoothing = options.labelSmoothing;
  const at::Tensor targets = smoothing > 0 ? labels * (1 - smoothing) + smoothing / 2 : labels;
  const auto posWeight = weightTensor(options.posWeight, logits);
  if (options.focalGamma == 0)
    return at::binary_cross_entropy_with_logits(logits, targets, {}, posWeight, at::Reduction::Sum);
  const at::Tensor losses =
      at::binary_cross_entropy_with_logits(logits, targets, {}, posWeight, at::Reduction::None);
  const at::Tensor missing = at::sigmoid(logits) * (1 - targets) + at::sigmoid(-logits) * targets;
  return (focalFactor(missing, options.focalGamma) * losses).sum();
}

// What a teacher with these probabilities says at a higher temperature.
at::Tensor softened(LossKind kind, const at::Tensor& probabilities, double temperature) {
  const at::Tensor powers = probabilities.pow(1 / temperature);
  if (kind == LossKind::CrossEntropy) return powers / powers.sum(-1, /*keepdim=*/true);
  return powers / (powers + (1 - probabilities).pow(1 / temperature));
}

}  // namespace

at::Tensor lossSum(LossKind kind, const at::Tensor& logits, const at::Tensor& labels,
                   const LossOptions& options) {
  if (const double alpha = options.alpha; alpha != 1) {
    LossOptions ofTeacher = options;
    ofTeacher.alpha = 1;
    LossOptions own = ofTeacher;
    own.temperature = 1;
    const std::vector<at::Tensor> parts = labels.chunk(2, /*dim=*/1);
    return alpha * lossSum(kind, logits, parts[0], ofTeacher) +
           (1 - alpha) * lossSum(kind, logits, parts[1], own);
  }
  if (const double temperature = options.temperature; temperature != 1) {
    LossOptions others = options;
    others.temperature = 1;
    const at::Tensor sum = lossSum(kind, logits / temperature, softened(kind, labels, temperature), others);
    return sum * (temperature * temperature);  // keeps the size of the gradients
  }
  switch (kind) {
    case LossKind::CrossEntropy:
      return crossEntropy(logits, labels, options);
    case LossKind::BinaryCrossEntropy:
      return binaryCrossEntropy(logits, labels, options);
    case LossKind::MeanSquaredError:
      return at::mse_loss(logits, labels, at::Reduction::Sum);
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
