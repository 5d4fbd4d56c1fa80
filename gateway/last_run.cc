#include "gateway/last_run.h"

#include <algorithm>

namespace semaphore::gateway {
namespace {

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

bool IsVerdict(v1::PipelineResult result) {
  return result == v1::PIPELINE_RESULT_PASSED || result == v1::PIPELINE_RESULT_FAILED;
}

}  // namespace

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
