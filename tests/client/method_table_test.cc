// The options in the .proto files: that the table builds from them, holds every method of the
// contract, and refuses options that cannot be right.
#include "client/method_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "google/api/annotations.pb.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"

namespace semaphore::client {
namespace {

std::unique_ptr<MethodTable> Table() {
  auto table = MethodTable::Build();
  EXPECT_TRUE(table.ok()) << table.status();
  return table.ok() ? *std::move(table) : nullptr;
}

// The contract's table (api.md): method, REST, upstream.
struct ContractRow {
  const char* method;
  const char* rest;
  const char* upstream;
};

constexpr ContractRow kContract[] = {
    {"WorkflowService/RunWorkflow", "POST /v1/workflows:run", "POST plumber-workflows"},
    {"WorkflowService/GetWorkflow", "GET /v1/workflows/{workflow_id}",
     "GET plumber-workflows/{workflow_id}"},
    {"WorkflowService/ListWorkflows", "GET /v1/workflows", "GET plumber-workflows"},
    {"WorkflowService/RerunWorkflow", "POST /v1/workflows/{workflow_id}:rerun",
     "POST plumber-workflows/{workflow_id}/reschedule"},
    {"WorkflowService/StopWorkflow", "POST /v1/workflows/{workflow_id}:stop",
     "POST plumber-workflows/{workflow_id}/terminate"},
    {"PipelineService/GetPipeline", "GET /v1/pipelines/{pipeline_id}",
     "GET pipelines/{pipeline_id}"},
    {"PipelineService/ListPipelines", "GET /v1/pipelines", "GET pipelines"},
    {"PipelineService/StopPipeline", "POST /v1/pipelines/{pipeline_id}:stop",
     "PATCH pipelines/{pipeline_id}"},
    {"PipelineService/ValidatePipelineYaml", "POST /v1/pipelines:validate", "POST yaml"},
    {"PromotionService/ListPromotions", "GET /v1/promotions", "GET promotions"},
    {"PromotionService/TriggerPromotion", "POST /v1/promotions:trigger", "POST promotions"},
    {"JobService/GetJob", "GET /v1/jobs/{job_id}", "GET jobs/{job_id}"},
    {"JobService/StopJob", "POST /v1/jobs/{job_id}:stop", "POST jobs/{job_id}/stop"},
    {"JobService/GetJobLog", "GET /v1/jobs/{job_id}/log", "GET logs/{job_id}"},
    {"AgentTypeService/ListAgentTypes", "GET /v1/agentTypes", "GET self_hosted_agent_types"},
    {"AgentTypeService/GetAgentType", "GET /v1/agentTypes/{agent_type_name}",
     "GET self_hosted_agent_types/{agent_type_name}"},
    {"AgentTypeService/CreateAgentType", "POST /v1/agentTypes", "POST self_hosted_agent_types"},
    {"AgentTypeService/UpdateAgentType", "PATCH /v1/agentTypes/{agent_type.name}",
     "PATCH self_hosted_agent_types/{agent_type.name}"},
    {"AgentTypeService/DeleteAgentType", "DELETE /v1/agentTypes/{agent_type_name}",
     "DELETE self_hosted_agent_types/{agent_type_name}"},
    {"AgentTypeService/DisableAgents", "POST /v1/agentTypes/{agent_type_name}:disableAgents",
     "POST self_hosted_agent_types/{agent_type_name}/disable_all"},
    {"AgentService/ListAgents", "GET /v1/agents", "GET agents"},
    {"AgentService/GetAgent", "GET /v1/agents/{agent_name}", "GET agents/{agent_name}"},
    {"DeploymentTargetService/ListDeploymentTargets", "GET /v1/deploymentTargets",
     "GET deployment_targets"},
    {"DeploymentTargetService/GetDeploymentTarget",
     "GET /v1/deploymentTargets/{deployment_target_id}",
     "GET deployment_targets/{deployment_target_id}"},
    {"DeploymentTargetService/LookupDeploymentTarget", "GET /v1/deploymentTargets:lookup",
     "GET deployment_targets"},
    {"DeploymentTargetService/CreateDeploymentTarget", "POST /v1/deploymentTargets",
     "POST deployment_targets"},
    {"DeploymentTargetService/UpdateDeploymentTarget",
     "PATCH /v1/deploymentTargets/{deployment_target.deployment_target_id}",
     "PATCH deployment_targets/{deployment_target.deployment_target_id}"},
    {"DeploymentTargetService/DeleteDeploymentTarget",
     "DELETE /v1/deploymentTargets/{deployment_target_id}",
     "DELETE deployment_targets/{deployment_target_id}"},
    {"DeploymentTargetService/DeactivateDeploymentTarget",
     "POST /v1/deploymentTargets/{deployment_target_id}:deactivate",
     "PATCH deployment_targets/{deployment_target_id}/deactivate"},
    {"DeploymentTargetService/ActivateDeploymentTarget",
     "POST /v1/deploymentTargets/{deployment_target_id}:activate",
     "PATCH deployment_targets/{deployment_target_id}/activate"},
    {"DeploymentTargetService/ListDeployments",
     "GET /v1/deploymentTargets/{deployment_target_id}/deployments",
     "GET deployment_targets/{deployment_target_id}/history"},
    {"ArtifactRetentionPolicyService/GetArtifactRetentionPolicy",
     "GET /v1/artifactRetentionPolicies/{project_id}",
     "GET artifacts_retention_policies/{project_id}"},
    {"ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy",
     "PATCH /v1/artifactRetentionPolicies/{artifact_retention_policy.project_id}",
     "POST artifacts_retention_policies"},
    {"ProjectService/ListProjects", "GET /v1/projects", "GET projects"},
    {"ProjectService/GetProject", "GET /v1/projects/{project_name}", "GET projects/{project_name}"},
};

std::string RestOf(const MethodSpec& spec) {
  const google::api::HttpRule& rule = spec.descriptor->options().GetExtension(google::api::http);
  if (rule.has_get()) return "GET " + rule.get();
  if (rule.has_post()) return "POST " + rule.post();
  if (rule.has_patch()) return "PATCH " + rule.patch();
  return "DELETE " + rule.delete_();
}

TEST(MethodTableTest, HoldsExactlyTheMethodsOfTheContract) {
  const auto table = Table();
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->methods().size(), std::size(kContract));
  for (const ContractRow& row : kContract) {
    SCOPED_TRACE(row.method);
    const MethodSpec* spec = table->Find(std::string("semaphore.v1.") + row.method);
    ASSERT_NE(spec, nullptr);
    EXPECT_EQ(RestOf(*spec), row.rest);
    EXPECT_EQ(spec->verb + " " + spec->route, row.upstream);
  }
}

TEST(MethodTableTest, FindsAMethodByEitherSpellingOfItsName) {
  const auto table = Table();
  EXPECT_NE(table->Find("semaphore.v1.PipelineService/GetPipeline"), nullptr);
  EXPECT_EQ(table->Find("semaphore.v1.PipelineService.GetPipeline"),
            table->Find("semaphore.v1.PipelineService/GetPipeline"));
  EXPECT_EQ(table->Find("semaphore.v1.PipelineService/Nothing"), nullptr);
  EXPECT_EQ(table->Find(""), nullptr);
}

TEST(MethodTableTest, SaysOfEveryChangeHowItMayBeRepeatedAndWhatItMakesDoubtful) {
  const auto table = Table();
  for (const auto& spec : table->methods()) {
    SCOPED_TRACE(spec->full_name);
    if (spec->IsRead()) {
      EXPECT_TRUE(spec->call.has_cache());
      continue;
    }
    EXPECT_NE(spec->call.idempotency(), upstream::v1::IDEMPOTENCY_UNSPECIFIED);
    EXPECT_FALSE(spec->call.has_cache());
    if (spec->name != "ValidatePipelineYaml") {
      EXPECT_GT(spec->call.invalidates_size(), 0);
    }
  }
}

// What a method needs is its row here, so that a new one is noticed by whoever reviews it.
TEST(MethodTableTest, GivesReadsToViewersAndChangesToAdminsUnlessItSaysOperator) {
  const std::set<std::string> operators = {"RunWorkflow",  "RerunWorkflow", "StopWorkflow",
                                           "StopPipeline", "StopJob",       "TriggerPromotion"};
  const auto table = Table();
  for (const auto& spec : table->methods()) {
    SCOPED_TRACE(spec->full_name);
    const bool harmless = spec->IsRead() || spec->name == "ValidatePipelineYaml";
    EXPECT_EQ(spec->role, harmless                          ? upstream::v1::ROLE_VIEWER
                          : operators.count(spec->name) > 0 ? upstream::v1::ROLE_OPERATOR
                                                            : upstream::v1::ROLE_ADMIN);
    EXPECT_EQ(spec->IsChange(), !harmless);
  }
}

TEST(MethodTableTest, NeverRepeatsWhatWouldActTwice) {
  const auto table = Table();
  std::set<std::string> never;
  for (const auto& spec : table->methods()) {
    if (spec->call.idempotency() == upstream::v1::IDEMPOTENCY_NEVER) never.insert(spec->name);
  }
  EXPECT_THAT(never, testing::ElementsAre("CreateAgentType", "RunWorkflow"));
}

TEST(MethodTableTest, KnowsWhichRequestFieldsCarryAnIdempotencyToken) {
  const auto table = Table();
  std::set<std::string> with_token;
  for (const auto& spec : table->methods()) {
    if (spec->token_field != nullptr) with_token.insert(spec->name);
  }
  EXPECT_THAT(with_token,
              testing::ElementsAre("CreateDeploymentTarget", "DeleteDeploymentTarget",
                                   "RerunWorkflow", "TriggerPromotion", "UpdateDeploymentTarget"));
}

TEST(MethodTableTest, GivesEveryListItsPagesAndItsResource) {
  const auto table = Table();
  for (const auto& spec : table->methods()) {
    if (spec->name.substr(0, 4) != "List") continue;
    SCOPED_TRACE(spec->full_name);
    EXPECT_TRUE(spec->IsPaged());
    EXPECT_NE(spec->list_field, nullptr);
    EXPECT_NE(spec->page_size, nullptr);
    EXPECT_NE(spec->next_page_token, nullptr);
  }
}

TEST(MethodTableTest, FillsAnOmittedIdFromTheRequest) {
  const auto table = Table();
  const MethodSpec* get = table->Find("semaphore.v1.AgentTypeService/GetAgentType");
  const MethodSpec* update = table->Find("semaphore.v1.AgentTypeService/UpdateAgentType");
  ASSERT_EQ(get->reply_defaults.size(), 1);
  EXPECT_EQ(get->reply_defaults[0].from.back()->name(), "agent_type_name");
  ASSERT_EQ(update->reply_defaults.size(), 1);
  EXPECT_EQ(update->reply_defaults[0].from.back()->full_name(), "semaphore.v1.AgentType.name");
}

// "Type" or "Type<-request.field", in the order of the options.
std::string ResourcesOf(const MethodSpec& spec) {
  std::string out;
  for (const ResourceReference& resource : spec.resources) {
    if (!out.empty()) out += ", ";
    out += resource.type;
    for (const auto* field : resource.name) {
      out += (field == resource.name.front() ? "<-" : ".") + field->name();
    }
  }
  return out;
}

struct ResourceRow {
  const char* method;
  const char* resources;
};

constexpr ResourceRow kResources[] = {
    {"WorkflowService/RunWorkflow", "Workflow, Pipeline"},
    {"WorkflowService/GetWorkflow", "Workflow<-workflow_id"},
    {"WorkflowService/ListWorkflows", "Workflow"},
    {"WorkflowService/RerunWorkflow", "Workflow<-workflow_id, Pipeline"},
    {"WorkflowService/StopWorkflow", "Workflow<-workflow_id, Pipeline, Job"},
    {"PipelineService/GetPipeline", "Pipeline<-pipeline_id"},
    {"PipelineService/ListPipelines", "Pipeline"},
    {"PipelineService/StopPipeline", "Pipeline<-pipeline_id, Job"},
    {"PipelineService/ValidatePipelineYaml", ""},
    {"PromotionService/ListPromotions", "Promotion"},
    {"PromotionService/TriggerPromotion",
     "Promotion, Pipeline<-pipeline_id, DeploymentTarget, Deployment"},
    {"JobService/GetJob", "Job<-job_id"},
    {"JobService/StopJob", "Job<-job_id, Pipeline"},
    {"JobService/GetJobLog", "Job<-job_id"},
    {"AgentTypeService/ListAgentTypes", "AgentType"},
    {"AgentTypeService/GetAgentType", "AgentType<-agent_type_name"},
    {"AgentTypeService/CreateAgentType", "AgentType<-agent_type.name"},
    {"AgentTypeService/UpdateAgentType", "AgentType<-agent_type.name"},
    {"AgentTypeService/DeleteAgentType", "AgentType<-agent_type_name, Agent"},
    {"AgentTypeService/DisableAgents", "AgentType<-agent_type_name, Agent"},
    {"AgentService/ListAgents", "Agent"},
    {"AgentService/GetAgent", "Agent<-agent_name"},
    {"DeploymentTargetService/ListDeploymentTargets", "DeploymentTarget"},
    {"DeploymentTargetService/GetDeploymentTarget", "DeploymentTarget<-deployment_target_id"},
    {"DeploymentTargetService/LookupDeploymentTarget", "DeploymentTarget"},
    {"DeploymentTargetService/CreateDeploymentTarget",
     "DeploymentTarget<-deployment_target.deployment_target_id"},
    {"DeploymentTargetService/UpdateDeploymentTarget",
     "DeploymentTarget<-deployment_target.deployment_target_id"},
    {"DeploymentTargetService/DeleteDeploymentTarget",
     "DeploymentTarget<-deployment_target_id, Deployment"},
    {"DeploymentTargetService/DeactivateDeploymentTarget",
     "DeploymentTarget<-deployment_target_id"},
    {"DeploymentTargetService/ActivateDeploymentTarget", "DeploymentTarget<-deployment_target_id"},
    {"DeploymentTargetService/ListDeployments", "Deployment"},
    {"ArtifactRetentionPolicyService/GetArtifactRetentionPolicy",
     "ArtifactRetentionPolicy<-project_id"},
    {"ArtifactRetentionPolicyService/UpdateArtifactRetentionPolicy",
     "ArtifactRetentionPolicy<-artifact_retention_policy.project_id"},
    {"ProjectService/ListProjects", "Project"},
    {"ProjectService/GetProject", "Project<-project_name"},
};

TEST(MethodTableTest, SaysOfEveryMethodWhichResourcesItReadsOrMakesDoubtful) {
  const auto table = Table();
  EXPECT_EQ(table->methods().size(), std::size(kResources));
  for (const ResourceRow& row : kResources) {
    SCOPED_TRACE(row.method);
    const MethodSpec* spec = table->Find(std::string("semaphore.v1.") + row.method);
    ASSERT_NE(spec, nullptr);
    EXPECT_EQ(ResourcesOf(*spec), row.resources);
  }
}

TEST(MethodTableTest, KnowsWhatHasEndedSinceWhenAndWhatIsNeverKept) {
  const auto table = Table();
  std::set<std::string> terminal, ended, never_kept;
  for (const auto& spec : table->methods()) {
    if (spec->terminal) terminal.insert(spec->name);
    if (spec->ended != nullptr) ended.insert(spec->name + "." + spec->ended->name());
    if (spec->never_kept) never_kept.insert(spec->name);
  }
  EXPECT_THAT(terminal, testing::ElementsAre("GetJob", "GetJobLog", "GetPipeline"));
  EXPECT_THAT(ended, testing::ElementsAre("GetJob.finish_time", "GetPipeline.done_time"));
  EXPECT_THAT(never_kept, testing::ElementsAre("GetJob"));
}

TEST(ConditionTest, HoldsForEnumsAndBooleans) {
  const auto done = ParseCondition("state=PIPELINE_STATE_DONE|PIPELINE_STATE_STOPPING",
                                   v1::Pipeline::descriptor());
  ASSERT_TRUE(done.ok()) << done.status();
  v1::Pipeline pipeline;
  EXPECT_FALSE(done->HoldsFor(pipeline));
  pipeline.set_state(v1::PIPELINE_STATE_DONE);
  EXPECT_TRUE(done->HoldsFor(pipeline));
  v1::JobLog log;
  for (const bool complete : {false, true}) {
    log.set_complete(complete);
    for (const char* text : {"complete=true", "complete!=false"}) {
      EXPECT_EQ(ParseCondition(text, v1::JobLog::descriptor())->HoldsFor(log), complete) << text;
    }
    for (const char* text : {"complete=false", "complete!=true"}) {
      EXPECT_EQ(ParseCondition(text, v1::JobLog::descriptor())->HoldsFor(log), !complete) << text;
    }
  }
}

TEST(ConditionTest, RefusesWhatNamesNoFieldOrNoValueOfIt) {
  for (const char* text :
       {"", "=", "complete", "complete=", "complete=1", "complete=TRUE", "complete=true|false",
        "nothing=true", "next_page_token=true", "events=true", "=true", "!=true"}) {
    EXPECT_EQ(ParseCondition(text, v1::JobLog::descriptor()).status().code(),
              absl::StatusCode::kInternal)
        << text;
  }
  for (const char* text : {"state=", "state=DONE", "state=PIPELINE_STATE_DONE|", "state=true"}) {
    EXPECT_FALSE(ParseCondition(text, v1::Pipeline::descriptor()).ok()) << text;
  }
}

TEST(ResolveFieldTest, FollowsADottedPathOrFindsNothing) {
  const auto table = Table();
  const auto* request =
      table->Find("semaphore.v1.AgentTypeService/UpdateAgentType")->descriptor->input_type();
  EXPECT_EQ(ResolveField(request, "agent_type.name").size(), 2);
  EXPECT_TRUE(ResolveField(request, "agent_type.nothing").empty());
  EXPECT_TRUE(ResolveField(request, "").empty());
  EXPECT_TRUE(ResolveField(request, "agent_type..name").empty());
}

}  // namespace
}  // namespace semaphore::client
