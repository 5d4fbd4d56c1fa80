#include "gateway/collection_state.h"

#include <algorithm>
#include <string_view>

#include "gateway/label_value.h"

namespace semaphore::gateway {
namespace {

constexpr std::array<std::string_view, kActiveStates> kActiveWords = {
    "initializing", "pending", "queuing", "running", "stopping"};
// In the order of v1::DeploymentTargetState.
constexpr std::array<std::string_view, 5> kTargetWords = {"unknown", "syncing", "usable",
                                                          "unusable", "cordoned"};
constexpr std::array<std::string_view, 2> kAgentWords = {"waiting_for_job", "running_job"};

std::optional<size_t> ActiveIndex(v1::PipelineState state) {
  const int index = static_cast<int>(state) - static_cast<int>(v1::PIPELINE_STATE_INITIALIZING);
  if (index < 0 || index >= static_cast<int>(kActiveStates)) return std::nullopt;
  return static_cast<size_t>(index);
}

double Seconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

// One family under construction. Two values that are the same label once cleaned become one series,
// because a page with a series twice is refused whole.
class FamilyBuilder {
 public:
  FamilyBuilder(std::string_view name, StateBounds bounds)
      : spec_(FindCiFamily(name)), max_series_(bounds.max_series) {
    if (spec_ != nullptr && spec_->level > bounds.level) spec_ = nullptr;
  }

  void Add(std::vector<std::string> labels, double value) {
    if (double* const at = Find(std::move(labels))) *at += value;
  }
  void Set(std::vector<std::string> labels, double value) {
    if (double* const at = Find(std::move(labels))) *at = value;
  }

  void AppendTo(StateFamilies& out) {
    out.overflow += overflow_;
    if (spec_ == nullptr || series_.empty()) return;
    CiFamily family{.name = spec_->name, .series = {}};
    family.series.reserve(series_.size());
    for (auto& [labels, value] : series_) {
      CiSeries series;
      series.labels = labels;
      series.value = value;
      family.series.push_back(std::move(series));
    }
    out.families.push_back(std::move(family));
  }

 private:
  double* Find(std::vector<std::string> labels) {
    if (spec_ == nullptr) return nullptr;
    for (std::string& label : labels) label = CleanLabelValue(label);
    const auto found = series_.find(labels);
    if (found != series_.end()) return &found->second;
    if (series_.size() >= SeriesCap(*spec_, max_series_)) {
      ++overflow_;
      return nullptr;
    }
    return &series_[std::move(labels)];
  }

  const CiFamilySpec* spec_;  // null: not at this level
  const size_t max_series_;
  std::map<std::vector<std::string>, double> series_;
  uint64_t overflow_ = 0;
};

using Projects = std::vector<std::shared_ptr<const ProjectState>>;

void AddActive(const Projects& projects, StateBounds bounds, StateFamilies& out) {
  FamilyBuilder active("semaphoreci_pipelines_active", bounds);
  FamilyBuilder oldest("semaphoreci_pipeline_oldest_active_timestamp_seconds", bounds);
  for (const auto& project : projects) {
    for (const auto& [file, counts] : project->active) {
      for (size_t i = 0; i < kActiveStates; ++i) {
        active.Add({project->organization, project->name, file, std::string(kActiveWords[i])},
                   static_cast<double>(counts[i]));
      }
    }
    for (size_t i = 0; i < kActiveStates; ++i) {
      if (!project->oldest[i].has_value()) continue;
      oldest.Set({project->organization, project->name, std::string(kActiveWords[i])},
                 Seconds(*project->oldest[i]));
    }
  }
  active.AppendTo(out);
  oldest.AppendTo(out);
}

void AddLastRuns(const Projects& projects, StateBounds bounds, StateFamilies& out) {
  FamilyBuilder result("semaphoreci_pipeline_last_result", bounds);
  FamilyBuilder time("semaphoreci_pipeline_last_run_timestamp_seconds", bounds);
  FamilyBuilder duration("semaphoreci_pipeline_last_run_duration_seconds", bounds);
  for (const auto& project : projects) {
    for (const auto& [key, run] : project->last_runs) {
      const std::vector<std::string> labels = {project->organization, project->name, key.first,
                                               key.second};
      for (const std::string_view word : kResultWords) {
        std::vector<std::string> with_result = labels;
        with_result.emplace_back(word);
        result.Set(std::move(with_result), word == ToWord(run.result) ? 1 : 0);
      }
      time.Set(labels, Seconds(run.done));
      duration.Set(labels, absl::ToDoubleSeconds(run.duration));
    }
  }
  result.AppendTo(out);
  time.AppendTo(out);
  duration.AppendTo(out);
}

void AddTargets(const Projects& projects, StateBounds bounds, StateFamilies& out) {
  FamilyBuilder state("semaphoreci_deployment_target_state", bounds);
  FamilyBuilder last("semaphoreci_deployment_last_timestamp_seconds", bounds);
  for (const auto& project : projects) {
    for (const TargetState& target : project->targets) {
      const auto index = static_cast<size_t>(target.state);
      const std::string_view word = index < kTargetWords.size() ? kTargetWords[index] : "unknown";
      for (const std::string_view each : kTargetWords) {
        state.Set({project->organization, project->name, target.name, std::string(each)},
                  each == word ? 1 : 0);
      }
      if (target.last_passed.has_value()) {
        last.Set({project->organization, project->name, target.name}, Seconds(*target.last_passed));
      }
    }
  }
  state.AppendTo(out);
  last.AppendTo(out);
}

void AddOrganizations(const CollectionState& collection, StateBounds bounds, StateFamilies& out) {
  FamilyBuilder agents("semaphoreci_agents", bounds);
  FamilyBuilder versions("semaphoreci_agent_versions", bounds);
  FamilyBuilder info("semaphoreci_project_info", bounds);
  FamilyBuilder up("semaphoreci_up", bounds);
  for (const auto& organization : collection.organizations) {
    for (const auto& [key, count] : organization->agents) {
      agents.Add({organization->name, key.first, key.second}, static_cast<double>(count));
    }
    for (const auto& [key, count] : organization->versions) {
      versions.Add({organization->name, key.first, key.second}, static_cast<double>(count));
    }
    up.Set({organization->name}, organization->up ? 1 : 0);
  }
  for (const auto& project : collection.projects) {
    if (project->project_id.empty()) continue;
    info.Set({project->organization, project->name, project->project_id}, 1);
  }
  agents.AppendTo(out);
  versions.AppendTo(out);
  info.AppendTo(out);
  up.AppendTo(out);
}

}  // namespace

void ProjectState::SetActive(const ActivePipelines& pipelines) {
  active.clear();
  oldest = {};
  for (const auto& [key, run] : last_runs) active.try_emplace(key.first);
  for (const auto& [id, known] : pipelines.known()) {
    const std::optional<size_t> index = ActiveIndex(known.state);
    if (!index.has_value()) continue;
    ++active[known.file][*index];
    std::optional<absl::Time>& since = oldest[*index];
    if (!since.has_value() || known.created < *since) since = known.created;
  }
}

bool ProjectState::AddRun(const std::string& file, const std::string& ref, const LastRun& run) {
  const auto found = last_runs.find({file, ref});
  if (found == last_runs.end()) {
    return last_runs.size() < kMaxLastRuns && last_runs.emplace(std::pair(file, ref), run).second;
  }
  const LastRun before = found->second;
  found->second.Add(run);
  return !(found->second == before);
}

void ProjectState::ForgetRuns(absl::Time time) {
  std::erase_if(last_runs, [time](const auto& each) { return each.second.done < time; });
}

void OrganizationState::SetAgents(const std::vector<std::string>& types,
                                  const std::vector<v1::Agent>& all) {
  agents.clear();
  versions.clear();
  const auto zeros = [this](const std::string& type) {
    for (const std::string_view word : kAgentWords) agents.try_emplace({type, std::string(word)});
  };
  for (const std::string& type : types) zeros(type);
  for (const v1::Agent& agent : all) {
    zeros(agent.agent_type_name());
    // Upstream knows no third state of a connected agent.
    const bool waits = agent.state() == v1::AGENT_STATE_WAITING_FOR_JOB;
    ++agents[{agent.agent_type_name(), std::string(kAgentWords[waits ? 0 : 1])}];
    ++versions[{agent.agent_type_name(), agent.version()}];
  }
}

StateFamilies MakeStateFamilies(const CollectionState& state, StateBounds bounds) {
  StateFamilies out;
  AddActive(state.projects, bounds, out);
  AddLastRuns(state.projects, bounds, out);
  AddTargets(state.projects, bounds, out);
  AddOrganizations(state, bounds, out);
  return out;
}

}  // namespace semaphore::gateway
