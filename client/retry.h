// Whether a failed attempt is made again, and what the caller is told when it is not. A pure
// decision from the method's declared idempotency and what happened; the loop that carries it out
// is in upstream.cc.
#ifndef SEMAPHORE_CLIENT_RETRY_H_
#define SEMAPHORE_CLIENT_RETRY_H_

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/http_client.h"
#include "client/method_table.h"

namespace semaphore::client {

constexpr int kMaxAttempts = 3;

// What one attempt came to.
struct Attempt {
  int number = 1;       // 1 for the first
  absl::Status status;  // never OK
  HttpCause cause = HttpCause::kNone;
  bool may_have_arrived = false;
  int http_status = 0;  // that counts (EffectiveStatus); 0: there was no reply
  std::optional<absl::Duration> retry_after;  // upstream's own
  bool earlier_in_doubt = false;              // `in_doubt` of the attempt before
};

struct RetryVerdict {
  bool retry = false;
  absl::Duration delay;  // before the next attempt
  std::string_view
      reason;  // closed set, for the metric: "unavailable", "rate_limited", "error", "connection"
  bool in_doubt = false;         // this attempt or an earlier one may have been carried out
  bool outcome_unknown = false;  // tell the caller OUTCOME_UNKNOWN instead of the status
};

// `caller_token`: the idempotency token came from the caller. `random` is uniform in [0, 1): full
// jitter over a backoff of 100 ms, doubled for each attempt up to 2 s. Upstream's Retry-After is
// the least delay.
RetryVerdict DecideRetry(const MethodSpec& spec, const Attempt& attempt, bool caller_token,
                         double random);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_RETRY_H_
