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

constexpr auto kPoll = 1ms;     // of calls that go on without the caller
constexpr auto kWatch = 100ms;  // of sums under way
constexpr auto kPulse = 1s;
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
      take(found.getVersion, "ncclGetVersion") && take(found.getUniqueId, "ncclGetUniqueId") &&
      take(found.commInitRankConfig, "ncclCommInitRankConfig") &&
      take(found.commGetAsyncError, "ncclCommGetAsyncError") && take(found.allReduce, "ncclAllReduce") &&
      take(found.commFinalize, "ncclCommFinalize") && take(found.commDestroy, "ncclCommDestroy") &&
      take(found.commAbort, "ncclCommAbort") && take(found.getErrorString, "ncclGetErrorString") &&
      take(found.getLastError, "ncclGetLastError");
  return isWhole ? std::optional(found) : std::nullopt;
}

std::unique_ptr<NcclGroup> NcclGroup::meet(ProcessGroup& group, c10::Device device, std::string& problem) {
  const std::optional<Nccl> nccl = Nccl::find();
  Nccl::UniqueId id{};
  std::string mine;
  if (!nccl)
    mine = "NCCL 2.14 or later was not found beside LibTorch";
  else if (!device.is_cuda())
    mine = "it computes on a CPU";
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
  if (!problem.empty()) made.reset();
  return made;
}

NcclGroup::NcclGroup(const Nccl& nccl, ProcessGroup& group, c10::Device device)
    : nccl_(nccl),
      group_(group),
      device_(device),
      stream_(cuda().getStreamFromGlobalPool(device, /*isHighPriority=*/true)),
      timeout_(group.timeout()),
      summed_(c10::kCUDA) {}

NcclGroup::~NcclGroup() {
  {
    // The watcher waits for what is under way, or gives it up.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !failure_.empty() || !deadline_.has_value() || !hasBegunAll_; });
    isClosing_ = true;
  }
  changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  if (comm_ == nullptr) return;
  // Others may still read from this GPU what it has given: an orderly end waits for them, unless they are
  // gone.
  const bool isInOrder = failure_.empty() && !deadline_.has_value();
  int result = isInOrder ? nccl_.commFinalize(comm_) : Nccl::kSuccess + 1;
  for (const auto deadline = Clock::now() + std::min<Clock::duration>(timeout_, 10s);
       result == Nccl::kInProgress && Clock::now() < deadline; std::this_thread::sleep_for(kPoll))
    if (nccl_.commGetAsyncError(comm_, &result) != Nccl::kSuccess) break;
  if (result == Nccl::kSuccess)
    nccl_.commDestroy(comm_);
  else
    nccl_.commAbort(comm_);
}

void NcclGroup::connect(const Nccl::UniqueId& id) {
  Nccl::Config config;
  void* comm = nullptr;
  const int result = nccl_.commInitRankConfig(&comm, group_.size(), id, group_.rank(), &config);
  comm_ = comm;
  if (comm_ == nullptr) throw std::runtime_error("ncclCommInitRankConfig: " + errorText(result));
  complete(result, "ncclCommInitRankConfig");
  watcher_ = std::thread([this] { watch(); });
}

void NcclGroup::begin(const at::Tensor& values) {
  check();
  {
    const std::lock_guard lock(mutex_);
    if (!deadline_.has_value()) deadline_ = Clock::now() + timeout_;
    hasBegunAll_ = false;
  }
  c10::Event computed(c10::kCUDA);
  computed.record(cuda().getStream(device_));
  computed.block(stream_);
  const int type = values.scalar_type() == at::kFloat ? Nccl::kFloat32 : Nccl::kBFloat16;
  void* data = values.mutable_data_ptr();
  complete(nccl_.allReduce(data, data, static_cast<size_t>(values.numel()), type, Nccl::kSum, comm_,
                           stream_.native_handle()),
           "ncclAllReduce");
}

void NcclGroup::finish() {
  check();
  {
    const std::lock_guard lock(mutex_);
    if (!deadline_.has_value()) return;
    summed_.record(stream_);
    hasBegunAll_ = true;
  }
  summed_.block(cuda().getStream(device_));
}

void NcclGroup::check() const {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw std::runtime_error(failure_);
}

void NcclGroup::complete(int result, const char* call) {
  const auto deadline = Clock::now() + timeout_;
  while (result == Nccl::kInProgress) {
    check();
    if (Clock::now() > deadline)
      throw std::runtime_error(std::string(call) + ": the other processes did not come within the timeout");
    std::this_thread::sleep_for(kPoll);
    if (const int error = nccl_.commGetAsyncError(comm_, &result); error != Nccl::kSuccess) result = error;
  }
  if (result != Nccl::kSuccess) throw std::runtime_error(std::string(call) + ": " + errorText(result));
}

void NcclGroup::watch() {
  cuda().uncheckedSetDevice(device_);
  std::unique_lock lock(mutex_);
  while (failure_.empty()) {
    changed_.wait_for(lock, kWatch, [this] { return isClosing_; });
    if (deadline_.has_value() && hasBegunAll_ && summed_.query()) {
      deadline_.reset();
      changed_.notify_all();
    }
    if (isClosing_) return;
    feelPulse();
    int error = Nccl::kSuccess;
    const bool isKnown = nccl_.commGetAsyncError(comm_, &error) == Nccl::kSuccess;
    if (isKnown && error != Nccl::kSuccess && error != Nccl::kInProgress)
      failure_ = "NCCL: " + errorText(error);
    else if (deadline_.has_value() && Clock::now() > *deadline_)
      failure_ = isLost_ ? "NCCL: another process has ended"
                         : "NCCL: the other processes did not come within the timeout";
  }
  // Kernels that wait for the others end, and so does whoever waits for them.
  nccl_.commAbort(comm_.exchange(nullptr));
  changed_.notify_all();
}

void NcclGroup::feelPulse() {
  const auto now = Clock::now();
  try {
    if (pulse_.defined() && group_.isDone()) {
      pulse_.reset();
      group_.finish();
    }
    if (!isLost_ && !pulse_.defined() && now > lastPulse_ + kPulse) {
      pulse_ = at::zeros({1}, at::kFloat);
      lastPulse_ = now;
      group_.begin(pulse_);
    }
  } catch (const std::exception&) {
    isLost_ = true;
  }
  if (isLost_ && deadline_.has_value()) deadline_ = std::min(*deadline_, now + kAfterLoss);
}

std::string NcclGroup::errorText(int result) const {
  const std::string text = nccl_.getErrorString(result);
  void* comm = comm_;
  const char* last = comm == nullptr ? nullptr : nccl_.getLastError(comm);
  return last == nullptr || *last == '\0' ? text : text + " (" + last + ")";
}

}  // namespace bertune
