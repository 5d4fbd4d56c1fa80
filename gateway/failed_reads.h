// What to make of reads that fail, so that one thing which cannot be read stops no other, and is
// not asked for without end. Pure.
#ifndef SEMAPHORE_GATEWAY_FAILED_READS_H_
#define SEMAPHORE_GATEWAY_FAILED_READS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace semaphore::gateway {

// Only for statuses of upstream's replies. Whether it, or the way to it, is in trouble (no reply,
// 503, the token refused), rather than that it has something against this one thing (404, 500).
bool IsTrouble(const absl::Status& status);

// When to read it again after `tries` (at least 1) failures: 1 minute, 2, 4 and so on to an hour.
// Nothing: not again, it is given up. That is after two hours what upstream refuses, and after four
// days what it is in trouble with while it answers other questions.
std::optional<absl::Duration> ReadAgainAfter(const absl::Status& status, int tries);

// The failures of one poll.
class Failures {
 public:
  void Add(const absl::Status& status);
  // The rest of the poll is left for the next: upstream is in trouble, or has refused so much that
  // more of it would open the circuit breaker on its callers.
  bool Enough() const { return failures_ >= 3; }
  // The first that is trouble, which is what the poll fails with; OK if none was.
  const absl::Status& trouble() const { return trouble_; }

 private:
  absl::Status trouble_;
  int failures_ = 0;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_FAILED_READS_H_
