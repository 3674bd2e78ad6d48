#include "ops/add_norm.h"

#include <ATen/ATen.h>

#include <utility>

#include "ops/dropout.h"
#include "ops/fused.h"
#include "ops/fused_device.h"

namespace bertune {
namespace {

bool isComputeType(at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16; }

// Null where there are none for such rows. Forward and backward ask the same question.
const cuda::Kernels* kernelsFor(at::Device device, at::ScalarType type, int64_t columns) {
  return isComputeType(type) && fused::takesNormalized(columns) ? fused::kernelsOf(device) : nullptr;
}

const cuda::Kernels* kernelsOfSums(at::Device device, at::ScalarType type, int64_t columns) {
  return isComputeType(type) && fused::takes(columns) ? fused::kernelsOf(device) : nullptr;
}

fused::NormArguments normOf(const at::Tensor& weight, const std::optional<at::Tensor>& bias, double epsilon) {
  return {weight.contiguous(), bias.has_value() ? bias->contiguous() : at::Tensor(), epsilon};
}

at::Tensor sumOverRows(const at::Tensor& x) {
  return x.sum(at::IntArrayRef{0}, /*keepdim=*/false, at::kFloat);
}

AddNormGradients backwardOf(const cuda::Kernels& kernels, const std::array<at::Tensor, 3>& outputs,
                            const std::vector<at::Tensor>& saved, const at::Tensor& weight, const Mask& mask,
                            std::optional<at::ScalarType> type, AddNormWanted wanted) {
  const at::Tensor& sum = saved[0];
  const auto contiguous = [](const at::Tensor& x) { return x.defined() ? x.contiguous() : x; };
  fused::NormGradients given{contiguous(outputs[0]), contiguous(outputs[1]), contiguous(outputs[2])};
  if (!given.out.defined()) std::swap(given.out, given.outToo);
  if (!given.out.defined()) given.out = at::zeros_like(sum);
  const auto place = [&](bool isWanted) {
    return isWanted ? at::empty({sum.size(1)}, sum.options()) : at::Tensor();
  };
  const std::array<fused::Sums, 3> sums{
      fused::Sums{place(wanted.weight)}, {place(wanted.bias)}, {place(wanted.sumOfY)}};
  const fused::AddNormBack back =
      fused::addNormBackward(kernels, given, sum, saved[1], weight.contiguous(), mask, type, sums);
  return {back.dSum, back.dY, sums[0].values, sums[1].values, sums[2].values};
}

}  // namespace

AddNormResult addNorm(const at::Tensor& y, const at::Tensor& residual, const at::Tensor& weight,
                      const std::optional<at::Tensor>& bias, double epsilon, const Mask& mask) {
  if (const auto* kernels = kernelsFor(y.device(), y.scalar_type(), y.size(1))) {
    const fused::Normalized found =
        fused::addNorm(*kernels, y.contiguous(), residual.contiguous(), normOf(weight, bias, epsilon), mask,
                       {/*sum=*/true, /*out=*/true, /*rounded=*/y.scalar_type() == at::kBFloat16});
    return {found.sum, found.out, found.rounded, {found.sum, found.statistics, at::Tensor(), at::Tensor()}};
  }
  at::Tensor kept;
  const at::Tensor sum = addOf(y, residual, mask, kept);
  auto [out, mean, inverseDeviation] = at::native_layer_norm(sum, {sum.size(1)}, weight, bias, epsilon);
  return {sum, out, {}, {sum, mean, inverseDeviation, kept}};
}

AddNormGradients addNormBackward(const std::array<at::Tensor, 3>& outputs,
                                 const std::vector<at::Tensor>& saved, const at::Tensor& weight,
                                 const std::optional<at::Tensor>& bias, const Mask& mask, at::ScalarType type,
                                 AddNormWanted wanted) {
  const at::Tensor& sum = saved[0];
  if (const auto* kernels = kernelsFor(sum.device(), type, sum.size(1)))
    return backwardOf(*kernels, outputs, saved, weight, mask, type, wanted);
  at::Tensor dOut = outputs[0].defined() ? outputs[0] : outputs[1];
  if (outputs[0].defined() && outputs[1].defined()) dOut = outputs[0] + outputs[1];
  if (!dOut.defined()) dOut = at::zeros_like(sum);
  auto [dSum, dWeight, dBias] =
      at::native_layer_norm_backward(dOut.contiguous(), sum, {sum.size(1)}, saved[1], saved[2], weight, bias,
                                     {true, wanted.weight, wanted.bias});
  if (outputs[2].defined()) dSum = dSum + outputs[2];
  const AddGradients d = addBackward(dSum, mask, saved[3], type, wanted.sumOfY);
  return {dSum, d.y, dWeight, dBias, d.sumOfY};
}

bool hasFusedNorm(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat && kernelsFor(x.device(), at::kFloat, x.size(1)) != nullptr;
}

AddNormResult fusedNorm(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                        double epsilon, at::ScalarType compute) {
  const fused::Normalized found =
      fused::addNorm(*fused::kernelsOf(x.device()), x, {}, normOf(weight, bias, epsilon), {},
                     {/*sum=*/false, /*out=*/true, /*rounded=*/compute == at::kBFloat16});
  return {{}, found.out, found.rounded, {x, found.statistics, at::Tensor(), at::Tensor()}};
}

AddNormGradients fusedNormBackward(const std::array<at::Tensor, 3>& outputs,
                                   const std::vector<at::Tensor>& saved, const at::Tensor& weight,
                                   AddNormWanted wanted) {
  return backwardOf(*fused::kernelsOf(weight.device()), outputs, saved, weight, {}, std::nullopt, wanted);
}

at::Tensor addOf(const at::Tensor& y, const at::Tensor& residual, const Mask& mask, at::Tensor& kept) {
  if (const auto* kernels = kernelsOfSums(y.device(), y.scalar_type(), y.size(1)))
    return fused::dropoutAdd(*kernels, y.contiguous(), residual.contiguous(), mask);
  if (mask.dropsNothing()) return residual + y;
  kept = keptElements(mask, y.size(0), y.size(1), y.device());
  return at::addcmul(residual, y, kept, mask.scale);
}

AddGradients addBackward(const at::Tensor& dOut, const Mask& mask, const at::Tensor& kept,
                         at::ScalarType type, bool wantsSums) {
  if (const auto* kernels = kernelsOfSums(dOut.device(), type, dOut.size(1))) {
    const fused::Sums sums{wantsSums ? at::empty({dOut.size(1)}, dOut.options()) : at::Tensor()};
    return {fused::dropoutAddBackward(*kernels, dOut.contiguous(), mask, type, sums), sums.values};
  }
  const at::Tensor dropped = kept.defined() ? at::native_dropout_backward(dOut, kept, mask.scale) : dOut;
  const at::Tensor dY = dropped.to(type);
  return {dY, wantsSums ? sumOverRows(dY) : at::Tensor()};
}

}  // namespace bertune
