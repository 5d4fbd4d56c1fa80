// The last run of a pipeline file on a ref, as far as it is worth knowing between polls and
// restarts. Pure.
#ifndef SEMAPHORE_GATEWAY_LAST_RUN_H_
#define SEMAPHORE_GATEWAY_LAST_RUN_H_

#include <array>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "semaphore/v1/pipeline.pb.h"

namespace semaphore::gateway {

inline constexpr std::array<std::string_view, 5> kResultWords = {"passed", "failed", "stopped",
                                                                 "canceled", "unknown"};
// "unknown" where upstream said nothing that we know.
std::string_view ToWord(v1::PipelineResult result);

absl::Time ToTime(const google::protobuf::Timestamp& time);

// A stopped or canceled run says nothing about whether the code is well, so it replaces neither a
// passed nor a failed one; what it does replace is the time of the last run.
struct LastRun {
  // Of the youngest run that passed or failed; if there is none, of the youngest of all.
  v1::PipelineResult result = v1::PIPELINE_RESULT_UNSPECIFIED;
  absl::Time decided;  // when the run of that result was done
  absl::Time done;     // of the youngest run, as the next
  absl::Duration duration;

  bool operator==(const LastRun&) const = default;

  // Of one run; it is done.
  static LastRun Of(const v1::Pipeline& pipeline);
  // Runs may come in any order and more than once.
  void Add(const LastRun& other);
};

// Where its state lives: a pipeline's file, uncleaned, and the label of a listed ref.
struct LastRunOf {
  std::string file;
  std::string ref;
  LastRun run;
};

// Without a run for so long, a file on a ref is taken to be gone.
inline constexpr absl::Duration kLastRunMemory = absl::Hours(24 * 30);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_LAST_RUN_H_
