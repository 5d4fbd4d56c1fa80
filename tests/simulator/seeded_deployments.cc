// The deployment targets that a simulator starts with: one in each state, one with a long history,
// and more of them where more are asked for.
#include <array>
#include <string>

#include "tests/simulator/world.h"

namespace semaphore::simulator {
namespace {

constexpr absl::Duration kBetweenDeployments = absl::Minutes(7);

std::vector<ObjectRule> AllObjects() {
  return {{.type = "BRANCH", .match_mode = "ALL", .pattern = ""},
          {.type = "TAG", .match_mode = "ALL", .pattern = ""},
          {.type = "PR", .match_mode = "ALL", .pattern = ""}};
}

Deployment SeededDeployment(const SeededIds& seeded, const WellKnownIds& ids, int age,
                            absl::Time start) {
  const auto key = static_cast<uint64_t>(age);
  const uint64_t draw = seeded.Number("deployment", key);
  const std::array<std::pair<const char*, const char*>, 3> references = {
      {{"branch", "master"}, {"tag", "v1.0"}, {"pr", "7"}}};
  const auto& [type, label] = references[draw % references.size()];
  const std::string environment = draw / 8 % 2 == 0 ? "production" : "staging";
  const std::string version = "1." + std::to_string(age);
  Deployment deployment;
  deployment.id = seeded.Uuid("deployment", key);
  deployment.target_name = "Deploy to " + environment;
  deployment.prev_pipeline_id = ids.done_pipeline;
  deployment.triggered_by = draw / 16 % 3 == 0 ? "Pipeline Done request" : ids.user;
  deployment.switch_id = seeded.Uuid("deployment switch", key);
  deployment.state = "STARTED";
  if (age == 0) {
    deployment.state = "PENDING";
  } else if (age % 5 == 4) {
    deployment.state = "FAILED";
    deployment.state_message = "The pipeline file could not be read.";
  } else {
    deployment.pipeline_id = seeded.Uuid("deployed pipeline", key);
  }
  deployment.triggered_at = start - kBetweenDeployments * (age + 1) +
                            absl::Microseconds(static_cast<int64_t>(draw / 64 % 1'000'000));
  deployment.git_ref_type = type;
  deployment.git_ref_label = label;
  deployment.parameters = {environment, version, ""};
  deployment.env_vars = {{"ENVIRONMENT", environment}, {"VERSION", version}};
  return deployment;
}

}  // namespace

void World::SeedDeployments(const SimulatorOptions& options, absl::Time start) {
  const std::array<std::pair<const char*, std::string*>, 5> well_known = {
      {{"usable", &ids_.usable_target},
       {"cordoned", &ids_.cordoned_target},
       {"syncing", &ids_.syncing_target},
       {"unusable", &ids_.unusable_target},
       {"deployed", &ids_.deployed_target}}};
  for (int i = 0; i < options.deployment_targets; i++) {
    const auto key = static_cast<uint64_t>(i);
    DeploymentTarget target;
    target.id = seeded_.Uuid("deployment target", key);
    target.name = "target-" + std::to_string(i + 1);
    target.description = "Target " + std::to_string(i + 1);
    target.url = "https://target-" + std::to_string(i + 1) + ".example.com";
    target.project_id = ids_.project;
    target.created_by = ids_.user;
    target.updated_by = ids_.user;
    target.unique_token = seeded_.Uuid("deployment target token", key);
    target.subject_rules = {{.type = "ANY", .subject_id = ""}};
    target.object_rules = AllObjects();
    target.created_at = start - absl::Hours(24 * 30) + absl::Seconds(i);
    target.updated_at = target.created_at;
    if (key < well_known.size()) {
      target.name = well_known[key].first;
      *well_known[key].second = target.id;
    }
    if (target.name == "usable") {
      target.secrets = Secrets{.env_vars = {{"LEVEL", "high"}, {"REGION", "eu"}},
                               .files = {{"/etc/my.conf", "a2V5PXZhbHVlCg=="}}};
      target.subject_rules = {{.type = "USER", .subject_id = ids_.user},
                              {.type = "AUTO", .subject_id = ""}};
      target.object_rules = {{.type = "BRANCH", .match_mode = "EXACT", .pattern = "master"},
                             {.type = "TAG", .match_mode = "REGEX", .pattern = "^v1.*$"}};
    }
    target.cordoned = target.name == "cordoned";
    if (target.name == "syncing") target.synced_at = absl::InfiniteFuture();
    if (target.name == "deployed") target.bookmark_parameters = {"ENVIRONMENT", "VERSION", ""};
    deployments_.AddSeeded(std::move(target));
  }
  for (int age = options.deployments - 1; age >= 0; age--) {
    deployments_.AddDeployment(ids_.deployed_target, SeededDeployment(seeded_, ids_, age, start));
  }
}

}  // namespace semaphore::simulator
