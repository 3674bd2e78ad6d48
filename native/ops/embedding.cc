#include "ops/embedding.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/memory.h"
#include "core/phases.h"
#include "ops/dropout.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kNoPad = -1;

// Each thread takes some columns of all rows, so that sums have one order and no two threads meet.
void scatterAdd(at::Tensor& table, const at::Tensor& ids, const at::Tensor& rows, int64_t padId) {
  constexpr int64_t block = 64;
  const phases::Scope phase(phases::Phase::ElementWise);
  const int64_t width = table.size(1), count = ids.size(0);
  const auto* numbers = ids.const_data_ptr<int64_t>();
  const auto* source = rows.const_data_ptr<float>();
  auto* target = table.mutable_data_ptr<float>();
  at::parallel_for(0, (width + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * block, columns = std::min(end * block, width) - first;
    for (int64_t i = 0; i < count; ++i)
      if (numbers[i] != padId)
        rowKernels().add(target + numbers[i] * width + first, source + i * width + first, columns);
  });
}

struct Embedding : torch::autograd::Function<Embedding> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& table,
                            const GradientPointer& gradient, const at::Tensor& ids, int64_t padId) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({ids});
    if (gradient) context->saved_data["gradient"] = c10::IValue::make_capsule(gradient);
    context->saved_data["rows"] = table.size(0);
    context->saved_data["padId"] = padId;
    return at::embedding(table, ids);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor ids = context->get_saved_variables()[0], dY = gradients[0].contiguous();
    const int64_t padId = context->saved_data["padId"].toInt(), rows = context->saved_data["rows"].toInt();
    const auto found = context->saved_data.find("gradient");
    if (found != context->saved_data.end() && dY.is_cpu()) {
      at::Tensor sums = c10::static_intrusive_pointer_cast<Gradient>(found->second.toCapsule())->sums();
      scatterAdd(sums, ids, dY, padId);
      return {at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    }
    return {at::embedding_dense_backward(dY, ids, rows, padId, /*scale_grad_by_freq=*/false), at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor embedding(const at::Tensor& table, const GradientPointer& gradient, const at::Tensor& ids,
                     std::optional<int64_t> padId) {
  return Embedding::apply(table, gradient, ids, padId.value_or(kNoPad));
}

at::Tensor neftuneNoise(const Batch& batch, int64_t columns, double alpha, const Mask& key) {
  std::vector<float> magnitudes;
  magnitudes.reserve(batch.tokens());
  for (size_t i = 1; i < batch.cuSeqlens.size(); ++i) {
    const int32_t length = batch.cuSeqlens[i] - batch.cuSeqlens[i - 1];
    const double elements = static_cast<double>(length) * static_cast<double>(columns);
    magnitudes.insert(magnitudes.end(), length, static_cast<float>(alpha / std::sqrt(elements)));
  }
  const at::Device device = batch.inputIds.device();
  const at::Tensor magnitude = toDevice(magnitudes, device).unsqueeze(1);
  const at::Tensor bits = hashTensor(key, batch.tokens(), columns, device);
  return (bits.to(at::kFloat) * (2.0 / 4294967296.0) - 1.0) * magnitude;
}

}  // namespace bertune
