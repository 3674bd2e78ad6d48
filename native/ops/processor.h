// What the operators use on this processor: the instruction set, and how operands are cut for its
// micro-kernels and caches. Chosen once, when the program is loaded, from one table by instruction set and
// type, which has the row kernels too (row_kernels.h).
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace bertune {

// The rows and columns of a tile.
constexpr int64_t kTile = 64;

// How operands of one type are cut.
struct Tiling {
  int64_t columns;  // of a packed weight that lie side by side: a divisor of kTile
  int64_t rows;     // of one product
};

const Tiling& tilingOf(at::ScalarType type);

// How many bytes of operands and results stay in the core's own cache.
int64_t blockBytes();

// The best instruction set that this processor has: baseline, avx2, avx512 or avx512_bf16. What caps
// LibTorch's own kernels and matrix products, ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA, caps it too.
const char* instructionSet();

}  // namespace bertune
