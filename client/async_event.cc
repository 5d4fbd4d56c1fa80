#include "client/async_event.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace semaphore::client {

namespace asio = boost::asio;

std::shared_ptr<AsyncEvent> AsyncEvent::Create(const asio::any_io_executor& strand) {
  return std::shared_ptr<AsyncEvent>(new AsyncEvent(strand));
}

AsyncEvent::AsyncEvent(const asio::any_io_executor& strand) : timer_(strand) {}

void AsyncEvent::Set() {
  asio::post(timer_.get_executor(), [self = shared_from_this()] {
    self->set_ = true;
    self->timer_.cancel();
  });
}

asio::awaitable<bool> AsyncEvent::WaitUntil(MonotonicTime deadline) {
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
  // A cancellation that came while nothing was awaited reaches no operation: it is only remembered
  // here.
  if (!set_ && cancellation.cancelled() == asio::cancellation_type::none) {
    timer_.expires_at(deadline);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  co_return set_;
}

}  // namespace semaphore::client
