#include "tests/simulator/world.h"

#include <algorithm>
#include <array>

namespace semaphore::simulator {
namespace {

constexpr std::array<const char*, 5> kBranches = {"master", "main", "release-1.4", "feature/login",
                                                  "refs/tags/v1.0"};
constexpr std::string_view kDefaultPipelineFile = ".semaphore/semaphore.yml";
constexpr std::string_view kPromotingBranch = "master";
constexpr absl::Duration kBetweenWorkflows = absl::Minutes(10);
constexpr absl::Duration kSeededPromotionsLength = absl::Minutes(5);

std::string_view FileNameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string_view DirectoryOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

template <typename Map>
auto Find(const Map& map, std::string_view id) {
  const auto found = map.find(std::string(id));
  return found == map.end() ? nullptr : found->second;
}

}  // namespace

std::string BranchNameOf(std::string_view reference) {
  if (reference.starts_with("refs/heads/")) return std::string(reference.substr(11));
  if (reference.starts_with("refs/pull/")) {
    return "pull-request-" + std::string(reference.substr(10));
  }
  return std::string(reference);
}

std::string Pipeline::File() const {
  return working_directory.empty() ? yaml_file_name : working_directory + "/" + yaml_file_name;
}

std::string Pipeline::SwitchIdAt(absl::Time now) const {
  return simulator::ProgressAt(plan, now).pending_at ? switch_id : std::string();
}

JobProgress Job::ProgressAt(absl::Time now) const {
  const PipelineProgress progress = simulator::ProgressAt(pipeline->plan, now);
  const BlockProgress& of_block = progress.blocks[block];
  if (of_block.started) return of_block.jobs[job];
  std::optional<absl::Time> end = progress.done_at;
  const std::optional<absl::Time> stop = plan().stop_asked_at;
  if (stop && *stop + kStoppingLength <= now) end = *stop + kStoppingLength;
  return {.state = end ? "FINISHED" : "ENQUEUED",
          .result = end ? "STOPPED" : "",
          .started_at = {},
          .finished_at = end};
}

std::vector<std::pair<std::string, std::string>> NamedIds(const WellKnownIds& ids) {
  return {{"organization_id", ids.organization},
          {"user_id", ids.user},
          {"project_id", ids.project},
          {"project_name", ids.project_name},
          {"other_project_id", ids.other_project},
          {"empty_project_id", ids.empty_project},
          {"deleted_project_id", ids.deleted_project},
          {"running_workflow_id", ids.running_workflow},
          {"running_pipeline_id", ids.running_pipeline},
          {"running_cloud_job_id", ids.running_cloud_job},
          {"running_self_hosted_job_id", ids.running_self_hosted_job},
          {"waiting_job_id", ids.waiting_job},
          {"done_workflow_id", ids.done_workflow},
          {"done_pipeline_id", ids.done_pipeline},
          {"cloud_job_id", ids.cloud_job},
          {"huge_log_job_id", ids.huge_log_job},
          {"failed_workflow_id", ids.failed_workflow},
          {"failed_pipeline_id", ids.failed_pipeline},
          {"self_hosted_pipeline_id", ids.self_hosted_pipeline},
          {"self_hosted_job_id", ids.self_hosted_job},
          {"promoting_pipeline_id", ids.promoting_pipeline},
          {"promoted_pipeline_id", ids.promoted_pipeline},
          {"agent_type_name", ids.agent_type},
          {"aws_agent_type_name", ids.aws_agent_type},
          {"empty_agent_type_name", ids.empty_agent_type},
          {"agent_name", ids.agent},
          {"disabled_agent_name", ids.disabled_agent},
          {"slashed_agent_name", ids.slashed_agent},
          {"usable_target_id", ids.usable_target},
          {"cordoned_target_id", ids.cordoned_target},
          {"syncing_target_id", ids.syncing_target},
          {"unusable_target_id", ids.unusable_target},
          {"deployed_target_id", ids.deployed_target}};
}

World::World(const SimulatorOptions& options, absl::Time start)
    : seeded_(options.seed), agents_(seeded_, options, start) {
  ids_.organization = seeded_.Uuid("organization", 0);
  ids_.user = seeded_.Uuid("user", 0);
  const AgentPool::WellKnown& known = agents_.well_known();
  ids_.agent_type = known.type;
  ids_.aws_agent_type = known.aws_type;
  ids_.empty_agent_type = known.empty_type;
  ids_.agent = known.agent;
  ids_.disabled_agent = known.disabled_agent;
  ids_.slashed_agent = known.slashed_agent;
  const int special_projects = 2;
  for (int i = 0; i < options.projects + special_projects; i++) {
    Project project{.id = seeded_.Uuid("project", static_cast<uint64_t>(i)),
                    .name = "project-" + std::to_string(i + 1),
                    .repository_id = seeded_.Uuid("repository", static_cast<uint64_t>(i))};
    if (i == options.projects) {
      project.name = "empty";
      ids_.empty_project = project.id;
    }
    if (i == options.projects + 1) {
      project.name = "deleted";
      project.deleted = true;
      ids_.deleted_project = project.id;
    }
    projects_.push_back(std::move(project));
    project_by_id_[projects_.back().id] = &projects_.back();
  }
  ids_.project = projects_[0].id;
  if (options.projects > 1) ids_.other_project = projects_[1].id;
  const int busy_projects = std::min(options.projects, SimulatorOptions::kMaxProjectsWithWorkflows);
  for (int i = 0; i < busy_projects; i++) AddSeededProject(i, options, start);
  ids_.project_name = projects_[0].name;
  SeedDeployments(options, start);
}

void World::AddSeededProject(int index, const SimulatorOptions& options, absl::Time start) {
  const Project& project = projects_[static_cast<size_t>(index)];
  const int oldest = options.workflows_per_project - 1;
  for (int age = oldest; age >= 0; age--) {
    const auto key = static_cast<uint64_t>(index) * 1'000'000 + static_cast<uint64_t>(age);
    const uint64_t draw = seeded_.Number("workflow", key);
    Workflow workflow;
    workflow.id = seeded_.Uuid("workflow", key);
    workflow.project_id = project.id;
    workflow.initial_pipeline_id = seeded_.Uuid("pipeline", key);
    workflow.hook_id = seeded_.Uuid("hook", key);
    workflow.requester_id = ids_.user;
    workflow.branch_name = kBranches[age < 4 || age == oldest ? 0 : draw % kBranches.size()];
    workflow.branch_id = seeded_.Uuid(project.id + workflow.branch_name, 0);
    workflow.commit_sha = seeded_.CommitSha(key);
    workflow.repository_id = project.repository_id;
    workflow.trigger =
        age < 4 ? WorkflowTrigger::kHook : static_cast<WorkflowTrigger>(draw / 8 % 4);
    workflow.created_at = start - kBetweenWorkflows * (age + 1) +
                          absl::Microseconds(static_cast<int64_t>(draw / 64 % 1'000'000));
    workflow.resolved_at = workflow.created_at;
    Pipeline& pipeline = Add(std::move(workflow), kDefaultPipelineFile);
    const bool fails = age == 2 || (age > 3 && age < oldest && draw / 32 % 4 == 0);
    AddBlocks(pipeline, fails, age == 3, index == 0 && age == 0);
    if (index == 0) NameWellKnown(age, pipeline, options.huge_log_bytes);
    IndexJobs(pipeline);
    const bool well_promoted = index == 0 && age == oldest;
    if (well_promoted) ids_.promoting_pipeline = pipeline.id;
    AddSeededPromotions(pipeline, well_promoted ? options.promotions : 1, start);
  }
  if (index == 0)
    ids_.promoted_pipeline = PromotionsOf(ids_.done_pipeline)[0]->scheduled_pipeline_id;
}

// The first one by rule, once the pipeline passed, the others by hand; spread over a few minutes so
// that all of them are done before the next workflow starts.
void World::AddSeededPromotions(const Pipeline& pipeline, int count, absl::Time start) {
  const PipelineProgress end = ProgressAt(pipeline.plan, start);
  if (pipeline.switch_id.empty() || end.result != "passed") return;
  constexpr std::array<std::string_view, 4> kNames = {"Staging", "Production", "Production",
                                                      "Unschedulable"};
  for (int i = 0; i < count; i++) {
    PromotionRequest request{.pipeline_id = pipeline.id,
                             .target = FindPromotionTarget(kNames[static_cast<size_t>(i) % 4]),
                             .triggered_by = i == 0 ? std::string(kAutomaticPromotion) : ids_.user,
                             .override = i % 3 == 2,
                             .request_token = {},
                             .parameters = {}};
    Promote(request, *end.done_at + absl::Seconds(1) + kSeededPromotionsLength / count * i);
  }
}

void World::NameWellKnown(int index, Pipeline& pipeline, size_t huge_log_bytes) {
  std::vector<BlockPlan>& blocks = pipeline.plan.blocks;
  switch (index) {
    case 0:
      ids_.running_workflow = pipeline.workflow->id;
      ids_.running_pipeline = pipeline.id;
      ids_.running_cloud_job = blocks[1].jobs[0].id;
      ids_.running_self_hosted_job = blocks[1].jobs[1].id;
      ids_.waiting_job = blocks[2].jobs[0].id;
      blocks[1].jobs[1].self_hosted = true;
      break;
    case 1:
      ids_.done_workflow = pipeline.workflow->id;
      ids_.done_pipeline = pipeline.id;
      ids_.cloud_job = blocks[0].jobs[0].id;
      ids_.huge_log_job = blocks[1].jobs[0].id;
      blocks[1].jobs[0].log_bytes = huge_log_bytes;
      break;
    case 2:
      ids_.failed_workflow = pipeline.workflow->id;
      ids_.failed_pipeline = pipeline.id;
      break;
    case 3:
      ids_.self_hosted_pipeline = pipeline.id;
      ids_.self_hosted_job = blocks[0].jobs[0].id;
      break;
    default:
      break;
  }
}

Pipeline& World::Add(Workflow workflow, std::string_view pipeline_file) {
  workflows_.push_back(std::move(workflow));
  const Workflow& added = workflows_.back();
  workflow_by_id_[added.id] = &added;
  Pipeline& pipeline =
      AddPipeline(added, added.initial_pipeline_id, pipeline_file, added.created_at);
  if (added.branch_name == kPromotingBranch && pipeline_file == kDefaultPipelineFile) {
    pipeline.switch_id = seeded_.Uuid(pipeline.id + "switch", 0);
  }
  return pipeline;
}

Pipeline& World::AddPipeline(const Workflow& workflow, std::string id,
                             std::string_view pipeline_file, absl::Time created_at) {
  Pipeline pipeline;
  pipeline.id = std::move(id);
  pipeline.name = "Build and test";
  pipeline.workflow = &workflow;
  pipeline.yaml_file_name = FileNameOf(pipeline_file);
  pipeline.working_directory = DirectoryOf(pipeline_file);
  pipeline.commit_message = "Zażółć gęślą jaźń \"quoted\"\nsecond line";
  pipeline.queue_id = seeded_.Uuid(
      "queue" + workflow.project_id + workflow.branch_name + std::string(pipeline_file), 0);
  pipeline.plan.created_at = created_at;
  pipelines_.push_back(std::move(pipeline));
  pipeline_by_id_[pipelines_.back().id] = &pipelines_.back();
  pipelines_by_project_[workflow.project_id].push_back(&pipelines_.back());
  return pipelines_.back();
}

void World::AddBlocks(Pipeline& pipeline, bool fails, bool self_hosted, bool endless) {
  constexpr std::array<const char*, 3> kNames = {"Build", "Test", "Deploy"};
  constexpr std::array<size_t, 3> kJobs = {1, 2, 1};
  for (size_t i = 0; i < kNames.size(); i++) {
    BlockPlan block{.id = seeded_.Uuid(pipeline.id + "block", i),
                    .build_request_id = seeded_.Uuid(pipeline.id + "build", i),
                    .name = kNames[i],
                    .skipped = i == 2 && !endless && pipeline.workflow->branch_name != "master",
                    .jobs = {}};
    for (size_t j = 0; j < kJobs[i] && !block.skipped; j++) {
      const uint64_t draw = seeded_.Number(pipeline.id + "job", i * 10 + j);
      block.jobs.push_back(
          {.id = seeded_.Uuid(pipeline.id + "job", i * 10 + j),
           .name = block.name + " - " + std::to_string(j + 1) + "/" + std::to_string(kJobs[i]),
           .index = static_cast<int>(j),
           .length = endless && i == 1 ? absl::InfiniteDuration()
                                       : absl::Seconds(5 + static_cast<int64_t>(draw % 20)),
           .passes = !(fails && i == 1 && j == 0),
           .self_hosted = self_hosted});
    }
    pipeline.plan.blocks.push_back(std::move(block));
  }
}

void World::IndexJobs(const Pipeline& pipeline) {
  for (size_t i = 0; i < pipeline.plan.blocks.size(); i++) {
    for (size_t j = 0; j < pipeline.plan.blocks[i].jobs.size(); j++) {
      job_by_id_[pipeline.plan.blocks[i].jobs[j].id] = {
          .pipeline = &pipeline, .block = i, .job = j};
    }
  }
}

const Project* World::FindProject(std::string_view id) const { return Find(project_by_id_, id); }
const Workflow* World::FindWorkflow(std::string_view id) const { return Find(workflow_by_id_, id); }
const Pipeline* World::FindPipeline(std::string_view id) const { return Find(pipeline_by_id_, id); }

std::optional<Job> World::FindJob(std::string_view id) const {
  const auto found = job_by_id_.find(std::string(id));
  if (found == job_by_id_.end()) return std::nullopt;
  return found->second;
}

std::vector<const Pipeline*> World::PipelinesOf(std::string_view project_id) const {
  const auto found = pipelines_by_project_.find(std::string(project_id));
  if (found == pipelines_by_project_.end()) return {};
  return {found->second.rbegin(), found->second.rend()};
}

std::vector<const Promotion*> World::PromotionsOf(std::string_view pipeline_id) const {
  const auto found = promotions_by_pipeline_.find(std::string(pipeline_id));
  if (found == promotions_by_pipeline_.end()) return {};
  std::vector<const Promotion*> promotions;
  for (const Promotion& promotion : found->second) promotions.push_back(&promotion);
  return {promotions.rbegin(), promotions.rend()};
}

std::vector<const Workflow*> World::WorkflowsOf(std::string_view project_id) const {
  std::vector<const Workflow*> workflows;
  for (const Pipeline* pipeline : PipelinesOf(project_id)) {
    if (pipeline->workflow->initial_pipeline_id == pipeline->id) {
      workflows.push_back(pipeline->workflow);
    }
  }
  return workflows;
}

const Workflow* World::Run(const RunRequest& request, absl::Time now) {
  if (workflows_.size() >= kMaxWorkflows) return nullptr;
  const Project& project = *FindProject(request.project_id);
  const uint64_t index = workflows_.size();
  Workflow workflow;
  workflow.id = seeded_.Uuid("run workflow", index);
  workflow.project_id = project.id;
  workflow.initial_pipeline_id = seeded_.Uuid("run pipeline", index);
  workflow.hook_id = seeded_.Uuid("run hook", index);
  workflow.requester_id = ids_.user;
  workflow.branch_name = BranchNameOf(request.reference);
  workflow.branch_id = seeded_.Uuid(project.id + workflow.branch_name, 0);
  workflow.commit_sha = request.commit_sha.empty() ? seeded_.CommitSha(~index) : request.commit_sha;
  workflow.repository_id = project.repository_id;
  workflow.trigger = WorkflowTrigger::kApi;
  workflow.created_at = now;
  workflow.resolved_at = now + kInitializingLength;
  Pipeline& pipeline = Add(std::move(workflow), request.pipeline_file.empty()
                                                    ? kDefaultPipelineFile
                                                    : std::string_view(request.pipeline_file));
  pipeline.env_vars = request.parameters;
  PlanByBranch(pipeline);
  return pipeline.workflow;
}

void World::PlanByBranch(Pipeline& pipeline) {
  const std::string& branch = pipeline.workflow->branch_name;
  pipeline.plan.malformed = branch.starts_with("no-such");
  AddBlocks(pipeline, branch.starts_with("failing"), false, branch.starts_with("endless"));
  IndexJobs(pipeline);
}

const Workflow* World::FindRerun(const std::string& request_token) const {
  return Find(rerun_by_token_, request_token);
}

const Workflow* World::Rerun(std::string_view workflow_id, const std::string& request_token,
                             absl::Time now) {
  if (workflows_.size() >= kMaxWorkflows) return nullptr;
  const uint64_t index = workflows_.size();
  const Workflow& original = *FindWorkflow(workflow_id);
  const Pipeline& initial = *FindPipeline(original.initial_pipeline_id);
  Workflow workflow = original;
  workflow.id = seeded_.Uuid("run workflow", index);
  workflow.initial_pipeline_id = seeded_.Uuid("run pipeline", index);
  workflow.requester_id = ids_.user;
  workflow.rerun_of = original.id;
  workflow.trigger = WorkflowTrigger::kApi;
  workflow.created_at = now;
  workflow.resolved_at = now;
  Pipeline& pipeline = Add(std::move(workflow), initial.File());
  pipeline.env_vars = initial.env_vars;
  PlanByBranch(pipeline);
  rerun_by_token_[request_token] = pipeline.workflow;
  return pipeline.workflow;
}

const Pipeline* World::RunAgain(std::string_view pipeline_id, absl::Time now) {
  if (pipelines_.size() >= kMaxPipelines) return nullptr;
  const Pipeline& original = *FindPipeline(pipeline_id);
  Pipeline& pipeline = AddPipeline(
      *original.workflow, seeded_.Uuid("pipeline again", pipelines_.size()), original.File(), now);
  PlanByBranch(pipeline);
  return &pipeline;
}

bool World::Promote(const PromotionRequest& request, absl::Time now) {
  if (promotion_tokens_.contains(request.request_token)) return true;
  if (pipelines_.size() >= kMaxPipelines) return false;
  const PromotionTarget& target = *request.target;
  const bool automatic = request.triggered_by == kAutomaticPromotion;
  std::deque<Promotion>& promotions = promotions_by_pipeline_[request.pipeline_id];
  if (promotions.size() >= kMaxPromotions) return false;
  Promotion promotion{.target_name = std::string(target.name),
                      .triggered_by = request.triggered_by,
                      .override = request.override,
                      .triggered_at = now,
                      .scheduled_pipeline_id = {}};
  if (target.schedules) {
    Pipeline& pipeline = AddPipeline(*FindPipeline(request.pipeline_id)->workflow,
                                     seeded_.Uuid("promoted pipeline", pipelines_.size()),
                                     target.pipeline_file, promotion.ScheduledAt());
    pipeline.name = "Deploy to " + promotion.target_name;
    pipeline.promotion_of = request.pipeline_id;
    pipeline.trigger = automatic ? PipelineTrigger::kAutoPromotion : PipelineTrigger::kPromotion;
    pipeline.env_vars = request.parameters;
    PlanByBranch(pipeline);
    promotion.scheduled_pipeline_id = pipeline.id;
  }
  Deploy(request, promotion);
  promotions.push_back(std::move(promotion));
  if (!request.request_token.empty()) promotion_tokens_.insert(request.request_token);
  return true;
}

void World::Deploy(const PromotionRequest& request, const Promotion& promotion) {
  const Pipeline& promoted = *FindPipeline(request.pipeline_id);
  const DeploymentTarget* const target =
      deployments_.FindByName(promoted.workflow->project_id, request.target->deployment_target);
  if (target == nullptr) return;
  const std::string& branch = promoted.workflow->branch_name;
  const bool starts = !promotion.scheduled_pipeline_id.empty();
  Deployment deployment;
  deployment.id = seeded_.Uuid("promoted deployment", deployments_.NextNumber());
  deployment.target_name = promotion.target_name;
  deployment.prev_pipeline_id = promoted.id;
  deployment.pipeline_id = promotion.scheduled_pipeline_id;
  deployment.triggered_by = promotion.triggered_by;
  deployment.switch_id = promoted.switch_id;
  deployment.decided_at = promotion.ScheduledAt();
  deployment.state = starts ? "STARTED" : "FAILED";
  deployment.state_message = starts ? "" : "The pipeline file could not be read.";
  deployment.triggered_at = promotion.triggered_at;
  deployment.git_ref_type = branch.starts_with("refs/tags/")      ? "tag"
                            : branch.starts_with("pull-request-") ? "pr"
                                                                  : "branch";
  deployment.git_ref_label = branch;
  deployment.env_vars = request.parameters;
  deployments_.AddDeployment(target->id, std::move(deployment));
}

int World::StopWorkflow(std::string_view workflow_id, absl::Time now) {
  int unfinished = 0;
  for (const Pipeline* pipeline : PipelinesOf(FindWorkflow(workflow_id)->project_id)) {
    if (pipeline->workflow->id != workflow_id || pipeline->plan.created_at > now) continue;
    if (ProgressAt(pipeline->plan, now).done_at) continue;
    Stop(pipeline->id, now);
    unfinished++;
  }
  return unfinished;
}

void World::Stop(std::string_view pipeline_id, absl::Time now) {
  Pipeline* const pipeline = Find(pipeline_by_id_, pipeline_id);
  if (pipeline == nullptr || pipeline->plan.stop_asked_at || pipeline->plan.malformed) return;
  if (ProgressAt(pipeline->plan, now).done_at) return;
  pipeline->plan.stop_asked_at = now;
  pipeline->terminated_by = ids_.user;
}

void World::StopJob(std::string_view job_id, absl::Time now) {
  const std::optional<Job> job = FindJob(job_id);
  if (!job || job->plan().stop_asked_at || job->ProgressAt(now).state == "FINISHED") return;
  Pipeline* const pipeline = Find(pipeline_by_id_, job->pipeline->id);
  pipeline->plan.blocks[job->block].jobs[job->job].stop_asked_at = now;
}

int World::QueueLength(std::string_view project_id, std::string_view branch_name,
                       std::string_view pipeline_file, absl::Time now) const {
  if (pipeline_file.empty()) pipeline_file = kDefaultPipelineFile;
  int length = 0;
  for (const Pipeline* pipeline : PipelinesOf(project_id)) {
    if (pipeline->workflow->branch_name == branch_name && pipeline->File() == pipeline_file &&
        !ProgressAt(pipeline->plan, now).done_at) {
      length++;
    }
  }
  return length;
}

}  // namespace semaphore::simulator
