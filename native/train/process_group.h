// The processes of one training, and the sums over them: PyTorch's c10d, with a TCPStore that they meet at
// and Gloo between their CPUs. The only file that knows c10d is process_group.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bertune {

struct WorldAddress {
  std::string host;  // of the store
  uint16_t port = 0;
  int rank = 0, size = 1;
  bool isServer = false;  // whether the WorldStore of this process is the store; torchrun has one of its own
  std::string prefix;     // what tells this training apart from an earlier one at the same store
  std::string interface;  // host name or address of this process that others reach it by
  std::chrono::milliseconds timeout{0};
};

// A key-value store that all processes see, as long as the process that has it lives.
class WorldStore {
 public:
  // Waits for the store until the address' timeout.
  explicit WorldStore(const WorldAddress& address);
  ~WorldStore();

  void set(const std::string& key, const std::string& value);
  std::optional<std::string> get(const std::string& key);  // nothing where it is not set

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Every process calls the same functions in the same order, with tensors of the same sizes. A call throws
// where another process is gone, or does not make it within the timeout; the group is then of no use any
// more.
class ProcessGroup {
 public:
  // `name` tells groups of the same processes apart: one group is for one thread.
  ProcessGroup(const WorldAddress& address, const std::string& name);
  ~ProcessGroup();

  int rank() const { return rank_; }
  int size() const { return size_; }
  std::chrono::milliseconds timeout() const { return timeout_; }

  // Sums contiguous tensors of the CPU in place, to the same bits on all processes. `begin` returns at once,
  // and the sums are there after `finish`.
  void begin(const at::Tensor& values);
  void finish();
  bool isDone() const;  // whether `finish` would not wait
  void sum(const at::Tensor& values) {
    begin(values);
    finish();
  }
  // What each process has given, by rank; bytes, of any number each.
  std::vector<std::string> gather(const std::string& bytes);

 private:
  struct Parts;
  int rank_, size_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace bertune
