#include "client/token_bucket.h"

#include <algorithm>
#include <chrono>

namespace semaphore::client {

TokenBucket::TokenBucket(double rate, int burst)
    // Rounded up: a nanosecond too little for each token would outpace the rate in the long run.
    : interval_(std::chrono::ceil<MonotonicDuration>(std::chrono::duration<double>(1.0 / rate))),
      tolerance_(interval_ * (burst - 1)),
      burst_(burst) {}

TokenBucket::Verdict TokenBucket::Reserve(MonotonicTime now, MonotonicTime latest) {
  const MonotonicTime arrival = next_ ? std::max(*next_, now) : now;
  const MonotonicTime at = std::max(arrival - tolerance_, now);
  if (at > latest) return {.admitted = false, .at = {}, .retry_after = at - now};
  next_ = arrival + interval_;
  return {.admitted = true, .at = at, .retry_after = {}};
}

void TokenBucket::Cancel(const Verdict& reservation) {
  if (!reservation.admitted || !next_) return;
  const bool newest = *next_ - interval_ - tolerance_ == reservation.at;
  if (newest) *next_ -= interval_;
}

double TokenBucket::Available(MonotonicTime now) const {
  if (!next_ || *next_ <= now) return burst_;
  const double ahead =
      std::chrono::duration<double>(*next_ - now) / std::chrono::duration<double>(interval_);
  return std::max(0.0, burst_ - ahead);
}

}  // namespace semaphore::client
