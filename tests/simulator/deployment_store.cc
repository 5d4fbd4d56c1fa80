#include "tests/simulator/deployment_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"

namespace semaphore::simulator {
namespace {

constexpr size_t kMaxNameBytes = 255;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
                  c == '-';
         });
}

absl::Time SyncedAt(const DeploymentTarget& target, absl::Time now) {
  return target.name.starts_with("syncing") ? absl::InfiniteFuture()
                                            : now + DeploymentStore::kSyncingLength;
}

absl::Status Syncing() { return absl::FailedPreconditionError("Invalid state: SYNCING"); }

}  // namespace

// A target whose name starts with "unusable" is one, as if its secrets could not be stored.
std::string_view DeploymentTarget::StateAt(absl::Time now) const {
  if (now < synced_at) return "SYNCING";
  if (cordoned) return "CORDONED";
  return name.starts_with("unusable") ? "UNUSABLE" : "USABLE";
}

std::string_view DeploymentTarget::StateMessageAt(absl::Time now) const {
  return now >= synced_at && name.starts_with("unusable") ? "The secrets could not be stored." : "";
}

absl::Time DeploymentTarget::UpdatedAt(absl::Time now) const {
  return now >= synced_at ? std::max(updated_at, synced_at) : updated_at;
}

void DeploymentStore::AdvanceTo(absl::Time now) {
  std::erase_if(leaving_, [&](const std::string& id) {
    const DeploymentTarget* target = Find(id);
    if (now < target->synced_at) return false;
    Remove(id);
    return true;
  });
}

std::vector<const DeploymentTarget*> DeploymentStore::TargetsOf(std::string_view project_id) const {
  std::vector<const DeploymentTarget*> targets;
  const auto found = target_by_name_by_project_.find(std::string(project_id));
  if (found == target_by_name_by_project_.end()) return targets;
  for (const auto& [name, target] : found->second) targets.push_back(target);
  return targets;
}

DeploymentTarget* DeploymentStore::FindMutable(std::string_view id) const {
  const auto found = target_by_id_.find(absl::AsciiStrToLower(std::string(id)));
  return found == target_by_id_.end() ? nullptr : found->second.get();
}

const DeploymentTarget* DeploymentStore::Find(std::string_view id) const { return FindMutable(id); }

const DeploymentTarget* DeploymentStore::FindByName(std::string_view project_id,
                                                    std::string_view name) const {
  const auto project = target_by_name_by_project_.find(std::string(project_id));
  if (project == target_by_name_by_project_.end()) return nullptr;
  const auto found = project->second.find(name);
  return found == project->second.end() ? nullptr : found->second;
}

const DeploymentTarget* DeploymentStore::FindByToken(const std::string& unique_token) const {
  const auto found = target_by_token_.find(unique_token);
  return found == target_by_token_.end() ? nullptr : found->second;
}

// All that the service says of a name that it does not like.
absl::Status DeploymentStore::CheckName(const DeploymentTarget& target) const {
  const DeploymentTarget* owner = FindByName(target.project_id, target.name);
  if (!IsName(target.name) || (owner != nullptr && owner->id != target.id)) {
    return absl::InvalidArgumentError("Changeset error");
  }
  return absl::OkStatus();
}

// A target holds the token of its last change only: older ones are free again.
void DeploymentStore::Hold(DeploymentTarget& target, const std::string& unique_token) {
  target_by_token_.erase(target.unique_token);
  target.unique_token = unique_token;
  target_by_token_[unique_token] = &target;
}

void DeploymentStore::AddSeeded(DeploymentTarget target) {
  const std::string id = target.id;
  const std::string token = target.unique_token;
  auto owned = std::make_unique<DeploymentTarget>(std::move(target));
  target_by_name_by_project_[owned->project_id][owned->name] = owned.get();
  Hold(*owned, token);
  target_by_id_[id] = std::move(owned);
}

absl::StatusOr<const DeploymentTarget*> DeploymentStore::Create(DeploymentTarget target,
                                                                absl::Time now) {
  const DeploymentTarget* holder = FindByToken(target.unique_token);
  if (holder != nullptr) return holder;
  const absl::Status name_is_good = CheckName(target);
  if (!name_is_good.ok()) return name_is_good;
  if (target_by_id_.size() >= kMaxTargets) {
    return absl::ResourceExhaustedError("the store is full");
  }
  target.created_at = now;
  target.updated_at = now;
  target.synced_at = SyncedAt(target, now);
  const std::string id = target.id;
  AddSeeded(std::move(target));
  return Find(id);
}

absl::StatusOr<const DeploymentTarget*> DeploymentStore::Update(DeploymentTarget target,
                                                                bool secrets_change,
                                                                absl::Time now) {
  const DeploymentTarget* holder = FindByToken(target.unique_token);
  if (holder != nullptr) return holder;
  DeploymentTarget& existing = *FindMutable(target.id);
  if (now < existing.synced_at) return Syncing();
  const absl::Status name_is_good = CheckName(target);
  if (!name_is_good.ok()) return name_is_good;

  auto& by_name = target_by_name_by_project_[existing.project_id];
  by_name.erase(existing.name);
  const std::string token = target.unique_token;
  target.unique_token = existing.unique_token;
  // The end of the last syncing stays a moment of change that is already past.
  target.updated_at = now;
  if (secrets_change) target.synced_at = SyncedAt(target, now);
  existing = std::move(target);
  by_name[existing.name] = &existing;
  Hold(existing, token);
  return &existing;
}

absl::StatusOr<std::string> DeploymentStore::Delete(std::string_view id,
                                                    const std::string& unique_token,
                                                    absl::Time now) {
  const DeploymentTarget* holder = FindByToken(unique_token);
  if (holder != nullptr) return holder->id;
  DeploymentTarget& target = *FindMutable(id);
  if (now < target.synced_at) return Syncing();
  std::string gone = target.id;
  if (!target.secrets) {
    Remove(gone);
    return gone;
  }
  Hold(target, unique_token);
  target.updated_at = now;
  target.synced_at = SyncedAt(target, now);
  target.leaves = true;
  leaving_.push_back(gone);
  return gone;
}

absl::Status DeploymentStore::Cordon(std::string_view id, bool cordoned, absl::Time now) {
  DeploymentTarget& target = *FindMutable(id);
  if (now < target.synced_at) return Syncing();
  if (target.cordoned == cordoned) return absl::OkStatus();
  target.cordoned = cordoned;
  target.updated_at = now;
  return absl::OkStatus();
}

void DeploymentStore::Remove(const std::string& id) {
  const auto found = target_by_id_.find(id);
  const DeploymentTarget& target = *found->second;
  target_by_name_by_project_[target.project_id].erase(target.name);
  target_by_token_.erase(target.unique_token);
  deployments_by_target_.erase(id);
  target_by_id_.erase(found);
}

void DeploymentStore::AddDeployment(std::string_view target_id, Deployment deployment) {
  deployments_by_target_[std::string(target_id)].push_front(std::move(deployment));
}

const std::deque<Deployment>& DeploymentStore::DeploymentsTo(std::string_view target_id) const {
  static const std::deque<Deployment> kNone;
  const auto found = deployments_by_target_.find(std::string(target_id));
  return found == deployments_by_target_.end() ? kNone : found->second;
}

}  // namespace semaphore::simulator
