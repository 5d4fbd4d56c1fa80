#include "client/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/error.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/promotion.pb.h"
#include "semaphore/v1/workflow.pb.h"
#include "tests/client/method_fixture.h"
#include "tests/client/status_reading.h"

namespace semaphore::client {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

absl::Status Validate(const char* method, const std::string& request) {
  return ValidateRequest(Method(method), *RequestOf(Method(method), request));
}

struct Row {
  const char* method;
  const char* request;
  std::vector<std::string> fields;  // empty: accepted
};

void Check(const Row& row) {
  SCOPED_TRACE(std::string(row.method) + " {" + std::string(row.request).substr(0, 200) + "}");
  const absl::Status status = Validate(row.method, row.request);
  if (row.fields.empty()) {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
  EXPECT_THAT(FieldsOf(status), testing::UnorderedElementsAreArray(row.fields)) << status;
}

TEST(PathId, IsOneTo128BytesOfTheUnreservedCharacters) {
  for (const char* good :
       {"a", "Z", "0", "...", ".a", "a.b_c~d-e", "32a689e0-9082-4c5b-a648-bb3dc645452d"}) {
    EXPECT_TRUE(IsPathId(good)) << good;
  }
  EXPECT_TRUE(IsPathId(std::string(128, 'a')));
  EXPECT_FALSE(IsPathId(std::string(129, 'a')));
  for (const char* bad : {"", ".", "..", "a/b", "../x", "a b", "a%2Fb", "a:stop", "a?b", "a#b", "ä",
                          "a\n", "a\r\nX: y", "a\\b", "a+b", "a&b", "a=b", "\x7f"}) {
    EXPECT_FALSE(IsPathId(bad)) << bad;
  }
  EXPECT_FALSE(IsPathId(std::string_view("a\0b", 3)));
}

TEST(PathId, AcceptsExactly66OfThe256Bytes) {
  int accepted = 0;
  for (int byte = 0; byte < 256; ++byte)
    accepted += IsPathId("x" + std::string(1, static_cast<char>(byte)));
  EXPECT_EQ(accepted, 66);
}

TEST(Uuid, IsFiveGroupsOfHexadecimalDigits) {
  EXPECT_TRUE(IsUuid("6063dd03-ecfb-11ed-b539-0045e2f582b7"));
  EXPECT_TRUE(IsUuid("6063DD03-ECFB-11ED-B539-0045E2F582B7"));
  for (const char* bad :
       {"", "6063dd03ecfb11edb5390045e2f582b7", "6063dd03-ecfb-11ed-b539-0045e2f582b",
        "6063dd03-ecfb-11ed-b539-0045e2f582b77", "{6063dd03-ecfb-11ed-b539-0045e2f582}",
        "6063dd03-ecfb-11ed-b539-0045e2f582bg", "6063dd03_ecfb_11ed_b539_0045e2f582b7",
        "6063dd0-3ecfb-11ed-b539-0045e2f582b7"}) {
    EXPECT_FALSE(IsUuid(bad)) << bad;
  }
}

TEST(Validate, WhatIsRequiredIsNamed) {
  const Row rows[] = {
      {"WorkflowService/RunWorkflow", "", {"project_id", "reference"}},
      {"WorkflowService/RunWorkflow", "project_id: 'p' reference: 'refs/heads/x'", {}},
      {"WorkflowService/GetWorkflow", "", {"workflow_id"}},
      {"WorkflowService/ListWorkflows", "", {"project_id"}},
      {"PipelineService/ListPipelines", "", {"project_id"}},
      {"PipelineService/ListPipelines", "workflow_id: 'w'", {}},
      {"PipelineService/ListPipelines", "project_id: 'p'", {}},
      {"PipelineService/ValidatePipelineYaml", "", {"yaml_definition"}},
      {"PromotionService/ListPromotions", "", {"pipeline_id"}},
      {"PromotionService/TriggerPromotion", "", {"pipeline_id", "name"}},
      {"JobService/GetJobLog", "", {"job_id"}},
      {"AgentTypeService/GetAgentType", "", {"agent_type_name"}},
      {"AgentTypeService/CreateAgentType", "", {"agent_type"}},
      {"AgentTypeService/CreateAgentType", "agent_type {}", {"agent_type.name"}},
      {"AgentTypeService/UpdateAgentType", "agent_type {}", {"agent_type.name"}},
      {"AgentService/ListAgents", "", {}},
      {"DeploymentTargetService/ListDeploymentTargets", "", {"project_id"}},
      {"DeploymentTargetService/LookupDeploymentTarget", "", {"project_id", "name"}},
      {"DeploymentTargetService/CreateDeploymentTarget", "", {"deployment_target"}},
      {"DeploymentTargetService/CreateDeploymentTarget",
       "deployment_target {}",
       {"deployment_target.name", "deployment_target.project_id"}},
      {"DeploymentTargetService/CreateDeploymentTarget",
       "deployment_target {name: 'n' project_id: 'p'}",
       {}},
      {"ProjectService/ListProjects", "", {}},
      {"ProjectService/GetProject", "", {"project_name"}},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Validate, AnIdThatGoesIntoAPathObeysTheRuleWhereverItStands) {
  const Row rows[] = {
      {"JobService/GetJob", "job_id: '..'", {"job_id"}},
      {"JobService/StopJob", "job_id: 'a/../../secrets'", {"job_id"}},
      {"PipelineService/GetPipeline", "pipeline_id: 'a?x=y'", {"pipeline_id"}},
      {"AgentService/GetAgent", "agent_name: 'a b'", {"agent_name"}},
      {"AgentTypeService/UpdateAgentType", "agent_type {name: 'a/b'}", {"agent_type.name"}},
      {"DeploymentTargetService/UpdateDeploymentTarget",
       "deployment_target {deployment_target_id: '.' description: 'd'}",
       {"deployment_target.deployment_target_id"}},
      {"ArtifactRetentionPolicyService/GetArtifactRetentionPolicy",
       "project_id: '..'",
       {"project_id"}},
      // Upstream's own path does not hold it, but ours does, and so does the reading that comes
      // first.
      {"ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy",
       "artifact_retention_policy {project_id: '..' job_level_rules {selector: 'x' age {count: 1 "
       "unit: AGE_UNIT_DAY}}}",
       {"artifact_retention_policy.project_id"}},
      {"ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy",
       "artifact_retention_policy {job_level_rules {selector: 'x' age {count: 1 unit: "
       "AGE_UNIT_DAY}}}",
       {"artifact_retention_policy.project_id"}},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Validate, TextsAreAtMostOneKibibyte) {
  const std::string good = "project_id: 'p' branch_name: '" + std::string(1024, 'b') + "'";
  const std::string bad = "project_id: 'p' branch_name: '" + std::string(1025, 'b') + "'";
  Check({"WorkflowService/ListWorkflows", good.c_str(), {}});
  Check({"WorkflowService/ListWorkflows", bad.c_str(), {"branch_name"}});
  const std::string lookup = "project_id: 'p' name: '" + std::string(256, 'n') + "'";
  Check({"DeploymentTargetService/LookupDeploymentTarget", lookup.c_str(), {"name"}});
}

TEST(Validate, AYamlDefinitionIsAtMostOneMebibyteAndMayHaveManyLines) {
  v1::ValidatePipelineYamlRequest request;
  request.set_yaml_definition("version: v1.0\r\n" + std::string((1 << 20) - 15, '\n'));
  const MethodSpec& spec = Method("PipelineService/ValidatePipelineYaml");
  EXPECT_TRUE(ValidateRequest(spec, request).ok());
  request.mutable_yaml_definition()->append("x");
  EXPECT_THAT(FieldsOf(ValidateRequest(spec, request)), ElementsAre("yaml_definition"));
}

TEST(Validate, LineBreaksStandOnlyInTextThatTravelsInABody) {
  const Row rows[] = {
      {"WorkflowService/ListWorkflows", "project_id: 'p' branch_name: 'a\\nb'", {"branch_name"}},
      {"WorkflowService/ListWorkflows", "project_id: 'p\\rq'", {"project_id"}},
      {"WorkflowService/RunWorkflow", "project_id: 'p' reference: 'x\\r\\ny'", {"reference"}},
      {"WorkflowService/RunWorkflow",
       "project_id: 'p' reference: 'x' parameters {key: 'K' value: 'two\\r\\nlines'}",
       {}},
      {"WorkflowService/RunWorkflow",
       "project_id: 'p' reference: 'x' parameters {key: 'K\\nL' value: 'v'}",
       {"parameters[\"K\\x0aL\"]"}},
      {"DeploymentTargetService/CreateDeploymentTarget",
       "deployment_target {name: 'n' project_id: 'p' description: 'two\\nlines'}",
       {}},
      {"DeploymentTargetService/CreateDeploymentTarget",
       "deployment_target {name: 'n\\nm' project_id: 'p'}",
       {"deployment_target.name"}},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Validate, NulIsRefusedEverywhere) {
  const Row rows[] = {
      {"WorkflowService/ListWorkflows", "project_id: 'p' branch_name: 'a\\000b'", {"branch_name"}},
      {"PipelineService/ValidatePipelineYaml", "yaml_definition: 'a\\000b'", {"yaml_definition"}},
      {"WorkflowService/RunWorkflow",
       "project_id: 'p' reference: 'x' parameters {key: 'K' value: 'a\\000'}",
       {"parameters[\"K\"]"}},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Validate, TextThatIsNoUtf8IsRefused) {
  v1::ListWorkflowsRequest request;
  request.set_project_id("p");
  request.set_branch_name("a\xff");
  const absl::Status status = ValidateRequest(Method("WorkflowService/ListWorkflows"), request);
  EXPECT_THAT(FieldsOf(status), ElementsAre("branch_name"));
}

TEST(Validate, ARefusedValueIsQuotedToAtMost64Bytes) {
  const absl::Status status = Validate(
      "JobService/GetJob", "job_id: '" + std::string(60, 'a') + "!" + std::string(500, 'z') + "'");
  EXPECT_THAT(Everything(status), HasSubstr(std::string(60, 'a') + "!zzz…"));
  EXPECT_THAT(Everything(status), Not(HasSubstr("zzzz")));
}

TEST(Validate, SecretsAreNeverQuoted) {
  const MethodSpec& spec = Method("DeploymentTargetService/CreateDeploymentTarget");
  v1::CreateDeploymentTargetRequest request;
  request.mutable_deployment_target()->set_name("n");
  request.mutable_deployment_target()->set_project_id("p");
  v1::EnvVar* variable = request.mutable_deployment_target()->add_env_vars();
  variable->set_name("SECRET\nNAME");
  variable->set_value(std::string("CANARY\0CANARY", 13));
  v1::DeploymentTargetFile* file = request.mutable_deployment_target()->add_files();
  file->set_path("/etc/CANARY\n");
  file->set_content(std::string(5 << 20, 'C') + "CANARY");
  const absl::Status status = ValidateRequest(spec, request);
  EXPECT_THAT(FieldsOf(status), UnorderedElementsAre("deployment_target.env_vars[0].name",
                                                     "deployment_target.env_vars[0].value",
                                                     "deployment_target.files[0].path",
                                                     "deployment_target.files[0].content"));
  EXPECT_THAT(Everything(status), Not(HasSubstr("CANARY")));
  EXPECT_THAT(Everything(status), Not(HasSubstr("CCCC")));
}

TEST(Validate, ParameterValuesAreNeverQuoted) {
  const absl::Status status =
      Validate("WorkflowService/RunWorkflow",
               "project_id: 'p' reference: 'x' parameters {key: 'K' value: 'CANARY\\000'}");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(Everything(status), Not(HasSubstr("CANARY")));
}

TEST(Validate, EnvValuesAndFileContentsMayHoldAMebibyteOfAnything) {
  const MethodSpec& spec = Method("DeploymentTargetService/CreateDeploymentTarget");
  v1::CreateDeploymentTargetRequest request;
  request.mutable_deployment_target()->set_name("n");
  request.mutable_deployment_target()->set_project_id("p");
  v1::EnvVar* variable = request.mutable_deployment_target()->add_env_vars();
  variable->set_name("KEY");
  variable->set_value("-----BEGIN-----\r\n" + std::string((1 << 20) - 17, 'k'));
  v1::DeploymentTargetFile* file = request.mutable_deployment_target()->add_files();
  file->set_path("/etc/key");
  file->set_content(std::string(1 << 20, '\0'));
  EXPECT_TRUE(ValidateRequest(spec, request).ok()) << ValidateRequest(spec, request);
  variable->mutable_value()->append("k");
  file->mutable_content()->append("\0", 1);
  EXPECT_THAT(FieldsOf(ValidateRequest(spec, request)),
              UnorderedElementsAre("deployment_target.env_vars[0].value",
                                   "deployment_target.files[0].content"));
}

TEST(Validate, TimeRangesMustBeOpenInWholeSeconds) {
  const Row rows[] = {
      {"WorkflowService/ListWorkflows",
       "project_id: 'p' created_after {seconds: 10} created_before {seconds: 11}",
       {}},
      {"WorkflowService/ListWorkflows",
       "project_id: 'p' created_after {seconds: 10} created_before {seconds: 10}",
       {"created_before"}},
      {"WorkflowService/ListWorkflows",
       "project_id: 'p' created_after {seconds: 11} created_before {seconds: 10}",
       {"created_before"}},
      // Floor of one, ceiling of the other.
      {"WorkflowService/ListWorkflows",
       "project_id: 'p' created_after {seconds: 10 nanos: 9} created_before {seconds: 10 nanos: 1}",
       {}},
      {"WorkflowService/ListWorkflows", "project_id: 'p' created_before {seconds: -5}", {}},
      {"PipelineService/ListPipelines",
       "project_id: 'p' done_after {seconds: 5} done_before {seconds: 5} created_after {seconds: "
       "9} "
       "created_before {seconds: 8}",
       {"done_before", "created_before"}},
      {"PipelineService/ListPipelines", "project_id: 'p' done_after {nanos: -1}", {"done_after"}},
      {"PipelineService/ListPipelines",
       "project_id: 'p' done_after {seconds: 253402300800}",
       {"done_after"}},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Validate, NumbersAndWordsStayInTheirBounds) {
  const Row rows[] = {
      {"WorkflowService/ListWorkflows", "project_id: 'p' page_size: -1", {"page_size"}},
      {"WorkflowService/ListWorkflows", "project_id: 'p' page_size: 2147483647", {}},
      {"JobService/GetJob", "job_id: 'j' view: 99", {"view"}},
      {"JobService/GetJobLog", "job_id: 'j' page_size: -7", {"page_size"}},
      {"ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy",
       "artifact_retention_policy {project_id: 'p' job_level_rules {selector: 'x' age {count: 13 "
       "unit: AGE_UNIT_DAY}}}",
       {"artifact_retention_policy.job_level_rules[0].age.count"}},
      {"ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy",
       "artifact_retention_policy {project_id: 'p' job_level_rules {selector: 'x' age {count: "
       "12}}}",
       {"artifact_retention_policy.job_level_rules[0].age.unit"}},
      {"AgentTypeService/UpdateAgentType",
       "agent_type {name: 'a' name_settings {release_after {seconds: 59}}}",
       {"agent_type.name_settings.release_after"}},
      {"AgentTypeService/UpdateAgentType",
       "agent_type {name: 'a' name_settings {release_after {seconds: -60}}}",
       {"agent_type.name_settings.release_after"}},
      {"AgentTypeService/UpdateAgentType",
       "agent_type {name: 'a' name_settings {release_after {seconds: 60 nanos: 1}}}",
       {"agent_type.name_settings.release_after"}},
      {"AgentTypeService/UpdateAgentType",
       "agent_type {name: 'a' name_settings {release_after {seconds: 0}}}",
       {}},
      {"AgentTypeService/UpdateAgentType",
       "agent_type {name: 'a' name_settings {aws {role_name_patterns: 'a,b' role_name_patterns: "
       "''}}}",
       {"agent_type.name_settings.aws.role_name_patterns[0]",
        "agent_type.name_settings.aws.role_name_patterns[1]"}},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Validate, ARequestIdIsAUuidOrEmpty) {
  const Row rows[] = {
      {"WorkflowService/RerunWorkflow", "workflow_id: 'w'", {}},
      {"WorkflowService/RerunWorkflow",
       "workflow_id: 'w' request_id: '6063dd03-ecfb-11ed-b539-0045e2f582b7'",
       {}},
      {"WorkflowService/RerunWorkflow", "workflow_id: 'w' request_id: 'again'", {"request_id"}},
      {"PromotionService/TriggerPromotion",
       "pipeline_id: 'p' name: 'n' request_id: '1'",
       {"request_id"}},
      {"DeploymentTargetService/DeleteDeploymentTarget",
       "deployment_target_id: 'd' request_id: '{}'",
       {"request_id"}},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Validate, ParametersMustNotTakeTheNamesOfPromotionFields) {
  for (const std::string name : {"pipeline_id", "name", "override", "request_token"}) {
    const std::string request =
        "pipeline_id: 'p' name: 'n' parameters {key: '" + name + "' value: 'v'}";
    const std::string field = "parameters[\"" + name + "\"]";
    Check({"PromotionService/TriggerPromotion", request.c_str(), {field}});
  }
  Check({"PromotionService/TriggerPromotion",
         "pipeline_id: 'p' name: 'n' parameters {key: '' value: 'v'}",
         {"parameters[\"\"]"}});
  Check({"PromotionService/TriggerPromotion",
         "pipeline_id: 'p' name: 'n' parameters {key: 'NAME' value: ''}",
         {}});
}

TEST(Validate, OutputOnlyFieldsAreIgnored) {
  Check({"AgentTypeService/UpdateAgentType",
         "agent_type {name: 'a' create_time {nanos: -5} total_agent_count: -3}",
         {}});
}

TEST(Validate, AllMistakesAreToldAtOnceWithTheMethod) {
  const absl::Status status =
      Validate("WorkflowService/ListWorkflows", "page_size: -1 branch_name: 'a\\nb'");
  EXPECT_THAT(FieldsOf(status), UnorderedElementsAre("project_id", "page_size", "branch_name"));
  EXPECT_EQ(MetadataOf(status, "method"), "semaphore.v1.WorkflowService/ListWorkflows");
}

}  // namespace
}  // namespace semaphore::client
