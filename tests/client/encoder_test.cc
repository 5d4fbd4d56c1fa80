#include "client/encoder.h"

#include <gtest/gtest.h>

#include <string>

#include "semaphore/v1/deployment_target.pb.h"
#include "tests/client/method_fixture.h"

namespace semaphore::client {
namespace {

struct Row {
  const char* method;
  const char* request;
  const char* verb;
  const char* target;
  const char* content_type;
  const char* body;
};

constexpr char kJson[] = "application/json";
constexpr char kForm[] = "application/x-www-form-urlencoded";
constexpr char kUuid[] = "6063dd03-ecfb-11ed-b539-0045e2f582b7";

void Check(const Row& row) {
  SCOPED_TRACE(std::string(row.method) + " {" + row.request + "}");
  const EncodedRequest encoded =
      EncodeRequest(Method(row.method), *RequestOf(Method(row.method), row.request));
  EXPECT_EQ(encoded.verb, row.verb);
  EXPECT_EQ(encoded.Target(), row.target);
  EXPECT_EQ(encoded.content_type, row.content_type);
  EXPECT_EQ(encoded.body, row.body);
}

TEST(Encoder, ReadsPutTheirFieldsIntoPathAndQuery) {
  const Row rows[] = {
      {"WorkflowService/GetWorkflow", "workflow_id: 'w'", "GET", "plumber-workflows/w", "", ""},
      {"WorkflowService/ListWorkflows",
       "project_id: 'p' branch_name: 'feat/ä b&c' created_after {seconds: 10 nanos: 5} "
       "created_before {seconds: 20 nanos: 5} page_size: 7 page_token: 'x'",
       "GET",
       "plumber-workflows?project_id=p&branch_name=feat%2F%C3%A4%20b%26c&created_after=10&"
       "created_before=21",
       "", ""},
      {"PipelineService/GetPipeline", "pipeline_id: 'p'", "GET", "pipelines/p", "", ""},
      {"PipelineService/GetPipeline", "pipeline_id: 'p' view: PIPELINE_VIEW_BASIC", "GET",
       "pipelines/p", "", ""},
      {"PipelineService/GetPipeline", "pipeline_id: 'p' view: PIPELINE_VIEW_FULL", "GET",
       "pipelines/p?detailed=true", "", ""},
      {"PipelineService/ListPipelines",
       "workflow_id: 'w' yaml_file_path: '.semaphore/x.yml' done_after {seconds: 1 nanos: 999} "
       "done_before {seconds: 2}",
       "GET", "pipelines?wf_id=w&yml_file_path=.semaphore%2Fx.yml&done_after=1&done_before=2", "",
       ""},
      {"JobService/GetJob", "job_id: 'j' view: JOB_VIEW_FULL", "GET", "jobs/j", "", ""},
      {"AgentService/ListAgents", "agent_type_name: 's1-x'", "GET", "agents?agent_type=s1-x", "",
       ""},
      {"DeploymentTargetService/LookupDeploymentTarget", "project_id: 'p' name: 'n'", "GET",
       "deployment_targets?project_id=p&target_name=n", "", ""},
      {"DeploymentTargetService/ListDeployments",
       "deployment_target_id: 'd' git_ref_type: GIT_REF_TYPE_PR git_ref_label: 'l' triggered_by: "
       "'u' "
       "bookmark_parameter1: 'a' bookmark_parameter3: 'c'",
       "GET",
       "deployment_targets/d/history?git_ref_type=pr&git_ref_label=l&triggered_by=u&parameter1=a&"
       "parameter3=c",
       "", ""},
      {"ProjectService/GetProject", "project_name: 'web'", "GET", "projects/web", "", ""},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Encoder, ChangesSayWhatUpstreamExpects) {
  const std::string delete_target = std::string("deployment_targets/d?unique_token=") + kUuid;
  const std::string rerun = std::string("plumber-workflows/w/reschedule?request_token=") + kUuid;
  const std::string trigger = std::string("pipeline_id=p&name=prod&override=true&AREA=a%26b&ENV=") +
                              "&request_token=" + kUuid;
  const Row rows[] = {
      {"WorkflowService/RunWorkflow",
       "project_id: 'p' reference: 'refs/heads/x' commit_sha: 'c' pipeline_file: 'f.yml' "
       "parameters {key: 'B' value: '2\\n'} parameters {key: 'A' value: ''}",
       "POST", "plumber-workflows", kForm,
       "project_id=p&reference=refs%2Fheads%2Fx&commit_sha=c&pipeline_file=f.yml&"
       "parameters%5BA%5D=&parameters%5BB%5D=2%0A"},
      {"WorkflowService/RerunWorkflow",
       "workflow_id: 'w' request_id: '6063dd03-ecfb-11ed-b539-0045e2f582b7'", "POST", rerun.c_str(),
       "", ""},
      {"WorkflowService/StopWorkflow", "workflow_id: 'w'", "POST", "plumber-workflows/w/terminate",
       "", ""},
      {"PipelineService/StopPipeline", "pipeline_id: 'p'", "PATCH", "pipelines/p", kJson,
       R"({"terminate_request":true})"},
      {"PipelineService/ValidatePipelineYaml", "yaml_definition: 'a: \"b\"\\n'", "POST", "yaml",
       kJson, R"({"yaml_definition":"a: \"b\"\n"})"},
      {"PromotionService/TriggerPromotion",
       "pipeline_id: 'p' name: 'prod' override: true parameters {key: 'ENV' value: ''} "
       "parameters {key: 'AREA' value: 'a&b'} request_id: '6063dd03-ecfb-11ed-b539-0045e2f582b7'",
       "POST", "promotions", kForm, trigger.c_str()},
      {"JobService/StopJob", "job_id: 'j'", "POST", "jobs/j/stop", "", ""},
      {"AgentTypeService/CreateAgentType",
       "agent_type {name: 's1-a' total_agent_count: 9 create_time {seconds: 3} name_settings {"
       "assignment_origin: ASSIGNMENT_ORIGIN_AWS_STS release_after {seconds: 90} "
       "aws {account_id: '1' role_name_patterns: 'a' role_name_patterns: 'b*'}}}",
       "POST", "self_hosted_agent_types", kJson,
       R"({"metadata":{"name":"s1-a"},"spec":{"agent_name_settings":{"assignment_origin":)"
       R"("assignment_origin_aws_sts","release_after":90,"aws":{"account_id":"1",)"
       R"("role_name_patterns":"a,b*"}}}})"},
      {"AgentTypeService/DisableAgents", "agent_type_name: 's1-a'", "POST",
       "self_hosted_agent_types/s1-a/disable_all", kForm, ""},
      {"AgentTypeService/DisableAgents", "agent_type_name: 's1-a' only_idle: false", "POST",
       "self_hosted_agent_types/s1-a/disable_all", kForm, "only_idle=false"},
      {"AgentTypeService/DeleteAgentType", "agent_type_name: 's1-a'", "DELETE",
       "self_hosted_agent_types/s1-a", "", ""},
      {"DeploymentTargetService/DeleteDeploymentTarget",
       "deployment_target_id: 'd' request_id: '6063dd03-ecfb-11ed-b539-0045e2f582b7'", "DELETE",
       delete_target.c_str(), "", ""},
      {"DeploymentTargetService/DeactivateDeploymentTarget", "deployment_target_id: 'd'", "PATCH",
       "deployment_targets/d/deactivate", "", ""},
  };
  for (const Row& row : rows) Check(row);
}

TEST(Encoder, ADeploymentTargetIsSentWithItsRulesAndSecretsAndWithoutOutputFields) {
  const MethodSpec& spec = Method("DeploymentTargetService/CreateDeploymentTarget");
  const auto request =
      RequestOf(spec,
                "deployment_target {name: 'n' project_id: 'p' active: true state: "
                "DEPLOYMENT_TARGET_STATE_USABLE "
                "subject_rules {type: SUBJECT_RULE_TYPE_USER git_login: 'g'} "
                "object_rules {type: OBJECT_RULE_TYPE_PR match_mode: MATCH_MODE_ALL} "
                "env_vars {name: 'K' value: 'v'} files {path: '/x' content: '\\000\\377'}} "
                "request_id: '6063dd03-ecfb-11ed-b539-0045e2f582b7'");
  const EncodedRequest encoded = EncodeRequest(spec, *request);
  EXPECT_EQ(encoded.Target(), "deployment_targets");
  EXPECT_EQ(encoded.body,
            R"({"name":"n","project_id":"p","subject_rules":[{"type":"USER","git_login":"g"}],)"
            R"("object_rules":[{"type":"PR","match_mode":"ALL"}],)"
            R"("env_vars":[{"name":"K","value":"v"}],"files":[{"path":"/x","content":"AP8="}],)"
            R"("unique_token":"6063dd03-ecfb-11ed-b539-0045e2f582b7"})");
}

TEST(Encoder, EqualRequestsAreEqualBytesWhateverTheOrderOfParameters) {
  const char* one =
      "project_id: 'p' reference: 'r' parameters {key: 'A' value: '1'} parameters {key: 'B' value: "
      "'2'}";
  const char* other =
      "reference: 'r' parameters {key: 'B' value: '2'} project_id: 'p' parameters {key: 'A' value: "
      "'1'}";
  const MethodSpec& spec = Method("WorkflowService/RunWorkflow");
  EXPECT_EQ(EncodeRequest(spec, *RequestOf(spec, one)).body,
            EncodeRequest(spec, *RequestOf(spec, other)).body);
}

TEST(PercentEncode, KeepsExactlyTheUnreservedCharacters) {
  EXPECT_EQ(PercentEncode("a b/ä"), "a%20b%2F%C3%A4");
  EXPECT_EQ(PercentEncode("AZaz09-._~"), "AZaz09-._~");
  EXPECT_EQ(PercentEncode(std::string_view("\0\r\n", 3)), "%00%0D%0A");
  EXPECT_EQ(PercentEncode(""), "");
  size_t kept = 0;
  for (int byte = 0; byte < 256; ++byte)
    kept += PercentEncode(std::string(1, static_cast<char>(byte))).size() == 1;
  EXPECT_EQ(kept, 66u);
}

}  // namespace
}  // namespace semaphore::client
