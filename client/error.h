// The one error value of the program: an absl::Status whose payloads are the google.rpc details
// that callers see. Here are the closed set of reasons (api.md, "Errors"), how each maps to a code,
// and how a status is made and read.
#ifndef SEMAPHORE_CLIENT_ERROR_H_
#define SEMAPHORE_CLIENT_ERROR_H_

#include <google/rpc/error_details.pb.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace semaphore::client {

enum class Reason {
  kInvalidField,
  kUnknownOrganization,
  kUpstreamTokenRejected,
  kUpstreamForbidden,
  kUpstreamUnavailable,
  kUpstreamNotFound,
  kUpstreamUnsupported,
  kUpstreamRejected,
  kUpstreamRateLimited,
  kUpstreamError,
  kUpstreamMalformedResponse,
  kUpstreamResponseTooLarge,
  kUpstreamCircuitOpen,
  kUpstreamBudgetExhausted,
  kCallerUnauthenticated,
  kCallerForbidden,
  kCallerQuotaExhausted,
  kGatewayOverloaded,
  kDeadline,
  kOutcomeUnknown,
  kCancelled,
  kGatewayDraining,
  kMethodNotFound,
  kRouteNotFound,
  kMethodNotAllowed,
  kNotAcceptable,
  kBodyTooLarge,
  kUnsupportedMediaType,
  kGatewayError,
};

// "UPSTREAM_NOT_FOUND"; stable, callers match on it.
std::string_view ReasonName(Reason reason);

// The code that goes with a reason unless a caller of MakeError overrides it (UPSTREAM_REJECTED has
// several).
absl::StatusCode ReasonCode(Reason reason);

struct ErrorDetails {
  std::string method;            // "semaphore.v1.PipelineService/GetPipeline"
  int upstream_status = 0;       // HTTP status that upstream answered; 0: none
  std::string upstream_message;  // upstream's own words; cut to 1 KiB
  std::string
      request_id;  // the idempotency token that the gateway made, when repeating with it is safe
  std::optional<absl::Duration> retry_after;
  std::optional<absl::StatusCode> code;  // instead of ReasonCode(reason)
};

// `message` says what was wrong and what to do, and holds no secret. The details stay under 4 KiB.
absl::Status MakeError(Reason reason, std::string_view message, const ErrorDetails& details = {});

struct FieldViolation {
  std::string field;        // dotted path in the request message, "deployment_target.name"
  std::string description;  // what was expected; a quoted value at most 64 bytes
};

// INVALID_FIELD with BadRequest details of the first 16 violations; the message names the first
// one.
absl::Status InvalidFields(const std::vector<FieldViolation>& violations);

// Adds `method` to the ErrorInfo of a status made above. OK and foreign statuses are returned as
// they are.
absl::Status WithMethod(absl::Status status, std::string_view method);

std::optional<google::rpc::ErrorInfo> GetErrorInfo(const absl::Status& status);
std::optional<absl::Duration> GetRetryAfter(const absl::Status& status);
bool HasReason(const absl::Status& status, Reason reason);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_ERROR_H_
