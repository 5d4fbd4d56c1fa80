// A one-shot wake-up: one coroutine waits on its strand, anybody may wake it, from any thread, at
// any time. It carries no value and no reason; what happened is read from the state the two sides
// share.
#ifndef SEMAPHORE_CLIENT_ASYNC_EVENT_H_
#define SEMAPHORE_CLIENT_ASYNC_EVENT_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "client/clock.h"

namespace semaphore::client {

class AsyncEvent final : public std::enable_shared_from_this<AsyncEvent> {
 public:
  // `strand` is the executor of the coroutine that will wait.
  static std::shared_ptr<AsyncEvent> Create(const boost::asio::any_io_executor& strand);

  // Wakes the waiter, now or when it comes to wait. Any thread; the io_context must still exist.
  void Set();

  // True once Set was called; false when `deadline` passed or the awaiting coroutine was cancelled
  // first. Runs on the strand, one waiter at a time, which keeps the event alive. Never throws
  // because of a cancellation.
  boost::asio::awaitable<bool> WaitUntil(MonotonicTime deadline);

 private:
  explicit AsyncEvent(const boost::asio::any_io_executor& strand);

  boost::asio::steady_timer timer_;  // used as a condition variable; on the strand, like `set_`
  bool set_ = false;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_ASYNC_EVENT_H_
