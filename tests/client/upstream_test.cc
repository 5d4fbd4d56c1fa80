#include "client/upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "client/error.h"
#include "client/validate.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/workflow.pb.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kGet[] = "PipelineService/GetPipeline";
constexpr char kPipeline[] = "pipeline_id: 'p'";
constexpr char kBody[] = R"({"pipeline":{"name":"n","new":1},"blocks":[]})";
constexpr char kRerun[] = "WorkflowService/RerunWorkflow";
constexpr char kRun[] = "WorkflowService/RunWorkflow";
constexpr char kRunRequest[] = "project_id: 'p' reference: 'main'";
constexpr char kDeleteTarget[] = "DeploymentTargetService/DeleteDeploymentTarget";
constexpr char kUuid[] = "6063dd03-ecfb-11ed-b539-0045e2f582b7";

std::string WithId(const char* request) {
  return std::string(request) + " request_id: '" + kUuid + "'";
}

// The value of a query parameter in a recorded request.
std::string Parameter(const HttpRequest& request, const std::string& name) {
  const size_t at = request.target.find(name + "=");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 1;
  return request.target.substr(begin, request.target.find('&', begin) - begin);
}

class UpstreamTest : public UpstreamFixture {};

TEST_F(UpstreamTest, AReadIsOneRequestWithTokenAndTrace) {
  http_.Reply(200, kBody);
  traceparent_ = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const CallResult result = Call(kGet, "pipeline_id: 'p' view: PIPELINE_VIEW_FULL");
  EXPECT_EQ(ReplyOf<v1::Pipeline>(result).name(), "n");
  EXPECT_EQ(result.attempts, 1);
  ASSERT_EQ(http_.requests.size(), 1u);
  EXPECT_EQ(http_.requests[0].method, "GET");
  EXPECT_EQ(http_.requests[0].target, "/api/v1alpha/pipelines/p?detailed=true");
  EXPECT_EQ(http_.requests[0].authorization, "Token CANARY-token");
  EXPECT_EQ(http_.requests[0].traceparent, traceparent_);
  EXPECT_TRUE(http_.requests[0].repeatable);
  EXPECT_EQ(drift_.unknown_fields, 1u);
  EXPECT_THAT(observed_, ElementsAre(200));
}

TEST_F(UpstreamTest, AChangeIsNeverWrittenASecondTimeByTheConnection) {
  http_.Reply(200, R"({"workflow_id":"w","pipeline_id":"p"})");
  EXPECT_TRUE(Call(kRun, kRunRequest).status.ok());
  EXPECT_FALSE(http_.requests[0].repeatable);
}

TEST_F(UpstreamTest, WithoutATokenNothingIsSent) {
  token_ = absl::NotFoundError("no such file");
  const CallResult result = Call(kGet, kPipeline);
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_TOKEN_REJECTED");
  EXPECT_TRUE(http_.requests.empty());
  EXPECT_FALSE(result.may_have_arrived);
}

TEST_F(UpstreamTest, AReadIsRepeatedThreeTimesInAllWithBackoff) {
  http_.Reply(503, "");
  http_.Break(HttpCause::kReset, true);
  http_.Reply(500, "\"Internal error\"");
  const CallResult result = Call(kGet, kPipeline);
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_ERROR");
  EXPECT_EQ(MetadataOf(result.status, "method"), "semaphore.v1.PipelineService/GetPipeline");
  EXPECT_EQ(result.attempts, 3);
  EXPECT_THAT(retries_, ElementsAre("unavailable", "connection"));
  EXPECT_THAT(sleeps_, ElementsAre(milliseconds(50), milliseconds(100)));
  EXPECT_THAT(observed_, ElementsAre(503, 0, 500));
}

TEST_F(UpstreamTest, ALaterAttemptThatSucceedsIsTheAnswer) {
  http_.Reply(502, "");
  http_.Reply(200, kBody);
  const CallResult result = Call(kGet, kPipeline);
  EXPECT_EQ(ReplyOf<v1::Pipeline>(result).name(), "n");
  EXPECT_EQ(result.attempts, 2);
}

TEST_F(UpstreamTest, UpstreamsRetryAfterIsWaitedFor) {
  http_.Reply(429, "", {{"retry-after", "7"}});
  http_.Reply(200, kBody);
  EXPECT_TRUE(Call(kGet, kPipeline).status.ok());
  // And then for a token: what the bucket held is gone.
  EXPECT_THAT(sleeps_, ElementsAre(seconds(7), testing::Lt(milliseconds(1))));
}

TEST_F(UpstreamTest, NothingIsTriedAfterTheDeadline) {
  http_.Reply(429, "", {{"retry-after", "7"}});
  const CallResult result = Call(kGet, kPipeline, seconds(7));
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(GetRetryAfter(result.status), absl::Seconds(7));
  EXPECT_TRUE(sleeps_.empty()) << "a wait that cannot help is not begun";
}

TEST_F(UpstreamTest, EveryAttemptHasTheCallsDeadline) {
  http_.Reply(503, "");
  http_.Reply(503, "");
  http_.Reply(503, "");
  const MonotonicTime deadline = clock_.Now() + seconds(30);
  Call(kGet, kPipeline);
  EXPECT_THAT(http_.deadlines, ElementsAre(deadline, deadline, deadline));
}

TEST_F(UpstreamTest, ACallerWhoGoesAwayBetweenAttemptsEndsTheCall) {
  http_.Reply(503, "");
  cancel_sleeps_ = true;
  const CallResult result = Call(kGet, kPipeline);
  EXPECT_FALSE(result.status.ok());
  EXPECT_EQ(result.attempts, 1);
}

TEST_F(UpstreamTest, AChangeThatArrivedEndsUnknownWhenItsCallerGoesAwayBetweenAttempts) {
  http_.Reply(503, "");
  cancel_sleeps_ = true;
  EXPECT_EQ(ReasonOf(Call(kRerun, "workflow_id: 'w'").status), "OUTCOME_UNKNOWN");
}

TEST_F(UpstreamTest, EveryAttemptTakesATokenOfTheBudget) {
  http_.Reply(500, "");
  http_.Reply(200, kBody);
  const double before = budget_.GetStats().tokens;
  random_ = 0;
  EXPECT_TRUE(Call(kGet, kPipeline).status.ok());
  EXPECT_NEAR(before - budget_.GetStats().tokens, 2, 1e-6);
}

TEST_F(UpstreamTest, ARefusalByTheBudgetIsToldAsItIs) {
  LocalBudget empty({.requests_per_second = 0.01, .burst = 1}, clock_, context_.get_executor(),
                    [this](MonotonicTime until) { return Sleep(until); });
  Upstream::Options options;
  options.token = [] { return "t"; };
  options.random = [] { return 0.0; };
  auto made = Upstream::Create(std::move(options), Table(), http_, empty, clock_);
  ASSERT_TRUE(made.ok());
  upstream_ = *std::move(made);
  http_.Reply(200, kBody);
  EXPECT_TRUE(Call(kGet, kPipeline).status.ok());
  const CallResult refused = Call(kGet, kPipeline);
  EXPECT_EQ(ReasonOf(refused.status), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_EQ(GetRetryAfter(refused.status), absl::Seconds(100));
  EXPECT_FALSE(refused.may_have_arrived);
  EXPECT_EQ(refused.attempts, 1);
}

TEST_F(UpstreamTest, WhatEndsAConnectionHasItsRowInTheTable) {
  struct Row {
    HttpCause cause;
    absl::StatusCode code;
    const char* reason;
    bool retry_info;
    int attempts;
  };
  const Row rows[] = {
      {HttpCause::kDns, absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true, 3},
      {HttpCause::kConnect, absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true, 3},
      {HttpCause::kProxy, absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true, 3},
      {HttpCause::kTls, absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true, 1},
      {HttpCause::kReset, absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true, 3},
      {HttpCause::kMalformed, absl::StatusCode::kInternal, "UPSTREAM_MALFORMED_RESPONSE", false, 1},
      {HttpCause::kTooLarge, absl::StatusCode::kInternal, "UPSTREAM_RESPONSE_TOO_LARGE", false, 1},
      {HttpCause::kDeadline, absl::StatusCode::kDeadlineExceeded, "DEADLINE", false, 1},
      {HttpCause::kCancelled, absl::StatusCode::kCancelled, "CANCELLED", false, 1},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.reason);
    for (int i = 0; i < row.attempts; ++i) http_.Break(row.cause, true);
    const CallResult result = Call(kGet, kPipeline);
    EXPECT_EQ(result.status.code(), row.code);
    EXPECT_EQ(ReasonOf(result.status), row.reason);
    EXPECT_EQ(GetRetryAfter(result.status).has_value(), row.retry_info);
    EXPECT_EQ(result.attempts, row.attempts);
  }
}

TEST_F(UpstreamTest, TooManyWaitingCallsAreAnOverload) {
  http_.Break(HttpCause::kRefused, false, absl::ResourceExhaustedError("queue full"));
  const CallResult result = Call(kGet, kPipeline);
  EXPECT_EQ(ReasonOf(result.status), "GATEWAY_OVERLOADED");
  EXPECT_TRUE(GetRetryAfter(result.status).has_value());
}

TEST_F(UpstreamTest, ARequestThatOurOwnClientRefusesIsOurOwnError) {
  for (const char* method : {kGet, kRun}) {
    http_.Break(HttpCause::kRefused, false, absl::InvalidArgumentError("the target holds a space"));
    const CallResult result = Call(method, method == kGet ? kPipeline : kRunRequest);
    EXPECT_EQ(result.status.code(), absl::StatusCode::kInternal);
    EXPECT_EQ(ReasonOf(result.status), "GATEWAY_ERROR");
    EXPECT_FALSE(GetRetryAfter(result.status).has_value());
    EXPECT_FALSE(result.may_have_arrived);
  }
}

TEST_F(UpstreamTest, ARedirectIsNotFollowed) {
  http_.Reply(302, "", {{"location", "https://elsewhere/"}});
  EXPECT_EQ(ReasonOf(Call(kGet, kPipeline).status), "UPSTREAM_MALFORMED_RESPONSE");
}

TEST_F(UpstreamTest, RunWorkflowIsNeverSentTwice) {
  for (const int status : {500, 502, 503, 504}) {
    SCOPED_TRACE(status);
    http_.requests.clear();
    http_.Reply(status, "");
    const CallResult result = Call(kRun, kRunRequest);
    EXPECT_EQ(result.status.code(), absl::StatusCode::kUnknown);
    EXPECT_EQ(ReasonOf(result.status), "OUTCOME_UNKNOWN");
    EXPECT_EQ(GetRetryAfter(result.status), std::nullopt);
    EXPECT_EQ(MetadataOf(result.status, "upstreamStatus"), std::to_string(status));
    EXPECT_EQ(MetadataOf(result.status, "requestId"), "");
    EXPECT_EQ(http_.requests.size(), 1u);
  }
  for (const HttpCause cause : {HttpCause::kReset, HttpCause::kDeadline, HttpCause::kCancelled,
                                HttpCause::kMalformed, HttpCause::kTooLarge}) {
    http_.Break(cause, true);
    EXPECT_EQ(ReasonOf(Call(kRun, kRunRequest).status), "OUTCOME_UNKNOWN");
  }
}

TEST_F(UpstreamTest, AChangeThatWasNotSentIsNotUnknown) {
  http_.Break(HttpCause::kConnect, false);
  EXPECT_EQ(ReasonOf(Call(kRun, kRunRequest).status), "UPSTREAM_UNAVAILABLE");
  http_.Break(HttpCause::kDeadline, false);
  EXPECT_EQ(ReasonOf(Call(kRun, kRunRequest).status), "DEADLINE");
}

TEST_F(UpstreamTest, AClearRefusalOfAChangeIsToldAsItIs) {
  for (const int status : {400, 404, 405, 418, 422, 429}) {
    http_.Reply(status, "no");
    EXPECT_THAT(ReasonOf(Call(kRun, kRunRequest).status), Not("OUTCOME_UNKNOWN")) << status;
  }
}

TEST_F(UpstreamTest, AReplyToAChangeThatMakesNoSenseIsUnknown) {
  http_.Reply(200, "<html>");
  EXPECT_EQ(ReasonOf(Call(kRun, kRunRequest).status), "OUTCOME_UNKNOWN");
  http_.Reply(200, "<html>");
  const CallResult ours = Call(kRerun, "workflow_id: 'w'");
  EXPECT_EQ(ReasonOf(ours.status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(MetadataOf(ours.status, "requestId"),
            Parameter(http_.requests.back(), "request_token"));
  http_.Reply(200, "<html>");
  EXPECT_EQ(ReasonOf(Call(kRerun, WithId("workflow_id: 'w'")).status),
            "UPSTREAM_MALFORMED_RESPONSE");
}

TEST_F(UpstreamTest, ARequestIdIsMadeOnceAndTheSameOverAllAttempts) {
  for (int i = 0; i < 3; ++i) http_.Reply(503, "");
  const CallResult result = Call(kRerun, "workflow_id: 'w'");
  ASSERT_EQ(http_.requests.size(), 3u);
  const std::string made = Parameter(http_.requests[0], "request_token");
  EXPECT_TRUE(IsUuid(made)) << made;
  for (const HttpRequest& request : http_.requests) {
    EXPECT_EQ(Parameter(request, "request_token"), made);
  }
  EXPECT_EQ(ReasonOf(result.status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(MetadataOf(result.status, "requestId"), made);
  EXPECT_EQ(GetRetryAfter(result.status), std::nullopt);
}

TEST_F(UpstreamTest, NoTwoCallsGetTheSameRequestId) {
  std::set<std::string> made;
  for (int i = 0; i < 100; ++i) {
    http_.Reply(200, R"({"wf_id":"w","ppl_id":"p"})");
    Call(kRerun, "workflow_id: 'w'");
    made.insert(Parameter(http_.requests.back(), "request_token"));
  }
  EXPECT_EQ(made.size(), 100u);
}

TEST_F(UpstreamTest, TheCallersRequestIdIsSentAndReportedAsAReadIs) {
  for (int i = 0; i < 3; ++i) http_.Reply(503, "");
  const CallResult result = Call(kRerun, WithId("workflow_id: 'w'"));
  EXPECT_EQ(Parameter(http_.requests[2], "request_token"), kUuid);
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_UNAVAILABLE");
  EXPECT_TRUE(GetRetryAfter(result.status).has_value());
  EXPECT_EQ(MetadataOf(result.status, "requestId"), "");
}

TEST_F(UpstreamTest, ADoubtfulAttemptIsNotForgottenWhenALaterOneIsTurnedAwayAtTheGate) {
  http_.Reply(503, "");
  http_.Reply(429, "");
  http_.Reply(429, "");
  const CallResult result = Call(kRerun, "workflow_id: 'w'");
  EXPECT_EQ(ReasonOf(result.status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(GetRetryAfter(result.status), std::nullopt);
}

TEST_F(UpstreamTest, AttemptsThatWereAllTurnedAwayLeaveNoDoubt) {
  for (int i = 0; i < 3; ++i) http_.Reply(429, "");
  const CallResult result = Call(kRerun, "workflow_id: 'w'");
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_RATE_LIMITED");
  EXPECT_TRUE(GetRetryAfter(result.status).has_value());
}

TEST_F(UpstreamTest, ADeleteThatFindsNothingOnALaterAttemptHasSucceeded) {
  for (const auto& [method, request] :
       {std::pair{kDeleteTarget, "deployment_target_id: 'd'"},
        std::pair{"AgentTypeService/DeleteAgentType", "agent_type_name: 's1-a'"}}) {
    http_.Break(HttpCause::kReset, true);
    http_.Reply(404, "\"not found\"");
    const CallResult result = Call(method, request);
    EXPECT_TRUE(result.status.ok()) << method << result.status;
    EXPECT_EQ(result.attempts, 2);
  }
}

TEST_F(UpstreamTest, ADeleteThatFindsNothingAtOnceIsNotFound) {
  http_.Reply(404, "Not found");
  EXPECT_EQ(ReasonOf(Call(kDeleteTarget, "deployment_target_id: 'd'").status),
            "UPSTREAM_NOT_FOUND");
  http_.Break(HttpCause::kConnect, false);
  http_.Reply(404, "Not found");
  EXPECT_EQ(ReasonOf(Call(kDeleteTarget, "deployment_target_id: 'd'").status),
            "UPSTREAM_NOT_FOUND");
}

TEST_F(UpstreamTest, ATokenThatUpstreamEchoesGoesNoFurther) {
  const std::string bodies[] = {
      "CANARY-token",
      "\"bad token: CANARY-token\"",
      R"({"message":"Authorization: Token CANARY-token CANARY-token","code":3})",
      std::string(1018, 'x') + "CANARY-token",
      std::string(195, 'x') + "CANARY-token",
  };
  for (const int status : {400, 401, 403, 404, 409, 418, 429, 500, 501, 503, 302}) {
    for (const std::string& body : bodies) {
      SCOPED_TRACE(std::to_string(status) + " " + body);
      http_.Otherwise([&](const HttpRequest&) {
        HttpResult result;
        result.may_have_arrived = true;
        result.response = {status, {{"location", "https://x/CANARY-token"}}, body};
        return result;
      });
      for (const char* method : {kGet, kRun, kRerun}) {
        const std::string request = method == kGet   ? kPipeline
                                    : method == kRun ? kRunRequest
                                                     : "workflow_id: 'w'";
        const CallResult result = Call(method, request);
        EXPECT_FALSE(result.status.ok());
        EXPECT_THAT(Everything(result.status), Not(HasSubstr("CANARY")));
      }
    }
  }
}

TEST_F(UpstreamTest, ATokenThatUpstreamEchoesEscapedGoesNoFurther) {
  token_ = "CANARY/token";
  http_.Reply(400, R"("bad token: CANARY\/token \u0043ANARY/token")");
  const CallResult result = Call(kGet, kPipeline);
  EXPECT_THAT(Everything(result.status), Not(HasSubstr("CANARY")));
  EXPECT_THAT(Everything(result.status), HasSubstr("bad token"));
}

}  // namespace
}  // namespace semaphore::client
