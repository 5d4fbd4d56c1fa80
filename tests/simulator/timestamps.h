// The ways in which the service writes a time (facts, section 5: F1 of workflows and lists of
// pipelines, F2 of a pipeline, F5 of deployments).
#ifndef SEMAPHORE_TESTS_SIMULATOR_TIMESTAMPS_H_
#define SEMAPHORE_TESTS_SIMULATOR_TIMESTAMPS_H_

#include <boost/json/value.hpp>
#include <optional>

#include "absl/time/time.h"

namespace semaphore::simulator {

// {"seconds": 1571063401, "nanos": 559492000}; unset {"seconds": 0, "nanos": 0}.
boost::json::value SecondsAndNanos(const std::optional<absl::Time>& time);

// "2023-06-07T09:24:04.000000Z", whatever the fraction; unset "".
boost::json::value IsoText(const std::optional<absl::Time>& time);

// "2019-10-14 18:31:17.293456Z"; unset "1970-01-01 00:00:00.000000Z".
boost::json::value SpacedText(const std::optional<absl::Time>& time);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_TIMESTAMPS_H_
