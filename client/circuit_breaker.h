// Whether upstream is asked at all: a circuit breaker over the results of one organization. When
// most calls of the last seconds failed it stops asking for a while, then lets a few probes tell
// whether upstream is back. Pure; its owner locks.
#ifndef SEMAPHORE_CLIENT_CIRCUIT_BREAKER_H_
#define SEMAPHORE_CLIENT_CIRCUIT_BREAKER_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "client/clock.h"
#include "client/http_client.h"

namespace semaphore::client {

class CircuitBreaker {
 public:
  struct Options {
    double failure_rate = 0.5;  // above 0: this share of failures opens it
    int min_volume = 20;        // with fewer results in the window it stays closed
    MonotonicDuration window = std::chrono::seconds(10);  // whole seconds, at least one
    // How long it stays open, doubled for each failed probe. Also how long a probe holds its place
    // at most, so that probes which never report cost time and nothing else.
    MonotonicDuration open_for = std::chrono::seconds(5);
    MonotonicDuration max_open_for = std::chrono::seconds(15);
    int probes = 3;  // so many at once while half-open; so many successes close it
  };

  enum class State { kClosed, kOpen, kHalfOpen };
  enum class Outcome { kSuccess, kFailure, kIgnored };

  struct Verdict {
    bool admitted = false;
    bool probe = false;             // admitted to find out whether upstream is back
    MonotonicDuration retry_after;  // rejected: a probe can be admitted by then at the latest
    uint64_t ticket = 0;            // for Record
  };

  explicit CircuitBreaker(const Options& options);

  // Whether a call may be made now. Each admitted one is to be reported with Record, once.
  Verdict Ask(MonotonicTime now);

  // What became of an admitted call; kIgnored only gives a probe's place back. Counts only while
  // the state is still the one that admitted the call: calls that hung before upstream came back
  // end long after, and would open a circuit that has just closed.
  void Record(MonotonicTime now, Outcome outcome, const Verdict& verdict);

  // What an attempt says about upstream's health. `http_status` is read for HttpCause::kNone only;
  // `waited` is the time since dialling began, for a connection that was open since the attempt
  // began.
  static Outcome Judge(HttpCause cause, int http_status, MonotonicDuration waited);

  State GetState(MonotonicTime now) const;

  struct Stats {
    uint64_t rejections = 0;
    uint64_t openings = 0;  // failed probes included
  };
  const Stats& GetStats() const { return stats_; }

 private:
  struct Second {
    int64_t number = 0;  // since the clock's epoch
    uint64_t results = 0;
    uint64_t failures = 0;
  };
  struct Probe {
    uint64_t ticket = 0;
    MonotonicTime since;
  };

  void Settle(MonotonicTime now);
  void Enter(State state);
  void Open(MonotonicTime now, MonotonicDuration open_for);
  bool CountAndCondemn(MonotonicTime now, bool failed);

  const Options options_;
  State state_ = State::kClosed;
  uint64_t last_ticket_ = 0;
  uint64_t last_stale_ticket_ = 0;  // the last one given before the state changed
  std::vector<Second> window_;      // closed: slot of a second is its number modulo the size
  MonotonicTime opened_at_;
  MonotonicDuration open_for_;  // of the latest opening
  std::vector<Probe> probes_;   // half-open: places taken, at most options_.probes
  int successes_ = 0;           // half-open: of probes, in a row
  Stats stats_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_CIRCUIT_BREAKER_H_
