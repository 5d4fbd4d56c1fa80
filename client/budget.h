// The right to send requests to one organization's Semaphore, waited for fairly. Protects upstream
// whatever callers do: every attempt first gets a turn and a place among the requests in flight,
// and takes its token at the last moment before it is written. LocalBudget keeps it in this
// process; one shared by several replicas would be the other implementation.
#ifndef SEMAPHORE_CLIENT_BUDGET_H_
#define SEMAPHORE_CLIENT_BUDGET_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/fair_queue.h"

namespace semaphore::client {

// Waits until a time on the calling coroutine's executor; false when it was cancelled first.
// Injected, so that tests need not wait.
using Sleeper = std::function<boost::asio::awaitable<bool>(MonotonicTime until)>;

// The real one, on a timer.
boost::asio::awaitable<bool> SleepUntil(MonotonicTime until);

class Budget {
 public:
  // What gives places and takes them back; it may outlive its budget, because calls that are cut
  // off at the end of the program give theirs back later.
  class Places {
   public:
    virtual ~Places() = default;
    virtual void GiveBack(bool charged) = 0;
  };

  // A place among the requests in flight, until it is destroyed. A token is set aside for it, which
  // Charge takes.
  class Pass {
   public:
    explicit Pass(std::shared_ptr<Places> places) : places_(std::move(places)) {}
    Pass(Pass&& other) noexcept = default;
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (places_ != nullptr) places_->GiveBack(charged_);
    }

    // True from now on; whether it was before.
    bool SetCharged() { return std::exchange(charged_, true); }

   private:
    std::shared_ptr<Places> places_;
    bool charged_ = false;
  };

  // A turn that several callers wait for, and that can become more urgent meanwhile. Its members
  // are the budget's.
  struct SharedTurn {
    std::optional<Priority> raised_to;
    FairQueue::Id waiting_as = 0;  // 0: does not wait
  };

  virtual ~Budget() = default;

  // Waits for a turn. UPSTREAM_BUDGET_EXHAUSTED with RetryInfo, at once where that can be foreseen,
  // when none comes by the deadline or within the longest wait; GATEWAY_OVERLOADED when too many
  // wait already; CANCELLED when the caller went away, which gives the place back. Any strand.
  // `shared` may be null; with it Raise reaches the turn.
  virtual boost::asio::awaitable<absl::StatusOr<Pass>> Enter(
      Turn turn, MonotonicTime deadline, std::shared_ptr<SharedTurn> shared) = 0;

  // From now on the turn is at least as urgent as that, whether it waits, has waited or is yet to.
  virtual void Raise(const std::shared_ptr<SharedTurn>& shared, Priority priority) = 0;

  // Takes a token: awaited immediately before each write to a socket. Waits only if upstream asked
  // for less since Enter, or on the second write of one pass; fails as Enter does.
  virtual boost::asio::awaitable<absl::Status> Charge(Pass& pass, MonotonicTime deadline) = 0;

  // Upstream answered 429, or 503 for being busy; `retry_after` is its own, if it said.
  virtual void OnThrottled(std::optional<absl::Duration> retry_after) = 0;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_BUDGET_H_
