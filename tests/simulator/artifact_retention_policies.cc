// GET and POST /artifacts_retention_policies (facts, section 5.8). Ages are kept as days and
// written anew, so that "7 days" comes back as "1 week".
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"
#include "tests/simulator/uuid_text.h"

namespace semaphore::simulator {
namespace {

constexpr size_t kMaxRules = 10;
constexpr size_t kMaxSelectorBytes = 100;
constexpr int kMaxAge = 12;

// Parallel to RetentionPolicy.
constexpr std::array<const char*, 3> kLevels = {"project_level_retention_policies",
                                                "workflow_level_retention_policies",
                                                "job_level_retention_policies"};

struct Unit {
  std::string_view word;
  int64_t days;
};
constexpr std::array<Unit, 4> kUnits = {{{"year", 365}, {"month", 30}, {"week", 7}, {"day", 1}}};

// "2 weeks" is 14. A plural for one and a singular for many are fine, too. The reference knows no
// days.
std::optional<int64_t> DaysOf(std::string_view age, Dialect dialect) {
  const size_t space = age.find(' ');
  if (space == std::string_view::npos || age.front() == '0') return std::nullopt;
  const std::string count(age.substr(0, space));
  int number = 0;
  if (count.find_first_not_of("0123456789") != std::string::npos ||
      !absl::SimpleAtoi(count, &number) || number < 1 || number > kMaxAge) {
    return std::nullopt;
  }
  for (const Unit& unit : kUnits) {
    if (unit.days == 1 && dialect == Dialect::kReference) continue;
    const std::string_view word = age.substr(space + 1);
    if (word == unit.word || word == std::string(unit.word) + "s") return number * unit.days;
  }
  return std::nullopt;
}

// In the largest unit that divides it.
std::string AgeOf(int64_t days) {
  for (const Unit& unit : kUnits) {
    if (days % unit.days != 0) continue;
    const int64_t count = days / unit.days;
    return std::to_string(count) + " " + std::string(unit.word) + (count == 1 ? "" : "s");
  }
  return {};
}

Reply PolicyReply(const RetentionPolicy& policy) {
  boost::json::object json;
  for (size_t level = 0; level < kLevels.size(); level++) {
    boost::json::array rules;
    for (const RetentionRule& rule : policy[level]) {
      rules.push_back(
          boost::json::object{{"selector", rule.selector}, {"age", AgeOf(rule.age_days)}});
    }
    json[kLevels[level]] = std::move(rules);
  }
  return JsonReply(json);
}

// The refusal of a project id that is missing, malformed or unknown.
std::optional<Reply> RefuseProject(const Service& service, const std::string& id) {
  if (id.empty()) return RawTextReply(400, "project_id must be present");
  if (!IsUuidText(id)) return RawTextReply(400, "project id must be a valid UUID");
  const Project* project = service.world.FindProject(id);
  if (project == nullptr || project->deleted) return RawTextReply(404, "Not found");
  return std::nullopt;
}

std::string TextIn(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::optional<Reply> ReadRule(const boost::json::value& item, Dialect dialect,
                              RetentionRule& rule) {
  constexpr std::string_view kExamples = "5 days, 1 week, 2 weeks, 3 months, 4 years";
  if (!item.is_object()) return RawTextReply(500, "Something went wrong");
  rule.selector = TextIn(item.get_object(), "selector");
  if (rule.selector.empty()) {
    return RawTextReply(400, "the 'selector' filed must be a non-empty string");
  }
  const std::string age = TextIn(item.get_object(), "age");
  if (age.empty()) {
    return RawTextReply(
        400, "the 'age' fields must be a string, valid examples: " + std::string(kExamples));
  }
  const std::optional<int64_t> days = DaysOf(age, dialect);
  if (!days) {
    return RawTextReply(
        400, "invalid 'age' value: '" + age + "' - valid examples: " + std::string(kExamples));
  }
  rule.age_days = *days;
  return std::nullopt;
}

// What the service in front checks, in raw text.
std::optional<Reply> ReadPolicy(const Call& call, Dialect dialect, RetentionPolicy& policy) {
  bool any = false;
  for (const char* level : kLevels) {
    const boost::json::value* rules = call.parameters.if_contains(level);
    any = any || (rules != nullptr && rules->is_array() && !rules->get_array().empty());
  }
  if (!any) {
    return RawTextReply(400, "at least one retention policy configuration must be defined");
  }
  for (size_t level = 0; level < kLevels.size(); level++) {
    const boost::json::value* rules = call.parameters.if_contains(kLevels[level]);
    if (rules == nullptr || rules->is_null()) continue;
    if (!rules->is_array()) return RawTextReply(500, "Something went wrong");
    for (const boost::json::value& item : rules->get_array()) {
      RetentionRule rule;
      std::optional<Reply> refusal = ReadRule(item, dialect, rule);
      if (refusal) return refusal;
      policy[level].push_back(std::move(rule));
    }
  }
  return std::nullopt;
}

// What the service behind checks, which makes it a JSON string.
std::optional<Reply> RefuseTooMuch(const RetentionPolicy& policy) {
  for (const std::vector<RetentionRule>& rules : policy) {
    if (rules.size() > kMaxRules) {
      return JsonStringReply(400, "retention policy must have less than 10 rules");
    }
    for (const RetentionRule& rule : rules) {
      if (rule.selector.size() > kMaxSelectorBytes) {
        return JsonStringReply(400, "retention policy selector length must be less than 100 long");
      }
    }
  }
  return std::nullopt;
}

Reply Describe(Service& service, const Call& call) {
  const std::string& project_id = call.InPath("project_id");
  std::optional<Reply> refusal = RefuseProject(service, project_id);
  if (refusal) return *std::move(refusal);
  const RetentionPolicies& policies = service.world.retention_policies();
  const auto found = policies.find(project_id);
  return PolicyReply(found == policies.end() ? RetentionPolicy() : found->second);
}

// Replaces all three lists.
Reply Configure(Service& service, const Call& call) {
  const std::string project_id = call.Text("project_id");
  if (project_id.empty() || !IsUuidText(project_id)) return *RefuseProject(service, project_id);
  RetentionPolicy policy;
  std::optional<Reply> refusal = ReadPolicy(call, service.options.dialect, policy);
  if (!refusal) refusal = RefuseProject(service, project_id);
  if (!refusal) refusal = RefuseTooMuch(policy);
  if (refusal) return *std::move(refusal);
  service.world.retention_policies()[project_id] = policy;
  return PolicyReply(policy);
}

}  // namespace

void AddArtifactRetentionPolicyRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/artifacts_retention_policies";
  router.Add("POST", root, [&service](const Call& call) { return Configure(service, call); });
  router.Add("GET", root + "/:project_id",
             [&service](const Call& call) { return Describe(service, call); });
}

}  // namespace semaphore::simulator
