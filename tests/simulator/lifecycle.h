// How a pipeline moves through its states: a plan made at its creation, and where that plan stands
// at a given moment. Pure: no timers and no stored state, so that an injected clock moves every
// pipeline exactly and at once.
#ifndef SEMAPHORE_TESTS_SIMULATOR_LIFECYCLE_H_
#define SEMAPHORE_TESTS_SIMULATOR_LIFECYCLE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace semaphore::simulator {

struct JobPlan {
  std::string id;
  std::string name;
  int index = 0;
  absl::Duration length;  // infinite: runs until it is stopped
  bool passes = true;
  bool self_hosted = false;
  size_t log_bytes = 0;  // size of the whole log reply; 0: whatever the job's length gives
  std::optional<absl::Time> stop_asked_at =
      {};  // of this job alone; only set while it is unfinished
};

struct BlockPlan {
  std::string id;
  std::string build_request_id;
  std::string name;
  bool skipped = false;  // passes at once, without a job
  std::vector<JobPlan> jobs;
};

// Blocks run one after the other; the jobs of a block all at once.
struct PipelinePlan {
  absl::Time created_at;
  bool malformed = false;  // fails right after initializing, before any block
  std::vector<BlockPlan> blocks;
  std::optional<absl::Time> stop_asked_at;  // only ever set while it is not done
};

inline constexpr absl::Duration kInitializingLength = absl::Seconds(1);
inline constexpr absl::Duration kPendingLength = absl::Seconds(1);
inline constexpr absl::Duration kQueuingLength = absl::Seconds(2);
inline constexpr absl::Duration kEnqueuedLength = absl::Seconds(1);  // of every job
inline constexpr absl::Duration kStoppingLength = absl::Seconds(2);

// From the triggering of a promotion to the creation of its pipeline.
inline constexpr absl::Duration kPromotingLength = absl::Seconds(1);

// States and results are the words of the "describe" replies: lower case, jobs in upper case.
// `result` and `result_reason` are empty until the state is done (finished for jobs).
struct JobProgress {
  std::string_view state;
  std::string_view result;
  std::optional<absl::Time> started_at;
  std::optional<absl::Time> finished_at;
  std::optional<absl::Time> created_at = {};  // when its block started
};

struct BlockProgress {
  bool started = false;  // false: it has neither an id nor jobs to show
  std::string_view state;
  std::string_view result;
  std::string_view result_reason;
  std::vector<JobProgress> jobs;  // parallel to the plan's
};

struct PipelineProgress {
  std::string_view state;
  std::string_view result;
  std::string_view result_reason;
  std::optional<absl::Time> pending_at;
  std::optional<absl::Time> queuing_at;
  std::optional<absl::Time> running_at;
  std::optional<absl::Time> stopping_at;
  std::optional<absl::Time> done_at;
  std::vector<BlockProgress> blocks;  // parallel to the plan's
};

PipelineProgress ProgressAt(const PipelinePlan& plan, absl::Time now);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_LIFECYCLE_H_
