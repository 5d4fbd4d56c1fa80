// Workflows as the service answers them (facts, sections 4.1 and 5.1).
#include <boost/json/serialize.hpp>
#include <set>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class WorkflowsTest : public SimulatorTest {
 protected:
  std::string ListPath(const std::string& more = "") {
    return "/plumber-workflows?project_id=" + ids().project + more;
  }
};

TEST_F(WorkflowsTest, ADescribedWorkflowHasItsTriggerAsAWord) {
  Start();
  const TestReply reply = client().Get("/plumber-workflows/" + ids().done_workflow);
  ASSERT_EQ(reply.status, 200);
  const boost::json::value workflow = reply.Json().at("workflow");
  EXPECT_EQ(workflow.at("wf_id").as_string(), ids().done_workflow);
  EXPECT_EQ(workflow.at("initial_ppl_id").as_string(), ids().done_pipeline);
  EXPECT_EQ(workflow.at("triggered_by").as_string(), "HOOK");
  EXPECT_EQ(workflow.at("rerun_of").as_string(), "");
  EXPECT_EQ(workflow.at("organization_id").as_string(), ids().organization);
  EXPECT_EQ(workflow.at("created_at").at("seconds").as_int64(),
            absl::ToUnixSeconds(time_.Now()) - 1200);
  EXPECT_GT(workflow.at("created_at").at("nanos").as_int64(), 0);
}

TEST_F(WorkflowsTest, AListedWorkflowHasItsTriggerAsANumber) {
  Start();
  const TestReply reply = client().Get(ListPath());
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Json().at(0).at("triggered_by").as_int64(), 0);
}

TEST_F(WorkflowsTest, TheReferenceDialectHasTheDocumentedFieldsOnly) {
  Start({.dialect = Dialect::kReference});
  std::set<std::string> names;
  const boost::json::value json = client().Get("/plumber-workflows/" + ids().done_workflow).Json();
  for (const auto& [name, value] : json.at("workflow").as_object()) names.emplace(name);
  EXPECT_EQ(names, (std::set<std::string>{"wf_id", "requester_id", "project_id", "initial_ppl_id",
                                          "hook_id", "created_at", "commit_sha", "branch_name",
                                          "branch_id"}));
}

TEST_F(WorkflowsTest, AnUnknownWorkflowIsNotFoundInRawText) {
  Start();
  const TestReply reply = client().Get("/plumber-workflows/not-even-a-uuid");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "Not Found");
}

TEST_F(WorkflowsTest, AListIsNewestFirst) {
  Start();
  const boost::json::value json = client().Get(ListPath()).Json();
  const boost::json::array& items = json.as_array();
  ASSERT_EQ(items.size(), 30U);
  EXPECT_EQ(items[0].at("wf_id").as_string(), ids().running_workflow);
  EXPECT_EQ(items[1].at("wf_id").as_string(), ids().done_workflow);
}

TEST_F(WorkflowsTest, TheFirstPageLinksWithPlainHttpAndSortedNames) {
  Start();
  const TestReply reply = client().Get(ListPath("&page_size=2&branch_name=master&page=1"));
  const std::string root = "http://localhost:" + std::to_string(simulator().port()) +
                           "/api/v1alpha/plumber-workflows?branch_name=master&page=";
  const std::string rest = "&page_size=2&project_id=" + ids().project;
  const std::string link = reply.Header("link");
  EXPECT_TRUE(link.starts_with("<" + root + "2" + rest + ">; rel=\"next\", <" + root + "1" + rest +
                               ">; rel=\"first\", <" + root))
      << link;
  EXPECT_TRUE(link.ends_with(rest + ">; rel=\"last\"")) << link;
}

TEST_F(WorkflowsTest, APageInTheMiddleLinksNextPrevFirstLastInThisOrder) {
  Start();
  const std::string link = client().Get(ListPath("&page_size=10&page=2")).Header("link");
  const size_t next =
      link.find("page=3&page_size=10&project_id=" + ids().project + ">; rel=\"next\", <");
  const size_t previous = link.find("; rel=\"prev\", <");
  const size_t first = link.find("; rel=\"first\", <");
  const size_t last = link.find("; rel=\"last\"");
  EXPECT_LT(next, previous);
  EXPECT_LT(previous, first);
  EXPECT_LT(first, last);
  EXPECT_NE(last, std::string::npos);
}

TEST_F(WorkflowsTest, TheTotalsAreInHeaders) {
  Start();
  const TestReply reply = client().Get(ListPath("&page_size=10&page=2"));
  EXPECT_EQ(reply.Header("total"), "35");
  EXPECT_EQ(reply.Header("per-page"), "10");
  EXPECT_EQ(reply.Header("total-pages"), "4");
  EXPECT_EQ(reply.Header("page-number"), "2");
}

TEST_F(WorkflowsTest, APagePastTheEndIsTheLastPageAgain) {
  Start();
  const TestReply last = client().Get(ListPath("&page_size=10&page=4"));
  const TestReply past = client().Get(ListPath("&page_size=10&page=99"));
  EXPECT_EQ(past.Header("page-number"), "4");
  EXPECT_EQ(past.body, last.body);
  EXPECT_EQ(past.Json().as_array().size(), 5U);
  EXPECT_EQ(past.Header("link").find("rel=\"next\""), std::string::npos);
}

TEST_F(WorkflowsTest, AnOddPageOrSizeFallsBackToTheDefault) {
  Start();
  for (const char* query : {"&page=x", "&page=0", "&page=-1", "&page_size=0", "&page_size=a"}) {
    const TestReply reply = client().Get(ListPath(query));
    EXPECT_EQ(reply.Header("page-number"), "1") << query;
    EXPECT_EQ(reply.Header("per-page"), "30") << query;
  }
}

TEST_F(WorkflowsTest, AnEmptyListHasOnePageWithFirstAndLast) {
  Start();
  const TestReply reply = client().Get("/plumber-workflows?project_id=" + ids().empty_project);
  EXPECT_EQ(reply.body, "[]");
  EXPECT_EQ(reply.Header("total"), "0");
  EXPECT_EQ(reply.Header("total-pages"), "1");
  EXPECT_NE(reply.Header("link").find("rel=\"first\""), std::string::npos);
  EXPECT_NE(reply.Header("link").find("rel=\"last\""), std::string::npos);
}

TEST_F(WorkflowsTest, TheReferenceDialectLinksWithoutLastAndTotals) {
  Start({.dialect = Dialect::kReference});
  const TestReply reply = client().Get(ListPath("&page_size=10"));
  EXPECT_NE(reply.Header("link").find("rel=\"next\""), std::string::npos);
  EXPECT_EQ(reply.Header("link").find("rel=\"last\""), std::string::npos);
  EXPECT_EQ(reply.Header("total"), "");
}

TEST_F(WorkflowsTest, FiltersNarrowTheList) {
  Start();
  const int64_t now = absl::ToUnixSeconds(time_.Now());
  const boost::json::value by_branch =
      client().Get(ListPath("&branch_name=feature%2Flogin")).Json();
  ASSERT_FALSE(by_branch.as_array().empty());
  for (const boost::json::value& workflow : by_branch.as_array()) {
    EXPECT_EQ(workflow.at("branch_name").as_string(), "feature/login");
  }
  EXPECT_EQ(client().Get(ListPath("&created_after=" + std::to_string(now - 1500))).Header("total"),
            "2");
  EXPECT_EQ(client().Get(ListPath("&created_before=" + std::to_string(now - 1500))).Header("total"),
            "33");
}

TEST_F(WorkflowsTest, AListWithoutAKnownProjectIsNotFound) {
  Start();
  for (const char* query : {"", "?project_id=unknown", "?project_id="}) {
    const TestReply reply = client().Get("/plumber-workflows" + std::string(query));
    EXPECT_EQ(reply.status, 404) << query;
    EXPECT_EQ(reply.body, "Not Found") << query;
  }
}

TEST_F(WorkflowsTest, ATimeThatIsNoNumberIsAnInternalError) {
  Start();
  const TestReply reply = client().Get(ListPath("&created_after=yesterday"));
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body, "Something went wrong");
}

TEST_F(WorkflowsTest, AnEmptyRangeOrAWorkflowIdAloneGivesAnEmptyListWithZeros) {
  Start();
  for (const std::string& path : {ListPath("&created_after=200&created_before=100"),
                                  "/plumber-workflows?wf_id=" + ids().done_workflow}) {
    const TestReply reply = client().Get(path);
    EXPECT_EQ(reply.status, 200) << path;
    EXPECT_EQ(reply.body, "[]") << path;
    EXPECT_EQ(reply.Header("page-number"), "0") << path;
  }
}

TEST_F(WorkflowsTest, ARunReplyHasNoHookIdButTheReferenceShowsOne) {
  Start();
  const std::string form = "project_id=" + ids().project + "&reference=refs%2Fheads%2Fmaster";
  EXPECT_FALSE(
      client().PostForm("/plumber-workflows", form).Json().as_object().contains("hook_id"));
  Start({.dialect = Dialect::kReference});
  EXPECT_TRUE(client().PostForm("/plumber-workflows", form).Json().as_object().contains("hook_id"));
}

TEST_F(WorkflowsTest, ARunMakesAWorkflowAndAPipelineThatMoveWithTheClock) {
  Start();
  const boost::json::value run =
      client()
          .PostForm("/plumber-workflows", "project_id=" + ids().project +
                                              "&reference=refs/heads/topic&parameters[LEVEL]=high")
          .Json();
  const std::string workflow_path =
      "/plumber-workflows/" + std::string(run.at("workflow_id").as_string());
  const std::string pipeline_path = "/pipelines/" + std::string(run.at("pipeline_id").as_string());
  EXPECT_EQ(client().Get(workflow_path).Json().at("workflow").at("hook_id").as_string(), "");
  const std::pair<int, const char*> rows[] = {
      {0, "initializing"}, {1, "pending"}, {1, "queuing"}, {2, "running"}, {600, "done"}};
  for (const auto& [seconds, state] : rows) {
    time_.Advance(absl::Seconds(seconds));
    EXPECT_EQ(client().Get(pipeline_path).Json().at("pipeline").at("state").as_string(), state);
  }
  const boost::json::value workflow = client().Get(workflow_path).Json().at("workflow");
  EXPECT_NE(workflow.at("hook_id").as_string(), "");
  EXPECT_EQ(workflow.at("triggered_by").as_string(), "API");
  EXPECT_EQ(workflow.at("branch_name").as_string(), "topic");
  const boost::json::value pipeline = client().Get(pipeline_path).Json().at("pipeline");
  EXPECT_EQ(boost::json::serialize(pipeline.at("env_vars")),
            R"([{"name":"LEVEL","value":"high"}])");
}

TEST_F(WorkflowsTest, AJsonBodyRunsAWorkflowToo) {
  Start();
  const TestReply reply = client().PostJson(
      "/plumber-workflows", R"({"project_id":")" + ids().project +
                                R"(","reference":"refs/tags/v2","pipeline_file":"ci/deploy.yml",)" +
                                R"("commit_sha":"abc","parameters":{"A":"1"}})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const boost::json::value pipeline =
      client()
          .Get("/pipelines/" + std::string(reply.Json().at("pipeline_id").as_string()))
          .Json()
          .at("pipeline");
  EXPECT_EQ(pipeline.at("branch_name").as_string(), "refs/tags/v2");
  EXPECT_EQ(pipeline.at("yaml_file_name").as_string(), "deploy.yml");
  EXPECT_EQ(pipeline.at("working_directory").as_string(), "ci");
  EXPECT_EQ(pipeline.at("commit_sha").as_string(), "abc");
}

TEST_F(WorkflowsTest, ARequestTokenIsIgnoredSoThatARepeatedRunIsASecondWorkflow) {
  Start();
  const std::string form = "project_id=" + ids().project + "&reference=master&request_token=same";
  const TestReply first = client().PostForm("/plumber-workflows", form);
  const TestReply second = client().PostForm("/plumber-workflows", form);
  EXPECT_NE(first.body, second.body);
  EXPECT_EQ(client().Get(ListPath()).Header("total"), "37");
}

TEST_F(WorkflowsTest, AReferenceThatDoesNotExistFailsOnlyLater) {
  Start();
  const TestReply reply = client().PostForm(
      "/plumber-workflows", "project_id=" + ids().project + "&reference=refs/heads/no-such-branch");
  ASSERT_EQ(reply.status, 200);
  time_.Advance(absl::Seconds(10));
  const boost::json::value pipeline =
      client()
          .Get("/pipelines/" + std::string(reply.Json().at("pipeline_id").as_string()))
          .Json()
          .at("pipeline");
  EXPECT_EQ(pipeline.at("result").as_string(), "failed");
  EXPECT_EQ(pipeline.at("result_reason").as_string(), "malformed");
}

TEST_F(WorkflowsTest, ARunIsRefusedWithAJsonString) {
  Start({.queue_limit = 2});
  const std::string good = "project_id=" + ids().project + "&reference=topic";
  EXPECT_EQ(client().PostForm("/plumber-workflows", "project_id=" + ids().project).body,
            R"("Missing required post parameter reference.")");
  EXPECT_EQ(client().PostForm("/plumber-workflows", good + "&parameters=text").body,
            R"("Invalid argument")");
  EXPECT_EQ(client()
                .PostForm("/plumber-workflows",
                          "project_id=" + ids().deleted_project + "&reference=master")
                .body,
            "\"Project with id " + ids().deleted_project + " was deleted.\"");
  client().PostForm("/plumber-workflows", good);
  client().PostForm("/plumber-workflows", good);
  const TestReply third = client().PostForm("/plumber-workflows", good);
  EXPECT_EQ(third.status, 400);
  EXPECT_EQ(third.body, R"("Limit of queuing pipelines reached")");
}

TEST_F(WorkflowsTest, ARerunIsAWorkflowOfItsOwnOnTheSameCommit) {
  Start();
  const TestReply reply = client().PostForm(
      "/plumber-workflows/" + ids().failed_workflow + "/reschedule", "request_token=first");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const boost::json::value ids_of_rerun = reply.Json();
  const std::string id(ids_of_rerun.at("wf_id").as_string());
  const boost::json::value original =
      client().Get("/plumber-workflows/" + ids().failed_workflow).Json().at("workflow");
  const boost::json::value rerun = client().Get("/plumber-workflows/" + id).Json().at("workflow");
  EXPECT_EQ(rerun.at("rerun_of").as_string(), ids().failed_workflow);
  EXPECT_EQ(rerun.at("initial_ppl_id"), ids_of_rerun.at("ppl_id"));
  EXPECT_EQ(rerun.at("commit_sha"), original.at("commit_sha"));
  EXPECT_EQ(rerun.at("branch_name"), original.at("branch_name"));
  EXPECT_EQ(rerun.at("triggered_by").as_string(), "API");
  EXPECT_EQ(client().Get(ListPath()).Json().at(0).at("wf_id").as_string(), id);
  const std::string pipeline_path =
      "/pipelines/" + std::string(ids_of_rerun.at("ppl_id").as_string());
  boost::json::value pipeline = client().Get(pipeline_path).Json().at("pipeline");
  EXPECT_EQ(pipeline.at("state").as_string(), "initializing");
  EXPECT_EQ(pipeline.at("triggerer").at("workflow_rerun_of").as_string(), ids().failed_workflow);
  time_.Advance(absl::Minutes(5));
  pipeline = client().Get(pipeline_path).Json().at("pipeline");
  EXPECT_EQ(pipeline.at("result").as_string(), "passed");
}

TEST_F(WorkflowsTest, ARerunTokenGivesItsFirstResultEvenForAnotherWorkflow) {
  Start();
  const std::string done = "/plumber-workflows/" + ids().done_workflow + "/reschedule";
  const std::string failed = "/plumber-workflows/" + ids().failed_workflow + "/reschedule";
  const TestReply first = client().PostForm(done, "request_token=t");
  EXPECT_EQ(client().PostJson(done, R"({"request_token":"t"})").body, first.body);
  EXPECT_EQ(client().PostForm(failed + "?request_token=t", "").body, first.body);
  EXPECT_NE(client().PostForm(failed, "request_token=u").body, first.body);
  EXPECT_EQ(client().Get(ListPath()).Header("total"), "37");
}

TEST_F(WorkflowsTest, ARerunWithoutATokenIsRefusedWithAJsonString) {
  Start();
  const std::string path = "/plumber-workflows/" + ids().done_workflow + "/reschedule";
  for (const char* form : {"", "request_token="}) {
    const TestReply reply = client().PostForm(path, form);
    EXPECT_EQ(reply.status, 400) << form;
    EXPECT_EQ(reply.body, R"("Missing required post parameter request_token.")") << form;
  }
}

TEST_F(WorkflowsTest, ARerunThatTheQueueRefusesIsAnObjectWithACode) {
  Start({.queue_limit = 1});
  const TestReply reply = client().PostForm(
      "/plumber-workflows/" + ids().done_workflow + "/reschedule", "request_token=t");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body,
            R"({"code":"RESOURCE_EXHAUSTED","message":"Limit of queuing pipelines reached"})");
}

TEST_F(WorkflowsTest, AStoppedWorkflowStopsItsUnfinishedPipelines) {
  Start();
  const std::string path = "/plumber-workflows/" + ids().running_workflow + "/terminate";
  client().PostForm("/promotions",
                    "name=Staging&override=true&pipeline_id=" + ids().running_pipeline);
  time_.Advance(absl::Seconds(2));
  const TestReply reply = client().PostForm(path, "");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"("Termination started for 2 pipelines.")");
  time_.Advance(absl::Seconds(2));
  const boost::json::value pipelines =
      client().Get("/pipelines?wf_id=" + ids().running_workflow).Json();
  ASSERT_EQ(pipelines.as_array().size(), 2U);
  EXPECT_EQ(pipelines.at(0).at("result").as_string(), "CANCELED");
  EXPECT_EQ(pipelines.at(1).at("result").as_string(), "STOPPED");
  EXPECT_EQ(client().PostForm(path, "").body, R"("Termination started for 0 pipelines.")");
}

TEST_F(WorkflowsTest, AnUnknownWorkflowCannotBeRerunOrStopped) {
  Start();
  for (const char* path : {"/plumber-workflows/x/reschedule", "/plumber-workflows/x/terminate"}) {
    const TestReply reply = client().PostForm(path, "request_token=t");
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.body, "Not Found") << path;
  }
}

TEST_F(WorkflowsTest, TheReferenceDialectAnswersAStopOfAWorkflowWithoutABody) {
  Start({.dialect = Dialect::kReference});
  const TestReply reply =
      client().PostForm("/plumber-workflows/" + ids().running_workflow + "/terminate", "");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
}

TEST_F(WorkflowsTest, ARunInAnUnknownProjectIsNotFoundInRawText) {
  Start();
  const TestReply reply = client().PostForm("/plumber-workflows", "project_id=x&reference=master");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "Not Found");
}

}  // namespace
}  // namespace semaphore::simulator
