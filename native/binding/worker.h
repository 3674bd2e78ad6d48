// One thread that runs a session's jobs in order, each answered by a promise.
// LibTorch starts an OpenMP team for every thread that calls it, so a session has exactly one.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace bertune {

class Worker {
 public:
  // `run` executes on the worker thread, `resolve` afterwards on the JavaScript thread, which needs `owner`
  // to live until then.
  using Run = std::function<void()>;
  using Resolve = std::function<Napi::Value(Napi::Env)>;

  explicit Worker(Napi::Env env);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Stops the workers of an environment whose process is about to exit.
  static void stopAll(napi_env env);

  // Rejects nothing: throws a Napi::Error where the thread has ended.
  Napi::Promise post(Napi::Object owner, Run run, Resolve resolve);

  // The same for a job of a step, whose later calls are posted before the earlier ones are known to have
  // worked: behind one that failed it is left out, unless it was posted after JavaScript had learned of that.
  Napi::Promise postInSequence(Napi::Object owner, Run run, Resolve resolve);

  // The same for the last job of all. The thread ends with it, and takes its OpenMP threads along.
  Napi::Promise postLast(Napi::Object owner, Run run, Resolve resolve);

 private:
  struct Job;

  Napi::Promise push(Napi::Object owner, Run run, Resolve resolve, bool isLast = false);
  void loop();
  void stop();  // waits for the job that runs, drops those that wait
  void deliver(std::unique_ptr<Job> job);
  static void stopHook(void* worker);
  static void complete(Napi::Env env, Napi::Function, Worker* worker, Job* job);

  using Channel = Napi::TypedThreadSafeFunction<Worker, Job, &Worker::complete>;

  napi_env env_;
  Channel channel_;
  size_t pending_ = 0;  // jobs posted and not yet complete; JavaScript thread only
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> queue_;
  bool stopping_ = false;
  bool ended_ = false;         // no job may follow; JavaScript thread only
  int64_t failures_ = 0;       // of jobs that ran; worker thread only
  int64_t knownFailures_ = 0;  // of those, the ones whose promises were rejected; JavaScript thread only
  std::thread thread_;
};

}  // namespace bertune
