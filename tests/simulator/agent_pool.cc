#include "tests/simulator/agent_pool.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_format.h"

namespace semaphore::simulator {
namespace {

constexpr size_t kSpecialTypes = 3;
constexpr uint64_t kSlotsPerSecond = 4;

bool ConnectedAt(const Agent& agent, absl::Time now) {
  if (agent.connected_at > now) return false;
  return !agent.disabled_at || agent.busy || now < *agent.disabled_at + kLeavingLength;
}

// 20 letters and digits, as agents that name themselves choose them.
std::string RandomName(const SeededIds& seeded, uint64_t index) {
  constexpr std::string_view kDigits =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string name;
  for (const char* half : {"agent name", "agent name, second half"}) {
    uint64_t rest = seeded.Number(half, index);
    for (int i = 0; i < 10; i++, rest /= kDigits.size()) name += kDigits[rest % kDigits.size()];
  }
  return name;
}

Agent MakeAgent(const SeededIds& seeded, uint64_t index, absl::Time connected_at) {
  constexpr std::array<const char*, 3> kVersions = {"v2.2.6", "v2.2.31", "v2.3.0"};
  constexpr std::array<const char*, 2> kSystems = {"Ubuntu 20.04.6 LTS", "macOS 14.5"};
  const uint64_t draw = seeded.Number("agent", index);
  Agent agent;
  agent.name = RandomName(seeded, index);
  agent.version = kVersions[draw % kVersions.size()];
  agent.os = kSystems[draw / 4 % kSystems.size()];
  agent.arch = draw / 8 % 2 == 0 ? "x86_64" : "aarch64";
  agent.hostname = absl::StrFormat("host-%04d", index);
  agent.ip_address = absl::StrFormat("10.%d.%d.%d", draw / 16 % 256, index / 250, index % 250 + 1);
  agent.pid = static_cast<int>(draw / 4096 % 30'000) + 2;
  agent.connected_at = connected_at;
  return agent;
}

// When agent `index` connected, counted from the first whole second. Everybody in a slot connects
// in one millisecond, at different microseconds of it.
absl::Duration AfterFirst(const SeededIds& seeded, uint64_t index, int agents_per_millisecond) {
  constexpr uint64_t kSlotMillis = 1000 / kSlotsPerSecond;
  const auto slot_agents = static_cast<uint64_t>(agents_per_millisecond);
  const uint64_t slot = index / slot_agents;
  const uint64_t millis = slot * kSlotMillis + seeded.Number("agent slot", slot) % kSlotMillis;
  return absl::Milliseconds(millis) + absl::Microseconds(index % slot_agents);
}

}  // namespace

AgentPool::AgentPool(const SeededIds& seeded, const SimulatorOptions& options, absl::Time start) {
  AddSeededTypes(options, start);
  AddSeededAgents(seeded, options, start);
}

void AgentPool::AddSeededTypes(const SimulatorOptions& options, absl::Time start) {
  well_known_.type = "s1-linux";
  well_known_.aws_type = "s1-aws-small";
  well_known_.empty_type = "s1-unused_type";
  const absl::Time first = start - absl::Hours(30 * 24);
  for (int i = 0; i < options.agent_types; i++) {
    AgentType type{.name = absl::StrFormat("s1-type-%04d", i + 1),
                   .settings = {},
                   .created_at = first + absl::Minutes(i),
                   .updated_at = first + absl::Minutes(i) + absl::Hours(1)};
    if (i == 0) type.name = well_known_.type;
    if (i == 1) {
      type.name = well_known_.aws_type;
      type.settings = {.from_aws = true,
                       .release_after_seconds = 0,
                       .aws_account_id = "1234567890",
                       .aws_role_name_patterns = "role1,role2*"};
    }
    if (i == 2) type.name = well_known_.empty_type;
    if (i % 5 == 3) type.settings.release_after_seconds = 3600;
    types_.push_back(std::move(type));
  }
}

void AgentPool::AddSeededAgents(const SeededIds& seeded, const SimulatorOptions& options,
                                absl::Time start) {
  // A whole second, so that the agents of one second are four whatever the clock says.
  const absl::Time whole_start = absl::FromUnixSeconds(absl::ToUnixSeconds(start));
  const int64_t seconds =
      options.agents / options.agents_per_millisecond / static_cast<int>(kSlotsPerSecond) + 1;
  const absl::Time first = whole_start - absl::Minutes(1) - absl::Seconds(seconds);
  for (int i = 0; i < options.agents; i++) {
    const auto index = static_cast<uint64_t>(i);
    Agent agent =
        MakeAgent(seeded, index, first + AfterFirst(seeded, index, options.agents_per_millisecond));
    const uint64_t draw = seeded.Number("type of agent", index);
    // Half of them are of the first type; none is of the empty one.
    size_t type = draw % 2 == 0 ? 0 : draw / 2 % types_.size();
    if (type == kSpecialTypes - 1 || i < 2) type = 0;
    if (i == 2) {
      type = 1;
      agent.name = "rack/" + agent.name + "+1";
      well_known_.slashed_agent = agent.name;
    }
    agent.type = types_[type].name;
    agent.busy = i < 2 || (type != 1 && draw / 65536 % 3 == 0);
    if (i == 0) well_known_.agent = agent.name;
    if (i == 1) {
      well_known_.disabled_agent = agent.name;
      agent.disabled_at = whole_start - absl::Seconds(30);
    }
    agents_.push_back(std::move(agent));
  }
  for (int i = 0; i < options.later_agents; i++) {
    const auto index = static_cast<uint64_t>(options.agents) + static_cast<uint64_t>(i);
    Agent agent = MakeAgent(seeded, index, start + absl::Minutes(i + 1));
    agent.type = well_known_.type;
    agents_.push_back(std::move(agent));
  }
}

const AgentType* AgentPool::FindType(std::string_view name) const {
  const auto found = std::ranges::find(types_, name, &AgentType::name);
  return found == types_.end() ? nullptr : &*found;
}

const AgentType* AgentPool::AddType(std::string name, AgentNameSettings settings, absl::Time now) {
  if (types_.size() >= kMaxTypes) return nullptr;
  types_.push_back({.name = std::move(name),
                    .settings = std::move(settings),
                    .created_at = now,
                    .updated_at = now});
  return &types_.back();
}

const AgentType* AgentPool::UpdateType(std::string_view name, AgentNameSettings settings,
                                       absl::Time now) {
  const auto found = std::ranges::find(types_, name, &AgentType::name);
  if (found == types_.end()) return nullptr;
  found->settings = std::move(settings);
  found->updated_at = now;
  return &*found;
}

void AgentPool::DeleteType(std::string_view name) {
  std::erase_if(types_, [&](const AgentType& type) { return type.name == name; });
}

std::vector<const Agent*> AgentPool::AgentsAt(absl::Time now, std::string_view type) const {
  std::vector<const Agent*> agents;
  for (const Agent& agent : agents_) {
    if (ConnectedAt(agent, now) && (type.empty() || agent.type == type)) agents.push_back(&agent);
  }
  return agents;
}

const Agent* AgentPool::FindAgent(std::string_view name, absl::Time now) const {
  const auto found = std::ranges::find(agents_, name, &Agent::name);
  return found == agents_.end() || !ConnectedAt(*found, now) ? nullptr : &*found;
}

std::unordered_map<std::string, int> AgentPool::CountsAt(absl::Time now) const {
  std::unordered_map<std::string, int> counts;
  for (const Agent* agent : AgentsAt(now)) counts[agent->type]++;
  return counts;
}

void AgentPool::Disable(std::string_view type, bool only_idle, absl::Time now) {
  for (Agent& agent : agents_) {
    if (agent.type != type || !ConnectedAt(agent, now) || (only_idle && agent.busy)) continue;
    agent.disabled_at = now;
  }
}

}  // namespace semaphore::simulator
