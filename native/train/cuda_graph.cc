// LibTorch's at::cuda::CUDAGraph, which also gives what is recorded memory of its own. Its header needs
// CUDA's, and so do ours not: libtorch_cuda.so is opened at run time, its functions are found by their names,
// which are the same from LibTorch 2.11 to 2.14, and the object lives in bytes of ours.
#include "train/cuda_graph.h"

#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <utility>

#include "core/device.h"
#include "core/phases.h"
#include "cuda/libraries.h"

namespace bertune {
namespace {

using Pool = std::pair<unsigned long long, unsigned long long>;  // c10::MempoolId_t

constexpr Pool kNoPool{0, 0};
constexpr int kThreadLocal = 1;  // cudaStreamCaptureModeThreadLocal: other sessions' threads go on
constexpr size_t kSize = 4096;   // of the object 104 bytes in 2.11, 448 in 2.14

struct Functions {
  void (*construct)(void*, bool keepsGraph);
  void (*destroy)(void*);
  void (*begin)(void*, Pool, int mode);
  void (*end)(void*);
  void (*replay)(void*);
  Pool (*pool)(void*);

  bool areAllThere() const {
    return construct != nullptr && destroy != nullptr && begin != nullptr && end != nullptr &&
           replay != nullptr && pool != nullptr;
  }
};

template <typename Function>
void find(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));  // opened for all, see device.cc
}

Functions findAll() {
  Functions all{};
  find(all.construct, "_ZN2at4cuda9CUDAGraphC1Eb");
  find(all.destroy, "_ZN2at4cuda9CUDAGraphD1Ev");
  find(all.begin, "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
  find(all.end, "_ZN2at4cuda9CUDAGraph11capture_endEv");
  find(all.replay, "_ZN2at4cuda9CUDAGraph6replayEv");
  find(all.pool, "_ZN2at4cuda9CUDAGraph4poolEv");
  return all;
}

class CudaGraph : public Graph {
 public:
  // `pool`: that of the session's graphs, which the first one makes.
  CudaGraph(const Functions& functions, std::shared_ptr<Pool> pool, c10::Device device)
      : functions_(functions), pool_(std::move(pool)), stream_(guard_.getStream(device)) {
    functions_.construct(object_, /*keepsGraph=*/false);
  }
  ~CudaGraph() override {
    try {
      guard_.synchronizeStream(stream_);  // it may run just now
    } catch (const std::exception&) {     // that failed there before
    }
    functions_.destroy(object_);
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void capture(const std::function<void()>& work) override {
    const auto lock = withoutOthersDraws();
    functions_.begin(object_, *pool_, kThreadLocal);
    try {
      work();
      nodes_ = nodesSoFar();
    } catch (const std::exception&) {
      // The stream must not go on recording. What ends badly here has begun badly above.
      try {
        functions_.end(object_);
      } catch (const std::exception&) {
      }
      throw;
    }
    functions_.end(object_);
    *pool_ = functions_.pool(object_);
  }

  void replay() override {
    phases::countLaunches(nodes_);
    const auto lock = withoutOthersDraws();
    functions_.replay(object_);
  }

 private:
  // Of what is recorded on the stream, as cuda.h has these functions of the driver; 0 where it does not tell.
  int64_t nodesSoFar() const {
    using CaptureInfo = int (*)(void* stream, int* status, uint64_t* id, void** graph,
                                const void** dependencies, size_t* count);
    using GetNodes = int (*)(void* graph, void** nodes, size_t* count);
    const cuda::Lookup driver = cuda::driverOfProcess();
    const auto captureInfo = reinterpret_cast<CaptureInfo>(driver("cuStreamGetCaptureInfo_v2"));
    const auto getNodes = reinterpret_cast<GetNodes>(driver("cuGraphGetNodes"));
    int status = 0;
    void* graph = nullptr;
    size_t nodes = 0;
    const bool isKnown =
        captureInfo != nullptr && getNodes != nullptr &&
        captureInfo(stream_.native_handle(), &status, nullptr, &graph, nullptr, nullptr) == 0 &&
        graph != nullptr && getNodes(graph, nullptr, &nodes) == 0;
    return isKnown ? static_cast<int64_t>(nodes) : 0;
  }

  const Functions functions_;
  std::shared_ptr<Pool> pool_;
  const c10::impl::VirtualGuardImpl guard_{c10::kCUDA};
  const c10::Stream stream_;
  int64_t nodes_ = 0;
  alignas(std::max_align_t) std::byte object_[kSize];
};

}  // namespace

GraphMaker cudaGraphs(c10::Device device) {
  const Functions functions = findAll();
  if (!functions.areAllThere()) return {};
  return [functions, device, pool = std::make_shared<Pool>(kNoPool)] {
    return std::make_unique<CudaGraph>(functions, pool, device);
  };
}

}  // namespace bertune
