// Watches over one request: when its time is up or its caller leaves, whatever the request is
// waiting on is interrupted. One mechanism for every stage, because per-operation cancellation is
// not enough: a Beast read forgets a cancellation that arrives while one of its steps has completed
// but not yet run, whereas a closed socket stays closed.
#ifndef SEMAPHORE_CLIENT_REQUEST_WATCH_H_
#define SEMAPHORE_CLIENT_REQUEST_WATCH_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>

#include "client/clock.h"

namespace semaphore::client {

// Lives on the strand of the request's coroutine.
class RequestWatch final : public std::enable_shared_from_this<RequestWatch> {
 public:
  enum class Verdict { kGoOn, kStageTimeout, kDeadline, kCancelled };

  // `cancellation` is the state of the coroutine that awaits the request.
  static std::shared_ptr<RequestWatch> Create(const boost::asio::any_io_executor& strand,
                                              boost::asio::cancellation_state cancellation,
                                              const Clock& clock, MonotonicTime deadline);

  // Guards what is awaited during its lifetime: `interrupt` is called, once, when `limit` or the
  // request's deadline passes or when the caller cancels. It must make the awaited operation, and
  // any later one, end soon.
  class Stage final {
   public:
    Stage(RequestWatch& watch, MonotonicTime limit, std::function<void()> interrupt);
    ~Stage();
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

   private:
    RequestWatch& watch_;
  };

  // Whether to go on: asked after every await and before starting a stage.
  Verdict Check() const;
  MonotonicTime deadline() const { return deadline_; }
  const Clock& clock() const { return clock_; }

  // The completion token of every await inside a stage. It takes over the coroutine's cancellation
  // slot (which each completed await clears) and gives the operation `slot` instead of it.
  auto Token(boost::asio::cancellation_slot slot = {}) {
    TakeSlot();
    return boost::asio::bind_cancellation_slot(slot,
                                               boost::asio::as_tuple(boost::asio::use_awaitable));
  }

 private:
  RequestWatch(const boost::asio::any_io_executor& strand,
               boost::asio::cancellation_state cancellation, const Clock& clock,
               MonotonicTime deadline);

  void TakeSlot();
  void Interrupt(Verdict verdict);

  const Clock& clock_;
  const MonotonicTime deadline_;
  boost::asio::cancellation_state cancellation_;
  boost::asio::steady_timer timer_;
  std::function<void()> interrupt_;
  Verdict verdict_ = Verdict::kGoOn;
  unsigned stage_ =
      0;  // tells the timer of this stage from one that was already due when its stage ended
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_REQUEST_WATCH_H_
