// The processes of one training as JavaScript sees them. Sums and gathers are done one after another on a
// thread; the store has another one, so that it can be asked while the first waits for a process that is
// gone.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/worker.h"
#include "train/process_group.h"

namespace bertune {

class World : public Napi::ObjectWrap<World> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit World(const Napi::CallbackInfo& info);  // (address)

 private:
  using Args = const Napi::CallbackInfo&;
  Napi::Value openStore(Args info);
  Napi::Value openGroup(Args info);  // (address): meets the other processes
  Napi::Value sum(Args info);        // (Float64Array) -> Float64Array
  Napi::Value gather(Args info);     // (string) -> string[], by rank
  Napi::Value leave(Args info);      // (): without this process sums and gathers of the others fail
  Napi::Value set(Args info);        // (key, value): in the store
  Napi::Value get(Args info);        // (key) -> string, or undefined
  Napi::Value close(Args info);

  ProcessGroup& group() const;
  Napi::Value post(Worker& worker, Args info, Worker::Run run, Worker::Resolve resolve = {});

  WorldAddress address_;
  bool closed_ = false;
  std::unique_ptr<WorldStore> store_;    // on its worker's thread
  std::unique_ptr<ProcessGroup> group_;  // likewise
  std::unique_ptr<Worker> storeWorker_, groupWorker_;
};

}  // namespace bertune
