#include "client/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/quote.h"
#include "tests/client/method_fixture.h"
#include "tests/client/status_reading.h"

namespace semaphore::client {
namespace {

TEST(Error, EveryReasonHasItsNameAndCode) {
  struct Row {
    Reason reason;
    const char* name;
    absl::StatusCode code;
  };
  const Row rows[] = {
      {Reason::kInvalidField, "INVALID_FIELD", absl::StatusCode::kInvalidArgument},
      {Reason::kUnknownOrganization, "UNKNOWN_ORGANIZATION", absl::StatusCode::kInvalidArgument},
      {Reason::kUpstreamTokenRejected, "UPSTREAM_TOKEN_REJECTED",
       absl::StatusCode::kUnauthenticated},
      {Reason::kUpstreamForbidden, "UPSTREAM_FORBIDDEN", absl::StatusCode::kPermissionDenied},
      {Reason::kUpstreamUnavailable, "UPSTREAM_UNAVAILABLE", absl::StatusCode::kUnavailable},
      {Reason::kUpstreamNotFound, "UPSTREAM_NOT_FOUND", absl::StatusCode::kNotFound},
      {Reason::kUpstreamUnsupported, "UPSTREAM_UNSUPPORTED", absl::StatusCode::kUnimplemented},
      {Reason::kUpstreamRejected, "UPSTREAM_REJECTED", absl::StatusCode::kInvalidArgument},
      {Reason::kUpstreamRateLimited, "UPSTREAM_RATE_LIMITED", absl::StatusCode::kResourceExhausted},
      {Reason::kUpstreamError, "UPSTREAM_ERROR", absl::StatusCode::kInternal},
      {Reason::kUpstreamMalformedResponse, "UPSTREAM_MALFORMED_RESPONSE",
       absl::StatusCode::kInternal},
      {Reason::kUpstreamResponseTooLarge, "UPSTREAM_RESPONSE_TOO_LARGE",
       absl::StatusCode::kInternal},
      {Reason::kUpstreamBudgetExhausted, "UPSTREAM_BUDGET_EXHAUSTED",
       absl::StatusCode::kResourceExhausted},
      {Reason::kCallerUnauthenticated, "CALLER_UNAUTHENTICATED",
       absl::StatusCode::kUnauthenticated},
      {Reason::kCallerForbidden, "CALLER_FORBIDDEN", absl::StatusCode::kPermissionDenied},
      {Reason::kGatewayOverloaded, "GATEWAY_OVERLOADED", absl::StatusCode::kResourceExhausted},
      {Reason::kDeadline, "DEADLINE", absl::StatusCode::kDeadlineExceeded},
      {Reason::kOutcomeUnknown, "OUTCOME_UNKNOWN", absl::StatusCode::kUnknown},
      {Reason::kCancelled, "CANCELLED", absl::StatusCode::kCancelled},
      {Reason::kGatewayDraining, "GATEWAY_DRAINING", absl::StatusCode::kUnavailable},
      {Reason::kMethodNotFound, "METHOD_NOT_FOUND", absl::StatusCode::kUnimplemented},
      {Reason::kRouteNotFound, "ROUTE_NOT_FOUND", absl::StatusCode::kNotFound},
      {Reason::kMethodNotAllowed, "METHOD_NOT_ALLOWED", absl::StatusCode::kUnimplemented},
      {Reason::kNotAcceptable, "NOT_ACCEPTABLE", absl::StatusCode::kInvalidArgument},
      {Reason::kBodyTooLarge, "BODY_TOO_LARGE", absl::StatusCode::kInvalidArgument},
      {Reason::kUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", absl::StatusCode::kInvalidArgument},
      {Reason::kGatewayError, "GATEWAY_ERROR", absl::StatusCode::kInternal},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const absl::Status status = MakeError(row.reason, "words");
    EXPECT_EQ(ReasonName(row.reason), row.name);
    EXPECT_EQ(ReasonCode(row.reason), row.code);
    EXPECT_EQ(status.code(), row.code);
    EXPECT_EQ(status.message(), "words");
    EXPECT_EQ(ReasonOf(status), row.name);
    EXPECT_TRUE(HasReason(status, row.reason));
    EXPECT_EQ(GetErrorInfo(status)->domain(), "semaphore-gateway");
  }
}

TEST(Error, DetailsStandInTheMetadata) {
  ErrorDetails details;
  details.method = "semaphore.v1.JobService/GetJob";
  details.upstream_status = 409;
  details.upstream_message = "taken";
  details.request_id = "6063dd03-ecfb-11ed-b539-0045e2f582b7";
  details.code = absl::StatusCode::kAborted;
  const absl::Status status = MakeError(Reason::kUpstreamRejected, "conflict", details);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(MetadataOf(status, "method"), "semaphore.v1.JobService/GetJob");
  EXPECT_EQ(MetadataOf(status, "upstreamStatus"), "409");
  EXPECT_EQ(MetadataOf(status, "upstreamMessage"), "taken");
  EXPECT_EQ(MetadataOf(status, "requestId"), "6063dd03-ecfb-11ed-b539-0045e2f582b7");
}

TEST(Error, WhatIsNotKnownIsNotInTheMetadata) {
  EXPECT_TRUE(GetErrorInfo(MakeError(Reason::kDeadline, "late"))->metadata().empty());
  EXPECT_EQ(GetRetryAfter(MakeError(Reason::kDeadline, "late")), std::nullopt);
}

TEST(Error, RetryInfoIsKeptToTheNanosecondAndNeverNegative) {
  ErrorDetails details;
  details.retry_after = absl::Milliseconds(1500) + absl::Nanoseconds(7);
  EXPECT_EQ(GetRetryAfter(MakeError(Reason::kUpstreamRateLimited, "", details)),
            absl::Milliseconds(1500) + absl::Nanoseconds(7));
  details.retry_after = absl::Seconds(-3);
  EXPECT_EQ(GetRetryAfter(MakeError(Reason::kUpstreamRateLimited, "", details)),
            absl::ZeroDuration());
}

TEST(Error, UpstreamsWordsAreAtMostOneKibibyteWhateverTheyAre) {
  for (const std::string& words :
       {std::string(5000, 'x'), std::string(5000, '\xff'), std::string(1023, 'x') + "ä",
        std::string("\xe2\x9c") + std::string(3000, '\xe2')}) {
    SCOPED_TRACE(Quote(words));
    ErrorDetails details;
    details.upstream_message = words;
    const std::string kept =
        MetadataOf(MakeError(Reason::kUpstreamRejected, "no", details), "upstreamMessage");
    EXPECT_LE(kept.size(), 1024u);
    EXPECT_GE(kept.size(), 1021u);
    EXPECT_EQ(ReplaceInvalidUtf8(kept), kept);
  }
}

TEST(Error, DetailsOfAReplyStayUnderFourKibibytes) {
  ErrorDetails details;
  details.upstream_status = 429;
  details.upstream_message = std::string(100000, '\xff');
  details.request_id = "6063dd03-ecfb-11ed-b539-0045e2f582b7";
  details.retry_after = absl::Seconds(3);
  const absl::Status status = WithMethod(MakeError(Reason::kUpstreamRateLimited, "m", details),
                                         "semaphore.v1.ArtifactRetentionPolicyService/"
                                         "UpdateArtifactRetentionPolicy");
  EXPECT_LT(DetailBytes(status), 4096u);
}

TEST(Error, AtMostSixteenViolationsAreShownUnderFourKibibytes) {
  std::vector<FieldViolation> violations(
      100, {std::string(400, 'f'), "must be short, got " + Quote(std::string(500, '\xff'))});
  const absl::Status status =
      WithMethod(InvalidFields(violations),
                 "semaphore.v1.ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy");
  EXPECT_EQ(BadRequestOf(status).field_violations_size(), 16);
  EXPECT_LT(DetailBytes(status), 4096u);
}

TEST(Error, InvalidFieldsNamesTheFirstAndCountsTheOthers) {
  const absl::Status status = InvalidFields({{"job_id", "required"}, {"view", "99 is no value"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("job_id: required"));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("1 more"));
  EXPECT_THAT(FieldsOf(status), testing::ElementsAre("job_id", "view"));
  EXPECT_EQ(GetRetryAfter(status), std::nullopt);
}

TEST(Error, WithMethodLeavesOkAndForeignStatusesAlone) {
  EXPECT_TRUE(WithMethod(absl::OkStatus(), "m").ok());
  const absl::Status foreign = absl::InternalError("foreign");
  EXPECT_EQ(WithMethod(foreign, "m"), foreign);
  const absl::Status named = WithMethod(MakeError(Reason::kDeadline, "late"), "m");
  EXPECT_EQ(MetadataOf(named, "method"), "m");
  EXPECT_EQ(named.message(), "late");
}

TEST(Error, AForeignStatusHasNoReason) {
  EXPECT_FALSE(HasReason(absl::InternalError("x"), Reason::kGatewayError));
  EXPECT_EQ(GetErrorInfo(absl::OkStatus()), std::nullopt);
  absl::Status broken = absl::InternalError("x");
  broken.SetPayload("type.googleapis.com/google.rpc.ErrorInfo", absl::Cord("\xff\xff"));
  EXPECT_EQ(GetErrorInfo(broken), std::nullopt);
}

}  // namespace
}  // namespace semaphore::client
