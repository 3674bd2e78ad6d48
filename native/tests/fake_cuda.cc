// A GPU that is none, for tests on machines without one: this library takes the place of the driver and of
// libtorch_cuda.so. Its devices have the host's memory, and an operator on one of their tensors runs on the
// CPU. So all of the addon's CUDA path runs but the kernels: devices and their numbers, pinned copies,
// generators, streams, and which operators are called. What it computes says nothing of a GPU's arithmetic,
// order or speed.
//
// BERTUNE_FAKE_GPUS lists the compute capabilities of its devices, such as 9.0,7.5; left out, there is one
// of 9.0.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/Copy.h>
#include <ATen/native/TensorIterator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/fake_cuda_graph.h"

namespace {

constexpr size_t kMostDevices = 8;

std::vector<std::pair<int, int>> readCapabilities() {
  const char* given = std::getenv("BERTUNE_FAKE_GPUS");
  std::istringstream all(given == nullptr ? "9.0" : given);
  std::vector<std::pair<int, int>> result;
  for (std::string each; std::getline(all, each, ',') && result.size() < kMostDevices;)
    result.emplace_back(std::stoi(each), std::stoi(each.substr(each.find('.') + 1)));
  return result;
}

const std::vector<std::pair<int, int>>& capabilities() {
  static const std::vector<std::pair<int, int>> all = readCapabilities();
  return all;
}

c10::DeviceIndex devices() { return static_cast<c10::DeviceIndex>(capabilities().size()); }

// As of the driver: a device and its own stream for each thread.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = c10::kCUDA;
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {c10::kCUDA, current}; }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.index() >= 0 && device.index() < devices(), "CUDA error: invalid device ordinal");
    current = device.index();
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current = device.index(); }
  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::UNSAFE, device, streams[indexOf(device)]);
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::UNSAFE, device, 0);
  }
  c10::Stream getNewStream(c10::Device device, int /*priority*/) const override {
    static std::atomic<c10::StreamId> last{0};
    return c10::Stream(c10::Stream::UNSAFE, device, ++last);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool /*isHighPriority*/) const override {
    return getNewStream(device, 0);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const c10::Stream before = getStream(stream.device());
    streams[indexOf(stream.device())] = stream.id();
    return before;
  }
  void* getStreamNativeHandle(const c10::Stream stream) const override {
    return reinterpret_cast<void*>(stream.id());
  }
  // What was called is done: there is nothing to wait for.
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { fake::refuseInCapture("synchronize"); }
  void synchronizeEvent(void*) const override { fake::refuseInCapture("synchronize"); }
  void synchronizeDevice(c10::DeviceIndex) const override { fake::refuseInCapture("synchronize"); }
  c10::DeviceIndex deviceCount() const noexcept override { return devices(); }

 private:
  size_t indexOf(c10::Device device) const {
    return static_cast<size_t>(device.has_index() ? device.index() : current);
  }
  static inline thread_local c10::DeviceIndex current = 0;
  static inline thread_local std::array<c10::StreamId, kMostDevices> streams{};
};

C10_REGISTER_GUARD_IMPL(CUDA, Guard)

// Bytes of tensors on each device, now and at most.
struct Memory final : c10::DeviceAllocator {
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device device = c10::impl::VirtualGuardImpl(c10::kCUDA).getDevice();
    if (bytes == 0) return {nullptr, device};
    // In front of the tensor's bytes: how many they are, and of which device.
    auto* block = static_cast<int64_t*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64));
    TORCH_CHECK_WITH(OutOfMemoryError, block != nullptr, "CUDA out of memory");
    block[0] = static_cast<int64_t>(bytes);
    block[1] = device.index();
    const int64_t now = used[static_cast<size_t>(device.index())] += block[0];
    std::atomic<int64_t>& most = peak[static_cast<size_t>(device.index())];
    for (int64_t known = most; known < now && !most.compare_exchange_weak(known, now);) {
    }
    void* data = block + 8;
    return {data, data, release, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t /*pool*/) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    c10::CachingDeviceAllocator::DeviceStats stats;
    auto& all = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
    all.current = used[static_cast<size_t>(device)];
    all.peak = peak[static_cast<size_t>(device)];
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex device) override {
    peak[static_cast<size_t>(device)] = used[static_cast<size_t>(device)].load();
  }

 private:
  static void release(void* data) {
    int64_t* block = static_cast<int64_t*>(data) - 8;
    used[static_cast<size_t>(block[1])] -= block[0];
    std::free(block);
  }
  static inline std::array<std::atomic<int64_t>, kMostDevices> used{}, peak{};
};

Memory& memory() {
  static Memory& instance = *new Memory;  // tensors may die after the statics of this file
  return instance;
}

// Pinned memory is any memory here.
struct PinnedMemory final : at::HostAllocator {
  c10::DataPtr allocate(size_t bytes) override { return c10::GetCPUAllocator()->allocate(bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return c10::GetCPUAllocator()->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  bool record_event(void*, void*, c10::Stream) override { return true; }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}
};

PinnedMemory& pinnedMemory() {
  static PinnedMemory& instance = *new PinnedMemory;
  return instance;
}

struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return devices(); }
  int getNumGPUs() const override { return devices(); }
  c10::DeviceIndex current_device() const override {
    return c10::impl::VirtualGuardImpl(c10::kCUDA).getDevice().index();
  }
  void deviceSynchronize(c10::DeviceIndex) const override {}
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinnedMemory(); }
  c10::Allocator* getCUDADeviceAllocator() const override { return &memory(); }
  // Operators draw on the CPU.
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    fake::refuseInCapture("a new generator");
    return at::detail::createCPUGenerator();
  }
};

using at::CUDAHooksArgs;
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks)  // LibTorch looks for this name

const bool registered = [] {
  c10::SetAllocator(c10::kCUDA, &memory(), /*priority=*/1);
  at::setHostAllocator(c10::kCUDA, &pinnedMemory(), /*priority=*/1);
  return true;
}();

at::Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device> device, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  const c10::OptionalDeviceGuard guard(device);
  const at::Tensor made = at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &memory(),
                                                    c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                                    dtype.value_or(at::kFloat), format);
  fake::keep(made);
  return made;
}

at::Tensor emptyStrided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
                        std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                        std::optional<at::Device> device, std::optional<bool>) {
  const c10::OptionalDeviceGuard guard(device);
  const at::Tensor made = at::detail::empty_strided_generic(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &memory(),
      c10::DispatchKeySet(c10::DispatchKey::CUDA), dtype.value_or(at::kFloat));
  fake::keep(made);
  return made;
}

const at::Tensor& resize(const at::Tensor& self, c10::SymIntArrayRef size, std::optional<at::MemoryFormat>) {
  const at::IntArrayRef sizes = C10_AS_INTARRAYREF_SLOW(size);
  int64_t count = self.storage_offset();
  count += c10::multiply_integers(sizes);
  const size_t bytes = static_cast<size_t>(count) * self.element_size();
  const c10::Storage& storage = self.storage();
  if (bytes > storage.nbytes()) {
    const c10::DeviceGuard guard(self.device());
    c10::DataPtr larger = memory().allocate(bytes);
    if (storage.nbytes() > 0) std::memcpy(larger.get(), storage.data(), storage.nbytes());
    storage.set_data_ptr_noswap(std::move(larger));
    storage.set_nbytes(bytes);
  }
  self.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  return self;
}

at::Tensor copyFromAndResize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return to.copy_(from);
}

// The same bytes as a tensor of the CPU.
at::Tensor onHost(const at::TensorBase& tensor) {
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                       tensor.options().device(at::kCPU).requires_grad(false));
}

void copy(at::TensorIterator& iterator, bool /*nonBlocking*/) {
  const at::Tensor to = onHost(iterator.tensor(0)), from = onHost(iterator.tensor(1));
  if (iterator.device_type(0) != iterator.device_type(1)) fake::refuseInCapture("a copy to or from the host");
  fake::note(iterator.tensor(0), [to, from, hasTo = fake::lifeOf(iterator.tensor(0)),
                                  hasFrom = fake::lifeOf(iterator.tensor(1))] {
    hasTo();
    hasFrom();
    to.copy_(from);
  });
}

// Products that only a GPU's library has.
at::Tensor mmInto(const at::Tensor& a, const at::Tensor& b, at::ScalarType type) {
  return at::mm(a.to(type), b.to(type));
}

at::Tensor& mmIntoOut(const at::Tensor& a, const at::Tensor& b, at::ScalarType type, at::Tensor& out) {
  return out.copy_(at::mm(a.to(type), b.to(type)));
}

void runOnHost(const c10::OperatorHandle& op, torch::jit::Stack* stack) { fake::run(op, stack); }

TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&runOnHost>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", emptyStrided);
  library.impl("resize_", resize);
  library.impl("_copy_from_and_resize", copyFromAndResize);
  library.impl("as_strided", at::native::as_strided_tensorimpl);
  library.impl("view", [](const at::Tensor& self, c10::SymIntArrayRef size) {
    return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size));
  });
  library.impl("_reshape_alias", [](const at::Tensor& self, c10::SymIntArrayRef size,
                                    c10::SymIntArrayRef stride) {
    return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
  });
  library.impl("unfold", at::native::unfold);
  library.impl("mm.dtype", mmInto);
  library.impl("mm.dtype_out", mmIntoOut);
}

const at::native::RegisterCUDADispatch<decltype(at::native::copy_stub)> copies(at::native::copy_stub, copy);

}  // namespace

// LibTorch's build for CPUs knows of no accelerator, and asks this for whom memory is to be pinned. The
// library comes before LibTorch's, see test/fixtures/fake-cuda.ts, so that this is the one that is called.
namespace at::accelerator {
__attribute__((visibility("default"))) std::optional<c10::DeviceType> getAccelerator(bool /*checked*/) {
  return c10::kCUDA;
}
}  // namespace at::accelerator

// The driver's functions that are called by name.
#define DRIVER extern "C" __attribute__((visibility("default"))) int

DRIVER cuInit(unsigned) { return 0; }
DRIVER cuDeviceGet(int* device, int index) { return index < devices() ? *device = index, 0 : 101; }
DRIVER cuDeviceGetName(char* name, int length, int device) {
  const auto [major, minor] = capabilities()[static_cast<size_t>(device)];
  const std::string text = "Fake GPU " + std::to_string(major) + "." + std::to_string(minor);
  std::strncpy(name, text.c_str(), static_cast<size_t>(length));
  return 0;
}
DRIVER cuDeviceGetAttribute(int* value, int attribute, int device) {
  constexpr int kMajor = 75, kMinor = 76;
  const auto [major, minor] = capabilities()[static_cast<size_t>(device)];
  if (attribute != kMajor && attribute != kMinor) return 1;
  *value = attribute == kMajor ? major : minor;
  return 0;
}
DRIVER cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = size_t{16} << 30;
  return 0;
}
