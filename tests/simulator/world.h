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
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulator/deployment_store.h"
#include "tests/simulator/lifecycle.h"
#include "tests/simulator/options.h"
#include "tests/simulator/retention_policies.h"
#include "tests/simulator/seeded_ids.h"

namespace semaphore::simulator {

enum class WorkflowTrigger {
  kHook,
  kSchedule,
  kApi,
  kManualRun
};  // in the order of upstream's numbers

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
  std::string switch_id;
  std::string queue_id;
  std::string terminated_by;
  std::vector<std::pair<std::string, std::string>> env_vars;
  PipelinePlan plan;
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
// ones follow.
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

class World {
 public:
  static constexpr size_t kMaxWorkflows = 100'000;

  World(const SimulatorOptions& options, absl::Time start);

  const WellKnownIds& ids() const { return ids_; }
  const SeededIds& seeded() const { return seeded_; }

  // Null when there is none.
  const Project* FindProject(std::string_view id) const;
  const Workflow* FindWorkflow(std::string_view id) const;
  const Pipeline* FindPipeline(std::string_view id) const;
  std::optional<Job> FindJob(std::string_view id) const;

  // In order of creation, deleted ones included.
  const std::deque<Project>& projects() const { return projects_; }

  DeploymentStore& deployments() { return deployments_; }
  RetentionPolicies& retention_policies() { return retention_policies_; }

  // Newest first.
  std::vector<const Workflow*> WorkflowsOf(std::string_view project_id) const;
  std::vector<const Pipeline*> PipelinesOf(std::string_view project_id) const;

  // The project must exist. Null when the world is full. A branch starting with "failing" makes
  // jobs that fail, one starting with "no-such" a pipeline that turns out malformed, one starting
  // with "endless" one that runs until stopped.
  const Workflow* Run(const RunRequest& request, absl::Time now);

  // Does nothing to a pipeline that is done or already stopping.
  void Stop(std::string_view pipeline_id, absl::Time now);

  // Unfinished pipelines of that branch and pipeline file.
  int QueueLength(std::string_view project_id, std::string_view branch_name,
                  std::string_view pipeline_file, absl::Time now) const;

 private:
  void SeedDeployments(const SimulatorOptions& options, absl::Time start);
  void AddSeededProject(int index, const SimulatorOptions& options, absl::Time start);
  Pipeline& Add(Workflow workflow, std::string_view pipeline_file);
  void AddBlocks(Pipeline& pipeline, bool fails, bool self_hosted, bool endless);
  void IndexJobs(const Pipeline& pipeline);
  void NameWellKnown(int index, Pipeline& pipeline, size_t huge_log_bytes);

  SeededIds seeded_;
  WellKnownIds ids_;
  std::deque<Project> projects_;
  std::deque<Workflow> workflows_;
  std::deque<Pipeline> pipelines_;  // in order of creation
  std::unordered_map<std::string, const Project*> project_by_id_;
  std::unordered_map<std::string, const Workflow*> workflow_by_id_;
  std::unordered_map<std::string, Pipeline*> pipeline_by_id_;
  std::unordered_map<std::string, Job> job_by_id_;
  std::unordered_map<std::string, std::vector<const Pipeline*>> pipelines_by_project_;
  DeploymentStore deployments_;
  RetentionPolicies retention_policies_;
};

// "refs/heads/x" and "x" are the branch "x", "refs/tags/x" stays, "refs/pull/7" is
// "pull-request-7".
std::string BranchNameOf(std::string_view reference);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_WORLD_H_
