// How a simulator is set up: where it listens, which dialect it speaks, how much it holds, which
// certificate it shows and whose clock it believes.
#ifndef SEMAPHORE_TESTS_SIMULATOR_OPTIONS_H_
#define SEMAPHORE_TESTS_SIMULATOR_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace semaphore::simulator {

enum class Dialect {
  kReal,       // what the service really sends
  kReference,  // the shapes its public reference promises
};

enum class Certificate {
  kGood,        // for localhost, 127.0.0.1 and ::1, signed by ca_pem()
  kExpired,     // the same, but it ran out yesterday
  kOtherHost,   // in date and signed, but for another name
  kSelfSigned,  // for localhost, signed by itself; ca_pem() is some other authority
};

// What the caller may do, whatever its token; what is refused is answered as the service does it.
enum class Access {
  kFull,
  kReadOnly,                     // may see everything, and change nothing
  kNoPermission,                 // belongs to the organization, and may nothing
  kNoDeploymentTargets,          // the organization's plan is without them
  kNoAdvancedDeploymentTargets,  // or without rules about who may deploy
  kIpNotAllowed,                 // the organization's allow-list is without the caller's address
  kAuthOutage,                   // nobody can tell who the caller is
  kUnknownOrganization,          // the host name belongs to none
};

struct SimulatorOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one
  uint64_t seed = 1;  // decides every id, commit, duration and outcome
  Dialect dialect = Dialect::kReal;
  std::string token = "simulator-token";  // the one API token that is right

  Access access = Access::kFull;  // until SetAccess

  static constexpr int kMaxProjectsWithWorkflows = 100;
  int projects = 2;  // 1 to 5000, beside an empty and a deleted one; those beyond the hundredth
                     // have no workflows
  int workflows_per_project =
      35;               // 4 to 10000, so that the default page size of 30 does not hold all
  int promotions = 12;  // 0 to 5000, triggered on ids().promoting_pipeline; a page holds 10
  size_t huge_log_bytes =
      1 << 20;          // size of the reply body for ids().huge_log_job; 1 KiB to 512 MiB
  int queue_limit = 0;  // unfinished pipelines allowed per branch and file; 0: no limit

  int agent_types = 5;  // 3 to 5000
  int agents = 205;     // connected at the start; 3 to 5000; the default page size of 200 does not
                        // hold all. Four share a second, each with a millisecond of its own
  int agents_per_millisecond = 1;  // so many share each millisecond instead; 1 to 1000
  int later_agents = 3;            // connect one by one, a minute apart, from the start; 0 to 5000
  int deployment_targets = 8;      // of the first project; 5 to 5000
  int deployments = 25;            // to ids().deployed_target; 0 to 5000

  Certificate certificate = Certificate::kGood;
  std::string certificate_file =
      {};                     // PEM chain to show instead; ca_pem() is then this file's text
  std::string key_file = {};  // PEM key for it

  bool chunked_replies = false;  // send every body chunked instead of with Content-Length
  absl::Duration idle_timeout = absl::Minutes(5);  // real time a connection may wait for a request

  // The time the simulated service lives in; called from the simulator's own thread. Certificates
  // and timeouts go by real time whatever this says.
  std::function<absl::Time()> now = [] { return absl::Now(); };
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_OPTIONS_H_
