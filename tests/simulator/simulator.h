// A fake Semaphore CI over real HTTPS, for tests, benchmarks and people without an account:
// stateful, decided by a seed, moved by an injected clock, and ready to fail in any way that a
// network can. It speaks HTTP/1.1 on loopback and knows nothing of the gateway.
//
//   auto simulator = Simulator::Start({.seed = 7, .now = time.Source()});
//   (*simulator)->AddFault({.method = "GET", .times = 1, .status = 503});
//   … send requests to (*simulator)->base_url(), trusting (*simulator)->ca_pem() …
//   EXPECT_EQ((*simulator)->Requests().size(), 2);
#ifndef SEMAPHORE_TESTS_SIMULATOR_SIMULATOR_H_
#define SEMAPHORE_TESTS_SIMULATOR_SIMULATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/simulator/fault.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/options.h"
#include "tests/simulator/world.h"

namespace semaphore::simulator {

// All public functions are thread-safe.
class Simulator {
 public:
  // Listens when it returns. An error says which option is wrong or why the address cannot be used.
  static absl::StatusOr<std::unique_ptr<Simulator>> Start(SimulatorOptions options = {});

  // Drops every connection and joins the thread.
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  uint16_t port() const;
  std::string base_url() const;       // "https://localhost:PORT/api/v1alpha"
  const std::string& ca_pem() const;  // what a client has to trust
  const WellKnownIds& ids() const;

  // Beyond FaultScript::kMaxFaults it does nothing.
  void AddFault(Fault fault);
  void ClearFaults();

  // Lets go every reply that FaultAction::kHold holds right now.
  void ReleaseHeld();
  uint64_t held() const;

  // What was received, oldest first; requests to /_simulator/ are not among it.
  std::vector<RecordedRequest> Requests() const;
  std::vector<RecordedRequest> RequestsTo(std::string_view target_prefix) const;
  void ClearRequests();
  uint64_t last_request_number() const;  // how many there were since ClearRequests
  uint64_t open_connections() const;
  uint64_t total_connections() const;

  // Blocks until `condition` holds, asking again after every request, connection and hold; false
  // when it does not within `limit` of real time. For example: WaitUntil([&] { return
  // simulator.held() == 2; }).
  bool WaitUntil(const std::function<bool()>& condition,
                 absl::Duration limit = absl::Seconds(30)) const;

  // From now on this is the right API token.
  void SetToken(std::string token);

  // From now on the caller may do this; requests to /_simulator/ are never refused for it.
  void SetAccess(Access access);

 private:
  struct Impl;
  explicit Simulator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_SIMULATOR_H_
