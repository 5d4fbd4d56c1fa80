// The log of a job as the agents write it: events with times, output in arbitrary pieces with
// escapes and carriage returns. Made from the job's id, so that the same job always has the same
// log.
#ifndef SEMAPHORE_TESTS_SIMULATOR_LOG_EVENTS_H_
#define SEMAPHORE_TESTS_SIMULATOR_LOG_EVENTS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulator/world.h"

namespace semaphore::simulator {

struct JobLogText {
  std::vector<std::string> events;  // JSON objects, oldest first
  bool final = false;               // the job is finished: no event will follow
};

// What the log of a started job holds at `now`: one piece of output for each second it ran, at most
// ten thousand.
JobLogText LogOf(const Job& job, absl::Time now);

// The whole reply body {"events":[…]} of exactly `bytes` bytes (at least 1024), for a job that is
// finished.
std::string HugeLogBody(const Job& job, absl::Time now, size_t bytes);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_LOG_EVENTS_H_
