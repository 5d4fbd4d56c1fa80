// One function per resource of the API, each in a file of its own, that adds its routes to the
// table. A new resource is a new file, a line here and a line in api.cc.
#ifndef SEMAPHORE_TESTS_SIMULATOR_RESOURCES_H_
#define SEMAPHORE_TESTS_SIMULATOR_RESOURCES_H_

#include <atomic>

#include "tests/simulator/fault.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/options.h"
#include "tests/simulator/router.h"
#include "tests/simulator/world.h"

namespace semaphore::simulator {

// What handlers work on; outlives the router.
struct Service {
  const SimulatorOptions& options;
  World& world;
  const std::atomic<Access>& access;
};

void AddWorkflowRoutes(Router& router, Service& service);
void AddPipelineRoutes(Router& router, Service& service);
void AddPromotionRoutes(Router& router, Service& service);
void AddYamlRoutes(Router& router, Service& service);
void AddLogRoutes(Router& router, Service& service);
void AddJobRoutes(Router& router, Service& service);
void AddAgentTypeRoutes(Router& router, Service& service);
void AddAgentRoutes(Router& router, Service& service);
void AddProjectRoutes(Router& router, Service& service);
void AddDeploymentTargetRoutes(Router& router, Service& service);
void AddDeploymentRoutes(Router& router, Service& service);
void AddArtifactRetentionPolicyRoutes(Router& router, Service& service);

// The log store that self-hosted logs are handed over to; it is asked without an API token.
void AddLogStoreRoutes(Router& router, Service& service);

// The simulator's own routes, /_simulator/…: faults in, ledger and ids out. `release_held` lets
// held replies go.
struct Controls {
  FaultScript& faults;
  Ledger& ledger;
  const World& world;
  std::function<void()> release_held;
  std::function<void(Access)> set_access;
};
void AddControlRoutes(Router& router, Controls& controls);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_RESOURCES_H_
