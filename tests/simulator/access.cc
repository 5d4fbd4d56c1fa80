#include "tests/simulator/access.h"

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "tests/simulator/parameters.h"
#include "tests/simulator/replies.h"

namespace semaphore::simulator {
namespace {

constexpr std::array<std::pair<std::string_view, Access>, 8> kWords = {{
    {"full", Access::kFull},
    {"read_only", Access::kReadOnly},
    {"no_permission", Access::kNoPermission},
    {"no_deployment_targets", Access::kNoDeploymentTargets},
    {"no_advanced_deployment_targets", Access::kNoAdvancedDeploymentTargets},
    {"ip_not_allowed", Access::kIpNotAllowed},
    {"auth_outage", Access::kAuthOutage},
    {"unknown_organization", Access::kUnknownOrganization},
}};

enum class Form {
  kHidden,       // 404, as if it did not exist
  kDenied,       // 401, which is not about the token
  kDeniedJson,   // the same as an object
  kHiddenAsJob,  // 404 in the words of grpc-gateway
};

struct Area {
  std::string_view root;  // behind /api/v1alpha/
  Form form;
};

// POST /yaml is not among them: it asks for no permission.
constexpr std::array<Area, 10> kAreas = {{
    {"plumber-workflows", Form::kHidden},
    {"pipelines", Form::kHidden},
    {"promotions", Form::kHidden},
    {"deployment_targets", Form::kDenied},
    {"artifacts_retention_policies", Form::kDenied},
    {"self_hosted_agent_types", Form::kDenied},
    {"agents", Form::kDenied},
    {"logs", Form::kDenied},
    {"projects", Form::kDeniedJson},
    {"jobs", Form::kHiddenAsJob},
}};

constexpr std::string_view kApiRoot = "/api/v1alpha/";

std::string_view RestOf(std::string_view path) {
  return path.starts_with(kApiRoot) ? path.substr(kApiRoot.size()) : std::string_view();
}

const Area* AreaOf(std::string_view path) {
  const std::string_view rest = RestOf(path);
  const std::string_view root = rest.substr(0, rest.find('/'));
  for (const Area& area : kAreas) {
    if (area.root == root) return &area;
  }
  return nullptr;
}

// Reading the digests of secrets needs the permission to change them.
bool Changes(const Request& request) {
  if (request.method != "GET") return true;
  for (const auto& [name, value] : ParseForm(QueryOf(request.target))) {
    if (name == "include_secrets") {
      const std::string word = absl::AsciiStrToLower(value);
      return word == "true" || word == "yes";
    }
  }
  return false;
}

Reply JobReply(int status, int code, const std::string& message) {
  return {.status = status,
          .headers = {{"content-type", "application/json"}},
          .body = boost::json::serialize(boost::json::object{
              {"code", code}, {"message", message}, {"details", boost::json::array()}})};
}

// Jobs of others are left out of lists and do not exist otherwise; only what makes a job or opens
// one says so.
std::optional<Reply> RefusalOfJobs(Access access, const Request& request) {
  const std::string_view path = PathOf(request.target);
  std::string_view rest = RestOf(path).substr(std::string_view("jobs").size());
  if (rest.starts_with('/')) rest.remove_prefix(1);
  const bool opens = rest.ends_with("/debug") || rest.ends_with("/debug_ssh_key") ||
                     rest.starts_with("project_debug/");
  if (opens || (request.method == "POST" && rest.empty())) {
    return JobReply(403, 7, "Permission denied");
  }
  // Stopping a job asks only whether it is visible.
  if (access == Access::kReadOnly) return std::nullopt;
  if (rest.empty()) {
    Reply reply = JobReply(200, 0, "");
    reply.body = R"({"jobs":[],"next_page_token":""})";
    return reply;
  }
  return JobReply(404, 5, "Job " + std::string(rest.substr(0, rest.find('/'))) + " not found");
}

Reply FeatureIsOff(std::string_view feature) {
  return PlainTextReply(403, "The " + std::string(feature) +
                                 " feature is not enabled for your organization; it is part of "
                                 "other plans.");
}

// Rules about anybody but everybody are the advanced feature.
bool UsesAdvancedRules(const Request& request) {
  const absl::StatusOr<boost::json::object> parameters = ParseParameters(request);
  if (!parameters.ok()) return false;
  const boost::json::value* rules = parameters->if_contains("subject_rules");
  if (rules == nullptr || !rules->is_array()) return false;
  if (rules->get_array().size() != 1 || !rules->get_array()[0].is_object()) return true;
  const boost::json::value* type = rules->get_array()[0].get_object().if_contains("type");
  return type == nullptr || *type != "ANY";
}

}  // namespace

std::optional<Access> AccessFromWord(std::string_view word) {
  for (const auto& [known, access] : kWords) {
    if (known == word) return access;
  }
  return std::nullopt;
}

std::string_view AccessWord(Access access) {
  for (const auto& [word, known] : kWords) {
    if (known == access) return word;
  }
  return "";
}

std::string AccessWords() {
  std::string words;
  for (const auto& [word, access] : kWords) {
    if (!words.empty()) words += ", ";
    words += word;
  }
  return words;
}

std::optional<Reply> RefusalAtTheDoor(Access access, const Request& request) {
  switch (access) {
    case Access::kAuthOutage:
      return Reply{.status = 403, .headers = {}, .body = {}};
    case Access::kIpNotAllowed:
      return Reply{.status = 404,
                   .headers = {},
                   .body =
                       "  The security settings of this organization do not allow your current "
                       "IP address (127.0.0.1).\n"
                       "  If this is a mistake, ask an administrator of the organization or "
                       "our support team.\n"};
    case Access::kUnknownOrganization:
      // The log store's door has another way to say it.
      if (request.target.starts_with("/api/v1/logs/")) {
        return Reply{.status = 401, .headers = {}, .body = "Unauthorized"};
      }
      return Reply{.status = 404, .headers = {}, .body = "Not Found"};
    default:
      return std::nullopt;
  }
}

std::optional<Reply> RefusalOfArea(Access access, const Request& request) {
  const Area* area = AreaOf(PathOf(request.target));
  if (area == nullptr) return std::nullopt;
  if (area->root == "deployment_targets") {
    if (access == Access::kNoDeploymentTargets) return FeatureIsOff("deployment targets");
    if (access == Access::kNoAdvancedDeploymentTargets && UsesAdvancedRules(request)) {
      return FeatureIsOff("advanced deployment targets");
    }
  }
  if (access != Access::kNoPermission && (access != Access::kReadOnly || !Changes(request))) {
    return std::nullopt;
  }
  switch (area->form) {
    case Form::kHidden:
      return RawTextReply(404, "Not Found");
    case Form::kDenied:
      return RawTextReply(401, "Permission denied");
    case Form::kDeniedJson:
      // A list leaves out what the caller may not see.
      if (RestOf(PathOf(request.target)) == "projects" && request.method == "GET") {
        return std::nullopt;
      }
      return RawTextReply(401, R"({"message":"Unauthorized"})");
    case Form::kHiddenAsJob:
      return RefusalOfJobs(access, request);
  }
  return std::nullopt;
}

}  // namespace semaphore::simulator
