// The right to write one request to upstream, waited for. Protects upstream whatever callers do:
// every attempt takes a token, waiting is bounded by the caller's deadline and by max_wait, and
// what cannot make it is refused at once.
#ifndef SEMAPHORE_CLIENT_BUDGET_H_
#define SEMAPHORE_CLIENT_BUDGET_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <mutex>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/token_bucket.h"

namespace semaphore::client {

// Waits until a time on the calling coroutine's executor; false when it was cancelled first.
// Injected, so that tests need not wait.
using Sleeper = std::function<boost::asio::awaitable<bool>(MonotonicTime until)>;

// The real one, on a timer.
boost::asio::awaitable<bool> SleepUntil(MonotonicTime until);

class Budget {
 public:
  struct Options {
    double requests_per_second = 10;
    int burst = 20;
    absl::Duration max_wait = absl::Seconds(10);
  };

  Budget(const Options& options, const Clock& clock, Sleeper sleeper);

  // OK when a request may be written now. UPSTREAM_BUDGET_EXHAUSTED with RetryInfo when no token
  // comes free in time; CANCELLED when the caller went away, which gives the token back.
  boost::asio::awaitable<absl::Status> Admit(MonotonicTime deadline);

  struct Stats {
    double tokens = 0;
    int burst = 0;
    uint64_t rejections = 0;
    uint64_t waiting = 0;
  };
  Stats GetStats() const;

 private:
  const Options options_;
  const Clock& clock_;
  const Sleeper sleeper_;
  mutable std::mutex mutex_;
  TokenBucket bucket_;  // under mutex_, as all below
  uint64_t rejections_ = 0;
  uint64_t waiting_ = 0;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_BUDGET_H_
