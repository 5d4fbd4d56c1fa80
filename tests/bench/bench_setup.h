// What both benches start with: the gateway's program beside this one, a folder that goes away, a
// gateway process that trusts a simulator, and ids to ask for.
#ifndef SEMAPHORE_TESTS_BENCH_BENCH_SETUP_H_
#define SEMAPHORE_TESTS_BENCH_BENCH_SETUP_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/bench/gateway_process.h"
#include "tests/simulator/simulator.h"

namespace semaphore::bench {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// "tests/bench/x" in the folder that this program was built into.
std::string BuiltFile(const std::string& name);

// `environment` comes on top of what the gateway needs.
absl::StatusOr<std::unique_ptr<GatewayProcess>> StartGateway(
    const simulator::Simulator& upstream, const std::string& folder, const std::string& yaml,
    const std::map<std::string, std::string>& environment = {});

struct Keys {
  std::vector<std::string> pipelines;
  std::vector<std::string> jobs;
};

// So many of each, of the simulator's first project; it must have them. Asks the simulator itself.
Keys KeysOf(const simulator::Simulator& upstream, size_t pipelines, size_t jobs);

}  // namespace semaphore::bench

#endif  // SEMAPHORE_TESTS_BENCH_BENCH_SETUP_H_
