// JavaScript values to C++ values, on the JavaScript thread. TypeScript has validated before; what is checked
// here is what could corrupt memory, with a readable line for callers of the bare addon.
#pragma once

#include <napi.h>

#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/batch.h"
#include "core/spec.h"
#include "model/loss.h"
#include "train/optimizer.h"
#include "train/training.h"

namespace bertune {

// Text from outside within a message for people: on one line and of a bearable length, whatever it holds.
constexpr size_t kLongestText = 300;  // bytes
std::string oneLine(std::string text, size_t most = kLongestText);
// The one useful line of an exception, without LibTorch's C++ stack.
std::string oneLine(const std::exception& error, size_t most = kLongestText);

namespace arguments {

// Throws a TypeError: Expected ... for NAME but received ...
[[noreturn]] void fail(const Napi::Value& value, const std::string& expected, const char* name);
Napi::Object object(const Napi::Value& value, const char* name);
std::string text(const Napi::Value& value, const char* name);
bool flag(const Napi::Value& value, const char* name);
Napi::Array list(const Napi::Value& value, const char* name);
double number(const Napi::Value& value, const char* name, double least, double most);
int64_t integer(const Napi::Value& value, const char* name, int64_t least,
                int64_t most = std::numeric_limits<int32_t>::max());

// The spec of a session. Throws a TypeError that names what is wrong, and where. Whether parameters fit the
// encoder and head is for the model.
SessionSpec sessionSpec(const Napi::Value& value);

c10::Device device(const Napi::Value& name);
WorldAddress worldAddress(const Napi::Value& value);
at::ScalarType computeType(const Napi::Value& dtype);
RawBatch batch(const Napi::Value& value);
std::optional<bool> optionalFlag(const Napi::Object& options, const char* name);
LossOptions lossOptions(const Napi::Object& options, int64_t outputs);
TrainingOptions trainingOptions(const Napi::Value& value);
UpdateOptions updateOptions(const Napi::Object& options);
std::vector<std::pair<std::string, TensorSettings>> tensorSettings(const Napi::Value& value);

// {dtype: 'F32' | 'F16' | 'BF16', shape: number[], data: Uint8Array} copied into a tensor of that dtype.
at::Tensor tensor(const Napi::Object& value);
// Of a tensor that is some rows of a whole one: where they begin in it.
std::optional<int64_t> firstRow(const Napi::Object& tensor);

}  // namespace arguments
}  // namespace bertune
