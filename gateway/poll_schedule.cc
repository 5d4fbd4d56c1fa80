#include "gateway/poll_schedule.h"

#include <algorithm>
#include <chrono>

namespace semaphore::gateway {
namespace {

using client::MonotonicDuration;
using client::MonotonicTime;

// Of the interval, to either side: keeps gateways that started together from asking together.
constexpr double kJitter = 0.05;
constexpr double kBudgetShare = 0.5;
constexpr int kMaxDoublings = 10;

MonotonicDuration Scale(MonotonicDuration duration, double factor) {
  return std::chrono::duration_cast<MonotonicDuration>(std::chrono::duration<double>(duration) *
                                                       factor);
}

}  // namespace

void PollSchedule::Add(const std::string& name, MonotonicTime now, MonotonicDuration within) {
  const auto [found, inserted] = entries_.try_emplace(name);
  found->second.removed = false;
  if (!inserted) return;
  found->second.due = now + Scale(within, random_());
  by_due_.emplace(found->second.due, name);
}

void PollSchedule::Remove(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  if (found->second.out) {
    found->second.removed = true;
    return;
  }
  by_due_.erase({found->second.due, name});
  entries_.erase(found);
}

std::optional<std::string> PollSchedule::Take(MonotonicTime now) {
  if (by_due_.empty() || by_due_.begin()->first > now) return std::nullopt;
  const std::string name = by_due_.begin()->second;
  by_due_.erase(by_due_.begin());
  entries_[name].out = true;
  return name;
}

// Counted from when it was due, so that the phases stay apart; one that fell behind starts afresh.
void PollSchedule::Done(const std::string& name, bool ok, MonotonicDuration interval,
                        MonotonicTime now) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second.out) return;
  Entry& entry = found->second;
  if (entry.removed) {
    entries_.erase(found);
    return;
  }
  entry.out = false;
  entry.failures = ok ? 0 : std::min(entry.failures + 1, kMaxDoublings);
  MonotonicDuration wait = interval;
  if (!ok) {
    const MonotonicDuration longest = std::max<MonotonicDuration>(interval, kMaxBackoff);
    wait = std::min<MonotonicDuration>(interval * (1 << entry.failures), longest);
  }
  wait = Scale(wait, 1 + kJitter * (2 * random_() - 1));
  entry.due = std::max(entry.due, now - interval) + wait;
  if (entry.due <= now) entry.due = now + Scale(wait, random_());
  by_due_.emplace(entry.due, name);
}

std::optional<MonotonicTime> PollSchedule::NextDue() const {
  if (by_due_.empty()) return std::nullopt;
  return by_due_.begin()->first;
}

// For each a look and a walk; once agents and their types.
double RoundRequests(double projects) { return 2 * projects + 2; }

MonotonicDuration PollInterval(MonotonicDuration configured, double requests,
                               double requests_per_second) {
  if (requests_per_second <= 0) return configured;
  const std::chrono::duration<double> needed(requests / (requests_per_second * kBudgetShare));
  return std::max(configured, std::chrono::duration_cast<MonotonicDuration>(needed));
}

}  // namespace semaphore::gateway
