#include "core/device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/AutogradState.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <stdexcept>

// From LibTorch where it was built with MKL, else null.
extern "C" int MKL_Set_Num_Threads_Local(int threads) __attribute__((weak));

namespace bertune {
namespace {

std::mutex drawing;                      // from default generators
thread_local bool drawsInOrder = false;  // see DrawsInOrder

std::string loadProblem;  // written once, when the addon is first loaded
std::once_flag loaded;

std::string libraryFolder() {
  Dl_info info;
  // The address of any of its functions tells which folder libtorch_cpu.so is in.
  if (dladdr(reinterpret_cast<const void*>(&at::detail::getCUDAHooks), &info) == 0) return "";
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/') + 1);
}

void openCuda() {
  // What cuBLAS needs to add up in the same order every time, in the size that LibTorch takes on new GPUs
  // anyhow. LibTorch asks for it wherever its switch for determinism is on, see attention_cuda.cc.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  if (dlopen("libcuda.so.1", RTLD_LAZY) == nullptr) {
    loadProblem = "no NVIDIA driver was found (libcuda.so.1 cannot be opened)";
  } else if (dlopen((libraryFolder() + "libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    loadProblem =
        std::string("LibTorch's CUDA library cannot be opened: ") + (reason == nullptr ? "" : reason);
  }
}

// A function of the driver: LibTorch has what is read here in libtorch_cuda.so only, which the
// addon does not link. Null without a device.
template <typename Function>
Function fromDriver(const char* name) {
  if (cudaDevices() == 0) return nullptr;
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY);  // open already, see openCuda
  if (driver == nullptr) return nullptr;
  const auto initialize = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  if (initialize == nullptr || initialize(0) != 0) return nullptr;
  return reinterpret_cast<Function>(dlsym(driver, name));
}

std::optional<std::pair<int, int>> readCudaCapability() {
  constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_* of cuda.h
  const auto attribute = fromDriver<int (*)(int*, int, int)>("cuDeviceGetAttribute");
  int major = 0, minor = 0;
  const bool known =
      attribute != nullptr && attribute(&major, kMajor, 0) == 0 && attribute(&minor, kMinor, 0) == 0;
  if (!known) return {};
  return std::pair(major, minor);
}

void seedGenerator(at::Generator generator, uint64_t seed) {
  const std::lock_guard own(generator.mutex());  // LibTorch's: its operators take it too
  generator.set_current_seed(seed);
}

}  // namespace

void loadCuda() { std::call_once(loaded, openCuda); }

int64_t cudaDevices() { return loadProblem.empty() ? at::detail::getCUDAHooks().deviceCount() : 0; }

// LibTorch has two settings for this and fails where they differ; this function sets both.
void allowTf32(bool allowed) { at::globalContext().setAllowTF32CuBLAS(allowed); }

void setThreads(int threads) {
  // A thread's first call of LibTorch takes the number of the whole process, so ours must come after it.
  // LibTorch's headers keep that "first" for this library apart from LibTorch's own: hence both calls.
  at::internal::lazy_init_num_threads();
  at::get_num_threads();
  at::set_num_threads(threads);
  // LibTorch sets the same number in MKL for the whole process, where another session may need another one,
  // and MKL's results depend on it. MKL's setting for the calling thread takes precedence.
  if (MKL_Set_Num_Threads_Local != nullptr) MKL_Set_Num_Threads_Local(threads);
}

void keepBackwardOnThisThread() { c10::AutogradState::get_tls_state().set_multithreading_enabled(false); }

bool cpuHasBFloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");  // every CPU with amx_bf16 has it too
#else
  return false;
#endif
}

std::optional<std::pair<int, int>> cudaCapability() {
  static const std::optional<std::pair<int, int>> capability = readCudaCapability();
  return capability;
}

std::string cudaName() {
  const auto name = fromDriver<int (*)(char*, int, int)>("cuDeviceGetName");
  char text[256] = "";
  return name != nullptr && name(text, sizeof text, 0) == 0 ? text : "";
}

int64_t cudaPeakBytes() {
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  if (cudaDevices() == 0) return 0;
  auto* allocator = c10::getDeviceAllocator(c10::kCUDA);
  return allocator->initialized() ? allocator->getDeviceStats(0).allocated_bytes[kAll].peak : 0;
}

void releaseCudaMemory() {
  if (cudaDevices() == 0) return;
  auto* allocator = c10::getDeviceAllocator(c10::kCUDA);
  if (!allocator->initialized()) return;
  allocator->emptyCache();
  at::getHostAllocator(c10::kCUDA)->empty_cache();
}

std::string cudaProblem() {
  if (!loadProblem.empty()) return loadProblem;
  return cudaDevices() > 0 ? "" : "the NVIDIA driver reports no device";
}

c10::Device cudaDevice() {
  const std::string problem = cudaProblem();
  if (!problem.empty()) throw std::invalid_argument("device 'cuda' cannot be used: " + problem);
  at::globalContext().lazyInitDevice(c10::kCUDA);
  return c10::Device(c10::kCUDA, 0);
}

at::Generator generatorFor(const Mask& mask, c10::Device device) {
  if (device.is_cpu()) return at::detail::createCPUGenerator(generatorSeed(mask));
  at::Generator generator =
      at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(generatorSeed(mask));
  return generator;
}

std::unique_lock<std::mutex> seedDefaultGenerator(const Mask& mask, c10::Device device) {
  if (drawsInOrder) return {};
  std::unique_lock lock(drawing);
  seedGenerator(at::globalContext().defaultGenerator(device), generatorSeed(mask));
  return lock;
}

DrawsInOrder::DrawsInOrder(c10::Device device)
    : lock_(drawing), generator_(at::globalContext().defaultGenerator(device)) {
  drawsInOrder = true;
}

DrawsInOrder::~DrawsInOrder() { drawsInOrder = false; }

void DrawsInOrder::seed(uint64_t seed) { seedGenerator(generator_, seed); }

}  // namespace bertune
