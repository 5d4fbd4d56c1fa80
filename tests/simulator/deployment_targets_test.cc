// Deployment targets as the service answers them (facts, section 5.7).
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <set>

#include "absl/strings/str_format.h"
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

// The digest of "high", as others compute it.
constexpr char kHighMd5[] = "8d966b2253a917086c8604959e152243";

class DeploymentTargetsTest : public SimulatorTest {
 protected:
  static std::string Token(int number) {
    return absl::StrFormat("6063dd03-ecfb-11ed-b539-%012d", number);
  }

  TestReply Create(boost::json::object target, int token) {
    target["unique_token"] = Token(token);
    if (!target.contains("project_id")) target["project_id"] = ids().project;
    return client().PostJson("/deployment_targets", boost::json::serialize(target));
  }

  TestReply Patch(const std::string& id, const boost::json::object& change) {
    return client().Send({.method = "PATCH",
                          .target = "/api/v1alpha/deployment_targets/" + id,
                          .body = boost::json::serialize(change),
                          .content_type = "application/json"});
  }

  TestReply Update(const std::string& id, boost::json::object change, int token) {
    change["unique_token"] = Token(token);
    return Patch(id, change);
  }

  TestReply Delete(const std::string& id, int token) {
    return client().Send(
        {.method = "DELETE",
         .target = "/api/v1alpha/deployment_targets/" + id + "?unique_token=" + Token(token)});
  }

  TestReply Get(const std::string& id, const std::string& query = "") {
    return client().Get("/deployment_targets/" + id + query);
  }

  std::string State(const std::string& id) {
    return std::string(Get(id).Json().at("state").as_string());
  }

  // The id of a new target that is USABLE.
  std::string MakeTarget(const std::string& name, int token) {
    const TestReply reply = Create({{"name", name}}, token);
    EXPECT_EQ(reply.status, 200) << reply.body;
    time_.Advance(absl::Seconds(2));
    return std::string(reply.Json().at("id").as_string());
  }
};

TEST_F(DeploymentTargetsTest, OnlyAListByProjectHasTheLastDeployment) {
  Start();
  const std::string list = "/deployment_targets?project_id=" + ids().project;
  const boost::json::value all = client().Get(list).Json();
  ASSERT_EQ(all.as_array().size(), 8U);
  std::vector<std::string> names;
  for (const boost::json::value& target : all.as_array()) {
    names.emplace_back(target.at("name").as_string());
    EXPECT_EQ(target.at("last_deployment").is_object(),
              target.at("id").as_string() == ids().deployed_target);
  }
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  const boost::json::value one = client().Get(list + "&target_name=deployed").Json();
  ASSERT_EQ(one.as_array().size(), 1U);
  EXPECT_TRUE(one.at(0).at("last_deployment").is_null());
  EXPECT_TRUE(Get(ids().deployed_target).Json().at("last_deployment").is_null());
}

TEST_F(DeploymentTargetsTest, AListNeedsAKnownProject) {
  Start();
  struct Row {
    std::string query;
    int status;
    const char* body;
  };
  const Row rows[] = {{"", 404, "Project not found"},
                      {"?project_id=x", 400, "project id must be a valid UUID"},
                      {"?project_id=" + ids().user, 404, "Not found"},
                      {"?project_id=" + ids().project + "&target_name=nobody", 200, "[]"},
                      {"?project_id=" + ids().project + "&target_name=", 400,
                       "target_name must be string with length between 1 and 255"},
                      {"?project_id=" + ids().project + "&target_name=" + std::string(256, 'a'),
                       400, "target_name must be string with length between 1 and 255"},
                      {"?project_id=" + ids().empty_project, 200, "[]"}};
  for (const Row& row : rows) {
    const TestReply reply = client().Get("/deployment_targets" + row.query);
    EXPECT_EQ(reply.status, row.status) << row.query;
    EXPECT_EQ(reply.body, row.body) << row.query;
  }
}

TEST_F(DeploymentTargetsTest, TheWellKnownOnesAreInTheirStates) {
  Start();
  EXPECT_EQ(State(ids().usable_target), "USABLE");
  EXPECT_EQ(State(ids().cordoned_target), "CORDONED");
  EXPECT_EQ(State(ids().syncing_target), "SYNCING");
  EXPECT_EQ(State(ids().unusable_target), "UNUSABLE");
  EXPECT_EQ(State(ids().deployed_target), "USABLE");
  time_.Advance(absl::Hours(1));
  EXPECT_EQ(State(ids().syncing_target), "SYNCING");
  EXPECT_EQ(Get(ids().cordoned_target).Json().at("active").as_bool(), false);
  EXPECT_NE(Get(ids().unusable_target).Json().at("state_message").as_string(), "");
}

TEST_F(DeploymentTargetsTest, AnIdIsCheckedBeforeItIsLookedUp) {
  Start();
  const TestReply malformed = Get("not-a-uuid");
  EXPECT_EQ(malformed.status, 400);
  EXPECT_EQ(malformed.body, "target_id must be a valid UUID");
  const TestReply unknown = Get(ids().user);
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body, "\"Not found\"");
}

TEST_F(DeploymentTargetsTest, ANewTargetSyncsForTwoSecondsAndLetsEverybodyDeployEverything) {
  Start();
  const TestReply reply = Create(
      {{"name", "made"}, {"description", "d"}, {"url", "u"}, {"bookmark_parameter2", "b"}}, 1);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const boost::json::value json = reply.Json();
  EXPECT_EQ(json.at("state").as_string(), "SYNCING");
  EXPECT_EQ(json.at("bookmark_parameter2").as_string(), "b");
  EXPECT_EQ(json.at("created_at").as_string(), "2025-06-15T15:06:40.000000Z");
  EXPECT_EQ(json.at("updated_at").as_string(), "2025-06-15T15:06:40.000000Z");
  EXPECT_EQ(boost::json::serialize(json.at("subject_rules")),
            R"([{"type":"ANY","subject_id":""}])");
  ASSERT_EQ(json.at("object_rules").as_array().size(), 3U);
  EXPECT_EQ(boost::json::serialize(json.at("object_rules").at(2)),
            R"({"type":"PR","match_mode":"ALL","pattern":""})");
  const std::string id(json.at("id").as_string());
  time_.Advance(absl::Milliseconds(1999));
  EXPECT_EQ(State(id), "SYNCING");
  time_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(State(id), "USABLE");
  EXPECT_EQ(Get(id).Json().at("updated_at").as_string(), "2025-06-15T15:06:42.000000Z");
}

TEST_F(DeploymentTargetsTest, WhatACreationNeedsIsAskedFor) {
  Start();
  const std::string all =
      "\"unique_token, name and project_id are required to create a deployment target\"";
  const auto create = [this](const std::string& body) {
    return client().PostJson("/deployment_targets?project_id=" + ids().project, body);
  };
  EXPECT_EQ(create(R"({"name":"a"})").body, all);
  EXPECT_EQ(create(R"({"unique_token":")" + Token(1) + "\"}").body, all);
  EXPECT_EQ(
      client()
          .PostJson("/deployment_targets", R"({"name":"a","unique_token":")" + Token(1) + "\"}")
          .body,
      all);
  EXPECT_EQ(create(R"({"name":"a","unique_token":"x"})").body, "unique_token must be a valid UUID");
  EXPECT_EQ(create(R"({"name":"a","subject_rules":[{}]})").body,
            "subject_rules must be a list of proper objects");
  EXPECT_EQ(create(R"({"name":"a","object_rules":{}})").body,
            "object_rules must be a list of proper objects");
  EXPECT_EQ(Create({{"name", "a"}, {"project_id", ids().user}}, 1).body, "Not found");
}

TEST_F(DeploymentTargetsTest, ABadOrTakenNameIsAChangesetError) {
  Start();
  for (const std::string& name : {std::string("a b"), std::string(), std::string("ä"),
                                  std::string(256, 'a'), std::string("usable")}) {
    const TestReply reply = Create({{"name", name}}, 1);
    EXPECT_EQ(reply.status, 400) << name;
    EXPECT_EQ(reply.body, "\"Changeset error\"") << name;
  }
  EXPECT_EQ(Create({{"name", std::string(255, 'a')}}, 1).status, 200);
  EXPECT_EQ(Create({{"name", "usable"}, {"project_id", ids().other_project}}, 2).status, 200);
}

TEST_F(DeploymentTargetsTest, AUserIsNamedByIdOrGitLoginAndMustBeAMember) {
  Start();
  const auto create = [this](int token, boost::json::object rule) {
    rule["type"] = "user";
    return Create(
        {{"name", "t" + std::to_string(token)}, {"subject_rules", boost::json::array{rule}}},
        token);
  };
  const std::string kept =
      R"([{"type":"USER","subject_id":")" + ids().user + R"(","git_login":"octocat"}])";
  EXPECT_EQ(
      boost::json::serialize(create(1, {{"subject_id", ids().user}}).Json().at("subject_rules")),
      kept);
  EXPECT_EQ(
      boost::json::serialize(create(2, {{"git_login", "octocat"}}).Json().at("subject_rules")),
      kept);
  EXPECT_EQ(create(3, {{"git_login", "nobody"}}).body,
            "\"handle nobody can't be used as subject id\"");
  EXPECT_EQ(create(4, {{"subject_id", ids().project}}).status, 400);
  EXPECT_EQ(create(5, {}).status, 500);
}

TEST_F(DeploymentTargetsTest, AnUpdateKeepsWhatItDoesNotMention) {
  Start();
  const std::string id = ids().usable_target;
  const boost::json::value before = Get(id).Json();
  const TestReply reply = Update(id, {{"description", "other"}}, 1);
  ASSERT_EQ(reply.status, 200) << reply.body;
  boost::json::value after = reply.Json();
  EXPECT_EQ(after.at("state").as_string(), "USABLE");
  EXPECT_EQ(after.at("description").as_string(), "other");
  EXPECT_NE(after.at("updated_at").as_string(), before.at("updated_at").as_string());
  for (const char* changed : {"description", "updated_at"}) {
    after.as_object()[changed] = before.at(changed);
  }
  EXPECT_EQ(after, before);
}

TEST_F(DeploymentTargetsTest, AnUpdateCanRename) {
  Start();
  const std::string list = "/deployment_targets?project_id=" + ids().project + "&target_name=";
  EXPECT_EQ(Update(ids().usable_target, {{"name", "renamed"}}, 1).status, 200);
  EXPECT_EQ(client().Get(list + "usable").body, "[]");
  EXPECT_EQ(client().Get(list + "renamed").Json().as_array().size(), 1U);
  EXPECT_EQ(Update(ids().usable_target, {{"name", "cordoned"}}, 2).body, "\"Changeset error\"");
  EXPECT_EQ(Create({{"name", "usable"}}, 3).status, 200);
}

TEST_F(DeploymentTargetsTest, SecretsAreShownAsDigestsToThoseWhoAsk) {
  Start();
  const boost::json::value json = Get(ids().usable_target, "?include_secrets=true").Json();
  EXPECT_EQ(json.at("env_vars").at(0).at("name").as_string(), "LEVEL");
  EXPECT_EQ(json.at("env_vars").at(0).at("value").as_string(), kHighMd5);
  EXPECT_EQ(json.at("files").at(0).at("path").as_string(), "/etc/my.conf");
  EXPECT_EQ(json.at("files").at(0).at("content").as_string().size(), 32U);
  EXPECT_FALSE(Get(ids().usable_target).Json().as_object().contains("env_vars"));
}

TEST_F(DeploymentTargetsTest, ADigestStandsForTheValueBeforeAndWhatIsLeftOutIsGone) {
  Start();
  const std::string id = ids().usable_target;
  const boost::json::array env_vars{boost::json::object{{"name", "NEW"}, {"value", "low"}},
                                    boost::json::object{{"name", "LEVEL"}, {"value", kHighMd5}}};
  const TestReply reply = Update(id, {{"env_vars", env_vars}}, 1);
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Json().at("state").as_string(), "SYNCING");
  time_.Advance(absl::Seconds(2));
  const boost::json::value json = Get(id, "?include_secrets=yes").Json();
  EXPECT_EQ(json.at("state").as_string(), "USABLE");
  ASSERT_EQ(json.at("env_vars").as_array().size(), 2U);
  EXPECT_EQ(json.at("env_vars").at(0).at("name").as_string(), "LEVEL");
  EXPECT_EQ(json.at("env_vars").at(0).at("value").as_string(), kHighMd5);
  EXPECT_TRUE(json.at("files").as_array().empty());
}

TEST_F(DeploymentTargetsTest, NothingCanBeChangedWhileItSyncs) {
  Start();
  const std::string id = ids().syncing_target;
  const std::string invalid = "\"Invalid state: SYNCING\"";
  for (const TestReply& reply : {Update(id, {{"description", "x"}}, 1), Delete(id, 2),
                                 Patch(id + "/activate", {}), Patch(id + "/deactivate", {})}) {
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(reply.body, invalid);
  }
}

TEST_F(DeploymentTargetsTest, ChangesNeedAToken) {
  Start();
  EXPECT_EQ(Patch(ids().usable_target, {{"name", "a"}}).body,
            "\"target_id and unique_token are required to update a deployment target\"");
  EXPECT_EQ(Patch(ids().usable_target, {{"unique_token", "a"}}).body,
            "unique_token must be a valid UUID");
  const TestReply reply = client().Send(
      {.method = "DELETE", .target = "/api/v1alpha/deployment_targets/" + ids().usable_target});
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body,
            "\"target_id and unique_token are required to delete a deployment target\"");
  EXPECT_EQ(Update(ids().user, {}, 1).body, "\"Not found\"");
}

TEST_F(DeploymentTargetsTest, ATargetWithSecretsSyncsBeforeItVanishes) {
  Start();
  const std::string id = MakeTarget("made", 1);
  const TestReply reply = Delete(id, 2);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"target_id":")" + id + "\"}");
  EXPECT_EQ(State(id), "SYNCING");
  EXPECT_EQ(Delete(id, 2).body, reply.body);
  EXPECT_EQ(Delete(id, 3).status, 400);
  time_.Advance(absl::Seconds(2));
  EXPECT_EQ(Get(id).status, 404);
  EXPECT_EQ(Delete(id, 2).status, 404);
  EXPECT_EQ(Create({{"name", "made"}}, 4).status, 200);
}

TEST_F(DeploymentTargetsTest, ATargetWithoutSecretsVanishesAtOnce) {
  Start();
  EXPECT_EQ(Delete(ids().deployed_target, 1).status, 200);
  const TestReply again = Delete(ids().deployed_target, 1);
  EXPECT_EQ(again.status, 404);
  EXPECT_EQ(again.body, "\"Not found\"");
}

TEST_F(DeploymentTargetsTest, ATokenThatATargetHoldsGivesThatTargetAndChangesNothing) {
  Start();
  const std::string id = MakeTarget("made", 1);
  const TestReply created = Create({{"name", "another"}}, 1);
  EXPECT_EQ(created.status, 200);
  EXPECT_EQ(created.Json().at("name").as_string(), "made");
  const TestReply updated = Update(ids().usable_target, {{"name", "another"}}, 1);
  EXPECT_EQ(updated.status, 200);
  EXPECT_EQ(updated.Json().at("id").as_string(), id);
  EXPECT_EQ(Delete(ids().usable_target, 1).body, R"({"target_id":")" + id + "\"}");
  EXPECT_EQ(Get(ids().usable_target).Json().at("name").as_string(), "usable");
  EXPECT_EQ(State(id), "USABLE");
}

TEST_F(DeploymentTargetsTest, ATargetHoldsTheTokenOfItsLastChangeOnly) {
  Start();
  const std::string id = MakeTarget("made", 1);
  EXPECT_EQ(Update(id, {{"description", "d"}}, 2).status, 200);
  const TestReply same_name = Create({{"name", "made"}}, 1);
  EXPECT_EQ(same_name.body, "\"Changeset error\"");
  const TestReply other_name = Create({{"name", "another"}}, 1);
  EXPECT_EQ(other_name.status, 200);
  EXPECT_NE(other_name.Json().at("id").as_string(), id);
}

TEST_F(DeploymentTargetsTest, ATargetCanBeDeactivatedAndActivated) {
  Start();
  const std::string id = ids().usable_target;
  const TestReply off = Patch(id + "/deactivate", {});
  EXPECT_EQ(off.status, 200);
  EXPECT_EQ(off.body, R"({"target_id":")" + id + R"(","cordoned":true})");
  EXPECT_EQ(State(id), "CORDONED");
  EXPECT_EQ(Patch(id + "/deactivate", {}).body, off.body);
  EXPECT_EQ(Patch(id + "/activate", {}).body, R"({"target_id":")" + id + R"(","cordoned":false})");
  EXPECT_EQ(State(id), "USABLE");
  EXPECT_EQ(Patch(ids().user + "/activate", {}).status, 404);
}

TEST_F(DeploymentTargetsTest, ANameDecidesThatATargetStaysSyncingOrTurnsUnusable) {
  Start();
  const std::string syncing = MakeTarget("syncing-2", 1);
  const std::string unusable = MakeTarget("unusable-2", 2);
  EXPECT_EQ(State(syncing), "SYNCING");
  EXPECT_EQ(State(unusable), "UNUSABLE");
}

TEST_F(DeploymentTargetsTest, TheReferenceDialectHasTheDocumentedFieldsOnly) {
  Start({.dialect = Dialect::kReference});
  std::set<std::string> names;
  const boost::json::value json = Get(ids().usable_target, "?include_secrets=true").Json();
  for (const auto& [name, value] : json.as_object()) names.emplace(name);
  EXPECT_EQ(names, (std::set<std::string>{
                       "id", "name", "description", "url", "organization_id", "project_id",
                       "created_by", "updated_by", "created_at", "updated_at", "state",
                       "state_message", "active", "bookmark_parameter1", "bookmark_parameter2",
                       "bookmark_parameter3", "subject_rules", "object_rules", "last_deployment"}));
  EXPECT_FALSE(json.at("subject_rules").at(0).as_object().contains("git_login"));
}

TEST_F(DeploymentTargetsTest, ThereCanBeFiveThousand) {
  Start({.deployment_targets = 5000, .deployments = 5000});
  const TestReply reply = client().Get("/deployment_targets?project_id=" + ids().project);
  EXPECT_EQ(reply.Json().as_array().size(), 5000U);
}

}  // namespace
}  // namespace semaphore::simulator
