#include "client/upstream_error.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/quote.h"
#include "client/redact.h"
#include "client/string_view.h"

namespace semaphore::client {
namespace {

namespace json = boost::json;

constexpr absl::Duration kDefaultRetryDelay = absl::Seconds(1);
constexpr absl::Duration kMaxRetryAfter = absl::Hours(1);
constexpr size_t kShownBytes = 200;         // of upstream's words in a message
constexpr size_t kRedactedBytes = 4 << 10;  // of upstream's words that are searched for secrets

// Texts of 400, 413 and 422 that mean something more exact than "rejected". The first match wins;
// letter case does not count; `also` must stand somewhere behind `text`.
struct TextRow {
  std::string_view text;
  std::string_view also;
  absl::StatusCode code;
  bool retry;
};

constexpr std::array kTexts = {
    TextRow{"limit of queuing", "", absl::StatusCode::kResourceExhausted, true},
    TextRow{"deployment target failed", "not found", absl::StatusCode::kNotFound, false},
    TextRow{"target for switch", "", absl::StatusCode::kNotFound, false},
    TextRow{"subject not allowed", "", absl::StatusCode::kPermissionDenied, false},
    TextRow{"object not allowed", "", absl::StatusCode::kPermissionDenied, false},
    TextRow{"syncing", "", absl::StatusCode::kFailedPrecondition, false},
    TextRow{"corrupted", "", absl::StatusCode::kFailedPrecondition, false},
    TextRow{"cordoned", "", absl::StatusCode::kFailedPrecondition, false},
    TextRow{"requires override", "", absl::StatusCode::kFailedPrecondition, false},
    TextRow{"existing agents", "", absl::StatusCode::kFailedPrecondition, false},
    TextRow{"was deleted", "", absl::StatusCode::kFailedPrecondition, false},
    TextRow{"by unique", "", absl::StatusCode::kAlreadyExists, false},
    TextRow{"be unique", "", absl::StatusCode::kAlreadyExists, false},
};

// gRPC's codes by number and name, with the HTTP status that grpc-gateway gives them.
struct CodeRow {
  int number;
  std::string_view name;
  int http;
};

constexpr std::array kCodes = {
    CodeRow{1, "CANCELLED", 499},           CodeRow{2, "UNKNOWN", 500},
    CodeRow{3, "INVALID_ARGUMENT", 400},    CodeRow{4, "DEADLINE_EXCEEDED", 504},
    CodeRow{5, "NOT_FOUND", 404},           CodeRow{6, "ALREADY_EXISTS", 409},
    CodeRow{7, "PERMISSION_DENIED", 403},   CodeRow{8, "RESOURCE_EXHAUSTED", 429},
    CodeRow{9, "FAILED_PRECONDITION", 400}, CodeRow{10, "ABORTED", 409},
    CodeRow{11, "OUT_OF_RANGE", 400},       CodeRow{12, "UNIMPLEMENTED", 501},
    CodeRow{13, "INTERNAL", 500},           CodeRow{14, "UNAVAILABLE", 503},
    CodeRow{15, "DATA_LOSS", 500},          CodeRow{16, "UNAUTHENTICATED", 401},
};

std::optional<json::value> ParseJson(std::string_view body) {
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(body.data(), body.size()), error);
  if (error) return std::nullopt;
  return value;
}

// The gRPC code that a JSON object body carries.
const CodeRow* BodyCode(std::string_view body) {
  const size_t first = body.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || body[first] != '{') return nullptr;
  const std::optional<json::value> value = ParseJson(body);
  if (!value || !value->is_object()) return nullptr;
  const json::value* code = value->get_object().if_contains("code");
  if (code == nullptr) return nullptr;
  for (const CodeRow& row : kCodes) {
    if (code->is_int64() && code->get_int64() == row.number) return &row;
    if (code->is_string() &&
        std::string_view(code->get_string().data(), code->get_string().size()) == row.name) {
      return &row;
    }
  }
  return nullptr;
}

bool IsAlreadyExists(const CodeRow* code) {
  return code != nullptr && code->name == "ALREADY_EXISTS";
}

// An address block of the "your IP is not allowed" page: several lines with something like 10.0.0.1
// or fe80::1.
bool NamesAnAddress(std::string_view message) {
  if (message.find('\n') == std::string_view::npos) return false;
  int dots = 0;
  for (size_t i = 1; i + 1 < message.size(); ++i) {
    const bool between_digits = absl::ascii_isdigit(static_cast<unsigned char>(message[i - 1])) &&
                                absl::ascii_isdigit(static_cast<unsigned char>(message[i + 1]));
    if (message[i] == '.' && between_digits) ++dots;
  }
  return dots >= 3 || message.find("::") != std::string_view::npos ||
         absl::StrContains(absl::AsciiStrToLower(ToAbsl(message)), "ip address");
}

const TextRow* FindText(std::string_view message) {
  const std::string lower = absl::AsciiStrToLower(ToAbsl(message));
  for (const TextRow& row : kTexts) {
    const size_t at = lower.find(row.text);
    if (at == std::string::npos) continue;
    if (row.also.empty() || lower.find(row.also, at + row.text.size()) != std::string::npos)
      return &row;
  }
  return nullptr;
}

absl::Status Rejected(const std::string& message, const std::string& shown, ErrorDetails details,
                      const CodeRow* body_code) {
  if (const TextRow* row = FindText(Utf8Prefix(message, kShownBytes))) {
    details.code = row->code;
    if (row->retry && !details.retry_after) details.retry_after = absl::Seconds(30);
  } else if (body_code != nullptr && body_code->name == "FAILED_PRECONDITION") {
    details.code = absl::StatusCode::kFailedPrecondition;
  } else if (body_code != nullptr && body_code->name == "OUT_OF_RANGE") {
    details.code = absl::StatusCode::kOutOfRange;
  }
  return MakeError(
      Reason::kUpstreamRejected,
      absl::StrCat("Semaphore refused the request: ", shown.empty() ? "no reason given" : shown),
      details);
}

absl::Status NotFound(const std::string& message, const ErrorDetails& details) {
  if (message == "oops") {
    return MakeError(Reason::kUpstreamUnsupported,
                     "this edition of Semaphore has no such endpoint, or base_url is wrong",
                     details);
  }
  if (NamesAnAddress(message)) {
    return MakeError(Reason::kUpstreamForbidden,
                     "Semaphore does not allow the gateway's IP address; see upstreamMessage",
                     details);
  }
  return MakeError(Reason::kUpstreamNotFound, "not found, or not visible to the gateway's token",
                   details);
}

absl::Status Unauthorized(std::string_view body, const ErrorDetails& details) {
  const absl::string_view text = absl::StripAsciiWhitespace(ToAbsl(body));
  if (text.empty() || text == "Unauthorized") {
    return MakeError(Reason::kUpstreamTokenRejected,
                     "Semaphore refused the gateway's API token; the operator must replace it",
                     details);
  }
  return MakeError(Reason::kUpstreamForbidden, "the gateway's token may not do this", details);
}

absl::Status Unavailable(std::string_view what, ErrorDetails details) {
  if (!details.retry_after) details.retry_after = kDefaultRetryDelay;
  return MakeError(Reason::kUpstreamUnavailable, what, details);
}

}  // namespace

std::string UpstreamMessage(std::string_view body) {
  const std::optional<json::value> value = ParseJson(body);
  if (value && value->is_string()) return std::string(value->get_string());
  if (value && value->is_object()) {
    const json::value* message = value->get_object().if_contains("message");
    if (message != nullptr && message->is_string()) return std::string(message->get_string());
  }
  return std::string(absl::StripAsciiWhitespace(ToAbsl(body)));
}

int EffectiveStatus(const HttpResponse& response) {
  const CodeRow* code = BodyCode(response.body);
  return code == nullptr ? response.status : code->http;
}

std::optional<absl::Duration> RetryAfter(const HttpResponse& response, absl::Time now) {
  const std::string text(absl::StripAsciiWhitespace(ToAbsl(response.Header("retry-after"))));
  if (text.empty()) return std::nullopt;
  int64_t seconds = 0;
  absl::Duration wait;
  absl::Time date;
  std::string error;
  if (text.find_first_not_of("0123456789") == std::string::npos) {
    wait = absl::SimpleAtoi(text, &seconds) ? absl::Seconds(seconds) : kMaxRetryAfter;
  } else if (absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", text, &date, &error)) {
    wait = date - now;
  } else {
    return std::nullopt;
  }
  return std::clamp(wait, absl::ZeroDuration(), kMaxRetryAfter);
}

absl::Status StatusFromReply(const HttpResponse& response, absl::Time now,
                             const std::vector<std::string>& secrets) {
  const std::string message = UpstreamMessage(response.body);
  ErrorDetails details;
  details.upstream_status = response.status;
  details.upstream_message = Redact(Utf8Prefix(message, kRedactedBytes), secrets);
  const std::string shown = ReplaceInvalidUtf8(Utf8Prefix(details.upstream_message, kShownBytes));
  details.retry_after = RetryAfter(response, now);
  const int status = EffectiveStatus(response);
  switch (status) {
    case 400:
    case 413:
    case 422:
      return Rejected(message, shown, details, BodyCode(response.body));
    case 401:
      return Unauthorized(response.body, details);
    case 403:
      if (message.empty())
        return Unavailable("Semaphore's authentication service did not answer", details);
      return MakeError(Reason::kUpstreamForbidden,
                       absl::StrCat("Semaphore does not allow this: ", shown), details);
    case 404:
      return NotFound(message, details);
    case 409:
      details.code = IsAlreadyExists(BodyCode(response.body)) ? absl::StatusCode::kAlreadyExists
                                                              : absl::StatusCode::kAborted;
      return MakeError(Reason::kUpstreamRejected, absl::StrCat("conflict at Semaphore: ", shown),
                       details);
    case 429:
      if (!details.retry_after) details.retry_after = kDefaultRetryDelay;
      return MakeError(Reason::kUpstreamRateLimited, "Semaphore asked for fewer requests", details);
    case 501:
      return MakeError(Reason::kUpstreamUnsupported,
                       "this edition of Semaphore does not offer this operation", details);
    case 502:
    case 503:
    case 504:
      return Unavailable(absl::StrCat("Semaphore is not available: HTTP ", response.status),
                         details);
    default:
      break;
  }
  details.retry_after.reset();
  if (status >= 300 && status < 400) {
    return MakeError(Reason::kUpstreamMalformedResponse,
                     "Semaphore sent a redirect, which is not followed; check base_url", details);
  }
  return MakeError(Reason::kUpstreamError,
                   absl::StrCat("Semaphore failed: HTTP ", response.status, " ", shown), details);
}

}  // namespace semaphore::client
