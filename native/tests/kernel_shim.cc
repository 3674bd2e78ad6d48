#include "tests/kernel_shim.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace bertune::shim {

Index threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = size_t{256} << 10, kGuard = 4096;

enum class State { Ready, AtBarrier, AtShuffle, Done };

struct Fiber {
  ucontext_t context;
  State state = State::Done;
  uint64_t value = 0;  // of a shuffle: given, and then received
  int distance = 0;
  void* sanitizer = nullptr;
};

std::vector<Fiber> fibers;
ucontext_t scheduler;
#if defined(__SANITIZE_THREAD__)
void* schedulerOfSanitizer = nullptr;
#endif
const std::function<void()>* running = nullptr;
std::string problem;
int64_t blocks = 0, barriers = 0;
Order order = Order::Ascending;

// Of the `index`th fiber, between pages that nobody may touch. For the life of the process.
void* stackOf(size_t index) {
  static std::vector<void*> stacks;
  while (stacks.size() <= index) {
    void* all = mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED || mprotect(all, kGuard, PROT_NONE) != 0) throw std::bad_alloc();
    stacks.push_back(static_cast<char*>(all) + kGuard);
  }
  return stacks[index];
}

void enter(Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
  schedulerOfSanitizer = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber.sanitizer, 0);
#endif
  swapcontext(&scheduler, &fiber.context);
}

void leave(State state) {
  Fiber& fiber = fibers[threadIdx.x];
  fiber.state = state;
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(schedulerOfSanitizer, 0);
#endif
  swapcontext(&fiber.context, &scheduler);
}

void main() {
  (*running)();
  leave(State::Done);
}

void start(unsigned threads) {
  if (fibers.size() < threads) fibers.resize(threads);
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers[i];
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stackOf(i);
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, main, 0);
    fiber.state = State::Ready;
#if defined(__SANITIZE_THREAD__)
    if (fiber.sanitizer == nullptr) fiber.sanitizer = __tsan_create_fiber(0);
#endif
  }
}

std::vector<unsigned> orderOf(unsigned count, uint64_t seed) {
  std::vector<unsigned> result(count);
  std::iota(result.begin(), result.end(), 0u);
  if (order == Order::Descending) std::reverse(result.begin(), result.end());
  if (order == Order::Shuffled) std::shuffle(result.begin(), result.end(), std::mt19937_64(seed));
  return result;
}

// Whether a warp was at a shuffle, which is done now.
bool shuffle(unsigned firstThread) {
  Fiber* warp = &fibers[firstThread];
  const auto atShuffle = [&](const Fiber& fiber) {
    return fiber.state == State::AtShuffle && fiber.distance == warp->distance;
  };
  if (!std::all_of(warp, warp + kWarp, atShuffle)) return false;
  uint64_t given[kWarp];
  for (unsigned i = 0; i < kWarp; ++i) given[i] = warp[i].value;
  for (unsigned i = 0; i < kWarp; ++i) {
    warp[i].value = given[i ^ static_cast<unsigned>(warp->distance)];
    warp[i].state = State::Ready;
  }
  return true;
}

void runBlock(unsigned threads) {
  ++blocks;
  ++barriers;
  start(threads);
  for (uint64_t round = 0;; ++round) {
    for (const unsigned i : orderOf(threads, round)) {
      if (fibers[i].state != State::Ready) continue;
      threadIdx.x = i;
      enter(fibers[i]);
      if (!problem.empty()) throw std::runtime_error(problem);
    }
    bool moves = false;
    for (unsigned first = 0; first < threads; first += kWarp) moves = shuffle(first) || moves;
    if (moves) continue;
    const auto count = [&](State state) {
      return std::count_if(fibers.begin(), fibers.begin() + threads,
                           [&](const Fiber& fiber) { return fiber.state == state; });
    };
    if (count(State::Done) == threads) return;
    if (count(State::AtBarrier) != threads)
      throw std::runtime_error("a barrier or shuffle is not reached by all threads");
    ++barriers;
    for (unsigned i = 0; i < threads; ++i) fibers[i].state = State::Ready;
  }
}

}  // namespace

void setOrder(Order wanted) { order = wanted; }

void run(const std::string& name, Index grid, unsigned threads, const std::function<void()>& kernel) {
  if (threads == 0 || threads % kWarp != 0 || grid.x == 0 || grid.y == 0)
    throw std::runtime_error(name + ": no whole warps, or no blocks");
  running = &kernel;
  problem.clear();
  gridDim = grid;
  blockDim = {threads, 1, 1};
  for (const unsigned block : orderOf(grid.x * grid.y, 42)) {
    blockIdx = {block % grid.x, block / grid.x, 0};
    try {
      runBlock(threads);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(name + ": " + error.what());
    }
  }
}

void fail(const std::string& reason) {
  problem = reason;
  leave(State::Done);
  throw std::logic_error("a fiber that failed runs again");
}

void barrier() { leave(State::AtBarrier); }

uint64_t exchange(unsigned mask, uint64_t value, int distance) {
  if (mask != 0xffffffffu) fail("a shuffle of some threads");
  Fiber& fiber = fibers[threadIdx.x];
  fiber.value = value;
  fiber.distance = distance;
  leave(State::AtShuffle);
  return fiber.value;
}

int64_t blocksSoFar() { return blocks; }
int64_t barriersSoFar() { return barriers; }

}  // namespace bertune::shim
