// Dropout with a residual, by our masks and by LibTorch's generators.
#include "ops/dropout.h"

#include <cmath>
#include <utility>

#include "tests/comparison.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

// Which elements are dropped, as 1: x is 1, the residual 0.
at::Tensor dropped(const Mask& mask, int64_t rows) {
  const at::Tensor x = at::ones({rows, 128});
  return dropoutAddDrawn(x, at::zeros_like(x), mask).eq(0).to(at::kDouble);
}

}  // namespace

// The kernel for float32, ATen's operators for bfloat16; both against the mask itself in float64.
void testDropout(at::ScalarType type, const Mask& mask) {
  compare(
      {describe("dropout of 33 x 129", type, mask),
       {random({33, 129}, type), random({33, 129}, type)},
       {type, type},
       type,
       {33, 129}},
      [&](const Inputs& in) {
        const at::Tensor y = dropoutAdd(in[0], in[1], mask);
        TORCH_CHECK(y.scalar_type() == type, "dropout changed the type");
        return y;
      },
      [&](const Inputs& in) { return in[0] * maskTensor(mask, 33, 129, at::kCPU) + in[1]; });
}

// Kept elements are scaled and the residual is added, with a pure function of the mask's numbers as mask.
void testDropoutDrawn() {
  constexpr double p = 0.1;
  const auto maskOf = [&](uint64_t seed, int64_t step, int64_t layer, Site site, int64_t firstRow) {
    return makeMask(seed, step, layer, site, p, firstRow);
  };
  const Mask mask = maskOf(42, 3, 1, Site::AttentionOutput, 17);
  const at::Tensor drops = dropped(mask, 64), kept = 1 - drops;
  // Four standard deviations of a mean of 64 * 128 elements.
  report("drawn dropout: rate", std::abs(drops.mean().item<double>() - p), 4 * std::sqrt(p * (1 - p) / 8192));
  report("drawn dropout: drawn again", distance(dropped(mask, 64), drops), 0);
  const at::Tensor x = random({64, 128}, at::kFloat), residual = random({64, 128}, at::kFloat);
  const at::Tensor scaled = x * kept / (1 - p);
  report("drawn dropout: with a residual",
         distance(dropoutAddDrawn(x.to(at::kFloat), residual.to(at::kFloat), mask), scaled + residual), 3e-7);
  const at::Tensor alone = dropoutAddDrawn(x.to(at::kBFloat16), {}, mask);
  report("drawn dropout: alone", distance(alone, scaled), 2e-2);
  report("drawn dropout: keeps the type", alone.scalar_type() == at::kBFloat16 ? 0 : 1, 0);
  // Of two independent masks p^2 + (1 - p)^2 of the elements agree.
  const double agree = p * p + (1 - p) * (1 - p), tolerance = 4 * std::sqrt(agree * (1 - agree) / 8192);
  for (const auto& [name, other] :
       std::vector<std::pair<std::string, Mask>>{{"seed", maskOf(43, 3, 1, Site::AttentionOutput, 17)},
                                                 {"step", maskOf(42, 4, 1, Site::AttentionOutput, 17)},
                                                 {"layer", maskOf(42, 3, 2, Site::AttentionOutput, 17)},
                                                 {"site", maskOf(42, 3, 1, Site::FeedForwardOutput, 17)},
                                                 {"first row", maskOf(42, 3, 1, Site::AttentionOutput, 18)}})
    report("drawn dropout: another " + name,
           std::abs(dropped(other, 64).eq(drops).to(at::kDouble).mean().item<double>() - agree), tolerance);
}

}  // namespace bertune
