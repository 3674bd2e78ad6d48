#include "ops/brgemm.h"

#include <array>
#include <exception>

namespace bertune {
namespace {

// LibTorch tells by an exception only.
template <typename T>
bool multiplies() {
  try {
    const TileProducts products;
    std::array<float, 256> c{};
    const std::array<T, 256> zeros{};
    multiply(c.data(), 16, zeros.data(), 16, zeros.data(), 16, {16, 16, 16}, false);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

bool hasTileProducts(at::ScalarType type) {
  static const bool hasFloat = multiplies<float>(), hasBFloat16 = multiplies<at::BFloat16>();
  return (type == at::kFloat && hasFloat) || (type == at::kBFloat16 && hasBFloat16);
}

}  // namespace bertune
