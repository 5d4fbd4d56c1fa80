// From a coroutine to a thread that may block, and back.
#ifndef SEMAPHORE_GATEWAY_LEDGER_THREAD_H_
#define SEMAPHORE_GATEWAY_LEDGER_THREAD_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "client/async_event.h"

namespace semaphore::gateway {

// What `work` returns (a status, or a StatusOr), done on `thread`. CANCELLED when the coroutine was
// cancelled first; the work is done all the same, so it must own or share what it uses.
template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work>> OnThread(boost::asio::any_io_executor thread,
                                                            Work work) {
  using Result = std::invoke_result_t<Work>;
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  const boost::asio::any_io_executor strand = co_await boost::asio::this_coro::executor;
  const std::shared_ptr<client::AsyncEvent> done = client::AsyncEvent::Create(strand);
  const auto result = std::make_shared<std::optional<Result>>();
  boost::asio::post(thread, [result, done, work = std::move(work)]() mutable {
    result->emplace(work());
    done->Set();
  });
  const bool woken = co_await done->WaitUntil(client::MonotonicTime::max());
  if (!woken) co_return Result(absl::CancelledError("the collector is stopping"));
  co_return std::move(**result);
}

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_LEDGER_THREAD_H_
