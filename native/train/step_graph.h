// Steps as graphs of a device: what a pass launches is recorded once and repeated with one call, for any
// batch of the same bucket; and so is what an update launches.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/bucket.h"
#include "core/parameters.h"

namespace bertune {

class Graph {
 public:
  virtual ~Graph() = default;
  // Runs `work`, and records what it launches instead of doing it. Throws what `work` throws, and where it
  // cannot be recorded; then the graph is of no use.
  virtual void capture(const std::function<void()>& work) = 0;
  // Does what was recorded. It reads and writes the addresses of that time.
  virtual void replay() = 0;
};

// The graphs of one session share memory, so they are made by one maker and run one after another.
using GraphMaker = std::function<std::unique_ptr<Graph>()>;

// What decides whether the passes of a session can be recorded.
struct StepTraits {
  const SessionSpec& spec;
  at::ScalarType compute;
  bool isCuda;
  std::pair<int, int> capability;  // of the device
  bool gradientCheckpointing;
  bool addsNoise;
};

// Why batches cannot be filled up to buckets, for people; empty where they can. Such passes run as they are:
// what they launch depends on the lengths of a batch, or on numbers of the host.
std::string whyNoBuckets(const StepTraits& traits);
// The same of passes that cannot be recorded, whether or not they have buckets.
std::string whyNotRecorded(const StepTraits& traits);

// Passes that launch the same work. The first of a step writes gradients, the others add to them.
struct StepKey {
  Bucket bucket;
  bool isFirst;
  int64_t labelValues;  // of a row
  int64_t loss;         // number of its options

  auto operator<=>(const StepKey&) const = default;
};

// The passes and updates of a session by their keys: the first of a key runs as it is, which also warms up
// all that is made once; the second is recorded, and then repeated like all later ones. Of too many keys of
// passes the one that was not seen for longest is forgotten. What cannot be recorded runs as it is, now and
// later.
class StepGraphs {
 public:
  struct Recording {
    bool isSeen = false, isRefused = false;
    std::unique_ptr<Graph> graph;
    std::vector<bool> writtenBefore, writtenAfter;  // the gradients, when it was recorded
  };

  struct Step {
    Step(const StepKey& key, const BatchFormat& format, at::Device device)
        : key(key), batch(key.bucket, format, key.labelValues, device) {}

    StepKey key;
    StaticBatch batch;
    Recording recording = {};
  };

  // `parameters`: whose gradients the passes write. Without a maker everything runs as it is.
  explicit StepGraphs(Parameters& parameters, size_t most = 32) : parameters_(parameters), most_(most) {}

  // Forgets all graphs that were recorded, and records with this one from now on.
  void setMaker(GraphMaker make);
  // Forgets all keys: addresses, or what is launched, change.
  void clear();
  // Gives the memory of all graphs back, and records no more.
  void stop(const std::string& reason);

  // That of the key, newly made where it is not known; valid until the next call.
  Step& step(const StepKey& key, const BatchFormat& format, at::Device device);

  // `work` must launch the same for each batch that `step` was loaded with, and refer to what lives as long
  // as the step. `prepare` comes before the work or its repetition, and is not recorded.
  void run(Step& step, const std::function<void()>& prepare, const std::function<void()>& work);
  // The same for an update. `layout` says what it reads and writes: another number forgets the graph.
  void runUpdate(int64_t layout, const std::function<void()>& work);

  bool records() const { return static_cast<bool>(make_); }
  size_t recorded() const;  // graphs of passes that there are
  bool hasUpdate() const { return update_.graph != nullptr; }
  const std::string& problem() const { return problem_; }  // the first reason not to record one; or empty

 private:
  void run(Recording& recording, const std::function<void()>& prepare, const std::function<void()>& work);
  bool tryCapture(Recording& recording, const std::function<void()>& work);

  Parameters& parameters_;
  size_t most_;
  GraphMaker make_;
  std::list<Step> steps_;  // the one seen last comes first
  Recording update_;
  int64_t updateLayout_ = 0;
  std::string problem_;
};

}  // namespace bertune
