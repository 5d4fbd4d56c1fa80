// GET and POST /promotions (facts, section 5.3).
#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/simulator/paging.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"
#include "tests/simulator/timestamps.h"

namespace semaphore::simulator {
namespace {

constexpr int64_t kPageSizeEnd = 100;

boost::json::object PromotionJson(const Promotion& promotion, Dialect dialect, absl::Time now) {
  const bool decided = promotion.ScheduledAt() <= now;
  const bool passed = !promotion.scheduled_pipeline_id.empty();
  const char* const status = !decided ? "processing" : passed ? "passed" : "failed";
  boost::json::object json{{"name", promotion.target_name},
                           {"triggered_by", promotion.triggered_by},
                           {"status", status}};
  if (dialect == Dialect::kReference) return json;
  json["triggered_at"] = SecondsAndNanos(promotion.triggered_at);
  json["override"] = promotion.override;
  json["scheduled_at"] =
      SecondsAndNanos(decided ? std::optional(promotion.ScheduledAt()) : std::nullopt);
  json["scheduled_pipeline_id"] = decided ? promotion.scheduled_pipeline_id : "";
  return json;
}

// The number in that parameter; nothing when it is there and no whole number.
std::optional<int64_t> Integer(const Call& call, std::string_view name, int64_t otherwise) {
  if (!call.Has(name)) return otherwise;
  int64_t number = 0;
  if (!absl::SimpleAtoi(call.Text(name), &number)) return std::nullopt;
  return number;
}

Reply InvalidParameter(const Call& call, std::string_view name, std::string_view expected) {
  return JsonStringReply(400, "Invalid value of '" + std::string(name) +
                                  "' param: " + boost::json::serialize(call.parameters.at(name)) +
                                  " - needs to be " + std::string(expected) + ".");
}

Reply List(const Service& service, const Call& call) {
  const Dialect dialect = service.options.dialect;
  const Pipeline* pipeline = service.world.FindPipeline(call.Text("pipeline_id"));
  if (pipeline == nullptr) return RawTextReply(404, "Not Found");
  if (!Integer(call, "page", 1)) return InvalidParameter(call, "page", "integer");
  const std::optional<int64_t> page_size = Integer(call, "page_size", 1);
  if (!page_size) return InvalidParameter(call, "page_size", "integer");
  // The backend calls a missing switch and a large page a bad parameter, and that is told to
  // nobody. The reference knows of neither.
  if (dialect == Dialect::kReal &&
      (pipeline->SwitchIdAt(call.now).empty() || *page_size >= kPageSizeEnd)) {
    return JsonStringReply(500, "Internal error");
  }
  const std::string name = call.Text("name");
  std::vector<const Promotion*> promotions = service.world.PromotionsOf(pipeline->id);
  if (!name.empty()) {
    std::erase_if(promotions,
                  [&](const Promotion* promotion) { return promotion->target_name != name; });
  }
  const int64_t default_size = dialect == Dialect::kReal ? 10 : 30;
  const Page page = PageOf(call, promotions.size(), default_size, dialect);
  boost::json::array items;
  for (size_t i = page.begin; i < page.end; i++) {
    items.push_back(PromotionJson(*promotions[i], dialect, call.now));
  }
  Reply reply = JsonReply(items);
  reply.headers.insert(reply.headers.end(), page.headers.begin(), page.headers.end());
  return reply;
}

// A truth value, or its word as a form has it.
std::optional<bool> Override(const Call& call) {
  const boost::json::value* given = call.parameters.if_contains("override");
  if (given == nullptr) return false;
  if (given->is_bool()) return given->get_bool();
  const std::string word = call.Text("override");
  if (word == "true") return true;
  if (word == "false") return false;
  return std::nullopt;
}

// Every key that means nothing else is a parameter of the promotion; nothing when one is no text.
std::optional<std::vector<std::pair<std::string, std::string>>> ParametersOf(const Call& call) {
  constexpr std::array<std::string_view, 6> kOthers = {"pipeline_id", "name",      "override",
                                                       "user_id",     "switch_id", "request_token"};
  std::vector<std::pair<std::string, std::string>> parameters;
  for (const auto& [key, value] : call.parameters) {
    const std::string name(key);
    if (std::ranges::find(kOthers, name) != kOthers.end()) continue;
    if (!value.is_string()) return std::nullopt;
    parameters.emplace_back(name, std::string(value.get_string()));
  }
  return parameters;
}

Reply Trigger(Service& service, const Call& call) {
  const Pipeline* pipeline = service.world.FindPipeline(call.Text("pipeline_id"));
  if (pipeline == nullptr) return RawTextReply(404, "Not Found");
  const std::optional<bool> override = Override(call);
  if (!override) return InvalidParameter(call, "override", "boolean");
  const std::string switch_id = pipeline->SwitchIdAt(call.now);
  if (switch_id.empty()) return JsonStringReply(500, "Internal error");
  const std::string name = call.Text("name");
  const PromotionTarget* target = FindPromotionTarget(name);
  if (target == nullptr) {
    return JsonStringReply(
        400, "Target for switch: " + switch_id + " with name: " + name + " not found");
  }
  if (ProgressAt(pipeline->plan, call.now).result != "passed" && !*override) {
    return JsonStringReply(
        400, "Triggering target when pipeline is not passed requires override confirmation.");
  }
  if (!target->refusal.empty()) {
    return JsonStringReply(
        400, "Triggering promotion with deployment target failed: " + std::string(target->refusal) +
                 " (error ID: " + service.world.seeded().Uuid(pipeline->id + name, 0) + ")");
  }
  auto parameters = ParametersOf(call);
  if (!parameters || !TakesParameters(*target, *parameters)) {
    return JsonStringReply(500, "Internal error");
  }
  const bool recorded = service.world.Promote({.pipeline_id = pipeline->id,
                                               .target = target,
                                               .triggered_by = service.world.ids().user,
                                               .override = *override,
                                               .request_token = call.Text("request_token"),
                                               .parameters = *std::move(parameters)},
                                              call.now);
  if (!recorded) return JsonStringReply(500, "Internal error");
  if (service.options.dialect == Dialect::kReference) return PlugReply(200, "");
  return JsonStringReply(200, "Promotion successfully triggered.");
}

}  // namespace

void AddPromotionRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/promotions";
  router.Add("GET", root, [&service](const Call& call) { return List(service, call); });
  router.Add("POST", root, [&service](const Call& call) { return Trigger(service, call); });
}

}  // namespace semaphore::simulator
