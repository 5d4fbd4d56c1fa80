// Job logs in both their forms (facts, section 6).
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class LogsTest : public SimulatorTest {
 protected:
  // Path and query of the store that a self-hosted log is handed over to.
  std::string HandOver(const std::string& job_id) {
    const TestReply reply = client().Get("/logs/" + job_id);
    EXPECT_EQ(reply.status, 302);
    EXPECT_EQ(reply.body, "");
    const std::string location = reply.Header("location");
    const std::string host = "https://localhost:" + std::to_string(simulator().port());
    EXPECT_TRUE(location.starts_with(host + "/api/v1/logs/" + job_id + "?jwt=")) << location;
    return location.substr(std::min(host.size(), location.size()));
  }
  TestReply AskStore(const std::string& target) {
    return client().Send({.target = target, .authorization = ""});
  }
};

TEST_F(LogsTest, ACloudLogIsOneObjectOfEvents) {
  Start();
  const TestReply reply = client().Get("/logs/" + ids().cloud_job);
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("content-type"), "application/json");
  EXPECT_EQ(reply.Json().as_object().size(), 1U);
  const boost::json::value json = reply.Json();
  const boost::json::array& events = json.at("events").as_array();
  ASSERT_GT(events.size(), 7U);
  EXPECT_EQ(events[0].at("event").as_string(), "job_started");
  EXPECT_EQ(events[1].at("directive").as_string(), "Exporting environment variables");
  EXPECT_EQ(events[3].at("exit_code").as_int64(), 0);
  EXPECT_EQ(events.back().at("event").as_string(), "job_finished");
  EXPECT_EQ(events.back().at("result").as_string(), "passed");
}

TEST_F(LogsTest, ARunningLogGrowsWithTheClock) {
  Start();
  const std::string path = "/logs/" + ids().running_cloud_job;
  const size_t before = client().Get(path).Json().at("events").as_array().size();
  time_.Advance(absl::Seconds(3));
  const boost::json::value json = client().Get(path).Json();
  EXPECT_EQ(json.at("events").as_array().size(), before + 3);
  EXPECT_EQ(json.at("events").as_array().back().at("event").as_string(), "cmd_output");
}

TEST_F(LogsTest, AHugeLogHasExactlyTheSizeAskedFor) {
  for (const size_t bytes : {size_t{1024}, size_t{5000}, size_t{3 << 20}}) {
    Start({.huge_log_bytes = bytes});
    const TestReply reply = client().Get("/logs/" + ids().huge_log_job);
    EXPECT_EQ(reply.body.size(), bytes);
    ASSERT_TRUE(reply.Json().is_object()) << bytes;
    EXPECT_EQ(reply.Json().at("events").as_array().back().at("event").as_string(), "job_finished");
  }
}

TEST_F(LogsTest, AJobThatNeverStartedHasNoLog) {
  Start();
  const TestReply reply = client().Get("/logs/" + ids().waiting_job);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, R"("This job never started, so no logs were produced.")");
}

TEST_F(LogsTest, AnUnknownJobIsNotFoundWithAJsonString) {
  Start();
  const TestReply reply = client().Get("/logs/unknown");
  EXPECT_EQ(reply.status, 404);
  EXPECT_TRUE(reply.Json().is_string());
}

TEST_F(LogsTest, ASelfHostedLogIsHandedOverAndFinalWithoutANextToken) {
  Start();
  const TestReply reply = AskStore(HandOver(ids().self_hosted_job));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(reply.Json().at("next").is_null());
  EXPECT_EQ(reply.Json().at("events").as_array().back().at("event").as_string(), "job_finished");
}

TEST_F(LogsTest, ARunningSelfHostedLogIsReadOnByItsToken) {
  Start();
  const std::string target = HandOver(ids().running_self_hosted_job);
  const boost::json::value first = AskStore(target).Json();
  const int64_t next = first.at("next").as_int64();
  EXPECT_EQ(next, static_cast<int64_t>(first.at("events").as_array().size()));
  time_.Advance(absl::Seconds(2));
  const boost::json::value second = AskStore(target + "&token=" + std::to_string(next)).Json();
  EXPECT_EQ(second.at("events").as_array().size(), 2U);
  EXPECT_EQ(second.at("next").as_int64(), next + 2);
}

TEST_F(LogsTest, TheStoreRefusesABadTokenAPassForAnotherJobAndAnOldPass) {
  Start();
  const std::string target = HandOver(ids().self_hosted_job);
  EXPECT_EQ(AskStore(target + "&token=x").status, 400);
  EXPECT_EQ(
      AskStore("/api/v1/logs/" + ids().running_self_hosted_job + target.substr(target.find('?')))
          .status,
      401);
  EXPECT_EQ(AskStore("/api/v1/logs/" + ids().self_hosted_job).status, 401);
  time_.Advance(absl::Seconds(300));
  EXPECT_EQ(AskStore(target).status, 401);
}

TEST_F(LogsTest, TheStoreHasTheLogAsPlainText) {
  Start();
  const TestReply reply = AskStore(HandOver(ids().self_hosted_job) + "&raw=true");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("content-type"), "text/plain");
  EXPECT_TRUE(reply.body.starts_with("Exporting environment variables\nExporting CI\nmake test\n"))
      << reply.body;
}

TEST_F(LogsTest, AnApiTokenShownToTheStoreIsSeenInTheLedger) {
  Start();
  client().Send({.target = HandOver(ids().self_hosted_job)});
  const std::vector<RecordedRequest> requests = simulator().RequestsTo("/api/v1/logs/");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].authorization, Authorization::kRight);
}

TEST_F(LogsTest, TheReferenceDialectKnowsNoHandOver) {
  Start({.dialect = Dialect::kReference});
  const TestReply reply = client().Get("/logs/" + ids().self_hosted_job);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Json().as_object().size(), 1U);
}

}  // namespace
}  // namespace semaphore::simulator
