#include "client/resource_locks.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

namespace semaphore::client {

namespace asio = boost::asio;

asio::awaitable<ResourceLocks::Held> ResourceLocks::Acquire(std::string key,
                                                            MonotonicTime deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::shared_ptr<AsyncEvent> event = AsyncEvent::Create(co_await asio::this_coro::executor);
  bool free = false;
  {
    const std::lock_guard lock(mutex_);
    const auto [entry, inserted] = locked_.try_emplace(key);
    free = inserted;
    if (!free) entry->second.push_back(event);
  }
  if (free) co_return Held(this, std::move(key));
  const bool woken = co_await event->WaitUntil(deadline);
  if (!woken && Leave(key, event)) Release(key);
  if (!woken) co_return Held();
  co_return Held(this, std::move(key));
}

void ResourceLocks::Release(const std::string& key) {
  std::shared_ptr<AsyncEvent> next;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = locked_.find(key);
    if (entry->second.empty()) {
      locked_.erase(entry);
      return;
    }
    next = std::move(entry->second.front());
    entry->second.pop_front();
  }
  next->Set();
}

bool ResourceLocks::Leave(const std::string& key, const std::shared_ptr<AsyncEvent>& event) {
  const std::lock_guard lock(mutex_);
  Waiters& waiters = locked_[key];
  const auto found = std::find(waiters.begin(), waiters.end(), event);
  if (found == waiters.end()) return true;
  waiters.erase(found);
  return false;
}

}  // namespace semaphore::client
