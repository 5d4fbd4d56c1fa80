#include "gateway/cache_policy.h"

#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/error.h"
#include "client/quote.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

using client::MethodSpec;
using client::Reason;
using google::protobuf::Message;

// Longer than anything is kept; what HTTP prescribes for a number that is too large.
constexpr int64_t kMaxSeconds = int64_t{1} << 31;

absl::Status BadSeconds(absl::string_view directive) {
  return client::InvalidFields(
      {{"cache-control", absl::StrCat("expected a number of seconds, as in max-age=5, got ",
                                      client::Quote(client::ToStd(directive)))}});
}

// Decimal digits, perhaps in double quotes.
std::optional<absl::Duration> Seconds(absl::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  if (text.empty() || !std::all_of(text.begin(), text.end(), absl::ascii_isdigit))
    return std::nullopt;
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(text, &seconds)) seconds = kMaxSeconds;
  return absl::Seconds(std::min(seconds, kMaxSeconds));
}

// Said twice, the stricter one counts.
void Tighten(std::optional<absl::Duration>& bound, absl::Duration other) {
  bound = std::min(bound.value_or(other), other);
}

bool Settled(const MethodSpec& method, const Message& reply, absl::Time now) {
  if (method.ended == nullptr) return true;
  if (!reply.GetReflection()->HasField(reply, method.ended)) return false;
  const auto& end = static_cast<const google::protobuf::Timestamp&>(
      reply.GetReflection()->GetMessage(reply, method.ended));
  const auto& settle = method.call.cache().settle();
  // An end in the future, or a clock that stepped back: too early to tell.
  return now - absl::FromUnixSeconds(end.seconds()) - absl::Nanoseconds(end.nanos()) >
         absl::Seconds(settle.seconds()) + absl::Nanoseconds(settle.nanos());
}

// How long ago; negative in the future.
absl::Duration Since(client::MonotonicTime then, client::MonotonicTime now) {
  return absl::FromChrono(now - then);
}

}  // namespace

absl::StatusOr<CacheDirectives> ParseCacheControl(std::string_view value) {
  CacheDirectives directives;
  for (absl::string_view directive : absl::StrSplit(client::ToAbsl(value), ',')) {
    directive = absl::StripAsciiWhitespace(directive);
    const size_t equals = directive.find('=');
    const bool bare = equals == absl::string_view::npos;
    const absl::string_view name = absl::StripTrailingAsciiWhitespace(directive.substr(0, equals));
    const bool max_age = absl::EqualsIgnoreCase(name, "max-age");
    const bool max_stale = absl::EqualsIgnoreCase(name, "max-stale");
    if (absl::EqualsIgnoreCase(name, "no-cache")) directives.no_cache = true;
    if (!max_age && !max_stale) continue;
    std::optional<absl::Duration> seconds;
    if (!bare) seconds = Seconds(absl::StripLeadingAsciiWhitespace(directive.substr(equals + 1)));
    // Without a number: however stale.
    if (bare && max_stale) seconds = absl::Seconds(kMaxSeconds);
    if (!seconds) return BadSeconds(directive);
    Tighten(max_age ? directives.max_age : directives.max_stale, *seconds);
  }
  return directives;
}

bool IsCacheable(const MethodSpec& method, const Message& request) {
  return method.IsRead() && method.call.has_cache() &&
         method.call.cache().class_() != upstream::v1::CACHE_CLASS_UNSPECIFIED &&
         !(method.never_kept && method.never_kept->HoldsFor(request));
}

Lifetime LifetimeOf(const MethodSpec& method, const Message& request, const Message& reply,
                    const Lifetimes& lifetimes, absl::Time now) {
  if (!IsCacheable(method, request)) return {};
  if (method.terminal && method.terminal->HoldsFor(reply)) {
    const bool settled = Settled(method, reply, now);
    return {.fresh = settled ? lifetimes.terminal : lifetimes.unsettled, .settled = settled};
  }
  switch (method.call.cache().class_()) {
    case upstream::v1::CACHE_CLASS_RESOURCE:
    case upstream::v1::CACHE_CLASS_LOG:
      return {.fresh = lifetimes.live};
    case upstream::v1::CACHE_CLASS_LIST:
      return {.fresh = lifetimes.list};
    case upstream::v1::CACHE_CLASS_SETTING:
      return {.fresh = lifetimes.setting};
    default:
      return {};
  }
}

absl::Duration LifetimeOfFailure(const absl::Status& status, const Lifetimes& lifetimes) {
  const bool missing = status.code() == absl::StatusCode::kNotFound &&
                       client::HasReason(status, Reason::kUpstreamNotFound);
  return missing ? lifetimes.not_found : absl::ZeroDuration();
}

Usability UsabilityOf(const CachedReply& reply, const CacheDirectives& directives,
                      const Lifetimes& lifetimes, client::MonotonicTime now) {
  if (directives.no_cache || reply.fresh_until <= reply.said_at || now > reply.stale_until)
    return Usability::kNo;
  const absl::Duration expired = Since(reply.fresh_until, now);
  const absl::Duration too_old = directives.max_age
                                     ? Since(reply.said_at, now) - *directives.max_age
                                     : -absl::InfiniteDuration();
  // Past its own end or the caller's, whichever came first.
  const absl::Duration overdue = std::max(expired, too_old);
  if (overdue <= absl::ZeroDuration()) return Usability::kFresh;
  // What is missing may have come to be; that is never guessed.
  if (!reply.status.ok()) return Usability::kNo;
  if (directives.max_stale)
    return overdue <= *directives.max_stale ? Usability::kRevalidate : Usability::kNo;
  if (too_old > absl::ZeroDuration()) return Usability::kNo;
  if (expired <= lifetimes.stale_while_revalidate) return Usability::kRevalidate;
  return expired <= lifetimes.stale_if_error ? Usability::kIfError : Usability::kNo;
}

bool StaleMayCover(const absl::Status& failure) {
  // The last two refuse a request to upstream, and a kept reply needs none.
  static constexpr std::array kCovered = {Reason::kUpstreamUnavailable,
                                          Reason::kUpstreamCircuitOpen,
                                          Reason::kUpstreamError,
                                          Reason::kUpstreamRateLimited,
                                          Reason::kUpstreamBudgetExhausted,
                                          Reason::kUpstreamMalformedResponse,
                                          Reason::kUpstreamResponseTooLarge,
                                          Reason::kDeadline,
                                          Reason::kCallerQuotaExhausted,
                                          Reason::kGatewayOverloaded};
  const std::optional<google::rpc::ErrorInfo> info = client::GetErrorInfo(failure);
  return info && std::any_of(kCovered.begin(), kCovered.end(), [&info](Reason reason) {
           return info->reason() == client::ReasonName(reason);
         });
}

}  // namespace semaphore::gateway
