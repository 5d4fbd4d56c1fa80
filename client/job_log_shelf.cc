#include "client/job_log_shelf.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace semaphore::client {
namespace {

constexpr MonotonicDuration kKeep = std::chrono::minutes(1);

}  // namespace

JobLogShelf::Entry JobLogShelf::Get(const std::string& job_id, MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  ExpireLocked(now);
  const auto found = slots_.find(job_id);
  if (found == slots_.end()) return {};
  found->second.used = now;
  return found->second.entry;
}

void JobLogShelf::Put(const std::string& job_id, std::shared_ptr<const JobLogEvents> events,
                      MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  ExpireLocked(now);
  const auto old = slots_.find(job_id);
  if (old != slots_.end()) DropLocked(old);
  const size_t size = events->bytes();
  if (size > max_bytes_) return;
  while (bytes_ + size > max_bytes_) {
    DropLocked(std::min_element(
        slots_.begin(), slots_.end(),
        [](const auto& left, const auto& right) { return left.second.used < right.second.used; }));
  }
  bytes_ += size;
  slots_[job_id] = Slot{{std::move(events), now}, now};
}

void JobLogShelf::Expire(MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  ExpireLocked(now);
}

size_t JobLogShelf::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void JobLogShelf::DropLocked(absl::flat_hash_map<std::string, Slot>::iterator slot) {
  bytes_ -= slot->second.entry.events->bytes();
  slots_.erase(slot);
}

void JobLogShelf::ExpireLocked(MonotonicTime now) {
  for (auto slot = slots_.begin(); slot != slots_.end();) {
    const auto here = slot++;
    if (now - here->second.used > kKeep) DropLocked(here);
  }
}

}  // namespace semaphore::client
