#include "client/adaptive_rate.h"

#include <algorithm>

namespace semaphore::client {
namespace {

// Callers read the clock before they wait for the lock, so it may seem to go back by so much.
constexpr MonotonicDuration kSlack = std::chrono::seconds(1);

}  // namespace

void AdaptiveRate::OnThrottled(MonotonicTime now, std::optional<MonotonicDuration> retry_after) {
  Settle(now);
  const std::optional<MonotonicTime> paused = PausedUntil(now);
  if (retry_after && *retry_after > MonotonicDuration::zero()) {
    share_ = std::min(Share(now), kShareAfterPause);
    from_ = std::max(now + std::min(*retry_after, kMaxPause), paused.value_or(now));
    paused_until_ = from_;
    throttled_at_ = now;
    return;
  }
  // Who is answered during a pause asked before it.
  if (paused) return;
  if (throttled_at_ && std::chrono::abs(now - *throttled_at_) < kBurst) return;
  share_ = std::max(kMinShare, Share(now) / 2);
  from_ = now;
  throttled_at_ = now;
}

void AdaptiveRate::OnSuccess(MonotonicTime now) { Settle(now); }

double AdaptiveRate::Share(MonotonicTime now) const {
  if (now <= from_) return share_;
  const std::chrono::duration<double> recovering = now - from_;
  return std::min(1.0, share_ + kRecoveryPerSecond * recovering.count());
}

std::optional<MonotonicTime> AdaptiveRate::PausedUntil(MonotonicTime now) const {
  // No pause is that long: the clock went back, and what is left of the pause cannot be known.
  if (!paused_until_ || *paused_until_ - now > kMaxPause + kSlack) return std::nullopt;
  return *paused_until_ > now ? paused_until_ : std::nullopt;
}

// Forgets times that lie ahead although nothing is paused.
void AdaptiveRate::Settle(MonotonicTime now) {
  if (PausedUntil(now)) return;
  paused_until_.reset();
  from_ = std::min(from_, now);
}

}  // namespace semaphore::client
