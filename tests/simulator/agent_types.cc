// The six endpoints of /self_hosted_agent_types (facts, section 5.5).
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"

namespace semaphore::simulator {
namespace {

constexpr int64_t kLeastReleaseAfterSeconds = 60;
constexpr std::string_view kNamePattern = "^s1-[a-zA-Z0-9-_]+$";

bool NameIsGood(std::string_view name) {
  constexpr std::string_view kPrefix = "s1-";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return false;
  for (const char c : name.substr(kPrefix.size())) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') return false;
  }
  return true;
}

boost::json::object TypeJson(const AgentType& type, Dialect dialect, int agents) {
  boost::json::object settings{
      {"assignment_origin",
       type.settings.from_aws ? "assignment_origin_aws_sts" : "assignment_origin_agent"},
      {"release_after", type.settings.release_after_seconds}};
  if (type.settings.from_aws) {
    settings["aws"] =
        boost::json::object{{"account_id", type.settings.aws_account_id},
                            {"role_name_patterns", type.settings.aws_role_name_patterns}};
  } else if (dialect == Dialect::kReal) {
    settings["aws"] = nullptr;  // the reference's samples leave it out
  }
  return {{"metadata", boost::json::object{{"name", type.name},
                                           {"create_time", absl::ToUnixSeconds(type.created_at)},
                                           {"update_time", absl::ToUnixSeconds(type.updated_at)}}},
          {"spec", boost::json::object{{"agent_name_settings", settings}}},
          {"status", boost::json::object{{"total_agent_count", agents}}}};
}

// The value at `outer`.`inner` of the body; null when either is missing or null.
const boost::json::value* InBody(const Call& call, std::string_view outer, std::string_view inner) {
  const boost::json::value* value = call.parameters.if_contains(outer);
  if (value == nullptr || !value->is_object()) return nullptr;
  value = value->get_object().if_contains(inner);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string TextIn(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

// A 400, or a 500 for what upstream cannot put into its own messages.
Reply Refusal(const absl::Status& status) {
  const bool internal = absl::IsInternal(status);
  return JsonStringReply(internal ? 500 : 400,
                         internal ? "Internal error" : std::string(status.message()));
}

absl::Status CheckAws(const AgentNameSettings& settings, bool has_aws) {
  if (!settings.from_aws) {
    if (!settings.aws_account_id.empty()) {
      return absl::InvalidArgumentError(
          "AWS account ID is not allowed for ASSIGNMENT_ORIGIN_AGENT");
    }
    if (!settings.aws_role_name_patterns.empty()) {
      return absl::InvalidArgumentError(
          "AWS role name patterns are not allowed for ASSIGNMENT_ORIGIN_AGENT");
    }
    return absl::OkStatus();
  }
  if (!has_aws) return absl::InvalidArgumentError("AWS information missing");
  if (settings.aws_account_id.empty()) {
    return absl::InvalidArgumentError("AWS account cannot be empty");
  }
  if (settings.aws_role_name_patterns.empty()) {
    return absl::InvalidArgumentError("AWS role name patterns cannot be empty");
  }
  return absl::OkStatus();
}

absl::Status ReadReleaseAfter(const boost::json::object& given, AgentNameSettings& settings) {
  const boost::json::value* value = given.if_contains("release_after");
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_int64()) return absl::InternalError("release_after is not a number");
  settings.release_after_seconds = value->get_int64();
  if (settings.release_after_seconds < 0) {
    return absl::InvalidArgumentError("name release hold must be 0 or greater than 60");
  }
  if (settings.release_after_seconds > 0 &&
      settings.release_after_seconds < kLeastReleaseAfterSeconds) {
    return absl::InvalidArgumentError("name release hold must be greater than 60");
  }
  return absl::OkStatus();
}

// What is not given has its default, also in an update.
absl::StatusOr<AgentNameSettings> SettingsIn(const Call& call) {
  AgentNameSettings settings;
  const boost::json::value* value = InBody(call, "spec", "agent_name_settings");
  if (value == nullptr) return settings;
  if (!value->is_object()) return absl::InvalidArgumentError("invalid assignment_origin ''");
  const boost::json::object& given = value->get_object();
  const std::string origin = given.contains("assignment_origin")
                                 ? TextIn(given, "assignment_origin")
                                 : std::string("assignment_origin_agent");
  const std::string word = absl::AsciiStrToLower(origin);
  if (word == "assignment_origin_aws_sts") {
    settings.from_aws = true;
  } else if (word == "assignment_origin_unspecified") {
    return absl::InvalidArgumentError("assignment origin not supported");
  } else if (word != "assignment_origin_agent") {
    return absl::InvalidArgumentError("invalid assignment_origin '" + origin + "'");
  }
  absl::Status read = ReadReleaseAfter(given, settings);
  if (!read.ok()) return read;
  const boost::json::value* aws = given.if_contains("aws");
  const bool has_aws = aws != nullptr && aws->is_object();
  if (has_aws) {
    settings.aws_account_id = TextIn(aws->get_object(), "account_id");
    settings.aws_role_name_patterns = TextIn(aws->get_object(), "role_name_patterns");
  }
  absl::Status checked = CheckAws(settings, has_aws);
  if (!checked.ok()) return checked;
  return settings;
}

// The name in the body, whatever the path says.
absl::StatusOr<std::string> NameIn(const Call& call) {
  const boost::json::value* name = InBody(call, "metadata", "name");
  if (name == nullptr) return absl::InvalidArgumentError("Name must be provided");
  if (!name->is_string()) return absl::InternalError("the name is not a text");
  return std::string(name->get_string());
}

Reply List(Service& service, const Call& call) {
  const AgentPool& pool = service.world.agents();
  const auto counts = pool.CountsAt(call.now);
  boost::json::array types;
  for (const AgentType& type : pool.types()) {
    const auto count = counts.find(type.name);
    types.push_back(
        TypeJson(type, service.options.dialect, count == counts.end() ? 0 : count->second));
  }
  return JsonReply(boost::json::object{{"agent_types", types}});
}

Reply Describe(Service& service, const Call& call) {
  const AgentPool& pool = service.world.agents();
  const AgentType* type = pool.FindType(call.InPath("name"));
  if (type == nullptr) return JsonStringReply(404, "agent type not found");
  const size_t agents = pool.AgentsAt(call.now, type->name).size();
  return JsonReply(TypeJson(*type, service.options.dialect, static_cast<int>(agents)));
}

Reply Create(Service& service, const Call& call) {
  const absl::StatusOr<std::string> given = NameIn(call);
  if (!given.ok()) return Refusal(given.status());
  const std::string name(absl::StripAsciiWhitespace(*given));
  if (!NameIsGood(name)) {
    return JsonStringReply(400, "The agent type name '" + *given +
                                    "' is invalid: must follow the pattern " +
                                    std::string(kNamePattern));
  }
  absl::StatusOr<AgentNameSettings> settings = SettingsIn(call);
  if (!settings.ok()) return Refusal(settings.status());
  AgentPool& pool = service.world.agents();
  if (pool.FindType(name) != nullptr) {
    return JsonStringReply(400, "agent type name must by unique in the organization");
  }
  const AgentType* type = pool.AddType(name, *std::move(settings), call.now);
  if (type == nullptr) return JsonStringReply(500, "Internal error");
  boost::json::object json = TypeJson(*type, service.options.dialect, 0);
  json["status"].as_object()["registration_token"] = service.world.seeded().CommitSha(
      service.world.seeded().Number("token" + name, pool.types().size()));
  return JsonReply(json);
}

Reply Update(Service& service, const Call& call) {
  const absl::StatusOr<std::string> name = NameIn(call);
  if (!name.ok()) return Refusal(name.status());
  AgentPool& pool = service.world.agents();
  if (pool.FindType(*name) == nullptr) return JsonStringReply(404, "record not found");
  absl::StatusOr<AgentNameSettings> settings = SettingsIn(call);
  if (!settings.ok()) return Refusal(settings.status());
  const AgentType* type = pool.UpdateType(*name, *std::move(settings), call.now);
  return JsonReply(TypeJson(*type, service.options.dialect, 0));  // upstream does not count here
}

Reply Delete(Service& service, const Call& call) {
  AgentPool& pool = service.world.agents();
  const std::string& name = call.InPath("name");
  if (pool.FindType(name) == nullptr) return JsonStringReply(404, "agent type not found");
  if (!pool.AgentsAt(call.now, name).empty()) {
    return JsonStringReply(400, "can't delete agent type with existing agents");
  }
  pool.DeleteType(name);
  return JsonReply(boost::json::object());
}

Reply DisableAll(Service& service, const Call& call) {
  bool only_idle = true;
  if (const boost::json::value* given = call.parameters.if_contains("only_idle")) {
    const std::string text = call.Text("only_idle");
    if (given->is_bool()) {
      only_idle = given->get_bool();
    } else if (given->is_string() && (text == "true" || text == "false")) {
      only_idle = text == "true";
    } else {
      return JsonStringReply(400, "Invalid 'only_idle': '" + text + "' is not a boolean.");
    }
  }
  service.world.agents().Disable(call.InPath("name"), only_idle, call.now);
  return JsonReply(boost::json::object());  // also when there is no such type
}

}  // namespace

void AddAgentTypeRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/self_hosted_agent_types";
  router.Add("GET", root, [&service](const Call& call) { return List(service, call); });
  router.Add("POST", root, [&service](const Call& call) { return Create(service, call); });
  router.Add("GET", root + "/:name",
             [&service](const Call& call) { return Describe(service, call); });
  router.Add("PATCH", root + "/:name",
             [&service](const Call& call) { return Update(service, call); });
  router.Add("DELETE", root + "/:name",
             [&service](const Call& call) { return Delete(service, call); });
  router.Add("POST", root + "/:name/disable_all",
             [&service](const Call& call) { return DisableAll(service, call); });
}

}  // namespace semaphore::simulator
