// The bookkeeping of a bounded keep-alive pool: who gets which connection, who waits, what is
// closed. Pure: time and facts come in, verdicts go out; sockets, locks and wake-ups are its
// owner's. At most `max_connections` are open, used and idle together; while any is idle nobody
// waits.
#ifndef SEMAPHORE_CLIENT_CONNECTION_POOL_H_
#define SEMAPHORE_CLIENT_CONNECTION_POOL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "client/clock.h"

namespace semaphore::client {

class ConnectionPool final {
 public:
  using ConnectionId = uint64_t;
  using WaiterId = uint64_t;

  struct Limits {
    size_t max_connections = 32;
    size_t max_waiters = 1024;
    MonotonicDuration idle_timeout = std::chrono::seconds(55);
    MonotonicDuration max_age = std::chrono::minutes(10);
  };

  enum class Action {
    kReuse,  // take the idle connection `id`
    kDial,   // open a new one and call it `id`
    kWait,   // wait for a Grant, or Leave; `id` is the waiter's
    kFull,   // too many wait already
  };

  struct Verdict {
    Action action = Action::kFull;
    uint64_t id = 0;
    std::vector<ConnectionId> close;  // idle connections that are no longer the pool's
  };

  // What the first waiter gets when a slot frees: kReuse of the connection just released, or kDial.
  struct Grant {
    WaiterId waiter = 0;
    Action action = Action::kDial;
    ConnectionId id = 0;
  };

  struct Released {
    bool keep = false;  // false: close the connection; true: it is idle now, or the grant's
    std::optional<Grant> grant;
    std::vector<ConnectionId> close;
  };

  explicit ConnectionPool(Limits limits);

  // Most recently used first; `fresh` never reuses, and closes the longest idle connection for room
  // if it must.
  Verdict Acquire(bool fresh, MonotonicTime now);

  // The connection in use turned out dead: the slot stays, the connection is another. Never kWait
  // or kFull.
  Verdict Replace(ConnectionId dead, bool fresh, MonotonicTime now);

  // The request is over; `keep` says that the connection can carry another one. First come, first
  // served.
  Released Release(ConnectionId id, bool keep, MonotonicTime now);

  // False when the waiter has been granted a slot meanwhile, which is then its to release.
  bool Leave(WaiterId waiter);

  // Idle connections past their time, for the owner to close.
  std::vector<ConnectionId> Expire(MonotonicTime now);

  size_t idle() const { return idle_.size(); }
  size_t in_use() const { return in_use_.size(); }
  size_t waiting() const { return waiters_.size(); }

 private:
  struct Idle {
    ConnectionId id;
    MonotonicTime created_at;
    MonotonicTime idle_since;
  };

  Verdict Take(bool fresh, MonotonicTime now);
  ConnectionId Open(MonotonicTime now);

  const Limits limits_;
  std::deque<Idle> idle_;                                   // longest idle first
  std::unordered_map<ConnectionId, MonotonicTime> in_use_;  // when it was opened
  std::map<WaiterId, bool> waiters_;  // `fresh`; ids grow, so the first came first
  uint64_t last_id_ = 0;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_CONNECTION_POOL_H_
