// NCCL for processes whose GPUs are none (fake_cuda.cc): the functions that train/nccl_group.h names, over
// memory that the processes of this machine share. Calls are those of a communicator without blocking: a sum
// goes on after its call has returned, and is done when the communicator is not in progress any more.
//
// With BERTUNE_FAKE_NCCL=broken it cannot begin; with BERTUNE_FAKE_NCCL=late the calls succeed, nothing is
// summed, and a while later the communicator has an error.
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
#include <optional>
#include <random>
#include <thread>

#include "train/nccl_group.h"

namespace {

using bertune::Nccl;

constexpr std::chrono::milliseconds kLate{300};
constexpr int kMostRanks = 8;
constexpr size_t kChunk = size_t{1} << 18;  // values that are summed at a time

enum Failure { kSystemError = 2, kInvalidArgument = 4, kInvalidUsage = 5, kRemoteError = 6 };

bool isState(const char* name) {
  const char* state = std::getenv("BERTUNE_FAKE_NCCL");
  return state != nullptr && std::strcmp(state, name) == 0;
}

struct Shared {
  std::atomic<int> joined, arrived, round;
  float values[kMostRanks][kChunk];
};

struct Comm {
  Shared* shared;
  int rank, ranks;
  std::atomic<bool> isAborted = false, isSumming = false;
  std::thread summing = {};
  std::optional<std::chrono::steady_clock::time_point> firstCall = {};  // where it is late

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

NCCL(int) ncclGetUniqueId(Nccl::UniqueId* id) {
  if (isState("broken")) return kSystemError;
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
  const bool isOn = each.shared->joined < each.ranks || each.isSumming;
  *error = isOn ? Nccl::kInProgress : Nccl::kSuccess;
  if (each.firstCall.has_value() && std::chrono::steady_clock::now() > *each.firstCall + kLate)
    *error = kRemoteError;
  return Nccl::kSuccess;
}

NCCL(int)
ncclAllReduce(const void* from, void* to, size_t count, int type, int operation, void* comm, void* stream) {
  auto& each = *static_cast<Comm*>(comm);
  if (operation != Nccl::kSum || stream == nullptr || each.isSumming) return kInvalidUsage;
  if (type != Nccl::kFloat32 && type != Nccl::kBFloat16) return kInvalidArgument;
  if (isState("late")) {
    if (!each.firstCall.has_value()) each.firstCall = std::chrono::steady_clock::now();
    return Nccl::kSuccess;
  }
  if (each.summing.joinable()) each.summing.join();
  each.isSumming = true;
  each.summing = std::thread([&each, from, to, count, type] {
    if (type == Nccl::kFloat32)
      each.sum(static_cast<const float*>(from), static_cast<float*>(to), count);
    else
      each.sum(static_cast<const c10::BFloat16*>(from), static_cast<c10::BFloat16*>(to), count);
    each.isSumming = false;
  });
  return Nccl::kInProgress;
}

NCCL(int) ncclCommFinalize(void*) { return Nccl::kInProgress; }
NCCL(int) ncclCommDestroy(void* comm) {
  auto* each = static_cast<Comm*>(comm);
  each->isAborted = true;
  if (each->summing.joinable()) each->summing.join();
  munmap(each->shared, sizeof(Shared));
  delete each;
  return Nccl::kSuccess;
}
NCCL(int) ncclCommAbort(void* comm) { return ncclCommDestroy(comm); }
NCCL(const char*) ncclGetErrorString(int error) {
  return error == kSystemError   ? "unhandled system error"
         : error == kRemoteError ? "remote process exited or there was a network error"
                                 : "invalid usage";
}
NCCL(const char*) ncclGetLastError(void*) { return ""; }
