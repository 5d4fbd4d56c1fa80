#include "tests/simulator/lifecycle.h"

#include <gtest/gtest.h>

namespace semaphore::simulator {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

JobPlan MakeJob(int seconds, bool passes = true) {
  JobPlan job;
  job.length = absl::Seconds(seconds);
  job.passes = passes;
  return job;
}

BlockPlan MakeBlock(std::vector<JobPlan> jobs) {
  BlockPlan block;
  block.jobs = std::move(jobs);
  return block;
}

// Runs from second 4; its first block ends at 15, its second at 21.
PipelinePlan MakePlan() {
  PipelinePlan plan;
  plan.created_at = kStart;
  plan.blocks = {MakeBlock({MakeJob(10), MakeJob(3)}), MakeBlock({MakeJob(5)})};
  return plan;
}

PipelineProgress At(const PipelinePlan& plan, int second) {
  return ProgressAt(plan, kStart + absl::Seconds(second));
}

TEST(LifecycleTest, APipelineGoesThroughItsStatesInOrder) {
  const PipelinePlan plan = MakePlan();
  const std::pair<int, const char*> rows[] = {{0, "initializing"}, {1, "pending"}, {2, "queuing"},
                                              {3, "queuing"},      {4, "running"}, {20, "running"},
                                              {21, "done"}};
  for (const auto& [second, state] : rows) EXPECT_EQ(At(plan, second).state, state) << second;
  EXPECT_EQ(At(plan, 21).result, "passed");
  EXPECT_EQ(At(plan, 20).result, "");
  EXPECT_EQ(At(plan, 21).done_at, kStart + absl::Seconds(21));
}

TEST(LifecycleTest, TheJobsOfABlockRunAtOnceAndBlocksInTurn) {
  const PipelineProgress progress = At(MakePlan(), 9);
  EXPECT_EQ(progress.blocks[0].state, "running");
  EXPECT_EQ(progress.blocks[0].jobs[0].state, "RUNNING");
  EXPECT_EQ(progress.blocks[0].jobs[1].state, "FINISHED");
  EXPECT_EQ(progress.blocks[0].jobs[1].result, "PASSED");
  EXPECT_FALSE(progress.blocks[1].started);
  EXPECT_EQ(At(MakePlan(), 4).blocks[0].jobs[0].state, "ENQUEUED");
  EXPECT_EQ(At(MakePlan(), 15).blocks[1].state, "running");
}

TEST(LifecycleTest, AFailedBlockCancelsThoseAfterIt) {
  PipelinePlan plan = MakePlan();
  plan.blocks[0].jobs[1].passes = false;
  const PipelineProgress progress = At(plan, 15);
  EXPECT_EQ(progress.state, "done");
  EXPECT_EQ(progress.result, "failed");
  EXPECT_EQ(progress.result_reason, "test");
  EXPECT_EQ(progress.blocks[0].result, "failed");
  EXPECT_EQ(progress.blocks[1].result, "canceled");
}

TEST(LifecycleTest, ASkippedBlockPassesAtOnceWithoutJobs) {
  PipelinePlan plan = MakePlan();
  plan.blocks[1].skipped = true;
  const PipelineProgress progress = At(plan, 15);
  EXPECT_EQ(progress.state, "done");
  EXPECT_EQ(progress.blocks[1].result, "passed");
  EXPECT_EQ(progress.blocks[1].result_reason, "skipped");
}

TEST(LifecycleTest, AStopWhileRunningEndsAsStopped) {
  PipelinePlan plan = MakePlan();
  plan.stop_asked_at = kStart + absl::Seconds(9);
  EXPECT_EQ(At(plan, 8).state, "running");
  EXPECT_EQ(At(plan, 9).state, "stopping");
  EXPECT_EQ(At(plan, 9).stopping_at, plan.stop_asked_at);
  EXPECT_EQ(At(plan, 9).blocks[0].state, "stopping");
  EXPECT_EQ(At(plan, 9).blocks[0].jobs[0].state, "STOPPING");
  const PipelineProgress done = At(plan, 11);
  EXPECT_EQ(done.state, "done");
  EXPECT_EQ(done.result, "stopped");
  EXPECT_EQ(done.result_reason, "user");
  EXPECT_EQ(done.blocks[0].result, "stopped");
  EXPECT_EQ(done.blocks[0].jobs[0].result, "STOPPED");
  EXPECT_EQ(done.blocks[0].jobs[1].result, "PASSED");
  EXPECT_EQ(done.blocks[1].result, "canceled");
}

TEST(LifecycleTest, AStopBeforeRunningEndsAsCanceled) {
  PipelinePlan plan = MakePlan();
  plan.stop_asked_at = kStart + absl::Seconds(2);
  const PipelineProgress done = At(plan, 10);
  EXPECT_EQ(done.result, "canceled");
  EXPECT_FALSE(done.running_at.has_value());
}

TEST(LifecycleTest, AMalformedPipelineFailsBeforeAnyBlock) {
  PipelinePlan plan = MakePlan();
  plan.malformed = true;
  EXPECT_EQ(At(plan, 0).state, "initializing");
  EXPECT_EQ(At(plan, 1).state, "done");
  EXPECT_EQ(At(plan, 1).result_reason, "malformed");
  EXPECT_FALSE(At(plan, 1).running_at.has_value());
}

TEST(LifecycleTest, AnEndlessJobRunsUntilItIsStopped) {
  PipelinePlan plan = MakePlan();
  plan.blocks[0].jobs[0].length = absl::InfiniteDuration();
  EXPECT_EQ(At(plan, 1'000'000'000).state, "running");
  plan.stop_asked_at = kStart + absl::Seconds(100);
  EXPECT_EQ(At(plan, 102).state, "done");
}

TEST(LifecycleTest, AJobStoppedByItselfLeavesTheOthersOfItsBlockAlone) {
  PipelinePlan plan = MakePlan();
  plan.blocks[0].jobs[1].stop_asked_at = kStart + absl::Seconds(6);
  EXPECT_EQ(At(plan, 6).blocks[0].jobs[1].state, "STOPPING");
  const PipelineProgress later = At(plan, 8);
  EXPECT_EQ(later.blocks[0].jobs[1].state, "FINISHED");
  EXPECT_EQ(later.blocks[0].jobs[1].result, "STOPPED");
  EXPECT_EQ(later.blocks[0].jobs[0].state, "RUNNING");
  const PipelineProgress done = At(plan, 15);
  EXPECT_EQ(done.state, "done");
  EXPECT_EQ(done.result, "stopped");
  EXPECT_EQ(done.blocks[0].result, "stopped");
  EXPECT_EQ(done.blocks[0].result_reason, "user");
  EXPECT_EQ(done.blocks[1].result, "canceled");
}

TEST(LifecycleTest, AFailedJobOutweighsAStoppedOne) {
  PipelinePlan plan = MakePlan();
  plan.blocks[0].jobs[0].passes = false;
  plan.blocks[0].jobs[1].stop_asked_at = kStart + absl::Seconds(6);
  EXPECT_EQ(At(plan, 15).result, "failed");
}

TEST(LifecycleTest, TheEarlierOfTwoStopsEndsAJob) {
  PipelinePlan plan = MakePlan();
  plan.blocks[0].jobs[0].stop_asked_at = kStart + absl::Seconds(6);
  plan.stop_asked_at = kStart + absl::Seconds(7);
  const PipelineProgress progress = At(plan, 8);
  EXPECT_EQ(progress.blocks[0].jobs[0].state, "FINISHED");
  EXPECT_EQ(progress.state, "stopping");
  EXPECT_EQ(At(plan, 9).result, "stopped");
}

}  // namespace
}  // namespace semaphore::simulator
