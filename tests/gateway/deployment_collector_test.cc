// Deployments, from a Semaphore in virtual time to the totals of the real ledger: each once,
// through restarts, kills, downtimes, and replies and commits that fail.
#include "gateway/deployment_collector.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/gateway/durable_collector_fixture.h"

namespace semaphore::gateway {
namespace {

class DeploymentCollectorTest : public DurableCollectorFixture {
 protected:
  // So many that are done, each after the other.
  void DeployMany(const std::string& target, const std::string& prefix, int count,
                  absl::Duration apart = absl::Seconds(30)) {
    for (int i = 0; i < count; ++i) {
      semaphore_.Deploy(target, absl::StrCat(prefix, i), absl::Seconds(1));
      RunFor(apart);
    }
  }
  double LastPassed(const std::string& target) const {
    return State("semaphoreci_deployment_last_timestamp_seconds",
                 {"acme", "web", "name-" + target});
  }
};

TEST_F(DeploymentCollectorTest, OneIsCountedWhenItsPipelineIsDone) {
  DeployMany("t", "before", 1, absl::Minutes(1));
  StartCollector();
  RunFor(absl::Minutes(5));
  EXPECT_EQ(AllDeployments(), 0);
  EXPECT_GT(LastPassed("t"), 0);
  semaphore_.Deploy("t", "d", absl::Minutes(20)).result = "FAILED";
  RunFor(absl::Minutes(15));
  EXPECT_EQ(AllDeployments(), 0);
  RunFor(absl::Minutes(10));
  EXPECT_EQ(Deployments("name-t", "failed"), 1);
  EXPECT_EQ(AllDeployments(), 1);
}

TEST_F(DeploymentCollectorTest, WhatIsUnderWayWhenCountingBeginsIsCounted) {
  DeployMany("t", "before", 25);
  semaphore_.Deploy("t", "long", absl::Hours(5));
  DeployMany("t", "between", 15);
  StartCollector();
  RunFor(absl::Hours(1));
  EXPECT_EQ(AllDeployments(), 0);
  Restart();
  RunFor(absl::Hours(5));
  EXPECT_EQ(Deployments("name-t", "passed"), 1);
  EXPECT_EQ(LeadTimes("name-t"), 1);
  EXPECT_EQ(AllDeployments(), 1);
}

TEST_F(DeploymentCollectorTest, ATargetThatIsNewInACountedProjectCountsFromItsFirstOn) {
  StartCounting();
  RunFor(absl::Hours(1));
  DeployMany("new", "d", 25, absl::Seconds(2));
  RunFor(absl::Hours(1));
  EXPECT_EQ(Deployments("name-new", "passed"), 25);
}

TEST_F(DeploymentCollectorTest, ClocksThatDifferByMinutesLoseAndDoubleNothing) {
  for (const int minutes : {-8, 8}) {
    SCOPED_TRACE(minutes);
    semaphore_.skew = absl::Minutes(minutes);
    semaphore_.targets.clear();
    const std::string name = absl::StrCat("skew", minutes);
    const TemporaryFolder folder;
    OpenLedger(folder.path());
    DeployMany(name, name + "before", 3);
    StartCounting();
    RunFor(absl::Minutes(4));
    DeployMany(name, name, 3);
    DeployMany("new" + name, "new" + name, 3);
    RunFor(absl::Minutes(30));
    EXPECT_EQ(Deployments("name-" + name, "passed"), 3);
    EXPECT_EQ(Deployments("name-new" + name, "passed"), 3);
    StopAll();
  }
}

TEST_F(DeploymentCollectorTest, WhenTheLastOnePassedIsKnownFromTheStartHoweverOldItIs) {
  DeployMany("t", "d", 1);
  RunFor(absl::Hours(24 * 30));
  StartCounting();
  EXPECT_GT(LastPassed("t"), 0);
  EXPECT_EQ(AllDeployments(), 0);
}

TEST_F(DeploymentCollectorTest, ADowntimeOfFiftyLosesNone) {
  DeployMany("t", "before", 12);
  StartCounting();
  DeployMany("t", "early", 1, absl::Minutes(10));
  EXPECT_EQ(AllDeployments(), 1);
  StopAll();
  DeployMany("t", "missed", 50, absl::Hours(1));
  StartAll();
  RunFor(absl::Hours(1));
  EXPECT_EQ(AllDeployments(), 51);
  Restart();
  RunFor(absl::Hours(1));
  EXPECT_EQ(AllDeployments(), 51);
  EXPECT_FALSE(Logged("deployments_cut_off"));
}

TEST_F(DeploymentCollectorTest, MoreThanAreReadAreTold) {
  StartCounting();
  semaphore_.targets["t"] = {};
  RunFor(absl::Minutes(10));
  StopAll();
  for (int i = 0; i < 1100; ++i) {
    DeployMany("t", absl::StrCat("d", i, "-"), 1, absl::Minutes(1));
  }
  StartAll();
  RunFor(absl::Hours(6));
  EXPECT_EQ(AllDeployments(), 1000);
  EXPECT_TRUE(Logged("deployments_cut_off"));
}

TEST_F(DeploymentCollectorTest, OneThatRunsLongIsCountedAfterARestartBehindManyShortOnes) {
  StartCounting();
  semaphore_.Deploy("t", "long", absl::Hours(10));
  DeployMany("t", "short", 15, absl::Minutes(3));
  RunFor(absl::Minutes(10));
  EXPECT_EQ(AllDeployments(), 15);
  StopAll();
  DeployMany("t", "missed", 15, absl::Minutes(3));
  StartAll();
  RunFor(absl::Hours(11));
  EXPECT_EQ(Deployments("name-t", "passed"), 31);
}

// At first it has no pipeline, and when it has, many newer ones are listed before it.
TEST_F(DeploymentCollectorTest, OneThatWaitsForItsPipelineIsFoundBehindMany) {
  StartCounting();
  semaphore_.Deploy("t", "slow", absl::Minutes(1));
  semaphore_.targets["t"][0].pipeline_id = "";
  semaphore_.targets["t"][0].state = "PENDING";
  RunFor(absl::Minutes(5));
  DeployMany("t", "fast", 40, absl::Seconds(5));
  RunFor(absl::Hours(5));
  EXPECT_EQ(AllDeployments(), 40);
  Restart();
  RunFor(absl::Minutes(10));
  semaphore_.targets["t"].back().pipeline_id = "for-slow";
  semaphore_.targets["t"].back().state = "STARTED";
  RunFor(absl::Minutes(70));
  EXPECT_EQ(Deployments("name-t", "passed"), 41);
}

TEST_F(DeploymentCollectorTest, OneWhosePipelineCouldNotBeStartedHasFailed) {
  StartCounting();
  semaphore_.Deploy("t", "d", absl::Minutes(1));
  semaphore_.targets["t"][0].pipeline_id = "";
  semaphore_.targets["t"][0].state = "PENDING";
  RunFor(absl::Minutes(5));
  semaphore_.targets["t"][0].state = "FAILED";
  RunFor(absl::Minutes(10));
  EXPECT_EQ(Deployments("name-t", "failed"), 1);
}

TEST_F(DeploymentCollectorTest, OneThatNeverGetsAPipelineIsCountedInTheEnd) {
  StartCounting();
  semaphore_.Deploy("t", "never", absl::Minutes(1));
  semaphore_.targets["t"][0].pipeline_id = "";
  semaphore_.targets["t"][0].state = "PENDING";
  RunFor(absl::Hours(24 * 5));
  EXPECT_EQ(Deployments("name-t", "unknown"), 1);
  EXPECT_TRUE(Logged("deployment_given_up"));
  EXPECT_TRUE(durable_->PendingDeployments("acme", "web-id", absl::InfiniteFuture())->empty());
}

TEST_F(DeploymentCollectorTest, TwoOfOneSecondAreBothCounted) {
  StartCounting();
  semaphore_.Deploy("t", "first", absl::Seconds(1));
  const absl::Time triggered = semaphore_.Now();
  RunFor(absl::Minutes(10));
  EXPECT_EQ(AllDeployments(), 1);
  Restart();
  semaphore_.Deploy("t", "second", absl::Seconds(1));
  semaphore_.targets["t"][0].triggered = triggered;
  RunFor(absl::Minutes(10));
  EXPECT_EQ(AllDeployments(), 2);
}

TEST_F(DeploymentCollectorTest, ATargetThatCannotBeReadAtTheStartIsNotCountedTwice) {
  for (const int status : {500, 404, 503}) {
    SCOPED_TRACE(status);
    const std::string a = absl::StrCat("a", status);
    const std::string b = absl::StrCat("b", status);
    semaphore_.targets.clear();
    DeployMany(a, a + "before", 12, absl::Minutes(1));
    DeployMany(b, b + "before", 12, absl::Minutes(1));
    const TemporaryFolder folder;
    OpenLedger(folder.path());
    Fail(absl::StrCat("deployment_targets/", a, "/history"), status);
    StartCollector();
    RunFor(absl::Minutes(20));
    EXPECT_EQ(AllDeployments(), 0);
    semaphore_.Deploy(a, a + "new", absl::Seconds(1));
    semaphore_.Deploy(b, b + "new", absl::Seconds(1));
    RunFor(absl::Minutes(10));
    EXPECT_EQ(AllDeployments(), 1);
    semaphore_.intercept = nullptr;
    RunFor(absl::Hours(2));
    EXPECT_EQ(Deployments("name-" + a, "passed"), 1);
    EXPECT_EQ(Deployments("name-" + b, "passed"), 1);
    StopAll();
  }
}

TEST_F(DeploymentCollectorTest, ATargetThatCannotBeReadForSomeWhileLosesNothingOfItsOwnOrOthers) {
  DeployMany("a", "a", 1);
  DeployMany("b", "b", 1);
  StartCounting();
  Fail("deployment_targets/a/history", 503);
  DeployMany("a", "more-a", 12, absl::Seconds(5));
  DeployMany("b", "more-b", 1);
  RunFor(absl::Minutes(30));
  EXPECT_EQ(Deployments("name-b", "passed"), 1);
  EXPECT_EQ(Deployments("name-a", "passed"), 0);
  Restart();
  RunFor(absl::Minutes(30));
  semaphore_.intercept = nullptr;
  RunFor(absl::Hours(2));
  EXPECT_EQ(Deployments("name-a", "passed"), 12);
  EXPECT_EQ(Deployments("name-b", "passed"), 1);
}

TEST_F(DeploymentCollectorTest, WithManyTargetsAllAreCounted) {
  for (int i = 0; i < 60; ++i) DeployMany(absl::StrCat("t", i), absl::StrCat("t", i, "-"), 3);
  StartCounting();
  RunFor(absl::Hours(1));
  EXPECT_EQ(AllDeployments(), 0);
  for (int i = 0; i < 60; ++i) {
    semaphore_.Deploy(absl::StrCat("t", i), absl::StrCat("new", i), absl::Minutes(1));
  }
  RunFor(absl::Hours(1));
  EXPECT_EQ(AllDeployments(), 60);
}

// Its keys are long gone, and so are those of busier targets.
TEST_F(DeploymentCollectorTest, ARarelyUsedTargetIsNotCountedAgainAfterYears) {
  StartCounting();
  DeployMany("rare", "rare", 15, absl::Minutes(2));
  RunFor(absl::Hours(1));
  EXPECT_EQ(AllDeployments(), 15);
  for (int year = 1; year <= 3; ++year) {
    StopAll();
    RunFor(absl::Hours(24 * 500));
    StartAll();
    DeployMany("busy", absl::StrCat("busy", year, "-"), 5, absl::Minutes(10));
    RunFor(absl::Hours(1));
    EXPECT_EQ(Deployments("name-busy", "passed"), 5 * year);
    EXPECT_EQ(Deployments("name-rare", "passed"), 0) << "its series has expired";
    EXPECT_FALSE(durable_->Unknown("acme", "web-id", {"rare14"})->empty());
  }
  semaphore_.Deploy("rare", "new", absl::Minutes(1));
  RunFor(absl::Hours(1));
  EXPECT_EQ(Deployments("name-rare", "passed"), 1);
}

TEST_F(DeploymentCollectorTest, OneWhosePipelineCannotBeReadHoldsUpNoOther) {
  for (const int status : {500, 404}) {
    SCOPED_TRACE(status);
    const std::string target = absl::StrCat("t", status);
    StartCounting();
    semaphore_.Deploy(target, "bad" + target, absl::Seconds(1));
    semaphore_.Deploy(target, "good" + target, absl::Seconds(1));
    Fail("pipelines/for-bad", status);
    RunFor(absl::Minutes(10));
    EXPECT_EQ(Deployments("name-" + target, "passed"), 1);
    EXPECT_EQ(Deployments("name-" + target, "unknown"), 0);
    Restart();
    RunFor(absl::Hours(4));
    EXPECT_EQ(Deployments("name-" + target, "unknown"), 1);
    EXPECT_TRUE(Logged("deployment_given_up"));
    semaphore_.requests.clear();
    RunFor(absl::Hours(2));
    EXPECT_EQ(semaphore_.RequestsTo("pipelines/for-bad"), 0u);
    StopCollector();
  }
}

TEST_F(DeploymentCollectorTest, OneWhosePipelineTimesOutForAWhileIsCountedWithItsResult) {
  StartCounting();
  semaphore_.Deploy("t", "bad", absl::Seconds(1));
  semaphore_.Deploy("t", "good", absl::Seconds(1));
  semaphore_.intercept = [](const std::string& asked) -> std::optional<client::HttpResult> {
    if (!absl::StartsWith(asked, "pipelines/for-bad")) return std::nullopt;
    return FakeSemaphore::TimedOut();
  };
  RunFor(absl::Hours(10));
  EXPECT_EQ(AllDeployments(), 1);
  semaphore_.intercept = nullptr;
  RunFor(absl::Hours(2));
  EXPECT_EQ(Deployments("name-t", "passed"), 2);
}

TEST_F(DeploymentCollectorTest, OneWhoseWorkflowCannotBeReadIsCountedWithoutItsLeadTime) {
  StartCounting();
  semaphore_.Deploy("t", "d", absl::Seconds(1));
  Fail("plumber-workflows/", 500);
  RunFor(absl::Minutes(30));
  EXPECT_EQ(AllDeployments(), 0);
  RunFor(absl::Hours(4));
  EXPECT_EQ(Deployments("name-t", "passed"), 1);
  EXPECT_EQ(LeadTimes("name-t"), 0);
  EXPECT_TRUE(Logged("deployment_without_lead_time"));
}

TEST_F(DeploymentCollectorTest, OneWhoseTargetIsDeletedMeanwhileKeepsItsName) {
  StartCounting();
  semaphore_.Deploy("t", "running", absl::Minutes(30));
  semaphore_.Deploy("t", "pending", absl::Minutes(30));
  semaphore_.targets["t"][0].pipeline_id = "";
  semaphore_.targets["t"][0].state = "PENDING";
  RunFor(absl::Minutes(10));
  semaphore_.targets.clear();
  RunFor(absl::Hours(5));
  EXPECT_EQ(Deployments("name-t", "passed"), 1);
  EXPECT_EQ(Deployments("name-t", "unknown"), 1);
  EXPECT_EQ(AllDeployments(), 2);
}

TEST_F(DeploymentCollectorTest, WhatTheLedgerRefusesIsTriedAgain) {
  DeployMany("t", "before", 3);
  for (const absl::Status& trouble : {absl::InternalError("the ledger cannot be written"),
                                      absl::PermissionDeniedError("the ledger is read-only"),
                                      absl::ResourceExhaustedError("the ledger cannot grow")}) {
    const std::string name = std::string(absl::StatusCodeToString(trouble.code()));
    for (const bool found : {false, true}) {
      StartCounting();
      durable_->refuses = [found](const CollectedBatch& batch) {
        return found ? !batch.deployments_found.empty() : !batch.deployments.empty();
      };
      durable_->trouble = trouble;
      const double before = AllDeployments();
      semaphore_.Deploy("t", absl::StrCat(name, found), absl::Seconds(1));
      RunFor(absl::Minutes(30));
      EXPECT_EQ(AllDeployments(), before);
      durable_->trouble = absl::OkStatus();
      RunFor(absl::Minutes(20));
      EXPECT_EQ(AllDeployments(), before + 1) << name << found;
      StopCollector();
    }
  }
}

TEST_F(DeploymentCollectorTest, WhereTheyAreForbiddenTheyAreAskedForHourly) {
  StartCounting();
  semaphore_.Deploy("t", "running", absl::Minutes(30));
  RunFor(absl::Minutes(10));
  Fail("deployment_targets", 403);
  semaphore_.requests.clear();
  RunFor(absl::Hours(5));
  EXPECT_LE(semaphore_.RequestsTo("deployment_targets"), 6u);
  EXPECT_EQ(State("semaphoreci_up", {"acme"}), 1);
  EXPECT_EQ(AllDeployments(), 1) << "it waited already";
}

TEST_F(DeploymentCollectorTest, WhenTheLastOnePassedIsKnownAfterARestart) {
  StartCounting();
  DeployMany("t", "d", 1, absl::Minutes(10));
  const double last = LastPassed("t");
  EXPECT_GT(last, 0);
  Restart();
  semaphore_.requests.clear();
  RunFor(absl::Minutes(3));
  EXPECT_EQ(LastPassed("t"), last);
  EXPECT_EQ(semaphore_.RequestsTo("pipelines/for-"), 0u);
}

// The files as they are at one statement after another are what the next process finds after a
// kill at that moment: promotions and deployments are counted once all the same.
TEST_F(DeploymentCollectorTest, AKillAtAnyStatementLosesAndDoublesNothing) {
  namespace fs = std::filesystem;
  DeployMany("t", "before", 3);
  StartCollector();
  RunFor(absl::Minutes(10));
  StopAll();
  const auto pipelines = semaphore_.pipelines;
  const auto targets = semaphore_.targets;
  const auto begin = [&](int run) {
    semaphore_.pipelines = pipelines;
    semaphore_.targets = targets;
    for (int i = 0; i < 3; ++i) {
      const std::string id = absl::StrCat("run", run, "-", i);
      semaphore_.Deploy("t", id, absl::Minutes(3 * i));
      semaphore_.pipelines.back().switch_id = "switch";
      semaphore_.promotions["for-" + id] = {{"Ship", semaphore_.Now()}};
    }
  };
  int run = 0;
  for (int step = 1;; step += 7, ++run) {
    SCOPED_TRACE(step);
    // A world of its own, at the state of before.
    const TemporaryFolder base;
    const TemporaryFolder killed;
    fs::copy(folder_.path(), base.path(), fs::copy_options::recursive);
    int statements = 0;
    OpenLedger(base.path(), [&](std::string_view) {
      if (++statements != step) return;
      fs::copy(base.path(), killed.path(), fs::copy_options::recursive);
    });
    const double deployed = AllDeployments();
    const double promoted = AllPromotions();
    StartCollector();
    begin(run);
    RunFor(absl::Minutes(8));
    StopAll();
    if (statements < step) break;
    OpenLedger(killed.path());
    StartCollector();
    RunFor(absl::Minutes(75));
    EXPECT_EQ(AllDeployments() - deployed, 3);
    EXPECT_EQ(AllPromotions() - promoted, 3);
    StopAll();
    if (HasFailure()) return;
  }
  EXPECT_GT(run, 30);
}

}  // namespace
}  // namespace semaphore::gateway
