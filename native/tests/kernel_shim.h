// The part of CUDA that the kernels of ops/cuda use, on the CPU and without mercy: each thread of a block is
// a fiber of its own, and runs until it waits for others. In which order threads and blocks run can be
// chosen, and no result may depend on it. What a GPU would only sometimes punish is an error here: a barrier
// or shuffle that some threads never reach, shared memory that is read before it is written, or that two
// threads touch between two barriers, one of them writing.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <utility>

namespace bertune::shim {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

enum class Order { Ascending, Descending, Shuffled };

// Which order threads and blocks run in from now on.
void setOrder(Order order);

// Runs the kernel for a grid. Throws std::runtime_error with the first error, the kernel half done.
void run(const std::string& name, Index grid, unsigned threads, const std::function<void()>& kernel);

extern Index threadIdx, blockIdx, blockDim, gridDim;  // of the thread that runs

// Ends the kernel.
[[noreturn]] void fail(const std::string& reason);
void barrier();
// What the thread `distance` away (by xor) gives, of the same warp.
uint64_t exchange(unsigned mask, uint64_t value, int distance);
int64_t blocksSoFar();
int64_t barriersSoFar();

template <typename T, int kSize>
class SharedArray {
 public:
  class Element {
   public:
    Element(SharedArray& array, int64_t place) : array_(array), place_(place) {}
    operator T() const { return array_.read(place_); }
    Element& operator=(T value) {
      array_.write(place_, value);
      return *this;
    }

   private:
    SharedArray& array_;
    int64_t place_;
  };

  Element operator[](int64_t place) {
    if (place < 0 || place >= kSize) fail("shared memory beyond its end");
    return {*this, place};
  }

 private:
  struct Access {
    int64_t barrier = -1;
    int64_t thread = -1;  // kMany where there were several
  };
  static constexpr int64_t kMany = -2;

  static bool isOthers(const Access& access) {
    return access.barrier == barriersSoFar() && access.thread != threadIdx.x;
  }

  T read(int64_t place) {
    if (blocks_[place] != blocksSoFar()) fail("shared memory is read before it is written");
    if (isOthers(writes_[place])) fail("shared memory is read without a barrier after it was written");
    Access& reads = reads_[place];
    const bool isFirst = reads.barrier != barriersSoFar() || reads.thread == threadIdx.x;
    reads = {barriersSoFar(), isFirst ? threadIdx.x : kMany};
    return values_[place];
  }

  void write(int64_t place, T value) {
    if (isOthers(reads_[place]) || isOthers(writes_[place]))
      fail("shared memory is written without a barrier after another thread used it");
    writes_[place] = {barriersSoFar(), threadIdx.x};
    blocks_[place] = blocksSoFar();
    values_[place] = value;
  }

  T values_[kSize];
  Access reads_[kSize], writes_[kSize];
  int64_t blocks_[kSize] = {};
};

// Of one function `kernel` with copies of the arguments that `places` point to, as cuLaunchKernel takes them.
template <typename... Arguments, size_t... kIndices>
std::function<void()> bound(void (*kernel)(Arguments...), void** places, std::index_sequence<kIndices...>) {
  return [kernel, arguments = std::tuple<std::remove_cv_t<Arguments>...>(
                      *static_cast<std::remove_cv_t<Arguments>*>(places[kIndices])...)] {
    std::apply(kernel, arguments);
  };
}
template <typename... Arguments>
std::function<std::function<void()>(void**)> callable(void (*kernel)(Arguments...)) {
  return [kernel](void** places) { return bound(kernel, places, std::index_sequence_for<Arguments...>()); };
}

template <typename To, typename From>
To bitsAs(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline float __uint_as_float(unsigned x) { return bitsAs<float>(x); }
inline unsigned __float_as_uint(float x) { return bitsAs<unsigned>(x); }
inline void __syncthreads() { barrier(); }
inline float __shfl_xor_sync(unsigned mask, float value, int distance) {
  return bitsAs<float>(static_cast<unsigned>(exchange(mask, bitsAs<unsigned>(value), distance)));
}
inline double __shfl_xor_sync(unsigned mask, double value, int distance) {
  return bitsAs<double>(exchange(mask, bitsAs<uint64_t>(value), distance));
}

}  // namespace bertune::shim

#define __global__
#define __device__
#define __launch_bounds__(threads)
#define SHARED(type, name, size) static bertune::shim::SharedArray<type, size> name
