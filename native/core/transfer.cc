#include "core/transfer.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace bertune {
namespace {

template <typename T>
at::Tensor copied(const std::vector<T>& values, at::ScalarType type, at::Device device) {
  const auto options = at::TensorOptions().dtype(type).pinned_memory(!device.is_cpu());
  const at::Tensor host = at::empty({static_cast<int64_t>(values.size())}, options);
  std::copy(values.begin(), values.end(), host.mutable_data_ptr<T>());
  return host.to(device, /*non_blocking=*/true);
}

}  // namespace

at::Tensor toDevice(const std::vector<int32_t>& values, at::Device device) {
  return copied(values, at::kInt, device);
}

at::Tensor toDevice(const std::vector<float>& values, at::Device device) {
  return copied(values, at::kFloat, device);
}

}  // namespace bertune
