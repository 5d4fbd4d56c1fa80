#include "tests/simulator/lifecycle.h"

#include <algorithm>

namespace semaphore::simulator {
namespace {

// When a block would start and end if nobody stopped the pipeline.
struct BlockTimes {
  bool reached = false;  // false: an earlier block failed
  absl::Time start;
  absl::Time end;
  bool passes = true;
  bool stopped = false;  // a job of it was stopped by itself
};

// When a job ends if nobody stops the pipeline.
struct JobEnd {
  absl::Time time;
  bool stopped = false;
};

JobEnd EndOf(const JobPlan& job, absl::Time block_start) {
  const absl::Time natural = block_start + kEnqueuedLength + job.length;
  if (!job.stop_asked_at || *job.stop_asked_at >= natural) return {.time = natural};
  return {.time = *job.stop_asked_at + kStoppingLength, .stopped = true};
}

std::vector<BlockTimes> TimesOf(const PipelinePlan& plan, absl::Time running_at) {
  std::vector<BlockTimes> times;
  absl::Time next_start = running_at;
  bool reached = true;
  for (const BlockPlan& block : plan.blocks) {
    BlockTimes block_times{.reached = reached, .start = next_start, .end = next_start};
    if (reached && !block.skipped) {
      for (const JobPlan& job : block.jobs) {
        const JobEnd end = EndOf(job, next_start);
        block_times.end = std::max(block_times.end, end.time);
        block_times.stopped = block_times.stopped || end.stopped;
        block_times.passes = block_times.passes && (end.stopped || job.passes);
      }
      next_start = block_times.end;
      reached = block_times.passes && !block_times.stopped;
    }
    times.push_back(block_times);
  }
  return times;
}

// The moment looked at, with everything the stop of the pipeline changes about it.
struct Moment {
  absl::Time now;
  std::optional<absl::Time> stop;  // only when it is not in the future

  bool Reached(absl::Time time) const { return time <= now && (!stop || time < *stop); }
  bool StopDone() const { return stop && *stop + kStoppingLength <= now; }
};

// `moment` as one job sees it: with its own stop, when that came first.
Moment MomentOf(const JobPlan& job, const Moment& moment) {
  Moment own = moment;
  if (job.stop_asked_at && *job.stop_asked_at <= moment.now &&
      (!moment.stop || *job.stop_asked_at < *moment.stop)) {
    own.stop = job.stop_asked_at;
  }
  return own;
}

JobProgress ProgressOf(const JobPlan& job, absl::Time block_start, const Moment& pipeline_moment) {
  const Moment moment = MomentOf(job, pipeline_moment);
  const absl::Time start = block_start + kEnqueuedLength;
  const absl::Time end = start + job.length;
  JobProgress progress{.state = "ENQUEUED",
                       .result = {},
                       .started_at = {},
                       .finished_at = {},
                       .created_at = block_start};
  if (moment.Reached(start)) progress.started_at = start;
  if (moment.Reached(end)) {
    progress.state = "FINISHED";
    progress.result = job.passes ? "PASSED" : "FAILED";
    progress.finished_at = end;
  } else if (moment.StopDone()) {
    progress.state = "FINISHED";
    progress.result = "STOPPED";
    progress.finished_at = *moment.stop + kStoppingLength;
  } else if (moment.stop) {
    progress.state = "STOPPING";
  } else if (progress.started_at) {
    progress.state = "RUNNING";
  }
  return progress;
}

BlockProgress ProgressOf(const BlockPlan& block, const BlockTimes& times, const Moment& moment,
                         bool pipeline_done) {
  BlockProgress progress;
  progress.started = times.reached && moment.Reached(times.start);
  if (!progress.started) {
    progress.state = pipeline_done ? "done" : "waiting";
    if (pipeline_done) {
      progress.result = "canceled";
      progress.result_reason = moment.stop ? "user" : "strategy";
    }
    return progress;
  }
  for (const JobPlan& job : block.jobs) {
    progress.jobs.push_back(ProgressOf(job, times.start, moment));
  }
  if (moment.Reached(times.end)) {
    progress.state = "done";
    progress.result = times.passes ? "passed" : "failed";
    progress.result_reason = block.skipped ? "skipped" : "test";
    if (times.passes && times.stopped) {
      progress.result = "stopped";
      progress.result_reason = "user";
    }
  } else if (pipeline_done) {
    progress.state = "done";
    progress.result = "stopped";
    progress.result_reason = "user";
  } else {
    progress.state = moment.stop ? "stopping" : "running";
  }
  return progress;
}

PipelineProgress MalformedProgress(const PipelinePlan& plan, absl::Time now) {
  PipelineProgress progress;
  progress.state = "initializing";
  const absl::Time done_at = plan.created_at + kInitializingLength;
  if (done_at <= now) {
    progress.state = "done";
    progress.result = "failed";
    progress.result_reason = "malformed";
    progress.done_at = done_at;
  }
  for (size_t i = 0; i < plan.blocks.size(); i++) {
    progress.blocks.push_back({.started = false,
                               .state = progress.done_at ? "done" : "waiting",
                               .result = progress.done_at ? "canceled" : "",
                               .result_reason = progress.done_at ? "malformed" : "",
                               .jobs = {}});
  }
  return progress;
}

}  // namespace

PipelineProgress ProgressAt(const PipelinePlan& plan, absl::Time now) {
  if (plan.malformed) return MalformedProgress(plan, now);
  Moment moment{.now = now, .stop = {}};
  if (plan.stop_asked_at && *plan.stop_asked_at <= now) moment.stop = plan.stop_asked_at;
  const absl::Time pending_at = plan.created_at + kInitializingLength;
  const absl::Time queuing_at = pending_at + kPendingLength;
  const absl::Time running_at = queuing_at + kQueuingLength;
  const std::vector<BlockTimes> times = TimesOf(plan, running_at);

  PipelineProgress progress;
  progress.state = "initializing";
  const auto enter = [&](absl::Time time, std::string_view state,
                         std::optional<absl::Time>& entered_at) {
    if (!moment.Reached(time)) return;
    progress.state = state;
    entered_at = time;
  };
  enter(pending_at, "pending", progress.pending_at);
  enter(queuing_at, "queuing", progress.queuing_at);
  enter(running_at, "running", progress.running_at);

  absl::Time natural_end = running_at;
  bool passes = true;
  bool job_stopped = false;
  for (const BlockTimes& block : times) {
    if (!block.reached) continue;
    natural_end = std::max(natural_end, block.end);
    passes = passes && block.passes;
    job_stopped = job_stopped || block.stopped;
  }
  enter(natural_end, "done", progress.done_at);
  if (progress.done_at) {
    progress.result = passes ? "passed" : "failed";
    progress.result_reason = "test";  // also when passed: the zero value, as upstream shows it
    if (passes && job_stopped) {
      progress.result = "stopped";
      progress.result_reason = "user";
    }
  } else if (moment.stop) {
    progress.state = "stopping";
    progress.stopping_at = moment.stop;
    if (moment.StopDone()) {
      progress.state = "done";
      progress.done_at = *moment.stop + kStoppingLength;
      progress.result = progress.running_at ? "stopped" : "canceled";
      progress.result_reason = "user";
    }
  }
  for (size_t i = 0; i < plan.blocks.size(); i++) {
    progress.blocks.push_back(
        ProgressOf(plan.blocks[i], times[i], moment, progress.done_at.has_value()));
  }
  return progress;
}

}  // namespace semaphore::simulator
