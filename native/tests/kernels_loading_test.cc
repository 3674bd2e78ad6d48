// How kernels come to a device: compiled once, from the cache ever after, and not at all where something is
// missing or does not fit, with one line that says why.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

#include "cuda/cubins.h"
#include "ops/fused_device.h"
#include "tests/comparison.h"
#include "tests/kernels_stand_in.h"
#include "tests/operators_test.h"

namespace bertune {
namespace {

namespace files = std::filesystem;
using cuda::Kernels;

struct Folder {
  Folder() {
    std::string name = (files::temp_directory_path() / "bertune-kernels.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path = name;
  }
  ~Folder() { files::remove_all(path); }
  std::vector<files::path> files() const {
    std::vector<files::path> found;
    for (const auto& entry : files::directory_iterator(path)) found.push_back(entry.path());
    return found;
  }
  files::path path;
};

void check(const std::string& name, bool holds) { report("loading kernels: " + name, holds ? 0 : 1, 0); }

Kernels open(const files::path& cache, std::pair<int, int> capability = {9, 0},
             const std::string& text = "one") {
  return Kernels(c10::Device(c10::kCPU), {standin::driver(), standin::compiler(), cache, capability, text});
}

// The message, empty where there is none.
std::string problemOf(const std::function<void()>& action) {
  try {
    action();
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

void expectProblem(const standin::Cuda& state, const std::string& expected) {
  const Folder folder;
  standin::cuda = state;
  const std::string problem = problemOf([&] { open(folder.path); });
  standin::cuda = {};
  check(expected, problem == expected && folder.files().empty());
}

int compilationsOf(const std::function<void()>& action) {
  standin::cuda = {};
  action();
  return standin::cuda.compilations;
}

void testCache() {
  const Folder folder;
  const files::path cache = folder.path / "new" / "kernels";
  const auto again = [&] { return compilationsOf([&] { open(cache); }); };
  check("compiled the first time", again() == 1);
  check("read the second time", again() == 0);
  check("one file and nothing beside it", std::distance(files::directory_iterator(cache), {}) == 1);
  check("another architecture is compiled", compilationsOf([&] { open(cache, {10, 0}); }) == 1);
  check("another source is compiled", compilationsOf([&] { open(cache, {9, 0}, "two"); }) == 1);
  const std::string name = cuda::CubinCache::nameOf("one", {13, 0}, {9, 0});
  check("the name says for what", name.rfind("sm_90-nvrtc13.0-", 0) == 0 && files::exists(cache / name));
  check("the name depends on the compiler", name != cuda::CubinCache::nameOf("one", {13, 1}, {9, 0}));

  files::resize_file(cache / name, files::file_size(cache / name) - 1);
  check("a file that was cut off is compiled again", again() == 1 && again() == 0);
  {
    std::fstream file(cache / name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end);
    file << "?";
  }
  check("a damaged file is compiled again", again() == 1 && again() == 0);
  std::ofstream(cache / name, std::ios::trunc).close();
  check("an empty file is compiled again", again() == 1 && again() == 0);
  cuda::CubinCache(cache).write(name, std::string("of another driver\0", 18));
  check("code that the driver refuses is compiled again", compilationsOf([&] {
                                                            standin::cuda.refused = "of another driver";
                                                            open(cache);
                                                          }) == 1 &&
                                                              again() == 0);
  const std::string binary("\0\n\xff binary", 10);
  cuda::CubinCache(cache).write("binary", binary);
  check("code is any bytes", cuda::CubinCache(cache).read("binary") == binary);
  std::string problem;
  const files::path inFile = cache / name / "kernels";
  check("a folder that cannot be made",
        compilationsOf([&] { problem = open(inFile).cacheProblem(); }) == 1 &&
            problem == inFile.string() + " cannot be written: Not a directory");
  check("nothing to say where it can", open(cache).cacheProblem().empty());
  check("no folder",
        compilationsOf([&] { problem = open("").cacheProblem(); }) == 1 &&
            problem == "there is no folder for them; set XDG_CACHE_HOME or HOME to an absolute path");
}

// An environment variable for the time of a test; null unsets it.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~Variable() { set(before_ ? before_->c_str() : nullptr); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const char* value) const {
    if (value == nullptr)
      unsetenv(name_);
    else
      setenv(name_, value, /*overwrite=*/1);
  }

  const char* name_;
  std::optional<std::string> before_;
};

void testFolder() {
  const auto folder = [](const char* cache, const char* home) {
    const Variable first("XDG_CACHE_HOME", cache), second("HOME", home);
    return cuda::cubinFolder();
  };
  check("the folder for caches", folder("/caches", "/home/a") == "/caches/bertune/kernels");
  check("that of the user", folder(nullptr, "/home/a") == "/home/a/.cache/bertune/kernels");
  check("a relative path counts for nothing",
        folder("caches", "/home/a") == "/home/a/.cache/bertune/kernels");
  check("no variable, no folder",
        folder(nullptr, nullptr).empty() && folder("", "").empty() && folder(nullptr, "home").empty());
}

}  // namespace

void testKernelsLoading() {
  standin::Cuda state;
  state.hasDriver = false;
  expectProblem(state, "libcuda.so.1 lacks a function that launches them; update the NVIDIA driver");
  state = {};
  state.hasCompiler = false;
  expectProblem(state,
                "NVRTC, NVIDIA's run-time compiler, was not found beside LibTorch; install LibTorch again");
  state = {};
  state.compiles = false;
  expectProblem(state, "NVRTC error 6: add_norm.cu(7): error: identifier \"x\" is undefined");
  state = {};
  state.loads = false;
  expectProblem(
      state,
      "the NVIDIA driver does not load them: no kernel image is available for execution on the device; "
      "if it is older than LibTorch's CUDA, update it");
  testCache();
  testFolder();

  const Folder folder;
  standin::cuda = {};
  const Kernels kernels = open(folder.path);
  check("an unknown kernel",
        problemOf([&] { kernels.launch("nothing", {1}, 32, 1); }) == "there is no kernel nothing: error 500");
  standin::cuda.launches = false;
  check("a launch that fails",
        problemOf([&] { kernels.launch("columnSums", {1}, 32, 1); }) ==
            "CUDA cannot run the kernel columnSums: too many resources requested for launch");
  standin::cuda = {};
  kernels.launch("columnSums", {0}, 32, 1);
  check("an empty grid is no launch", standin::cuda.kernels == 0);
  check("none for the CPU",
        fused::kernelsOf(c10::Device(c10::kCPU)) == nullptr && fused::kernelsProblem().empty());
}

int compileKernels(const std::string& file, const std::vector<std::string>& architectures) {
  try {
    const auto compiler = cuda::Compiler::find(cuda::compilerOfFile(file));
    if (!compiler) throw std::runtime_error(file + " is not NVRTC");
    for (const std::string& architecture : architectures) {
      const int number = std::stoi(architecture);
      const cuda::Compiled compiled =
          cuda::compile(*compiler, cuda::kernelSource(), {number / 10, number % 10});
      std::printf("# sm_%d: %zu bytes\n%s\n", number, compiled.cubin.size(), compiled.log.c_str());
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace bertune
