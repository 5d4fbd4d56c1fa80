// Reads a fault from JSON, for scripts that steer a simulator from outside, and refuses what it
// does not know.
#ifndef SEMAPHORE_TESTS_SIMULATOR_FAULT_JSON_H_
#define SEMAPHORE_TESTS_SIMULATOR_FAULT_JSON_H_

#include <boost/json/value.hpp>

#include "absl/status/statusor.h"
#include "tests/simulator/fault.h"

namespace semaphore::simulator {

// {"action": "answer", "status": 429, "headers": {"retry-after": "2"}, "method": "GET",
// "target_prefix": "/api/v1alpha/",
//  "times": 1}. The keys are the names of Fault's fields; durations end in _ms: "delay_ms",
//  "piece_delay_ms".
absl::StatusOr<Fault> FaultFromJson(const boost::json::value& json);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_FAULT_JSON_H_
