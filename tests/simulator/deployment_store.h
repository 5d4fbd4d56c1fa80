// Deployment targets and what was deployed to them: who owns which name and token, what may be
// changed when, and how a target's state follows from the time (facts, section 5.7). It knows
// nothing of HTTP or JSON. Not thread-safe.
#ifndef SEMAPHORE_TESTS_SIMULATOR_DEPLOYMENT_STORE_H_
#define SEMAPHORE_TESTS_SIMULATOR_DEPLOYMENT_STORE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace semaphore::simulator {

struct SubjectRule {
  std::string type;  // USER, ROLE, GROUP, AUTO, ANY
  std::string subject_id;
};

struct ObjectRule {
  std::string type;        // BRANCH, TAG, PR
  std::string match_mode;  // ALL, EXACT, REGEX
  std::string pattern;
};

// Values and contents as they were sent.
struct Secrets {
  std::vector<std::pair<std::string, std::string>> env_vars;
  std::vector<std::pair<std::string, std::string>> files;
};

struct DeploymentTarget {
  std::string id;
  std::string name;
  std::string description;
  std::string url;
  std::string project_id;
  std::string created_by;
  std::string updated_by;
  std::string unique_token;  // of the last change
  std::array<std::string, 3> bookmark_parameters;
  std::vector<SubjectRule> subject_rules;
  std::vector<ObjectRule> object_rules;
  std::optional<Secrets> secrets;  // storing, changing and deleting them takes a while
  bool cordoned = false;
  absl::Time created_at;
  absl::Time updated_at;
  absl::Time synced_at = absl::InfinitePast();  // SYNCING before
  bool leaves = false;                          // vanishes when it is synced

  // SYNCING, CORDONED, USABLE or UNUSABLE.
  std::string_view StateAt(absl::Time now) const;
  std::string_view StateMessageAt(absl::Time now) const;
  absl::Time UpdatedAt(absl::Time now) const;  // the end of syncing counts
};

struct Deployment {
  std::string id;
  std::string target_name;  // of the promotion, not of the deployment target
  std::string prev_pipeline_id;
  std::string pipeline_id;  // empty until it is started
  std::string triggered_by;
  std::string switch_id;
  absl::Time decided_at = absl::InfinitePast();  // PENDING and without a pipeline before
  std::string_view state;                        // PENDING, STARTED, FAILED
  std::string state_message;
  absl::Time triggered_at;
  std::string git_ref_type;  // branch, tag, pr
  std::string git_ref_label;
  std::array<std::string, 3> parameters;  // values of what the target bookmarks; empty: none
  std::vector<std::pair<std::string, std::string>> env_vars;
};

class DeploymentStore {
 public:
  static constexpr size_t kMaxTargets = 20'000;
  static constexpr absl::Duration kSyncingLength = absl::Seconds(2);

  // Lets go the targets whose deletion is through; to be called before anything below.
  void AdvanceTo(absl::Time now);

  // In order of their names.
  std::vector<const DeploymentTarget*> TargetsOf(std::string_view project_id) const;

  // Null when there is none.
  const DeploymentTarget* Find(std::string_view id) const;
  const DeploymentTarget* FindByName(std::string_view project_id, std::string_view name) const;

  // Another one at each call, for the ids of targets to create.
  uint64_t NextNumber() { return next_number_++; }

  // Each takes the target as it shall be, its id, token and project included, and the time. When
  // some target holds the token already, that one is the result and nothing changes. Errors:
  // INVALID_ARGUMENT for a name that is malformed or taken, FAILED_PRECONDITION while it is
  // SYNCING, RESOURCE_EXHAUSTED when the store is full.
  //
  // A target whose name starts with "syncing" never ends to sync; see StateAt for "unusable".
  absl::StatusOr<const DeploymentTarget*> Create(DeploymentTarget target, absl::Time now);
  // With `secrets_change` it syncs again.
  absl::StatusOr<const DeploymentTarget*> Update(DeploymentTarget target, bool secrets_change,
                                                 absl::Time now);

  // At once, or after syncing when the target has secrets. The result is the id of the target that
  // goes or that holds the token.
  absl::StatusOr<std::string> Delete(std::string_view id, const std::string& unique_token,
                                     absl::Time now);
  absl::Status Cordon(std::string_view id, bool cordoned, absl::Time now);

  // Without any of the checks above.
  void AddSeeded(DeploymentTarget target);

  // To be called in order of time.
  void AddDeployment(std::string_view target_id, Deployment deployment);

  // Newest first.
  const std::deque<Deployment>& DeploymentsTo(std::string_view target_id) const;

 private:
  DeploymentTarget* FindMutable(std::string_view id) const;
  const DeploymentTarget* FindByToken(const std::string& unique_token) const;
  absl::Status CheckName(const DeploymentTarget& target) const;
  void Hold(DeploymentTarget& target, const std::string& unique_token);
  void Remove(const std::string& id);

  std::unordered_map<std::string, std::unique_ptr<DeploymentTarget>> target_by_id_;
  std::unordered_map<std::string, std::map<std::string, const DeploymentTarget*, std::less<>>>
      target_by_name_by_project_;
  std::unordered_map<std::string, const DeploymentTarget*> target_by_token_;
  std::vector<std::string> leaving_;
  uint64_t next_number_ = 0;
  std::unordered_map<std::string, std::deque<Deployment>> deployments_by_target_;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_DEPLOYMENT_STORE_H_
