#include "client/retry.h"

#include <algorithm>

#include "client/error.h"

namespace semaphore::client {
namespace {

constexpr absl::Duration kBaseBackoff = absl::Milliseconds(100);
constexpr absl::Duration kMaxBackoff = absl::Seconds(2);

// The reason to try again, or empty: only failures that may pass by themselves.
std::string_view TransientReason(const Attempt& attempt) {
  switch (attempt.cause) {
    case HttpCause::kDns:
    case HttpCause::kConnect:
    case HttpCause::kProxy:
    case HttpCause::kReset:
      return "connection";
    case HttpCause::kNone:
      break;
    default:
      return "";
  }
  if (HasReason(attempt.status, Reason::kUpstreamUnavailable)) return "unavailable";
  if (HasReason(attempt.status, Reason::kUpstreamRateLimited)) return "rate_limited";
  // Upstream answers 500 for passing troubles too (internal time-outs, facts §2).
  if (HasReason(attempt.status, Reason::kUpstreamError) && attempt.http_status == 500)
    return "error";
  return "";
}

// A reply that leaves no doubt: upstream understood and refused. 5xx, broken and unreadable replies
// do not.
bool IsClearAnswer(const Attempt& attempt) {
  if (attempt.cause != HttpCause::kNone) return false;
  // Also the 403 without words: the gate, when its authentication service is down, lets nothing
  // through to the service behind it (facts §2).
  if (attempt.http_status == 403) return true;
  // Any 4xx that has no reason of its own.
  if (HasReason(attempt.status, Reason::kUpstreamError) && attempt.http_status >= 400 &&
      attempt.http_status < 500) {
    return true;
  }
  for (const Reason reason :
       {Reason::kUpstreamUnavailable, Reason::kUpstreamError, Reason::kUpstreamMalformedResponse,
        Reason::kUpstreamResponseTooLarge}) {
    if (HasReason(attempt.status, reason)) return false;
  }
  return true;
}

// Whether the answer also tells what became of earlier attempts: it comes from the service that saw
// them, which knows the token, and not from the gate in front of it.
bool SettlesEarlier(const Attempt& attempt) {
  if (!IsClearAnswer(attempt)) return false;
  for (const Reason reason : {Reason::kUpstreamRateLimited, Reason::kUpstreamTokenRejected,
                              Reason::kUpstreamForbidden, Reason::kUpstreamUnavailable}) {
    if (HasReason(attempt.status, reason)) return false;
  }
  return true;
}

}  // namespace

RetryVerdict DecideRetry(const MethodSpec& spec, const Attempt& attempt, bool caller_token,
                         double random) {
  RetryVerdict verdict;
  const upstream::v1::Idempotency idempotency = spec.call.idempotency();
  verdict.reason = TransientReason(attempt);
  verdict.in_doubt = (attempt.may_have_arrived && !IsClearAnswer(attempt)) ||
                     (attempt.earlier_in_doubt && !SettlesEarlier(attempt));
  const bool may_repeat = idempotency != upstream::v1::IDEMPOTENCY_NEVER;
  if (may_repeat && !verdict.reason.empty() && attempt.number < kMaxAttempts) {
    verdict.retry = true;
    const absl::Duration ceiling =
        std::min(kMaxBackoff, kBaseBackoff * (1 << (attempt.number - 1)));
    verdict.delay = std::max(ceiling * random, attempt.retry_after.value_or(absl::ZeroDuration()));
    return verdict;
  }
  const bool repeat_is_safe = idempotency == upstream::v1::IDEMPOTENCY_UNSPECIFIED ||
                              idempotency == upstream::v1::IDEMPOTENCY_NATURAL ||
                              (idempotency == upstream::v1::IDEMPOTENCY_TOKEN && caller_token);
  verdict.outcome_unknown = !repeat_is_safe && verdict.in_doubt;
  return verdict;
}

}  // namespace semaphore::client
