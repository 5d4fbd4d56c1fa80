// Promotions as the service answers them (facts, section 5.3).
#include <boost/json/serialize.hpp>
#include <set>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class PromotionsTest : public SimulatorTest {
 protected:
  TestReply List(const std::string& pipeline_id, const std::string& more = "") {
    return client().Get("/promotions?pipeline_id=" + pipeline_id + more);
  }
  TestReply Trigger(const std::string& pipeline_id, const std::string& form) {
    return client().PostForm("/promotions", "pipeline_id=" + pipeline_id + "&" + form);
  }
  std::string TotalOf(const std::string& pipeline_id) { return List(pipeline_id).Header("total"); }
  boost::json::value Pipeline(const std::string& id) {
    return client().Get("/pipelines/" + id).Json().at("pipeline");
  }
};

constexpr char kTriggered[] = R"("Promotion successfully triggered.")";

TEST_F(PromotionsTest, AnAutomaticPromotionNamesItsRuleAndItsPipeline) {
  Start();
  const boost::json::value json = List(ids().done_pipeline).Json();
  ASSERT_EQ(json.as_array().size(), 1U);
  const boost::json::value& promotion = json.at(0);
  EXPECT_EQ(promotion.as_object().size(), 7U);
  EXPECT_EQ(promotion.at("name").as_string(), "Staging");
  EXPECT_EQ(promotion.at("triggered_by").as_string(), "Pipeline Done request");
  EXPECT_EQ(promotion.at("status").as_string(), "passed");
  EXPECT_FALSE(promotion.at("override").as_bool());
  EXPECT_EQ(promotion.at("scheduled_pipeline_id").as_string(), ids().promoted_pipeline);
  EXPECT_EQ(promotion.at("scheduled_at").at("seconds").as_int64(),
            promotion.at("triggered_at").at("seconds").as_int64() + 1);
  EXPECT_EQ(Pipeline(ids().promoted_pipeline).at("state").as_string(), "done");
}

TEST_F(PromotionsTest, APageHoldsTenUnlessAskedAndTheNewestComesFirst) {
  Start();
  const TestReply first = List(ids().promoting_pipeline);
  EXPECT_EQ(first.Json().as_array().size(), 10U);
  EXPECT_EQ(first.Header("total"), "12");
  EXPECT_EQ(first.Header("per-page"), "10");
  EXPECT_NE(first.Header("link").find("rel=\"next\""), std::string::npos);
  const TestReply last = List(ids().promoting_pipeline, "&page=2");
  ASSERT_EQ(last.Json().as_array().size(), 2U);
  EXPECT_EQ(last.Json().at(1).at("triggered_by").as_string(), "Pipeline Done request");
  EXPECT_EQ(List(ids().promoting_pipeline, "&page=9").body, last.body);
}

TEST_F(PromotionsTest, ThreeThousandPromotionsCanBeWalked) {
  Start({.promotions = 3000});
  size_t count = 0;
  std::set<std::string> pipelines;
  int64_t newest = absl::ToUnixMicros(time_.Now());
  for (int page = 1; page <= 31; page++) {
    const boost::json::value items =
        List(ids().promoting_pipeline, "&page_size=99&page=" + std::to_string(page)).Json();
    for (const boost::json::value& item : items.as_array()) {
      const boost::json::value& at = item.at("triggered_at");
      const int64_t micros =
          at.at("seconds").as_int64() * 1'000'000 + at.at("nanos").as_int64() / 1000;
      EXPECT_LT(micros, newest);
      newest = micros;
      count++;
      const std::string id(item.at("scheduled_pipeline_id").as_string());
      EXPECT_EQ(item.at("status").as_string(), id.empty() ? "failed" : "passed");
      if (!id.empty()) pipelines.insert(id);
    }
  }
  EXPECT_EQ(count, 3000U);
  EXPECT_EQ(pipelines.size(), 2250U);
}

TEST_F(PromotionsTest, ANameNarrowsTheList) {
  Start();
  EXPECT_EQ(List(ids().promoting_pipeline, "&name=Production").Header("total"), "6");
  EXPECT_EQ(List(ids().promoting_pipeline, "&name=nothing").body, "[]");
}

TEST_F(PromotionsTest, APageThatIsNoWholeNumberIsRefusedAndALargeOneAnInternalError) {
  Start();
  EXPECT_EQ(List(ids().done_pipeline, "&page=x").Json(),
            boost::json::value("Invalid value of 'page' param: \"x\" - needs to be integer."));
  EXPECT_EQ(List(ids().done_pipeline, "&page=x").status, 400);
  EXPECT_EQ(List(ids().done_pipeline, "&page_size=1.5").status, 400);
  EXPECT_EQ(List(ids().done_pipeline, "&page_size=").status, 400);
  EXPECT_EQ(List(ids().done_pipeline, "&page_size=99").status, 200);
  const TestReply reply = List(ids().done_pipeline, "&page_size=100");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body, R"("Internal error")");
}

TEST_F(PromotionsTest, APipelineWithoutPromotionsIsAnInternalError) {
  Start();
  const TestReply listed = List(ids().promoted_pipeline);
  EXPECT_EQ(listed.status, 500);
  EXPECT_EQ(listed.body, R"("Internal error")");
  EXPECT_EQ(Trigger(ids().promoted_pipeline, "name=Staging").status, 500);
}

TEST_F(PromotionsTest, APipelineThatIsNotEvaluatedYetIsAnInternalErrorUntilItIs) {
  Start();
  const TestReply run = client().PostForm(
      "/plumber-workflows", "reference=refs/heads/master&project_id=" + ids().project);
  const std::string id(run.Json().at("pipeline_id").as_string());
  EXPECT_EQ(List(id).status, 500);
  time_.Advance(absl::Seconds(1));
  EXPECT_EQ(List(id).body, "[]");
}

TEST_F(PromotionsTest, AnUnknownPipelineIsNotFoundInRawText) {
  Start();
  EXPECT_EQ(List("unknown").body, "Not Found");
  EXPECT_EQ(client().Get("/promotions").status, 404);
  EXPECT_EQ(Trigger("unknown", "name=Staging").body, "Not Found");
}

TEST_F(PromotionsTest, ATriggeredPromotionIsProcessedAndThenRunsAPipeline) {
  Start();
  const TestReply reply = Trigger(ids().done_pipeline, "name=Production&VERSION=1.2&REGION=eu");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, kTriggered);
  boost::json::value promotion = List(ids().done_pipeline).Json().at(0);
  EXPECT_EQ(promotion.at("status").as_string(), "processing");
  EXPECT_EQ(promotion.at("triggered_by").as_string(), ids().user);
  EXPECT_EQ(promotion.at("scheduled_at").at("seconds").as_int64(), 0);
  EXPECT_EQ(promotion.at("scheduled_pipeline_id").as_string(), "");
  const std::string pipelines = "/pipelines?wf_id=" + ids().done_workflow;
  EXPECT_EQ(client().Get(pipelines).Header("total"), "2");

  time_.Advance(absl::Seconds(1));
  promotion = List(ids().done_pipeline).Json().at(0);
  EXPECT_EQ(promotion.at("status").as_string(), "passed");
  EXPECT_EQ(client().Get(pipelines).Header("total"), "3");
  const std::string id(promotion.at("scheduled_pipeline_id").as_string());
  boost::json::value pipeline = Pipeline(id);
  EXPECT_EQ(pipeline.at("state").as_string(), "initializing");
  EXPECT_EQ(pipeline.at("promotion_of").as_string(), ids().done_pipeline);
  EXPECT_EQ(pipeline.at("yaml_file_name").as_string(), "production.yml");
  EXPECT_EQ(pipeline.at("triggerer").at("ppl_triggered_by").as_int64(), 1);
  EXPECT_EQ(pipeline.at("triggerer").at("ppl_triggerer_user_id").as_string(), ids().user);
  EXPECT_EQ(boost::json::serialize(pipeline.at("env_vars")),
            R"([{"name":"VERSION","value":"1.2"},{"name":"REGION","value":"eu"}])");
  time_.Advance(absl::Minutes(5));
  EXPECT_EQ(Pipeline(id).at("result").as_string(), "passed");
}

TEST_F(PromotionsTest, APromotionThatCannotBeScheduledFails) {
  Start();
  EXPECT_EQ(Trigger(ids().done_pipeline, "name=Unschedulable").body, kTriggered);
  time_.Advance(absl::Seconds(1));
  const boost::json::value promotion = List(ids().done_pipeline).Json().at(0);
  EXPECT_EQ(promotion.at("status").as_string(), "failed");
  EXPECT_EQ(promotion.at("scheduled_pipeline_id").as_string(), "");
}

TEST_F(PromotionsTest, ADeploymentTargetOfThatNameHasThemInItsHistory) {
  Start();
  const TestReply created =
      client().PostForm("/deployment_targets", "name=production&project_id=" + ids().project +
                                                   "&unique_token=" + ids().done_pipeline);
  ASSERT_EQ(created.status, 200) << created.body;
  const std::string id(created.Json().at("id").as_string());
  const auto history = [&] {
    return client().Get("/deployment_targets/" + id + "/history").Json().at("deployments");
  };
  EXPECT_EQ(Trigger(ids().done_pipeline, "name=Staging").status, 200);
  EXPECT_TRUE(history().as_array().empty());

  EXPECT_EQ(Trigger(ids().done_pipeline, "name=Production").status, 200);
  EXPECT_EQ(history().at(0).at("state").as_string(), "PENDING");
  EXPECT_EQ(history().at(0).at("pipeline_id").as_string(), "");
  time_.Advance(absl::Seconds(1));
  EXPECT_EQ(history().at(0).at("state").as_string(), "STARTED");
  EXPECT_EQ(history().at(0).at("target_name").as_string(), "Production");
  EXPECT_EQ(history().at(0).at("pipeline_id").as_string(),
            List(ids().done_pipeline).Json().at(0).at("scheduled_pipeline_id").as_string());

  EXPECT_EQ(Trigger(ids().done_pipeline, "name=Unschedulable").status, 200);
  time_.Advance(absl::Seconds(1));
  EXPECT_EQ(history().as_array().size(), 2U);
  EXPECT_EQ(history().at(0).at("state").as_string(), "FAILED");
  EXPECT_NE(history().at(0).at("state_message").as_string(), "");
}

TEST_F(PromotionsTest, ATokenTriggersOnceWhateverThePipeline) {
  Start();
  const std::string form = "name=Staging&override=true&request_token=t";
  EXPECT_EQ(Trigger(ids().done_pipeline, form).body, kTriggered);
  EXPECT_EQ(Trigger(ids().done_pipeline, form).body, kTriggered);
  EXPECT_EQ(Trigger(ids().failed_pipeline, form).body, kTriggered);
  EXPECT_EQ(TotalOf(ids().done_pipeline), "2");
  EXPECT_EQ(TotalOf(ids().failed_pipeline), "0");
  EXPECT_EQ(Trigger(ids().done_pipeline, "name=Staging").body, kTriggered);
  EXPECT_EQ(Trigger(ids().done_pipeline, "name=Staging").body, kTriggered);
  EXPECT_EQ(TotalOf(ids().done_pipeline), "4");
}

TEST_F(PromotionsTest, APipelineThatDidNotPassNeedsAnOverride) {
  Start();
  for (const std::string& id : {ids().failed_pipeline, ids().running_pipeline}) {
    const TestReply refused = Trigger(id, "name=Staging&override=false");
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(refused.body,
              R"("Triggering target when pipeline is not passed requires override confirmation.")");
    EXPECT_EQ(TotalOf(id), "0");
    EXPECT_EQ(client()
                  .PostJson("/promotions",
                            R"({"name":"Staging","override":true,"pipeline_id":")" + id + "\"}")
                  .body,
              kTriggered);
    EXPECT_TRUE(List(id).Json().at(0).at("override").as_bool());
  }
}

TEST_F(PromotionsTest, AnOverrideThatIsNoTruthValueIsRefused) {
  Start();
  const TestReply reply = Trigger(ids().done_pipeline, "name=Staging&override=yes");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.Json(),
            boost::json::value("Invalid value of 'override' param: \"yes\" - needs to be "
                               "boolean."));
}

TEST_F(PromotionsTest, AnUnknownTargetIsRefusedWithTheIdOfTheSwitch) {
  Start();
  const std::string switch_id(Pipeline(ids().done_pipeline).at("switch_id").as_string());
  const TestReply reply = Trigger(ids().done_pipeline, "name=Moon");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.Json(),
            boost::json::value("Target for switch: " + switch_id + " with name: Moon not found"));
  EXPECT_EQ(Trigger(ids().done_pipeline, "").status, 400);
}

TEST_F(PromotionsTest, ADeploymentTargetRefusesWithTheIdOfTheError) {
  Start();
  const std::pair<const char*, const char*> rows[] = {
      {"Syncing target", "deployment target is syncing"},
      {"Corrupted target", "deployment target is corrupted"},
      {"Cordoned target", "deployment target is cordoned"},
      {"Banned subject", "subject not allowed"},
      {"Banned object", "object not allowed"},
      {"Missing target", "deployment target not found"}};
  for (const auto& [name, refusal] : rows) {
    const TestReply reply = Trigger(ids().done_pipeline, "name=" + std::string(name));
    EXPECT_EQ(reply.status, 400) << name;
    EXPECT_TRUE(reply.body.starts_with("\"Triggering promotion with deployment target failed: " +
                                       std::string(refusal) + " (error ID: "))
        << reply.body;
  }
  EXPECT_EQ(TotalOf(ids().done_pipeline), "1");
}

TEST_F(PromotionsTest, AParameterThatTheTargetDoesNotTakeIsAnInternalError) {
  Start();
  for (const char* form : {"name=Staging&ANY=1", "name=Production&REGION=mars", "name=Rollback",
                           "name=Production&VERSION[a]=1"}) {
    const TestReply reply = Trigger(ids().done_pipeline, form);
    EXPECT_EQ(reply.status, 500) << form;
    EXPECT_EQ(reply.body, R"("Internal error")") << form;
  }
  EXPECT_EQ(Trigger(ids().done_pipeline, "name=Rollback&TO_VERSION=1").status, 200);
}

TEST_F(PromotionsTest, TheReferenceDialectHasThreeFieldsAndAnEmptyReply) {
  Start({.dialect = Dialect::kReference});
  const boost::json::value json = List(ids().done_pipeline).Json();
  EXPECT_EQ(boost::json::serialize(json),
            R"([{"name":"Staging","triggered_by":"Pipeline Done request","status":"passed"}])");
  EXPECT_EQ(List(ids().promoted_pipeline).body, "[]");
  const TestReply reply = Trigger(ids().done_pipeline, "name=Staging");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
}

}  // namespace
}  // namespace semaphore::simulator
