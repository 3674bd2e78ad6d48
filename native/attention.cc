#include "attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "attention_backward.h"
#include "attention_cuda.h"
#include "attention_forward.h"
#include "dropout.h"
#include "phases.h"

namespace bertune {
namespace {

using namespace tiled;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// body(item, scratch) for all items, on all threads.
template <typename ThreadScratch, typename Body>
void forEachItem(const Items& items, const Shape& shape, const Body& body) {
  at::parallel_for(0, items.count(), 1, [&](int64_t begin, int64_t end) {
    const phases::Scope phase(phases::Phase::Attention);
    const TileProducts products;
    ThreadScratch scratch(items.longest(), shape.headSize);
    for (int64_t i = begin; i < end; ++i) body(items[i], scratch);
  });
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv,
                            const std::vector<int32_t>& cuSeqlens, const Mask& mask, Queries queries) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const Shape shape(qkv);
    const Items items(cuSeqlens, shape.heads, queries);
    at::Tensor out = at::empty({items.outputs(), shape.heads, shape.headSize}, qkv.options());
    at::Tensor logSums = at::empty({shape.heads, items.outputs()}, qkv.options().dtype(at::kFloat));
    if (qkv.scalar_type() == at::kFloat)
      compute<float>(out, logSums, qkv, shape, items, mask);
    else
      compute<at::BFloat16>(out, logSums, qkv, shape, items, mask);
    context->save_for_backward({qkv, out, logSums});
    context->saved_data["cuSeqlens"] = std::vector<int64_t>(cuSeqlens.begin(), cuSeqlens.end());
    context->saved_data["queries"] = static_cast<int64_t>(queries);
    saveMask(context, mask);
    return out.view({items.outputs(), shape.hidden()});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &qkv = saved[0], &out = saved[1], &logSums = saved[2];
    const at::Tensor dOut = gradients[0].contiguous();
    const std::vector<int64_t> offsets = context->saved_data["cuSeqlens"].toIntVector();
    const std::vector<int32_t> cuSeqlens(offsets.begin(), offsets.end());
    const auto queries = static_cast<Queries>(context->saved_data["queries"].toInt());
    const Mask mask = savedMask(context);
    const Shape shape(qkv);
    const Items items(cuSeqlens, shape.heads, queries);
    at::Tensor dQkv = at::empty_like(qkv);
    if (qkv.scalar_type() == at::kFloat)
      computeBackward<float>(dQkv, qkv, out, logSums, dOut, shape, items, mask);
    else
      computeBackward<at::BFloat16>(dQkv, qkv, out, logSums, dOut, shape, items, mask);
    return {dQkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& out, at::Tensor& logSums, const at::Tensor& qkv, const Shape& shape,
                      const Items& items, const Mask& mask) {
    const T* values = qkv.const_data_ptr<T>();
    T* target = out.mutable_data_ptr<T>();
    auto* sums = logSums.mutable_data_ptr<float>();
    forEachItem<ForwardScratch<T>>(items, shape, [&](const Item& item, ForwardScratch<T>& scratch) {
      forwardItem<T>(values, shape, item, mask, scratch, target,
                     sums + item.head * items.outputs() + item.firstOutput);
    });
  }

  template <typename T>
  static void computeBackward(at::Tensor& dQkv, const at::Tensor& qkv, const at::Tensor& out,
                              const at::Tensor& logSums, const at::Tensor& dOut, const Shape& shape,
                              const Items& items, const Mask& mask) {
    const T *values = qkv.const_data_ptr<T>(), *result = out.const_data_ptr<T>(),
            *gradient = dOut.const_data_ptr<T>();
    const auto* sums = logSums.const_data_ptr<float>();
    T* target = dQkv.mutable_data_ptr<T>();
    forEachItem<BackwardScratch<T>>(items, shape, [&](const Item& item, BackwardScratch<T>& scratch) {
      BackwardItem<T>(values, result, sums + item.head * items.outputs() + item.firstOutput, gradient, shape,
                      item, mask, scratch, target)
          .run();
    });
  }
};

}  // namespace

at::Tensor attention(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const at::Tensor& offsets,
                     const Mask& mask, Queries queries) {
  if (qkv.is_cuda() && hasCudaAttention(qkv.scalar_type(), qkv.size(3)))
    return attentionCuda(qkv, cuSeqlens, offsets, mask, queries);
  // Of bfloat16 the products take pairs.
  const bool hasPairs = qkv.scalar_type() == at::kFloat || qkv.size(3) % 2 == 0;
  return qkv.is_cpu() && hasPairs && hasTileProducts(qkv.scalar_type())
             ? Attention::apply(qkv, cuSeqlens, mask, queries)
             : attentionComposed(qkv, cuSeqlens, mask, queries);
}

}  // namespace bertune
