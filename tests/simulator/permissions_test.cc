// What is answered to a caller that may not (facts, sections 2 and 3).
#include "tests/simulator/access.h"
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class PermissionsTest : public SimulatorTest {
 protected:
  TestReply Send(const std::string& method, const std::string& path) {
    return client().Send({.method = method, .target = "/api/v1alpha" + path});
  }
};

TEST_F(PermissionsTest, EachAreaRefusesInItsOwnWay) {
  Start({.access = Access::kNoPermission});
  struct Row {
    const char* method;
    std::string path;
    int status;
    const char* body;
  };
  const std::string hidden_job =
      R"({"code":5,"message":"Job )" + ids().cloud_job + R"( not found","details":[]})";
  const Row rows[] = {
      {"GET", "/plumber-workflows?project_id=" + ids().project, 404, "Not Found"},
      {"POST", "/plumber-workflows", 404, "Not Found"},
      {"GET", "/pipelines/" + ids().done_pipeline, 404, "Not Found"},
      {"GET", "/promotions?pipeline_id=" + ids().done_pipeline, 404, "Not Found"},
      {"GET", "/deployment_targets/" + ids().usable_target, 401, "Permission denied"},
      {"GET", "/artifacts_retention_policies/" + ids().project, 401, "Permission denied"},
      {"GET", "/self_hosted_agent_types", 401, "Permission denied"},
      {"GET", "/agents", 401, "Permission denied"},
      {"GET", "/logs/" + ids().cloud_job, 401, "Permission denied"},
      {"GET", "/projects/" + ids().project_name, 401, R"({"message":"Unauthorized"})"},
      {"GET", "/projects", 200, "[]"},
      {"GET", "/jobs/" + ids().cloud_job, 404, hidden_job.c_str()},
      {"POST", "/jobs/" + ids().cloud_job + "/stop", 404, hidden_job.c_str()},
      {"POST", "/jobs", 403, R"({"code":7,"message":"Permission denied","details":[]})"}};
  for (const Row& row : rows) {
    const TestReply reply = Send(row.method, row.path);
    EXPECT_EQ(reply.status, row.status) << row.path;
    EXPECT_EQ(reply.body, row.body) << row.path;
  }
}

TEST_F(PermissionsTest, AReadOnlyCallerMaySeeEverythingAndChangeNothing) {
  Start({.access = Access::kReadOnly});
  const std::string target = "/deployment_targets/" + ids().usable_target;
  EXPECT_EQ(Send("GET", target).status, 200);
  EXPECT_EQ(Send("GET", target + "?include_secrets=true").body, "Permission denied");
  EXPECT_EQ(Send("PATCH", target + "/deactivate").body, "Permission denied");
  EXPECT_EQ(Send("GET", "/pipelines/" + ids().done_pipeline).status, 200);
  EXPECT_EQ(Send("PATCH", "/pipelines/" + ids().running_pipeline).body, "Not Found");
  EXPECT_EQ(Send("GET", target).Json().at("state").as_string(), "USABLE");
}

TEST_F(PermissionsTest, AFeatureThatIsOffIsSaidInPlainText) {
  Start({.access = Access::kNoDeploymentTargets});
  const TestReply reply = Send("GET", "/deployment_targets?project_id=" + ids().project);
  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(reply.Header("content-type"), "text/plain");
  EXPECT_TRUE(reply.body.starts_with("The deployment targets feature is not enabled"));
  EXPECT_EQ(Send("GET", "/pipelines/" + ids().done_pipeline).status, 200);
}

TEST_F(PermissionsTest, WithoutTheAdvancedFeatureRulesMayOnlyLetEverybodyDeploy) {
  Start({.access = Access::kNoAdvancedDeploymentTargets});
  const auto create = [this](const std::string& name, const std::string& rules) {
    return client().PostJson("/deployment_targets?project_id=" + ids().project,
                             R"({"name":")" + name +
                                 R"(","unique_token":"6063dd03-ecfb-11ed-b539-0045e2f582b)" + name +
                                 R"(","subject_rules":)" + rules + "}");
  };
  const TestReply refused = create("1", R"([{"type":"AUTO"}])");
  EXPECT_EQ(refused.status, 403);
  EXPECT_TRUE(refused.body.starts_with("The advanced deployment targets feature is not enabled"));
  EXPECT_EQ(create("2", R"([{"type":"ANY"}])").status, 200);
  EXPECT_EQ(create("3", "null").status, 200);
}

TEST_F(PermissionsTest, WhoStandsBeforeAuthenticationAnswersWhateverTheToken) {
  Start();
  const std::string log = "/api/v1/logs/" + ids().self_hosted_job;
  struct Row {
    Access access;
    int status;
    std::string body_part;
    int log_store_status;
  };
  const Row rows[] = {{Access::kIpNotAllowed, 404, "IP address (127.0.0.1).\n", 404},
                      {Access::kAuthOutage, 403, "", 403},
                      {Access::kUnknownOrganization, 404, "Not Found", 401}};
  for (const Row& row : rows) {
    simulator().SetAccess(row.access);
    for (const char* authorization : {"Token simulator-token", "Token wrong"}) {
      const TestReply reply =
          client().Send({.target = "/api/v1alpha/pipelines/" + ids().done_pipeline,
                         .authorization = authorization});
      EXPECT_EQ(reply.status, row.status) << AccessWord(row.access);
      EXPECT_NE(reply.body.find(row.body_part), std::string::npos) << reply.body;
      EXPECT_EQ(reply.Header("content-type"), "");
    }
    EXPECT_EQ(client().Send({.target = log}).status, row.log_store_status);
  }
  simulator().SetAccess(Access::kAuthOutage);
  EXPECT_EQ(Send("GET", "/pipelines/" + ids().done_pipeline).body, "");
}

TEST_F(PermissionsTest, AScriptCanChangeThemAndChangeThemBack) {
  Start();
  const auto change = [this](const std::string& body) {
    return client().Send({.method = "POST", .target = "/_simulator/access", .body = body});
  };
  const std::string path = "/pipelines/" + ids().done_pipeline;
  EXPECT_EQ(change(R"({"access": "auth_outage"})").body, R"({"access":"auth_outage"})");
  EXPECT_EQ(Send("GET", path).status, 403);
  EXPECT_EQ(change(R"({"access": "full"})").status, 200);
  EXPECT_EQ(Send("GET", path).status, 200);
  for (const char* wrong : {"", "{}", "[]", R"({"access": 1})", R"({"access": "none"})"}) {
    const TestReply reply = change(wrong);
    EXPECT_EQ(reply.status, 400) << wrong;
    EXPECT_NE(reply.body.find("no_permission"), std::string::npos);
  }
}

TEST(AccessWordTest, EveryWordIsReadBack) {
  for (const Access access :
       {Access::kFull, Access::kReadOnly, Access::kNoPermission, Access::kNoDeploymentTargets,
        Access::kNoAdvancedDeploymentTargets, Access::kIpNotAllowed, Access::kAuthOutage,
        Access::kUnknownOrganization}) {
    EXPECT_EQ(AccessFromWord(AccessWord(access)), access) << AccessWord(access);
  }
  EXPECT_EQ(AccessFromWord("none"), std::nullopt);
}

}  // namespace
}  // namespace semaphore::simulator
