#include "gateway/ledger.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/client/fake_clock.h"
#include "tests/gateway/ledger_fixture.h"

namespace semaphore::gateway {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr char kFile[] = ".semaphore/semaphore.yml";

std::string RunsName(const std::string& result, const std::string& ref = "main",
                     const std::string& project = "web") {
  return NameOf("semaphoreci_pipeline_runs_total", {"acme", project, kFile, ref, "branch", result});
}

// The same file by another hand than the ledger's.
class OtherProgram {
 public:
  explicit OtherProgram(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &connection_), SQLITE_OK);
  }
  ~OtherProgram() { sqlite3_close(connection_); }
  OtherProgram(const OtherProgram&) = delete;
  OtherProgram& operator=(const OtherProgram&) = delete;

  void Run(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(connection_);
  }
  int64_t Count(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(connection_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
    const int64_t count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return count;
  }

 private:
  sqlite3* connection_ = nullptr;
};

class LedgerTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Ledger>> TryOpen(Ledger::Options options = {},
                                                  RunCounter counter = CounterOf()) {
    if (options.state_dir.empty()) options.state_dir = folder_.path();
    options.busy_timeout = absl::ZeroDuration();
    return Ledger::Open(std::move(options), std::move(counter), clock_);
  }
  std::unique_ptr<Ledger> Open(RunCounter counter = CounterOf()) {
    absl::StatusOr<std::unique_ptr<Ledger>> ledger = TryOpen({}, std::move(counter));
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    return ledger.ok() ? *std::move(ledger) : nullptr;
  }
  void Reopen(std::unique_ptr<Ledger>& ledger) {
    ledger.reset();
    ledger = Open();
  }
  static double Value(const Ledger& ledger, const std::string& name) {
    const Page page = PageOf(*ledger.View().snapshot);
    const auto found = page.find(name);
    return found == page.end() ? -1 : found->second;
  }
  static void Scrape(Ledger& ledger) {
    ledger.SeriesScraped(ledger.View().generation);
    ASSERT_TRUE(ledger.Settle().ok());
  }
  // An error that says which file and what to do.
  void ExpectClear(const absl::Status& status, absl::StatusCode code, const std::string& word) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(status.message().find(folder_.path()), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << status;
  }

  TemporaryFolder folder_;
  client::FakeClock clock_;
};

TEST_F(LedgerTest, CountsAPipelineOnceHoweverOftenItComes) {
  const auto ledger = Open();
  const CollectedBatch batch = BatchOf({PipelineOf({.id = "a"}), PipelineOf({.id = "b"})});
  absl::StatusOr<CommitOutcome> outcome = ledger->Commit(batch);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->counted, 2u);
  EXPECT_EQ(outcome->duplicates, 0u);
  outcome = ledger->Commit(batch);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->counted, 0u);
  EXPECT_EQ(outcome->duplicates, 2u);
  EXPECT_EQ(TotalsOf(*ledger)[RunsName("passed")], 2);
  EXPECT_EQ(ledger->GetStats().duplicates, 2u);
}

TEST_F(LedgerTest, CountsAPipelineOnceThatComesTwiceInOneBatch) {
  const auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({}), PipelineOf({})})).ok());
  EXPECT_EQ(TotalsOf(*ledger)[RunsName("passed")], 1);
}

TEST_F(LedgerTest, CountsOnAfterARestart) {
  auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({.id = "a"})})).ok());
  const Page before = TotalsOf(*ledger);
  Reopen(ledger);
  EXPECT_EQ(NonZero(PageOf(*ledger->View().snapshot)), before);
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({.id = "a"}), PipelineOf({.id = "b"})})).ok());
  EXPECT_EQ(TotalsOf(*ledger)[RunsName("passed")], 2);
}

TEST_F(LedgerTest, KnowsWhatItHasSeen) {
  auto ledger = Open();
  CollectedBatch batch = BatchOf({PipelineOf({.id = "a"})});
  batch.deployments.emplace_back().deployment.set_deployment_id("d");
  ASSERT_TRUE(ledger->Commit(batch).ok());
  Reopen(ledger);
  const auto unknown = ledger->Unknown("acme", "project-1", {"a", "b", "d"});
  ASSERT_TRUE(unknown.ok());
  EXPECT_EQ(*unknown, std::vector<std::string>{"b"});
  EXPECT_EQ(ledger->Unknown("other", "project-1", {"a"})->size(), 1u);
}

TEST_F(LedgerTest, OnlyRemembersWhatIsNotToBeCounted) {
  const auto ledger = Open();
  CollectedBatch batch = BatchOf({PipelineOf({.id = "a", .result = v1::PIPELINE_RESULT_FAILED})});
  batch.count = false;
  ASSERT_TRUE(ledger->Commit(batch).ok());
  EXPECT_TRUE(TotalsOf(*ledger).empty());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0) << "its series exist";
  // It was red before counting began, and recovers.
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({.id = "b", .done = kStart + 300})})).ok());
  const Page totals = TotalsOf(*ledger);
  EXPECT_EQ(totals.at(NameOf("semaphoreci_pipeline_recovery_duration_seconds_sum",
                             {"acme", "web", kFile, "main"})),
            200);
  EXPECT_EQ(totals.count(RunsName("failed")), 0u);
}

TEST_F(LedgerTest, AWatermarkMovesWithItsBatchAndNeverBack) {
  auto ledger = Open();
  EXPECT_EQ(*ledger->Watermark("acme", "project-1", "pipelines"), std::nullopt);
  CollectedBatch batch = BatchOf({});
  batch.watermark = absl::FromUnixSeconds(kStart);
  ASSERT_TRUE(ledger->Commit(batch).ok());
  batch.watermark = absl::FromUnixSeconds(kStart - 50);
  ASSERT_TRUE(ledger->Commit(batch).ok());
  ASSERT_TRUE(ledger->SetWatermark("acme", "project-1", "deployments", absl::UnixEpoch()).ok());
  Reopen(ledger);
  EXPECT_EQ(**ledger->Watermark("acme", "project-1", "pipelines"), absl::FromUnixSeconds(kStart));
  EXPECT_EQ(**ledger->Watermark("acme", "project-1", "deployments"), absl::UnixEpoch());
  EXPECT_EQ(*ledger->Watermark("acme", "project-2", "pipelines"), std::nullopt);
}

TEST_F(LedgerTest, CountsPromotionsAndDeploymentsOnce) {
  const auto ledger = Open();
  CollectedBatch batch = BatchOf({});
  CollectedPromotion& promotion = batch.promotions.emplace_back();
  promotion.pipeline_id = "a";
  promotion.promotion.set_name("Ship");
  promotion.promotion.set_state(v1::PROMOTION_STATE_PASSED);
  CollectedDeployment& deployment = batch.deployments.emplace_back();
  deployment.target = "production";
  deployment.deployment.set_deployment_id("d");
  deployment.result = v1::PIPELINE_RESULT_PASSED;
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<CommitOutcome> outcome = ledger->Commit(batch);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->counted, 0u) << "they are no pipelines";
  }
  const Page totals = TotalsOf(*ledger);
  EXPECT_EQ(totals.at(NameOf("semaphoreci_promotions_total",
                             {"acme", "web", "Ship", "passed", "manual"})),
            1);
  EXPECT_EQ(totals.at(NameOf("semaphoreci_deployments_total",
                             {"acme", "web", "production", "passed", "manual"})),
            1);
}

TEST_F(LedgerTest, ANewSeriesIsZeroUntilAScrapeHasReturnedThat) {
  const auto ledger = Open();
  const uint64_t before = ledger->View().generation;
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0);
  ledger->SeriesScraped(before);  // of the page without it
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0);
  Scrape(*ledger);
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({.id = "b"})})).ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 2) << "known by now, at once";
}

TEST_F(LedgerTest, ANewSeriesIsZeroUntilEveryScraperHasSeenThat) {
  const auto ledger = Open();
  ledger->SeriesScraped(ledger->View().generation, "one");
  ledger->SeriesScraped(ledger->View().generation, "other");
  clock_.Advance(seconds(30));
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  ledger->SeriesScraped(ledger->View().generation, "one");
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0);
  ledger->SeriesScraped(ledger->View().generation, "other");
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
}

TEST_F(LedgerTest, AScraperThatIsGoneIsNotWaitedForLonger) {
  const auto ledger = Open();
  ledger->SeriesScraped(ledger->View().generation, "gone");
  clock_.Advance(seconds(100));
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  clock_.Advance(seconds(20));
  ledger->SeriesScraped(ledger->View().generation, "here");
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
}

TEST_F(LedgerTest, MoreScrapersThanAreToldApartOnlyMakeZerosWait) {
  const auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  for (size_t i = 0; i <= Ledger::kMaxScrapers; ++i) {
    ledger->SeriesScraped(ledger->View().generation, std::to_string(i));
  }
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0);
  clock_.Advance(seconds(120));
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
}

TEST_F(LedgerTest, LastRunsAreKeptForAMonth) {
  auto ledger = Open();
  CollectedBatch batch = BatchOf({});
  const absl::Time now = clock_.WallNow();
  const LastRun young = {v1::PIPELINE_RESULT_FAILED, now - absl::Hours(5), now - absl::Hours(1),
                         absl::Seconds(90)};
  batch.last_runs = {
      {"a.yml", "main", young},
      {"old.yml", "main", {v1::PIPELINE_RESULT_PASSED, {}, now - absl::Hours(24 * 31), {}}}};
  ASSERT_TRUE(ledger->Commit(batch).ok());
  Reopen(ledger);
  const absl::StatusOr<std::vector<LastRunOf>> runs = ledger->LastRuns("acme", "project-1");
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 1u);
  EXPECT_EQ((*runs)[0].file, "a.yml");
  EXPECT_EQ((*runs)[0].ref, "main");
  EXPECT_TRUE((*runs)[0].run == young);
  EXPECT_EQ(ledger->LastRuns("acme", "another")->size(), 0u);
  EXPECT_EQ(ledger->LastRuns("another", "project-1")->size(), 0u);
}

TEST_F(LedgerTest, TheCapIsAsConfigured) {
  const auto ledger = *TryOpen({.max_series = 200});
  CollectedBatch batch = BatchOf({});
  for (size_t i = 0; i < 205; ++i) {
    CollectedPromotion& promotion = batch.promotions.emplace_back();
    promotion.pipeline_id = "a";
    promotion.promotion.set_name("p" + std::to_string(i));
    promotion.promotion.set_state(v1::PROMOTION_STATE_PASSED);
  }
  ASSERT_TRUE(ledger->Commit(batch).ok());
  EXPECT_EQ(ledger->GetStats().overflow, 5u);
}

TEST_F(LedgerTest, ANewSeriesIsZeroForTwoMinutesIfNobodyScrapes) {
  const auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  clock_.Advance(seconds(119));
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0);
  EXPECT_GT(ledger->GetStats().waiting, 0u);
  clock_.Advance(seconds(1));
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
  EXPECT_EQ(ledger->GetStats().waiting, 0u);
}

TEST_F(LedgerTest, AHistogramsZeroHasItsBuckets) {
  const auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  const std::string count =
      NameOf("semaphoreci_pipeline_run_duration_seconds_count", {"acme", "web", kFile, "passed"});
  EXPECT_EQ(Value(*ledger, count), 0);
  Scrape(*ledger);
  EXPECT_EQ(Value(*ledger, count), 1);
}

TEST_F(LedgerTest, APublishedSeriesDoesNotFallToZeroInARestart) {
  auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  Scrape(*ledger);
  Reopen(ledger);
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
}

TEST_F(LedgerTest, AWaitingSeriesIsStillZeroAfterARestart) {
  auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  Reopen(ledger);
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0);
  Scrape(*ledger);
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
}

TEST_F(LedgerTest, ADiscoveredPipelineHasItsSeriesAtZero) {
  auto ledger = Open();
  const RunCounter::Project project = {"acme", "project-1", "web"};
  ASSERT_TRUE(ledger->Discover(project, {{kFile, "main"}, {kFile, "feature"}}).ok());
  EXPECT_EQ(Value(*ledger, RunsName("failed")), 0);
  EXPECT_EQ(Value(*ledger, RunsName("failed", "other")), -1);
  Scrape(*ledger);
  const uint64_t generation = ledger->View().generation;
  ASSERT_TRUE(ledger->Discover(project, {{kFile, "main"}}).ok());
  EXPECT_EQ(ledger->View().generation, generation) << "nothing new";
  Reopen(ledger);
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({.result = v1::PIPELINE_RESULT_FAILED})})).ok());
  EXPECT_EQ(Value(*ledger, RunsName("failed")), 1) << "its zero was scraped before";
}

TEST_F(LedgerTest, SeriesBeyondTheCapAreCountedTogether) {
  const auto ledger = Open();
  const CiFamilySpec* spec = FindCiFamily("semaphoreci_promotions_total");
  CollectedBatch batch = BatchOf({});
  for (size_t i = 0; i < spec->max_series + 5; ++i) {
    CollectedPromotion& promotion = batch.promotions.emplace_back();
    promotion.pipeline_id = "a";
    promotion.promotion.set_name("p" + std::to_string(i));
    promotion.promotion.set_state(v1::PROMOTION_STATE_PASSED);
  }
  ASSERT_TRUE(ledger->Commit(batch).ok());
  EXPECT_EQ(ledger->GetStats().overflow, 5u);
  const std::string other =
      NameOf("semaphoreci_promotions_total", {"acme", "other", "other", "passed", "manual"});
  Page totals = TotalsOf(*ledger);
  EXPECT_EQ(totals[other], 5);
  // One that has its own series keeps it.
  batch.promotions.resize(1);
  batch.promotions[0].pipeline_id = "b";
  ASSERT_TRUE(ledger->Commit(batch).ok());
  totals = TotalsOf(*ledger);
  EXPECT_EQ(totals[other], 5);
  EXPECT_EQ(
      totals[NameOf("semaphoreci_promotions_total", {"acme", "web", "p0", "passed", "manual"})], 2);
}

TEST_F(LedgerTest, ASeriesToWhichNothingHappensGoesAndComesBackFromZero) {
  auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  Scrape(*ledger);
  const absl::Duration expiry = FindCiFamily("semaphoreci_pipeline_runs_total")->expiry;
  clock_.Advance(absl::ToChronoSeconds(expiry) - hours(2));
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
  clock_.Advance(hours(3));
  ASSERT_TRUE(ledger->Settle().ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), -1);
  EXPECT_GT(ledger->GetStats().expired, 0u);
  Reopen(ledger);
  EXPECT_EQ(Value(*ledger, RunsName("passed")), -1);
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({.id = "b"})})).ok());
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 0);
  Scrape(*ledger);
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
}

TEST_F(LedgerTest, ZerosStayWhileTheirPipelineIsSeen) {
  const auto ledger = Open();
  const absl::Duration expiry = FindCiFamily("semaphoreci_pipeline_runs_total")->expiry;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(ledger->Discover({"acme", "project-1", "web"}, {{kFile, "main"}}).ok());
    clock_.Advance(absl::ToChronoSeconds(expiry) - hours(2));
    ASSERT_TRUE(ledger->Settle().ok());
    EXPECT_EQ(Value(*ledger, RunsName("failed")), 0);
  }
}

TEST_F(LedgerTest, AnExemplarNamesTheRunInItsBucketAndSurvivesARestart) {
  auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  Scrape(*ledger);
  Reopen(ledger);
  const auto snapshot = ledger->View().snapshot;
  for (const CiFamily& family : snapshot->families) {
    if (family.name != "semaphoreci_pipeline_run_duration_seconds") continue;
    for (const CiSeries& series : family.series) {
      if (series.labels.back() != "passed") continue;
      ASSERT_EQ(series.exemplars.size(), 4u);  // 100 seconds are in the bucket up to 120
      ASSERT_TRUE(series.exemplars[3].has_value());
      EXPECT_EQ(series.exemplars[3]->pipeline_id, "p1");
      EXPECT_EQ(series.exemplars[3]->workflow_id, "w-p1");
      EXPECT_EQ(series.exemplars[3]->value, 100);
      EXPECT_EQ(series.exemplars[3]->time, absl::FromUnixSeconds(kStart + 100));
      return;
    }
  }
  FAIL() << "no such series";
}

TEST_F(LedgerTest, KeysAreForgottenOnlyWhenNoWalkCanAskForThemAgain) {
  const auto ledger = Open();
  CollectedBatch batch = BatchOf({PipelineOf({.id = "old"})});
  batch.watermark = absl::FromUnixSeconds(kStart + 100);
  ASSERT_TRUE(ledger->Commit(batch).ok());
  // The project is idle for a month: its next reconcile begins a day before the watermark.
  clock_.Advance(hours(24 * 30));
  ASSERT_TRUE(ledger->Commit(batch).ok());
  EXPECT_EQ(TotalsOf(*ledger)[RunsName("passed")], 1);
  const double later = kStart + 24.0 * 30 * 3600;
  batch = BatchOf({PipelineOf({.id = "new", .done = later})});
  batch.watermark = absl::FromUnixSeconds(static_cast<int64_t>(later));
  ASSERT_TRUE(ledger->Commit(batch).ok());
  EXPECT_EQ(*ledger->Unknown("acme", "project-1", {"old", "new"}), std::vector<std::string>{"old"});
}

TEST_F(LedgerTest, WhatACommitDeletesIsBounded) {
  const auto ledger = Open();
  std::vector<CollectedPipeline> many;
  for (int i = 0; i < 5000; ++i) many.push_back(PipelineOf({.id = "p" + std::to_string(i)}));
  ASSERT_TRUE(ledger->Commit(BatchOf(many)).ok());
  clock_.Advance(hours(24 * 30));
  CollectedBatch batch = BatchOf({});
  batch.watermark = clock_.WallNow();
  OtherProgram other(folder_.file());
  const std::vector<int64_t> left = {3000, 1000, 0};
  for (const int64_t expected : left) {
    ASSERT_TRUE(ledger->Commit(batch).ok());
    EXPECT_EQ(other.Count("SELECT count(*) FROM seen"), expected);
  }
}

TEST_F(LedgerTest, NamesAreDataWhateverTheyHold) {
  auto ledger = Open(CounterOf(CiLevel::kJob, {"(?s).*"}));
  const std::vector<std::string> hostile = {"'; DROP TABLE seen; --", "a\"b\\c\nd",
                                            "\xF0\x9F\x9A\x80",       std::string(10'000, 'x'),
                                            "\xff\xc0\x80",           std::string("nul\0byte", 8)};
  std::vector<CollectedPipeline> pipelines;
  for (const std::string& name : hostile) {
    CollectedPipeline pipeline = PipelineOf({.id = name, .branch = name, .commit = name});
    pipeline.pipeline.set_yaml_file_name(name);
    pipelines.push_back(pipeline);
  }
  CollectedBatch batch = BatchOf(pipelines);
  batch.project = hostile[1];
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<CommitOutcome> outcome = ledger->Commit(batch);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->counted, i == 0 ? hostile.size() : 0u);
  }
  const Page before = TotalsOf(*ledger);
  ledger.reset();
  ledger = Open(CounterOf(CiLevel::kJob, {"(?s).*"}));
  EXPECT_EQ(TotalsOf(*ledger), before);
  EXPECT_TRUE(ledger->Unknown("acme", "project-1", hostile)->empty());
}

TEST_F(LedgerTest, ASecondLedgerOnTheSameFolderIsRefused) {
  auto first = Open();
  ExpectClear(TryOpen().status(), absl::StatusCode::kFailedPrecondition, "two collectors");
  first.reset();
  EXPECT_TRUE(TryOpen().ok());
}

TEST_F(LedgerTest, AFileThatIsLockedElsewhereCanBeTriedAgain) {
  const auto ledger = Open();
  const CollectedBatch batch = BatchOf({PipelineOf({})});
  {
    OtherProgram other(folder_.file());
    other.Run("BEGIN IMMEDIATE");
    ExpectClear(ledger->Commit(batch).status(), absl::StatusCode::kUnavailable, "locked");
    EXPECT_TRUE(PageOf(*ledger->View().snapshot).empty()) << "nothing has changed";
    other.Run("ROLLBACK");
  }
  ASSERT_TRUE(ledger->Commit(batch).ok());
  EXPECT_EQ(TotalsOf(*ledger)[RunsName("passed")], 1);
}

TEST_F(LedgerTest, AFullDiskLosesAndDoublesNothing) {
  std::vector<CollectedPipeline> many;
  for (int i = 0; i < 2000; ++i) {
    many.push_back(PipelineOf({.id = std::string(200, 'x') + std::to_string(i)}));
  }
  {
    auto ledger = TryOpen({.max_pages = 40});
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ASSERT_TRUE((*ledger)->Commit(BatchOf({PipelineOf({})})).ok());
    const Page before = TotalsOf(**ledger);
    ExpectClear((*ledger)->Commit(BatchOf(many)).status(), absl::StatusCode::kResourceExhausted,
                "make room");
    EXPECT_EQ(TotalsOf(**ledger), before);
    ASSERT_TRUE((*ledger)->Commit(BatchOf({PipelineOf({.id = "b"})})).ok()) << "what fits, counts";
  }
  const auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf(many)).ok());
  EXPECT_EQ(TotalsOf(*ledger)[RunsName("passed")], 2002);
}

TEST_F(LedgerTest, ThePageIsReadWhileTheLedgerCounts) {
  const auto ledger = Open();
  std::atomic<bool> done = false;
  std::thread scraper([&] {
    double last = 0;
    while (!done) {
      const Ledger::Published published = ledger->View();
      const Page page = PageOf(*published.snapshot);
      const auto found = page.find(RunsName("passed"));
      if (found != page.end()) {
        EXPECT_GE(found->second, last);
        last = found->second;
      }
      ledger->SeriesScraped(published.generation);
      ledger->GetStats();
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(ledger->Commit(BatchOf({PipelineOf({.id = std::to_string(i)})})).ok());
    EXPECT_TRUE(ledger->Settle().ok());
  }
  done = true;
  scraper.join();
  EXPECT_EQ(TotalsOf(*ledger)[RunsName("passed")], 20);
}

TEST_F(LedgerTest, AFileOfANewerVersionIsLeftAlone) {
  Open().reset();
  OtherProgram(folder_.file()).Run("PRAGMA user_version = 2");
  ExpectClear(TryOpen().status(), absl::StatusCode::kFailedPrecondition, "newer version");
}

TEST_F(LedgerTest, AnotherProgramsFileIsNoLedger) {
  OtherProgram(folder_.file()).Run("CREATE TABLE theirs (a)");
  ExpectClear(TryOpen().status(), absl::StatusCode::kDataLoss, "another program");
  EXPECT_EQ(OtherProgram(folder_.file()).Count("SELECT count(*) FROM sqlite_master"), 1);
}

TEST_F(LedgerTest, AFileThatIsNoDatabaseIsRefused) {
  Open().reset();
  std::ofstream(folder_.file(), std::ios::trunc) << std::string(5000, 'z');
  ExpectClear(TryOpen().status(), absl::StatusCode::kDataLoss, "restore");
}

TEST_F(LedgerTest, ADamagedPageIsFoundAtTheStart) {
  {
    const auto ledger = Open();
    ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  }
  const auto size = std::filesystem::file_size(folder_.file());
  ASSERT_GT(size, 8192u);
  {
    std::fstream file(folder_.file(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(size - 4096, '\xA5');
  }
  ExpectClear(TryOpen().status(), absl::StatusCode::kDataLoss, "move it away");
}

TEST_F(LedgerTest, AFileThatIsGoneOrEmptyIsNotTakenForAFirstStart) {
  for (const bool gone : {true, false}) {
    Open().reset();
    std::filesystem::remove(folder_.file());
    if (!gone) std::ofstream(folder_.file()).flush();
    ExpectClear(TryOpen().status(), absl::StatusCode::kDataLoss, "move it away");
    // Doing what it says helps.
    std::filesystem::remove(folder_.file());
    std::filesystem::remove(folder_.file() + ".lock");
  }
  EXPECT_TRUE(TryOpen().ok());
}

TEST_F(LedgerTest, AFolderThatCannotBeWrittenIsNamed) {
  std::ofstream(folder_.path() + "/file").flush();
  for (const std::string& bad : {folder_.path() + "/file", std::string("/proc/ledger")}) {
    const absl::Status status = TryOpen({.state_dir = bad}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
    EXPECT_NE(status.message().find(bad), absl::string_view::npos) << status;
  }
}

TEST_F(LedgerTest, ASeriesWhoseBucketsHaveChangedStartsAgainFromZero) {
  auto ledger = Open();
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({})})).ok());
  Scrape(*ledger);
  ledger.reset();
  OtherProgram(folder_.file())
      .Run("UPDATE totals SET bounds = '1,2', buckets = '0,1,0' WHERE bounds != ''");
  ledger = Open();
  EXPECT_GT(ledger->GetStats().unreadable, 0u);
  const std::string count =
      NameOf("semaphoreci_pipeline_run_duration_seconds_count", {"acme", "web", kFile, "passed"});
  EXPECT_EQ(Value(*ledger, count), -1);
  EXPECT_EQ(Value(*ledger, RunsName("passed")), 1);
  ASSERT_TRUE(ledger->Commit(BatchOf({PipelineOf({.id = "b"})})).ok());
  EXPECT_EQ(Value(*ledger, count), 0);
  Scrape(*ledger);
  EXPECT_EQ(Value(*ledger, count), 1);
}

// Counts each run once, by a way of its own.
class Oracle {
 public:
  void Add(const RunFacts& run) {
    if (!seen_.insert(run.id).second) return;
    const std::string result = run.result == v1::PIPELINE_RESULT_PASSED   ? "passed"
                               : run.result == v1::PIPELINE_RESULT_FAILED ? "failed"
                                                                          : "stopped";
    const std::string ref = run.branch == "main" ? "main" : "other";
    ++page_[RunsName(result, ref)];
    Count("semaphoreci_pipeline_run_duration_seconds", {kFile, result}, 100);
    Count("semaphoreci_pipeline_phase_duration_seconds", {kFile, "pending"}, 10);
    Count("semaphoreci_pipeline_phase_duration_seconds", {kFile, "executing"}, 90);
    ++page_[NameOf("semaphoreci_workflow_runs_total", {"acme", "web", "branch", "hook"})];
    if (result == "failed") {
      ++page_[NameOf("semaphoreci_pipeline_failures_total", {"acme", "web", kFile, "test"})];
    }
    if (result != "stopped") results_of_commit_[run.commit].insert(result);
    if (ref == "main" && result != "stopped") main_[run.done] = result == "passed";
  }

  Page Totals() const {
    Oracle all = *this;
    constexpr double kGreen = -1;
    double red_since = kGreen;
    for (const auto& [done, passed] : main_) {
      if (!passed && red_since == kGreen) red_since = done;
      if (!passed || red_since == kGreen) continue;
      all.Count("semaphoreci_pipeline_recovery_duration_seconds", {kFile, "main"},
                done - red_since);
      red_since = kGreen;
    }
    for (const auto& [commit, results] : results_of_commit_) {
      if (results.size() < 2) continue;
      ++all.page_[NameOf("semaphoreci_pipeline_flaky_commits_total", {"acme", "web", kFile})];
    }
    return NonZero(all.page_);
  }

 private:
  void Count(const std::string& family, std::vector<std::string> more, double value) {
    more.insert(more.begin(), {"acme", "web"});
    ++page_[NameOf(family + "_count", more)];
    page_[NameOf(family + "_sum", more)] += value;
  }

  std::set<std::string> seen_;
  std::map<double, bool> main_;  // whether passed, by end
  std::map<std::string, std::set<std::string>> results_of_commit_;
  Page page_;
};

TEST_F(LedgerTest, TotalsAreTheTruthInAnyOrderWithRepetitionsErrorsAndRestarts) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    const TemporaryFolder folder;
    std::mt19937 random(seed);
    const auto below = [&random](unsigned limit) { return random() % limit; };
    Ledger::Options options;
    options.state_dir = folder.path();
    auto ledger = *TryOpen(options);
    Oracle oracle;
    std::vector<CollectedPipeline> earlier;
    Page last;
    for (unsigned batch = 0; batch < 25; ++batch) {
      std::vector<CollectedPipeline> pipelines;
      for (unsigned i = 0; i < 1 + below(30); ++i) {
        RunFacts run;
        run.id = std::to_string(batch) + "-" + std::to_string(i);
        run.result = std::array{v1::PIPELINE_RESULT_PASSED, v1::PIPELINE_RESULT_FAILED,
                                v1::PIPELINE_RESULT_STOPPED}[below(3)];
        run.branch = std::array{"main", "feature", "main"}[below(3)];
        run.commit = "c" + std::to_string(below(100));
        run.done = kStart + 1000.0 * batch + 10.0 * i;
        oracle.Add(run);
        pipelines.push_back(PipelineOf(run));
      }
      for (unsigned i = 0; i < below(20) && !earlier.empty(); ++i) {
        pipelines.push_back(earlier[below(static_cast<unsigned>(earlier.size()))]);
      }
      std::shuffle(pipelines.begin(), pipelines.end(), random);
      if (below(4) == 0) {
        OtherProgram other(folder.file());
        other.Run("BEGIN IMMEDIATE");
        EXPECT_FALSE(ledger->Commit(BatchOf(pipelines)).ok());
        other.Run("ROLLBACK");
      }
      ASSERT_TRUE(ledger->Commit(BatchOf(pipelines)).ok());
      if (below(3) == 0) {
        ledger.reset();
        ledger = *TryOpen(options);
      }
      if (below(2) == 0) Scrape(*ledger);
      for (const auto& [name, value] : PageOf(*ledger->View().snapshot)) {
        EXPECT_GE(value, last[name]) << name << " has fallen";
        last[name] = value;
      }
      earlier.insert(earlier.end(), pipelines.begin(), pipelines.end());
    }
    EXPECT_EQ(TotalsOf(*ledger), oracle.Totals());
  }
}

}  // namespace
}  // namespace semaphore::gateway
