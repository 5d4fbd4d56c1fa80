// One change at a time for each resource that is read, merged and written back: two of them in
// parallel would each overwrite what the other has just written. Waits are first come, first
// served.
#ifndef SEMAPHORE_CLIENT_RESOURCE_LOCKS_H_
#define SEMAPHORE_CLIENT_RESOURCE_LOCKS_H_

#include <boost/asio/awaitable.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "client/async_event.h"
#include "client/clock.h"

namespace semaphore::client {

class ResourceLocks {
 public:
  // Holds the lock of one resource until it is destroyed; empty when it could not be had.
  class Held {
   public:
    Held() = default;
    Held(ResourceLocks* locks, std::string key) : locks_(locks), key_(std::move(key)) {}
    Held(Held&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), key_(std::move(other.key_)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (locks_ != nullptr) locks_->Release(key_);
    }
    explicit operator bool() const { return locks_ != nullptr; }

   private:
    ResourceLocks* locks_ = nullptr;
    std::string key_;
  };

  // Empty when the deadline passed or the awaiting coroutine was cancelled first. Any strand.
  boost::asio::awaitable<Held> Acquire(std::string key, MonotonicTime deadline);

 private:
  using Waiters = std::deque<std::shared_ptr<AsyncEvent>>;

  void Release(const std::string& key);
  // True when the event had been handed the lock before it could leave the queue.
  bool Leave(const std::string& key, const std::shared_ptr<AsyncEvent>& event);

  std::mutex mutex_;
  absl::flat_hash_map<std::string, Waiters>
      locked_;  // under mutex_; a key is here while it is held
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_RESOURCE_LOCKS_H_
