#include "cuda/cubins.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "core/random.h"

namespace bertune::cuda {
namespace {

constexpr std::array kOptions{"--std=c++17", "--ptxas-options=-v"};
constexpr const char* kMagic = "bertune cubin 1 ";  // then the checksum of what follows the line

std::string hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// 128 bits, against accidents.
std::string checksum(const std::string& text) {
  uint64_t first = text.size(), second = ~first;
  for (const char character : text) {
    first = mix64(first ^ static_cast<unsigned char>(character));
    second = (second ^ static_cast<unsigned char>(character)) * 0x100000001b3u;  // FNV-1a
  }
  return hex(first) + hex(second);
}

std::string architecture(std::pair<int, int> capability) {
  return "sm_" + std::to_string(capability.first) + std::to_string(capability.second);
}

struct Program {
  const Compiler& compiler;
  void* handle = nullptr;
  ~Program() { compiler.destroyProgram(&handle); }
};

// The first line that says so, else the first of all.
std::string firstError(const std::string& log) {
  const size_t found = log.find("error");
  const size_t begin = found == std::string::npos ? 0 : log.rfind('\n', found) + 1;
  return log.substr(begin, log.find('\n', begin) - begin);
}

}  // namespace

Compiled compile(const Compiler& compiler, const std::string& source, std::pair<int, int> capability) {
  Program program{compiler};
  if (compiler.createProgram(&program.handle, source.c_str(), "kernels.cu", 0, nullptr, nullptr) != 0)
    throw std::runtime_error("NVRTC makes no program");
  const std::string gpu = "--gpu-architecture=" + architecture(capability);
  const std::array options{gpu.c_str(), kOptions[0], kOptions[1]};
  const int result =
      compiler.compileProgram(program.handle, static_cast<int>(options.size()), options.data());
  Compiled compiled;
  size_t size = 0;
  if (compiler.getProgramLogSize(program.handle, &size) == 0 && size > 1) {
    compiled.log.resize(size);
    compiler.getProgramLog(program.handle, compiled.log.data());
    compiled.log.resize(size - 1);  // without the NUL
  }
  if (result != 0)
    throw std::runtime_error("NVRTC error " + std::to_string(result) + ": " + firstError(compiled.log));
  if (compiler.getCubinSize(program.handle, &size) != 0 || size == 0)
    throw std::runtime_error("NVRTC gives no code");
  compiled.cubin.resize(size);
  if (compiler.getCubin(program.handle, compiled.cubin.data()) != 0)
    throw std::runtime_error("NVRTC gives no code");
  return compiled;
}

std::string CubinCache::nameOf(const std::string& source, std::pair<int, int> compilerVersion,
                               std::pair<int, int> capability) {
  std::string all = source;
  for (const char* option : kOptions) all += std::string("\n") + option;
  return architecture(capability) + "-nvrtc" + std::to_string(compilerVersion.first) + "." +
         std::to_string(compilerVersion.second) + "-" + checksum(all) + ".cubin";
}

std::optional<std::string> CubinCache::read(const std::string& name) const {
  if (folder_.empty()) return {};
  std::ifstream file(folder_ / name, std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t end = all.find('\n');
  if (end == std::string::npos) return {};
  std::string cubin = all.substr(end + 1);
  if (all.substr(0, end) != kMagic + checksum(cubin)) return {};
  return cubin;
}

void CubinCache::write(const std::string& name, const std::string& cubin) const {
  if (folder_.empty())
    throw std::runtime_error("there is no folder for them; set XDG_CACHE_HOME or HOME to an absolute path");
  std::error_code failed;
  const auto require = [&] {
    if (failed) throw std::runtime_error(folder_.string() + " cannot be written: " + failed.message());
  };
  std::filesystem::create_directories(folder_, failed);
  require();
  // Several processes may write it at once: each has a file of its own, and the last rename wins.
  std::string path = (folder_ / (name + ".XXXXXX")).string();
  const int descriptor = mkstemp(path.data());
  if (descriptor < 0) failed.assign(errno, std::generic_category());
  require();
  close(descriptor);
  {
    std::ofstream file(path, std::ios::binary);
    file << kMagic << checksum(cubin) << '\n' << cubin;
    file.close();
    if (!file) failed = std::make_error_code(std::errc::io_error);
  }
  if (!failed) std::filesystem::rename(path, folder_ / name, failed);
  if (std::error_code ignored; failed) std::filesystem::remove(path, ignored);
  require();
}

std::filesystem::path cubinFolder() {
  // A relative one would be another folder wherever a process starts.
  const auto folder = [](const char* name) {
    const char* value = std::getenv(name);
    const std::filesystem::path path(value == nullptr ? "" : value);
    return path.is_absolute() ? path : std::filesystem::path();
  };
  const std::filesystem::path cache = folder("XDG_CACHE_HOME"), home = folder("HOME");
  if (cache.empty() && home.empty()) return {};
  return (cache.empty() ? home / ".cache" : cache) / "bertune" / "kernels";
}

}  // namespace bertune::cuda
