// What the tests of the operators share: an operator against its reference in float64, forward and
// backward, and lines of TAP.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

#include "core/parameters.h"
#include "ops/dropout.h"

namespace bertune {

using Inputs = std::vector<at::Tensor>;
using Operator = std::function<at::Tensor(const Inputs&)>;

struct Case {
  std::string name;
  Inputs values;                      // float64
  std::vector<at::ScalarType> types;  // of the inputs when the kernel gets them
  at::ScalarType type;                // the compute type
  at::IntArrayRef sizes;              // of the result
};

// Reports the larger of the errors of the result and of the gradients, for one random gradient of the result.
void compare(const Case& given, const Operator& kernel, const Operator& reference);

// Where an operator is to leave the gradient of an input; `compare` finds it there. Null where none is
// wanted.
GradientPointer gradientPlaceOf(const at::Tensor& input);

// Relative distance in the Euclidean norm; `expected` is float64.
double distance(const at::Tensor& found, const at::Tensor& expected);

// One line of TAP: not ok where the error is larger, or NaN.
void report(const std::string& name, double error, double tolerance);

// One line of TAP for a comparison that could not be made.
void reportFailure(const std::string& name, const std::string& reason);

// The last line. Returns the exit code.
int reportEnd();

// float64: the same random numbers on every run, and such as `type` can hold exactly.
at::Tensor random(at::IntArrayRef sizes, at::ScalarType type);

std::string describe(const std::string& name, at::ScalarType type, const Mask& mask);

}  // namespace bertune
