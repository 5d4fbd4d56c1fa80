// When each thing that the collector asks for is asked for again: everything once an interval,
// spread evenly over it so that there are no bursts, later when upstream fails, and never again
// before the last time has ended. Pure; the collector's workers take from it.
#ifndef SEMAPHORE_GATEWAY_POLL_SCHEDULE_H_
#define SEMAPHORE_GATEWAY_POLL_SCHEDULE_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "client/clock.h"

namespace semaphore::gateway {

class PollSchedule {
 public:
  // After failures in a row the interval doubles, up to this (or the interval, if that is longer).
  static constexpr std::chrono::minutes kMaxBackoff{5};

  // `random` is uniform in [0, 1).
  explicit PollSchedule(std::function<double()> random) : random_(std::move(random)) {}

  // A new thing, due within `within` from now; does nothing when it is there already.
  void Add(const std::string& name, client::MonotonicTime now, client::MonotonicDuration within);
  // One that is being asked for stays until its Done.
  void Remove(const std::string& name);

  // The one that has been due the longest; it is out until Done.
  std::optional<std::string> Take(client::MonotonicTime now);
  void Done(const std::string& name, bool ok, client::MonotonicDuration interval,
            client::MonotonicTime now);

  // When the next one is due; nothing while all are out.
  std::optional<client::MonotonicTime> NextDue() const;

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    client::MonotonicTime due;
    int failures = 0;
    bool out = false;
    bool removed = false;
  };

  std::function<double()> random_;
  std::map<std::string, Entry> entries_;
  std::set<std::pair<client::MonotonicTime, std::string>> by_due_;  // those that are not out
};

// Requests of one round over an organization's projects, at least.
double RoundRequests(double projects);

// The interval in force: the configured one, or as much longer as it takes for `requests` of a
// round to stay within half of what the budget lets through, so that callers keep the other half.
client::MonotonicDuration PollInterval(client::MonotonicDuration configured, double requests,
                                       double requests_per_second);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_POLL_SCHEDULE_H_
