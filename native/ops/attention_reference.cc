#include <ATen/ATen.h>

#include <cmath>

#include "ops/attention.h"
#include "ops/dropout.h"

namespace bertune {

at::Tensor attentionReference(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                              const Mask& mask) {
  const int64_t heads = input.heads(), headSize = input.headSize();
  const int64_t parts = input.projected.size(1);
  std::vector<at::Tensor> outputs;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const int64_t start = cuSeqlens[i - 1], length = cuSeqlens[i] - start;
    const int64_t queries = input.isFirstOnly() ? 1 : length;
    const at::Tensor sequence =
        input.projected.narrow(0, start, length).permute({1, 2, 0, 3});  // [parts, heads, length, head size]
    const at::Tensor query = input.isFirstOnly()
                                 ? input.query.narrow(0, static_cast<int64_t>(i) - 1, 1).transpose(0, 1)
                                 : sequence[0];
    const at::Tensor scores =
        at::matmul(query, sequence[parts - 2].transpose(1, 2)) / std::sqrt(static_cast<double>(headSize));
    at::Tensor probabilities = at::softmax(scores, -1);
    if (!mask.dropsNothing()) {
      Mask rows = mask;
      rows.firstRow += start * heads;
      const at::Tensor kept = maskTensor(rows, queries * heads, length, input.projected.device());
      probabilities = probabilities *
                      kept.view({queries, heads, length}).transpose(0, 1).to(input.projected.scalar_type());
    }
    outputs.push_back(at::matmul(probabilities, sequence[parts - 1])
                          .permute({1, 0, 2})
                          .reshape({queries, heads * headSize}));
  }
  return at::cat(outputs);
}

}  // namespace bertune
