// A clock that stands still until a test moves it, to be given to SimulatorOptions::now. Safe to
// move while the simulator's thread reads it.
#ifndef SEMAPHORE_TESTS_SIMULATOR_MANUAL_TIME_H_
#define SEMAPHORE_TESTS_SIMULATOR_MANUAL_TIME_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/time/time.h"

namespace semaphore::simulator {

class ManualTime {
 public:
  explicit ManualTime(absl::Time start = absl::FromUnixSeconds(1'750'000'000))
      : unix_micros_(absl::ToUnixMicros(start)) {}

  absl::Time Now() const { return absl::FromUnixMicros(unix_micros_.load()); }
  void Advance(absl::Duration step) { unix_micros_ += absl::ToInt64Microseconds(step); }

  // For SimulatorOptions::now; this object must outlive the simulator.
  std::function<absl::Time()> Source() {
    return [this] { return Now(); };
  }

 private:
  std::atomic<int64_t> unix_micros_;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_MANUAL_TIME_H_
