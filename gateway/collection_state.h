// What the collector last saw of each organization and project, and the state families of the
// catalogue made from it. They are rebuilt whole, so that nothing which is gone stays on the page.
// Pure; the collector publishes each part as an immutable value.
#ifndef SEMAPHORE_GATEWAY_COLLECTION_STATE_H_
#define SEMAPHORE_GATEWAY_COLLECTION_STATE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gateway/active_pipelines.h"
#include "gateway/ci_catalog.h"
#include "gateway/ci_series.h"
#include "gateway/last_run.h"
#include "semaphore/v1/agent.pb.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/pipeline.pb.h"

namespace semaphore::gateway {

// initializing, pending, queuing, running, stopping: v1::PipelineState without its ends.
inline constexpr size_t kActiveStates = 5;

struct TargetState {
  std::string name;
  v1::DeploymentTargetState state = v1::DEPLOYMENT_TARGET_STATE_UNSPECIFIED;
  std::optional<absl::Time> last_passed;  // end of the last deployment that passed
};

struct ProjectState {
  static constexpr size_t kMaxLastRuns = 2000;

  std::string organization;
  std::string name;
  std::string project_id;
  std::map<std::string, std::array<int64_t, kActiveStates>> active;  // by pipeline file
  std::array<std::optional<absl::Time>, kActiveStates> oldest;       // creation, by state
  std::map<std::pair<std::string, std::string>, LastRun> last_runs;  // by pipeline file and ref
  std::vector<TargetState> targets;

  // Replaces what was known of active pipelines; files of last runs get zeros.
  void SetActive(const ActivePipelines& pipelines);
  // True when that changed something; `ref` is the label of a listed one.
  bool AddRun(const std::string& file, const std::string& ref, const LastRun& run);
  // Lets go of those that were done before `time`.
  void ForgetRuns(absl::Time time);
};

struct OrganizationState {
  std::string name;
  bool up = false;
  std::map<std::pair<std::string, std::string>, int64_t> agents;    // by agent type and state
  std::map<std::pair<std::string, std::string>, int64_t> versions;  // by agent type and version

  // All agents; every type of `types` has its zeros.
  void SetAgents(const std::vector<std::string>& types, const std::vector<v1::Agent>& agents);
};

struct CollectionState {
  std::vector<std::shared_ptr<const OrganizationState>> organizations;
  std::vector<std::shared_ptr<const ProjectState>> projects;
};

struct StateFamilies {
  std::vector<CiFamily> families;  // in the order of the catalogue
  uint64_t overflow = 0;           // series left out because their family was full
};

// Both as configured; see SeriesCap.
struct StateBounds {
  CiLevel level = CiLevel::kPipeline;
  size_t max_series = kDefaultMaxSeries;
};
StateFamilies MakeStateFamilies(const CollectionState& state, StateBounds bounds);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COLLECTION_STATE_H_
