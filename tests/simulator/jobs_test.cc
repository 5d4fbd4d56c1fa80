// Jobs as the service answers them (facts, section 5.4).
#include <limits>
#include <set>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

constexpr const char* kUnknownJob = "11111111-2222-4333-8444-555555555555";

class JobsTest : public SimulatorTest {
 protected:
  boost::json::value Describe(const std::string& id) { return client().Get("/jobs/" + id).Json(); }

  TestReply Post(const std::string& path, const std::string& body = "",
                 const std::string& type = "") {
    return client().Send(
        {.method = "POST", .target = "/api/v1alpha" + path, .body = body, .content_type = type});
  }
  TestReply Stop(const std::string& id) { return Post("/jobs/" + id + "/stop"); }

  std::string StateAndResult(const std::string& id) {
    const boost::json::value json = Describe(id);
    return std::string(json.at("status").at("state").as_string()) + " " +
           std::string(json.at("status").at("result").as_string());
  }

  // Every page of that query, as ids in order.
  std::vector<std::string> Walk(const std::string& query) {
    std::vector<std::string> ids;
    std::string token;
    do {
      const boost::json::value json =
          client().Get("/jobs?" + query + "&page_token=" + token).Json();
      for (const boost::json::value& job : json.at("jobs").as_array()) {
        ids.emplace_back(job.at("metadata").at("id").as_string());
      }
      token = std::string(json.at("next_page_token").as_string());
    } while (!token.empty() && ids.size() < 10'000);
    return ids;
  }
};

void ExpectError(const TestReply& reply, int status, int code, std::string_view message) {
  EXPECT_EQ(reply.status, status);
  EXPECT_EQ(reply.Header("content-type"), "application/json");
  const boost::json::value json = reply.Json();
  ASSERT_TRUE(json.is_object()) << reply.body;
  EXPECT_EQ(json.at("code").as_int64(), code);
  EXPECT_EQ(std::string_view(json.at("message").as_string()), message);
  EXPECT_TRUE(json.at("details").as_array().empty());
}

TEST_F(JobsTest, AFinishedJobHasTimesAsTextAndUpperCaseWords) {
  Start();
  const TestReply reply = client().Get("/jobs/" + ids().cloud_job);
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("content-type"), "application/json");
  const boost::json::value json = reply.Json();
  const boost::json::value& metadata = json.at("metadata");
  EXPECT_EQ(metadata.at("id").as_string(), ids().cloud_job);
  EXPECT_EQ(metadata.at("name").as_string(), "Build - 1/1");
  const int64_t create_time = std::stoll(std::string(metadata.at("create_time").as_string()));
  const int64_t start_time = std::stoll(std::string(metadata.at("start_time").as_string()));
  EXPECT_EQ(start_time, create_time + 1);
  EXPECT_GT(std::stoll(std::string(metadata.at("finish_time").as_string())), start_time);
  EXPECT_EQ(metadata.at("update_time"), metadata.at("finish_time"));
  EXPECT_EQ(StateAndResult(ids().cloud_job), "FINISHED PASSED");
  const boost::json::value& agent = json.at("status").at("agent");
  EXPECT_TRUE(agent.at("name").as_string().starts_with("e1-standard-2-"));
  EXPECT_EQ(agent.at("ports").at(0).at("name").as_string(), "ssh");
  EXPECT_GT(agent.at("ports").at(0).at("number").as_int64(), 0);
}

TEST_F(JobsTest, TheSpecIsWholeAndHoldsPlainVariables) {
  Start();
  const boost::json::value json = Describe(ids().cloud_job);
  const boost::json::value& spec = json.at("spec");
  EXPECT_EQ(spec.at("project_id").as_string(), ids().project);
  EXPECT_EQ(spec.at("agent").at("machine").at("type").as_string(), "e1-standard-2");
  EXPECT_TRUE(spec.at("agent").at("containers").as_array().empty());
  EXPECT_EQ(spec.at("secrets").at(0).at("name").as_string(), "registry");
  EXPECT_EQ(spec.at("files").at(0).at("path").as_string(), ".env.ci");
  EXPECT_EQ(spec.at("commands").at(0).as_string(), "checkout");
  EXPECT_TRUE(spec.at("epilogue_commands").as_array().empty());
  EXPECT_EQ(spec.at("epilogue_always_commands").as_array().size(), 1U);
  std::set<std::string> names;
  for (const boost::json::value& variable : spec.at("env_vars").as_array()) {
    names.emplace(variable.at("name").as_string());
  }
  EXPECT_EQ(names.count("DEPLOY_PASSWORD"), 1U);
  EXPECT_EQ(names.count("SEMAPHORE_GIT_SHA"), 1U);
  EXPECT_EQ(spec.as_object().size(), 10U);
}

TEST_F(JobsTest, AJobThatHasNotStartedHasNoAgentAndZeroTimes) {
  Start();
  const boost::json::value json = Describe(ids().waiting_job);
  EXPECT_EQ(StateAndResult(ids().waiting_job), "PENDING NONE");
  EXPECT_TRUE(json.at("status").at("agent").is_null());
  EXPECT_EQ(json.at("metadata").at("start_time").as_string(), "0");
  EXPECT_EQ(json.at("metadata").at("finish_time").as_string(), "0");
  EXPECT_NE(json.at("metadata").at("create_time").as_string(), "0");
}

TEST_F(JobsTest, ANewJobIsQueuedThenRunsThenIsFinished) {
  Start();
  const boost::json::value run =
      client()
          .PostForm("/plumber-workflows", "project_id=" + ids().project + "&reference=master")
          .Json();
  time_.Advance(absl::Seconds(4));
  const boost::json::value pipeline =
      client()
          .Get("/pipelines/" + std::string(run.at("pipeline_id").as_string()) + "?detailed=true")
          .Json();
  const std::string id(pipeline.at("blocks").at(0).at("jobs").at(0).at("job_id").as_string());
  EXPECT_EQ(StateAndResult(id), "QUEUED NONE");
  time_.Advance(absl::Seconds(1));
  EXPECT_EQ(StateAndResult(id), "RUNNING NONE");
  time_.Advance(absl::Seconds(25));
  EXPECT_EQ(StateAndResult(id), "FINISHED PASSED");
}

TEST_F(JobsTest, ASelfHostedJobNamesItsAgentAndType) {
  Start();
  const boost::json::value json = Describe(ids().running_self_hosted_job);
  EXPECT_EQ(json.at("spec").at("agent").at("machine").at("type").as_string(), ids().agent_type);
  EXPECT_EQ(json.at("status").at("agent").at("name").as_string(), ids().agent);
  EXPECT_TRUE(json.at("status").at("agent").at("ports").as_array().empty());
}

TEST_F(JobsTest, AStoppedJobIsFinishedAWhileLaterAndStaysSo) {
  Start();
  const TestReply reply = Stop(ids().running_cloud_job);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{}");
  EXPECT_EQ(StateAndResult(ids().running_cloud_job), "RUNNING NONE");
  time_.Advance(absl::Seconds(1));
  EXPECT_EQ(Stop(ids().running_cloud_job).status, 200);
  time_.Advance(absl::Seconds(1));
  EXPECT_EQ(StateAndResult(ids().running_cloud_job), "FINISHED STOPPED");
  EXPECT_EQ(StateAndResult(ids().running_self_hosted_job), "RUNNING NONE");
  const boost::json::value before = Describe(ids().running_cloud_job);
  time_.Advance(absl::Seconds(5));
  EXPECT_EQ(Stop(ids().running_cloud_job).body, "{}");
  EXPECT_EQ(Describe(ids().running_cloud_job), before);
}

TEST_F(JobsTest, TheStopOfAJobShowsInItsPipelineAndItsLog) {
  Start();
  Stop(ids().running_cloud_job);
  time_.Advance(absl::Seconds(2));
  const boost::json::value one =
      client().Get("/pipelines/" + ids().running_pipeline + "?detailed=true").Json();
  EXPECT_EQ(one.at("pipeline").at("state").as_string(), "running");
  EXPECT_EQ(one.at("blocks").at(1).at("jobs").at(0).at("result").as_string(), "STOPPED");
  EXPECT_EQ(client()
                .Get("/logs/" + ids().running_cloud_job)
                .Json()
                .at("events")
                .as_array()
                .back()
                .at("result")
                .as_string(),
            "stopped");
  Stop(ids().running_self_hosted_job);
  time_.Advance(absl::Seconds(2));
  const boost::json::value both =
      client().Get("/pipelines/" + ids().running_pipeline + "?detailed=true").Json();
  EXPECT_EQ(both.at("pipeline").at("state").as_string(), "done");
  EXPECT_EQ(both.at("pipeline").at("result").as_string(), "stopped");
  EXPECT_EQ(both.at("blocks").at(1).at("result").as_string(), "stopped");
  EXPECT_EQ(both.at("blocks").at(2).at("result").as_string(), "canceled");
}

TEST_F(JobsTest, AJobStoppedBeforeItStartedHasAnAgentWithoutAName) {
  Start();
  Stop(ids().waiting_job);
  EXPECT_EQ(StateAndResult(ids().waiting_job), "PENDING NONE");
  time_.Advance(absl::Seconds(2));
  EXPECT_EQ(StateAndResult(ids().waiting_job), "FINISHED STOPPED");
  const boost::json::value json = Describe(ids().waiting_job);
  EXPECT_EQ(json.at("metadata").at("start_time").as_string(), "0");
  EXPECT_EQ(json.at("status").at("agent").at("name").as_string(), "");
}

TEST_F(JobsTest, AnIdThatIsNoUuidIsRefusedAndAnUnknownOneNotFound) {
  Start();
  ExpectError(client().Get("/jobs/x"), 400, 3, "Job id x is invalid");
  ExpectError(client().Get(std::string("/jobs/") + kUnknownJob), 404, 5,
              std::string("Job ") + kUnknownJob + " not found");
  ExpectError(Stop("x"), 500, 2, "Internal Server Error");
  ExpectError(Stop(kUnknownJob), 404, 5, std::string("Job ") + kUnknownJob + " not found");
}

TEST_F(JobsTest, AStopTakesAJsonBodyAndRefusesAForm) {
  Start();
  const std::string path = "/jobs/" + ids().running_cloud_job + "/stop";
  EXPECT_EQ(Post(path, "{}", "application/json").status, 200);
  EXPECT_EQ(Post(path, R"({"unknown": 1})", "application/json").status, 200);
  for (const auto& [body, type] : {std::pair{"reason=none", "application/x-www-form-urlencoded"},
                                   {"[]", "application/json"}}) {
    const TestReply reply = Post(path, body, type);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.Json().at("code").as_int64(), 3) << body;
  }
}

TEST_F(JobsTest, AWrongMethodIsNotImplementedAndAnUnknownPathNotFound) {
  Start();
  ExpectError(Post("/jobs/" + ids().cloud_job), 501, 12, "Method Not Allowed");
  ExpectError(client().Get("/jobs/" + ids().cloud_job + "/stop"), 501, 12, "Method Not Allowed");
  ExpectError(client().Get("/jobs/" + ids().cloud_job + "/parts/1"), 404, 5, "Not Found");
}

TEST_F(JobsTest, AListWithoutStatesIsEmpty) {
  Start();
  const TestReply reply = client().Get("/jobs");
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.Json().at("jobs").as_array().empty());
  EXPECT_EQ(reply.Json().at("next_page_token").as_string(), "");
}

TEST_F(JobsTest, AListHoldsTheJobsInTheStatesAskedForNewestFirst) {
  Start();
  const std::vector<std::string> running = Walk("states=RUNNING");
  EXPECT_EQ(std::set<std::string>(running.begin(), running.end()),
            (std::set<std::string>{ids().running_cloud_job, ids().running_self_hosted_job}));
  const boost::json::value json = client().Get("/jobs?states=RUNNING&states=FINISHED").Json();
  int64_t last = std::numeric_limits<int64_t>::max();
  for (const boost::json::value& job : json.at("jobs").as_array()) {
    const int64_t created =
        std::stoll(std::string(job.at("metadata").at("create_time").as_string()));
    EXPECT_LE(created, last);
    last = created;
  }
}

TEST_F(JobsTest, AWalkThroughAListMeetsEveryJobOnce) {
  Start();
  const std::vector<std::string> both = Walk("states=RUNNING&states=3&page_size=7");
  EXPECT_EQ(both.size(), Walk("states=FINISHED").size() + 2);
  EXPECT_EQ(std::set<std::string>(both.begin(), both.end()).size(), both.size());
  EXPECT_EQ(both, Walk("states=RUNNING&states=FINISHED"));
}

TEST_F(JobsTest, AListRefusesPagesOfMoreThanThirtyAndUnknownStates) {
  Start();
  ExpectError(client().Get("/jobs?states=FINISHED&page_size=31"), 400, 3,
              "Page size can't exceed 30");
  EXPECT_EQ(client().Get("/jobs?states=FINISHED").Json().at("jobs").as_array().size(), 30U);
  EXPECT_EQ(client().Get("/jobs?states=DONE").status, 400);
  EXPECT_EQ(client().Get("/jobs?states=FINISHED&page_size=x").status, 400);
}

TEST_F(JobsTest, TheReferenceDialectSendsTwoObjectsAndNullForWhatIsNotThere) {
  Start({.dialect = Dialect::kReference});
  const boost::json::value done = Describe(ids().cloud_job);
  EXPECT_EQ(done.as_object().size(), 2U);
  EXPECT_EQ(done.at("metadata").as_object().size(), 5U);
  EXPECT_EQ(done.at("status").as_object().size(), 2U);
  EXPECT_EQ(done.at("status").at("result").as_string(), "PASSED");
  const boost::json::value waiting = Describe(ids().waiting_job);
  EXPECT_TRUE(waiting.at("metadata").at("start_time").is_null());
  EXPECT_TRUE(waiting.at("status").at("result").is_null());
}

}  // namespace
}  // namespace semaphore::simulator
