#include "client/token_bucket.h"

#include <algorithm>
#include <chrono>

namespace semaphore::client {
namespace {

// Rounded up: a nanosecond too little for each token would outpace the rate in the long run.
MonotonicDuration Interval(double rate) {
  return std::chrono::ceil<MonotonicDuration>(std::chrono::duration<double>(1.0 / rate));
}

}  // namespace

TokenBucket::TokenBucket(double rate, int burst)
    : interval_(Interval(rate)), tolerance_(interval_ * (burst - 1)), burst_(burst) {}

std::optional<MonotonicDuration> TokenBucket::Take(MonotonicTime now) {
  const MonotonicTime arrival = next_ ? std::max(*next_, now) : now;
  if (arrival - tolerance_ > now) return arrival - tolerance_ - now;
  next_ = arrival + interval_;
  return std::nullopt;
}

void TokenBucket::SetRate(MonotonicTime now, double rate) {
  const MonotonicDuration interval = Interval(rate);
  const double scale = std::chrono::duration<double>(interval) / interval_;
  interval_ = interval;
  tolerance_ = interval_ * (burst_ - 1);
  if (!next_ || *next_ <= now) return;
  next_ = now + std::chrono::ceil<MonotonicDuration>(
                    std::chrono::duration<double, MonotonicDuration::period>(*next_ - now) * scale);
}

void TokenBucket::Drain(MonotonicTime now) {
  const MonotonicTime empty = now + tolerance_ + interval_;
  next_ = next_ ? std::max(*next_, empty) : empty;
}

double TokenBucket::Available(MonotonicTime now) const {
  if (!next_ || *next_ <= now) return burst_;
  const double ahead =
      std::chrono::duration<double>(*next_ - now) / std::chrono::duration<double>(interval_);
  return std::max(0.0, burst_ - ahead);
}

}  // namespace semaphore::client
