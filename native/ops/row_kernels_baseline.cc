// The row kernels for every processor of the architecture.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "ops/row_kernels.h"

#define BERTUNE_VARIANT baseline
#include "ops/row_kernels_variant.h"
