// What an Upstream learns from its attempts: when it stops asking, how much it repeats, and when it
// slows down.
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <vector>

#include "client/error.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

using std::chrono::seconds;

constexpr char kGet[] = "PipelineService/GetPipeline";
constexpr char kPipeline[] = "pipeline_id: 'p-1'";
constexpr char kBody[] = R"({"pipeline":{"ppl_id":"p-1"},"blocks":[]})";

class UpstreamHealthTest : public UpstreamFixture {
 protected:
  UpstreamHealthTest() {
    Upstream::Options options;
    options.token = [] { return "t"; };
    options.random = [] { return 0.0; };
    options.sleeper = [this](MonotonicTime until) { return Sleep(until); };
    options.circuit = {.min_volume = 10};
    options.retries = {.share = 0.2, .reserve = 2};
    options.observer.circuit = [this](CircuitBreaker::State state) { states_.push_back(state); };
    options.observer.retry = [this](std::string_view reason) { retries_.emplace_back(reason); };
    upstream_ = *Upstream::Create(std::move(options), Table(), http_, budget_, clock_);
  }

  void AnswerAll(int status) {
    http_.Otherwise([status](const HttpRequest&) {
      HttpResult result;
      result.may_have_arrived = true;
      result.response = {status, {}, status == 200 ? kBody : ""};
      return result;
    });
  }

  std::vector<CircuitBreaker::State> states_;
};

TEST_F(UpstreamHealthTest, ATotalOutageOpensTheCircuitAndUpstreamIsLeftAlone) {
  AnswerAll(502);
  while (states_.empty() && http_.requests.size() < 100) Call(kGet, kPipeline);
  ASSERT_EQ(states_, std::vector{CircuitBreaker::State::kOpen});
  const size_t asked = http_.requests.size();
  for (int i = 0; i < 100; ++i) {
    const CallResult refused = Call(kGet, kPipeline);
    EXPECT_EQ(ReasonOf(refused.status), "UPSTREAM_CIRCUIT_OPEN");
    EXPECT_EQ(refused.status.code(), absl::StatusCode::kUnavailable);
    EXPECT_GT(GetRetryAfter(refused.status).value(), absl::ZeroDuration());
    EXPECT_FALSE(refused.may_have_arrived);
  }
  EXPECT_EQ(http_.requests.size(), asked);
  EXPECT_EQ(upstream_->GetHealth().circuit_stats.rejections, 100u);
}

TEST_F(UpstreamHealthTest, ProbesFindOutThatUpstreamIsBack) {
  AnswerAll(503);
  while (states_.empty() && http_.requests.size() < 100) Call(kGet, kPipeline);
  AnswerAll(200);
  clock_.Advance(seconds(6));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Call(kGet, kPipeline).status.ok());
  EXPECT_EQ(upstream_->GetHealth().circuit, CircuitBreaker::State::kClosed);
  EXPECT_EQ(states_.back(), CircuitBreaker::State::kClosed);
}

TEST_F(UpstreamHealthTest, InATotalOutageRetriesStayWithinTheirBudget) {
  AnswerAll(502);
  for (int i = 0; i < 200; ++i) {
    Call(kGet, kPipeline);
    clock_.Advance(seconds(16));  // so that the circuit keeps probing
  }
  EXPECT_LE(retries_.size(), 2 + 0.2 * 200);
  EXPECT_GT(upstream_->GetHealth().retry_stats.refused, 0u);
}

TEST_F(UpstreamHealthTest, ACallersMistakesOpenNothing) {
  AnswerAll(404);
  for (int i = 0; i < 100; ++i) Call(kGet, kPipeline);
  AnswerAll(500);
  for (int i = 0; i < 100; ++i) Call("JobService/StopJob", "job_id: 'no-uuid'");
  EXPECT_TRUE(states_.empty());
}

TEST_F(UpstreamHealthTest, ThrottlingIsPassedToTheBudgetAndOpensNothing) {
  http_.Reply(429, "", {{"retry-after", "20"}});
  Call(kGet, kPipeline, seconds(10));
  EXPECT_EQ(budget_.GetStats().throttled, 1u);
  EXPECT_EQ(budget_.GetStats().rate, 0);
  EXPECT_TRUE(states_.empty());
  const CallResult refused = Call(kGet, kPipeline, seconds(10));
  EXPECT_EQ(ReasonOf(refused.status), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_GE(GetRetryAfter(refused.status).value(), absl::Seconds(19));
}

TEST_F(UpstreamHealthTest, AChangeThatTheCircuitHeldBackCertainlyDidNotHappen) {
  AnswerAll(502);
  while (states_.empty() && http_.requests.size() < 100) Call(kGet, kPipeline);
  const CallResult refused =
      Call("WorkflowService/RunWorkflow", "project_id: 'p' reference: 'refs/heads/master'");
  EXPECT_EQ(ReasonOf(refused.status), "UPSTREAM_CIRCUIT_OPEN");
  EXPECT_FALSE(refused.may_have_arrived);
}

}  // namespace
}  // namespace semaphore::client
