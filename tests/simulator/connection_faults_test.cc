// Connections that break at every stage, and connections that fall silent.
#include <thread>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class ConnectionFaultsTest : public SimulatorTest {
 protected:
  std::string DonePath() { return "/pipelines/" + ids().done_pipeline; }
  std::string CountOfRunWorkflows() {
    TestClient other(simulator());
    return other.Get("/plumber-workflows?project_id=" + ids().empty_project).Header("total");
  }
};

TEST_F(ConnectionFaultsTest, AConnectionCanEndBeforeAndInTheHandshake) {
  Start();
  for (const FaultStage stage : {FaultStage::kAccept, FaultStage::kHandshake}) {
    for (const FaultAction action :
         {FaultAction::kClose, FaultAction::kReset, FaultAction::kTlsClose}) {
      simulator().AddFault({.times = 1, .action = action, .stage = stage});
      EXPECT_NE(client().Connect(), "") << FaultActionWord(action) << FaultStageWord(stage);
    }
  }
  EXPECT_EQ(client().Connect(), "");
}

TEST_F(ConnectionFaultsTest, AFaultCanBeForOneConnectionByItsNumber) {
  Start();
  simulator().AddFault(
      {.connection = 2, .action = FaultAction::kClose, .stage = FaultStage::kAccept});
  EXPECT_EQ(client().Connect(), "");
  EXPECT_NE(client().Connect(), "");
  EXPECT_EQ(client().Connect(), "");
}

TEST_F(ConnectionFaultsTest, AHeldHandshakeGoesOnAfterItsRelease) {
  Start();
  for (const FaultStage stage : {FaultStage::kAccept, FaultStage::kHandshake}) {
    simulator().AddFault({.times = 1, .action = FaultAction::kHold, .stage = stage});
    std::string failed = "not tried";
    std::thread connecting([&] { failed = client().Connect(); });
    EXPECT_TRUE(simulator().WaitUntil([&] { return simulator().held() == 1; }));
    simulator().ReleaseHeld();
    connecting.join();
    EXPECT_EQ(failed, "") << FaultStageWord(stage);
    EXPECT_EQ(client().Get(DonePath()).status, 200);
  }
}

TEST_F(ConnectionFaultsTest, ASilentHandshakeLastsUntilTheSimulatorStops) {
  for (const FaultStage stage : {FaultStage::kAccept, FaultStage::kHandshake}) {
    Start();
    simulator().AddFault({.action = FaultAction::kSilence, .stage = stage});
    std::string failed;
    std::thread connecting([&] { failed = client().Connect(); });
    EXPECT_TRUE(simulator().WaitUntil([&] { return simulator().open_connections() == 1; }));
    simulator_.reset();
    connecting.join();
    EXPECT_NE(failed, "") << FaultStageWord(stage);
  }
}

TEST_F(ConnectionFaultsTest, ASilentConnectionEndsWhenTheClientGoes) {
  Start();
  simulator().AddFault({.action = FaultAction::kSilence, .stage = FaultStage::kAccept});
  ASSERT_EQ(client().ConnectTcp(), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().open_connections() == 1; }));
  client().Disconnect();
  EXPECT_TRUE(simulator().WaitUntil([&] { return simulator().open_connections() == 0; }));
}

TEST_F(ConnectionFaultsTest, ARequestCutOffBeforeItsBodyIsNotCarriedOut) {
  Start();
  simulator().AddFault(
      {.method = "POST", .times = 1, .action = FaultAction::kClose, .stage = FaultStage::kRequest});
  const TestReply reply = client().PostForm(
      "/plumber-workflows", "project_id=" + ids().empty_project + "&reference=master");
  EXPECT_NE(reply.error, "");
  EXPECT_EQ(CountOfRunWorkflows(), "0");
  EXPECT_FALSE(simulator().Requests()[0].complete);
}

TEST_F(ConnectionFaultsTest, ARequestIsCarriedOutWhenItsReplyIsLost) {
  for (const FaultStage stage :
       {FaultStage::kBeforeReply, FaultStage::kStatusLine, FaultStage::kHead, FaultStage::kBody}) {
    for (const FaultAction action :
         {FaultAction::kClose, FaultAction::kReset, FaultAction::kTlsClose}) {
      Start();
      simulator().AddFault({.method = "POST", .action = action, .stage = stage});
      const TestReply reply = client().PostForm(
          "/plumber-workflows", "project_id=" + ids().empty_project + "&reference=master");
      EXPECT_NE(reply.error, "") << FaultActionWord(action) << " at " << FaultStageWord(stage);
      EXPECT_EQ(CountOfRunWorkflows(), "1");
    }
  }
}

TEST_F(ConnectionFaultsTest, AHalfBodyKeepsItsContentLength) {
  Start();
  const std::string whole = client().Get(DonePath()).body;
  simulator().AddFault({.action = FaultAction::kClose, .stage = FaultStage::kBody});
  ASSERT_EQ(client().Write({.target = "/api/v1alpha" + DonePath()}), "");
  const std::string text = client().ReadRaw();
  EXPECT_NE(text.find("content-length: " + std::to_string(whole.size()) + "\r\n"),
            std::string::npos)
      << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\n" + whole.substr(0, whole.size() / 2))) << text;
}

TEST_F(ConnectionFaultsTest, AHalfStatusLineIsAllThatComes) {
  Start();
  simulator().AddFault({.action = FaultAction::kClose, .stage = FaultStage::kStatusLine});
  ASSERT_EQ(client().Write({.target = "/api/v1alpha" + DonePath()}), "");
  EXPECT_EQ(client().ReadRaw(), "HTTP/1.1");
}

TEST_F(ConnectionFaultsTest, AReplyHeldInItsMiddleArrivesWholeAfterItsRelease) {
  Start();
  const std::string whole = client().Get(DonePath()).body;
  simulator().AddFault({.action = FaultAction::kHold, .stage = FaultStage::kBody});
  ASSERT_EQ(client().Write({.target = "/api/v1alpha" + DonePath()}), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().held() == 1; }));
  simulator().ReleaseHeld();
  EXPECT_EQ(client().Read().body, whole);
}

TEST_F(ConnectionFaultsTest, AKeptAliveConnectionCanDieAfterAWholeReply) {
  Start();
  for (const FaultAction action :
       {FaultAction::kClose, FaultAction::kReset, FaultAction::kTlsClose}) {
    simulator().AddFault({.times = 1, .action = action, .stage = FaultStage::kAfterReply});
    const TestReply first = client().Get(DonePath());
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.error, "");
    EXPECT_EQ(first.Header("connection"), "");
    EXPECT_NE(client().Get(DonePath()).error, "") << FaultActionWord(action);
  }
}

TEST_F(ConnectionFaultsTest, ASilentRequestIsSeenAndHoldsItsConnection) {
  Start();
  simulator().AddFault({.times = 1, .action = FaultAction::kSilence});
  ASSERT_EQ(client().Write({.target = "/api/v1alpha" + DonePath()}), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().Requests().size() == 1; }));
  TestClient other(simulator());
  EXPECT_EQ(other.Get(DonePath()).status, 200);
  EXPECT_EQ(simulator().open_connections(), 2U);
  client().Disconnect();
  EXPECT_TRUE(simulator().WaitUntil([&] { return simulator().open_connections() == 1; }));
}

TEST_F(ConnectionFaultsTest, AnIdleConnectionEndsAfterItsTimeout) {
  Start({.idle_timeout = absl::Milliseconds(1)});
  client().Connect();
  EXPECT_TRUE(simulator().WaitUntil(
      [&] { return simulator().total_connections() == 1 && simulator().open_connections() == 0; }));
}

TEST_F(ConnectionFaultsTest, StoppingDropsEveryConnection) {
  Start();
  simulator().AddFault({.skip = 1, .times = 1, .action = FaultAction::kHold});
  TestClient held(simulator());
  EXPECT_EQ(client().Get(DonePath()).status, 200);
  ASSERT_EQ(held.Write({.target = "/api/v1alpha" + DonePath()}), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().held() == 1; }));
  simulator_.reset();
  EXPECT_NE(held.Read().error, "");
  EXPECT_NE(client().Read().error, "");
}

}  // namespace
}  // namespace semaphore::simulator
