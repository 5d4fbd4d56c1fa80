#include "gateway/ci_catalog.h"

#include <algorithm>
#include <utility>

namespace semaphore::gateway {
namespace {

using Labels = std::vector<std::string_view>;
using Buckets = std::vector<double>;

// Quarterly figures need a counter to outlive a quiet month; a deleted pipeline's may then go.
constexpr absl::Duration kEventExpiry = absl::Hours(24 * 90);

const Buckets& PipelineSeconds() {
  static const auto* buckets =
      new Buckets{15, 30, 60, 120, 240, 420, 600, 900, 1800, 3600, 7200, 14400};
  return *buckets;
}
// Waiting is usually seconds, and minutes when agents are short.
const Buckets& QueueSeconds() {
  static const auto* buckets = new Buckets{1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600};
  return *buckets;
}
const Buckets& PhaseSeconds() {
  static const auto* buckets =
      new Buckets{1, 5, 15, 30, 60, 120, 240, 420, 600, 900, 1800, 3600, 7200};
  return *buckets;
}
const Buckets& JobSeconds() {
  static const auto* buckets =
      new Buckets{5, 15, 30, 60, 120, 240, 420, 600, 900, 1800, 3600, 7200};
  return *buckets;
}
// Five minutes to a week.
const Buckets& RecoverySeconds() {
  static const auto* buckets =
      new Buckets{300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800};
  return *buckets;
}

CiFamilySpec Event(std::string_view name, std::string_view help, Labels labels,
                   CiLevel level = CiLevel::kPipeline) {
  CiFamilySpec spec;
  spec.name = name;
  spec.help = help;
  spec.labels = std::move(labels);
  spec.labels.insert(spec.labels.begin(), "organization");
  spec.expiry = kEventExpiry;
  spec.level = level;
  return spec;
}

CiFamilySpec Durations(CiFamilySpec spec, const Buckets& buckets) {
  spec.type = CiType::kHistogram;
  spec.unit = "seconds";
  spec.buckets = buckets;
  return spec;
}

CiFamilySpec State(std::string_view name, std::string_view help, Labels labels,
                   CiLevel level = CiLevel::kPipeline) {
  CiFamilySpec spec = Event(name, help, std::move(labels), level);
  spec.type = CiType::kGauge;
  spec.expiry = absl::InfiniteDuration();
  spec.event = false;
  if (name.ends_with("_seconds")) spec.unit = "seconds";
  return spec;
}

void AddPipelineEvents(std::vector<CiFamilySpec>& out) {
  out.push_back(Event("semaphoreci_pipeline_runs_total",
                      "Finished pipelines by result (passed, failed, stopped, canceled, unknown), "
                      "each counted once; collected asynchronously.",
                      {"project", "pipeline", "ref", "ref_type", "result"}));
  out.push_back(Event("semaphoreci_pipeline_failures_total",
                      "Pipelines that finished with the result failed, by reason (test, malformed, "
                      "stuck, user, internal, strategy, fast_failing, deleted, timeout, unknown); "
                      "collected asynchronously.",
                      {"project", "pipeline", "reason"}));
  out.push_back(Durations(Event("semaphoreci_pipeline_run_duration_seconds",
                                "Time from a pipeline's creation to its end, waiting included, in "
                                "seconds; collected asynchronously.",
                                {"project", "pipeline", "result"}),
                          PipelineSeconds()));
  out.push_back(Durations(Event("semaphoreci_pipeline_phase_duration_seconds",
                                "Time that a pipeline spent in each phase (pending, executing, "
                                "finalizing), in seconds; collected asynchronously.",
                                {"project", "pipeline", "phase"}),
                          PhaseSeconds()));
  out.push_back(Durations(Event("semaphoreci_pipeline_recovery_duration_seconds",
                                "Time from the end of the first failed run to the end of the next "
                                "passed one on a listed ref, in seconds; collected asynchronously.",
                                {"project", "pipeline", "ref"}),
                          RecoverySeconds()));
  out.push_back(Event("semaphoreci_pipeline_reruns_total",
                      "Finished pipelines that repeated an earlier one, whole (full) or only what "
                      "had failed (partial); collected asynchronously.",
                      {"project", "pipeline", "kind"}));
  out.push_back(Event("semaphoreci_pipeline_flaky_commits_total",
                      "Commits on which the same pipeline both failed and passed; collected "
                      "asynchronously.",
                      {"project", "pipeline"}));
  out.push_back(Event("semaphoreci_workflow_runs_total",
                      "Workflows whose first pipeline finished, by what started them (hook, "
                      "schedule, api, manual_run, unknown); collected asynchronously.",
                      {"project", "ref_type", "trigger"}, CiLevel::kProject));
}

void AddBlockAndJobEvents(std::vector<CiFamilySpec>& out) {
  out.push_back(Event("semaphoreci_block_runs_total",
                      "Finished blocks of finished pipelines by result; collected asynchronously.",
                      {"project", "pipeline", "ref", "ref_type", "result", "block"},
                      CiLevel::kBlock));
  out.push_back(Event("semaphoreci_job_runs_total",
                      "Finished jobs of finished pipelines by result; parallel copies of a job "
                      "count under its one name; collected asynchronously.",
                      {"project", "pipeline", "ref", "ref_type", "result", "block", "job"},
                      CiLevel::kJob));
  out.push_back(Durations(Event("semaphoreci_job_queue_duration_seconds",
                                "Time from a job's creation to its start on an agent, in seconds; "
                                "collected asynchronously.",
                                {"project", "pipeline"}, CiLevel::kJob),
                          QueueSeconds()));
  out.push_back(Durations(Event("semaphoreci_job_run_duration_seconds",
                                "Time from a job's start on an agent to its end, in seconds; "
                                "collected asynchronously.",
                                {"project", "pipeline"}, CiLevel::kJob),
                          JobSeconds()));
}

void AddDeploymentEvents(std::vector<CiFamilySpec>& out) {
  out.push_back(
      Event("semaphoreci_promotions_total",
            "Promotions by status (processing, passed, failed, unknown; not the result of the "
            "promoted pipeline) and by who triggered them (auto, manual); collected "
            "asynchronously.",
            {"project", "promotion", "status", "trigger"}));
  out.push_back(Event("semaphoreci_deployments_total",
                      "Finished deployments by the result of their pipeline and by who triggered "
                      "them (auto, manual); collected asynchronously.",
                      {"project", "target", "result", "trigger"}, CiLevel::kProject));
  out.push_back(Durations(Event("semaphoreci_deployment_lead_time_seconds",
                                "Time from a workflow's creation to the end of its passed "
                                "deployment pipeline, in seconds (the API has no commit time); "
                                "collected asynchronously.",
                                {"project", "target"}, CiLevel::kProject),
                          RecoverySeconds()));
}

void AddStates(std::vector<CiFamilySpec>& out) {
  out.push_back(State("semaphoreci_pipelines_active",
                      "Pipelines that are not done, by state (initializing, pending, queuing, "
                      "running, stopping), at the last collection.",
                      {"project", "pipeline", "state"}));
  out.push_back(State("semaphoreci_pipeline_oldest_active_timestamp_seconds",
                      "When the oldest pipeline that is now in this state was created, in seconds "
                      "since 1970; absent when none is.",
                      {"project", "state"}, CiLevel::kProject));
  out.push_back(State("semaphoreci_pipeline_last_result",
                      "1 for the result of the last pipeline on a listed ref that passed or failed "
                      "(of any, while none has), 0 for the other results.",
                      {"project", "pipeline", "ref", "result"}));
  out.push_back(State("semaphoreci_pipeline_last_run_timestamp_seconds",
                      "When the last finished pipeline on a listed ref ended, in seconds since "
                      "1970.",
                      {"project", "pipeline", "ref"}));
  out.push_back(State("semaphoreci_pipeline_last_run_duration_seconds",
                      "Time from creation to end of the last finished pipeline on a listed ref, in "
                      "seconds.",
                      {"project", "pipeline", "ref"}));
  out.push_back(State("semaphoreci_deployment_target_state",
                      "1 for the state of a deployment target (syncing, usable, unusable, "
                      "cordoned, unknown), 0 for the others.",
                      {"project", "target", "state"}, CiLevel::kProject));
  out.push_back(State("semaphoreci_deployment_last_timestamp_seconds",
                      "When the last passed deployment to a target ended, in seconds since 1970.",
                      {"project", "target"}, CiLevel::kProject));
  out.push_back(State("semaphoreci_agents",
                      "Self-hosted agents by state (waiting_for_job, running_job) at the last "
                      "collection; an agent type without agents has zeros.",
                      {"agent_type", "state"}, CiLevel::kProject));
  out.push_back(State("semaphoreci_agent_versions",
                      "Self-hosted agents by version at the last collection.",
                      {"agent_type", "version"}, CiLevel::kProject));
  out.push_back(State("semaphoreci_project_info", "Always 1; the labels name a project that is to be collected.",
                      {"project", "project_id"}, CiLevel::kProject));
  out.push_back(State("semaphoreci_up",
                      "1 while the organization can be collected, 0 when nothing succeeded for a "
                      "poll interval.",
                      {}, CiLevel::kProject));
}

std::vector<CiFamilySpec> Build() {
  std::vector<CiFamilySpec> out;
  AddPipelineEvents(out);
  AddBlockAndJobEvents(out);
  AddDeploymentEvents(out);
  AddStates(out);
  // A job has a name of its own in each block of each pipeline.
  const auto jobs = std::find_if(out.begin(), out.end(), [](const CiFamilySpec& spec) {
    return spec.name == "semaphoreci_job_runs_total";
  });
  jobs->max_series = 10'000;
  return out;
}

}  // namespace

const std::vector<CiFamilySpec>& CiCatalog() {
  static const auto* catalog = new std::vector<CiFamilySpec>(Build());
  return *catalog;
}

const CiFamilySpec* FindCiFamily(std::string_view name) {
  const std::vector<CiFamilySpec>& all = CiCatalog();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [name](const CiFamilySpec& spec) { return spec.name == name; });
  return found == all.end() ? nullptr : &*found;
}

size_t SeriesCap(const CiFamilySpec& spec, size_t max_series) {
  return spec.max_series * max_series / kDefaultMaxSeries;
}

std::string_view ToWord(CiType type) {
  return type == CiType::kCounter ? "counter" : type == CiType::kGauge ? "gauge" : "histogram";
}

std::string_view ToWord(CiLevel level) {
  switch (level) {
    case CiLevel::kProject:
      return "project";
    case CiLevel::kPipeline:
      return "pipeline";
    case CiLevel::kBlock:
      return "block";
    case CiLevel::kJob:
      return "job";
  }
  return "";
}

}  // namespace semaphore::gateway
