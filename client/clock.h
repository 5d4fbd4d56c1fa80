// The two clocks of the program: a monotonic one for deadlines and waits, a wall clock for dates
// that people and upstream see. They are injected wherever time decides something, so that tests
// own time and nothing sleeps.
#ifndef SEMAPHORE_CLIENT_CLOCK_H_
#define SEMAPHORE_CLIENT_CLOCK_H_

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace semaphore::client {

using MonotonicTime = std::chrono::steady_clock::time_point;
using MonotonicDuration = std::chrono::steady_clock::duration;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
  virtual absl::Time WallNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  MonotonicTime Now() const override { return std::chrono::steady_clock::now(); }
  absl::Time WallNow() const override { return absl::Now(); }
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_CLOCK_H_
