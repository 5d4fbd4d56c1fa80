#include "tests/simulator/ledger.h"

#include <chrono>
#include <utility>

namespace semaphore::simulator {
namespace {

size_t BytesOf(const RecordedRequest& request) {
  size_t bytes = sizeof(request) + request.target.size() + request.body.size();
  for (const auto& [name, value] : request.headers) bytes += name.size() + value.size();
  return bytes;
}

}  // namespace

void Ledger::NoteChange() {
  changes_++;
  changed_.notify_all();
}

void Ledger::Record(RecordedRequest request) {
  const std::lock_guard<std::mutex> lock(mutex_);
  request.number = ++last_number_;
  bytes_ += BytesOf(request);
  requests_.push_back(std::move(request));
  while (requests_.size() > kMaxRequests || (bytes_ > kMaxBytes && requests_.size() > 1)) {
    bytes_ -= BytesOf(requests_.front());
    requests_.pop_front();
    forgotten_++;
  }
  NoteChange();
}

uint64_t Ledger::ConnectionOpened() {
  const std::lock_guard<std::mutex> lock(mutex_);
  open_connections_++;
  total_connections_++;
  NoteChange();
  return total_connections_;
}

void Ledger::ConnectionClosed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  open_connections_--;
  NoteChange();
}

void Ledger::HoldStarted() {
  const std::lock_guard<std::mutex> lock(mutex_);
  held_++;
  NoteChange();
}

void Ledger::HoldEnded() {
  const std::lock_guard<std::mutex> lock(mutex_);
  held_--;
  NoteChange();
}

std::vector<RecordedRequest> Ledger::Requests() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {requests_.begin(), requests_.end()};
}

uint64_t Ledger::forgotten_requests() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return forgotten_;
}

uint64_t Ledger::last_request_number() const {
  const std::lock_guard lock(mutex_);
  return last_number_;
}

uint64_t Ledger::total_connections() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return total_connections_;
}

uint64_t Ledger::open_connections() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return open_connections_;
}

uint64_t Ledger::held() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return held_;
}

void Ledger::Clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  requests_.clear();
  bytes_ = 0;
  last_number_ = 0;
  forgotten_ = 0;
  NoteChange();
}

bool Ledger::WaitUntil(const std::function<bool()>& condition, absl::Duration limit) const {
  const auto deadline = std::chrono::system_clock::now() + absl::ToChronoMicroseconds(limit);
  for (;;) {
    uint64_t seen = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      seen = changes_;
    }
    // Asked without the mutex, since the condition reads this very object.
    if (condition()) return true;
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_until(lock, deadline, [&] { return changes_ != seen; })) return false;
  }
}

}  // namespace semaphore::simulator
