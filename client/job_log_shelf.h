// Downloaded job logs, kept while somebody is paging through them: a walk of a hundred pages is one
// download. Bounded in bytes and time; it is no cache of answers, and a first page of a log that
// may still grow is always fetched anew.
#ifndef SEMAPHORE_CLIENT_JOB_LOG_SHELF_H_
#define SEMAPHORE_CLIENT_JOB_LOG_SHELF_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "client/clock.h"
#include "client/job_log.h"

namespace semaphore::client {

class JobLogShelf {
 public:
  explicit JobLogShelf(size_t max_bytes = 128 << 20) : max_bytes_(max_bytes) {}

  struct Entry {
    std::shared_ptr<const JobLogEvents> events;
    MonotonicTime downloaded;
  };

  // The log as it was downloaded last, and keeps it for another minute; null events if it is not
  // here.
  Entry Get(const std::string& job_id, MonotonicTime now);

  // Keeps a log for a minute, dropping those that were used least recently; one larger than the
  // bound is not kept.
  void Put(const std::string& job_id, std::shared_ptr<const JobLogEvents> events,
           MonotonicTime now);

  // Drops what nobody has asked for within a minute.
  void Expire(MonotonicTime now);

  size_t bytes() const;

 private:
  struct Slot {
    Entry entry;
    MonotonicTime used;
  };

  void DropLocked(absl::flat_hash_map<std::string, Slot>::iterator slot);
  void ExpireLocked(MonotonicTime now);

  const size_t max_bytes_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, Slot> slots_;  // under mutex_
  size_t bytes_ = 0;                              // under mutex_
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_JOB_LOG_SHELF_H_
