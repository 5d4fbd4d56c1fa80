// The collector against a Semaphore in virtual time: that each pipeline is counted once whatever
// clocks, lists, upstream and restarts do, and what it costs.
#include "gateway/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/gateway/collector_fixture.h"

namespace semaphore::gateway {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class CollectorTest : public CollectorFixture {};

TEST_F(CollectorTest, WhatFinishedBeforeTheFirstStartIsNotCounted) {
  semaphore_.Run("old", absl::Seconds(1));
  RunFor(absl::Hours(5));
  StartCollector();
  RunFor(absl::Hours(3));
  EXPECT_THAT(ledger_.counted, IsEmpty());
}

TEST_F(CollectorTest, APipelineOfFiftyMillisecondsIsCountedOnce) {
  StartCounting();
  semaphore_.Run("short", absl::Milliseconds(50));
  RunFor(absl::Hours(3));
  EXPECT_THAT(ledger_.counted, ElementsAre("short"));
}

TEST_F(CollectorTest, WhatFinishesIsCountedWithinTwoPolls) {
  StartCounting();
  semaphore_.Run("a", absl::Minutes(3));
  RunFor(absl::Minutes(4) + absl::Seconds(5));
  EXPECT_THAT(ledger_.counted, ElementsAre("a"));
}

TEST_F(CollectorTest, OnesThatAreRunningAtTheFirstStartAreCountedWhenTheyAreDone) {
  semaphore_.Run("running", absl::Minutes(30));
  RunFor(absl::Minutes(1));
  StartCollector();
  RunFor(absl::Hours(1));
  EXPECT_THAT(ledger_.counted, ElementsAre("running"));
}

TEST_F(CollectorTest, APipelineThatIsDatedBackByHoursIsCountedOnce) {
  StartCounting();
  const absl::Time now = semaphore_.Now();
  semaphore_.Run("late", absl::ZeroDuration()).visible_done = now + absl::Hours(6);
  RunFor(absl::Hours(5));
  EXPECT_THAT(ledger_.counted, IsEmpty());
  RunFor(absl::Hours(3));
  EXPECT_THAT(ledger_.counted, ElementsAre("late"));
}

// Upstream's list by creation never showed it as active, so only the hourly look back can find it.
TEST_F(CollectorTest, OneThatTurnsUpDatedBackIsFoundWithinTheHour) {
  StartCounting();
  RunFor(absl::Hours(10));
  const absl::Time now = semaphore_.Now();
  semaphore_.pipelines.insert(semaphore_.pipelines.begin(),
                              {"ghost", "web-id", now - absl::Hours(9), now - absl::Hours(8)});
  semaphore_.Run("other", absl::Seconds(1));
  RunFor(absl::Minutes(65));
  EXPECT_THAT(ledger_.counted, UnorderedElementsAre("ghost", "other"));
}

TEST_F(CollectorTest, ClocksThatDifferByMinutesLoseAndDoubleNothing) {
  for (const int minutes : {-10, 10}) {
    semaphore_.skew = absl::Minutes(minutes);
    StartCounting();
    std::vector<std::string> expected = ledger_.counted;
    for (int i = 0; i < 200; ++i) {
      const std::string id = absl::StrCat("p", minutes, "-", i);
      semaphore_.Run(id, absl::Seconds(Random() * 600));
      expected.push_back(id);
      RunFor(absl::Seconds(Random() * 60));
    }
    RunFor(absl::Hours(2));
    std::sort(expected.begin(), expected.end());
    std::vector<std::string> counted = ledger_.counted;
    std::sort(counted.begin(), counted.end());
    EXPECT_EQ(counted, expected) << minutes;
    StopCollector();
    semaphore_.pipelines.clear();
    RunFor(absl::Hours(60));
  }
}

TEST_F(CollectorTest, ClocksThatJumpLoseAndDoubleNothing) {
  StartCounting();
  size_t runs = 0;
  for (const int minutes : {0, 7, -7, 3, 0}) {
    semaphore_.skew = absl::Minutes(minutes);
    for (int i = 0; i < 30; ++i) {
      semaphore_.Run(absl::StrCat("p", runs++), absl::Seconds(Random() * 300));
      RunFor(absl::Seconds(Random() * 60));
    }
  }
  RunFor(absl::Hours(2));
  EXPECT_EQ(ledger_.counted.size(), runs);
}

TEST_F(CollectorTest, AWalkThatFailsMidwayIsTakenUpAgain) {
  StartCounting();
  for (int i = 0; i < 900; ++i) {
    semaphore_.Run(absl::StrCat("p", i), absl::Milliseconds(50));
    RunFor(absl::Milliseconds(10));
  }
  int asked = 0;
  semaphore_.intercept = [&](const std::string& target) -> std::optional<client::HttpResult> {
    if (!absl::StrContains(target, "done_after")) return std::nullopt;
    return ++asked % 5 == 0 ? std::optional(FakeSemaphore::Reply(500, "\"Internal error\""))
                            : std::nullopt;
  };
  RunFor(absl::Minutes(40));
  EXPECT_EQ(ledger_.counted.size(), 900u);
  EXPECT_LE(ledger_.largest_batch, 200u);
}

TEST_F(CollectorTest, TheWatermarkStaysWhenAWalkFails) {
  StartCounting();
  const absl::Time before = ledger_.watermarks.at({"web-id", "pipelines"});
  semaphore_.intercept = [](const std::string& target) -> std::optional<client::HttpResult> {
    if (!absl::StrContains(target, "done_after")) return std::nullopt;
    return FakeSemaphore::TimedOut();
  };
  semaphore_.Run("a", absl::Seconds(1));
  RunFor(absl::Hours(2));
  EXPECT_THAT(ledger_.counted, IsEmpty());
  EXPECT_EQ(ledger_.watermarks.at({"web-id", "pipelines"}), before);
  semaphore_.intercept = nullptr;
  RunFor(absl::Minutes(12));
  EXPECT_THAT(ledger_.counted, ElementsAre("a"));
}

TEST_F(CollectorTest, ARestartInTheMiddleNeitherLosesNorDoubles) {
  StartCounting();
  size_t runs = 0;
  for (int restart = 0; restart < 10; ++restart) {
    for (int i = 0; i < 20; ++i) {
      semaphore_.Run(absl::StrCat("p", runs++), absl::Seconds(Random() * 200));
      RunFor(absl::Seconds(Random() * 40));
    }
    StopCollector();
    for (int i = 0; i < 20; ++i) semaphore_.Run(absl::StrCat("p", runs++), absl::Seconds(1));
    RunFor(absl::Hours(Random() * 5));
    StartCollector();
  }
  RunFor(absl::Hours(2));
  EXPECT_EQ(ledger_.counted.size(), runs);
  EXPECT_EQ(std::set<std::string>(ledger_.counted.begin(), ledger_.counted.end()).size(), runs);
}

TEST_F(CollectorTest, ALedgerThatRefusesIsAskedAgain) {
  StartCounting();
  ledger_.trouble = absl::UnavailableError("database is locked");
  semaphore_.Run("a", absl::Seconds(1));
  RunFor(absl::Minutes(10));
  EXPECT_FALSE(collector_->Notes().empty());
  ledger_.trouble = absl::OkStatus();
  RunFor(absl::Minutes(12));
  EXPECT_THAT(ledger_.counted, ElementsAre("a"));
  EXPECT_TRUE(collector_->Notes().empty());
}

TEST_F(CollectorTest, ADeadUpstreamIsAskedSeldomAndTold) {
  StartCounting();
  semaphore_.intercept = [](const std::string&) {
    return std::optional(FakeSemaphore::Reply(503, ""));
  };
  RunFor(absl::Hours(6));
  EXPECT_LT(semaphore_.requests.size(), 6u * 12 * 10);
  EXPECT_EQ(State("semaphoreci_up", {"acme"}), 0);
  EXPECT_FALSE(collector_->Notes().empty());
  // What was known is still shown.
  EXPECT_EQ(State("semaphoreci_project_info", {"acme", "web", "web-id"}), 1);
  semaphore_.intercept = nullptr;
  semaphore_.Run("a", absl::Seconds(1));
  RunFor(absl::Minutes(12));
  EXPECT_EQ(State("semaphoreci_up", {"acme"}), 1);
  EXPECT_THAT(ledger_.counted, ElementsAre("a"));
}

TEST_F(CollectorTest, ARenamedProjectIsFollowedAndADeletedOneLeavesTheOthers) {
  semaphore_.projects = {{"web-id", "web"}, {"api-id", "api"}};
  organization_.projects = {"web", "api", "nowhere"};
  StartCounting();
  semaphore_.projects = {{"web-id", "www"}};
  RunFor(absl::Hours(2));
  semaphore_.Run("a", absl::Seconds(1));
  RunFor(absl::Minutes(5));
  EXPECT_THAT(ledger_.counted, ElementsAre("a"));
  EXPECT_THAT(ledger_.names, ElementsAre("www"));
  EXPECT_EQ(State("semaphoreci_project_info", {"acme", "www", "web-id"}), 1);
  EXPECT_EQ(State("semaphoreci_project_info", {"acme", "api", "api-id"}), -1);
}

TEST_F(CollectorTest, AConfiguredProjectThatIsNotThereIsToldUntilItIs) {
  organization_.projects.push_back("later");
  StartCounting();
  EXPECT_THAT(collector_->Notes(), ElementsAre(testing::HasSubstr("no project later")));
  semaphore_.projects.push_back({"later-id", "later"});
  RunFor(absl::Hours(2));
  EXPECT_THAT(collector_->Notes(), IsEmpty());
}

TEST_F(CollectorTest, DiscoveredProjectsAreTakenUpHourly) {
  options_.discover = true;
  organization_.projects.clear();
  StartCounting();
  semaphore_.projects.push_back({"new-id", "new"});
  RunFor(absl::Hours(1) + absl::Minutes(5));
  EXPECT_EQ(State("semaphoreci_project_info", {"acme", "new", "new-id"}), 1);
}

TEST_F(CollectorTest, ABackfillCountsFromThenOn) {
  options_.backfill = absl::Hours(2);
  semaphore_.Run("too old", absl::Seconds(1));
  RunFor(absl::Hours(2));
  semaphore_.Run("recent", absl::Seconds(1));
  RunFor(absl::Hours(1));
  StartCollector();
  RunFor(absl::Hours(3));
  EXPECT_THAT(ledger_.counted, ElementsAre("recent"));
}

TEST_F(CollectorTest, ShowsWhatIsActive) {
  StartCounting();
  const absl::Time created = semaphore_.Now();
  semaphore_.Run("a", absl::Hours(1));
  RunFor(absl::Minutes(2));
  const std::string file = ".semaphore/semaphore.yml";
  EXPECT_EQ(State("semaphoreci_pipelines_active", {"acme", "web", file, "running"}), 1);
  EXPECT_EQ(State("semaphoreci_pipelines_active", {"acme", "web", file, "queuing"}), 0);
  EXPECT_EQ(
      State("semaphoreci_pipeline_oldest_active_timestamp_seconds", {"acme", "web", "running"}),
      absl::ToDoubleSeconds(created - absl::UnixEpoch()));
  RunFor(absl::Hours(1));
  EXPECT_EQ(State("semaphoreci_pipelines_active", {"acme", "web", file, "running"}), 0);
  EXPECT_EQ(State("semaphoreci_pipeline_last_result", {"acme", "web", file, "main", "passed"}), 1);
  EXPECT_EQ(State("semaphoreci_pipeline_last_result", {"acme", "web", file, "main", "failed"}), 0);
  EXPECT_EQ(State("semaphoreci_pipeline_last_run_duration_seconds", {"acme", "web", file, "main"}),
            3600);
}

// Behind more pages than a look reads, it is asked for by its id.
TEST_F(CollectorTest, AnOldActivePipelineBehindManyIsStillFollowed) {
  StartCounting();
  semaphore_.Run("old", absl::Hours(20));
  RunFor(absl::Minutes(1));
  for (int i = 0; i < 1000; ++i) {
    semaphore_.Run(absl::StrCat("p", i), absl::Seconds(1));
    RunFor(absl::Seconds(2));
  }
  RunFor(absl::Hours(1));
  const std::string file = ".semaphore/semaphore.yml";
  EXPECT_EQ(State("semaphoreci_pipelines_active", {"acme", "web", file, "running"}), 1);
  EXPECT_LT(semaphore_.RequestsTo("pipelines/old"), 300u);
  RunFor(absl::Hours(20));
  EXPECT_EQ(State("semaphoreci_pipelines_active", {"acme", "web", file, "running"}), 0);
  EXPECT_EQ(ledger_.counted.size(), 1001u);
}

TEST_F(CollectorTest, ShowsAgentsWithZerosForTypesThatHaveNone) {
  StartCounting();
  EXPECT_EQ(State("semaphoreci_agents", {"acme", "s1-linux", "running_job"}), 0);
  semaphore_.agents = 3;
  RunFor(absl::Minutes(1));
  EXPECT_EQ(State("semaphoreci_agents", {"acme", "s1-linux", "running_job"}), 3);
  EXPECT_EQ(State("semaphoreci_agent_versions", {"acme", "s1-linux", "v2.2"}), 3);
}

TEST_F(CollectorTest, JobsAreReadOncePerPipelineAtLevelJob) {
  options_.level = CiLevel::kJob;
  StartCounting();
  for (int i = 0; i < 50; ++i) semaphore_.Run(absl::StrCat("p", i), absl::Seconds(1));
  RunFor(absl::Hours(3));
  EXPECT_EQ(ledger_.counted.size(), 50u);
  EXPECT_EQ(ledger_.jobs, 50u);
  EXPECT_EQ(semaphore_.RequestsTo("jobs/"), 50u);
  EXPECT_EQ(semaphore_.RequestsTo("pipelines/p"), 50u);
}

TEST_F(CollectorTest, ACanceledRunLeavesTheVerdictAndMovesTheTime) {
  StartCounting();
  const std::string file = ".semaphore/semaphore.yml";
  semaphore_.Run("red", absl::Seconds(1)).result = "FAILED";
  RunFor(absl::Minutes(2));
  const double before =
      State("semaphoreci_pipeline_last_run_timestamp_seconds", {"acme", "web", file, "main"});
  semaphore_.Run("skipped", absl::Seconds(1)).result = "CANCELED";
  RunFor(absl::Minutes(2));
  EXPECT_EQ(State("semaphoreci_pipeline_last_result", {"acme", "web", file, "main", "failed"}), 1);
  EXPECT_EQ(State("semaphoreci_pipeline_last_result", {"acme", "web", file, "main", "canceled"}),
            0);
  EXPECT_GT(State("semaphoreci_pipeline_last_run_timestamp_seconds", {"acme", "web", file, "main"}),
            before);
}

TEST_F(CollectorTest, LastRunsOutliveARestartAndGoAfterAMonth) {
  options_.poll_interval = absl::Hours(2);
  StartCounting();
  RunFor(absl::Hours(5));
  const std::string file = ".semaphore/semaphore.yml";
  const std::vector<std::string> labels = {"acme", "web", file, "main", "failed"};
  semaphore_.Run("red", absl::Seconds(1)).result = "FAILED";
  RunFor(absl::Hours(5));
  // Behind more than a look reads, and before what a walk does.
  for (int i = 0; i < 600; ++i) {
    semaphore_.Run(absl::StrCat("p", i), absl::Seconds(1)).branch = "feature";
  }
  RunFor(absl::Hours(50));
  StopCollector();
  StartCollector();
  RunFor(absl::Hours(5));
  EXPECT_EQ(State("semaphoreci_pipeline_last_result", labels), 1);
  RunFor(absl::Hours(24 * 30));
  EXPECT_EQ(State("semaphoreci_pipeline_last_result", labels), -1);
}

TEST_F(CollectorTest, AnOldOneThatCannotBeReadStopsNothing) {
  StartCounting();
  semaphore_.Run("old", absl::Hours(48));
  RunFor(absl::Minutes(1));
  for (int i = 0; i < 600; ++i) semaphore_.Run(absl::StrCat("p", i), absl::Seconds(1));
  RunFor(absl::Minutes(5));
  semaphore_.intercept = [](const std::string& target) -> std::optional<client::HttpResult> {
    if (!absl::StartsWith(target, "pipelines/old")) return std::nullopt;
    return FakeSemaphore::Reply(500, "\"Internal error\"");
  };
  semaphore_.Run("new", absl::Seconds(1));
  RunFor(absl::Minutes(5));
  EXPECT_EQ(ledger_.counted.size(), 601u);
  EXPECT_EQ(collector_->Notes().size(), 0u);
}

TEST_F(CollectorTest, AProjectThatCannotBeReadAmongOthersIsTold) {
  semaphore_.projects.push_back({"bad-id", "bad"});
  organization_.projects.push_back("bad");
  StartCounting();
  const auto last_success = [this](size_t project) {
    return collector_->GetTruth()[0].projects[project].last_success;
  };
  const std::optional<absl::Time> before = last_success(0);
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(collector_->GetTruth()[0].projects[0].name, "bad");
  semaphore_.intercept = [](const std::string& target) -> std::optional<client::HttpResult> {
    if (!absl::StrContains(target, "bad-id")) return std::nullopt;
    return FakeSemaphore::Reply(403, "\"PERMISSION_DENIED\"");
  };
  RunFor(absl::Minutes(20));
  EXPECT_LT(*last_success(0) - *before, absl::Minutes(2));
  EXPECT_GT(*last_success(1) - *before, absl::Minutes(15));
  EXPECT_EQ(State("semaphoreci_up", {"acme"}), 1);
  EXPECT_THAT(collector_->Notes(), ElementsAre(testing::HasSubstr("1 of 2 projects")));
}

TEST_F(CollectorTest, WhatAProjectRanBeforeItWasFoundIsCounted) {
  options_.discover = true;
  organization_.projects.clear();
  StartCounting();
  semaphore_.projects.push_back({"new-id", "new"});
  semaphore_.Run("first", absl::Minutes(1), "new-id");
  RunFor(absl::Hours(3));
  EXPECT_THAT(ledger_.counted, ElementsAre("first"));
}

TEST_F(CollectorTest, DetailsAreWaitedForWhileUpstreamIsInTrouble) {
  options_.level = CiLevel::kJob;
  StartCounting();
  semaphore_.intercept = [](const std::string& target) -> std::optional<client::HttpResult> {
    if (!absl::StartsWith(target, "pipelines/p")) return std::nullopt;
    return FakeSemaphore::Reply(500, "\"Internal error\"");
  };
  for (int i = 0; i < 5; ++i) semaphore_.Run(absl::StrCat("p", i), absl::Seconds(1));
  RunFor(absl::Minutes(5));
  EXPECT_THAT(ledger_.counted, IsEmpty());
  semaphore_.intercept = nullptr;
  RunFor(absl::Minutes(5));
  EXPECT_EQ(ledger_.counted.size(), 5u);
  EXPECT_EQ(ledger_.jobs, 5u);
}

TEST_F(CollectorTest, OnePipelineThatUpstreamStumblesOverDoesNotStopTheOthers) {
  options_.level = CiLevel::kBlock;
  StartCounting();
  semaphore_.intercept = [](const std::string& target) -> std::optional<client::HttpResult> {
    if (!absl::StartsWith(target, "pipelines/bad")) return std::nullopt;
    return FakeSemaphore::Reply(500, "\"Internal error\"");
  };
  semaphore_.Run("bad", absl::Seconds(1));
  semaphore_.Run("good", absl::Seconds(1));
  RunFor(absl::Minutes(1));
  EXPECT_THAT(ledger_.counted, ElementsAre("good"));
  RunFor(absl::Minutes(10));
  EXPECT_THAT(ledger_.counted, ElementsAre("good", "bad"));
}

TEST_F(CollectorTest, PollsOfManyProjectsAreSpreadOverTheInterval) {
  semaphore_.projects.clear();
  organization_.projects.clear();
  for (int i = 0; i < 50; ++i) {
    semaphore_.projects.push_back({absl::StrCat("id", i), absl::StrCat("name", i)});
    organization_.projects.push_back(absl::StrCat("name", i));
  }
  StartCounting();
  size_t most = 0;
  for (int second = 0; second < 300; ++second) {
    semaphore_.requests.clear();
    RunFor(absl::Seconds(1));
    most = std::max(most, semaphore_.requests.size());
  }
  // Three a second on average.
  EXPECT_LE(most, 20u);
}

TEST_F(CollectorTest, CallersAreNotMadeToWaitForIt) {
  StartCounting();
  EXPECT_EQ(budget_.GetStats().waiting[static_cast<size_t>(client::Priority::kInteractive)], 0u);
  semaphore_.requests.clear();
  RunFor(absl::Hours(1));
  // A tenth of what the budget lets through.
  EXPECT_LT(semaphore_.requests.size(), 3600u);
}

}  // namespace
}  // namespace semaphore::gateway
