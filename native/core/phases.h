// Where a step's time goes, for the bench: thread-seconds by kind of work, counted between start() and
// stop(). ATen's operators are seen by themselves; a Scope marks what our own kernels do, or what a whole
// part of the step is. Of nested ones the innermost counts, but attention, the optimizer and reductions count
// whole. Switched off, a Scope costs one load.
#pragma once

#include <chrono>
#include <cstdint>

namespace bertune::phases {

// Gemm: linear layers. Attention: all of it, its matrix products too. ElementWise: all else between them.
// Reduction: what a session's thread does, or waits for, when processes sum their gradients.
enum class Phase { Gemm, Attention, ElementWise, Optimizer, Reduction };

// Thread-seconds. One count for the process: OpenMP's threads do not know whose session they work for.
struct Times {
  double gemm, attention, elementWise, optimizer, reduction;
  int64_t operators;  // of LibTorch that were called, by others of them too
  int64_t launches;   // that countLaunches was told of
};

void start();
Times stop();

// Of fused kernels, and of the nodes of a graph that is repeated. What LibTorch launches by itself could be
// counted by CUPTI only.
void countLaunches(int64_t launches);

// Seconds in which sessions' own threads had jobs, since the process began; always counted.
double busySeconds();

class Scope {
 public:
  explicit Scope(Phase phase);
  ~Scope() { end(); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  void end();

 private:
  void count();

  bool counts_ = false;
  Phase phase_;
  Scope* outer_ = nullptr;  // pauses meanwhile
  // Outside of parallel regions a scope stands for all threads of the session: they help or wait.
  int64_t threads_ = 0;
  std::chrono::steady_clock::time_point since_;
};

// One job of a session's thread.
class Job {
 public:
  Job();
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

 private:
  std::chrono::steady_clock::time_point since_;
};

}  // namespace bertune::phases
