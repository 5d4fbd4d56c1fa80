// The self-hosted agents of the simulated organization and their types: which exist at a moment,
// who is busy, and who has been told to go. Types are changed by requests; agents are made from the
// seed and connect by the injected clock. It knows nothing of HTTP or JSON.
#ifndef SEMAPHORE_TESTS_SIMULATOR_AGENT_POOL_H_
#define SEMAPHORE_TESTS_SIMULATOR_AGENT_POOL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulator/options.h"
#include "tests/simulator/seeded_ids.h"

namespace semaphore::simulator {

struct AgentNameSettings {
  bool from_aws = false;  // AWS STS assigns the names; the two texts below are empty without it
  int64_t release_after_seconds = 0;
  std::string aws_account_id;
  std::string aws_role_name_patterns;
};

struct AgentType {
  std::string name;
  AgentNameSettings settings;
  absl::Time created_at;
  absl::Time updated_at;
};

struct Agent {
  std::string name;
  std::string type;
  std::string version;
  std::string os;
  std::string arch;
  std::string hostname;
  std::string ip_address;
  int pid = 0;
  bool busy = false;  // with a job that never ends
  absl::Time connected_at;
  std::optional<absl::Time> disabled_at;
};

// A disabled agent disconnects so long after it was told, unless it is busy.
inline constexpr absl::Duration kLeavingLength = absl::Seconds(10);

class AgentPool {
 public:
  static constexpr size_t kMaxTypes = 10'000;

  // Names that a test or script can rely on.
  struct WellKnown {
    std::string type;            // has agents, some of them busy, so that it cannot be deleted
    std::string aws_type;        // AWS assigns its names; all of its agents are idle
    std::string empty_type;      // has no agents
    std::string agent;           // the longest connected; of `type`, busy
    std::string disabled_agent;  // of `type`, busy
    std::string slashed_agent;   // of `aws_type`; '/' and '+' in its name must be escaped in a path
  };

  AgentPool(const SeededIds& seeded, const SimulatorOptions& options, absl::Time start);

  const WellKnown& well_known() const { return well_known_; }

  // Oldest first.
  const std::vector<AgentType>& types() const { return types_; }
  // Null when there is none.
  const AgentType* FindType(std::string_view name) const;

  // The name must be free; null when there are kMaxTypes. The pointer is good until the next
  // change.
  const AgentType* AddType(std::string name, AgentNameSettings settings, absl::Time now);
  // Null when there is no such type.
  const AgentType* UpdateType(std::string_view name, AgentNameSettings settings, absl::Time now);
  // Whoever calls it has made sure that no agent of it is connected.
  void DeleteType(std::string_view name);

  // The connected ones, longest connected first; of all types when `type` is empty.
  std::vector<const Agent*> AgentsAt(absl::Time now, std::string_view type = {}) const;
  // Null when no connected agent has that name.
  const Agent* FindAgent(std::string_view name, absl::Time now) const;
  // Connected agents by type; types without any are missing.
  std::unordered_map<std::string, int> CountsAt(absl::Time now) const;

  // Tells the connected agents of a type to go, also those that were told before.
  void Disable(std::string_view type, bool only_idle, absl::Time now);

 private:
  void AddSeededTypes(const SimulatorOptions& options, absl::Time start);
  void AddSeededAgents(const SeededIds& seeded, const SimulatorOptions& options, absl::Time start);

  WellKnown well_known_;
  std::vector<AgentType> types_;
  std::vector<Agent> agents_;  // in order of connection; also those that have left or are to come
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_AGENT_POOL_H_
