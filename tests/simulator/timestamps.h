// The two ways in which workflows and pipelines write a time (facts, section 5: F1 and F2). Unset
// is the epoch in both.
#ifndef SEMAPHORE_TESTS_SIMULATOR_TIMESTAMPS_H_
#define SEMAPHORE_TESTS_SIMULATOR_TIMESTAMPS_H_

#include <boost/json/value.hpp>
#include <optional>

#include "absl/time/time.h"

namespace semaphore::simulator {

// {"seconds": 1571063401, "nanos": 559492000}; unset {"seconds": 0, "nanos": 0}.
boost::json::value SecondsAndNanos(const std::optional<absl::Time>& time);

// "2019-10-14 18:31:17.293456Z"; unset "1970-01-01 00:00:00.000000Z".
boost::json::value SpacedText(const std::optional<absl::Time>& time);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_TIMESTAMPS_H_
