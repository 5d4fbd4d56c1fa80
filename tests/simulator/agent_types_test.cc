// Self-hosted agent types (facts, section 5.5).
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

constexpr const char* kRoot = "/self_hosted_agent_types";

class AgentTypesTest : public SimulatorTest {
 protected:
  TestReply Send(const std::string& method, const std::string& path, const std::string& json = "") {
    return client().Send({.method = method,
                          .target = "/api/v1alpha" + (kRoot + path),
                          .body = json,
                          .content_type = json.empty() ? "" : "application/json"});
  }
  TestReply Create(const std::string& json) { return Send("POST", "", json); }
  boost::json::value Describe(const std::string& name) { return Send("GET", "/" + name).Json(); }
  int64_t Agents(const std::string& name) {
    return Describe(name).at("status").at("total_agent_count").as_int64();
  }

  static boost::json::value Settings(const boost::json::value& type) {
    return type.at("spec").at("agent_name_settings");
  }
};

void ExpectText(const TestReply& reply, int status, std::string_view text) {
  EXPECT_EQ(reply.status, status);
  ASSERT_TRUE(reply.Json().is_string()) << reply.body;
  EXPECT_EQ(std::string_view(reply.Json().as_string()), text);
}

// A create request for a type that takes its names from the agents themselves, with one more field.
std::string WithSetting(const std::string& setting) {
  return R"({"metadata": {"name": "s1-new"}, "spec": {"agent_name_settings": {)" + setting + "}}}";
}

TEST_F(AgentTypesTest, AListHoldsAllTypesOldestFirst) {
  Start({.agent_types = 5000});
  const boost::json::value json = Send("GET", "?page=2").Json();
  const boost::json::array& types = json.at("agent_types").as_array();
  ASSERT_EQ(types.size(), 5000U);
  int64_t last = 0;
  for (const boost::json::value& type : types) {
    EXPECT_GT(type.at("metadata").at("create_time").as_int64(), last);
    last = type.at("metadata").at("create_time").as_int64();
  }
  EXPECT_EQ(types[0].at("metadata").at("name").as_string(), ids().agent_type);
  EXPECT_EQ(types[0].at("status").at("total_agent_count").as_int64(), Agents(ids().agent_type));
}

TEST_F(AgentTypesTest, ATypeSaysWhoNamesItsAgents) {
  Start();
  const boost::json::value type = Describe(ids().agent_type);
  EXPECT_EQ(type.at("metadata").at("name").as_string(), ids().agent_type);
  EXPECT_GT(type.at("metadata").at("update_time").as_int64(), 0);
  EXPECT_EQ(Settings(type).at("assignment_origin").as_string(), "assignment_origin_agent");
  EXPECT_EQ(Settings(type).at("release_after").as_int64(), 0);
  EXPECT_TRUE(Settings(type).at("aws").is_null());
  EXPECT_EQ(type.at("status").as_object().size(), 1U);
  EXPECT_GT(Agents(ids().agent_type), 0);
  EXPECT_EQ(Agents(ids().empty_agent_type), 0);
  const boost::json::value aws = Settings(Describe(ids().aws_agent_type));
  EXPECT_EQ(aws.at("assignment_origin").as_string(), "assignment_origin_aws_sts");
  EXPECT_EQ(aws.at("aws").at("role_name_patterns").as_string(), "role1,role2*");
}

TEST_F(AgentTypesTest, AnUnknownTypeIsNotFound) {
  Start();
  ExpectText(Send("GET", "/s1-unknown"), 404, "agent type not found");
  ExpectText(Send("DELETE", "/s1-unknown"), 404, "agent type not found");
}

TEST_F(AgentTypesTest, OnlyTheReplyToACreateHoldsTheRegistrationToken) {
  Start();
  const TestReply reply = Create(R"({"metadata": {"name": "s1-new"}})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const boost::json::value created = reply.Json();
  EXPECT_EQ(created.at("status").at("total_agent_count").as_int64(), 0);
  EXPECT_EQ(created.at("status").at("registration_token").as_string().size(), 40U);
  EXPECT_EQ(created.at("metadata").at("create_time").as_int64(), absl::ToUnixSeconds(time_.Now()));
  const boost::json::value type = Describe("s1-new");
  EXPECT_FALSE(type.at("status").as_object().contains("registration_token"));
  EXPECT_EQ(type.at("spec"), created.at("spec"));
}

TEST_F(AgentTypesTest, NamesMustBeGivenFollowAPatternAndBeFree) {
  Start();
  ExpectText(Create("{}"), 400, "Name must be provided");
  ExpectText(Create(R"({"metadata": {"name": null}})"), 400, "Name must be provided");
  for (const char* name : {"", "s1-", "s2-linux", "s1-a b", "s1-\\u00e9", "S1-linux"}) {
    const TestReply reply = Create(R"({"metadata": {"name": ")" + std::string(name) + "\"}}");
    EXPECT_EQ(reply.status, 400) << name;
    EXPECT_TRUE(reply.Json().is_string()) << name;
  }
  ExpectText(Create(R"({"metadata": {"name": ")" + ids().agent_type + "\"}}"), 400,
             "agent type name must by unique in the organization");
  EXPECT_EQ(Create(R"({"metadata": {"name": "s1-A_b-9"}})").status, 200);
}

TEST_F(AgentTypesTest, SettingsAreChecked) {
  Start();
  const std::string sts = R"("assignment_origin": "assignment_origin_aws_sts")";
  const std::pair<std::string, int> rows[] = {
      {R"("release_after": 59)", 400},
      {R"("release_after": -1)", 400},
      {R"("release_after": "60")", 500},
      {R"("assignment_origin": "assignment_origin_unspecified")", 400},
      {R"("assignment_origin": "somebody")", 400},
      {R"("assignment_origin": null)", 400},
      {R"("aws": {"account_id": "1"})", 400},
      {R"("aws": {"role_name_patterns": "r"})", 400},
      {sts, 400},
      {sts + R"(, "aws": {"account_id": "1"})", 400},
      {sts + R"(, "aws": {"role_name_patterns": "r"})", 400}};
  for (const auto& [setting, status] : rows) {
    const TestReply reply = Create(WithSetting(setting));
    EXPECT_EQ(reply.status, status) << setting;
    EXPECT_TRUE(reply.Json().is_string()) << setting;
  }
  const boost::json::value created =
      Create(WithSetting(R"("assignment_origin": "ASSIGNMENT_ORIGIN_AWS_STS", "release_after": 60,
                            "aws": {"account_id": "1", "role_name_patterns": "r"})"))
          .Json();
  EXPECT_EQ(Settings(created).at("release_after").as_int64(), 60);
  EXPECT_EQ(Settings(created).at("aws").at("account_id").as_string(), "1");
}

TEST_F(AgentTypesTest, AnUpdateGoesByTheNameInTheBodyAndReplacesAllSettings) {
  Start();
  const boost::json::value before = Describe(ids().agent_type);
  const TestReply reply = Send("PATCH", "/" + ids().agent_type,
                               R"({"metadata": {"name": ")" + ids().aws_agent_type + "\"}}");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.Json().at("metadata").at("name").as_string(), ids().aws_agent_type);
  EXPECT_EQ(reply.Json().at("status").at("total_agent_count").as_int64(), 0);
  EXPECT_FALSE(reply.Json().at("status").as_object().contains("registration_token"));
  const boost::json::value changed = Describe(ids().aws_agent_type);
  EXPECT_EQ(Settings(changed).at("assignment_origin").as_string(), "assignment_origin_agent");
  EXPECT_TRUE(Settings(changed).at("aws").is_null());
  EXPECT_EQ(changed.at("metadata").at("update_time").as_int64(), absl::ToUnixSeconds(time_.Now()));
  EXPECT_GT(Agents(ids().aws_agent_type), 0);
  EXPECT_EQ(Describe(ids().agent_type), before);
}

TEST_F(AgentTypesTest, AnUpdateWithoutAKnownNameIsRefused) {
  Start();
  ExpectText(Send("PATCH", "/" + ids().agent_type, R"({"spec": {}})"), 400,
             "Name must be provided");
  EXPECT_EQ(Send("PATCH", "/" + ids().agent_type, R"({"metadata": {"name": "s1-unknown"}})").status,
            404);
}

TEST_F(AgentTypesTest, ATypeIsDeletedOnceItsAgentsHaveLeft) {
  Start();
  const std::string path = "/" + ids().aws_agent_type;
  ExpectText(Send("DELETE", path), 400, "can't delete agent type with existing agents");
  EXPECT_EQ(Send("POST", path + "/disable_all").body, "{}");
  EXPECT_GT(Agents(ids().aws_agent_type), 0);
  time_.Advance(absl::Seconds(10));
  EXPECT_EQ(Agents(ids().aws_agent_type), 0);
  const TestReply reply = Send("DELETE", path);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{}");
  ExpectText(Send("GET", path), 404, "agent type not found");
}

TEST_F(AgentTypesTest, BusyAgentsAreOnlyDisabledWhenAskedFor) {
  Start();
  const std::string path = "/" + ids().agent_type + "/disable_all";
  const auto disabled = [&](const std::string& name) {
    return client()
        .Get("/agents/" + name)
        .Json()
        .at("metadata")
        .as_object()
        .contains("disabled_at");
  };
  EXPECT_EQ(Send("POST", path).status, 200);
  EXPECT_FALSE(disabled(ids().agent));
  EXPECT_EQ(Send("POST", path, R"({"only_idle": false})").status, 200);
  EXPECT_TRUE(disabled(ids().agent));
  time_.Advance(absl::Minutes(1));
  EXPECT_TRUE(disabled(ids().agent));
}

TEST_F(AgentTypesTest, OnlyIdleIsATruthValueOrItsWord) {
  Start();
  const std::string path = std::string(kRoot) + "/" + ids().agent_type + "/disable_all";
  EXPECT_EQ(client().PostForm(path, "only_idle=true").status, 200);
  EXPECT_EQ(client().PostForm(path, "only_idle=false").status, 200);
  EXPECT_EQ(client().PostJson(path, R"({"only_idle": true})").status, 200);
  ExpectText(client().PostForm(path, "only_idle=maybe"), 400,
             "Invalid 'only_idle': 'maybe' is not a boolean.");
  EXPECT_EQ(client().PostJson(path, R"({"only_idle": 1})").status, 400);
}

TEST_F(AgentTypesTest, DisablingTheAgentsOfAnUnknownTypeIsFine) {
  Start();
  const TestReply reply = Send("POST", "/s1-unknown/disable_all");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{}");
}

TEST_F(AgentTypesTest, TheReferenceDialectLeavesUnusedAwsSettingsOut) {
  Start({.dialect = Dialect::kReference});
  EXPECT_EQ(Settings(Describe(ids().agent_type)).as_object().size(), 2U);
  EXPECT_EQ(Settings(Describe(ids().aws_agent_type)).as_object().size(), 3U);
}

}  // namespace
}  // namespace semaphore::simulator
