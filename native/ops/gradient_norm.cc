#include "ops/gradient_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/row_kernels.h"

namespace bertune {

at::Tensor gradientNorm(const at::Tensor& gradients) {
  if (!gradients.is_cpu()) return at::linalg_vector_norm(gradients);
  constexpr int64_t chunk = 4096;  // few enough for float32 sums of 16 lanes
  const int64_t size = gradients.numel(), chunks = (size + chunk - 1) / chunk;
  const auto* values = gradients.const_data_ptr<float>();
  std::vector<double> sums(static_cast<size_t>(chunks));
  at::parallel_for(0, chunks, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* first = values + i * chunk;
      sums[i] = rowKernels().dot(first, first, std::min(chunk, size - i * chunk));
    }
  });
  double sum = 0;
  for (const double each : sums) sum += each;
  return at::scalar_tensor(std::sqrt(sum), gradients.options());
}

}  // namespace bertune
