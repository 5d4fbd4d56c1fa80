// How one deployment is written, in a history and as the last one of a target.
#ifndef SEMAPHORE_TESTS_SIMULATOR_DEPLOYMENT_JSON_H_
#define SEMAPHORE_TESTS_SIMULATOR_DEPLOYMENT_JSON_H_

#include <boost/json/value.hpp>

#include "tests/simulator/deployment_store.h"
#include "tests/simulator/options.h"

namespace semaphore::simulator {

boost::json::value DeploymentJson(const DeploymentTarget& target, const Deployment& deployment,
                                  Dialect dialect, absl::Time now);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_DEPLOYMENT_JSON_H_
