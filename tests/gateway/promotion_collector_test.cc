// Promotions, from a Semaphore in virtual time to the totals of the real ledger: each once, through
// restarts, downtimes, and replies and commits that fail.
#include "gateway/promotion_collector.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/gateway/durable_collector_fixture.h"

namespace semaphore::gateway {
namespace {

class PromotionCollectorTest : public DurableCollectorFixture {
 protected:
  // A pipeline that is done at once and was promoted automatically to `name` then.
  void Promote(const std::string& id, const std::string& name) {
    semaphore_.Run(id, absl::Seconds(1)).switch_id = "switch";
    semaphore_.promotions[id] = {{name, semaphore_.Now() + absl::Seconds(1)}};
  }
};

TEST_F(PromotionCollectorTest, TheyAreReadAMinuteAfterTheEndAndAnHour) {
  StartCounting();
  Promote("a", "Staging");
  semaphore_.Run("b", absl::Seconds(1));
  RunFor(absl::Minutes(30));
  EXPECT_EQ(Promotions("Staging"), 1);
  EXPECT_EQ(semaphore_.RequestsTo("promotions"), 1u);
  RunFor(absl::Hours(6));
  EXPECT_EQ(AllPromotions(), 1);
  EXPECT_EQ(semaphore_.RequestsTo("promotions"), 2u);
}

// "Prod" has a pipeline, which tells of its parent from a time on at which "Staging" was past, and
// comes first in a page that holds both.
TEST_F(PromotionCollectorTest, AfterADowntimeThoseOfTheParentAndOfTheChildAreCounted) {
  StartCounting();
  StopAll();
  Promote("a", "Staging");
  RunFor(absl::Minutes(30));
  semaphore_.promotions["a"].insert(semaphore_.promotions["a"].begin(),
                                    {.name = "Prod",
                                     .triggered = semaphore_.Now(),
                                     .status = "passed",
                                     .triggered_by = "someone"});
  semaphore_.Run("prod", absl::Minutes(5)).promotion_of = "a";
  RunFor(absl::Hours(3));
  StartAll();
  RunFor(absl::Minutes(10));
  EXPECT_EQ(Promotions("Staging"), 1);
  EXPECT_EQ(Promotions("Prod", "passed", "manual"), 1);
  EXPECT_EQ(AllPromotions(), 2);
}

TEST_F(PromotionCollectorTest, APromotionWeeksAfterTheEndIsCountedWithItsPipeline) {
  StartCounting();
  Promote("a", "Staging");
  RunFor(absl::Hours(2));
  StopAll();
  RunFor(absl::Hours(24 * 20));
  StartAll();
  RunFor(absl::Hours(1));
  semaphore_.promotions["a"].insert(semaphore_.promotions["a"].begin(), {"Prod", semaphore_.Now()});
  semaphore_.Run("prod", absl::Minutes(5)).promotion_of = "a";
  RunFor(absl::Minutes(20));
  EXPECT_EQ(Promotions("Staging"), 1);
  EXPECT_EQ(Promotions("Prod"), 1);
}

TEST_F(PromotionCollectorTest, WhatWasPromotedBeforeCountingBeganIsNotCounted) {
  Promote("a", "Staging");
  RunFor(absl::Minutes(1));
  semaphore_.promotions["a"].insert(semaphore_.promotions["a"].begin(),
                                    {"Before", semaphore_.Now()});
  RunFor(absl::Milliseconds(100));
  semaphore_.Run("staging", absl::Minutes(9)).promotion_of = "a";
  RunFor(absl::Seconds(90));
  StartCounting();
  semaphore_.promotions["a"].insert(semaphore_.promotions["a"].begin(),
                                    {"After", semaphore_.Now()});
  RunFor(absl::Hours(1));
  EXPECT_EQ(Promotions("After"), 1);
  EXPECT_EQ(AllPromotions(), 1);
}

TEST_F(PromotionCollectorTest, WhatEndedBeforeCountingBeganMayBePromotedAfter) {
  Promote("a", "Staging");
  RunFor(absl::Minutes(10));
  semaphore_.Run("last", absl::Seconds(1));
  RunFor(absl::Minutes(1));
  StartCounting();
  semaphore_.promotions["a"].insert(semaphore_.promotions["a"].begin(),
                                    {.name = "After",
                                     .triggered = semaphore_.Now(),
                                     .status = "failed",
                                     .triggered_by = "someone"});
  RunFor(absl::Hours(2));
  EXPECT_EQ(Promotions("After", "failed", "manual"), 1);
  EXPECT_EQ(AllPromotions(), 1);
}

TEST_F(PromotionCollectorTest, ARestartBetweenTheCommitAndTheReadingLosesNothing) {
  StartCounting();
  Promote("a", "Staging");
  while (All("semaphoreci_pipeline_runs_total") == 0) RunFor(absl::Seconds(1));
  EXPECT_EQ(semaphore_.RequestsTo("promotions"), 0u);
  StopAll();
  RunFor(absl::Hours(24 * 3));
  StartAll();
  RunFor(absl::Minutes(10));
  EXPECT_EQ(AllPromotions(), 1);
  Restart();
  RunFor(absl::Hours(2));
  EXPECT_EQ(AllPromotions(), 1);
}

TEST_F(PromotionCollectorTest, ABackfillOfThousandsLosesNone) {
  options_.backfill = absl::Hours(24);
  for (int i = 0; i < 2500; ++i) {
    Promote(absl::StrCat("p", i), "Staging");
    RunFor(absl::Seconds(10));
  }
  StartCollector();
  RunFor(absl::Hours(1));
  Restart();
  RunFor(absl::Hours(2));
  EXPECT_EQ(Promotions("Staging"), 2500);
  EXPECT_FALSE(Logged("promotions_dropped"));
}

TEST_F(PromotionCollectorTest, AManualOneWhosePipelineIsNeverMadeIsFoundWithinTheHour) {
  StartCounting();
  Promote("a", "Staging");
  RunFor(absl::Minutes(30));
  semaphore_.promotions["a"].insert(
      semaphore_.promotions["a"].begin(),
      {"Prod", semaphore_.Now(), /*status=*/"failed", /*triggered_by=*/"someone"});
  RunFor(absl::Minutes(45));
  EXPECT_EQ(Promotions("Prod", "failed", "manual"), 1);
  EXPECT_EQ(AllPromotions(), 2);
}

TEST_F(PromotionCollectorTest, OneThatIsNotDecidedIsWaitedForThroughARestart) {
  StartCounting();
  Promote("a", "Slow");
  Promote("b", "Stuck");
  semaphore_.promotions["a"][0].status = "processing";
  semaphore_.promotions["b"][0].status = "processing";
  RunFor(absl::Minutes(3));
  EXPECT_EQ(AllPromotions(), 0);
  Restart();
  semaphore_.promotions["a"][0].status = "passed";
  RunFor(absl::Hours(3));
  EXPECT_EQ(Promotions("Slow"), 1);
  EXPECT_EQ(Promotions("Stuck", "processing"), 1);
  EXPECT_EQ(AllPromotions(), 2);
}

TEST_F(PromotionCollectorTest, ThoseOfOnePipelineAreReadPageByPage) {
  StartCounting();
  RunFor(absl::Hours(1));
  semaphore_.Run("a", absl::Seconds(1)).switch_id = "switch";
  for (int i = 0; i < 120; ++i) {
    semaphore_.promotions["a"].push_back(
        {absl::StrCat("p", i), semaphore_.Now() - absl::Seconds(i)});
  }
  RunFor(absl::Minutes(10));
  EXPECT_EQ(AllPromotions(), 120);
}

TEST_F(PromotionCollectorTest, WhatUpstreamStumblesOverForSomeWhileIsCounted) {
  for (const int status : {500, 404, 503}) {
    SCOPED_TRACE(status);
    const std::string name = absl::StrCat("after", status);
    StartCounting();
    Promote(name, name);
    Promote(absl::StrCat("beside", status), "Beside");
    Fail("promotions?pipeline_id=" + name, status);
    RunFor(absl::Minutes(40));
    EXPECT_EQ(Promotions(name), 0);
    EXPECT_GE(Promotions("Beside"), 1);
    Restart();
    semaphore_.intercept = nullptr;
    RunFor(absl::Hours(2));
    EXPECT_EQ(Promotions(name), 1);
    EXPECT_FALSE(Logged("promotions_given_up"));
    StopCollector();
  }
  EXPECT_EQ(AllPromotions(), 6);
}

TEST_F(PromotionCollectorTest, WhatUpstreamAlwaysStumblesOverIsGivenUpAndTold) {
  StartCounting();
  Promote("bad", "Bad");
  Fail("promotions?pipeline_id=bad", 500);
  RunFor(absl::Hours(4));
  EXPECT_TRUE(Logged("promotions_given_up"));
  semaphore_.requests.clear();
  Promote("good", "Good");
  RunFor(absl::Hours(4));
  EXPECT_EQ(semaphore_.RequestsTo("promotions?pipeline_id=bad"), 0u);
  EXPECT_EQ(Promotions("Good"), 1);
}

// More of them than a poll reads, and longest due.
TEST_F(PromotionCollectorTest, ManyThatCannotBeReadDoNotKeepTheOthersWaiting) {
  StartCounting();
  for (int i = 0; i < 50; ++i) Promote(absl::StrCat("bad", i), "Bad");
  Fail("promotions?pipeline_id=bad", 500);
  RunFor(absl::Minutes(3));
  Promote("good", "Good");
  RunFor(absl::Minutes(15));
  EXPECT_FALSE(Logged("Semaphore failed most")) << "the circuit breaker";
  EXPECT_EQ(Promotions("Good"), 1);
}

TEST_F(PromotionCollectorTest, WhatTheLedgerRefusesIsTriedAgain) {
  for (const absl::Status& trouble : {absl::InternalError("the ledger cannot be written"),
                                      absl::PermissionDeniedError("the ledger is read-only"),
                                      absl::ResourceExhaustedError("the ledger cannot grow")}) {
    StartCounting();
    const std::string id = std::string(absl::StatusCodeToString(trouble.code()));
    Promote(id, id);
    while (semaphore_.RequestsTo("pipelines/" + id) == 0) {
      RunFor(absl::Seconds(1));
      durable_->refuses = [](const CollectedBatch& batch) { return !batch.promotions.empty(); };
      durable_->trouble = trouble;
    }
    RunFor(absl::Hours(3));
    EXPECT_EQ(Promotions(id), 0);
    durable_->trouble = absl::OkStatus();
    RunFor(absl::Minutes(20));
    EXPECT_EQ(Promotions(id), 1);
    StopCollector();
  }
  EXPECT_FALSE(Logged("promotions_given_up"));
}

TEST_F(PromotionCollectorTest, NothingWaitsAtALevelThatHasNone) {
  options_.level = CiLevel::kProject;
  StartCounting();
  Promote("a", "Staging");
  RunFor(absl::Hours(2));
  EXPECT_EQ(semaphore_.RequestsTo("promotions"), 0u);
  EXPECT_TRUE(durable_->DuePromotions("acme", "web-id", absl::InfiniteFuture())->empty());
}

}  // namespace
}  // namespace semaphore::gateway
