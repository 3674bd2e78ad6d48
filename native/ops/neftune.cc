#include "ops/neftune.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "core/transfer.h"
#include "ops/dropout.h"

namespace bertune {

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
