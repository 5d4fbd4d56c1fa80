#include "client/budget.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/error.h"

namespace semaphore::client {

namespace asio = boost::asio;

asio::awaitable<bool> SleepUntil(MonotonicTime until) {
  co_await asio::this_coro::throw_if_cancelled(false);
  if ((co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none)
    co_return false;
  asio::steady_timer timer(co_await asio::this_coro::executor, until);
  const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return !error;
}

Budget::Budget(const Options& options, const Clock& clock, Sleeper sleeper)
    : options_(options),
      clock_(clock),
      sleeper_(std::move(sleeper)),
      bucket_(options.requests_per_second, options.burst) {}

asio::awaitable<absl::Status> Budget::Admit(MonotonicTime deadline) {
  const MonotonicTime now = clock_.Now();
  const MonotonicTime latest =
      std::min(deadline, now + absl::ToChronoNanoseconds(options_.max_wait));
  TokenBucket::Verdict verdict;
  {
    const std::lock_guard lock(mutex_);
    verdict = bucket_.Reserve(now, latest);
    verdict.admitted ? ++waiting_ : ++rejections_;
  }
  if (!verdict.admitted) {
    ErrorDetails details;
    details.retry_after = absl::FromChrono(verdict.retry_after);
    co_return MakeError(
        Reason::kUpstreamBudgetExhausted,
        absl::StrCat("the gateway's budget for Semaphore (", options_.requests_per_second,
                     " requests/s) has no room within the deadline; come back later"),
        details);
  }
  bool slept = true;
  if (verdict.at > now) slept = co_await sleeper_(verdict.at);
  const std::lock_guard lock(mutex_);
  --waiting_;
  if (slept) co_return absl::OkStatus();
  bucket_.Cancel(verdict);
  co_return MakeError(Reason::kCancelled, "the caller went away");
}

Budget::Stats Budget::GetStats() const {
  const std::lock_guard lock(mutex_);
  return {.tokens = bucket_.Available(clock_.Now()),
          .burst = options_.burst,
          .rejections = rejections_,
          .waiting = waiting_};
}

}  // namespace semaphore::client
