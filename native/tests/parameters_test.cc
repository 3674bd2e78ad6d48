// Flat parameters: slices that are aligned and do not overlap, and gradients that are written first and added
// to later.
#include "core/parameters.h"

#include "ops/gradient_norm.h"
#include "tests/comparison.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

ParameterSpec spec(const std::string& name, std::vector<int64_t> shape, bool decays) {
  const int64_t rows = shape[0];
  return {name, std::move(shape), {Initialisation::Kind::Normal, 1}, decays, {{name, rows}}};
}

}  // namespace

void testParameters() {
  const auto check = [](const std::string& name, bool holds) {
    report("parameters: " + name, holds ? 0 : 1, 0);
  };
  Parameters parameters(
      {spec("a", {3, 5}, true), spec("b", {7}, false), spec("c", {2, 16}, true), spec("d", {1}, false)},
      at::kCPU, 42);
  bool isAligned = true;
  for (size_t i = 0; i < parameters.size(); ++i)
    isAligned = isAligned && parameters.layout().offsets[i] % 16 == 0;
  check("aligned slices", isAligned);
  check("what decays comes first", parameters.layout().offsets == std::vector<int64_t>{0, 48, 16, 64});
  parameters[0].value.detach().fill_(1);
  parameters[1].value.detach().fill_(2);
  parameters[2].value.detach().fill_(3);
  parameters[3].value.detach().fill_(4);
  check("no slice overlaps another", parameters.flatWeights().sum().item<double>() == 15 + 14 + 96 + 4);

  parameters.setTrained({true, false, true, true});
  parameters.prepareGradients();
  check("frozen parameters take no memory", parameters.gradientLayout().total == 16 + 32 + 16);
  for (const double factor : {1.0, 2.0}) {
    at::Tensor loss = factor * (parameters[0].value.sum() + 3 * parameters[3].value.sum());
    loss.backward();
    parameters.collectGradients();
  }
  // Some rows of a parameter: the others are zero.
  Gradient::Target rows = parameters[2].gradient->rows(1, 1);
  check("a part is added", rows.adds);
  rows.values.add_(2);
  report("parameters: norm of all gradients",
         distance(gradientNorm(parameters.flatGradients()),
                  at::scalar_tensor(15 * 9 + 81 + 16 * 4, at::kDouble).sqrt()),
         1e-6);
  parameters.dropGradients();
  check("no gradient is left", !parameters.hasGradients());
  Gradient::Target whole = parameters[2].gradient->rows(0, 2);
  check("the first write of a step does not add", !whole.adds);
  check("the second one does", parameters[2].gradient->rows(0, 2).adds);

  const at::Tensor values = random({100000}, at::kFloat);
  report("norm of many values", distance(gradientNorm(values.to(at::kFloat)), values.norm()), 1e-6);
}

}  // namespace bertune
