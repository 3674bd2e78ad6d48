#include "ops/brgemm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <new>

#include "core/memory.h"
#include "ops/row_kernels.h"

namespace bertune {
namespace {

// LibTorch reports it by an exception only.
template <typename T>
bool isSupported() {
  try {
    const BrgemmScope scope;
    std::array<float, 256> c{};
    const std::array<T, 256> zeros{};
    brgemm(c.data(), 16, zeros.data(), 16, zeros.data(), 16, {16, 16, 16}, false);
    return true;
  } catch (const std::bad_alloc&) {
    throw;  // no answer, and asked again
  } catch (const std::exception&) {
    return false;
  }
}

// More than the kernels of one operator take: each is compiled into pages of its own, 256 KiB at first.
constexpr size_t kRoomForKernels = size_t{8} << 20;

uint32_t* words(void* values) { return static_cast<uint32_t*>(values); }
const uint32_t* words(const void* values) { return static_cast<const uint32_t*>(values); }

// Zeros behind what a row has, in words: a float or a pair of bfloat16.
void zeroTail(uint32_t* row, int64_t filled, int64_t width) {
  std::memset(row + filled, 0, static_cast<size_t>(width - filled) * sizeof *row);
}

template <typename Interleave>
void packPairs(at::BFloat16* panel, const PanelSizes& sizes, const Interleave& interleave) {
  for (int64_t i = 0; i < sizes.innerPadded; i += 2) {
    uint32_t* row = words(panel + i * sizes.width);
    const int64_t present = std::clamp<int64_t>(sizes.inner - i, 0, 2);
    if (present > 0) interleave(row, i, present == 2);
    zeroTail(row, present > 0 ? sizes.columns : 0, sizes.width);
  }
}

// Word by word: of bfloat16 a word is a pair.
void transposeWords(uint32_t* panel, const uint32_t* b, int64_t ldb, int64_t inner, int64_t columns,
                    int64_t innerPadded, int64_t width) {
  rowKernels().transpose(panel, width, b, ldb, columns, inner);
  for (int64_t i = 0; i < innerPadded; ++i) zeroTail(panel + i * width, i < inner ? columns : 0, width);
}

template <typename T>
void fillForward(at::Tensor& packed, const float* weight, int64_t out, int64_t in) {
  const int64_t inPadded = packed.size(1) * kPair<T>, width = packed.size(2) / kPair<T>;
  auto* panels = packed.mutable_data_ptr<T>();
  at::parallel_for(0, packed.size(0), 1, [&](int64_t begin, int64_t end) {
    Scratch<T> rows(width * inPadded);
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * width, columns = std::min(width, out - first);
      const float* source = weight + first * in;
      T* target = panels + panel * inPadded * width;
      if constexpr (kPair<T> == 1) {
        packPanelTransposed(target, source, in, {in, columns, inPadded, width});
      } else {
        for (int64_t i = 0; i < columns; ++i) {
          rowKernels().narrow(rows.data() + i * inPadded, source + i * in, in);
          std::fill(rows.data() + i * inPadded + in, rows.data() + (i + 1) * inPadded, T(0));
        }
        packPanelTransposed(target, rows.data(), inPadded, {inPadded, columns, inPadded, width});
      }
    }
  });
}

template <typename T>
void fillBackward(at::Tensor& packed, const float* weight, int64_t out, int64_t in) {
  const int64_t outPadded = packed.size(1) * kPair<T>, width = packed.size(2) / kPair<T>;
  auto* panels = packed.mutable_data_ptr<T>();
  at::parallel_for(0, packed.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * width, columns = std::min(width, in - first);
      packPanel(panels + panel * outPadded * width, weight + first, in, {out, columns, outPadded, width});
    }
  });
}

at::DimVector panelShape(int64_t inner, int64_t columns, at::ScalarType type) {
  const int64_t pair = type == at::kBFloat16 ? 2 : 1, width = tilingOf(type).columns;
  return {(columns + width - 1) / width, (inner + pair - 1) / pair, width * pair};
}

}  // namespace

// LibTorch 2.13 ends the process when memory runs out while it compiles a kernel. So memory is asked for
// here, where its lack is an error like others: reserved and given back at once, untouched, which takes a
// microsecond.
void BrgemmScope::requireRoomForKernels() {
  void* room = mmap(nullptr, kRoomForKernels, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) throw std::bad_alloc();
  munmap(room, kRoomForKernels);
}

bool hasBrgemm(at::ScalarType type) {
  static const bool hasFloat = isSupported<float>(), hasBFloat16 = isSupported<at::BFloat16>();
  return (type == at::kFloat && hasFloat) || (type == at::kBFloat16 && hasBFloat16);
}

void packPanel(float* panel, const float* b, int64_t ldb, const PanelSizes& sizes) {
  for (int64_t i = 0; i < sizes.innerPadded; ++i) {
    float* row = panel + i * sizes.width;
    const int64_t present = i < sizes.inner ? sizes.columns : 0;
    std::copy_n(b + i * ldb, present, row);
    zeroTail(words(row), present, sizes.width);
  }
}

void packPanel(at::BFloat16* panel, const at::BFloat16* b, int64_t ldb, const PanelSizes& sizes) {
  packPairs(panel, sizes, [&](uint32_t* row, int64_t i, bool isPair) {
    rowKernels().interleave(row, b + i * ldb, isPair ? b + (i + 1) * ldb : nullptr, sizes.columns);
  });
}

void packPanel(at::BFloat16* panel, const float* b, int64_t ldb, const PanelSizes& sizes) {
  packPairs(panel, sizes, [&](uint32_t* row, int64_t i, bool isPair) {
    rowKernels().interleave(row, b + i * ldb, isPair ? b + (i + 1) * ldb : nullptr, sizes.columns);
  });
}

void packPanelTransposed(float* panel, const float* b, int64_t ldb, const PanelSizes& sizes) {
  transposeWords(words(panel), words(b), ldb, sizes.inner, sizes.columns, sizes.innerPadded, sizes.width);
}

void packPanelTransposed(at::BFloat16* panel, const at::BFloat16* b, int64_t ldb, const PanelSizes& sizes) {
  transposeWords(words(panel), words(b), ldb / 2, sizes.inner / 2, sizes.columns, sizes.innerPadded / 2,
                 sizes.width);
}

void packTransposed(float* a, int64_t ld, const float* b, int64_t ldb, int64_t rows, int64_t columns,
                    int64_t rowsPadded) {
  rowKernels().transpose(words(a), ld, words(b), ldb, rows, columns);
  for (int64_t i = 0; i < columns; ++i) zeroTail(words(a + i * ld), rows, rowsPadded);
}

void packTransposed(at::BFloat16* a, int64_t ld, const at::BFloat16* b, int64_t ldb, int64_t rows,
                    int64_t columns, int64_t rowsPadded) {
  // Pairs of rows side by side are words, and the words' transpose is what is wanted.
  Scratch<at::BFloat16> pairs(rowsPadded * columns);
  packPanel(pairs.data(), b, ldb, {rows, columns, rowsPadded, columns});
  rowKernels().transpose(words(a), ld / 2, words(pairs.data()), columns, rowsPadded / 2, columns);
}

at::DimVector forwardShape(const at::Tensor& weight, at::ScalarType type) {
  return panelShape(weight.size(1), weight.size(0), type);
}

at::DimVector backwardShape(const at::Tensor& weight, at::ScalarType type) {
  return panelShape(weight.size(0), weight.size(1), type);
}

void packForward(at::Tensor& packed, const at::Tensor& weight) {
  const auto* values = weight.const_data_ptr<float>();
  if (packed.scalar_type() == at::kBFloat16)
    fillForward<at::BFloat16>(packed, values, weight.size(0), weight.size(1));
  else
    fillForward<float>(packed, values, weight.size(0), weight.size(1));
}

void packBackward(at::Tensor& packed, const at::Tensor& weight) {
  const auto* values = weight.const_data_ptr<float>();
  if (packed.scalar_type() == at::kBFloat16)
    fillBackward<at::BFloat16>(packed, values, weight.size(0), weight.size(1));
  else
    fillBackward<float>(packed, values, weight.size(0), weight.size(1));
}

}  // namespace bertune
