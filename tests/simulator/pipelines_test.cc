// Pipelines as the service answers them (facts, section 5.2).
#include <set>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class PipelinesTest : public SimulatorTest {
 protected:
  boost::json::value Describe(const std::string& id, const std::string& query = "") {
    return client().Get("/pipelines/" + id + query).Json();
  }
  TestReply Patch(const std::string& id, const std::string& body, const std::string& type) {
    return client().Send({.method = "PATCH",
                          .target = "/api/v1alpha/pipelines/" + id,
                          .body = body,
                          .content_type = type});
  }
  TestReply Stop(const std::string& id) {
    return Patch(id, R"({"terminate_request": true})", "application/json");
  }
};

TEST_F(PipelinesTest, ADescriptionHasLowerCaseWordsSpacedTimesAndNumbers) {
  Start();
  const boost::json::value json = Describe(ids().done_pipeline);
  const boost::json::value& pipeline = json.at("pipeline");
  EXPECT_EQ(pipeline.at("ppl_id").as_string(), ids().done_pipeline);
  EXPECT_EQ(pipeline.at("state").as_string(), "done");
  EXPECT_EQ(pipeline.at("result").as_string(), "passed");
  EXPECT_EQ(pipeline.at("result_reason").as_string(), "test");
  const std::string created(pipeline.at("created_at").as_string());
  EXPECT_EQ(created.size(), 27U) << created;
  EXPECT_TRUE(created.starts_with("2025-06-15 14:46:40.")) << created;
  EXPECT_EQ(created.back(), 'Z');
  EXPECT_EQ(pipeline.at("stopping_at").as_string(), "1970-01-01 00:00:00.000000Z");
  EXPECT_EQ(pipeline.at("queue").at("type").as_int64(), 0);
  EXPECT_EQ(pipeline.at("triggerer").at("wf_triggered_by").as_int64(), 0);
  EXPECT_TRUE(json.at("blocks").as_array().empty());
}

TEST_F(PipelinesTest, AListHasUpperCaseWordsSecondsAndNanosAndNames) {
  Start();
  const boost::json::value json =
      client().Get("/pipelines?page_size=1&page=2&wf_id=" + ids().done_workflow).Json();
  const boost::json::value& pipeline = json.at(0);
  EXPECT_EQ(pipeline.at("ppl_id").as_string(), ids().done_pipeline);
  EXPECT_EQ(pipeline.at("state").as_string(), "DONE");
  EXPECT_EQ(pipeline.at("result").as_string(), "PASSED");
  EXPECT_EQ(pipeline.at("stopping_at").at("seconds").as_int64(), 0);
  EXPECT_GT(pipeline.at("done_at").at("seconds").as_int64(), 0);
  EXPECT_EQ(pipeline.at("queue").at("type").as_string(), "IMPLICIT");
  EXPECT_EQ(pipeline.at("triggerer").at("ppl_triggered_by").as_string(), "WORKFLOW");
  EXPECT_FALSE(pipeline.as_object().contains("blocks"));
}

TEST_F(PipelinesTest, DescribedAndListedPipelinesHaveTheSameFields) {
  Start();
  std::set<std::string> described;
  std::set<std::string> listed;
  const boost::json::value one = Describe(ids().done_pipeline);
  const boost::json::value list = client().Get("/pipelines?wf_id=" + ids().done_workflow).Json();
  for (const auto& [name, value] : one.at("pipeline").as_object()) described.emplace(name);
  for (const auto& [name, value] : list.at(0).as_object()) listed.emplace(name);
  EXPECT_EQ(described, listed);
  EXPECT_EQ(described.size(), 36U);
}

TEST_F(PipelinesTest, AResultIsOmittedUntilDone) {
  Start();
  const boost::json::value json = Describe(ids().running_pipeline);
  EXPECT_EQ(json.at("pipeline").at("state").as_string(), "running");
  EXPECT_FALSE(json.at("pipeline").as_object().contains("result"));
  EXPECT_FALSE(json.at("pipeline").as_object().contains("result_reason"));
}

TEST_F(PipelinesTest, TheReferenceDialectSendsEightFieldsAndANullResult) {
  Start({.dialect = Dialect::kReference});
  const boost::json::value json = Describe(ids().running_pipeline);
  EXPECT_EQ(json.at("pipeline").as_object().size(), 8U);
  EXPECT_TRUE(json.at("pipeline").at("result").is_null());
}

TEST_F(PipelinesTest, DetailsShowBlocksAndJobs) {
  Start();
  const boost::json::value json = Describe(ids().failed_pipeline, "?detailed=true");
  const boost::json::array& blocks = json.at("blocks").as_array();
  ASSERT_EQ(blocks.size(), 3U);
  EXPECT_EQ(blocks[0].at("result").as_string(), "passed");
  EXPECT_EQ(blocks[1].at("state").as_string(), "done");
  EXPECT_EQ(blocks[1].at("result").as_string(), "failed");
  const boost::json::value& job = blocks[1].at("jobs").at(0);
  EXPECT_EQ(job.at("status").as_string(), "FINISHED");
  EXPECT_EQ(job.at("result").as_string(), "FAILED");
  EXPECT_EQ(job.at("index").as_int64(), 0);
  EXPECT_EQ(blocks[2].at("result").as_string(), "canceled");
  EXPECT_EQ(blocks[2].at("block_id").as_string(), "");
}

TEST_F(PipelinesTest, AnUnfinishedJobLooksPassedAndAWaitingBlockHasNoJobs) {
  Start();
  const boost::json::value json = Describe(ids().running_pipeline, "?detailed=true");
  const boost::json::array& blocks = json.at("blocks").as_array();
  EXPECT_EQ(blocks[1].at("state").as_string(), "running");
  EXPECT_FALSE(blocks[1].as_object().contains("result"));
  EXPECT_EQ(blocks[1].at("jobs").at(0).at("status").as_string(), "RUNNING");
  EXPECT_EQ(blocks[1].at("jobs").at(0).at("result").as_string(), "PASSED");
  EXPECT_EQ(blocks[2].at("state").as_string(), "waiting");
  EXPECT_TRUE(blocks[2].at("jobs").as_array().empty());
  EXPECT_EQ(blocks[2].at("block_id").as_string(), "");
}

TEST_F(PipelinesTest, OnlyTheWordTrueAsksForDetails) {
  Start();
  for (const char* query : {"?detailed=false", "?detailed=1", "?detailed=TRUE", "?detailed="}) {
    EXPECT_TRUE(Describe(ids().done_pipeline, query).at("blocks").as_array().empty()) << query;
  }
}

TEST_F(PipelinesTest, AnUnknownPipelineIsNotFoundInRawText) {
  Start();
  const TestReply reply = client().Get("/pipelines/unknown");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "Not Found");
}

TEST_F(PipelinesTest, AListNeedsAProjectOrAWorkflow) {
  Start();
  EXPECT_EQ(client().Get("/pipelines").body, "Not Found");
  EXPECT_EQ(client().Get("/pipelines?wf_id=" + ids().running_workflow).Header("total"), "1");
}

TEST_F(PipelinesTest, FiltersNarrowTheList) {
  Start();
  const std::string path =
      "/pipelines?yml_file_path=.semaphore%2Fsemaphore.yml&project_id=" + ids().project;
  const std::string ago = std::to_string(absl::ToUnixSeconds(time_.Now()) - 1500);
  EXPECT_EQ(client().Get(path + "&created_after=" + ago).Header("total"), "2");
  EXPECT_EQ(client().Get(path + "&done_after=" + ago).Header("total"), "1");
  EXPECT_EQ(client().Get(path + "&done_before=" + ago).Header("total"), "33");
  EXPECT_EQ(client().Get(path + "&branch_name=nowhere").Header("total"), "0");
  EXPECT_EQ(client().Get(path).Header("total"), "35");
}

TEST_F(PipelinesTest, TheFilterByFileComparesTheWholePath) {
  Start();
  const std::string path = "/pipelines?wf_id=" + ids().done_workflow + "&yml_file_path=";
  const std::pair<const char*, const char*> rows[] = {{".semaphore/semaphore.yml", "1"},
                                                      {".semaphore%2Fstaging.yml", "1"},
                                                      {"semaphore.yml", "0"},
                                                      {".semaphore", "0"},
                                                      {"/.semaphore/semaphore.yml", "0"},
                                                      {".semaphore/semaphore.ym", "0"}};
  for (const auto& [file, total] : rows) {
    EXPECT_EQ(client().Get(path + file).Header("total"), total) << file;
  }
}

TEST_F(PipelinesTest, APageOfPipelinesPastTheEndIsTheLastPageAgain) {
  Start({.promotions = 0});
  const std::string path = "/pipelines?page_size=20&project_id=" + ids().project;
  const TestReply last = client().Get(path + "&page=3");
  const TestReply past = client().Get(path + "&page=50");
  EXPECT_EQ(past.Header("page-number"), last.Header("total-pages"));
  EXPECT_EQ(past.Header("link").find("rel=\"next\""), std::string::npos);
  EXPECT_EQ(client().Get(path + "&page=x").Header("page-number"), "1");
}

TEST_F(PipelinesTest, APromotedPipelineNamesItsOrigin) {
  Start();
  const boost::json::value pipeline = Describe(ids().promoted_pipeline).at("pipeline");
  EXPECT_EQ(pipeline.at("promotion_of").as_string(), ids().done_pipeline);
  EXPECT_EQ(pipeline.at("wf_id").as_string(), ids().done_workflow);
  EXPECT_EQ(pipeline.at("yaml_file_name").as_string(), "staging.yml");
  EXPECT_EQ(pipeline.at("triggerer").at("ppl_triggered_by").as_int64(), 2);
  EXPECT_EQ(pipeline.at("triggerer").at("ppl_triggerer_user_id").as_string(), "");
  EXPECT_EQ(pipeline.at("switch_id").as_string(), "");
  EXPECT_NE(Describe(ids().done_pipeline).at("pipeline").at("switch_id").as_string(), "");
  const boost::json::value listed =
      client().Get("/pipelines?wf_id=" + ids().done_workflow).Json().at(0);
  EXPECT_EQ(listed.at("triggerer").at("ppl_triggered_by").as_string(), "AUTO_PROMOTION");
}

TEST_F(PipelinesTest, TenThousandWorkflowsCanBeListed) {
  Start({.projects = 1, .workflows_per_project = 10'000});
  const TestReply last = client().Get(
      "/pipelines?yml_file_path=.semaphore%2Fsemaphore.yml&page_size=1&page=10000&project_id=" +
      ids().project);
  EXPECT_EQ(last.Header("total"), "10000");
  EXPECT_EQ(last.Header("page-number"), "10000");
  EXPECT_EQ(last.Json().at(0).at("ppl_id").as_string(), ids().promoting_pipeline);
}

TEST_F(PipelinesTest, AHeadIsAnsweredLikeAGetWithoutItsBody) {
  Start();
  const std::string target = "/api/v1alpha/pipelines/" + ids().done_pipeline;
  ASSERT_EQ(client().Connect(), "");
  ASSERT_EQ(client().WriteRaw("HEAD " + target +
                              " HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
                              "Token simulator-token\r\nConnection: close\r\n\r\n"),
            "");
  const std::string reply = client().ReadRaw();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 200 ")) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n")) << reply;
}

TEST_F(PipelinesTest, ARangeThatEndsBeforeItStartsIsRefusedWithAJsonString) {
  Start();
  const TestReply reply =
      client().Get("/pipelines?project_id=" + ids().project + "&done_after=20&done_before=10");
  EXPECT_EQ(reply.status, 400);
  EXPECT_TRUE(reply.Json().is_string()) << reply.body;
  EXPECT_EQ(client().Get("/pipelines?project_id=" + ids().project + "&done_after=x").status, 500);
}

TEST_F(PipelinesTest, AStopTakesEffectAndIsIdempotent) {
  Start();
  const TestReply reply = Stop(ids().running_pipeline);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"("Pipeline termination started.")");
  const boost::json::value stopping = Describe(ids().running_pipeline, "?detailed=true");
  EXPECT_EQ(stopping.at("pipeline").at("state").as_string(), "stopping");
  EXPECT_EQ(stopping.at("pipeline").at("terminate_request").as_string(), "stop");
  EXPECT_EQ(stopping.at("pipeline").at("terminated_by").as_string(), ids().user);
  EXPECT_EQ(stopping.at("blocks").at(1).at("jobs").at(0).at("status").as_string(), "STOPPING");
  time_.Advance(absl::Seconds(1));
  EXPECT_EQ(Stop(ids().running_pipeline).status, 200);
  time_.Advance(absl::Seconds(1));
  const boost::json::value done = Describe(ids().running_pipeline, "?detailed=true");
  EXPECT_EQ(done.at("pipeline").at("state").as_string(), "done");
  EXPECT_EQ(done.at("pipeline").at("result").as_string(), "stopped");
  EXPECT_EQ(done.at("pipeline").at("result_reason").as_string(), "user");
  EXPECT_EQ(done.at("blocks").at(1).at("jobs").at(0).at("result").as_string(), "STOPPED");
  EXPECT_EQ(done.at("blocks").at(2).at("result").as_string(), "canceled");
  EXPECT_EQ(Stop(ids().done_pipeline).status, 200);
  EXPECT_EQ(Describe(ids().done_pipeline).at("pipeline").at("result").as_string(), "passed");
}

TEST_F(PipelinesTest, AStopNeedsTheJsonTruthValue) {
  Start();
  const std::pair<const char*, const char*> rows[] = {
      {R"({"terminate_request": "true"})", "application/json"},
      {R"({"terminate_request": false})", "application/json"},
      {R"({})", "application/json"},
      {R"({"terminate_request": true})", ""},
      {"terminate_request=true", "application/x-www-form-urlencoded"}};
  for (const auto& [body, type] : rows) {
    const TestReply reply = Patch(ids().running_pipeline, body, type);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.body, R"("Value of 'terminate_request' field must be boolean value 'true'.")")
        << body;
  }
  EXPECT_EQ(Describe(ids().running_pipeline).at("pipeline").at("state").as_string(), "running");
}

TEST_F(PipelinesTest, AStopOfAnUnknownPipelineIsNotFound) {
  Start();
  EXPECT_EQ(Stop("unknown").body, "Not Found");
}

TEST_F(PipelinesTest, TheReferenceDialectAnswersAStopWithoutABody) {
  Start({.dialect = Dialect::kReference});
  const TestReply reply = Stop(ids().running_pipeline);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
}

}  // namespace
}  // namespace semaphore::simulator
