#include "client/circuit_breaker.h"

#include <algorithm>
#include <cstdlib>

namespace semaphore::client {
namespace {

// A caller with less patience than this proves nothing about upstream by running out of it.
constexpr MonotonicDuration kTimeToAnswer = std::chrono::seconds(1);

size_t SecondsIn(MonotonicDuration window) {
  return static_cast<size_t>(
      std::max<int64_t>(1, std::chrono::floor<std::chrono::seconds>(window).count()));
}

}  // namespace

CircuitBreaker::CircuitBreaker(const Options& options)
    : options_(options), window_(SecondsIn(options.window)), open_for_(options.open_for) {}

CircuitBreaker::Verdict CircuitBreaker::Ask(MonotonicTime now) {
  Settle(now);
  const auto reject = [this](MonotonicDuration retry_after) {
    ++stats_.rejections;
    return Verdict{.admitted = false, .probe = false, .retry_after = retry_after, .ticket = 0};
  };
  if (state_ == State::kOpen) return reject(open_for_ - (now - opened_at_));
  if (state_ == State::kHalfOpen) {
    // Places are in the order they were taken, so the first is the next to be free.
    if (std::ssize(probes_) >= options_.probes)
      return reject(options_.open_for - (now - probes_.front().since));
    probes_.push_back({.ticket = last_ticket_ + 1, .since = now});
  }
  return {.admitted = true,
          .probe = state_ == State::kHalfOpen,
          .retry_after = {},
          .ticket = ++last_ticket_};
}

void CircuitBreaker::Record(MonotonicTime now, Outcome outcome, const Verdict& verdict) {
  Settle(now);
  if (!verdict.admitted || verdict.ticket <= last_stale_ticket_) return;
  std::erase_if(probes_, [&](const Probe& probe) { return probe.ticket == verdict.ticket; });
  if (outcome == Outcome::kIgnored) return;
  const bool failed = outcome == Outcome::kFailure;
  if (state_ == State::kClosed) {
    if (CountAndCondemn(now, failed)) Open(now, options_.open_for);
  } else if (failed) {
    Open(now, std::min(open_for_ * 2, options_.max_open_for));
  } else if (++successes_ >= options_.probes) {
    Enter(State::kClosed);
  }
}

CircuitBreaker::Outcome CircuitBreaker::Judge(HttpCause cause, int http_status,
                                              MonotonicDuration waited) {
  switch (cause) {
    case HttpCause::kDns:
    case HttpCause::kConnect:
    case HttpCause::kProxy:
    case HttpCause::kTls:
    case HttpCause::kReset:
    case HttpCause::kMalformed:
      return Outcome::kFailure;
    case HttpCause::kDeadline:
      return waited >= kTimeToAnswer ? Outcome::kFailure : Outcome::kIgnored;
    case HttpCause::kTooLarge:
    case HttpCause::kCancelled:
    case HttpCause::kRefused:
      return Outcome::kIgnored;
    case HttpCause::kNone:
      break;
  }
  switch (http_status) {
    case 500:
    case 502:
    case 503:
    case 504:
      return Outcome::kFailure;
    case 403:  // a refusal, or upstream's gate while its auth service is down (facts §2)
    case 429:  // upstream is well and busy: AdaptiveRate slows down
      return Outcome::kIgnored;
    default:
      return Outcome::kSuccess;
  }
}

CircuitBreaker::State CircuitBreaker::GetState(MonotonicTime now) const {
  const bool over = state_ == State::kOpen && now - opened_at_ >= open_for_;
  return over ? State::kHalfOpen : state_;
}

// Brings the state up to `now`. A clock that went back starts a running wait anew and no more.
void CircuitBreaker::Settle(MonotonicTime now) {
  opened_at_ = std::min(opened_at_, now);
  if (state_ == State::kOpen && now - opened_at_ >= open_for_) Enter(State::kHalfOpen);
  for (Probe& probe : probes_) probe.since = std::min(probe.since, now);
  std::erase_if(probes_, [&](const Probe& p) { return now - p.since >= options_.open_for; });
}

void CircuitBreaker::Enter(State state) {
  state_ = state;
  last_stale_ticket_ = last_ticket_;
  std::fill(window_.begin(), window_.end(), Second{});
  probes_.clear();
  successes_ = 0;
}

void CircuitBreaker::Open(MonotonicTime now, MonotonicDuration open_for) {
  Enter(State::kOpen);
  opened_at_ = now;
  open_for_ = open_for;
  ++stats_.openings;
}

// Whether, with this result, too many of the window's calls failed.
bool CircuitBreaker::CountAndCondemn(MonotonicTime now, bool failed) {
  const int64_t number = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  Second& current = window_[static_cast<uint64_t>(number) % window_.size()];
  if (current.number != number) current = {.number = number};
  ++current.results;
  current.failures += failed ? 1 : 0;
  uint64_t results = 0;
  uint64_t failures = 0;
  for (const Second& second : window_) {
    // Later seconds count too: callers read the clock before they wait for the lock.
    if (std::abs(number - second.number) >= std::ssize(window_)) continue;
    results += second.results;
    failures += second.failures;
  }
  return results >= static_cast<uint64_t>(options_.min_volume) &&
         static_cast<double>(failures) >= options_.failure_rate * static_cast<double>(results);
}

}  // namespace semaphore::client
