// Sums over the GPUs of several processes, by NVIDIA's NCCL: from GPU to GPU, without the host.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "train/process_group.h"

namespace bertune {

// The functions of NCCL's C interface that are used, as in nccl.h of 2.14 and later: there is no header of it
// here. libtorch_cuda.so brings the library; enums are int, and a communicator is a pointer.
struct Nccl {
  struct UniqueId {
    char bytes[128];
  };
  // The first members of ncclConfig_t, which says its own size and version.
  struct Config {
    size_t size = sizeof(Config);
    unsigned magic = 0xcafebeef;
    unsigned version = 21400;
    int blocking = 0;
  };
  enum Result { kSuccess = 0, kInProgress = 7 };
  enum Type { kFloat32 = 7, kBFloat16 = 9 };
  static constexpr int kSum = 0;

  int (*getUniqueId)(UniqueId* id);
  int (*commInitRankConfig)(void** comm, int ranks, UniqueId id, int rank, Config* config);
  int (*commGetAsyncError)(void* comm, int* error);
  int (*allReduce)(const void* from, void* to, size_t count, int type, int operation, void* comm,
                   void* stream);
  int (*commFinalize)(void* comm);
  int (*commDestroy)(void* comm);
  int (*commAbort)(void* comm);
  const char* (*getErrorString)(int error);
  const char* (*getLastError)(void* comm);

  static std::optional<Nccl> find();  // in this process; none where a function is missing
};

// Sums that wait on no thread: they follow what the calling thread's stream does before, on a stream of their
// own. NCCL waits for a process that is gone for ever, so a thread of the group watches: where a process
// ends, does not come to a sum within the timeout, or NCCL reports an error, it gives up what is under way.
// Then `check` throws, and what was summed must not be used.
class NcclGroup {
 public:
  // All processes of `group` call this together: either each of them has such a group then, or null and the
  // same `problem`, for people. The caller must not use `group` afterwards, and it must outlive this object.
  static std::unique_ptr<NcclGroup> meet(ProcessGroup& group, c10::Device device, std::string& problem);
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  // Sums contiguous float32 or bfloat16 values in place. They must live until the stream is done with what
  // comes after `finish`.
  void begin(const at::Tensor& values);
  // What the calling thread's stream does from now on sees the sums.
  void finish();
  void check() const;

 private:
  using Clock = std::chrono::steady_clock;

  NcclGroup(const Nccl& nccl, ProcessGroup& group, c10::Device device);

  void connect(const Nccl::UniqueId& id);
  // Makes a call of the communicator, and waits where it goes on without the caller.
  void run(const char* name, const std::function<int(void*)>& call);
  void watch();
  void checkPeers();
  void giveUp();
  bool isUnderWay() const { return hasBegun_ || !ends_.empty(); }
  std::string errorText(int result) const;

  const Nccl nccl_;
  ProcessGroup& group_;
  const c10::Device device_;
  const c10::Stream stream_;
  const std::chrono::milliseconds timeout_;

  mutable std::mutex mutex_;  // of what follows: NCCL ends a communicator under whoever else is in a call
  void* comm_ = nullptr;      // null once the watcher has ended it
  std::condition_variable changed_;
  // Of each step's sums under way, the oldest first: the host may be many steps ahead.
  std::deque<c10::Event> ends_;
  bool hasBegun_ = false;    // sums that have no end yet
  Clock::time_point since_;  // when the oldest became it
  bool isClosing_ = false;
  std::string failure_;

  // Of the watcher: a sum by Gloo each second, which fails where a process has ended.
  at::Tensor heartbeat_;
  Clock::time_point lastHeartbeat_;
  std::optional<Clock::time_point> lost_;  // when one failed
  std::thread watcher_;                    // last: it uses the others
};

}  // namespace bertune
