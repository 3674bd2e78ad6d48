#define USE_C10D_GLOO  // private to LibTorch's build, and what its header is empty without

#include "train/process_group.h"

#include <ATen/ATen.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

namespace bertune {
namespace {

using StorePointer = c10::intrusive_ptr<c10d::Store>;

// A socket that only this machine reaches: by itself the store would listen on all interfaces.
std::optional<int> loopbackSocket(const WorldAddress& address) {
  if (address.host.rfind("127.", 0) != 0 && address.host != "localhost") return std::nullopt;
  const int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(address.port);
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  constexpr int waiting = 4096;
  if (file >= 0 && setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      bind(file, reinterpret_cast<const sockaddr*>(&place), sizeof place) == 0 && listen(file, waiting) == 0)
    return file;
  const std::string reason = std::strerror(errno);
  if (file >= 0) close(file);
  throw std::runtime_error("port " + std::to_string(address.port) + ": " + reason);
}

StorePointer connect(const WorldAddress& address, bool isServer) {
  c10d::TCPStoreOptions options;
  options.port = address.port;
  options.isServer = isServer;
  if (isServer) options.masterListenFd = loopbackSocket(address);
  options.waitWorkers = false;  // who is missing shows in the first call of a group
  options.timeout = address.timeout;
  return c10::make_intrusive<c10d::PrefixStore>(address.prefix,
                                                c10::make_intrusive<c10d::TCPStore>(address.host, options));
}

}  // namespace

struct WorldStore::Parts {
  StorePointer store;
};

WorldStore::WorldStore(const WorldAddress& address)
    : parts_(std::make_unique<Parts>(Parts{connect(address, address.isServer)})) {}

WorldStore::~WorldStore() = default;

void WorldStore::set(const std::string& key, const std::string& value) {
  parts_->store->set(key, std::vector<uint8_t>(value.begin(), value.end()));
}

std::optional<std::string> WorldStore::get(const std::string& key) {
  if (!parts_->store->check({key})) return std::nullopt;
  const std::vector<uint8_t> value = parts_->store->get(key);
  return std::string(value.begin(), value.end());
}

struct ProcessGroup::Parts {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
};

ProcessGroup::ProcessGroup(const WorldAddress& address, const std::string& name)
    : rank_(address.rank), size_(address.size), timeout_(address.timeout), parts_(std::make_unique<Parts>()) {
  auto options = c10d::ProcessGroupGloo::Options::create(address.timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address.interface));
  parts_->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>(name, connect(address, false)), rank_, size_,
      std::move(options));
}

ProcessGroup::~ProcessGroup() = default;

void ProcessGroup::begin(const at::Tensor& values) {
  std::vector<at::Tensor> tensors{values};
  parts_->works.push_back(parts_->gloo->allreduce(tensors));
}

bool ProcessGroup::isDone() const {
  const auto& works = parts_->works;
  return std::all_of(works.begin(), works.end(), [](const auto& work) { return work->isCompleted(); });
}

void ProcessGroup::finish() {
  for (const auto& work : std::exchange(parts_->works, {})) work->wait();
}

std::vector<std::string> ProcessGroup::gather(const std::string& bytes) {
  const auto all = [&](const at::Tensor& mine) {
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int i = 0; i < size_; ++i) outputs[0].push_back(at::empty_like(mine));
    std::vector<at::Tensor> inputs{mine};
    parts_->gloo->allgather(outputs, inputs)->wait();
    return outputs[0];
  };
  std::vector<int64_t> sizes;
  for (const at::Tensor& size : all(at::full({1}, static_cast<int64_t>(bytes.size()), at::kLong)))
    sizes.push_back(size.item<int64_t>());
  const int64_t most = *std::max_element(sizes.begin(), sizes.end());
  if (most == 0) return std::vector<std::string>(static_cast<size_t>(size_));
  at::Tensor padded = at::zeros({most}, at::kByte);
  std::memcpy(padded.mutable_data_ptr<uint8_t>(), bytes.data(), bytes.size());
  std::vector<std::string> result;
  for (const at::Tensor& each : all(padded))
    result.emplace_back(reinterpret_cast<const char*>(each.const_data_ptr<uint8_t>()), sizes[result.size()]);
  return result;
}

}  // namespace bertune
