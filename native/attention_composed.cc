#include <ATen/ATen.h>

#include <cmath>

#include "attention.h"
#include "dropout.h"

namespace bertune {

at::Tensor attentionComposed(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const Mask& mask,
                             Queries queries) {
  const int64_t heads = qkv.size(2), headSize = qkv.size(3);
  std::vector<at::Tensor> outputs;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const int64_t start = cuSeqlens[i - 1], length = cuSeqlens[i] - start;
    const int64_t asked = queries == Queries::First ? 1 : length;
    const at::Tensor sequence =
        qkv.narrow(0, start, length).permute({1, 2, 0, 3});  // [3, heads, length, headSize]
    const at::Tensor scores = at::matmul(sequence[0].narrow(1, 0, asked), sequence[1].transpose(1, 2)) /
                              std::sqrt(static_cast<double>(headSize));
    at::Tensor probabilities = at::softmax(scores, -1);
    if (!mask.dropsNothing()) {
      Mask rows = mask;
      rows.firstRow += start * heads;
      const at::Tensor kept = maskTensor(rows, asked * heads, length, qkv.device());
      probabilities = probabilities * kept.view({asked, heads, length}).transpose(0, 1).to(qkv.scalar_type());
    }
    outputs.push_back(
        at::matmul(probabilities, sequence[2]).permute({1, 0, 2}).reshape({asked, heads * headSize}));
  }
  return at::cat(outputs);
}

}  // namespace bertune
