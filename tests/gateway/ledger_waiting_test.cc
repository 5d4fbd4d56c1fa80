// What waits in the ledger, by its own interface.
#include "gateway/ledger_waiting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/ledger.h"
#include "tests/client/fake_clock.h"
#include "tests/gateway/ledger_fixture.h"

namespace semaphore::gateway {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LedgerWaitingTest : public testing::Test {
 protected:
  LedgerWaitingTest() { Reopen(); }

  void Reopen() {
    ledger_.reset();
    absl::StatusOr<std::unique_ptr<Ledger>> ledger =
        Ledger::Open({.state_dir = folder_.path()}, CounterOf(), clock_);
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
  }
  uint64_t Commit(const CollectedBatch& batch) {
    const absl::StatusOr<CommitOutcome> outcome = ledger_->Commit(batch);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.ok() ? outcome->dropped : 0;
  }
  uint64_t AddPromotions(std::vector<WaitingPromotion> promotions) {
    CollectedBatch batch = BatchOf({});
    batch.promotions_to_read = std::move(promotions);
    return Commit(batch);
  }
  uint64_t Find(std::vector<WaitingDeployment> deployments) {
    CollectedBatch batch = BatchOf({});
    batch.deployments_found = std::move(deployments);
    return Commit(batch);
  }
  void Count(const std::string& deployment_id) {
    CollectedBatch batch = BatchOf({});
    batch.deployments.emplace_back().deployment.set_deployment_id(deployment_id);
    batch.deployments[0].done = clock_.WallNow();
    Commit(batch);
  }
  static absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(kStart + seconds); }
  static WaitingDeployment DeploymentOf(const std::string& id, const std::string& pipeline_id) {
    WaitingDeployment out{.deployment = {}, .due = At(0)};
    out.deployment.set_deployment_id(id);
    out.deployment.set_pipeline_id(pipeline_id);
    return out;
  }
  std::vector<std::string> Promotions(absl::Time now, const std::string& project = "project-1") {
    std::vector<std::string> ids;
    const auto due = ledger_->DuePromotions("acme", project, now);
    for (const WaitingPromotion& each : *due) ids.push_back(each.pipeline_id);
    return ids;
  }
  static std::vector<std::string> IdsOf(const std::vector<WaitingDeployment>& deployments) {
    std::vector<std::string> ids;
    ids.reserve(deployments.size());
    for (const WaitingDeployment& each : deployments) {
      ids.push_back(each.deployment.deployment_id());
    }
    return ids;
  }
  std::vector<std::string> Due(const std::string& after = "", absl::Time now = At(0)) {
    return IdsOf(*ledger_->DueDeployments("acme", "project-1", now, after));
  }
  std::vector<std::string> Pending() {
    return IdsOf(*ledger_->PendingDeployments("acme", "project-1", At(0)));
  }

  const client::FakeClock clock_;
  const TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(LedgerWaitingTest, PromotionsAreDueInTheirOrderAndAfterARestart) {
  AddPromotions({{.pipeline_id = "late", .due = At(30)},
                 {.pipeline_id = "soon", .due = At(10)},
                 {.pipeline_id = "next", .due = At(20)}});
  Reopen();
  EXPECT_THAT(Promotions(At(9)), IsEmpty());
  EXPECT_THAT(Promotions(At(20)), ElementsAre("soon", "next"));
  EXPECT_THAT(Promotions(At(99), "project-2"), IsEmpty());
}

TEST_F(LedgerWaitingTest, APromotionThatComesAgainKeepsTheWidestSpan) {
  AddPromotions({{.pipeline_id = "a", .since = At(50), .due = At(10), .until = At(10)}});
  AddPromotions(
      {{.pipeline_id = "a", .since = absl::InfinitePast(), .due = At(60), .until = At(99)}});
  AddPromotions({{.pipeline_id = "a", .since = At(70), .due = At(80), .until = At(80)}});
  const WaitingPromotion waiting = ledger_->DuePromotions("acme", "project-1", At(10))->at(0);
  EXPECT_LT(waiting.since, absl::UnixEpoch() - absl::Hours(1'000'000));
  EXPECT_EQ(waiting.due, At(10));
  EXPECT_EQ(waiting.until, At(99));
}

TEST_F(LedgerWaitingTest, APromotionIsPostponedAndGoesInTheEnd) {
  AddPromotions({{.pipeline_id = "a", .due = At(10)}, {.pipeline_id = "b", .due = At(10)}});
  CollectedBatch batch = BatchOf({});
  batch.promotions_postponed = {{.pipeline_id = "a", .due = At(20), .tries = 3},
                                {.pipeline_id = "unknown", .due = At(5)}};
  batch.promotions_read = {"b"};
  Commit(batch);
  EXPECT_THAT(Promotions(At(19)), IsEmpty());
  EXPECT_THAT(Promotions(At(20)), ElementsAre("a"));
  EXPECT_EQ(ledger_->DuePromotions("acme", "project-1", At(20))->at(0).tries, 3);
}

TEST_F(LedgerWaitingTest, ADeploymentThatWasCountedDoesNotWaitAgain) {
  Find({DeploymentOf("a", "p"), DeploymentOf("b", "p")});
  Count("a");
  EXPECT_THAT(Due(), ElementsAre("b"));
  Reopen();
  Find({DeploymentOf("a", "p")});
  EXPECT_THAT(Due(), ElementsAre("b"));
}

TEST_F(LedgerWaitingTest, OnePendingGetsItsPipelineFromALaterCopy) {
  Find({DeploymentOf("a", "")});
  Find({DeploymentOf("a", "")});
  EXPECT_THAT(Pending(), ElementsAre("a"));
  EXPECT_THAT(Due(), IsEmpty());
  Find({DeploymentOf("a", "p")});
  EXPECT_THAT(Pending(), IsEmpty());
  EXPECT_THAT(Due(), ElementsAre("a"));
  Find({DeploymentOf("a", "another")});
  EXPECT_EQ(ledger_->DueDeployments("acme", "project-1", At(0), "")->at(0).deployment.pipeline_id(),
            "p");
}

TEST_F(LedgerWaitingTest, OneThatCouldNotBeStartedIsNotPending) {
  WaitingDeployment failed = DeploymentOf("a", "");
  failed.deployment.set_state(v1::DEPLOYMENT_STATE_FAILED);
  Find({failed});
  EXPECT_THAT(Due(), ElementsAre("a"));
}

TEST_F(LedgerWaitingTest, APostponedDeploymentIsDueLater) {
  Find({DeploymentOf("a", "p")});
  CollectedBatch batch = BatchOf({});
  batch.deployments_postponed = {DeploymentOf("a", "p"), DeploymentOf("unknown", "p")};
  batch.deployments_postponed[0].due = At(60);
  batch.deployments_postponed[0].tries = 2;
  Commit(batch);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(Due("", At(60)), ElementsAre("a"));
  EXPECT_EQ(ledger_->DueDeployments("acme", "project-1", At(60), "")->at(0).tries, 2);
}

TEST_F(LedgerWaitingTest, DeploymentsAreGivenAFewAtATimeInTheOrderOfTheirIds) {
  std::vector<WaitingDeployment> many;
  for (int i = 10; i < 60; ++i) many.push_back(DeploymentOf("d" + std::to_string(i), "p"));
  Find(many);
  EXPECT_EQ(Due().size(), 20u);
  EXPECT_EQ(Due().back(), "d29");
  EXPECT_EQ(Due("d29").front(), "d30");
  EXPECT_EQ(Due("d49").size(), 10u);
}

TEST_F(LedgerWaitingTest, WhatWaitsIsBoundedAndWhatFindsNoRoomIsTold) {
  std::vector<WaitingPromotion> promotions;
  std::vector<WaitingDeployment> deployments;
  for (int64_t i = 0; i < LedgerWaiting::kMaxRows + 5; ++i) {
    promotions.push_back({.pipeline_id = std::to_string(i), .due = At(i)});
    deployments.push_back(DeploymentOf(std::to_string(i), "p"));
  }
  EXPECT_EQ(AddPromotions(promotions), 5u);
  EXPECT_EQ(Find(deployments), 5u);
  // What waits already needs no room, and another project has its own.
  EXPECT_EQ(AddPromotions({{.pipeline_id = "7", .due = At(-1)}}), 0u);
  EXPECT_EQ(Promotions(At(0)), (std::vector<std::string>{"7", "0"}));
  CollectedBatch other = BatchOf({});
  other.project_id = "project-2";
  other.promotions_to_read = {{.pipeline_id = "a"}};
  EXPECT_EQ(Commit(other), 0u);
}

TEST_F(LedgerWaitingTest, IdsAreDataWhateverTheyHold) {
  const std::vector<std::string> hostile = {"'; DROP TABLE seen; --", "\xff\xc0\x80",
                                            std::string("nul\0byte", 8), std::string(10'000, 'x')};
  for (const std::string& id : hostile) {
    AddPromotions({{.pipeline_id = id, .due = At(0)}});
    EXPECT_THAT(Promotions(At(0)), ElementsAre(id));
    CollectedBatch batch = BatchOf({});
    batch.promotions_read = {id};
    Commit(batch);
  }
  EXPECT_THAT(Promotions(At(0)), IsEmpty());
}

// They may hold secrets.
TEST_F(LedgerWaitingTest, AVariableOfADeploymentDoesNotReachTheFile) {
  WaitingDeployment deployment = DeploymentOf("a", "p");
  v1::EnvVar& variable = *deployment.deployment.add_env_vars();
  variable.set_name("TOKEN");
  variable.set_value("CANARY-variable");
  deployment.deployment.set_triggered_by("CANARY-who");
  Find({deployment});
  ledger_.reset();  // with its write-ahead log
  std::ifstream file(folder_.file(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_NE(bytes.find("CANARY-who"), bytes.npos);
  EXPECT_EQ(bytes.find("CANARY-variable"), bytes.npos);
}

TEST_F(LedgerWaitingTest, MarksMoveWithTheirBatchAndNeverBack) {
  CollectedBatch batch = BatchOf({});
  batch.marks = {{"deployments/t", At(10)}, {"passed/t", At(5)}};
  Commit(batch);
  batch.marks = {{"deployments/t", At(7)}};
  Commit(batch);
  EXPECT_EQ(**ledger_->Watermark("acme", "project-1", "deployments/t"), At(10));
  EXPECT_EQ(**ledger_->Watermark("acme", "project-1", "passed/t"), At(5));
}

}  // namespace
}  // namespace semaphore::gateway
