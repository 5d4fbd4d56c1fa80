// What share of the configured rate upstream takes at present: falls when upstream answers 429,
// comes back by itself with time. Pure; its owner locks, and carries the share to the bucket.
#ifndef SEMAPHORE_CLIENT_ADAPTIVE_RATE_H_
#define SEMAPHORE_CLIENT_ADAPTIVE_RATE_H_

#include <chrono>
#include <optional>

#include "client/clock.h"

namespace semaphore::client {

class AdaptiveRate {
 public:
  static constexpr double kMinShare = 1.0 / 32;
  static constexpr double kShareAfterPause = 1.0 / 8;
  static constexpr double kRecoveryPerSecond = 1.0 / 10;
  static constexpr MonotonicDuration kMaxPause = std::chrono::minutes(5);
  static constexpr MonotonicDuration kBurst = std::chrono::seconds(1);

  // Upstream answered 429. With a Retry-After nothing is to be sent until then (kMaxPause at most),
  // and the share starts at kShareAfterPause or below. Without, the share is halved, once in
  // kBurst: the answers to calls made in parallel are one answer.
  void OnThrottled(MonotonicTime now, std::optional<MonotonicDuration> retry_after);

  // Upstream answered. Recovery needs no success; this only puts right what a clock that went back
  // would hold up.
  void OnSuccess(MonotonicTime now);

  // From kMinShare to 1.
  double Share(MonotonicTime now) const;

  // The end of a pause, above `now`; nothing when there is none.
  std::optional<MonotonicTime> PausedUntil(MonotonicTime now) const;

 private:
  void Settle(MonotonicTime now);

  double share_ = 1;    // at from_ and before
  MonotonicTime from_;  // recovery begins: the last cut, or the end of the pause
  std::optional<MonotonicTime> paused_until_;
  std::optional<MonotonicTime> throttled_at_;  // when that last made a difference
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_ADAPTIVE_RATE_H_
