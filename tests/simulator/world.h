// What the simulated service knows: projects, workflows, pipelines and jobs, made from the seed at
// the start and changed by requests. It knows nothing of HTTP or JSON. Not thread-safe: only the
// simulator's own thread touches it.
#ifndef SEMAPHORE_TESTS_SIMULATOR_WORLD_H_
#define SEMAPHORE_TESTS_SIMULATOR_WORLD_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulator/agent_pool.h"
#include "tests/simulator/deployment_store.h"
#include "tests/simulator/lifecycle.h"
#include "tests/simulator/options.h"
#include "tests/simulator/promotion_targets.h"
#include "tests/simulator/retention_policies.h"
#include "tests/simulator/seeded_ids.h"

namespace semaphore::simulator {

enum class WorkflowTrigger {
  kHook,
  kSchedule,
  kApi,
  kManualRun
};  // in the order of upstream's numbers

enum class PipelineTrigger { kWorkflow, kPromotion, kAutoPromotion };  // in the same order

struct Project {
  std::string id;
  std::string name;
  std::string repository_id;
  bool deleted = false;
};

struct Workflow {
  std::string id;
  std::string project_id;
  std::string initial_pipeline_id;
  std::string hook_id;
  std::string requester_id;
  std::string branch_id;
  std::string branch_name;
  std::string commit_sha;
  std::string repository_id;
  std::string rerun_of;
  WorkflowTrigger trigger = WorkflowTrigger::kHook;
  absl::Time created_at;
  absl::Time resolved_at;  // hook_id and branch_id are not known before
};

struct Pipeline {
  std::string id;
  std::string name;
  const Workflow* workflow = nullptr;  // owned by the World, never moves
  std::string yaml_file_name;
  std::string working_directory;
  std::string commit_message;
  std::string switch_id;     // of its promotions; empty: there are none
  std::string promotion_of;  // the pipeline that was promoted to this one
  PipelineTrigger trigger = PipelineTrigger::kWorkflow;
  std::string queue_id;
  std::string terminated_by;
  std::vector<std::pair<std::string, std::string>> env_vars;
  PipelinePlan plan;  // a promotion's pipeline is created a moment after the promotion

  std::string File() const;  // ".semaphore/semaphore.yml"
  // Empty until the pipeline's promotions are evaluated, which is before it is pending.
  std::string SwitchIdAt(absl::Time now) const;
};

inline constexpr std::string_view kAutomaticPromotion = "Pipeline Done request";

// One triggering of a promotion.
struct Promotion {
  std::string target_name;
  std::string triggered_by;  // a user's id or kAutomaticPromotion
  bool override = false;
  absl::Time triggered_at;
  std::string scheduled_pipeline_id;  // empty: it cannot be scheduled

  absl::Time ScheduledAt() const { return triggered_at + kPromotingLength; }
};

struct Job {
  const Pipeline* pipeline = nullptr;
  size_t block = 0;
  size_t job = 0;

  const JobPlan& plan() const { return pipeline->plan.blocks[block].jobs[job]; }
  JobProgress ProgressAt(absl::Time now) const;
};

// Ids that a test or script can rely on. The first project's newest workflows are: one that runs
// until it is stopped, one that passed, one that failed, one that ran on self-hosted agents; older
// ones follow. All of these are on master and have promotions; each that passed was promoted to
// "Staging".
struct WellKnownIds {
  std::string organization;
  std::string user;
  std::string project;
  std::string project_name;
  std::string other_project;  // the second one; empty when there is only one
  std::string empty_project;
  std::string deleted_project;  // running a workflow in it is refused with its own text

  std::string running_workflow;
  std::string running_pipeline;
  std::string running_cloud_job;
  std::string running_self_hosted_job;
  std::string waiting_job;  // of the running pipeline; has not started, so it has no log

  std::string done_workflow;
  std::string done_pipeline;
  std::string cloud_job;
  std::string huge_log_job;

  std::string failed_workflow;
  std::string failed_pipeline;

  std::string self_hosted_pipeline;
  std::string self_hosted_job;

  std::string promoting_pipeline;  // the project's oldest, with SimulatorOptions::promotions
  std::string promoted_pipeline;   // from done_pipeline; has no promotions itself
  // Names, not ids. See AgentPool::WellKnown.
  std::string agent_type;
  std::string aws_agent_type;
  std::string empty_agent_type;
  std::string agent;  // runs running_self_hosted_job
  std::string disabled_agent;
  std::string slashed_agent;
  // Deployment targets of the first project.
  std::string usable_target;    // has secrets
  std::string cordoned_target;  // deactivated
  std::string syncing_target;   // for ever
  std::string unusable_target;
  std::string deployed_target;  // usable, with as many deployments as asked for
};

// The same as pairs of name and id, for scripts.
std::vector<std::pair<std::string, std::string>> NamedIds(const WellKnownIds& ids);

struct RunRequest {
  std::string project_id;
  std::string reference;
  std::string commit_sha;
  std::string pipeline_file;
  std::vector<std::pair<std::string, std::string>> parameters;
};

struct PromotionRequest {
  std::string pipeline_id;
  const PromotionTarget* target = nullptr;
  std::string triggered_by;
  bool override = false;
  std::string request_token;  // empty: none
  std::vector<std::pair<std::string, std::string>> parameters;
};

class World {
 public:
  static constexpr size_t kMaxWorkflows = 100'000;
  static constexpr size_t kMaxPipelines = 200'000;
  static constexpr size_t kMaxPromotions = 100'000;  // of one pipeline

  World(const SimulatorOptions& options, absl::Time start);

  const WellKnownIds& ids() const { return ids_; }
  const SeededIds& seeded() const { return seeded_; }
  AgentPool& agents() { return agents_; }

  // Null when there is none.
  const Project* FindProject(std::string_view id) const;
  const Workflow* FindWorkflow(std::string_view id) const;
  const Pipeline* FindPipeline(std::string_view id) const;
  std::optional<Job> FindJob(std::string_view id) const;

  // Of all projects, in order of creation.
  const std::deque<Pipeline>& pipelines() const { return pipelines_; }
  // In order of creation, deleted ones included.
  const std::deque<Project>& projects() const { return projects_; }

  DeploymentStore& deployments() { return deployments_; }
  RetentionPolicies& retention_policies() { return retention_policies_; }

  // Newest first.
  std::vector<const Workflow*> WorkflowsOf(std::string_view project_id) const;
  std::vector<const Pipeline*> PipelinesOf(std::string_view project_id) const;
  std::vector<const Promotion*> PromotionsOf(std::string_view pipeline_id) const;

  // The project must exist. Null when the world is full. A branch starting with "failing" makes
  // jobs that fail, one starting with "no-such" a pipeline that turns out malformed, one starting
  // with "endless" one that runs until stopped.
  const Workflow* Run(const RunRequest& request, absl::Time now);

  // The workflow that the first rerun with this token made, whatever it was a rerun of; null when
  // the token is new.
  const Workflow* FindRerun(const std::string& request_token) const;

  // Runs the same branch, commit and file again. The workflow must exist and the token be new. Null
  // when the world is full.
  const Workflow* Rerun(std::string_view workflow_id, const std::string& request_token,
                        absl::Time now);

  // One more pipeline in the workflow of that one, which must exist. Null when the world is full.
  const Pipeline* RunAgain(std::string_view pipeline_id, absl::Time now);

  // Does nothing to a pipeline that is done or already stopping.
  void Stop(std::string_view pipeline_id, absl::Time now);

  // How many pipelines were not done.
  int StopWorkflow(std::string_view workflow_id, absl::Time now);

  // The pipeline must exist. A token that was used before, for whatever pipeline, triggers nothing.
  // False when the world is full.
  bool Promote(const PromotionRequest& request, absl::Time now);
  // Does nothing to a job that is finished or already stopping. The others of its block go on;
  // blocks after it do not start.
  void StopJob(std::string_view job_id, absl::Time now);

  // Unfinished pipelines of that branch and pipeline file.
  int QueueLength(std::string_view project_id, std::string_view branch_name,
                  std::string_view pipeline_file, absl::Time now) const;

 private:
  void SeedDeployments(const SimulatorOptions& options, absl::Time start);
  void AddSeededProject(int index, const SimulatorOptions& options, absl::Time start);
  // To the target's deployment target, where the project has it.
  void Deploy(const PromotionRequest& request, const Promotion& promotion);
  void AddSeededPromotions(const Pipeline& pipeline, int count, absl::Time start);
  Pipeline& Add(Workflow workflow, std::string_view pipeline_file);
  Pipeline& AddPipeline(const Workflow& workflow, std::string id, std::string_view pipeline_file,
                        absl::Time created_at);
  // What the branch decides about a new pipeline.
  void PlanByBranch(Pipeline& pipeline);
  void AddBlocks(Pipeline& pipeline, bool fails, bool self_hosted, bool endless);
  void IndexJobs(const Pipeline& pipeline);
  void NameWellKnown(int index, Pipeline& pipeline, size_t huge_log_bytes);

  SeededIds seeded_;
  AgentPool agents_;
  WellKnownIds ids_;
  std::deque<Project> projects_;
  std::deque<Workflow> workflows_;
  std::deque<Pipeline> pipelines_;  // in order of creation
  std::unordered_map<std::string, const Project*> project_by_id_;
  std::unordered_map<std::string, const Workflow*> workflow_by_id_;
  std::unordered_map<std::string, Pipeline*> pipeline_by_id_;
  std::unordered_map<std::string, Job> job_by_id_;
  std::unordered_map<std::string, std::vector<const Pipeline*>> pipelines_by_project_;
  std::unordered_map<std::string, std::deque<Promotion>> promotions_by_pipeline_;  // oldest first
  std::unordered_map<std::string, const Workflow*> rerun_by_token_;
  std::unordered_set<std::string> promotion_tokens_;
  DeploymentStore deployments_;
  RetentionPolicies retention_policies_;
};

// "refs/heads/x" and "x" are the branch "x", "refs/tags/x" stays, "refs/pull/7" is
// "pull-request-7".
std::string BranchNameOf(std::string_view reference);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_WORLD_H_
