// The budget of one process: a token bucket whose rate gives way when upstream throttles, a bound
// on the requests in flight, and a fair queue before both. The bucket is charged at the write, so
// that a slow dial spends nothing; what has a turn and is not charged yet is counted as set aside.
#ifndef SEMAPHORE_CLIENT_LOCAL_BUDGET_H_
#define SEMAPHORE_CLIENT_LOCAL_BUDGET_H_

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "client/budget.h"

namespace semaphore::client {

class LocalBudget final : public Budget {
 public:
  struct Options {
    double requests_per_second = 10;
    int burst = 20;
    size_t max_in_flight = 32;
    size_t max_waiting = 10000;
    absl::Duration max_wait = absl::Seconds(10);
    // How long a turn was waited for. Quick, thread-safe, called without locks.
    std::function<void(Priority, absl::Duration)> waited = [](Priority, absl::Duration) {};
  };

  // `executor` runs the wake-ups and outlives them; the clock outlives every pass.
  LocalBudget(Options options, const Clock& clock, boost::asio::any_io_executor executor,
              Sleeper sleeper);
  ~LocalBudget() override;

  boost::asio::awaitable<absl::StatusOr<Pass>> Enter(
      Turn turn, MonotonicTime deadline, std::shared_ptr<SharedTurn> shared = nullptr) override;
  void Raise(const std::shared_ptr<SharedTurn>& shared, Priority priority) override;
  boost::asio::awaitable<absl::Status> Charge(Pass& pass, MonotonicTime deadline) override;
  void OnThrottled(std::optional<absl::Duration> retry_after) override;

  struct Stats {
    double tokens = 0;  // free now, those set aside not counted
    int burst = 0;
    double rate = 0;  // requests per second in force
    size_t in_flight = 0;
    std::array<size_t, kPriorities> waiting{};
    std::array<uint64_t, kPriorities> rejections{};
    uint64_t throttled = 0;
  };
  Stats GetStats() const;

 private:
  struct State;

  const std::shared_ptr<State> state_;  // shared with the wake-ups under way
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_LOCAL_BUDGET_H_
