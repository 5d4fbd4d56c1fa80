#include "gateway/rest_status.h"

#include <gmock/gmock.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "absl/strings/cord.h"
#include "client/error.h"

namespace semaphore::gateway {
namespace {

using client::ErrorDetails;
using client::MakeError;
using client::Reason;
using testing::HasSubstr;
using testing::Not;

boost::json::value Parse(const std::string& text) {
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  EXPECT_FALSE(error) << error.message() << ": " << text;
  return value;
}

TEST(RestStatus, EveryCodeHasItsHttpStatus) {
  struct Row {
    absl::StatusCode code;
    int http;
  };
  const Row rows[] = {
      {absl::StatusCode::kOk, 200},
      {absl::StatusCode::kCancelled, 499},
      {absl::StatusCode::kUnknown, 500},
      {absl::StatusCode::kInvalidArgument, 400},
      {absl::StatusCode::kDeadlineExceeded, 504},
      {absl::StatusCode::kNotFound, 404},
      {absl::StatusCode::kAlreadyExists, 409},
      {absl::StatusCode::kPermissionDenied, 403},
      {absl::StatusCode::kResourceExhausted, 429},
      {absl::StatusCode::kFailedPrecondition, 400},
      {absl::StatusCode::kAborted, 409},
      {absl::StatusCode::kOutOfRange, 400},
      {absl::StatusCode::kUnimplemented, 501},
      {absl::StatusCode::kInternal, 500},
      {absl::StatusCode::kUnavailable, 503},
      {absl::StatusCode::kDataLoss, 500},
      {absl::StatusCode::kUnauthenticated, 401},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(absl::StatusCodeToString(row.code));
    EXPECT_EQ(HttpStatusOf(absl::Status(row.code, "words")), row.http);
  }
}

TEST(RestStatus, SomeReasonsHaveAnHttpStatusOfTheirOwn) {
  struct Row {
    Reason reason;
    int http;
  };
  const Row rows[] = {
      {Reason::kUpstreamTokenRejected, 502}, {Reason::kRouteNotFound, 404},
      {Reason::kMethodNotAllowed, 405},      {Reason::kNotAcceptable, 406},
      {Reason::kBodyTooLarge, 413},          {Reason::kUnsupportedMediaType, 415},
      {Reason::kInvalidField, 400},          {Reason::kMethodNotFound, 501},
      {Reason::kGatewayDraining, 503},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(client::ReasonName(row.reason));
    EXPECT_EQ(HttpStatusOf(MakeError(row.reason, "words")), row.http);
  }
}

TEST(RestStatus, TheBodyIsTheStatusWithItsDetails) {
  ErrorDetails details;
  details.method = "semaphore.v1.PipelineService/GetPipeline";
  details.upstream_status = 503;
  details.upstream_message = "down \"for\"\nnow";
  details.retry_after = absl::Milliseconds(1500);
  EXPECT_EQ(
      StatusJson(MakeError(Reason::kUpstreamUnavailable, "Semaphore is down", details)),
      R"({"code":14,"message":"Semaphore is down","details":[)"
      R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"UPSTREAM_UNAVAILABLE",)"
      R"("domain":"semaphore-gateway","metadata":{"method":"semaphore.v1.PipelineService/GetPipeline",)"
      R"("upstreamMessage":"down \"for\"\nnow","upstreamStatus":"503"}},)"
      R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}]})");
}

TEST(RestStatus, FieldsThatAreWrongAreNamedInTheBody) {
  const std::string json = StatusJson(
      client::InvalidFields({{"page_size", "must not be negative"}, {"name", "required"}}));
  EXPECT_THAT(json, HasSubstr(R"("@type":"type.googleapis.com/google.rpc.BadRequest",)"
                              R"("fieldViolations":[{"field":"page_size",)"
                              R"("description":"must not be negative"},{"field":"name",)"
                              R"("description":"required"}])"));
}

TEST(RestStatus, AStatusWithoutDetailsHasAnEmptyList) {
  EXPECT_EQ(StatusJson(absl::NotFoundError("nothing")),
            R"({"code":5,"message":"nothing","details":[]})");
  EXPECT_EQ(StatusJson(absl::OkStatus()), R"({"code":0,"message":"","details":[]})");
}

TEST(RestStatus, WhatIsNoUtf8IsRepaired) {
  const std::string json = StatusJson(absl::InternalError("a\xFF\x01z"));
  EXPECT_EQ(Parse(json).at("message").as_string(), "a\xEF\xBF\xBD\x01z");
}

TEST(RestStatus, ADetailThatCannotBeShownIsLeftOut) {
  absl::Status status = MakeError(Reason::kDeadline, "late");
  status.SetPayload("type.googleapis.com/no.such.Type", absl::Cord("x"));
  status.SetPayload("type.googleapis.com/google.rpc.BadRequest", absl::Cord("\xff\xff"));
  status.SetPayload("", absl::Cord("x"));
  const std::string json = StatusJson(status);
  EXPECT_EQ(Parse(json).at("details").as_array().size(), 1u);
  EXPECT_THAT(json, Not(HasSubstr("no.such")));
}

}  // namespace
}  // namespace semaphore::gateway
