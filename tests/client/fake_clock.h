// A clock that stands still until a test moves it. Monotonic and wall time move together.
#ifndef SEMAPHORE_TESTS_CLIENT_FAKE_CLOCK_H_
#define SEMAPHORE_TESTS_CLIENT_FAKE_CLOCK_H_

#include <chrono>

#include "client/clock.h"

namespace semaphore::client {

class FakeClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now_; }
  absl::Time WallNow() const override { return wall_; }

  void Advance(MonotonicDuration by) {
    now_ += by;
    wall_ += absl::FromChrono(by);
  }
  // Never backwards.
  void AdvanceTo(MonotonicTime to) {
    if (to > now_) Advance(to - now_);
  }

 private:
  // Far ahead of the real clock, so that no real timer set to one of its times ever fires.
  MonotonicTime now_{std::chrono::hours(24 * 365 * 50)};
  absl::Time wall_ = absl::FromUnixSeconds(1700000000);
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_FAKE_CLOCK_H_
