#include "tests/fake_cuda_graph.h"

#include <ATen/ATen.h>
#include <ATen/native/CPUFallback.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace fake {
namespace {

using torch::jit::Stack;

struct Recorded {
  std::vector<std::function<void()>> work;
  std::vector<at::Tensor> kept;  // memory of the graph's own

  void keep(const at::Tensor& tensor) {
    kept.push_back(tensor);
    addresses_.insert(tensor.storage().data());
  }
  bool owns(const at::TensorBase& tensor) const { return addresses_.count(tensor.storage().data()) > 0; }

 private:
  std::unordered_set<const void*> addresses_;
};

thread_local Recorded* recording = nullptr;

// Nothing is recorded as long as it lives.
struct Suspended {
  Recorded* before = std::exchange(recording, nullptr);
  ~Suspended() { recording = before; }
};

bool isOurs(const at::Tensor& tensor) { return tensor.defined() && tensor.is_cuda(); }

// All tensors of a value; `change` may replace them.
void forTensors(c10::IValue& value, const std::function<void(at::Tensor&)>& change) {
  if (value.isTensor()) {
    at::Tensor tensor = value.toTensor();
    change(tensor);
    value = tensor;
  } else if (value.isTensorList()) {
    std::vector<at::Tensor> all = value.toTensorVector();
    for (at::Tensor& each : all) change(each);
    value = c10::List<at::Tensor>(all);
  } else if (value.isList() && value.toListRef().size() > 0 && value.toListRef()[0].isTensor()) {
    c10::List<std::optional<at::Tensor>> all;
    for (const c10::IValue& each : value.toListRef()) {
      at::Tensor tensor = each.isTensor() ? each.toTensor() : at::Tensor();
      change(tensor);
      all.push_back(tensor.defined() ? std::optional(tensor) : std::nullopt);
    }
    value = all;
  }
}

// The same memory, which it does not keep.
at::Tensor aliasOf(const at::Tensor& tensor) {
  return at::for_blob(tensor.data_ptr(), tensor.sizes())
      .strides(tensor.strides())
      .options(tensor.options().requires_grad(false))
      .target_device(tensor.device())
      .make_tensor();
}

at::Tensor bytesOf(const at::Tensor& tensor) {
  const auto bytes = static_cast<int64_t>(tensor.storage().nbytes());
  return at::from_blob(tensor.storage().mutable_data(), {bytes}, at::kByte);
}

// Results of what waits for the device, or whose size depends on what is there.
bool waits(const std::string& name) {
  constexpr std::array<std::string_view, 7> names{
      "aten::_local_scalar_dense", "aten::equal",    "aten::nonzero",
      "aten::masked_select",       "aten::_unique2", "aten::unique_consecutive",
      "aten::unique_dim"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Switches of the process that an operator reads when it is called.
class Switches {
 public:
  void set() const {
    at::globalContext().setDeterministicAlgorithms(isDeterministic_, false);
    at::globalContext().setDeterministicFillUninitializedMemory(fills_);
  }

 private:
  bool isDeterministic_ = at::globalContext().deterministicAlgorithms(),
       fills_ = at::globalContext().deterministicFillUninitializedMemory();
};

class Operation {
 public:
  // Runs it, for its results, and leaves what it writes of others' memory as it was.
  Operation(const c10::OperatorHandle& op, Stack* stack, Recorded& recorded) : op_(op) {
    const auto& schema = op.schema();
    const size_t count = schema.arguments().size(), first = stack->size() - count;
    std::vector<std::pair<at::Tensor, at::Tensor>> written;  // bytes, and what was there
    std::vector<const void*> addresses;
    for (size_t i = 0; i < count; ++i) {
      c10::IValue argument = (*stack)[first + i];
      const auto* alias = schema.arguments()[i].alias_info();
      forTensors(argument, [&](at::Tensor& tensor) {
        if (tensor.defined() && !tensor.is_cuda()) tensor = tensor.clone();
        if (!isOurs(tensor) || tensor.storage().nbytes() == 0) return;
        if (alias != nullptr && alias->isWrite() && !recorded.owns(tensor)) {
          const at::Tensor bytes = bytesOf(tensor);
          written.emplace_back(bytes, bytes.clone());
        }
        memory_.push_back(lifeOf(tensor));
        addresses.push_back(tensor.storage().data());
        tensor = aliasOf(tensor);
      });
      arguments_.push_back(std::move(argument));
    }
    at::native::cpu_fallback(op, stack);
    for (const auto& [bytes, before] : written) bytes.copy_(before);
    const size_t results = schema.returns().size();
    for (size_t i = stack->size() - results; i < stack->size(); ++i) {
      c10::IValue result = (*stack)[i];
      forTensors(result, [&](at::Tensor& tensor) {
        const bool isNew = isOurs(tensor) && std::find(addresses.begin(), addresses.end(),
                                                       tensor.storage().data()) == addresses.end();
        results_.push_back(isNew ? tensor : at::Tensor());
        if (isNew) recorded.keep(tensor);
      });
    }
  }

  void run() const {
    for (const auto& isThere : memory_) isThere();
    const Switches before;
    switches_.set();
    Stack stack(arguments_.begin(), arguments_.end());
    at::native::cpu_fallback(op_, &stack);
    before.set();
    auto result = results_.begin();
    for (c10::IValue& value : stack)
      forTensors(value, [&](at::Tensor& tensor) {
        if (result->defined()) result->copy_(tensor);
        ++result;
      });
  }

 private:
  c10::OperatorHandle op_;
  Stack arguments_;
  std::vector<std::function<void()>> memory_;
  std::vector<at::Tensor> results_;  // undefined for one that is an argument
  Switches switches_;
};

}  // namespace

bool isRecording() { return recording != nullptr; }

void refuseInCapture(const char* what) {
  TORCH_CHECK(recording == nullptr, "CUDA error: operation not permitted when stream is capturing: ", what);
}

void note(std::function<void()> work) {
  if (recording == nullptr) return work();
  recording->work.push_back(std::move(work));
}

void note(const at::TensorBase& target, const std::function<void()>& work) {
  if (recording == nullptr || recording->owns(target)) work();
  if (recording != nullptr) recording->work.push_back(work);
}

void keep(const at::Tensor& tensor) {
  if (recording != nullptr) recording->keep(tensor);
}

std::function<void()> lifeOf(const at::TensorBase& tensor) {
  const auto storage = tensor.storage().getWeakStorageImpl();
  return [storage] {
    TORCH_CHECK(!storage.expired(), "CUDA error: an illegal memory access, of memory that was given back");
  };
}

void run(const c10::OperatorHandle& op, Stack* stack) {
  if (recording == nullptr) return at::native::cpu_fallback(op, stack);
  if (waits(op.schema().name())) refuseInCapture(op.schema().name().c_str());
  Recorded& recorded = *recording;
  const Suspended suspended;
  auto operation = std::make_shared<Operation>(op, stack, recorded);
  recorded.work.push_back([operation] { operation->run(); });
}

size_t nodes() { return recording == nullptr ? 0 : recording->work.size(); }

}  // namespace fake

// As of libtorch_cuda.so, which has these names from LibTorch 2.11 to 2.14.
enum cudaStreamCaptureMode : int { kThreadLocalCapture = 1 };

namespace at::cuda {

class __attribute__((visibility("default"))) CUDAGraph {
 public:
  using Pool = std::pair<unsigned long long, unsigned long long>;

  explicit CUDAGraph(bool keepsGraph);
  ~CUDAGraph();
  void capture_begin(Pool pool, cudaStreamCaptureMode mode);
  void capture_end();
  void replay();
  Pool pool();

 private:
  fake::Recorded* recorded_;
  bool isWhole_ = false;
};

CUDAGraph::CUDAGraph(bool) : recorded_(new fake::Recorded) {}
CUDAGraph::~CUDAGraph() { delete recorded_; }

void CUDAGraph::capture_begin(Pool, cudaStreamCaptureMode mode) {
  const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
  TORCH_CHECK(guard.getStream(guard.getDevice()).id() != 0,
              "CUDA graphs must be captured on a non-default stream.");
  TORCH_CHECK(mode == kThreadLocalCapture, "other sessions would fail meanwhile");
  TORCH_CHECK(fake::recording == nullptr, "a stream that records already");
  fake::recording = recorded_;
}

void CUDAGraph::capture_end() {
  TORCH_CHECK(fake::recording == recorded_, "nothing is recorded");
  fake::recording = nullptr;
  isWhole_ = true;
}

void CUDAGraph::replay() {
  TORCH_CHECK(isWhole_ && fake::recording == nullptr,
              "Called CUDAGraph::replay without a preceding capture.");
  for (const auto& work : recorded_->work) work();
}

CUDAGraph::Pool CUDAGraph::pool() { return {1, 0}; }

}  // namespace at::cuda
