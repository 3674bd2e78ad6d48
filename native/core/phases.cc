#include "core/phases.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>

namespace bertune::phases {
namespace {

using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr size_t kPhases = 5;

std::atomic<bool> isOn{false};
std::array<std::atomic<int64_t>, kPhases> counted{};  // thread-nanoseconds
std::atomic<int64_t> busy{0}, called{0}, launched{0};
std::mutex switching;  // of `operators`: any JavaScript thread may start and stop
at::CallbackHandle operators = at::INVALID_CALLBACK_HANDLE;
thread_local Scope* innermost = nullptr;

int64_t nanosecondsSince(steady_clock::time_point since) {
  return duration_cast<nanoseconds>(steady_clock::now() - since).count();
}

void removeCallback() {
  if (operators != at::INVALID_CALLBACK_HANDLE) at::removeCallback(operators);
  operators = at::INVALID_CALLBACK_HANDLE;
}

double seconds(std::atomic<int64_t>& count) { return static_cast<double>(count.exchange(0)) * 1e-9; }

bool isWhole(Phase phase) {
  return phase == Phase::Attention || phase == Phase::Optimizer || phase == Phase::Reduction;
}

// Autograd reports its nodes in the same way; what they run is distinguished below them.
bool isOperator(const char* name) { return std::strncmp(name, "aten::", 6) == 0; }

Phase phaseOf(const char* name) {
  for (const char* matmul :
       {"aten::mm", "aten::addmm", "aten::linear", "aten::bmm", "aten::baddbmm", "aten::matmul"})
    if (std::strcmp(name, matmul) == 0) return Phase::Gemm;
  return Phase::ElementWise;
}

struct Operator : at::ObserverContext {
  explicit Operator(Phase phase) : scope(phase) {}
  Scope scope;
};

std::unique_ptr<at::ObserverContext> beginOperator(const at::RecordFunction& function) {
  if (!isOperator(function.name())) return nullptr;
  called.fetch_add(1, std::memory_order_relaxed);
  return std::make_unique<Operator>(phaseOf(function.name()));
}

void endOperator(const at::RecordFunction&, at::ObserverContext* context) {
  if (context != nullptr) static_cast<Operator*>(context)->scope.end();
}

}  // namespace

void start() {
  stop();
  const std::lock_guard lock(switching);
  removeCallback();
  operators = at::addGlobalCallback(
      at::RecordFunctionCallback(beginOperator, endOperator).scopes({at::RecordScope::FUNCTION}));
  isOn = true;
}

Times stop() {
  const std::lock_guard lock(switching);
  isOn = false;
  removeCallback();
  const auto of = [](Phase phase) { return seconds(counted[static_cast<size_t>(phase)]); };
  return {of(Phase::Gemm),      of(Phase::Attention), of(Phase::ElementWise), of(Phase::Optimizer),
          of(Phase::Reduction), called.exchange(0),   launched.exchange(0)};
}

void countLaunches(int64_t launches) {
  if (isOn.load(std::memory_order_relaxed)) launched.fetch_add(launches, std::memory_order_relaxed);
}

double busySeconds() { return static_cast<double>(busy.load()) * 1e-9; }

Scope::Scope(Phase phase) : phase_(phase) {
  if (!isOn.load(std::memory_order_relaxed) || (innermost != nullptr && isWhole(innermost->phase_))) return;
  if (innermost != nullptr) innermost->count();
  counts_ = true;
  outer_ = innermost;
  innermost = this;
  threads_ = at::in_parallel_region() ? 1 : at::get_num_threads();
  since_ = steady_clock::now();
}

void Scope::count() { counted[static_cast<size_t>(phase_)] += threads_ * nanosecondsSince(since_); }

void Scope::end() {
  if (!counts_) return;
  count();
  counts_ = false;
  innermost = outer_;
  if (outer_ != nullptr) outer_->since_ = steady_clock::now();
}

Job::Job() : since_(steady_clock::now()) {}

Job::~Job() { busy += nanosecondsSince(since_); }

}  // namespace bertune::phases
