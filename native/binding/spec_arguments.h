// The spec of a session from JavaScript.
#pragma once

#include "binding/js.h"
#include "core/spec.h"

namespace bertune::arguments {

// Throws a TypeError that names what is wrong, and where. Whether parameters fit the encoder and head is for
// the model.
SessionSpec sessionSpec(const Napi::Value& value);

}  // namespace bertune::arguments
