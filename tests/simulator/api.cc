#include "tests/simulator/api.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/simulator/access.h"
#include "tests/simulator/replies.h"

namespace semaphore::simulator {
namespace {

// "SemaphoreCLI/v0.28.1 (…)" and everything else that upstream's comparison takes for older than
// v0.30.0: it compares part by part, so v1.0.0 is old, too.
bool IsOldCli(std::string_view user_agent) {
  constexpr std::string_view kPrefix = "SemaphoreCLI/v";
  if (!user_agent.starts_with(kPrefix)) return false;
  const std::string version(
      user_agent.substr(kPrefix.size(), user_agent.find(' ') - kPrefix.size()));
  const std::vector<std::string> parts = absl::StrSplit(version, '.');
  constexpr std::array<int, 3> kOldest = {0, 30, 0};
  if (parts.size() != kOldest.size()) return false;
  for (size_t i = 0; i < parts.size(); i++) {
    int part = 0;
    if (!absl::SimpleAtoi(parts[i], &part) || part < kOldest[i]) return true;
  }
  return false;
}

}  // namespace

Api::Api(const SimulatorOptions& options, World& world, Controls& controls)
    : options_(options),
      service_{.options = options, .world = world, .access = access_},
      access_(options.access),
      token_(options.token) {
  AddWorkflowRoutes(api_, service_);
  AddPipelineRoutes(api_, service_);
  AddPromotionRoutes(api_, service_);
  AddYamlRoutes(api_, service_);
  AddLogRoutes(api_, service_);
  AddJobRoutes(api_, service_);
  AddAgentTypeRoutes(api_, service_);
  AddAgentRoutes(api_, service_);
  AddProjectRoutes(api_, service_);
  AddDeploymentTargetRoutes(api_, service_);
  AddDeploymentRoutes(api_, service_);
  AddArtifactRetentionPolicyRoutes(api_, service_);
  AddLogStoreRoutes(log_store_, service_);
  AddControlRoutes(control_, controls);
}

void Api::SetToken(std::string token) {
  const std::lock_guard<std::mutex> lock(mutex_);
  token_ = std::move(token);
}

std::string Api::Token() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return token_;
}

Authorization Api::Judge(const Request& request) const {
  const std::string_view value = request.Header("authorization");
  if (value.empty()) return Authorization::kNone;
  const std::string token = Token();
  return value == "Token " + token || value == "Bearer " + token ? Authorization::kRight
                                                                 : Authorization::kWrong;
}

Reply Api::Answer(const Request& request) const {
  if (!request.target.starts_with("/_simulator/")) {
    std::optional<Reply> refusal = RefusalAtTheDoor(access_, request);
    if (refusal) return *std::move(refusal);
  }
  for (const auto& [name, value] : request.headers) {
    if (name.starts_with("x-semaphore")) return PlainTextReply(404, "Not Found");
  }
  // The log store knows nothing of API tokens.
  if (request.target.starts_with("/api/v1/logs/")) {
    return log_store_.Answer(request, options_.now());
  }
  if (Judge(request) != Authorization::kRight)
    return {.status = 401, .headers = {}, .body = "Unauthorized"};
  if (IsOldCli(request.Header("user-agent"))) {
    return {.status = 400,
            .headers = {},
            .body = R"({"message":"The CLI is too old, please update it."})"};
  }
  return AnswerAuthenticated(request);
}

Reply Api::AnswerAuthenticated(const Request& request) const {
  if (request.target.starts_with("/_simulator/")) return control_.Answer(request, options_.now());
  std::optional<Reply> refusal = RefusalOfArea(access_, request);
  Reply reply = refusal ? *std::move(refusal) : api_.Answer(request, options_.now());
  if (options_.dialect == Dialect::kReference) {
    // "All data is sent and received as JSON."
    reply.headers.emplace_back("content-type", "application/json");
  }
  return reply;
}

RecordedRequest Api::Describe(const Request& request) const {
  const std::string token = Token();
  const auto redact = [&token](const std::string& text) {
    return absl::StrReplaceAll(text, {{token, "[token]"}});
  };
  RecordedRequest recorded;
  recorded.method = request.method;
  recorded.target = redact(request.target);
  recorded.authorization = Judge(request);
  recorded.body = redact(request.body);
  for (const auto& [name, value] : request.headers) {
    recorded.headers.emplace_back(name, redact(value));
    if (name != "authorization") continue;
    recorded.headers.back().second =
        recorded.authorization == Authorization::kRight ? "right" : "wrong";
  }
  return recorded;
}

}  // namespace semaphore::simulator
