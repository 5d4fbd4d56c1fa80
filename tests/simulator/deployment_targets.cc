// /deployment_targets: list, describe, create, update, delete, activate and deactivate (facts,
// section 5.7).
#include <openssl/evp.h>

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "tests/simulator/deployment_json.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"
#include "tests/simulator/timestamps.h"
#include "tests/simulator/uuid_text.h"

namespace semaphore::simulator {
namespace {

using NamedValues = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kMaxNameLength = 255;

// What the simulated user is called at the git host.
constexpr std::string_view kGitLogin = "octocat";

std::string Md5Hex(const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_md5(), nullptr);
  return absl::BytesToHexString(std::string(reinterpret_cast<const char*>(digest.data()), size));
}

// ---- What is answered ----

boost::json::array SubjectRulesJson(const Service& service, const DeploymentTarget& target) {
  boost::json::array rules;
  for (const SubjectRule& rule : target.subject_rules) {
    boost::json::object json{{"type", rule.type}, {"subject_id", rule.subject_id}};
    if (rule.type == "USER" && rule.subject_id == service.world.ids().user &&
        service.options.dialect == Dialect::kReal) {
      json["git_login"] = kGitLogin;
    }
    rules.push_back(std::move(json));
  }
  return rules;
}

// `last_deployment` is for lists only.
boost::json::object TargetJson(const Service& service, const DeploymentTarget& target,
                               absl::Time now) {
  boost::json::array object_rules;
  for (const ObjectRule& rule : target.object_rules) {
    object_rules.push_back(boost::json::object{
        {"type", rule.type}, {"match_mode", rule.match_mode}, {"pattern", rule.pattern}});
  }
  return {{"id", target.id},
          {"name", target.name},
          {"description", target.description},
          {"url", target.url},
          {"organization_id", service.world.ids().organization},
          {"project_id", target.project_id},
          {"created_by", target.created_by},
          {"updated_by", target.updated_by},
          {"created_at", IsoText(target.created_at)},
          {"updated_at", IsoText(target.UpdatedAt(now))},
          {"state", target.StateAt(now)},
          {"state_message", target.StateMessageAt(now)},
          {"active", !target.cordoned},
          {"bookmark_parameter1", target.bookmark_parameters[0]},
          {"bookmark_parameter2", target.bookmark_parameters[1]},
          {"bookmark_parameter3", target.bookmark_parameters[2]},
          {"subject_rules", SubjectRulesJson(service, target)},
          {"object_rules", object_rules},
          {"last_deployment", nullptr}};
}

boost::json::array DigestsJson(const NamedValues& values, const char* name_key,
                               const char* value_key) {
  boost::json::array json;
  for (const auto& [name, value] : values) {
    json.push_back(boost::json::object{{name_key, name}, {value_key, Md5Hex(value)}});
  }
  return json;
}

Reply ErrorReply(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    return JsonStringReply(500, "Internal error");
  }
  return JsonStringReply(400, std::string(status.message()));
}

// ---- What is asked ----

bool IsMissing(const Call& call, std::string_view name) {
  const boost::json::value* value = call.parameters.if_contains(name);
  return value == nullptr || value->is_null();
}

// The refusal of a parameter that is there and no UUID.
std::optional<Reply> RefuseUnlessUuid(const Call& call, std::string_view name,
                                      const std::string& called) {
  if (IsMissing(call, name) || IsUuidText(call.Text(name))) return std::nullopt;
  return RawTextReply(400, called + " must be a valid UUID");
}

// The target that a path names, or the refusal.
struct FoundTarget {
  const DeploymentTarget* target = nullptr;
  Reply refusal;
};

FoundTarget FindTarget(Service& service, const Call& call) {
  DeploymentStore& store = service.world.deployments();
  store.AdvanceTo(call.now);
  const std::string& id = call.InPath("target_id");
  if (!IsUuidText(id)) {
    return {.target = nullptr, .refusal = RawTextReply(400, "target_id must be a valid UUID")};
  }
  const DeploymentTarget* target = store.Find(id);
  if (target == nullptr) return {.target = nullptr, .refusal = JsonStringReply(404, "Not found")};
  return {.target = target, .refusal = {}};
}

std::string TextIn(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool HasValue(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value != nullptr && !value->is_null();
}

// One of `words` in any case becomes that word; nothing for everything else.
std::optional<std::string> WordIn(const boost::json::object& object, std::string_view name,
                                  std::initializer_list<std::string_view> words) {
  const std::string upper = absl::AsciiStrToUpper(TextIn(object, name));
  for (const std::string_view word : words) {
    if (word == upper) return upper;
  }
  return std::nullopt;
}

// The refusal of a list of rules that are no objects or lack a key.
std::optional<Reply> RefuseUnlessRules(const Call& call, std::string_view name,
                                       std::initializer_list<std::string_view> keys) {
  if (IsMissing(call, name)) return std::nullopt;
  const boost::json::value& rules = call.parameters.at(name);
  bool proper = rules.is_array();
  for (size_t i = 0; proper && i < rules.get_array().size(); i++) {
    const boost::json::value& rule = rules.get_array()[i];
    proper = rule.is_object();
    for (const std::string_view key : keys) {
      proper = proper && rule.get_object().contains(key);
    }
  }
  if (proper) return std::nullopt;
  return RawTextReply(400, std::string(name) + " must be a list of proper objects");
}

// What upstream checks of a change before it looks at anything else.
std::optional<Reply> RefuseMalformed(const Call& call) {
  std::optional<Reply> refusal = RefuseUnlessUuid(call, "unique_token", "unique_token");
  if (!refusal) refusal = RefuseUnlessUuid(call, "project_id", "project id");
  if (!refusal) refusal = RefuseUnlessRules(call, "subject_rules", {"type"});
  if (!refusal) {
    refusal = RefuseUnlessRules(call, "object_rules", {"type", "match_mode", "pattern"});
  }
  return refusal;
}

// A user is known by id or by git login, and must be a member of the project: there is only one.
std::optional<Reply> ReadUserRule(const Service& service, const DeploymentTarget& target,
                                  const boost::json::object& json, SubjectRule& rule) {
  const std::string& member = service.world.ids().user;
  if (!HasValue(json, "subject_id")) {
    const std::string login = TextIn(json, "git_login");
    if (login != kGitLogin) {
      return JsonStringReply(400, "handle " + login + " can't be used as subject id");
    }
    rule.subject_id = member;
  } else if (absl::AsciiStrToLower(rule.subject_id) != member) {
    return JsonStringReply(400, "user \"" + rule.subject_id +
                                    "\" can't be added to subject rules for project \"" +
                                    target.project_id + "\" and organization \"" +
                                    service.world.ids().organization + "\"");
  }
  return std::nullopt;
}

std::optional<Reply> ReadSubjectRules(const Service& service, const Call& call,
                                      DeploymentTarget& target) {
  if (IsMissing(call, "subject_rules")) return std::nullopt;
  target.subject_rules.clear();
  for (const boost::json::value& item : call.parameters.at("subject_rules").get_array()) {
    const boost::json::object& json = item.get_object();
    const auto type = WordIn(json, "type", {"USER", "ROLE", "GROUP", "AUTO", "ANY"});
    if (!type) return RawTextReply(500, "Something went wrong");
    SubjectRule rule{.type = *type, .subject_id = TextIn(json, "subject_id")};
    const bool identified =
        HasValue(json, "subject_id") || (*type == "USER" && HasValue(json, "git_login"));
    if (*type != "AUTO" && *type != "ANY" && !identified) {
      return RawTextReply(500, "Something went wrong");
    }
    if (*type == "USER") {
      std::optional<Reply> refusal = ReadUserRule(service, target, json, rule);
      if (refusal) return refusal;
    }
    target.subject_rules.push_back(std::move(rule));
  }
  return std::nullopt;
}

std::optional<Reply> ReadObjectRules(const Call& call, DeploymentTarget& target) {
  if (IsMissing(call, "object_rules")) return std::nullopt;
  target.object_rules.clear();
  for (const boost::json::value& item : call.parameters.at("object_rules").get_array()) {
    const boost::json::object& json = item.get_object();
    const auto type = WordIn(json, "type", {"BRANCH", "TAG", "PR"});
    const auto match_mode = WordIn(json, "match_mode", {"ALL", "EXACT", "REGEX"});
    if (!type || !match_mode) return RawTextReply(500, "Something went wrong");
    target.object_rules.push_back(
        {.type = *type, .match_mode = *match_mode, .pattern = TextIn(json, "pattern")});
  }
  return std::nullopt;
}

// Everything but names and secrets; what is not there stays as it is.
std::optional<Reply> ReadFields(const Service& service, const Call& call,
                                DeploymentTarget& target) {
  const std::array<std::pair<const char*, std::string*>, 6> texts = {
      {{"name", &target.name},
       {"description", &target.description},
       {"url", &target.url},
       {"bookmark_parameter1", &target.bookmark_parameters[0]},
       {"bookmark_parameter2", &target.bookmark_parameters[1]},
       {"bookmark_parameter3", &target.bookmark_parameters[2]}}};
  for (const auto& [name, into] : texts) {
    if (!IsMissing(call, name)) *into = call.Text(name);
  }
  std::optional<Reply> refusal = ReadSubjectRules(service, call, target);
  if (!refusal) refusal = ReadObjectRules(call, target);
  return refusal;
}

NamedValues ReadValues(const Call& call, std::string_view list, std::string_view name_key,
                       std::string_view value_key) {
  NamedValues values;
  const boost::json::value* items = call.parameters.if_contains(list);
  if (items == nullptr || !items->is_array()) return values;
  for (const boost::json::value& item : items->get_array()) {
    if (!item.is_object()) continue;
    values.emplace_back(TextIn(item.get_object(), name_key), TextIn(item.get_object(), value_key));
  }
  return values;
}

Secrets ReadSecrets(const Call& call) {
  return {.env_vars = ReadValues(call, "env_vars", "name", "value"),
          .files = ReadValues(call, "files", "path", "content")};
}

// Of equal names the last one counts, in the order of names; a value that is the digest of the one
// before stands for that.
NamedValues Merged(const NamedValues& before, const NamedValues& after) {
  std::map<std::string, std::string> merged;
  for (const auto& [name, value] : after) merged[name] = value;
  for (const auto& [name, value] : before) {
    const auto found = merged.find(name);
    if (found != merged.end() && absl::AsciiStrToLower(found->second) == Md5Hex(value)) {
      found->second = value;
    }
  }
  return {merged.begin(), merged.end()};
}

// ---- The routes ----

Reply List(Service& service, const Call& call) {
  DeploymentStore& store = service.world.deployments();
  store.AdvanceTo(call.now);
  const bool by_name = !IsMissing(call, "target_name");
  const std::string name = call.Text("target_name");
  if (by_name && (name.empty() || name.size() > kMaxNameLength)) {
    return RawTextReply(400, "target_name must be string with length between 1 and 255");
  }
  const std::optional<Reply> refusal = RefuseUnlessUuid(call, "project_id", "project id");
  if (refusal) return *refusal;
  if (IsMissing(call, "project_id")) return RawTextReply(404, "Project not found");
  const std::string project_id = call.Text("project_id");
  const Project* project = service.world.FindProject(project_id);
  if (project == nullptr || project->deleted) return RawTextReply(404, "Not found");

  boost::json::array items;
  if (by_name) {
    const DeploymentTarget* target = store.FindByName(project_id, name);
    if (target != nullptr) items.push_back(TargetJson(service, *target, call.now));
    return JsonReply(items);
  }
  for (const DeploymentTarget* target : store.TargetsOf(project_id)) {
    boost::json::object json = TargetJson(service, *target, call.now);
    const auto& deployments = store.DeploymentsTo(target->id);
    if (!deployments.empty()) {
      json["last_deployment"] =
          DeploymentJson(*target, deployments.front(), service.options.dialect, call.now);
    }
    items.push_back(std::move(json));
  }
  return JsonReply(items);
}

Reply Describe(Service& service, const Call& call) {
  const auto [target, refusal] = FindTarget(service, call);
  if (target == nullptr) return refusal;
  boost::json::object json = TargetJson(service, *target, call.now);
  const std::string include = absl::AsciiStrToLower(call.Text("include_secrets"));
  if ((include == "true" || include == "yes") && service.options.dialect == Dialect::kReal) {
    const Secrets secrets = target->secrets.value_or(Secrets());
    json["env_vars"] = DigestsJson(secrets.env_vars, "name", "value");
    json["files"] = DigestsJson(secrets.files, "path", "content");
  }
  return JsonReply(json);
}

Reply Create(Service& service, const Call& call) {
  DeploymentStore& store = service.world.deployments();
  store.AdvanceTo(call.now);
  std::optional<Reply> refusal = RefuseMalformed(call);
  if (refusal) return *std::move(refusal);
  for (const char* name : {"unique_token", "name", "project_id"}) {
    const boost::json::value* value = call.parameters.if_contains(name);
    if (value == nullptr || !value->is_string()) {
      return JsonStringReply(
          400, "unique_token, name and project_id are required to create a deployment target");
    }
  }
  const Project* project = service.world.FindProject(call.Text("project_id"));
  if (project == nullptr || project->deleted) return RawTextReply(404, "Not found");

  DeploymentTarget target;
  target.unique_token = call.Text("unique_token");
  target.id = service.world.seeded().Uuid("created deployment target", store.NextNumber());
  target.project_id = project->id;
  target.created_by = service.world.ids().user;
  target.updated_by = service.world.ids().user;
  target.subject_rules = {{.type = "ANY", .subject_id = ""}};
  target.object_rules = {{.type = "BRANCH", .match_mode = "ALL", .pattern = ""},
                         {.type = "TAG", .match_mode = "ALL", .pattern = ""},
                         {.type = "PR", .match_mode = "ALL", .pattern = ""}};
  refusal = ReadFields(service, call, target);
  if (refusal) return *std::move(refusal);
  target.secrets = ReadSecrets(call);  // stored even when there are none
  const auto created = store.Create(std::move(target), call.now);
  if (!created.ok()) return ErrorReply(created.status());
  return JsonReply(TargetJson(service, **created, call.now));
}

Reply Update(Service& service, const Call& call) {
  std::optional<Reply> refusal = RefuseMalformed(call);
  if (refusal) return *std::move(refusal);
  const FoundTarget found = FindTarget(service, call);
  if (found.target == nullptr) return found.refusal;
  if (IsMissing(call, "unique_token")) {
    return JsonStringReply(400,
                           "target_id and unique_token are required to update a deployment target");
  }
  DeploymentTarget target = *found.target;
  target.unique_token = call.Text("unique_token");
  target.updated_by = service.world.ids().user;
  refusal = ReadFields(service, call, target);
  if (refusal) return *std::move(refusal);
  const bool secrets_change = !IsMissing(call, "env_vars") || !IsMissing(call, "files");
  if (secrets_change) {
    // Both are replaced, the one that is missing by nothing.
    const Secrets before = target.secrets.value_or(Secrets());
    const Secrets after = ReadSecrets(call);
    target.secrets = Secrets{.env_vars = Merged(before.env_vars, after.env_vars),
                             .files = Merged(before.files, after.files)};
  }
  const auto updated =
      service.world.deployments().Update(std::move(target), secrets_change, call.now);
  if (!updated.ok()) return ErrorReply(updated.status());
  return JsonReply(TargetJson(service, **updated, call.now));
}

Reply Delete(Service& service, const Call& call) {
  const std::optional<Reply> malformed = RefuseUnlessUuid(call, "unique_token", "unique_token");
  if (malformed) return *malformed;
  const auto [target, refusal] = FindTarget(service, call);
  if (target == nullptr) return refusal;
  if (IsMissing(call, "unique_token")) {
    return JsonStringReply(400,
                           "target_id and unique_token are required to delete a deployment target");
  }
  const auto deleted =
      service.world.deployments().Delete(target->id, call.Text("unique_token"), call.now);
  if (!deleted.ok()) return ErrorReply(deleted.status());
  return JsonReply(boost::json::object{{"target_id", *deleted}});
}

Reply Cordon(Service& service, const Call& call, bool cordoned) {
  const auto [target, refusal] = FindTarget(service, call);
  if (target == nullptr) return refusal;
  const absl::Status done = service.world.deployments().Cordon(target->id, cordoned, call.now);
  if (!done.ok()) return ErrorReply(done);
  return JsonReply(boost::json::object{{"target_id", target->id}, {"cordoned", cordoned}});
}

}  // namespace

void AddDeploymentTargetRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/deployment_targets";
  router.Add("GET", root, [&service](const Call& call) { return List(service, call); });
  router.Add("POST", root, [&service](const Call& call) { return Create(service, call); });
  const std::string one = root + "/:target_id";
  router.Add("GET", one, [&service](const Call& call) { return Describe(service, call); });
  router.Add("PATCH", one, [&service](const Call& call) { return Update(service, call); });
  router.Add("DELETE", one, [&service](const Call& call) { return Delete(service, call); });
  router.Add("PATCH", one + "/activate",
             [&service](const Call& call) { return Cordon(service, call, false); });
  router.Add("PATCH", one + "/deactivate",
             [&service](const Call& call) { return Cordon(service, call, true); });
}

}  // namespace semaphore::simulator
