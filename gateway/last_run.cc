#include "gateway/last_run.h"

#include <algorithm>

namespace semaphore::gateway {
namespace {

bool IsVerdict(v1::PipelineResult result) {
  return result == v1::PIPELINE_RESULT_PASSED || result == v1::PIPELINE_RESULT_FAILED;
}

}  // namespace

std::string_view ToWord(v1::PipelineResult result) {
  switch (result) {
    case v1::PIPELINE_RESULT_PASSED:
      return "passed";
    case v1::PIPELINE_RESULT_FAILED:
      return "failed";
    case v1::PIPELINE_RESULT_STOPPED:
      return "stopped";
    case v1::PIPELINE_RESULT_CANCELED:
      return "canceled";
    default:
      return "unknown";
  }
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

LastRun LastRun::Of(const v1::Pipeline& pipeline) {
  LastRun run;
  run.result = pipeline.result();
  run.done = run.decided = ToTime(pipeline.done_time());
  if (pipeline.has_create_time()) {
    run.duration = std::max(run.done - ToTime(pipeline.create_time()), absl::ZeroDuration());
  }
  return run;
}

void LastRun::Add(const LastRun& other) {
  if (other.done > done) {
    done = other.done;
    duration = other.duration;
  }
  const bool replaces = IsVerdict(other.result) == IsVerdict(result) ? other.decided > decided
                                                                     : IsVerdict(other.result);
  if (!replaces) return;
  result = other.result;
  decided = other.decided;
}

}  // namespace semaphore::gateway
