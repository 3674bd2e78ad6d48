#include "products.h"

#include <array>
#include <exception>

namespace bertune {
namespace {

// LibTorch tells by an exception only.
bool hasBFloat16Products() {
  try {
    const TileProducts products;
    std::array<float, 256> c{};
    const std::array<at::BFloat16, 256> zeros{};
    multiply(c.data(), 16, zeros.data(), 16, zeros.data(), 16, {16, 16, 16}, false);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

bool hasTileProducts(at::ScalarType type) {
  static const bool hasBFloat16 = hasBFloat16Products();
  return type == at::kFloat || (type == at::kBFloat16 && hasBFloat16);
}

}  // namespace bertune
