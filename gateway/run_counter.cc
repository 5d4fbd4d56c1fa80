#include "gateway/run_counter.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/active_pipelines.h"
#include "gateway/label_value.h"

namespace semaphore::gateway {
namespace {

constexpr std::string_view kPipelineRuns = "semaphoreci_pipeline_runs_total";
constexpr std::string_view kFailures = "semaphoreci_pipeline_failures_total";
constexpr std::string_view kRunDuration = "semaphoreci_pipeline_run_duration_seconds";
constexpr std::string_view kPhaseDuration = "semaphoreci_pipeline_phase_duration_seconds";
constexpr std::string_view kRecovery = "semaphoreci_pipeline_recovery_duration_seconds";
constexpr std::string_view kReruns = "semaphoreci_pipeline_reruns_total";
constexpr std::string_view kFlaky = "semaphoreci_pipeline_flaky_commits_total";
constexpr std::string_view kWorkflowRuns = "semaphoreci_workflow_runs_total";
constexpr std::string_view kBlockRuns = "semaphoreci_block_runs_total";
constexpr std::string_view kJobRuns = "semaphoreci_job_runs_total";
constexpr std::string_view kJobQueue = "semaphoreci_job_queue_duration_seconds";
constexpr std::string_view kJobRun = "semaphoreci_job_run_duration_seconds";
constexpr std::string_view kPromotions = "semaphoreci_promotions_total";
constexpr std::string_view kDeployments = "semaphoreci_deployments_total";
constexpr std::string_view kLeadTime = "semaphoreci_deployment_lead_time_seconds";

constexpr std::array<std::string_view, 3> kJobResults = {"passed", "failed", "stopped"};
constexpr std::array<std::string_view, 10> kReasons = {
    "test",     "malformed",    "stuck",   "user",    "internal",
    "strategy", "fast_failing", "deleted", "timeout", "unknown"};
constexpr std::array<std::string_view, 3> kPhases = {"pending", "executing", "finalizing"};
constexpr std::array<std::string_view, 5> kTriggers = {"hook", "schedule", "api", "manual_run",
                                                       "unknown"};
constexpr std::array<std::string_view, 2> kWho = {"auto", "manual"};
constexpr std::array<std::string_view, 2> kRerunKinds = {"full", "partial"};

// Longer names are no branch that anybody lists.
constexpr size_t kMaxRefBytes = 1024;
constexpr int64_t kMaxPatternBytes = int64_t{1} << 20;
// Keys of memory hold names that upstream chose.
constexpr char kSeparator = '\x1f';

std::string_view ToWord(v1::JobResult result) {
  switch (result) {
    case v1::JOB_RESULT_PASSED:
      return "passed";
    case v1::JOB_RESULT_FAILED:
      return "failed";
    case v1::JOB_RESULT_STOPPED:
      return "stopped";
    default:
      return "unknown";
  }
}

std::string_view ToWord(v1::PipelineResultReason reason) {
  const int index = static_cast<int>(reason) - 1;
  if (index < 0 || index >= static_cast<int>(kReasons.size()) - 1) return "unknown";
  return kReasons[static_cast<size_t>(index)];
}

std::string_view ToWord(v1::WorkflowTrigger trigger) {
  const int index = static_cast<int>(trigger) - 1;
  if (index < 0 || index >= static_cast<int>(kTriggers.size()) - 1) return "unknown";
  return kTriggers[static_cast<size_t>(index)];
}

std::string_view ToWord(v1::PromotionState state) {
  switch (state) {
    case v1::PROMOTION_STATE_PROCESSING:
      return "processing";
    case v1::PROMOTION_STATE_PASSED:
      return "passed";
    case v1::PROMOTION_STATE_FAILED:
      return "failed";
    default:
      return "unknown";
  }
}

// Upstream spells "not yet" as 1970 in places.
std::optional<absl::Time> TimeOf(bool has, const google::protobuf::Timestamp& time) {
  if (!has || time.seconds() <= 0) return std::nullopt;
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::optional<double> SecondsBetween(std::optional<absl::Time> from, std::optional<absl::Time> to) {
  if (!from.has_value() || !to.has_value()) return std::nullopt;
  return std::max(0.0, absl::ToDoubleSeconds(*to - *from));
}

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "Push results - 2/11" is "Push results".
std::string_view WithoutParallelSuffix(std::string_view name) {
  const size_t dash = name.rfind(" - ");
  if (dash == std::string_view::npos || dash == 0) return name;
  const std::string_view copy = name.substr(dash + 3);
  const size_t slash = copy.find('/');
  if (slash == std::string_view::npos) return name;
  const bool numbered = IsNumber(copy.substr(0, slash)) && IsNumber(copy.substr(slash + 1));
  return numbered ? name.substr(0, dash) : name;
}

std::string JobLabel(std::string_view name) { return CleanLabelValue(WithoutParallelSuffix(name)); }

// A workflow's first pipeline, of which a partial rerun is none.
bool IsInitial(const v1::Pipeline& pipeline) {
  const v1::PipelineTrigger trigger = pipeline.triggerer().pipeline_trigger();
  if (trigger == v1::PIPELINE_TRIGGER_PROMOTION || trigger == v1::PIPELINE_TRIGGER_AUTO_PROMOTION ||
      trigger == v1::PIPELINE_TRIGGER_PARTIAL_RE_RUN) {
    return false;
  }
  return pipeline.promotion_of_pipeline_id().empty() &&
         pipeline.partial_rerun_of_pipeline_id().empty();
}

// A run on a ref, as remembered: "micros" and F or P, and C once its recovery was counted.
struct Outcome {
  int64_t done_us = 0;
  bool passed = false;
  bool counted = false;
  std::string key;
};

std::vector<Outcome> ParseOutcomes(std::string_view text) {
  std::vector<Outcome> outcomes;
  for (const absl::string_view line :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n', absl::SkipEmpty())) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(kSeparator, 2));
    Outcome outcome;
    if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &outcome.done_us)) continue;
    outcome.passed = parts[1] != "F";
    outcome.counted = parts[1] == "C";
    outcome.key = parts[2];
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

std::string ToText(const std::vector<Outcome>& outcomes) {
  std::string out;
  for (const Outcome& each : outcomes) {
    absl::StrAppend(&out, each.done_us, std::string(1, kSeparator),
                    !each.passed   ? "F"
                    : each.counted ? "C"
                                   : "P",
                    std::string(1, kSeparator), each.key, "\n");
  }
  return out;
}

// The first failed run of a streak is what a recovery is measured from, so it is the last to go.
void Trim(std::vector<Outcome>& outcomes) {
  while (outcomes.size() > RunCounter::kMaxOutcomes) {
    const bool streak = !outcomes[0].passed && !outcomes[1].passed;
    outcomes.erase(outcomes.begin() + (streak ? 1 : 0));
  }
}

}  // namespace

std::string PipelineKey(const v1::Pipeline& pipeline) {
  if (!pipeline.pipeline_id().empty()) return pipeline.pipeline_id();
  return absl::StrCat(pipeline.workflow_id(), "/", PipelineFile(pipeline), "/",
                      pipeline.create_time().seconds(), ".", pipeline.create_time().nanos());
}

absl::StatusOr<RefRules> RefRules::Create(const std::vector<std::string>& patterns) {
  RefRules rules;
  for (const std::string& pattern : patterns) {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kMaxPatternBytes);
    options.set_never_capture(true);
    auto compiled = std::make_shared<RE2>(pattern, options);
    if (!compiled->ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", CleanLabelValue(pattern),
                       "\" is no regular expression (RE2): ", CleanLabelValue(compiled->error())));
    }
    rules.patterns_.push_back(std::move(compiled));
  }
  return rules;
}

RefRules::Ref RefRules::Classify(std::string_view branch_name) const {
  constexpr std::string_view kHeads = "refs/heads/";
  constexpr std::string_view kPullRequest = "pull-request-";
  if (branch_name.starts_with(kHeads)) branch_name.remove_prefix(kHeads.size());
  Ref ref{.label = std::string(kOtherLabel), .type = "branch"};
  if (branch_name.empty()) {
    ref.type = "unknown";
    return ref;
  }
  if (branch_name.starts_with("refs/tags/")) {
    ref.type = "tag";
  } else if (branch_name.starts_with("refs/pull/") ||
             (branch_name.starts_with(kPullRequest) &&
              IsNumber(branch_name.substr(kPullRequest.size())))) {
    ref.type = "pull_request";
  }
  if (branch_name.size() > kMaxRefBytes) return ref;
  const re2::StringPiece text(branch_name.data(), branch_name.size());
  ref.listed = std::any_of(patterns_.begin(), patterns_.end(),
                           [&text](const auto& pattern) { return RE2::FullMatch(text, *pattern); });
  if (ref.listed) ref.label = CleanLabelValue(branch_name);
  return ref;
}

bool RunCounter::Exports(std::string_view family) const {
  const CiFamilySpec* spec = FindCiFamily(family);
  return spec != nullptr && spec->level <= level_;
}

// One pipeline being counted.
class RunCounter::Counting {
 public:
  Counting(const RunCounter& counter, const Project& project, const CollectedPipeline& collected)
      : counter_(counter),
        project_(project),
        collected_(collected),
        pipeline_(collected.pipeline),
        organization_label_(CleanLabelValue(project.organization)),
        project_label_(CleanLabelValue(project.name)),
        file_(CleanLabelValue(PipelineFile(pipeline_))),
        ref_(counter.refs_.Classify(pipeline_.branch_name())),
        created_(TimeOf(pipeline_.has_create_time(), pipeline_.create_time())),
        done_(TimeOf(pipeline_.has_done_time(), pipeline_.done_time())) {}

  Counted Count(const Memory& memory, absl::Time now) {
    CountRun();
    CountPhases();
    CountReruns();
    CountWorkflow(memory, now);
    CountFlaky(memory, now);
    CountRecovery(memory, now);
    if (counter_.Exports(kBlockRuns)) CountBlocks();
    if (counter_.Exports(kJobRuns)) CountJobs();
    return std::move(counted_);
  }

 private:
  // Labels after organization and project.
  void Add(std::string_view family, std::vector<std::string> more, double value = 1,
           bool exemplar = false) {
    if (!counter_.Exports(family)) return;
    Increment increment;
    increment.family = family;
    increment.labels = {organization_label_, project_label_};
    for (std::string& each : more) increment.labels.push_back(std::move(each));
    increment.value = value;
    if (exemplar) {
      increment.exemplar = Exemplar{CleanLabelValue(pipeline_.pipeline_id()),
                                    CleanLabelValue(pipeline_.workflow_id()), value,
                                    done_.value_or(created_.value_or(absl::UnixEpoch()))};
    }
    counted_.increments.push_back(std::move(increment));
  }

  std::string ResultLabel() const { return std::string(ToWord(pipeline_.result())); }

  void CountRun() {
    Add(kPipelineRuns, {file_, ref_.label, std::string(ref_.type), ResultLabel()});
    if (pipeline_.result() == v1::PIPELINE_RESULT_FAILED) {
      Add(kFailures, {file_, std::string(ToWord(pipeline_.result_reason()))}, 1, true);
    }
    if (const auto seconds = SecondsBetween(created_, done_)) {
      Add(kRunDuration, {file_, ResultLabel()}, *seconds, true);
    }
  }

  void CountPhases() {
    const auto running = TimeOf(pipeline_.has_running_time(), pipeline_.running_time());
    const auto stopping = TimeOf(pipeline_.has_stopping_time(), pipeline_.stopping_time());
    const auto stopped_or_done = stopping.has_value() ? stopping : done_;
    const auto add = [this](std::string_view phase, std::optional<double> seconds) {
      if (seconds.has_value()) Add(kPhaseDuration, {file_, std::string(phase)}, *seconds, true);
    };
    add("pending", SecondsBetween(created_, running.has_value() ? running : stopped_or_done));
    add("executing", SecondsBetween(running, stopped_or_done));
    add("finalizing", SecondsBetween(stopping, done_));
  }

  void CountReruns() {
    if (!pipeline_.partial_rerun_of_pipeline_id().empty()) {
      Add(kReruns, {file_, "partial"});
    } else if (!pipeline_.triggerer().rerun_of_workflow_id().empty() && IsInitial(pipeline_)) {
      Add(kReruns, {file_, "full"});
    }
  }

  std::string Key(std::string_view kind, std::vector<std::string_view> parts) const {
    std::string key(kind);
    for (const std::string_view part :
         {std::string_view(project_.organization), std::string_view(project_.project_id)}) {
      key.append(1, kSeparator).append(part);
    }
    for (const std::string_view part : parts) key.append(1, kSeparator).append(part);
    return key;
  }

  void CountWorkflow(const Memory& memory, absl::Time now) {
    if (!IsInitial(pipeline_)) return;
    if (!pipeline_.workflow_id().empty()) {
      const std::string key = Key("workflow", {pipeline_.workflow_id()});
      if (memory(key).has_value()) return;
      counted_.memory.push_back({key, "1", now + kWorkflowMemory});
    }
    Add(kWorkflowRuns,
        {std::string(ref_.type), std::string(ToWord(pipeline_.triggerer().workflow_trigger()))});
  }

  // What a commit's runs of this file were so far: F, P, or FP once it was counted.
  void CountFlaky(const Memory& memory, absl::Time now) {
    const bool failed = pipeline_.result() == v1::PIPELINE_RESULT_FAILED;
    if (!failed && pipeline_.result() != v1::PIPELINE_RESULT_PASSED) return;
    if (pipeline_.commit_sha().empty()) return;
    const std::string key = Key("commit", {file_, pipeline_.commit_sha()});
    const std::string before = memory(key).value_or("");
    std::string after = before;
    if (after.empty()) {
      after = failed ? "F" : "P";
    } else if (after != "FP" && after != (failed ? "F" : "P")) {
      after = "FP";
      Add(kFlaky, {file_});
    }
    if (after != before) counted_.memory.push_back({key, after, now + kCommitMemory});
  }

  void CountRecovery(const Memory& memory, absl::Time now) {
    const bool passed = pipeline_.result() == v1::PIPELINE_RESULT_PASSED;
    if (!passed && pipeline_.result() != v1::PIPELINE_RESULT_FAILED) return;
    if (!ref_.listed || !done_.has_value()) return;
    const std::string key = Key("outcomes", {file_, ref_.label});
    std::vector<Outcome> outcomes = ParseOutcomes(memory(key).value_or(""));
    Outcome this_run{.done_us = absl::ToUnixMicros(*done_),
                     .passed = passed,
                     .counted = false,
                     .key = CleanLabelValue(PipelineKey(pipeline_))};
    const auto earlier = [](const Outcome& a, const Outcome& b) {
      return std::pair(a.done_us, a.key) < std::pair(b.done_us, b.key);
    };
    // What came between it and a full memory's first is forgotten.
    const bool full = outcomes.size() >= kMaxOutcomes;
    if (full && earlier(this_run, outcomes.front())) return;
    outcomes.insert(std::upper_bound(outcomes.begin(), outcomes.end(), this_run, earlier),
                    this_run);
    const Outcome* first_failed = nullptr;
    for (Outcome& each : outcomes) {
      if (!each.passed) {
        if (first_failed == nullptr) first_failed = &each;
        continue;
      }
      if (first_failed != nullptr && !each.counted) {
        each.counted = true;
        const double seconds =
            absl::ToDoubleSeconds(absl::Microseconds(each.done_us - first_failed->done_us));
        Add(kRecovery, {file_, ref_.label}, seconds, each.key == this_run.key);
      }
      first_failed = nullptr;
    }
    Trim(outcomes);
    counted_.memory.push_back({key, ToText(outcomes), now + kOutcomeMemory});
  }

  std::vector<std::string> RunLabels(std::string_view result) const {
    return {file_, ref_.label, std::string(ref_.type), std::string(result)};
  }

  void CountBlocks() {
    for (const v1::Block& block : pipeline_.blocks()) {
      if (block.state() != v1::BLOCK_STATE_DONE && block.state() != v1::BLOCK_STATE_UNSPECIFIED) {
        continue;
      }
      std::vector<std::string> labels = RunLabels(ToWord(block.result()));
      labels.push_back(CleanLabelValue(block.name()));
      Add(kBlockRuns, std::move(labels));
    }
  }

  void AddJob(std::string_view block, std::string_view job, v1::JobResult result) {
    std::vector<std::string> labels = RunLabels(ToWord(result));
    labels.push_back(CleanLabelValue(block));
    labels.push_back(JobLabel(job));
    Add(kJobRuns, std::move(labels));
  }

  // A job itself knows better than its block, which lags.
  void CountJobs() {
    std::map<std::string_view, const v1::Job*> jobs;
    for (const v1::Job& job : collected_.jobs) jobs.emplace(job.job_id(), &job);
    std::set<std::string_view> seen;
    for (const v1::Block& block : pipeline_.blocks()) {
      for (const v1::BlockJob& job : block.jobs()) {
        if (!job.job_id().empty() && !seen.insert(job.job_id()).second) continue;
        const auto known = job.job_id().empty() ? jobs.end() : jobs.find(job.job_id());
        const bool finished =
            known != jobs.end() && known->second->state() == v1::JOB_STATE_FINISHED;
        if (finished) {
          AddJob(block.name(), job.name(), known->second->result());
        } else if (job.state() == v1::BLOCK_JOB_STATE_FINISHED) {
          AddJob(block.name(), job.name(), job.result());
        }
      }
    }
    for (const auto& [id, job] : jobs) {
      if (job->state() != v1::JOB_STATE_FINISHED) continue;
      // One of no block: what runs before the first or after the last.
      if (seen.count(id) == 0) AddJob("", job->name(), job->result());
      const auto created = TimeOf(job->has_create_time(), job->create_time());
      const auto started = TimeOf(job->has_start_time(), job->start_time());
      const auto finished = TimeOf(job->has_finish_time(), job->finish_time());
      if (const auto queued = SecondsBetween(created, started)) {
        Add(kJobQueue, {file_}, *queued, true);
      }
      if (const auto ran = SecondsBetween(started, finished)) Add(kJobRun, {file_}, *ran, true);
    }
  }

  const RunCounter& counter_;
  const Project& project_;
  const CollectedPipeline& collected_;
  const v1::Pipeline& pipeline_;
  const std::string organization_label_;
  const std::string project_label_;
  const std::string file_;
  const RefRules::Ref ref_;
  const std::optional<absl::Time> created_;
  const std::optional<absl::Time> done_;
  Counted counted_;
};

Counted RunCounter::CountPipeline(const Project& project, const CollectedPipeline& collected,
                                  const Memory& memory, absl::Time now) const {
  return Counting(*this, project, collected).Count(memory, now);
}

Counted RunCounter::CountPromotion(const Project& project,
                                   const CollectedPromotion& collected) const {
  Counted counted;
  if (!Exports(kPromotions)) return counted;
  const v1::Promotion& promotion = collected.promotion;
  counted.increments.push_back(
      {.family = kPromotions,
       .labels = {CleanLabelValue(project.organization), CleanLabelValue(project.name),
                  CleanLabelValue(promotion.name()), std::string(ToWord(promotion.state())),
                  collected.automatic ? "auto" : "manual"},
       .exemplar = std::nullopt});
  return counted;
}

Counted RunCounter::CountDeployment(const Project& project,
                                    const CollectedDeployment& collected) const {
  Counted counted;
  const std::string organization = CleanLabelValue(project.organization);
  const std::string name = CleanLabelValue(project.name);
  const std::string target = CleanLabelValue(collected.target);
  // One whose pipeline could not be started has failed, and has no pipeline to say so.
  const bool not_started = collected.result == v1::PIPELINE_RESULT_UNSPECIFIED &&
                           collected.deployment.state() == v1::DEPLOYMENT_STATE_FAILED;
  const v1::PipelineResult result = not_started ? v1::PIPELINE_RESULT_FAILED : collected.result;
  if (Exports(kDeployments)) {
    counted.increments.push_back(
        {.family = kDeployments,
         .labels = {organization, name, target, std::string(ToWord(result)),
                    collected.automatic ? "auto" : "manual"},
         .exemplar = std::nullopt});
  }
  const bool passed = result == v1::PIPELINE_RESULT_PASSED;
  if (!passed || !collected.workflow_created.has_value() || !Exports(kLeadTime)) return counted;
  const double seconds = *SecondsBetween(collected.workflow_created, collected.done);
  counted.increments.push_back(
      {.family = kLeadTime,
       .labels = {organization, name, target},
       .value = seconds,
       .exemplar = Exemplar{CleanLabelValue(collected.deployment.pipeline_id()), "", seconds,
                            collected.done}});
  return counted;
}

namespace {

// Series of one project with one word each of closed sets.
class Zeros {
 public:
  explicit Zeros(const RunCounter::Project& project)
      : organization_(CleanLabelValue(project.organization)),
        project_(CleanLabelValue(project.name)) {}

  void Add(std::string_view family, std::vector<std::string> more) {
    ZeroSeries zero{.family = family, .labels = {organization_, project_}};
    for (std::string& each : more) zero.labels.push_back(std::move(each));
    out_.push_back(std::move(zero));
  }

  std::vector<ZeroSeries> Take() { return std::move(out_); }

 private:
  const std::string organization_;
  const std::string project_;
  std::vector<ZeroSeries> out_;
};

}  // namespace

std::vector<ZeroSeries> RunCounter::PipelineZeros(const Project& project, std::string_view pipeline,
                                                  std::string_view branch_name) const {
  const RefRules::Ref ref = refs_.Classify(branch_name);
  if (!ref.listed) return {};
  Zeros zeros(project);
  const std::string file = CleanLabelValue(pipeline);
  const std::string type(ref.type);
  for (const std::string_view trigger : kTriggers) {
    zeros.Add(kWorkflowRuns, {type, std::string(trigger)});
  }
  if (Exports(kPipelineRuns)) {
    for (const std::string_view result : kResultWords) {
      zeros.Add(kPipelineRuns, {file, ref.label, type, std::string(result)});
      zeros.Add(kRunDuration, {file, std::string(result)});
    }
    for (const std::string_view reason : kReasons) {
      zeros.Add(kFailures, {file, std::string(reason)});
    }
    for (const std::string_view phase : kPhases) {
      zeros.Add(kPhaseDuration, {file, std::string(phase)});
    }
    for (const std::string_view kind : kRerunKinds) zeros.Add(kReruns, {file, std::string(kind)});
    zeros.Add(kRecovery, {file, ref.label});
    zeros.Add(kFlaky, {file});
  }
  if (Exports(kJobRuns)) {
    zeros.Add(kJobQueue, {file});
    zeros.Add(kJobRun, {file});
  }
  return zeros.Take();
}

std::vector<ZeroSeries> RunCounter::PipelineZeros(const Project& project,
                                                  const CollectedPipeline& collected) const {
  const v1::Pipeline& pipeline = collected.pipeline;
  const std::string file = PipelineFile(pipeline);
  std::vector<ZeroSeries> out = PipelineZeros(project, file, pipeline.branch_name());
  if (out.empty() || !Exports(kBlockRuns)) return out;
  const RefRules::Ref ref = refs_.Classify(pipeline.branch_name());
  const std::vector<std::string> labels = {CleanLabelValue(file), ref.label, std::string(ref.type)};
  Zeros zeros(project);
  const auto add = [&zeros, &labels](std::string_view family, std::string_view result,
                                     std::vector<std::string> more) {
    std::vector<std::string> all = labels;
    all.emplace_back(result);
    for (std::string& each : more) all.push_back(std::move(each));
    zeros.Add(family, std::move(all));
  };
  for (const v1::Block& block : pipeline.blocks()) {
    const std::string name = CleanLabelValue(block.name());
    for (const std::string_view result : kResultWords) add(kBlockRuns, result, {name});
    if (!Exports(kJobRuns)) continue;
    std::set<std::string> jobs;
    for (const v1::BlockJob& job : block.jobs()) jobs.insert(JobLabel(job.name()));
    for (const std::string& job : jobs) {
      for (const std::string_view result : kJobResults) add(kJobRuns, result, {name, job});
    }
  }
  for (ZeroSeries& each : zeros.Take()) out.push_back(std::move(each));
  return out;
}

std::vector<ZeroSeries> RunCounter::TargetZeros(const Project& project,
                                                std::string_view target) const {
  Zeros zeros(project);
  const std::string label = CleanLabelValue(target);
  for (const std::string_view result : kResultWords) {
    for (const std::string_view who : kWho) {
      zeros.Add(kDeployments, {label, std::string(result), std::string(who)});
    }
  }
  zeros.Add(kLeadTime, {label});
  return zeros.Take();
}

}  // namespace semaphore::gateway
