// NCCL for processes whose GPUs are none (fake_cuda.cc): the functions that train/nccl_group.h names, over
// memory that the processes of this machine share. A sum is done when its call returns, or when another
// thread aborts it; calls say that they are still going on, as those of a communicator without blocking may.
//
// With BERTUNE_FAKE_NCCL=broken it cannot begin.
#include <c10/util/BFloat16.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "train/nccl_group.h"

namespace {

using bertune::Nccl;

constexpr int kMostRanks = 8;
constexpr size_t kChunk = size_t{1} << 18;  // values that are summed at a time

enum Failure { kSystemError = 2, kInvalidArgument = 4, kInvalidUsage = 5 };

struct Shared {
  std::atomic<int> joined, arrived, round;
  float values[kMostRanks][kChunk];
};

struct Comm {
  Shared* shared;
  int rank, ranks;
  std::atomic<bool> isAborted = false;

  // Whether all ranks have come.
  bool meet() {
    const int round = shared->round;
    if (++shared->arrived == ranks) {
      shared->arrived = 0;
      ++shared->round;
    }
    while (shared->round == round) {
      if (isAborted) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    return true;
  }

  template <typename T>
  void sum(const T* from, T* to, size_t count) {
    for (size_t first = 0; first < count; first += kChunk) {
      const size_t size = std::min(kChunk, count - first);
      std::copy(from + first, from + first + size, shared->values[rank]);
      if (!meet()) return;
      for (size_t i = 0; i < size; ++i) {
        float all = 0;
        for (int other = 0; other < ranks; ++other) all += shared->values[other][i];
        to[first + i] = static_cast<T>(all);
      }
      if (!meet()) return;
    }
  }
};

}  // namespace

#define NCCL(type) extern "C" __attribute__((visibility("default"))) type

NCCL(int) ncclGetVersion(int* version) {
  *version = 22907;
  return Nccl::kSuccess;
}

NCCL(int) ncclGetUniqueId(Nccl::UniqueId* id) {
  const char* state = std::getenv("BERTUNE_FAKE_NCCL");
  if (state != nullptr && std::string(state) == "broken") return kSystemError;
  std::snprintf(id->bytes, sizeof id->bytes, "/bertune-fake-nccl-%x", std::random_device{}());
  return Nccl::kSuccess;
}

NCCL(int) ncclCommInitRankConfig(void** comm, int ranks, Nccl::UniqueId id, int rank, Nccl::Config* config) {
  if (config->magic != 0xcafebeef || config->blocking != 0 || ranks > kMostRanks) return kInvalidArgument;
  const int file = shm_open(id.bytes, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return kSystemError;
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return kSystemError;
  auto* shared = static_cast<Shared*>(memory);
  *comm = new Comm{shared, rank, ranks};
  if (++shared->joined == ranks) shm_unlink(id.bytes);
  return Nccl::kInProgress;
}

NCCL(int) ncclCommGetAsyncError(void* comm, int* error) {
  const auto& each = *static_cast<Comm*>(comm);
  *error = each.shared->joined < each.ranks ? Nccl::kInProgress : Nccl::kSuccess;
  return Nccl::kSuccess;
}

NCCL(int)
ncclAllReduce(const void* from, void* to, size_t count, int type, int operation, void* comm, void* stream) {
  if (operation != Nccl::kSum || stream == nullptr) return kInvalidUsage;
  auto& each = *static_cast<Comm*>(comm);
  if (type == Nccl::kFloat32)
    each.sum(static_cast<const float*>(from), static_cast<float*>(to), count);
  else if (type == Nccl::kBFloat16)
    each.sum(static_cast<const c10::BFloat16*>(from), static_cast<c10::BFloat16*>(to), count);
  else
    return kInvalidArgument;
  return Nccl::kInProgress;
}

NCCL(int) ncclCommFinalize(void*) { return Nccl::kInProgress; }
// Another thread may still be in a call with what is ended, so that it stays.
NCCL(int) ncclCommDestroy(void*) { return Nccl::kSuccess; }
NCCL(int) ncclCommAbort(void* comm) {
  static_cast<Comm*>(comm)->isAborted = true;
  return Nccl::kSuccess;
}
NCCL(const char*) ncclGetErrorString(int error) {
  return error == kSystemError ? "unhandled system error" : "invalid usage";
}
NCCL(const char*) ncclGetLastError(void*) { return ""; }
