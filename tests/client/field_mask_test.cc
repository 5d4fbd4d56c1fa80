#include "client/field_mask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/artifact_retention_policy.pb.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "tests/client/method_fixture.h"

namespace semaphore::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kAgentType[] = "AgentTypeService/UpdateAgentType";
constexpr char kPolicy[] = "ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy";
constexpr char kTarget[] = "DeploymentTargetService/UpdateDeploymentTarget";

absl::StatusOr<std::vector<std::string>> Changed(const char* method, const std::string& request) {
  return ChangedPaths(Method(method), *RequestOf(Method(method), request));
}

TEST(FieldMask, IsAboutTheResourceOfTheRequest) {
  EXPECT_EQ(ResourceField(Method(kAgentType))->name(), "agent_type");
  EXPECT_EQ(ResourceField(Method(kPolicy))->name(), "artifact_retention_policy");
  EXPECT_EQ(ResourceField(Method(kTarget))->name(), "deployment_target");
}

TEST(FieldMask, WithoutOneThePopulatedWritableFieldsChange) {
  const auto paths = Changed(
      kTarget,
      "deployment_target {deployment_target_id: 'd' project_id: 'p' organization_id: 'o' state: "
      "DEPLOYMENT_TARGET_STATE_USABLE name: 'n' env_vars {name: 'A'} url: ''}");
  ASSERT_TRUE(paths.ok()) << paths.status();
  EXPECT_THAT(*paths, ElementsAre("name", "env_vars"));
}

TEST(FieldMask, OfAStarAreAllWritableFieldsEmptyOnesToo) {
  const auto paths = Changed(kTarget, "deployment_target {name: 'n'} update_mask {paths: '*'}");
  ASSERT_TRUE(paths.ok()) << paths.status();
  EXPECT_THAT(*paths, ElementsAre("name", "description", "url", "bookmark_parameter1",
                                  "bookmark_parameter2", "bookmark_parameter3", "subject_rules",
                                  "object_rules", "env_vars", "files"));
  EXPECT_THAT(*Changed(kPolicy, "artifact_retention_policy {} update_mask {paths: '*'}"),
              ElementsAre("project_level_rules", "workflow_level_rules", "job_level_rules"));
}

TEST(FieldMask, NamesFieldsThatAreEmpty) {
  EXPECT_THAT(*Changed(kPolicy,
                       "artifact_retention_policy {job_level_rules {selector: 'x'}} update_mask "
                       "{paths: 'project_level_rules'}"),
              ElementsAre("project_level_rules"));
}

TEST(FieldMask, ThatIsThereAndEmptyChangesNothing) {
  const auto paths = Changed(kTarget, "deployment_target {name: 'n'} update_mask {}");
  ASSERT_TRUE(paths.ok());
  EXPECT_THAT(*paths, IsEmpty());
}

TEST(FieldMask, MayReachIntoMessagesButNotIntoLists) {
  EXPECT_THAT(
      *Changed(kAgentType,
               "agent_type {} update_mask {paths: 'name_settings.aws.role_name_patterns' paths: "
               "'name_settings.release_after'}"),
      ElementsAre("name_settings.aws.role_name_patterns", "name_settings.release_after"));
  EXPECT_EQ(Changed(kTarget, "update_mask {paths: 'subject_rules.type'}").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(FieldMask, LeavesOutWhatUpstreamAloneWrites) {
  EXPECT_THAT(*Changed(kTarget,
                       "update_mask {paths: 'state' paths: 'name' paths: 'last_deployment' paths: "
                       "'create_time.seconds' paths: 'last_deployment.state'}"),
              ElementsAre("name"));
}

TEST(FieldMask, RefusesAndQuotesWhatCannotBeChanged) {
  struct Row {
    const char* method;
    const char* path;
    const char* says;
  };
  const Row rows[] = {
      {kTarget, "deployment_target_id", "deployment_target_id cannot be changed"},
      {kTarget, "project_id", "project_id cannot be changed"},
      {kAgentType, "name", "name cannot be changed"},
      {kPolicy, "project_id", "project_id cannot be changed"},
      {kTarget, "color", "no field \"color\" in DeploymentTarget"},
      {kTarget, "", "no field \"\" in DeploymentTarget"},
      {kTarget, "name.first", "no field \"name.first\""},
      {kTarget, "create_time.hours", "no field \"create_time.hours\""},
      {kTarget, "a\\nb", "no field \"a\\x0ab\""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.path);
    const auto paths = Changed(row.method, "update_mask {paths: '" + std::string(row.path) + "'}");
    EXPECT_EQ(paths.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(paths.status().message()), HasSubstr(row.says));
  }
}

TEST(FieldMask, AStarStandsAlone) {
  EXPECT_FALSE(Changed(kTarget, "update_mask {paths: '*' paths: 'name'}").ok());
  EXPECT_FALSE(Changed(kTarget, "update_mask {paths: 'name' paths: '*'}").ok());
  EXPECT_FALSE(Changed(kAgentType, "update_mask {paths: 'name_settings.*'}").ok());
}

TEST(CopyPaths, ReplacesExactlyTheNamedFieldsAndClearsThoseThatAreEmpty) {
  const auto source = FromText<v1::AgentType>(
      "name: 'source' name_settings {release_after {seconds: 60} aws {role_name_patterns: 'b'}}");
  const auto full = FromText<v1::AgentType>(
      "name: 'target' name_settings {assignment_origin: ASSIGNMENT_ORIGIN_AGENT release_after "
      "{seconds: 90} aws {account_id: '1' role_name_patterns: 'a'}} total_agent_count: 7");

  v1::AgentType target = full;
  CopyPaths({"name_settings.release_after"}, source, target);
  EXPECT_EQ(target.name_settings().release_after().seconds(), 60);
  target.mutable_name_settings()->mutable_release_after()->set_seconds(90);
  EXPECT_EQ(target.SerializeAsString(), full.SerializeAsString()) << "nothing else has changed";

  target = full;
  CopyPaths({"name_settings.aws.role_name_patterns"}, source, target);
  EXPECT_THAT(target.name_settings().aws().role_name_patterns(), ElementsAre("b"));
  EXPECT_EQ(target.name_settings().aws().account_id(), "1");

  target = full;
  CopyPaths({"name_settings"}, source, target);
  EXPECT_EQ(target.name_settings().assignment_origin(), v1::ASSIGNMENT_ORIGIN_UNSPECIFIED);
  EXPECT_EQ(target.name_settings().aws().account_id(), "");
  EXPECT_EQ(target.name(), "target");
  EXPECT_EQ(target.total_agent_count(), 7);

  target = full;
  CopyPaths({"name_settings"}, v1::AgentType(), target);
  EXPECT_FALSE(target.has_name_settings());

  target = full;
  CopyPaths({}, source, target);
  EXPECT_EQ(target.SerializeAsString(), full.SerializeAsString());
}

TEST(CopyPaths, ReplacesAListWhole) {
  const auto source = FromText<v1::ArtifactRetentionPolicy>("job_level_rules {selector: 'new'}");
  auto target = FromText<v1::ArtifactRetentionPolicy>(
      "job_level_rules {selector: 'a'} job_level_rules {selector: 'b'} project_level_rules "
      "{selector: 'p'} workflow_level_rules {selector: 'w'}");
  CopyPaths({"job_level_rules", "project_level_rules"}, source, target);
  ASSERT_EQ(target.job_level_rules_size(), 1);
  EXPECT_EQ(target.job_level_rules(0).selector(), "new");
  EXPECT_EQ(target.project_level_rules_size(), 0);
  EXPECT_EQ(target.workflow_level_rules_size(), 1);
}

TEST(CopyPaths, TwiceIsOnce) {
  const auto source = FromText<v1::ArtifactRetentionPolicy>("job_level_rules {selector: 'new'}");
  v1::ArtifactRetentionPolicy target;
  CopyPaths({"job_level_rules", "job_level_rules"}, source, target);
  EXPECT_EQ(target.job_level_rules_size(), 1);
}

}  // namespace
}  // namespace semaphore::client
