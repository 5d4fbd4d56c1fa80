// Callers who ask whether or not the last answer has come: calls begin at random moments (Poisson)
// of a stated rate, and what each came to is kept. Each caller connects from an address of its own,
// for that is what the gateway tells callers apart by.
#ifndef SEMAPHORE_TESTS_BENCH_OPEN_LOOP_H_
#define SEMAPHORE_TESTS_BENCH_OPEN_LOOP_H_

#include <grpcpp/channel.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "semaphore/v1/job.grpc.pb.h"
#include "semaphore/v1/pipeline.grpc.pb.h"

namespace semaphore::bench {

using SteadyTime = std::chrono::steady_clock::time_point;

// A channel whose connection comes from 127.0.0.`host`; never made anew. Null when there is none.
std::shared_ptr<grpc::Channel> ChannelFrom(uint8_t host, uint16_t port);

// "OK", the reason in the error's details, or "without a reason: CODE" when gRPC itself made it.
std::string OutcomeOf(const grpc::Status& status);

class OpenLoop {
 public:
  enum class Kind { kInteractive, kBatch };

  struct Caller {
    uint8_t host;  // of 127.0.0.0/24
    Kind kind;
    std::chrono::milliseconds patience;  // its deadline
  };
  struct Options {
    uint16_t port = 0;
    double calls_per_second = 0;  // of all callers together, evenly
    std::vector<Caller> callers;
    std::vector<std::string> pipelines;  // the keys; each call reads one of all at random
    std::vector<std::string> jobs;
    bool fresh = false;  // ask for an answer that is not from a cache
    uint64_t seed = 1;
    SteadyTime epoch;  // times below are seconds since then
  };

  explicit OpenLoop(Options options);
  // As Stop.
  ~OpenLoop();
  OpenLoop(const OpenLoop&) = delete;
  OpenLoop& operator=(const OpenLoop&) = delete;

  // Reads each key once, one after the other; nothing is kept of it. True when all were OK.
  bool ReadEachOnce();

  void Start();
  // Begins no more calls, and returns when all are answered, which their deadlines bound.
  void Stop();

  struct Span {
    double begin;
    double end;
  };
  struct Summary {
    size_t calls = 0;
    size_t ok = 0;
    double p50_ms = 0;  // of all calls, whatever they were told
    double p99_ms = 0;
    std::map<std::string, size_t> outcomes;

    double OkPercent() const;
  };
  // Of the calls of that kind that began within the span.
  Summary Summarize(Kind kind, Span span) const;
  size_t calls() const;

  // When the first five seconds in or after the span's begin started of whose calls, of both kinds,
  // at least 99 % were OK; nothing as long as there are none.
  std::optional<double> FirstGoodFiveSeconds(Span span) const;

 private:
  struct Stubs {
    std::unique_ptr<v1::PipelineService::Stub> pipelines;
    std::unique_ptr<v1::JobService::Stub> jobs;
  };
  struct Record {
    Kind kind;
    float began;  // seconds
    float took_ms = 0;
    int outcome = -1;  // index into outcomes_; -1: not answered yet
  };
  struct Ongoing;

  void Run();
  void Begin(SteadyTime at);
  void End(const Ongoing& ongoing, const grpc::Status& status);

  const Options options_;
  std::vector<Stubs> stubs_;  // of each caller
  std::mt19937_64 random_;    // of the thread
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::deque<Record> records_;  // under mutex_, as all below
  size_t ongoing_ = 0;
  std::vector<std::string> outcomes_{"OK"};
};

}  // namespace semaphore::bench

#endif  // SEMAPHORE_TESTS_BENCH_OPEN_LOOP_H_
