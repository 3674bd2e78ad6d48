#include "train/nccl_group.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

namespace bertune {
namespace {

using namespace std::chrono_literals;

constexpr auto kPoll = 1ms;  // of calls that go on without the caller, after the first polls
constexpr int kQuickPolls = 1000;
constexpr auto kWatch = 100ms;  // of sums under way
constexpr auto kHeartbeat = 1s;
constexpr auto kClosing = 10s;
constexpr auto kAfterLoss = 2s;  // for sums that were as good as done when a process ended

c10::impl::VirtualGuardImpl cuda() { return c10::impl::VirtualGuardImpl(c10::kCUDA); }

template <typename Function>
bool take(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return function != nullptr;
}

// What each process has to say; empty where all is well. The first that is not, with its rank.
std::string firstProblem(ProcessGroup& group, const std::string& mine) {
  const std::vector<std::string> all = group.gather(mine);
  for (size_t rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty()) return "rank " + std::to_string(rank) + ": " + all[rank];
  return {};
}

}  // namespace

std::optional<Nccl> Nccl::find() {
  // Libraries that libtorch_cuda.so was linked with are there for all only once they are opened by name.
  dlopen("libnccl.so.2", RTLD_LAZY | RTLD_GLOBAL);
  Nccl found{};
  const bool isWhole =
      take(found.getUniqueId, "ncclGetUniqueId") &&
      take(found.commInitRankConfig, "ncclCommInitRankConfig") &&
      take(found.commGetAsyncError, "ncclCommGetAsyncError") && take(found.allReduce, "ncclAllReduce") &&
      take(found.commFinalize, "ncclCommFinalize") && take(found.commDestroy, "ncclCommDestroy") &&
      take(found.commAbort, "ncclCommAbort") && take(found.getErrorString, "ncclGetErrorString") &&
      take(found.getLastError, "ncclGetLastError");
  return isWhole ? std::optional(found) : std::nullopt;
}

std::unique_ptr<NcclGroup> NcclGroup::meet(ProcessGroup& group, c10::Device device, std::string& problem) {
  const std::optional<Nccl> nccl = device.is_cuda() ? Nccl::find() : std::nullopt;
  Nccl::UniqueId id{};
  std::string mine;
  if (!device.is_cuda())
    mine = "it computes on a CPU";
  else if (!nccl)
    mine = "NCCL 2.14 or later was not found beside LibTorch";
  else if (group.rank() == 0)
    if (const int error = nccl->getUniqueId(&id); error != Nccl::kSuccess) mine = nccl->getErrorString(error);
  problem = firstProblem(group, mine);
  if (!problem.empty()) return nullptr;
  const std::string ids = group.gather({id.bytes, sizeof id.bytes}).front();
  std::memcpy(id.bytes, ids.data(), sizeof id.bytes);
  std::unique_ptr<NcclGroup> made(new NcclGroup(*nccl, group, device));
  try {
    made->connect(id);
  } catch (const std::exception& error) {
    mine = error.what();
  }
  problem = firstProblem(group, mine);
  if (!problem.empty()) return nullptr;
  // Not before: it uses the group.
  made->watcher_ = std::thread([group = made.get()] { group->watch(); });
  return made;
}

NcclGroup::NcclGroup(const Nccl& nccl, ProcessGroup& group, c10::Device device)
    : nccl_(nccl),
      group_(group),
      device_(device),
      stream_(cuda().getStreamFromGlobalPool(device, /*isHighPriority=*/true)),
      timeout_(group.timeout()) {}

NcclGroup::~NcclGroup() {
  const auto patience = std::min<Clock::duration>(timeout_, kClosing);
  bool isInOrder = false;
  {
    std::unique_lock lock(mutex_);
    const auto isOver = [this] { return !failure_.empty() || !isUnderWay() || hasBegun_; };
    changed_.wait_for(lock, patience, isOver);
    isInOrder = watcher_.joinable() && failure_.empty() && !isUnderWay();
    isClosing_ = true;
  }
  changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  if (comm_ == nullptr) return;
  // Others may still read from this GPU what it has given: an orderly end waits for them, unless they are
  // gone.
  int result = isInOrder ? nccl_.commFinalize(comm_) : Nccl::kSuccess + 1;
  for (const auto deadline = Clock::now() + patience; result == Nccl::kInProgress && Clock::now() < deadline;
       std::this_thread::sleep_for(kPoll))
    if (nccl_.commGetAsyncError(comm_, &result) != Nccl::kSuccess) break;
  if (result == Nccl::kSuccess)
    nccl_.commDestroy(comm_);
  else
    nccl_.commAbort(comm_);
}

void NcclGroup::connect(const Nccl::UniqueId& id) {
  Nccl::Config config;
  run("ncclCommInitRankConfig",
      [&](void*) { return nccl_.commInitRankConfig(&comm_, group_.size(), id, group_.rank(), &config); });
}

void NcclGroup::begin(const at::Tensor& values) {
  check();
  {
    const std::lock_guard lock(mutex_);
    if (!isUnderWay()) since_ = Clock::now();
    hasBegun_ = true;
  }
  c10::Event computed(c10::kCUDA);
  computed.record(cuda().getStream(device_));
  computed.block(stream_);
  const int type = values.scalar_type() == at::kFloat ? Nccl::kFloat32 : Nccl::kBFloat16;
  void* data = values.mutable_data_ptr();
  run("ncclAllReduce", [&](void* comm) {
    return nccl_.allReduce(data, data, static_cast<size_t>(values.numel()), type, Nccl::kSum, comm,
                           stream_.native_handle());
  });
}

void NcclGroup::finish() {
  check();
  const std::lock_guard lock(mutex_);
  if (!hasBegun_) return;
  c10::Event end(c10::kCUDA);
  end.record(stream_);
  end.block(cuda().getStream(device_));
  ends_.push_back(std::move(end));
  hasBegun_ = false;
}

void NcclGroup::check() const {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw std::runtime_error(failure_);
}

void NcclGroup::run(const char* name, const std::function<int(void*)>& call) {
  const auto deadline = Clock::now() + timeout_;
  std::unique_lock lock(mutex_);
  if (!failure_.empty()) throw std::runtime_error(failure_);
  int result = call(comm_);
  // A call is done in some microseconds, but for the first ones.
  for (int polls = 0; result == Nccl::kInProgress; ++polls) {
    lock.unlock();
    if (polls < kQuickPolls)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(kPoll);
    lock.lock();
    if (!failure_.empty()) throw std::runtime_error(failure_);
    if (Clock::now() > deadline)
      throw std::runtime_error(std::string(name) + ": the other processes did not come within the timeout");
    if (const int error = nccl_.commGetAsyncError(comm_, &result); error != Nccl::kSuccess) result = error;
  }
  if (result != Nccl::kSuccess) throw std::runtime_error(std::string(name) + ": " + errorText(result));
}

void NcclGroup::watch() {
  cuda().uncheckedSetDevice(device_);
  std::unique_lock lock(mutex_);
  while (failure_.empty() && !isClosing_) {
    try {
      for (; !ends_.empty() && ends_.front().query(); ends_.pop_front()) since_ = Clock::now();
      checkPeers();
      giveUp();
    } catch (const std::exception& error) {  // of the device
      const std::string text = error.what();
      failure_ = text.substr(0, text.find('\n'));
    }
    if (!isUnderWay() || !failure_.empty()) changed_.notify_all();
    if (failure_.empty()) changed_.wait_for(lock, kWatch, [this] { return isClosing_; });
  }
  // Kernels that wait for the others end, and so does whoever waits for them.
  if (!failure_.empty()) nccl_.commAbort(std::exchange(comm_, nullptr));
}

void NcclGroup::checkPeers() {
  const auto now = Clock::now();
  try {
    if (heartbeat_.defined() && group_.isDone()) {
      heartbeat_.reset();
      group_.finish();
    }
    if (!lost_.has_value() && !heartbeat_.defined() && now > lastHeartbeat_ + kHeartbeat) {
      heartbeat_ = at::zeros({1}, at::kFloat);
      lastHeartbeat_ = now;
      group_.begin(heartbeat_);
    }
  } catch (const std::exception&) {
    lost_ = now;
  }
}

void NcclGroup::giveUp() {
  const auto now = Clock::now();
  int error = Nccl::kSuccess;
  const bool isKnown = nccl_.commGetAsyncError(comm_, &error) == Nccl::kSuccess;
  if (isKnown && error != Nccl::kSuccess && error != Nccl::kInProgress)
    failure_ = "NCCL: " + errorText(error);
  else if (isUnderWay() && lost_.has_value() && now > std::max(since_, *lost_) + kAfterLoss)
    failure_ = "NCCL: another process has ended";
  else if (isUnderWay() && now > since_ + timeout_)
    failure_ = "NCCL: the other processes did not come within the timeout";
}

std::string NcclGroup::errorText(int result) const {
  const std::string text = nccl_.getErrorString(result);
  const char* last = comm_ == nullptr ? nullptr : nccl_.getLastError(comm_);
  return last == nullptr || *last == '\0' ? text : text + " (" + last + ")";
}

}  // namespace bertune
