#include "tests/simulator/promotion_targets.h"

#include <algorithm>
#include <array>

namespace semaphore::simulator {
namespace {

constexpr std::array<std::string_view, 2> kRegions = {"eu", "us"};
constexpr std::array<PromotionParameter, 2> kProductionParameters = {
    PromotionParameter{.name = "VERSION"},
    PromotionParameter{.name = "REGION", .options = kRegions}};
constexpr std::array<PromotionParameter, 1> kRollbackParameters = {
    PromotionParameter{.name = "TO_VERSION", .required = true}};

constexpr std::string_view kProductionFile = ".semaphore/production.yml";

constexpr std::array<PromotionTarget, 10> kTargets = {
    PromotionTarget{.name = "Staging",
                    .pipeline_file = ".semaphore/staging.yml",
                    .deployment_target = "staging"},
    PromotionTarget{.name = "Production",
                    .pipeline_file = kProductionFile,
                    .parameters = kProductionParameters,
                    .deployment_target = "production"},
    PromotionTarget{.name = "Rollback",
                    .pipeline_file = ".semaphore/rollback.yml",
                    .parameters = kRollbackParameters},
    PromotionTarget{.name = "Unschedulable",
                    .pipeline_file = ".semaphore/missing.yml",
                    .deployment_target = "production",
                    .schedules = false},
    PromotionTarget{.name = "Syncing target",
                    .pipeline_file = kProductionFile,
                    .refusal = "deployment target is syncing"},
    PromotionTarget{.name = "Corrupted target",
                    .pipeline_file = kProductionFile,
                    .refusal = "deployment target is corrupted"},
    PromotionTarget{.name = "Cordoned target",
                    .pipeline_file = kProductionFile,
                    .refusal = "deployment target is cordoned"},
    PromotionTarget{.name = "Banned subject",
                    .pipeline_file = kProductionFile,
                    .refusal = "subject not allowed"},
    PromotionTarget{
        .name = "Banned object", .pipeline_file = kProductionFile, .refusal = "object not allowed"},
    PromotionTarget{.name = "Missing target",
                    .pipeline_file = kProductionFile,
                    .refusal = "deployment target not found"}};

}  // namespace

const PromotionTarget* FindPromotionTarget(std::string_view name) {
  const auto* const found = std::ranges::find(kTargets, name, &PromotionTarget::name);
  return found == kTargets.end() ? nullptr : found;
}

bool TakesParameters(const PromotionTarget& target,
                     const std::vector<std::pair<std::string, std::string>>& parameters) {
  for (const auto& [name, value] : parameters) {
    const auto known = std::ranges::find(target.parameters, name, &PromotionParameter::name);
    if (known == target.parameters.end()) return false;
    if (!known->options.empty() &&
        std::ranges::find(known->options, value) == known->options.end()) {
      return false;
    }
  }
  return std::ranges::all_of(target.parameters, [&](const PromotionParameter& parameter) {
    return !parameter.required || std::ranges::any_of(parameters, [&](const auto& given) {
      return given.first == parameter.name;
    });
  });
}

}  // namespace semaphore::simulator
