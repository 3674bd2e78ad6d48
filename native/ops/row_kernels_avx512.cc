// The row kernels for AVX-512 (x86-64-v4).
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "ops/row_kernels.h"

#ifdef BERTUNE_X86_VARIANTS
// Behind the other headers: what they define may be shared with the rest of the program and must run
// everywhere.
#pragma GCC target("arch=x86-64-v4")
#define BERTUNE_VARIANT avx512
#include "ops/row_kernels_variant.h"
#endif
