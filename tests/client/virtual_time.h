// Time for many coroutines at once: the clock stands still while any of them can run, then jumps to
// the earliest moment that one of them sleeps for. Whole hours of waiting pass in milliseconds, in
// the same order every time.
#ifndef SEMAPHORE_TESTS_CLIENT_VIRTUAL_TIME_H_
#define SEMAPHORE_TESTS_CLIENT_VIRTUAL_TIME_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <map>
#include <memory>

#include "client/async_event.h"
#include "client/budget.h"
#include "tests/client/fake_clock.h"

namespace semaphore::client {

class VirtualTime {
 public:
  const FakeClock& clock() const { return clock_; }
  MonotonicTime Now() const { return clock_.Now(); }
  boost::asio::io_context& context() { return context_; }

  Sleeper TheSleeper() {
    return [this](MonotonicTime until) { return Sleep(until); };
  }

  boost::asio::awaitable<bool> Sleep(MonotonicTime until) {
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    const boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
    const std::shared_ptr<AsyncEvent> event = AsyncEvent::Create(executor);
    const auto place = sleepers_.emplace(until, event);
    const bool woken = co_await event->WaitUntil(MonotonicTime::max());
    if (!woken) sleepers_.erase(place);
    co_return woken;
  }

  // Until nothing is left to run or to wake.
  void Run() { RunUntil(MonotonicTime::max()); }

  // The same, but whoever sleeps longer than that goes on sleeping.
  void RunUntil(MonotonicTime end) {
    for (;;) {
      context_.restart();
      context_.poll();
      if (sleepers_.empty() || sleepers_.begin()->first > end) {
        if (end != MonotonicTime::max()) clock_.AdvanceTo(end);
        return;
      }
      const auto next = sleepers_.begin();
      clock_.AdvanceTo(next->first);
      const std::shared_ptr<AsyncEvent> event = next->second;
      sleepers_.erase(next);
      event->Set();
    }
  }

 private:
  FakeClock clock_;
  std::multimap<MonotonicTime, std::shared_ptr<AsyncEvent>> sleepers_;
  boost::asio::io_context context_;  // destroyed first, with the coroutines in it
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_VIRTUAL_TIME_H_
