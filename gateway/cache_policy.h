// How long a reply is good for, and whether a kept one may answer a call: decided from the method's
// declared class, the resource's own state and what the caller asks for. Pure. A finished pipeline
// never changes; a running one changes in seconds; upstream says nothing about either.
#ifndef SEMAPHORE_GATEWAY_CACHE_POLICY_H_
#define SEMAPHORE_GATEWAY_CACHE_POLICY_H_

#include <google/protobuf/message.h>

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/method_table.h"
#include "gateway/cache_store.h"

namespace semaphore::gateway {

// How long a reply is fresh, by what it is.
struct Lifetimes {
  absl::Duration terminal = absl::Hours(24);     // ended, and settled
  absl::Duration unsettled = absl::Seconds(10);  // ended, but late fields may still come
  absl::Duration live = absl::Seconds(3);        // may change at any moment; running jobs' logs
  absl::Duration list = absl::Seconds(5);
  absl::Duration setting = absl::Seconds(60);  // changed by people only
  absl::Duration not_found = absl::Seconds(3);

  // For so long after it was fresh a reply may still be used, marked as stale,
  absl::Duration stale_while_revalidate = absl::Seconds(5);  // while a newer one is fetched
  absl::Duration stale_if_error = absl::Hours(24);  // when upstream fails or cannot be asked
};

// What a caller's `cache-control` asks for.
struct CacheDirectives {
  bool no_cache = false;                       // a new answer, and no other
  std::optional<absl::Duration> max_age = {};  // one said at most so long ago
  // Content with one that ran out, or became older than max_age, so long ago; 0: with no stale one.
  // Replaces the configured bounds, whether upstream fails or not.
  std::optional<absl::Duration> max_stale = {};
};

// Of "max-age=5, no-cache". Directives that are not known are left out, as HTTP demands; of one
// said twice the stricter counts; a known one with a value that is no number of seconds is
// INVALID_ARGUMENT.
absl::StatusOr<CacheDirectives> ParseCacheControl(std::string_view value);

struct Lifetime {
  absl::Duration fresh;  // zero: the reply is not to be kept
  bool settled = false;  // nothing can change it any more
};

// Of a reply, decoded, to a read of `method` with `request`; `now` is wall time. Zero for methods
// and requests whose replies hold secrets or are declared not to be kept.
Lifetime LifetimeOf(const client::MethodSpec& method, const google::protobuf::Message& request,
                    const google::protobuf::Message& reply, const Lifetimes& lifetimes,
                    absl::Time now);

// Of a status that is no OK: not_found for NOT_FOUND/UPSTREAM_NOT_FOUND, zero for any other.
absl::Duration LifetimeOfFailure(const absl::Status& status, const Lifetimes& lifetimes);

// Whether replies of this request may be kept and shared at all.
bool IsCacheable(const client::MethodSpec& method, const google::protobuf::Message& request);

enum class Usability {
  kFresh,       // answers the call
  kRevalidate,  // answers it, marked stale, and a newer one is to be fetched meanwhile
  kIfError,     // only if a newer one cannot be had; marked stale
  kNo,
};

// Bounds are inclusive. A kept NOT_FOUND is fresh or nothing; so is, with `max_age` alone, a reply
// that is older.
Usability UsabilityOf(const CachedReply& reply, const CacheDirectives& directives,
                      const Lifetimes& lifetimes, client::MonotonicTime now);

// Whether a stale reply may stand in for this failure: upstream cannot be reached, is throttled or
// fails, or there is no budget or time left. Never for refusals, missing things and bad input.
bool StaleMayCover(const absl::Status& failure);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CACHE_POLICY_H_
