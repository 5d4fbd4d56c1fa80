// GET /deployment_targets/:id/history (facts, section 5.7): ten at a time, newest first, with
// cursors of microseconds into the past (before) and the present (after).
#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstddef>
#include <iterator>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/simulator/deployment_json.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"
#include "tests/simulator/timestamps.h"
#include "tests/simulator/uuid_text.h"

namespace semaphore::simulator {
namespace {

constexpr ptrdiff_t kPageSize = 10;
constexpr size_t kMaxPatternBytes = 100;

enum class CursorType { kFirst, kAfter, kBefore };  // in the order of upstream's numbers

struct HistoryPage {
  std::vector<const Deployment*> deployments;
  int64_t before_micros = 0;
  int64_t after_micros = 0;
};

int64_t MicrosOf(const Deployment* deployment) {
  return absl::ToUnixMicros(deployment->triggered_at);
}

// "v1.*" matches all of "v1.7". What could take for ever is no expression, and then a plain text.
std::optional<std::regex> ExpressionOf(const std::string& pattern) {
  if (pattern.find_first_of(".+?[]{}|\\") == std::string::npos) return std::nullopt;
  for (const char* unsafe : {")+", ")*", "(?"}) {
    if (absl::StrContains(pattern, unsafe)) return std::nullopt;
  }
  try {
    return std::regex(pattern, std::regex::ECMAScript);
  } catch (const std::regex_error&) {
    return std::nullopt;
  }
}

// '*' and '%' stand for any text: "pro*on" matches "production".
bool MatchesWildcards(const std::string& pattern, std::string_view text) {
  const std::vector<std::string> parts =
      absl::StrSplit(absl::StrReplaceAll(pattern, {{"%", "*"}}), '*');
  if (!text.starts_with(parts.front())) return false;
  if (parts.size() == 1) return text.size() == parts.front().size();
  text.remove_prefix(parts.front().size());
  for (size_t i = 1; i + 1 < parts.size(); i++) {
    const size_t found = text.find(parts[i]);
    if (found == std::string_view::npos) return false;
    text.remove_prefix(found + parts[i].size());
  }
  return text.ends_with(parts.back());
}

class Filter {
 public:
  explicit Filter(const Call& call)
      : git_ref_type_(TextOf(call, "git_ref_type")),
        git_ref_label_(TextOf(call, "git_ref_label")),
        triggered_by_(TextOf(call, "triggered_by")) {
    for (size_t i = 0; i < patterns_.size(); i++) {
      patterns_[i] = TextOf(call, "parameter" + std::to_string(i + 1));
      if (patterns_[i].size() <= kMaxPatternBytes) expressions_[i] = ExpressionOf(patterns_[i]);
    }
  }

  bool LetsPass(const Deployment& deployment) const {
    if (!git_ref_type_.empty() && deployment.git_ref_type != git_ref_type_) return false;
    if (!git_ref_label_.empty() && deployment.git_ref_label != git_ref_label_) return false;
    if (!triggered_by_.empty() && deployment.triggered_by != triggered_by_) return false;
    for (size_t i = 0; i < patterns_.size(); i++) {
      if (!patterns_[i].empty() && !ParameterMatches(i, deployment.parameters[i])) return false;
    }
    return true;
  }

 private:
  // Blank is as good as missing.
  static std::string TextOf(const Call& call, const std::string& name) {
    const std::string text = call.Text(name);
    return absl::StripAsciiWhitespace(text).empty() ? "" : text;
  }

  bool ParameterMatches(size_t i, const std::string& value) const {
    const std::string& pattern = patterns_[i];
    if (pattern.size() > kMaxPatternBytes || value.empty()) return false;
    if (expressions_[i]) return std::regex_match(value, *expressions_[i]);
    return MatchesWildcards(pattern, value);
  }

  std::string git_ref_type_;
  std::string git_ref_label_;
  std::string triggered_by_;
  std::array<std::string, 3> patterns_;
  std::array<std::optional<std::regex>, 3> expressions_;
};

HistoryPage FirstPage(const std::vector<const Deployment*>& matching) {
  HistoryPage page;
  page.deployments.assign(matching.begin(),
                          matching.begin() + std::min(std::ssize(matching), kPageSize));
  if (std::ssize(matching) > kPageSize) page.before_micros = MicrosOf(page.deployments.back());
  return page;
}

// The newest one at or before the cursor is taken for the one that the cursor came from, and left
// out.
HistoryPage PageBefore(const std::vector<const Deployment*>& matching, int64_t micros) {
  const auto begin =
      std::find_if(matching.begin(), matching.end(),
                   [&](const Deployment* deployment) { return MicrosOf(deployment) <= micros; });
  HistoryPage page;
  if (begin == matching.end()) return page;
  const auto first = begin + 1;
  const ptrdiff_t left = matching.end() - first;
  page.deployments.assign(first, first + std::min(left, kPageSize));
  if (page.deployments.empty()) return page;
  page.after_micros = MicrosOf(page.deployments.front());
  if (left > kPageSize) page.before_micros = MicrosOf(page.deployments.back());
  return page;
}

// The same towards the present; only a cursor older than everything leaves nothing out.
HistoryPage PageAfter(const std::vector<const Deployment*>& matching, int64_t micros,
                      bool cursor_is_oldest) {
  std::vector<const Deployment*> oldest_first;
  for (auto deployment = matching.rbegin(); deployment != matching.rend(); ++deployment) {
    if (MicrosOf(*deployment) >= micros) oldest_first.push_back(*deployment);
  }
  HistoryPage page;
  const size_t begin = cursor_is_oldest ? 0 : 1;
  if (oldest_first.size() <= begin) return page;
  const size_t end = std::min(begin + static_cast<size_t>(kPageSize), oldest_first.size());
  if (!cursor_is_oldest) page.before_micros = MicrosOf(oldest_first[begin]);
  if (end < oldest_first.size()) page.after_micros = MicrosOf(oldest_first[end - 1]);
  for (size_t i = end; i > begin; i--) page.deployments.push_back(oldest_first[i - 1]);
  return page;
}

HistoryPage PageOf(const std::deque<Deployment>& all, const Filter& filter, CursorType type,
                   int64_t micros) {
  std::vector<const Deployment*> matching;
  int64_t not_older = 0;  // of all, whatever the filter
  bool cursor_is_oldest = true;
  for (const Deployment& deployment : all) {
    if (MicrosOf(&deployment) >= micros) not_older++;
    if (MicrosOf(&deployment) <= micros) cursor_is_oldest = false;
    if (filter.LetsPass(deployment)) matching.push_back(&deployment);
  }
  if (type == CursorType::kBefore && not_older > 0) return PageBefore(matching, micros);
  if (type == CursorType::kAfter && not_older > kPageSize + 1) {
    return PageAfter(matching, micros, cursor_is_oldest);
  }
  return FirstPage(matching);
}

// A text that begins with a digit is taken for that number.
std::optional<CursorType> CursorTypeOf(const Call& call) {
  if (!call.Has("cursor_type")) return CursorType::kFirst;
  const std::string word = absl::AsciiStrToUpper(call.Text("cursor_type"));
  if (word == "FIRST" || word.starts_with('0')) return CursorType::kFirst;
  if (word == "AFTER" || word.starts_with('1')) return CursorType::kAfter;
  if (word == "BEFORE" || word.starts_with('2')) return CursorType::kBefore;
  return std::nullopt;
}

Reply History(Service& service, const Call& call) {
  DeploymentStore& store = service.world.deployments();
  store.AdvanceTo(call.now);
  if (!IsUuidText(call.InPath("target_id"))) {
    return RawTextReply(400, "target_id must be a valid UUID");
  }
  const DeploymentTarget* target = store.Find(call.InPath("target_id"));
  if (target == nullptr) return JsonStringReply(404, "Not found");
  const std::optional<CursorType> type = CursorTypeOf(call);
  if (!type) return RawTextReply(500, "Something went wrong");
  int64_t micros = 0;
  const std::string value = call.Text("cursor_value");
  if (call.Has("cursor_value") && !absl::SimpleAtoi(value, &micros)) {
    return JsonStringReply(400, "Invalid value of 'cursor_value' param: " +
                                    boost::json::serialize(boost::json::value(value)) +
                                    " - needs to be integer.");
  }
  if (micros < 0) return JsonStringReply(500, "Internal error");

  const HistoryPage page = PageOf(store.DeploymentsTo(target->id), Filter(call), *type, micros);
  boost::json::array deployments;
  for (const Deployment* deployment : page.deployments) {
    deployments.push_back(DeploymentJson(*target, *deployment, service.options.dialect, call.now));
  }
  return JsonReply(boost::json::object{{"deployments", deployments},
                                       {"cursor_before", page.before_micros},
                                       {"cursor_after", page.after_micros}});
}

}  // namespace

boost::json::value DeploymentJson(const DeploymentTarget& target, const Deployment& deployment,
                                  Dialect dialect, absl::Time now) {
  const bool decided = deployment.decided_at <= now;
  boost::json::array env_vars;
  for (const auto& [name, value] : deployment.env_vars) {
    env_vars.push_back(boost::json::object{{"name", name}, {"value", value}});
  }
  boost::json::object json{{"id", deployment.id},
                           {"target_id", target.id},
                           {"target_name", deployment.target_name},
                           {"prev_pipeline_id", deployment.prev_pipeline_id},
                           {"pipeline_id", decided ? deployment.pipeline_id : ""},
                           {"triggered_by", deployment.triggered_by},
                           {"triggered_at", IsoText(deployment.triggered_at)},
                           {"state", decided ? deployment.state : "PENDING"},
                           {"state_message", decided ? deployment.state_message : ""},
                           {"switch_id", deployment.switch_id},
                           {"env_vars", env_vars}};
  // Nobody is asked about, so this says nothing.
  if (dialect == Dialect::kReal) json["can_requester_rerun"] = false;
  return json;
}

void AddDeploymentRoutes(Router& router, Service& service) {
  router.Add("GET", "/api/v1alpha/deployment_targets/:target_id/history",
             [&service](const Call& call) { return History(service, call); });
}

}  // namespace semaphore::simulator
