// The row kernels for AVX2 and FMA (x86-64-v3).
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "ops/row_kernels.h"

#ifdef BERTUNE_X86_VARIANTS
// Behind the other headers: what they define may be shared with the rest of the program and must run
// everywhere.
#pragma GCC target("arch=x86-64-v3")
#define BERTUNE_VARIANT avx2
#include "ops/row_kernels_variant.h"
#endif
