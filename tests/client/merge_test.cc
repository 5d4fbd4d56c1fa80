#include "client/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <vector>

#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/artifact_retention_policy.pb.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kUpdateType[] = "AgentTypeService/UpdateAgentType";
constexpr char kUpdatePolicy[] = "ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy";
constexpr char kType[] =
    R"({"metadata":{"name":"s1-a"},"spec":{"agent_name_settings":{)"
    R"("assignment_origin":"assignment_origin_aws_sts","release_after":60,)"
    R"("aws":{"account_id":"1","role_name_patterns":"a,b"}}},"status":{"total_agent_count":7}})";

class MergeTest : public UpstreamFixture {
 protected:
  json::object SentBody(size_t request) {
    return json::parse(http_.requests[request].body).as_object();
  }
};

TEST_F(MergeTest, WithoutAMaskAPartlyGivenMessageChangesOnlyWhatIsGiven) {
  http_.Reply(200, kType);
  http_.Reply(200, kType);
  const CallResult result =
      Call(kUpdateType, "agent_type {name: 's1-a' name_settings {release_after {seconds: 120}}}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(SentBody(1),
            json::parse(R"({"metadata":{"name":"s1-a"},"spec":{"agent_name_settings":{)"
                        R"("assignment_origin":"assignment_origin_aws_sts","release_after":120,)"
                        R"("aws":{"account_id":"1","role_name_patterns":"a,b"}}}})"));
}

TEST_F(MergeTest, WhatTheMaskLeavesOutIsWrittenAsItWasRead) {
  http_.Reply(200, kType);
  http_.Reply(200, kType);
  const CallResult result = Call(kUpdateType,
                                 "agent_type {name: 's1-a' name_settings {release_after {seconds: "
                                 "120} aws {account_id: '2'}}} update_mask {paths: "
                                 "'name_settings.release_after'}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.attempts, 2);
  ASSERT_EQ(http_.requests.size(), 2u);
  EXPECT_EQ(http_.requests[0].method, "GET");
  EXPECT_EQ(http_.requests[1].method, "PATCH");
  EXPECT_EQ(http_.requests[1].target, "/api/v1alpha/self_hosted_agent_types/s1-a");
  EXPECT_EQ(SentBody(1),
            json::parse(R"({"metadata":{"name":"s1-a"},"spec":{"agent_name_settings":{)"
                        R"("assignment_origin":"assignment_origin_aws_sts","release_after":120,)"
                        R"("aws":{"account_id":"1","role_name_patterns":"a,b"}}}})"));
}

TEST_F(MergeTest, TheReplyTellsTheCountThatWasReadWhereUpstreamsChangeSaysZero) {
  http_.Reply(200, kType);
  http_.Reply(200, R"({"metadata":{"name":"s1-a"},"status":{"total_agent_count":0}})");
  EXPECT_EQ(
      ReplyOf<v1::AgentType>(Call(kUpdateType, "agent_type {name: 's1-a' name_settings {aws {}}}"))
          .total_agent_count(),
      7);
}

TEST_F(MergeTest, AMaskedEmptyListIsClearedAndTheOthersStay) {
  http_.Reply(200, R"({"project_level_retention_policies":[{"selector":"p","age":"1 day"}],)"
                   R"("job_level_retention_policies":[{"selector":"j","age":"2 weeks"}]})");
  http_.Reply(200, "{}");
  const CallResult result = Call(kUpdatePolicy,
                                 "artifact_retention_policy {project_id: 'p'} update_mask {paths: "
                                 "'project_level_rules'}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(http_.requests[1].body, Not(HasSubstr("1 day")));
  EXPECT_THAT(http_.requests[1].body, HasSubstr("2 weeks"));
}

TEST_F(MergeTest, AChangeThatWouldLeaveNothingIsRefusedAndNotSent) {
  http_.Reply(200, R"({"job_level_retention_policies":[{"selector":"j","age":"2 weeks"}]})");
  const CallResult result = Call(kUpdatePolicy,
                                 "artifact_retention_policy {project_id: 'p'} update_mask {paths: "
                                 "'job_level_rules'}");
  EXPECT_EQ(ReasonOf(result.status), "INVALID_FIELD");
  EXPECT_THAT(FieldsOf(result.status), ElementsAre("artifact_retention_policy"));
  EXPECT_EQ(http_.requests.size(), 1u);
  EXPECT_FALSE(result.may_have_arrived);
}

TEST_F(MergeTest, WhatIsWrittenIsWhatWasAskedForWhateverTheReadingSays) {
  http_.Reply(200, R"({"metadata":{"name":"../../secrets"}})");
  http_.Reply(200, "{}");
  Call(kUpdateType, "agent_type {name: 's1-a' name_settings {aws {account_id: '2'}}}");
  ASSERT_EQ(http_.requests.size(), 2u);
  EXPECT_EQ(http_.requests[1].target, "/api/v1alpha/self_hosted_agent_types/s1-a");
  EXPECT_EQ(SentBody(1).at("metadata").at("name"), "s1-a");
}

TEST_F(MergeTest, TheLockIsGivenBackWhateverTheEnd) {
  const char* request = "agent_type {name: 's1-a' name_settings {aws {account_id: '2'}}}";
  http_.Reply(404, "no");
  EXPECT_EQ(ReasonOf(Call(kUpdateType, request).status), "UPSTREAM_NOT_FOUND");
  http_.Reply(200, kType);
  http_.Reply(400, "no");
  EXPECT_EQ(ReasonOf(Call(kUpdateType, request).status), "UPSTREAM_REJECTED");
  http_.Reply(200, kType);
  http_.Reply(200, kType);
  EXPECT_TRUE(Call(kUpdateType, request).status.ok());
}

// ---- Several at once

// Upstream with one retention policy that is replaced whole, and which takes its time.
class PolicyStore final : public HttpClient {
 public:
  asio::awaitable<HttpResult> Send(HttpRequest request, MonotonicTime) override {
    HttpResult result;
    result.may_have_arrived = true;
    for (int i = 0; i < 5; ++i)
      co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    if (request.method == "POST") {
      policy_ = json::parse(request.body).as_object();
      ++writes;
    } else {
      while (hold_readings) {
        holds_one = true;
        co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
      }
    }
    result.response = {200, {}, json::serialize(policy_)};
    co_return result;
  }

  const json::object& policy() const { return policy_; }

  int writes = 0;
  bool hold_readings = false;
  bool holds_one = false;

 private:
  json::object policy_;
};

class MergeAtOnceTest : public testing::Test {
 protected:
  MergeAtOnceTest() {
    Upstream::Options options;
    options.organization = "acme";
    options.token = [] { return "t"; };
    options.random = [] { return 0.5; };
    auto made = Upstream::Create(std::move(options), Table(), store_, budget_, clock_);
    if (!made.ok()) ADD_FAILURE() << made.status();
    upstream_ = *std::move(made);
  }

  struct Running {
    CallResult result;
    bool done = false;
    asio::cancellation_signal signal;
  };

  std::shared_ptr<Running> Start(const std::string& rules, MonotonicTime deadline,
                                 const std::string& project = "p") {
    auto running = std::make_shared<Running>();
    const MethodSpec& spec = Method(kUpdatePolicy);
    const std::string request = "artifact_retention_policy {project_id: '" + project + "' " +
                                rules + " {selector: '" + rules +
                                "' age {count: 1 unit: AGE_UNIT_DAY}}}";
    asio::co_spawn(
        context_,
        upstream_->Call(spec, RequestOf(spec, request), CallContext{.deadline = deadline}),
        asio::bind_cancellation_slot(
            running->signal.slot(),
            [running](const std::exception_ptr& exception, CallResult result) {
              EXPECT_EQ(exception, nullptr);
              running->result = std::move(result);
              running->done = true;
            }));
    return running;
  }

  MonotonicTime Later() const { return clock_.Now() + seconds(30); }

  asio::io_context context_;
  const SystemClock clock_;
  PolicyStore store_;
  LocalBudget budget_{
      {.requests_per_second = 1000000, .burst = 1000}, clock_, context_.get_executor(), SleepUntil};
  std::unique_ptr<Upstream> upstream_;
};

TEST_F(MergeAtOnceTest, NoChangeOverwritesAnother) {
  std::vector<std::shared_ptr<Running>> calls;
  for (const char* rules : {"project_level_rules", "workflow_level_rules", "job_level_rules"})
    calls.push_back(Start(rules, Later()));
  context_.run();
  for (const auto& call : calls) EXPECT_TRUE(call->result.status.ok()) << call->result.status;
  EXPECT_EQ(store_.writes, 3);
  for (const char* key : {"project_level_retention_policies", "workflow_level_retention_policies",
                          "job_level_retention_policies"}) {
    EXPECT_TRUE(store_.policy().contains(key)) << key << " was lost";
  }
}

TEST_F(MergeAtOnceTest, WhoWaitsForAnotherChangeAndLeavesIsToldSoAndSendsNothing) {
  store_.hold_readings = true;
  const auto first = Start("project_level_rules", Later());
  while (!store_.holds_one) context_.run_one();
  const auto leaver = Start("job_level_rules", Later());
  const auto late = Start("workflow_level_rules", MonotonicTime::min());
  while (!late->done) context_.run_one();
  EXPECT_EQ(ReasonOf(late->result.status), "DEADLINE");
  EXPECT_FALSE(late->result.may_have_arrived);
  leaver->signal.emit(asio::cancellation_type::terminal);
  while (!leaver->done) context_.run_one();
  EXPECT_EQ(ReasonOf(leaver->result.status), "CANCELLED");
  EXPECT_FALSE(leaver->result.may_have_arrived);
  EXPECT_EQ(leaver->result.attempts, 0);
  store_.hold_readings = false;
  context_.run();
  EXPECT_TRUE(first->result.status.ok()) << first->result.status;
  EXPECT_EQ(store_.writes, 1);
}

}  // namespace
}  // namespace semaphore::client
