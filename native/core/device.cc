#include "core/device.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/AutogradState.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string_view>

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
  // anyhow. LibTorch asks for it wherever its switch for determinism is on, see attention_cuda.cc: with any
  // other value the products of a session would fail while another one has it on.
  const char* given = std::getenv("CUBLAS_WORKSPACE_CONFIG");
  const std::string_view config = given == nullptr ? "" : given;
  if (config != ":4096:8" && config != ":16:8") setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/1);
  if (dlopen("libcuda.so.1", RTLD_LAZY) == nullptr) {
    loadProblem = "no NVIDIA driver was found (libcuda.so.1 cannot be opened)";
  } else if (dlopen((libraryFolder() + "libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    loadProblem =
        std::string("LibTorch's CUDA library cannot be opened: ") + (reason == nullptr ? "" : reason);
  }
}

// A function of the driver: LibTorch has what is read here in libtorch_cuda.so only, which the addon does not
// link.
template <typename Function>
Function fromDriver(void* driver, const char* name) {
  return reinterpret_cast<Function>(dlsym(driver, name));
}

CudaDevice readDevice(void* driver, int index) {
  constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_* of cuda.h
  const auto deviceOf = fromDriver<int (*)(int*, int)>(driver, "cuDeviceGet");
  const auto attribute = fromDriver<int (*)(int*, int, int)>(driver, "cuDeviceGetAttribute");
  const auto name = fromDriver<int (*)(char*, int, int)>(driver, "cuDeviceGetName");
  const auto memory = fromDriver<int (*)(size_t*, int)>(driver, "cuDeviceTotalMem_v2");
  CudaDevice result;
  int device = 0, major = 0, minor = 0;
  if (deviceOf == nullptr || deviceOf(&device, index) != 0) return result;
  if (attribute != nullptr && attribute(&major, kMajor, device) == 0 &&
      attribute(&minor, kMinor, device) == 0)
    result.capability = std::pair(major, minor);
  char text[256] = "";
  if (name != nullptr && name(text, sizeof text, device) == 0) result.name = text;
  size_t bytes = 0;
  if (memory != nullptr && memory(&bytes, device) == 0) result.bytes = static_cast<int64_t>(bytes);
  return result;
}

std::vector<CudaDevice> readDevices() {
  std::vector<CudaDevice> result(static_cast<size_t>(cudaDevices()));
  if (result.empty()) return result;
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY);  // open already, see openCuda
  if (driver == nullptr) return result;
  const auto initialize = fromDriver<int (*)(unsigned)>(driver, "cuInit");
  if (initialize == nullptr || initialize(0) != 0) return result;
  for (size_t i = 0; i < result.size(); ++i) result[i] = readDevice(driver, static_cast<int>(i));
  return result;
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

double matmulRate(c10::Device device, at::ScalarType type, int64_t rows, int64_t inner, int64_t columns) {
  constexpr size_t repetitions = 15;
  // A GPU is synchronized after many calls, since that takes longer than one of them.
  const int calls = device.is_cpu() ? 1 : 100;
  const at::NoGradGuard guard;
  const auto options = at::TensorOptions().device(device);
  const at::Tensor a = at::rand({rows, inner}, options).to(type);
  const at::Tensor b = at::rand({columns, inner}, options).to(type);
  at::Tensor product = at::mm(a, b.t());
  const auto synchronize = [&] { product.view(-1)[0].item<float>(); };
  synchronize();
  std::vector<double> seconds;
  for (size_t i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int j = 0; j < calls; ++j) at::mm_out(product, a, b.t());
    synchronize();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
                      calls);
  }
  std::nth_element(seconds.begin(), seconds.begin() + repetitions / 2, seconds.end());
  return 2.0 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(columns) /
         seconds[repetitions / 2];
}

void keepBackwardOnThisThread() { c10::AutogradState::get_tls_state().set_multithreading_enabled(false); }

bool cpuHasBFloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");  // every CPU with amx_bf16 has it too
#else
  return false;
#endif
}

const std::vector<CudaDevice>& cudaTable() {
  static const std::vector<CudaDevice> table = readDevices();
  return table;
}

c10::DeviceIndex currentCudaDevice() {
  return cudaDevices() == 0 ? -1 : c10::impl::VirtualGuardImpl(c10::kCUDA).getDevice().index();
}

std::optional<std::pair<int, int>> cudaCapability(c10::DeviceIndex index) {
  const std::vector<CudaDevice>& table = cudaTable();
  if (index < 0 || static_cast<size_t>(index) >= table.size()) return {};
  return table[static_cast<size_t>(index)].capability;
}

int64_t cudaPeakBytes(c10::DeviceIndex index) {
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  if (index < 0 || index >= cudaDevices()) return 0;
  auto* allocator = c10::getDeviceAllocator(c10::kCUDA);
  return allocator->initialized() ? allocator->getDeviceStats(index).allocated_bytes[kAll].peak : 0;
}

void releaseCudaMemory() {
  if (cudaDevices() == 0) return;
  auto* allocator = c10::getDeviceAllocator(c10::kCUDA);
  if (!allocator->initialized()) return;
  try {
    allocator->emptyCache();
    at::getHostAllocator(c10::kCUDA)->empty_cache();
  } catch (const c10::Error&) {
    // While another session captures a graph, LibTorch refuses. What stays is for the next tensors.
  }
}

std::string cudaProblem() {
  if (!loadProblem.empty()) return loadProblem;
  return cudaDevices() > 0 ? "" : "the NVIDIA driver reports no device";
}

c10::Device cudaDevice(int64_t index) {
  const std::string name = "device 'cuda:" + std::to_string(index) + "' cannot be used: ";
  const std::string problem = cudaProblem();
  if (!problem.empty()) throw std::invalid_argument(name + problem);
  const int64_t last = cudaDevices() - 1;
  if (index < 0 || index > last)
    throw std::invalid_argument(name + "there is " +
                                (last == 0 ? "cuda:0 only" : "cuda:0 to cuda:" + std::to_string(last)));
  at::globalContext().lazyInitDevice(c10::kCUDA);
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

void useDevice(c10::Device device) {
  if (!device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
  guard.setDevice(device);
  guard.exchangeStream(guard.getStreamFromGlobalPool(device, /*isHighPriority=*/false));
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

std::unique_lock<std::mutex> withoutOthersDraws() {
  return drawsInOrder ? std::unique_lock<std::mutex>() : std::unique_lock(drawing);
}

DrawsInOrder::DrawsInOrder(c10::Device device)
    : lock_(drawing), generator_(at::globalContext().defaultGenerator(device)) {
  drawsInOrder = true;
}

DrawsInOrder::~DrawsInOrder() { drawsInOrder = false; }

void DrawsInOrder::seed(uint64_t seed) { seedGenerator(generator_, seed); }

}  // namespace bertune
