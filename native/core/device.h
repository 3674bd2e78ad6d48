// Which devices this process has. CUDA is looked for at run time: the addon itself links LibTorch's CPU half
// only.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/random.h"

namespace bertune {

// Opens libtorch_cuda.so beside libtorch_cpu.so if there is one and the machine has an NVIDIA driver. Call
// before anything asks LibTorch for CUDA, since LibTorch remembers the first answer.
void loadCuda();

// How many devices LibTorch can use: 0 to one less are their numbers, as CUDA_VISIBLE_DEVICES leaves them.
int64_t cudaDevices();
// Whether float32 matrix products on CUDA may round their inputs to TF32. LibTorch has one setting for the
// process.
void allowTf32(bool allowed);
// CPU threads for all that the calling thread computes from now on.
void setThreads(int threads);
// FLOP/s of [rows, inner] x [columns, inner]^T: what the device can do at most, for the bench to hold a step
// against. The median of some repetitions.
double matmulRate(c10::Device device, at::ScalarType type, int64_t rows, int64_t inner, int64_t columns);
// Backward passes run on the thread that asks for them, on a GPU too. LibTorch has a thread for each GPU,
// which with one GPU costs cache misses and context switches (pytorch pull request 192004).
void keepBackwardOnThisThread();

bool cpuHasBFloat16();  // in hardware; without it bfloat16 matrix products are emulated and slow

// What the driver knows of a device; empty, none and 0 where it does not tell.
struct CudaDevice {
  std::string name;                               // e.g. NVIDIA H100
  std::optional<std::pair<int, int>> capability;  // compute capability, major and minor
  int64_t bytes = 0;                              // of its memory
};
const std::vector<CudaDevice>& cudaTable();  // by number
// The device of the calling thread, on which a session's thread stays; -1 without one.
c10::DeviceIndex currentCudaDevice();
std::optional<std::pair<int, int>> cudaCapability(c10::DeviceIndex index = currentCudaDevice());
// Most memory that LibTorch has held on a device, in bytes; 0 where there is no such device.
int64_t cudaPeakBytes(c10::DeviceIndex index);
void releaseCudaMemory();   // what LibTorch keeps on devices and on the host for them; nothing without one
std::string cudaProblem();  // why there is no CUDA device, for people; empty if there is one

// A device by its number; throws std::invalid_argument with the reason if it is not there.
c10::Device cudaDevice(int64_t index);
// The calling thread computes on this device from now on, and on a stream of its own out of LibTorch's pool:
// what is recorded as a graph must not go to the default one. Tensors keep to the stream that they were made
// on, so this comes before the first. Nothing on a CPU.
void useDevice(c10::Device device);

// LibTorch's random generators, seeded at each place that draws, so that what is drawn there depends on
// (seed, step, layer, site, first row) alone, as with the masks of random.h. Nothing here waits for a device.

// A new generator of `device`, at the beginning of the mask's own numbers.
at::Generator generatorFor(const Mask& mask, c10::Device device);

// The same for operators that take none but the device's default generator. That one belongs to the whole
// process: draw while the lock is held. Where the calling thread draws in order nothing is seeded here.
[[nodiscard]] std::unique_lock<std::mutex> seedDefaultGenerator(const Mask& mask, c10::Device device);

// As long as it is held, no other thread draws from a default generator: LibTorch registers it with each
// graph, and notes there whether it is being recorded.
[[nodiscard]] std::unique_lock<std::mutex> withoutOthersDraws();

// As long as it lives, what the calling thread draws from the default generator follows what it drew before,
// from one seed for all: what is recorded as a graph can be seeded in no other way, and in this way it is the
// same whether it is recorded or not. Nobody else draws from the generator meanwhile.
class DrawsInOrder {
 public:
  explicit DrawsInOrder(c10::Device device);
  ~DrawsInOrder();
  DrawsInOrder(const DrawsInOrder&) = delete;
  DrawsInOrder& operator=(const DrawsInOrder&) = delete;

  void seed(uint64_t seed);  // at the beginning of what is drawn

 private:
  std::unique_lock<std::mutex> lock_;
  at::Generator generator_;
};

}  // namespace bertune
