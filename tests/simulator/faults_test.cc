// Faults in replies: what a client sees of each, and what was carried out.
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class FaultsTest : public SimulatorTest {
 protected:
  std::string DonePath() { return "/pipelines/" + ids().done_pipeline; }
  TestReply RunWorkflow() {
    return client().PostForm("/plumber-workflows",
                             "project_id=" + ids().empty_project + "&reference=master");
  }
  std::string CountOfRunWorkflows() {
    TestClient other(simulator());
    return other.Get("/plumber-workflows?project_id=" + ids().empty_project).Header("total");
  }
};

TEST_F(FaultsTest, AnAnswerReplacesTheReplyAsOftenAsAsked) {
  Start();
  simulator().AddFault({.times = 2,
                        .action = FaultAction::kAnswer,
                        .status = 429,
                        .headers = {{"retry-after", "2"}},
                        .body = "slow down"});
  for (int i = 0; i < 2; i++) {
    const TestReply reply = client().Get(DonePath());
    EXPECT_EQ(reply.status, 429);
    EXPECT_EQ(reply.Header("retry-after"), "2");
    EXPECT_EQ(reply.body, "slow down");
  }
  EXPECT_EQ(client().Get(DonePath()).status, 200);
  EXPECT_EQ(simulator().Requests()[1].fault, "answer");
  EXPECT_EQ(simulator().Requests()[2].fault, "");
}

TEST_F(FaultsTest, AFaultStrikesOnlyWhatItIsForAfterThoseItSkips) {
  Start();
  simulator().AddFault(
      {.method = "GET", .target_prefix = "/api/v1alpha/pipelines/", .skip = 1, .status = 503});
  EXPECT_EQ(client().Get(DonePath()).status, 200);
  EXPECT_EQ(client().Get("/plumber-workflows/" + ids().done_workflow).status, 200);
  EXPECT_EQ(client().Get("/pipelines?project_id=" + ids().project).status, 200);
  EXPECT_EQ(client().Get(DonePath()).status, 503);
  simulator().ClearFaults();
  EXPECT_EQ(client().Get(DonePath()).status, 200);
}

TEST_F(FaultsTest, FaultsForTheSameRequestStrikeInTheOrderOfTheScript) {
  Start();
  simulator().AddFault({.times = 1, .status = 500});
  simulator().AddFault({.times = 1, .status = 502});
  EXPECT_EQ(client().Get(DonePath()).status, 500);
  EXPECT_EQ(client().Get(DonePath()).status, 502);
  EXPECT_EQ(client().Get(DonePath()).status, 200);
}

TEST_F(FaultsTest, AnAnswerDoesNotCarryOutTheRequestUnlessAsked) {
  Start();
  simulator().AddFault({.method = "POST", .times = 1, .status = 500});
  EXPECT_EQ(RunWorkflow().status, 500);
  EXPECT_EQ(CountOfRunWorkflows(), "0");
  simulator().AddFault({.method = "POST", .times = 1, .status = 500, .carry_out = true});
  EXPECT_EQ(RunWorkflow().status, 500);
  EXPECT_EQ(CountOfRunWorkflows(), "1");
}

TEST_F(FaultsTest, AFaultOfEveryThirdLetsTwoPassEachTime) {
  Start();
  simulator().AddFault({.skip = 1, .times = 2, .every = 3, .status = 503});
  std::string strikes;
  for (int i = 0; i < 10; i++) strikes += client().Get(DonePath()).status == 503 ? 'x' : '.';
  EXPECT_EQ(strikes, "...x..x...");
  EXPECT_EQ(simulator().last_request_number(), 10U);
}

TEST_F(FaultsTest, ADelayedReplyComesAllTheSame) {
  Start();
  simulator().AddFault({.action = FaultAction::kDelay, .delay = absl::Milliseconds(1)});
  EXPECT_EQ(client().Get(DonePath()).status, 200);
}

TEST_F(FaultsTest, AHeldReplyWaitsForItsReleaseWhileOthersAreServed) {
  Start();
  simulator().AddFault({.times = 1, .action = FaultAction::kHold});
  ASSERT_EQ(client().Write({.target = "/api/v1alpha" + DonePath()}), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().held() == 1; }));
  TestClient other(simulator());
  EXPECT_EQ(other.Get(DonePath()).status, 200);
  simulator().ReleaseHeld();
  EXPECT_EQ(client().Read().status, 200);
  EXPECT_EQ(simulator().held(), 0U);
}

TEST_F(FaultsTest, AClientThatLeavesAHeldReplyIsNoticed) {
  Start();
  simulator().AddFault({.action = FaultAction::kHold});
  ASSERT_EQ(client().Write({.target = "/api/v1alpha" + DonePath()}), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().held() == 1; }));
  client().Disconnect();
  EXPECT_TRUE(simulator().WaitUntil([&] { return simulator().open_connections() == 0; }));
  EXPECT_EQ(simulator().held(), 0U);
}

TEST_F(FaultsTest, ARequestSentWhileAReplyIsHeldIsServedAfterwards) {
  Start();
  simulator().AddFault({.times = 1, .action = FaultAction::kHold});
  ASSERT_EQ(client().Write({.target = "/api/v1alpha" + DonePath()}), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().held() == 1; }));
  ASSERT_EQ(client().Write({.target = "/api/v1alpha/pipelines/unknown"}), "");
  simulator().ReleaseHeld();
  EXPECT_EQ(client().Read().status, 200);
  EXPECT_EQ(client().Read().status, 404);
}

TEST_F(FaultsTest, ASlowBodyArrivesWhole) {
  Start();
  const std::string body = client().Get(DonePath()).body;
  simulator().AddFault(
      {.action = FaultAction::kSlowBody, .piece_bytes = 100, .piece_delay = absl::ZeroDuration()});
  EXPECT_EQ(client().Get(DonePath()).body, body);
}

TEST_F(FaultsTest, AHugeBodyIsJsonOfItsSize) {
  Start();
  simulator().AddFault({.action = FaultAction::kHugeBody, .megabytes = 3});
  const TestReply reply = client().Get(DonePath());
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body.size(), size_t{3} << 20);
  EXPECT_TRUE(reply.Json().is_object());
}

TEST_F(FaultsTest, ADeepBodyIsNestedAsAskedFor) {
  Start();
  simulator().AddFault({.action = FaultAction::kDeepBody, .depth = 4});
  EXPECT_EQ(client().Get(DonePath()).body, "[[[[]]]]");
}

TEST_F(FaultsTest, AChunkedBodyIsTheSameBody) {
  Start();
  const std::string body = client().Get(DonePath()).body;
  simulator().AddFault({.action = FaultAction::kChunkedBody});
  const TestReply reply = client().Get(DonePath());
  EXPECT_EQ(reply.Header("transfer-encoding"), "chunked");
  EXPECT_EQ(reply.body, body);
}

TEST_F(FaultsTest, TruncatedChunksEndBeforeTheLast) {
  Start();
  simulator().AddFault({.times = 1, .action = FaultAction::kTruncatedChunks});
  const TestReply reply = client().Get(DonePath());
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.error, "");
  EXPECT_EQ(client().Get(DonePath()).status, 200);
}

TEST_F(FaultsTest, ARedirectCanLeadToAnotherHost) {
  Start();
  simulator().AddFault(
      {.status = 302, .headers = {{"location", "https://other.example/api/v1/logs/1?jwt=x"}}});
  const TestReply reply = client().Get(DonePath());
  EXPECT_EQ(reply.status, 302);
  EXPECT_EQ(reply.Header("location"), "https://other.example/api/v1/logs/1?jwt=x");
}

}  // namespace
}  // namespace semaphore::simulator
