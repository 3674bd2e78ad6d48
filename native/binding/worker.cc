#include "binding/worker.h"

#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "binding/arguments.h"
#include "core/phases.h"

namespace bertune {

struct Worker::Job {
  Run run;
  Resolve resolve;
  Napi::Promise::Deferred deferred;
  Napi::ObjectReference owner;  // keeps the session alive until its promise is resolved
  std::string error;
  bool isLast;
  bool hasFailed = false;
};

namespace {

// Of a job that was left out, and so did not fail by itself.
class LeftOut : public std::logic_error {
  using std::logic_error::logic_error;
};

// The workers of all environments (main thread and worker_threads), which is why a lock guards them.
struct LiveWorkers {
  std::mutex mutex;
  std::set<Worker*> workers;
};

LiveWorkers& live() {
  static LiveWorkers workers;
  return workers;
}

}  // namespace

Worker::Worker(Napi::Env env) : env_(env) {
  channel_ = Channel::New(env, "bertune session", /*maxQueueSize=*/0, /*initialThreadCount=*/1, this);
  channel_.Unref(env);  // an idle session does not keep the process alive
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (...) {  // there is no thread: leave nothing behind that points here
    channel_.Release();
    throw;
  }
  // Runs before the environment goes, so that no step is under way while LibTorch's statics are destroyed.
  napi_add_env_cleanup_hook(env, stopHook, this);
  const std::lock_guard lock(live().mutex);
  live().workers.insert(this);
}

Worker::~Worker() {
  {
    const std::lock_guard lock(live().mutex);
    live().workers.erase(this);
  }
  napi_remove_env_cleanup_hook(env_, stopHook, this);
  stop();
  // Jobs are left only when the environment is closing, where their JavaScript references must not be
  // touched.
  for (auto& job : queue_) static_cast<void>(job.release());
}

Napi::Promise Worker::post(Napi::Object owner, Run run, Resolve resolve) {
  return push(owner, std::move(run), std::move(resolve));
}

Napi::Promise Worker::postInSequence(Napi::Object owner, Run run, Resolve resolve) {
  return push(
      owner,
      [this, run = std::move(run), known = knownFailures_] {
        if (failures_ > known) throw LeftOut("not done, since a call before it failed");
        run();
      },
      std::move(resolve));
}

Napi::Promise Worker::postLast(Napi::Object owner, Run run, Resolve resolve) {
  const Napi::Promise promise = push(owner, std::move(run), std::move(resolve), true);
  ended_ = true;
  return promise;
}

Napi::Promise Worker::push(Napi::Object owner, Run run, Resolve resolve, bool isLast) {
  const Napi::Env env = owner.Env();
  // Without its thread there is no channel either.
  if (ended_) throw Napi::Error::New(env, "the session has ended, or the process is exiting");
  auto job = std::make_unique<Job>(Job{std::move(run),
                                       std::move(resolve),
                                       Napi::Promise::Deferred::New(env),
                                       Napi::Persistent(owner),
                                       {},
                                       isLast});
  const Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) channel_.Ref(env);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
  return promise;
}

void Worker::loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) break;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    try {
      const phases::Job timed;
      job->run();
    } catch (const LeftOut& error) {
      job->error = error.what();
    } catch (const std::exception& error) {
      job->error = oneLine(error);
      job->hasFailed = true;
    } catch (...) {
      job->error = "unknown native error";
      job->hasFailed = true;
    }
    if (job->hasFailed) ++failures_;
    job->run = nullptr;  // frees what the job held on the thread that used it
    const bool isLast = job->isLast;
    deliver(std::move(job));
    if (isLast) break;
  }
  channel_.Release();  // this thread is the channel's one user; nobody touches it afterwards
}

void Worker::stop() {
  ended_ = true;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Worker::deliver(std::unique_ptr<Job> job) {
  // `complete` owns the job from here. If the environment is closing nobody owns it, and the job is left
  // alone: its JavaScript references may only be dropped on the JavaScript thread.
  channel_.NonBlockingCall(job.release());
}

void Worker::complete(Napi::Env env, Napi::Function, Worker* worker, Job* raw) {
  if (env == nullptr) return;  // the environment is closing: nobody waits any more
  const std::unique_ptr<Job> job(raw);
  try {
    const Napi::HandleScope scope(env);
    if (--worker->pending_ == 0) worker->channel_.Unref(env);
    if (job->hasFailed) ++worker->knownFailures_;
    Napi::Value result;
    try {
      if (job->error.empty()) result = job->resolve(env);
    } catch (const Napi::Error& error) {
      job->error = error.Message();  // e.g. no memory for the array
    }
    if (job->error.empty())
      job->deferred.Resolve(result);
    else
      job->deferred.Reject(Napi::Error::New(env, job->error).Value());
  } catch (const Napi::Error&) {
    // A worker_threads Worker that is being terminated runs no more JavaScript; nobody waits there either.
  }
}

void Worker::stopAll(napi_env env) {
  std::vector<Worker*> mine;
  {
    const std::lock_guard lock(live().mutex);
    for (Worker* worker : live().workers)
      if (worker->env_ == env) mine.push_back(worker);
  }
  for (Worker* worker : mine) worker->stop();
}

void Worker::stopHook(void* worker) { static_cast<Worker*>(worker)->stop(); }

}  // namespace bertune
