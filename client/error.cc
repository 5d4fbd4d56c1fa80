#include "client/error.h"

#include <algorithm>
#include <array>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "client/quote.h"
#include "client/string_view.h"

namespace semaphore::client {
namespace {

constexpr char kDomain[] = "semaphore-gateway";
constexpr size_t kMaxUpstreamMessageBytes = 1024;
constexpr size_t kMaxViolations = 16;
constexpr size_t kMaxViolationBytes = 150;

struct ReasonRow {
  Reason reason;
  std::string_view name;
  absl::StatusCode code;
};

constexpr std::array kReasons = {
    ReasonRow{Reason::kInvalidField, "INVALID_FIELD", absl::StatusCode::kInvalidArgument},
    ReasonRow{Reason::kUnknownOrganization, "UNKNOWN_ORGANIZATION",
              absl::StatusCode::kInvalidArgument},
    ReasonRow{Reason::kUpstreamTokenRejected, "UPSTREAM_TOKEN_REJECTED",
              absl::StatusCode::kUnauthenticated},
    ReasonRow{Reason::kUpstreamForbidden, "UPSTREAM_FORBIDDEN",
              absl::StatusCode::kPermissionDenied},
    ReasonRow{Reason::kUpstreamUnavailable, "UPSTREAM_UNAVAILABLE", absl::StatusCode::kUnavailable},
    ReasonRow{Reason::kUpstreamNotFound, "UPSTREAM_NOT_FOUND", absl::StatusCode::kNotFound},
    ReasonRow{Reason::kUpstreamUnsupported, "UPSTREAM_UNSUPPORTED",
              absl::StatusCode::kUnimplemented},
    ReasonRow{Reason::kUpstreamRejected, "UPSTREAM_REJECTED", absl::StatusCode::kInvalidArgument},
    ReasonRow{Reason::kUpstreamRateLimited, "UPSTREAM_RATE_LIMITED",
              absl::StatusCode::kResourceExhausted},
    ReasonRow{Reason::kUpstreamError, "UPSTREAM_ERROR", absl::StatusCode::kInternal},
    ReasonRow{Reason::kUpstreamMalformedResponse, "UPSTREAM_MALFORMED_RESPONSE",
              absl::StatusCode::kInternal},
    ReasonRow{Reason::kUpstreamResponseTooLarge, "UPSTREAM_RESPONSE_TOO_LARGE",
              absl::StatusCode::kInternal},
    ReasonRow{Reason::kUpstreamCircuitOpen, "UPSTREAM_CIRCUIT_OPEN",
              absl::StatusCode::kUnavailable},
    ReasonRow{Reason::kUpstreamBudgetExhausted, "UPSTREAM_BUDGET_EXHAUSTED",
              absl::StatusCode::kResourceExhausted},
    ReasonRow{Reason::kCallerUnauthenticated, "CALLER_UNAUTHENTICATED",
              absl::StatusCode::kUnauthenticated},
    ReasonRow{Reason::kCallerForbidden, "CALLER_FORBIDDEN", absl::StatusCode::kPermissionDenied},
    ReasonRow{Reason::kCallerQuotaExhausted, "CALLER_QUOTA_EXHAUSTED",
              absl::StatusCode::kResourceExhausted},
    ReasonRow{Reason::kGatewayOverloaded, "GATEWAY_OVERLOADED",
              absl::StatusCode::kResourceExhausted},
    ReasonRow{Reason::kDeadline, "DEADLINE", absl::StatusCode::kDeadlineExceeded},
    ReasonRow{Reason::kOutcomeUnknown, "OUTCOME_UNKNOWN", absl::StatusCode::kUnknown},
    ReasonRow{Reason::kCancelled, "CANCELLED", absl::StatusCode::kCancelled},
    ReasonRow{Reason::kGatewayDraining, "GATEWAY_DRAINING", absl::StatusCode::kUnavailable},
    ReasonRow{Reason::kMethodNotFound, "METHOD_NOT_FOUND", absl::StatusCode::kUnimplemented},
    ReasonRow{Reason::kRouteNotFound, "ROUTE_NOT_FOUND", absl::StatusCode::kNotFound},
    ReasonRow{Reason::kMethodNotAllowed, "METHOD_NOT_ALLOWED", absl::StatusCode::kUnimplemented},
    ReasonRow{Reason::kNotAcceptable, "NOT_ACCEPTABLE", absl::StatusCode::kInvalidArgument},
    ReasonRow{Reason::kBodyTooLarge, "BODY_TOO_LARGE", absl::StatusCode::kInvalidArgument},
    ReasonRow{Reason::kUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE",
              absl::StatusCode::kInvalidArgument},
    ReasonRow{Reason::kGatewayError, "GATEWAY_ERROR", absl::StatusCode::kInternal},
};

const ReasonRow& RowOf(Reason reason) {
  return *std::find_if(kReasons.begin(), kReasons.end(),
                       [reason](const ReasonRow& row) { return row.reason == reason; });
}

template <typename Message>
std::string UrlOf() {
  return absl::StrCat("type.googleapis.com/", Message::descriptor()->full_name());
}

template <typename Message>
void SetDetail(absl::Status& status, const Message& detail) {
  status.SetPayload(UrlOf<Message>(), absl::Cord(detail.SerializeAsString()));
}

template <typename Message>
std::optional<Message> GetDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(UrlOf<Message>());
  Message detail;
  if (!payload || !detail.ParseFromString(std::string(*payload))) return std::nullopt;
  return detail;
}

}  // namespace

std::string_view ReasonName(Reason reason) { return RowOf(reason).name; }

absl::StatusCode ReasonCode(Reason reason) { return RowOf(reason).code; }

absl::Status MakeError(Reason reason, std::string_view message, const ErrorDetails& details) {
  absl::Status status(details.code.value_or(ReasonCode(reason)), ToAbsl(message));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(reason)));
  info.set_domain(kDomain);
  auto& metadata = *info.mutable_metadata();
  if (!details.method.empty()) metadata["method"] = details.method;
  if (details.upstream_status != 0)
    metadata["upstreamStatus"] = absl::StrCat(details.upstream_status);
  if (!details.upstream_message.empty()) {
    // Cut twice: the first keeps the work small, and replaced bytes may triple what is left.
    const std::string words =
        ReplaceInvalidUtf8(Utf8Prefix(details.upstream_message, kMaxUpstreamMessageBytes));
    metadata["upstreamMessage"] = std::string(Utf8Prefix(words, kMaxUpstreamMessageBytes));
  }
  if (!details.request_id.empty()) metadata["requestId"] = details.request_id;
  SetDetail(status, info);
  if (details.retry_after) {
    google::rpc::RetryInfo retry;
    const absl::Duration delay = std::max(*details.retry_after, absl::ZeroDuration());
    retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(delay));
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(delay - absl::Trunc(delay, absl::Seconds(1)))));
    SetDetail(status, retry);
  }
  return status;
}

absl::Status InvalidFields(const std::vector<FieldViolation>& violations) {
  std::string message = violations.empty()
                            ? "invalid request"
                            : absl::StrCat(violations[0].field, ": ", violations[0].description);
  if (violations.size() > 1) {
    absl::StrAppend(&message, " (and ", violations.size() - 1, " more)");
  }
  absl::Status status = MakeError(Reason::kInvalidField, message);
  google::rpc::BadRequest bad_request;
  for (size_t i = 0; i < std::min(violations.size(), kMaxViolations); ++i) {
    auto* violation = bad_request.add_field_violations();
    violation->set_field(std::string(Utf8Prefix(violations[i].field, kMaxViolationBytes / 2)));
    violation->set_description(
        std::string(Utf8Prefix(violations[i].description, kMaxViolationBytes)));
  }
  SetDetail(status, bad_request);
  return status;
}

absl::Status WithMethod(absl::Status status, std::string_view method) {
  std::optional<google::rpc::ErrorInfo> info = GetErrorInfo(status);
  if (!info) return status;
  (*info->mutable_metadata())["method"] = std::string(method);
  SetDetail(status, *info);
  return status;
}

std::optional<google::rpc::ErrorInfo> GetErrorInfo(const absl::Status& status) {
  return GetDetail<google::rpc::ErrorInfo>(status);
}

std::optional<absl::Duration> GetRetryAfter(const absl::Status& status) {
  const auto retry = GetDetail<google::rpc::RetryInfo>(status);
  if (!retry) return std::nullopt;
  return absl::Seconds(retry->retry_delay().seconds()) +
         absl::Nanoseconds(retry->retry_delay().nanos());
}

bool HasReason(const absl::Status& status, Reason reason) {
  const std::optional<google::rpc::ErrorInfo> info = GetErrorInfo(status);
  return info && info->reason() == ReasonName(reason);
}

}  // namespace semaphore::client
