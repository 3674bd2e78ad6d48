#include "binding/world.h"

#include <ATen/ATen.h>
#include <c10/util/Logging.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "binding/arguments.h"

namespace bertune {

Napi::Function World::define(Napi::Env env) {
  return DefineClass(
      env, "World",
      {InstanceMethod<&World::openStore>("openStore"), InstanceMethod<&World::openGroup>("openGroup"),
       InstanceMethod<&World::sum>("sum"), InstanceMethod<&World::gather>("gather"),
       InstanceMethod<&World::leave>("leave"), InstanceMethod<&World::set>("set"),
       InstanceMethod<&World::get>("get"), InstanceMethod<&World::close>("close")});
}

World::World(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<World>(info), address_(arguments::worldAddress(info[0])) {
  c10::initLogging();  // by TORCH_CPP_LOG_LEVEL, which only Python's torch reads by itself
  storeWorker_ = std::make_unique<Worker>(info.Env());
  groupWorker_ = std::make_unique<Worker>(info.Env());
}

Napi::Value World::openStore(Args info) {
  return post(*storeWorker_, info, [this] { store_ = std::make_unique<WorldStore>(address_); });
}

Napi::Value World::openGroup(Args info) {
  return post(*groupWorker_, info, [this, address = arguments::worldAddress(info[0])] {
    group_ = std::make_unique<ProcessGroup>(address, "world");
  });
}

Napi::Value World::sum(Args info) {
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    arguments::fail(info[0], "a Float64Array", "values");
  const auto given = info[0].As<Napi::Float64Array>();
  auto values = std::make_shared<std::vector<double>>(given.Data(), given.Data() + given.ElementLength());
  return post(
      *groupWorker_, info,
      [this, values] {
        if (values->empty()) return;
        group().sum(at::from_blob(values->data(), {static_cast<int64_t>(values->size())}, at::kDouble));
      },
      [values](Napi::Env env) -> Napi::Value {
        auto result = Napi::Float64Array::New(env, values->size());
        std::copy(values->begin(), values->end(), result.Data());
        return result;
      });
}

Napi::Value World::gather(Args info) {
  auto all = std::make_shared<std::vector<std::string>>();
  return post(
      *groupWorker_, info,
      [this, all, mine = arguments::text(info[0], "text")] { *all = group().gather(mine); },
      [all](Napi::Env env) -> Napi::Value {
        auto list = Napi::Array::New(env, all->size());
        for (size_t i = 0; i < all->size(); ++i)
          list.Set(static_cast<uint32_t>(i), Napi::String::New(env, (*all)[i]));
        return list;
      });
}

Napi::Value World::leave(Args info) {
  return post(*groupWorker_, info, [this] { group_.reset(); });
}

Napi::Value World::set(Args info) {
  return post(*storeWorker_, info,
              [this, key = arguments::text(info[0], "key"), value = arguments::text(info[1], "value")] {
                if (store_ == nullptr) throw std::logic_error("there is no store");
                store_->set(key, value);
              });
}

Napi::Value World::get(Args info) {
  auto result = std::make_shared<std::optional<std::string>>();
  return post(
      *storeWorker_, info,
      [this, result, key = arguments::text(info[0], "key")] {
        if (store_ == nullptr) throw std::logic_error("there is no store");
        *result = store_->get(key);
      },
      [result](Napi::Env env) -> Napi::Value {
        return result->has_value() ? Napi::String::New(env, **result) : env.Undefined();
      });
}

Napi::Value World::close(Args info) {
  if (closed_) throw Napi::Error::New(info.Env(), "the world is closed");
  closed_ = true;
  const auto nothing = [](Napi::Env env) { return env.Undefined(); };
  const auto owner = info.This().As<Napi::Object>();
  groupWorker_->postLast(
      owner, [this] { group_.reset(); }, nothing);
  return storeWorker_->postLast(
      owner, [this] { store_.reset(); }, nothing);
}

ProcessGroup& World::group() const {
  if (group_ == nullptr) throw std::logic_error("this process has left the others");
  return *group_;
}

Napi::Value World::post(Worker& worker, Args info, Worker::Run run, Worker::Resolve resolve) {
  if (closed_) throw Napi::Error::New(info.Env(), "the world is closed");
  if (!resolve) resolve = [](Napi::Env env) { return env.Undefined(); };
  return worker.post(info.This().As<Napi::Object>(), std::move(run), std::move(resolve));
}

}  // namespace bertune
