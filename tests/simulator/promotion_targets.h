// What the pipelines of the simulated service can be promoted to: one fixed set of targets, the
// same for every switch, among them one for each way in which triggering can be refused. Pure; it
// triggers nothing.
#ifndef SEMAPHORE_TESTS_SIMULATOR_PROMOTION_TARGETS_H_
#define SEMAPHORE_TESTS_SIMULATOR_PROMOTION_TARGETS_H_

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace semaphore::simulator {

struct PromotionParameter {
  std::string_view name;
  bool required = false;
  std::span<const std::string_view> options = {};  // empty: any text
};

struct PromotionTarget {
  std::string_view name;
  std::string_view pipeline_file;
  std::span<const PromotionParameter> parameters = {};
  // Each promotion deploys to the deployment target of that name, where its project has one.
  std::string_view deployment_target = {};
  std::string_view refusal = {};  // by the deployment target in front of it; empty: none
  bool schedules = true;          // false: triggering works, and then no pipeline can be scheduled
};

// "Staging", "Production", "Rollback", "Unschedulable" and the refused ones; null for others.
const PromotionTarget* FindPromotionTarget(std::string_view name);

// Whether every parameter is one of the target's, with a value that it takes, and none that the
// target requires is missing.
bool TakesParameters(const PromotionTarget& target,
                     const std::vector<std::pair<std::string, std::string>>& parameters);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_PROMOTION_TARGETS_H_
