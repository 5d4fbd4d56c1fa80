// Every change of the API under every failure that leaves it in doubt: how often it is sent and
// what its caller is told (api.md, below the table of errors). Which method may be repeated is
// written down here once more, so that an option that is changed by mistake fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "client/error.h"
#include "client/validate.h"
#include "tests/client/full_request.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

using google::protobuf::Message;
using testing::HasSubstr;

enum class Repeatable { kNever, kWithToken, kByNature };

const std::map<std::string, Repeatable>& Changes() {
  using enum Repeatable;
  static const auto* const changes = new std::map<std::string, Repeatable>{
      {"WorkflowService/RunWorkflow", kNever},
      {"WorkflowService/RerunWorkflow", kWithToken},
      {"WorkflowService/StopWorkflow", kByNature},
      {"PipelineService/StopPipeline", kByNature},
      {"PipelineService/ValidatePipelineYaml", kByNature},
      {"PromotionService/TriggerPromotion", kWithToken},
      {"JobService/StopJob", kByNature},
      {"AgentTypeService/CreateAgentType", kNever},
      {"AgentTypeService/UpdateAgentType", kByNature},
      {"AgentTypeService/DeleteAgentType", kByNature},
      {"AgentTypeService/DisableAgents", kByNature},
      {"DeploymentTargetService/CreateDeploymentTarget", kWithToken},
      {"DeploymentTargetService/UpdateDeploymentTarget", kWithToken},
      {"DeploymentTargetService/DeleteDeploymentTarget", kWithToken},
      {"DeploymentTargetService/DeactivateDeploymentTarget", kByNature},
      {"DeploymentTargetService/ActivateDeploymentTarget", kByNature},
      {"ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy", kByNature},
  };
  return *changes;
}

// A way for one attempt to end.
struct Failure {
  const char* what;
  HttpResult result;
  const char* reason;     // as a read would be told
  bool passing = false;   // worth another attempt where that is allowed
  bool in_doubt = false;  // it may have been carried out
};

HttpResult Broken(HttpCause cause, bool may_have_arrived) {
  HttpResult result;
  result.status = absl::UnavailableError("broken");
  result.cause = cause;
  result.may_have_arrived = may_have_arrived;
  return result;
}

HttpResult Answered(int status, std::string body) {
  HttpResult result;
  result.may_have_arrived = true;
  result.response = {status, {}, std::move(body)};
  return result;
}

std::vector<Failure> Failures() {
  return {
      {"not connected", Broken(HttpCause::kConnect, false), "UPSTREAM_UNAVAILABLE", true, false},
      {"not trusted", Broken(HttpCause::kTls, false), "UPSTREAM_UNAVAILABLE", false, false},
      {"broken before it was sent", Broken(HttpCause::kReset, false), "UPSTREAM_UNAVAILABLE", true,
       false},
      {"out of time before it was sent", Broken(HttpCause::kDeadline, false), "DEADLINE", false,
       false},
      {"cancelled before it was sent", Broken(HttpCause::kCancelled, false), "CANCELLED", false,
       false},
      {"broken after it was sent", Broken(HttpCause::kReset, true), "UPSTREAM_UNAVAILABLE", true,
       true},
      {"out of time after it was sent", Broken(HttpCause::kDeadline, true), "DEADLINE", false,
       true},
      {"cancelled after it was sent", Broken(HttpCause::kCancelled, true), "CANCELLED", false,
       true},
      {"no HTTP", Broken(HttpCause::kMalformed, true), "UPSTREAM_MALFORMED_RESPONSE", false, true},
      {"too large", Broken(HttpCause::kTooLarge, true), "UPSTREAM_RESPONSE_TOO_LARGE", false, true},
      {"500", Answered(500, "\"Internal error\""), "UPSTREAM_ERROR", true, true},
      {"505", Answered(505, ""), "UPSTREAM_ERROR", false, true},
      {"502", Answered(502, ""), "UPSTREAM_UNAVAILABLE", true, true},
      {"503", Answered(503, ""), "UPSTREAM_UNAVAILABLE", true, true},
      {"504", Answered(504, ""), "UPSTREAM_UNAVAILABLE", true, true},
      {"403 without a word", Answered(403, ""), "UPSTREAM_UNAVAILABLE", true, false},
      {"400 with INTERNAL inside", Answered(400, R"({"code":13,"message":"m"})"), "UPSTREAM_ERROR",
       true, true},
      {"200 with a page of HTML", Answered(200, "<html>"), "UPSTREAM_MALFORMED_RESPONSE", false,
       true},
      {"200 cut short", Answered(200, "{\"a\":"), "UPSTREAM_MALFORMED_RESPONSE", false, true},
      {"302", Answered(302, ""), "UPSTREAM_MALFORMED_RESPONSE", false, true},
      {"429", Answered(429, ""), "UPSTREAM_RATE_LIMITED", true, false},
      {"400", Answered(400, "Malformed request: no"), "UPSTREAM_REJECTED", false, false},
      {"401", Answered(401, "Unauthorized"), "UPSTREAM_TOKEN_REJECTED", false, false},
      {"403", Answered(403, "no"), "UPSTREAM_FORBIDDEN", false, false},
      {"404", Answered(404, "no"), "UPSTREAM_NOT_FOUND", false, false},
      {"409", Answered(409, "no"), "UPSTREAM_REJECTED", false, false},
      {"422", Answered(422, "no"), "UPSTREAM_REJECTED", false, false},
      {"418", Answered(418, "no"), "UPSTREAM_ERROR", false, false},
  };
}

class ChangeSafety : public UpstreamFixture,
                     public testing::WithParamInterface<std::pair<const std::string, Repeatable>> {
 protected:
  const MethodSpec& spec() const { return Method(GetParam().first); }

  // Carries the change out, every attempt of which ends in `failure`. The reading that comes before
  // a merge goes well.
  CallResult Run(const Failure& failure, bool callers_token) {
    http_.requests.clear();
    http_.Otherwise([&failure](const HttpRequest& request) {
      return request.method == "GET" ? Answered(200, "{}") : failure.result;
    });
    std::shared_ptr<Message> request = FullRequest(spec());
    if (spec().token_field != nullptr && !callers_token)
      request->GetReflection()->ClearField(request.get(), spec().token_field);
    EXPECT_TRUE(ValidateRequest(spec(), *request).ok()) << ValidateRequest(spec(), *request);
    return CallMessage(spec(), std::move(request));
  }

  std::vector<HttpRequest> Sent() const {
    std::vector<HttpRequest> sent;
    for (const HttpRequest& request : http_.requests) {
      if (request.method != "GET") sent.push_back(request);
    }
    return sent;
  }

  void ExpectUnknown(const CallResult& result, bool made_token) {
    EXPECT_EQ(result.status.code(), absl::StatusCode::kUnknown);
    EXPECT_EQ(ReasonOf(result.status), "OUTCOME_UNKNOWN");
    EXPECT_EQ(GetRetryAfter(result.status), std::nullopt);
    EXPECT_TRUE(result.may_have_arrived);
    const std::string id = MetadataOf(result.status, "requestId");
    EXPECT_EQ(IsUuid(id), made_token) << id;
    for (const HttpRequest& request : Sent()) {
      if (made_token) {
        EXPECT_THAT(request.target + request.body, HasSubstr(id));
      }
    }
  }

  void Check(const Failure& failure, bool callers_token) {
    const CallResult result = Run(failure, callers_token);
    const Repeatable kind = GetParam().second;
    const std::vector<HttpRequest> sent = Sent();
    EXPECT_EQ(sent.size(), failure.passing && kind != Repeatable::kNever ? 3u : 1u);
    for (const HttpRequest& request : sent) {
      EXPECT_FALSE(request.repeatable) << "the connection must not write it again by itself";
      EXPECT_EQ(request.target, sent[0].target);
      EXPECT_EQ(request.body, sent[0].body) << "another idempotency token";
    }
    const bool made_token = kind == Repeatable::kWithToken && !callers_token;
    if (failure.in_doubt && (kind == Repeatable::kNever || made_token)) {
      ExpectUnknown(result, made_token);
      return;
    }
    EXPECT_EQ(ReasonOf(result.status), failure.reason) << result.status;
    EXPECT_EQ(MetadataOf(result.status, "requestId"), "");
    EXPECT_EQ(MetadataOf(result.status, "method"), spec().full_name);
  }
};

TEST_P(ChangeSafety, IsSentAgainOnlyWhereThatIsSafe) {
  for (const Failure& failure : Failures()) {
    for (const bool callers_token : {false, true}) {
      SCOPED_TRACE(std::string(failure.what) + (callers_token ? ", caller's token" : ""));
      Check(failure, callers_token);
    }
  }
}

TEST_P(ChangeSafety, IsNotSentWhenTheReadingBeforeItFails) {
  if (spec().merge_from == nullptr) return;
  for (const Failure& failure : Failures()) {
    SCOPED_TRACE(failure.what);
    http_.requests.clear();
    http_.Otherwise([&failure](const HttpRequest&) { return failure.result; });
    const CallResult result = CallMessage(spec(), FullRequest(spec()));
    EXPECT_EQ(ReasonOf(result.status), failure.reason);
    EXPECT_EQ(MetadataOf(result.status, "method"), spec().full_name);
    EXPECT_FALSE(result.may_have_arrived) << "the change was not sent";
    EXPECT_TRUE(Sent().empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Of, ChangeSafety, testing::ValuesIn(Changes()), [](const auto& info) {
  return info.param.first.substr(info.param.first.find('/') + 1);
});

TEST(ChangeSafety, CoversEveryMethodThatIsNoRead) {
  size_t changes = 0;
  for (const auto& spec : Table().methods()) {
    if (spec->IsRead()) continue;
    ++changes;
    EXPECT_TRUE(Changes().contains(spec->full_name.substr(std::string("semaphore.v1.").size())))
        << spec->full_name;
  }
  EXPECT_EQ(changes, Changes().size());
}

}  // namespace
}  // namespace semaphore::client
