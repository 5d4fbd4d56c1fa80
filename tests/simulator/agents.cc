// GET /agents and GET /agents/:name (facts, sections 4.4 and 5.6).
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"

namespace semaphore::simulator {
namespace {

constexpr int64_t kLeastPageSize = 5;
constexpr int64_t kMostPageSize = 200;

boost::json::object AgentJson(const Agent& agent, Dialect dialect) {
  boost::json::object metadata{{"name", agent.name},
                               {"type", agent.type},
                               {"connected_at", absl::ToUnixSeconds(agent.connected_at)},
                               {"version", agent.version},
                               {"os", agent.os},
                               {"arch", agent.arch},
                               {"hostname", agent.hostname},
                               {"ip_address", agent.ip_address},
                               {"pid", agent.pid}};
  if (agent.disabled_at && dialect == Dialect::kReal) {
    metadata["disabled_at"] = absl::ToUnixSeconds(*agent.disabled_at);
  }
  const boost::json::object status{{"state", agent.busy ? "running_job" : "waiting_for_job"}};
  return {{"metadata", metadata}, {"status", status}};
}

Reply List(Service& service, const Call& call) {
  int64_t page_size = kMostPageSize;
  if (call.Has("page_size") && !absl::SimpleAtoi(call.Text("page_size"), &page_size)) {
    return JsonStringReply(400, "Invalid value of 'page_size' param: \"" + call.Text("page_size") +
                                    "\" - needs to be integer.");
  }
  if (page_size == 0) page_size = kMostPageSize;
  if (page_size < kLeastPageSize || page_size > kMostPageSize) {
    return JsonStringReply(400,
                           absl::StrFormat("page size of %d is invalid: must be greater than 0 and "
                                           "between %d-%d",
                                           page_size, kLeastPageSize, kMostPageSize));
  }
  const std::string cursor = call.Text("cursor");
  absl::Time from = absl::InfinitePast();
  if (!cursor.empty()) {
    int64_t millis = 0;
    if (!absl::SimpleAtoi(cursor, &millis)) return JsonStringReply(500, "Internal error");
    from = absl::FromUnixMillis(millis);
  }
  boost::json::array agents;
  std::string next;
  for (const Agent* agent : service.world.agents().AgentsAt(call.now, call.Text("agent_type"))) {
    if (agent->connected_at < from) continue;
    if (agents.size() == static_cast<size_t>(page_size)) {
      // Not the agent, only its millisecond: others of that millisecond come again on the next
      // page.
      next = std::to_string(absl::ToUnixMillis(agent->connected_at));
      break;
    }
    agents.push_back(AgentJson(*agent, service.options.dialect));
  }
  return JsonReply(boost::json::object{{"agents", agents}, {"cursor", next}});
}

Reply Describe(Service& service, const Call& call) {
  const Agent* agent = service.world.agents().FindAgent(call.InPath("agent_name"), call.now);
  if (agent == nullptr) return JsonStringReply(404, "agent not found");
  return JsonReply(AgentJson(*agent, service.options.dialect));
}

}  // namespace

void AddAgentRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/agents";
  router.Add("GET", root, [&service](const Call& call) { return List(service, call); });
  router.Add("GET", root + "/:agent_name",
             [&service](const Call& call) { return Describe(service, call); });
}

}  // namespace semaphore::simulator
