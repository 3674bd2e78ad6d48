#include "tests/comparison.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <map>

namespace bertune {
namespace {

int tests = 0, failures = 0;
std::map<const at::TensorImpl*, GradientPointer> places;  // of the evaluation under way, by input

// float32: some hundred roundings of 6e-8. bfloat16: results and gradients are rounded to 8 bits once or
// twice, 2^-9 each.
double toleranceOf(at::ScalarType type) { return type == at::kFloat ? 3e-6 : 2e-2; }

Inputs leaves(const Inputs& values, const std::vector<at::ScalarType>& types) {
  Inputs result;
  for (size_t i = 0; i < values.size(); ++i)
    result.push_back(values[i].to(types[i], /*non_blocking=*/false, /*copy=*/true).set_requires_grad(true));
  return result;
}

// The result, the same where no gradient is wanted, and the gradients of all inputs for one random gradient
// of the result.
Inputs evaluate(const Operator& apply, const Inputs& inputs, const at::Tensor& gradient) {
  places.clear();
  const at::Tensor y = apply(inputs);
  y.backward(gradient.to(y.scalar_type()));
  const at::NoGradGuard guard;
  Inputs results{y.detach(), apply(inputs)};
  for (const auto& input : inputs) {
    const auto place = places.find(input.unsafeGetTensorImpl());
    results.push_back(place == places.end() ? input.grad() : place->second->values());
  }
  return results;
}

}  // namespace

GradientPointer gradientPlaceOf(const at::Tensor& input) {
  if (!input.requires_grad()) return {};
  GradientPointer& place = places[input.unsafeGetTensorImpl()];
  // Garbage: what is there before the first write means nothing.
  if (!place) place = c10::make_intrusive<Gradient>(at::full_like(input.detach(), std::nan("")));
  return place;
}

double distance(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor difference = found.to(at::kDouble) - expected;
  const double size = expected.norm().item<double>();
  return difference.norm().item<double>() / (size > 0 ? size : 1);
}

void report(const std::string& name, double error, double tolerance) {
  const bool passes = error <= tolerance;  // false for NaN
  failures += passes ? 0 : 1;
  std::printf("%sok %d - %s: %.1e of %.1e\n", passes ? "" : "not ", ++tests, name.c_str(), error, tolerance);
}

void reportFailure(const std::string& name, const std::string& reason) {
  ++failures;
  std::printf("not ok %d - %s: %s\n", ++tests, name.c_str(), reason.c_str());
}

int reportEnd() {
  std::printf("1..%d\n", tests);
  return failures == 0 ? 0 : 1;
}

at::Tensor random(at::IntArrayRef sizes, at::ScalarType type) {
  static auto generator = at::detail::createCPUGenerator(42);
  return at::empty(sizes).normal_(0, 1, generator).to(type).to(at::kDouble);
}

void compare(const Case& given, const Operator& kernel, const Operator& reference) {
  const at::Tensor gradient = random(given.sizes, given.type);
  Inputs found, expected;
  try {
    found = evaluate(kernel, leaves(given.values, given.types), gradient);
    const std::vector<at::ScalarType> doubles(given.values.size(), at::kDouble);
    expected = evaluate(reference, leaves(given.values, doubles), gradient);
  } catch (const std::exception& error) {
    const std::string message = error.what();
    return reportFailure(given.name, message.substr(0, message.find('\n')));
  }
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double error = distance(found[i], expected[i]);
    if (!std::isnan(worst) && !(error <= worst)) worst = error;  // NaN stays
  }
  report(given.name, worst, toleranceOf(given.type));
}

std::string describe(const std::string& name, at::ScalarType type, const Mask& mask) {
  return name + ", " + c10::toString(type) + (mask.dropsNothing() ? "" : ", dropout");
}

}  // namespace bertune
