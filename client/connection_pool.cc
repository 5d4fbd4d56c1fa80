#include "client/connection_pool.h"

#include <utility>

namespace semaphore::client {

ConnectionPool::ConnectionPool(Limits limits) : limits_(limits) {}

ConnectionPool::Verdict ConnectionPool::Acquire(bool fresh, MonotonicTime now) {
  std::vector<ConnectionId> expired = Expire(now);
  Verdict verdict;
  if (in_use_.size() < limits_.max_connections) {
    verdict = Take(fresh, now);
  } else if (waiters_.size() < limits_.max_waiters) {
    verdict = {.action = Action::kWait, .id = ++last_id_, .close = {}};
    waiters_.emplace(verdict.id, fresh);
  }
  verdict.close.insert(verdict.close.end(), expired.begin(), expired.end());
  return verdict;
}

ConnectionPool::Verdict ConnectionPool::Replace(ConnectionId dead, bool fresh, MonotonicTime now) {
  in_use_.erase(dead);
  std::vector<ConnectionId> expired = Expire(now);
  Verdict verdict = Take(fresh, now);
  verdict.close.insert(verdict.close.end(), expired.begin(), expired.end());
  return verdict;
}

ConnectionPool::Verdict ConnectionPool::Take(bool fresh, MonotonicTime now) {
  if (!fresh && !idle_.empty()) {
    const Idle newest = idle_.back();
    idle_.pop_back();
    in_use_.emplace(newest.id, newest.created_at);
    return {.action = Action::kReuse, .id = newest.id, .close = {}};
  }
  Verdict verdict{.action = Action::kDial, .id = 0, .close = {}};
  if (in_use_.size() + idle_.size() >= limits_.max_connections) {
    verdict.close.push_back(idle_.front().id);
    idle_.pop_front();
  }
  verdict.id = Open(now);
  return verdict;
}

ConnectionPool::Released ConnectionPool::Release(ConnectionId id, bool keep, MonotonicTime now) {
  const auto used = in_use_.find(id);
  if (used == in_use_.end()) return {};
  const MonotonicTime created_at = used->second;
  in_use_.erase(used);
  Released released{
      .keep = keep && now < created_at + limits_.max_age, .grant = {}, .close = Expire(now)};
  if (!waiters_.empty()) {
    const auto [waiter, fresh] = *waiters_.begin();
    waiters_.erase(waiters_.begin());
    released.keep = released.keep && !fresh;
    released.grant = Grant{.waiter = waiter, .action = Action::kDial, .id = 0};
    if (released.keep) {
      released.grant->action = Action::kReuse;
      released.grant->id = id;
      in_use_.emplace(id, created_at);
    } else {
      released.grant->id = Open(now);
    }
  } else if (released.keep) {
    idle_.push_back({.id = id, .created_at = created_at, .idle_since = now});
  }
  return released;
}

bool ConnectionPool::Leave(WaiterId waiter) { return waiters_.erase(waiter) > 0; }

std::vector<ConnectionPool::ConnectionId> ConnectionPool::Expire(MonotonicTime now) {
  std::vector<ConnectionId> expired;
  std::erase_if(idle_, [&](const Idle& idle) {
    const bool over =
        now >= idle.idle_since + limits_.idle_timeout || now >= idle.created_at + limits_.max_age;
    if (over) expired.push_back(idle.id);
    return over;
  });
  return expired;
}

ConnectionPool::ConnectionId ConnectionPool::Open(MonotonicTime now) {
  in_use_.emplace(++last_id_, now);
  return last_id_;
}

}  // namespace semaphore::client
