// Which calls get a log line: every failure, change, miss and slow call; quick answers from the
// cache only up to a rate, and the next line says how many were left out before it. The decision
// takes no lock and allocates nothing, because it is on the path of every hit.
#ifndef SEMAPHORE_GATEWAY_CALL_LOG_H_
#define SEMAPHORE_GATEWAY_CALL_LOG_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "client/clock.h"
#include "gateway/log.h"

namespace semaphore::gateway {

// The words of the `x-cache` reply metadata; empty where the cache had no part in it.
struct CallRecord {
  std::string_view method;        // "PipelineService.GetPipeline"
  std::string_view caller;        // its name in the callers file; empty: not known
  std::string_view organization;  // as configured; never what a caller made up
  std::string_view code;          // "OK", "NotFound", …
  std::string_view reason;        // of the ErrorInfo; empty on OK
  std::string_view message;       // of the error, redacted; empty on OK
  std::string_view cache;         // hit, miss, coalesced, stale, bypass
  std::string_view request_id;
  std::string_view traceparent;
  std::string_view peer;
  std::chrono::nanoseconds duration{0};
  bool failed = false;        // the code is not OK
  bool server_fault = false;  // and the operator should look: logged as an error
  bool change = false;        // not a read
};

class CallSampler {
 public:
  struct Options {
    std::chrono::nanoseconds slow_call{std::chrono::seconds(1)};
    // Quick successes that are written in each second; 0: none.
    uint32_t sampled_calls_per_second = 10;
  };
  struct Verdict {
    bool write = false;
    uint64_t suppressed = 0;  // calls left out since the last written line; 0 when not written
  };

  explicit CallSampler(Options options) : options_(options) {}

  // From any thread.
  Verdict Decide(const CallRecord& call, client::MonotonicTime now);

 private:
  bool Admit(client::MonotonicTime now);

  const Options options_;
  // The second being counted in the upper half, the lines written in it in the lower: one word, so
  // one exchange.
  std::atomic<uint64_t> window_{0};
  std::atomic<uint64_t> suppressed_{0};
};

class CallLog {
 public:
  // Both outlive it.
  CallLog(Log& log, const client::Clock& clock, CallSampler::Options options)
      : log_(log), clock_(clock), sampler_(options) {}

  // One "call" line, or none. Failures are warnings, server faults errors, the rest info. `peer`
  // is asked only for a line that is written; it wins over the record's.
  void Record(const CallRecord& call, const std::function<std::string()>& peer = {});

 private:
  Log& log_;
  const client::Clock& clock_;
  CallSampler sampler_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CALL_LOG_H_
