// Embeddings: rows of a table, and their gradients added up by row.
#include "ops/embedding.h"

#include "tests/comparison.h"
#include "tests/operators_test.h"

namespace bertune {

void testEmbedding() {
  const at::Tensor ids = at::tensor({3, 0, 3, 7, 3, 1, 0}, at::kLong);
  for (const int64_t width : {1, 40, 130})
    for (const std::optional<int64_t> padId : {std::optional<int64_t>(), std::optional<int64_t>(0)})
      compare(
          {"embeddings of " + std::to_string(width) + (padId.has_value() ? " with a padding row" : ""),
           {random({9, width}, at::kFloat)},
           {at::kFloat},
           at::kFloat,
           {7, width}},
          [&](const Inputs& in) { return embedding(in[0], gradientPlaceOf(in[0]), ids, padId); },
          [&](const Inputs& in) { return at::embedding(in[0], ids, padId.value_or(-1)); });
}

}  // namespace bertune
