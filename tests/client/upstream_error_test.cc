#include "client/upstream_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/error.h"
#include "tests/client/status_reading.h"

namespace semaphore::client {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);  // 2023-11-14 22:13:20

constexpr char kAddressPage[] =
    "You cannot access this organization from your current IP address.\n\nYour IP is "
    "10.20.30.40.\n";

// A reply of upstream's and what callers see of it: the table of api.md, "Errors".
struct Row {
  int status;
  const char* body;
  absl::StatusCode code;
  const char* reason;
  bool retry_info;
};

TEST(UpstreamError, EveryReplyHasItsRowInTheTable) {
  using absl::StatusCode;
  const Row rows[] = {
      {401, "Unauthorized", StatusCode::kUnauthenticated, "UPSTREAM_TOKEN_REJECTED", false},
      {401, "Unauthorized\n", StatusCode::kUnauthenticated, "UPSTREAM_TOKEN_REJECTED", false},
      {401, "", StatusCode::kUnauthenticated, "UPSTREAM_TOKEN_REJECTED", false},
      {401, "Permission denied", StatusCode::kPermissionDenied, "UPSTREAM_FORBIDDEN", false},
      {401, R"({"message":"Unauthorized"})", StatusCode::kPermissionDenied, "UPSTREAM_FORBIDDEN",
       false},
      {403, "The deployment targets feature is not enabled", StatusCode::kPermissionDenied,
       "UPSTREAM_FORBIDDEN", false},
      {403, R"({"code":7,"message":"no","details":[]})", StatusCode::kPermissionDenied,
       "UPSTREAM_FORBIDDEN", false},
      {404, kAddressPage, StatusCode::kPermissionDenied, "UPSTREAM_FORBIDDEN", false},
      {403, "", StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true},
      {502, "", StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true},
      {503, "no healthy upstream", StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true},
      {504, "upstream request timeout", StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true},
      {404, "Not Found", StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", false},
      {404, "\"agent not found\"", StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", false},
      {404, R"({"code":5,"message":"Job x not found","details":[]})", StatusCode::kNotFound,
       "UPSTREAM_NOT_FOUND", false},
      {404, "", StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", false},
      {404, "oops", StatusCode::kUnimplemented, "UPSTREAM_UNSUPPORTED", false},
      {501, R"({"code":12,"message":"Method Not Allowed"})", StatusCode::kUnimplemented,
       "UPSTREAM_UNSUPPORTED", false},
      {501, "", StatusCode::kUnimplemented, "UPSTREAM_UNSUPPORTED", false},
      {400, "\"Invalid argument\"", StatusCode::kInvalidArgument, "UPSTREAM_REJECTED", false},
      {400, "", StatusCode::kInvalidArgument, "UPSTREAM_REJECTED", false},
      {413, "Something went wrong", StatusCode::kInvalidArgument, "UPSTREAM_REJECTED", false},
      {422, R"({"message":"name taken"})", StatusCode::kInvalidArgument, "UPSTREAM_REJECTED",
       false},
      {409, "busy", StatusCode::kAborted, "UPSTREAM_REJECTED", false},
      {429, "", StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED", true},
      {500, "\"Internal error\"", StatusCode::kInternal, "UPSTREAM_ERROR", false},
      {500, "Something went wrong", StatusCode::kInternal, "UPSTREAM_ERROR", false},
      {405, "", StatusCode::kInternal, "UPSTREAM_ERROR", false},
      {410, "gone", StatusCode::kInternal, "UPSTREAM_ERROR", false},
      {418, "teapot", StatusCode::kInternal, "UPSTREAM_ERROR", false},
      {301, "", StatusCode::kInternal, "UPSTREAM_MALFORMED_RESPONSE", false},
      {302, "", StatusCode::kInternal, "UPSTREAM_MALFORMED_RESPONSE", false},
      {304, "", StatusCode::kInternal, "UPSTREAM_MALFORMED_RESPONSE", false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::to_string(row.status) + " " + row.body);
    const absl::Status status = StatusFromReply({row.status, {}, row.body}, kNow);
    EXPECT_EQ(status.code(), row.code) << status;
    EXPECT_EQ(ReasonOf(status), row.reason);
    EXPECT_EQ(GetRetryAfter(status).has_value(), row.retry_info);
    EXPECT_EQ(MetadataOf(status, "upstreamStatus"), std::to_string(row.status));
    EXPECT_EQ(MetadataOf(status, "upstreamMessage"), UpstreamMessage(row.body));
    EXPECT_FALSE(status.message().empty());
  }
}

TEST(UpstreamError, TheTextOfARejectionDecidesItsCodeInAnyLetterCase) {
  using absl::StatusCode;
  const std::string target = "Triggering promotion with deployment target failed: ";
  const std::pair<std::string, StatusCode> rows[] = {
      {"Limit of queuing pipelines reached", StatusCode::kResourceExhausted},
      {"Invalid state: SYNCING", StatusCode::kFailedPrecondition},
      {target + "syncing (error ID: 1)", StatusCode::kFailedPrecondition},
      {target + "corrupted", StatusCode::kFailedPrecondition},
      {target + "cordoned", StatusCode::kFailedPrecondition},
      {"Triggering target when pipeline is not passed requires override confirmation.",
       StatusCode::kFailedPrecondition},
      {"can't delete agent type with existing agents", StatusCode::kFailedPrecondition},
      {"Project with id x was deleted.", StatusCode::kFailedPrecondition},
      {"agent type name must by unique in the organization", StatusCode::kAlreadyExists},
      {"name must be unique", StatusCode::kAlreadyExists},
      {"Target for switch: x does not exist", StatusCode::kNotFound},
      {target + "not found (error ID: 1)", StatusCode::kNotFound},
      {target + "subject not allowed", StatusCode::kPermissionDenied},
      {target + "object not allowed", StatusCode::kPermissionDenied},
      {"Changeset error", StatusCode::kInvalidArgument},
      {"whatever else", StatusCode::kInvalidArgument},
  };
  for (const auto& [text, code] : rows) {
    std::string upper = text;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    for (const std::string& body :
         {text, "\"" + text + "\"", R"({"message":")" + text + "\"}", upper}) {
      for (const int http : {400, 422}) {
        SCOPED_TRACE(std::to_string(http) + " " + body);
        const absl::Status status = StatusFromReply({http, {}, body}, kNow);
        EXPECT_EQ(status.code(), code) << status;
        EXPECT_EQ(ReasonOf(status), "UPSTREAM_REJECTED");
        EXPECT_EQ(GetRetryAfter(status).has_value(), code == StatusCode::kResourceExhausted);
      }
    }
  }
}

TEST(UpstreamError, ACodeInsideTheBodyWinsOverTheHttpStatus) {
  struct BodyRow {
    const char* body;
    int effective;
    absl::StatusCode code;
  };
  const BodyRow rows[] = {
      {R"({"code":5,"message":"m"})", 404, absl::StatusCode::kNotFound},
      {R"({"code":"NOT_FOUND","message":"m"})", 404, absl::StatusCode::kNotFound},
      {"\n {\"code\":5,\"message\":\"m\"}\n", 404, absl::StatusCode::kNotFound},
      {R"({"code":3,"message":"m"})", 400, absl::StatusCode::kInvalidArgument},
      {R"({"code":"INVALID_ARGUMENT","message":"m"})", 400, absl::StatusCode::kInvalidArgument},
      {R"({"code":9,"message":"m"})", 400, absl::StatusCode::kFailedPrecondition},
      {R"({"code":"FAILED_PRECONDITION","message":"m"})", 400,
       absl::StatusCode::kFailedPrecondition},
      {R"({"code":11,"message":"m"})", 400, absl::StatusCode::kOutOfRange},
      {R"({"code":6,"message":"m"})", 409, absl::StatusCode::kAlreadyExists},
      {R"({"code":"ALREADY_EXISTS","message":"m"})", 409, absl::StatusCode::kAlreadyExists},
      {R"({"code":10,"message":"m"})", 409, absl::StatusCode::kAborted},
      {R"({"code":7,"message":"m"})", 403, absl::StatusCode::kPermissionDenied},
      {R"({"code":8,"message":"m"})", 429, absl::StatusCode::kResourceExhausted},
      {R"({"code":12,"message":"m"})", 501, absl::StatusCode::kUnimplemented},
      {R"({"code":2,"message":"m"})", 500, absl::StatusCode::kInternal},
      {R"({"code":"INTERNAL","message":"m"})", 500, absl::StatusCode::kInternal},
      {R"({"code":14,"message":"m"})", 503, absl::StatusCode::kUnavailable},
      {R"({"code":4,"message":"m"})", 504, absl::StatusCode::kUnavailable},
  };
  for (const BodyRow& row : rows) {
    for (const int http : {400, 500}) {
      SCOPED_TRACE(std::to_string(http) + " " + row.body);
      const HttpResponse response{http, {}, row.body};
      EXPECT_EQ(EffectiveStatus(response), row.effective);
      EXPECT_EQ(StatusFromReply(response, kNow).code(), row.code);
      EXPECT_EQ(MetadataOf(StatusFromReply(response, kNow), "upstreamStatus"),
                std::to_string(http));
    }
  }
}

TEST(UpstreamError, WhatIsNoCodeChangesNothing) {
  for (const char* body : {"", "{", R"({"message":"m"})", R"({"code":99})", R"({"code":"teapot"})",
                           R"({"code":null})", R"({"code":[5]})", R"([{"code":5}])", R"("code")"}) {
    EXPECT_EQ(EffectiveStatus({422, {}, body}), 422) << body;
  }
}

TEST(UpstreamError, ItsWordsAreFoundInEveryEncoding) {
  EXPECT_EQ(UpstreamMessage("\"Internal error\""), "Internal error");
  EXPECT_EQ(UpstreamMessage("Internal error"), "Internal error");
  EXPECT_EQ(UpstreamMessage("  Internal error\r\n"), "Internal error");
  EXPECT_EQ(UpstreamMessage(R"({"message":"m\n\"q\"","code":3})"), "m\n\"q\"");
  EXPECT_EQ(UpstreamMessage(""), "");
  EXPECT_EQ(UpstreamMessage("\"\""), "");
  EXPECT_EQ(UpstreamMessage("\"cut"), "\"cut");
  EXPECT_EQ(UpstreamMessage(R"({"error":"e"})"), R"({"error":"e"})");
  EXPECT_EQ(UpstreamMessage(R"({"message":5})"), R"({"message":5})");
  EXPECT_EQ(UpstreamMessage("<html>502</html>"), "<html>502</html>");
  const std::string deep(10000, '[');
  EXPECT_EQ(UpstreamMessage(deep), deep);
}

TEST(UpstreamError, AHugeOrBrokenBodyIsShownShortAndWhole) {
  const std::string body = std::string(150, 'x') + std::string(1 << 20, '\xff');
  for (const int http : {400, 403, 409, 500}) {
    const absl::Status status = StatusFromReply({http, {}, body}, kNow);
    EXPECT_LT(status.message().size(), 500u) << http;
    EXPECT_LE(MetadataOf(status, "upstreamMessage").size(), 1024u) << http;
    EXPECT_LT(DetailBytes(status), 4096u) << http;
  }
}

absl::Duration Wait(const char* header) {
  const auto wait = RetryAfter({429, {{"retry-after", header}}, ""}, kNow);
  return wait ? *wait : -absl::InfiniteDuration();
}

TEST(RetryAfter, IsSecondsOrADate) {
  EXPECT_EQ(Wait("7"), absl::Seconds(7));
  EXPECT_EQ(Wait(" 7 "), absl::Seconds(7));
  EXPECT_EQ(Wait("0"), absl::ZeroDuration());
  EXPECT_EQ(Wait("Tue, 14 Nov 2023 22:13:50 GMT"), absl::Seconds(30));
}

TEST(RetryAfter, IsNeverNegativeAndAtMostAnHour) {
  EXPECT_EQ(Wait("Tue, 14 Nov 2023 22:13:00 GMT"), absl::ZeroDuration());
  EXPECT_EQ(Wait("Fri, 14 Nov 2033 22:13:00 GMT"), absl::Hours(1));
  EXPECT_EQ(Wait("3601"), absl::Hours(1));
  EXPECT_EQ(Wait("9223372036854775807"), absl::Hours(1));
  EXPECT_EQ(Wait("99999999999999999999999"), absl::Hours(1));
}

TEST(RetryAfter, AnythingElseIsNotTold) {
  EXPECT_EQ(RetryAfter({429, {}, ""}, kNow), std::nullopt);
  for (const char* header : {"", " ", "-5", "+5", "1.5", "soon", "7s", "0x7", "Tue, 14 Nov 2023",
                             "Tue, 99 Nov 2023 22:13:50 GMT", "14 Nov 2023 22:13:50"}) {
    EXPECT_EQ(RetryAfter({429, {{"retry-after", header}}, ""}, kNow), std::nullopt) << header;
  }
}

TEST(RetryAfter, ReachesTheCaller) {
  for (const int http : {429, 502, 503, 504}) {
    const absl::Status status = StatusFromReply({http, {{"retry-after", "17"}}, ""}, kNow);
    EXPECT_EQ(GetRetryAfter(status), absl::Seconds(17)) << http;
  }
}

}  // namespace
}  // namespace semaphore::client
