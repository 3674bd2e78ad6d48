#include "ops/add_norm.h"

#include <ATen/ATen.h>

#include "ops/dropout.h"
#include "ops/fused.h"

namespace bertune {
namespace {

// Null where there are none for such rows. Forward and backward ask the same question.
const cuda::Kernels* kernelsFor(at::Device device, at::ScalarType type, int64_t columns) {
  const bool isTaken = (type == at::kFloat || type == at::kBFloat16) && fused::takesNormalized(columns);
  return isTaken ? cuda::kernelsOf(device) : nullptr;
}

}  // namespace

AddNormResult addNorm(const at::Tensor& y, const at::Tensor& residual, const at::Tensor& weight,
                      const std::optional<at::Tensor>& bias, double epsilon, const Mask& mask) {
  if (const auto* kernels = kernelsFor(y.device(), y.scalar_type(), y.size(1))) {
    const fused::NormArguments norm{weight.contiguous(), bias.value_or(at::Tensor()), epsilon};
    const fused::Normalized found = fused::addNorm(*kernels, y.contiguous(), residual.contiguous(), norm,
                                                   mask, {/*sum=*/true, /*out=*/true, /*rounded=*/false});
    return {found.out, {found.sum, found.statistics, at::Tensor(), at::Tensor()}};
  }
  at::Tensor kept, sum;
  if (mask.dropsNothing()) {
    sum = residual + y;
  } else {
    kept = keptElements(mask, y.size(0), y.size(1), y.device());
    sum = at::addcmul(residual, y, kept, mask.scale);
  }
  auto [out, mean, inverseDeviation] = at::native_layer_norm(sum, {sum.size(1)}, weight, bias, epsilon);
  return {out, {sum, mean, inverseDeviation, kept}};
}

AddNormGradients addNormBackward(const at::Tensor& dOut, const std::vector<at::Tensor>& saved,
                                 const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                                 const Mask& mask, at::ScalarType type, AddNormWanted wanted) {
  const at::Tensor& sum = saved[0];
  if (const auto* kernels = kernelsFor(sum.device(), type, sum.size(1))) {
    const auto place = [&](bool isWanted) {
      return isWanted ? at::empty({sum.size(1)}, sum.options()) : at::Tensor();
    };
    const std::array<fused::Sums, 3> sums{
        fused::Sums{place(wanted.weight)}, {place(wanted.bias)}, {place(wanted.sumOfY)}};
    const fused::AddNormBack back = fused::addNormBackward(*kernels, {dOut.contiguous(), {}}, sum, saved[1],
                                                           weight.contiguous(), mask, type, sums);
    return {back.dSum, back.dY, sums[0].values, sums[1].values, sums[2].values};
  }
  const at::Tensor& kept = saved[3];
  auto [dSum, dWeight, dBias] = at::native_layer_norm_backward(
      dOut, sum, {sum.size(1)}, saved[1], saved[2], weight, bias, {true, wanted.weight, wanted.bias});
  const at::Tensor dropped = kept.defined() ? at::native_dropout_backward(dSum, kept, mask.scale) : dSum;
  const at::Tensor dY = dropped.to(type);
  return {dSum, dY, dWeight, dBias,
          wanted.sumOfY ? dY.sum(at::IntArrayRef{0}, /*keepdim=*/false, at::kFloat) : at::Tensor()};
}

}  // namespace bertune
