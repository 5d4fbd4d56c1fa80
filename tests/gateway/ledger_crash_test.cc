// Processes that are killed while they count: whatever moment, the next one finds all of a commit
// or nothing of it, and after the same commit once more the totals are the truth.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>

#include "gateway/ledger.h"
#include "tests/client/fake_clock.h"
#include "tests/gateway/ledger_fixture.h"

namespace semaphore::gateway {
namespace {

using Hook = std::function<void(std::string_view)>;

std::unique_ptr<Ledger> OpenIn(const std::string& folder, const client::Clock& clock,
                               Hook hook = nullptr) {
  absl::StatusOr<std::unique_ptr<Ledger>> ledger =
      Ledger::Open({.state_dir = folder, .on_statement = std::move(hook)}, CounterOf(), clock);
  EXPECT_TRUE(ledger.ok()) << ledger.status();
  return ledger.ok() ? *std::move(ledger) : nullptr;
}

WaitingDeployment DeploymentOf(const std::string& id) {
  WaitingDeployment out;
  out.deployment.set_deployment_id(id);
  out.deployment.set_pipeline_id("pipeline of " + id);
  return out;
}

CollectedBatch FirstBatch() {
  CollectedBatch batch =
      BatchOf({PipelineOf({.id = "a", .result = v1::PIPELINE_RESULT_FAILED, .commit = "c"})});
  batch.promotions_to_read = {{.pipeline_id = "a"}, {.pipeline_id = "read"}};
  batch.deployments_found = {DeploymentOf("deployment"), DeploymentOf("running")};
  return batch;
}

// With a duplicate, a recovery, a flaky commit, a promotion, a deployment, marks and what comes to
// wait and waits no more in it.
CollectedBatch SecondBatch() {
  CollectedBatch batch = BatchOf({PipelineOf({.id = "a", .result = v1::PIPELINE_RESULT_FAILED}),
                                  PipelineOf({.id = "b", .done = kStart + 400, .commit = "c"}),
                                  PipelineOf({.id = "d", .branch = "feature"})});
  CollectedPromotion& promotion = batch.promotions.emplace_back();
  promotion.pipeline_id = "b";
  promotion.promotion.set_name("Ship");
  CollectedDeployment& deployment = batch.deployments.emplace_back();
  deployment.target = "production";
  deployment.deployment.set_deployment_id("deployment");
  deployment.result = v1::PIPELINE_RESULT_PASSED;
  batch.watermark = absl::FromUnixSeconds(kStart + 400);
  batch.promotions_to_read = {{.pipeline_id = "b"}};
  batch.promotions_postponed = {{.pipeline_id = "a", .due = absl::UnixEpoch(), .tries = 1}};
  batch.promotions_read = {"read"};
  batch.deployments_found = {DeploymentOf("deployment"), DeploymentOf("found")};
  batch.deployments_postponed = {DeploymentOf("running")};
  batch.deployments_postponed[0].tries = 1;
  batch.marks = {{"deployments/target", absl::FromUnixSeconds(kStart)}};
  return batch;
}

// All that waits, with its tries, and the mark of the target.
std::string WaitingIn(Ledger& ledger) {
  const absl::Time end = absl::InfiniteFuture();
  const auto promotions = ledger.DuePromotions("acme", "project-1", end);
  const auto deployments = ledger.DueDeployments("acme", "project-1", end, "");
  std::string text;
  for (const WaitingPromotion& each : *promotions) {
    text += each.pipeline_id + std::to_string(each.tries) + " ";
  }
  for (const WaitingDeployment& each : *deployments) {
    text += each.deployment.deployment_id() + std::to_string(each.tries) + " ";
  }
  if (ledger.Watermark("acme", "project-1", "deployments/target")->has_value()) text += "mark";
  return text;
}
constexpr char kWaitingBefore[] = "a0 read0 deployment0 running0 ";
constexpr char kWaitingAfter[] = "a1 b0 found0 running1 mark";

void Commit(Ledger& ledger, const CollectedBatch& batch) {
  const absl::StatusOr<CommitOutcome> outcome = ledger.Commit(batch);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
}

// A process that opens the ledger, commits the second batch, and is killed before its `step`th
// statement. True: it was killed; false: it has no so many.
bool KilledAt(int step, const std::string& folder, const client::Clock& clock) {
  const pid_t child = fork();
  if (child == 0) {
    int statements = 0;
    const auto ledger = OpenIn(folder, clock, [&statements, step](std::string_view) {
      if (++statements == step) kill(getpid(), SIGKILL);
    });
    const bool done = ledger != nullptr && ledger->Commit(SecondBatch()).ok();
    ledger->SeriesScraped(ledger->View().generation);
    _exit(done && ledger->Settle().ok() ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) {
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    return true;
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
  return false;
}

void CopyFiles(const std::string& from, const std::string& to) {
  using Options = std::filesystem::copy_options;
  std::filesystem::copy(from, to, Options::recursive | Options::overwrite_existing);
}

class LedgerCrash : public testing::Test {
 protected:
  LedgerCrash() {
    const auto ledger = OpenIn(base_.path(), clock_);
    Commit(*ledger, FirstBatch());
    before_ = TotalsOf(*ledger);
    const TemporaryFolder other;
    const auto undisturbed = OpenIn(other.path(), clock_);
    Commit(*undisturbed, FirstBatch());
    Commit(*undisturbed, SecondBatch());
    truth_ = TotalsOf(*undisturbed);
  }

  // What the next process finds, and makes of it.
  void ExpectAllOrNothing(const std::string& folder) {
    const auto ledger = OpenIn(folder, clock_);
    ASSERT_NE(ledger, nullptr);
    const bool known = ledger->Unknown("acme", "project-1", {"b"})->empty();
    const auto mark = *ledger->Watermark("acme", "project-1", Ledger::kPipelinesMark);
    EXPECT_EQ(TotalsOf(*ledger), known ? truth_ : before_);
    EXPECT_EQ(mark.has_value(), known);
    EXPECT_EQ(WaitingIn(*ledger), known ? kWaitingAfter : kWaitingBefore);
    Commit(*ledger, SecondBatch());
    EXPECT_EQ(TotalsOf(*ledger), truth_);
    EXPECT_EQ(WaitingIn(*ledger), kWaitingAfter);
  }

  const client::FakeClock clock_;
  const TemporaryFolder base_;
  Page before_;
  Page truth_;
};

TEST_F(LedgerCrash, AtEachStatementTheCommitIsWholeOrHasNotHappened) {
  int step = 1;
  for (bool killed = true; killed; ++step) {
    SCOPED_TRACE(step);
    const TemporaryFolder folder;
    CopyFiles(base_.path(), folder.path());
    killed = KilledAt(step, folder.path(), clock_);
    ExpectAllOrNothing(folder.path());
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 70) << "that is fewer statements than a commit has";
}

TEST_F(LedgerCrash, AtEachStatementOfItsCreationTheLedgerCanBeCreatedAgain) {
  const TemporaryFolder undisturbed;
  const auto other = OpenIn(undisturbed.path(), clock_);
  Commit(*other, SecondBatch());
  const Page truth = TotalsOf(*other);
  bool killed = true;
  for (int step = 1; killed && step < 40; ++step) {
    SCOPED_TRACE(step);
    const TemporaryFolder folder;
    killed = KilledAt(step, folder.path(), clock_);
    const auto ledger = OpenIn(folder.path(), clock_);
    ASSERT_NE(ledger, nullptr);
    Commit(*ledger, SecondBatch());
    EXPECT_EQ(TotalsOf(*ledger), truth);
  }
}

TEST_F(LedgerCrash, KilledAgainAndAgainOnOneFileItStillCountsOnce) {
  int step = 1;
  while (KilledAt(step, base_.path(), clock_)) step += 7;
  const auto ledger = OpenIn(base_.path(), clock_);
  ASSERT_NE(ledger, nullptr);
  EXPECT_EQ(TotalsOf(*ledger), truth_);
  EXPECT_EQ(WaitingIn(*ledger), kWaitingAfter);
}

// As after a loss of power: of what was written last, only a part has reached the disk.
TEST_F(LedgerCrash, AWriteAheadLogThatIsTornAnywhereIsWholeOrHasNotHappened) {
  const pid_t child = fork();
  if (child == 0) {
    const auto ledger = OpenIn(base_.path(), clock_, [](std::string_view statement) {
      if (statement == "published") kill(getpid(), SIGKILL);
    });
    ledger->Commit(SecondBatch()).IgnoreError();
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto size = std::filesystem::file_size(base_.file() + "-wal");
  ASSERT_GT(size, 0u);
  for (int part = 0; part <= 40; ++part) {
    SCOPED_TRACE(part);
    const TemporaryFolder folder;
    CopyFiles(base_.path(), folder.path());
    std::filesystem::remove(folder.file() + "-shm");
    std::filesystem::resize_file(folder.file() + "-wal", size * static_cast<unsigned>(part) / 40);
    ExpectAllOrNothing(folder.path());
    if (HasFailure()) return;
  }
}

// Writes fail wherever a limit cuts the file off; then there is room again.
TEST_F(LedgerCrash, AWriteThatFailsAnywhereLosesAndDoublesNothing) {
  enum { kFailedClearly = 40, kFitted, kUnclear, kChanged, kWrongTotals };
  int failed = 0;
  for (rlim_t limit = 1; limit < 200'000; limit += 9'973) {
    SCOPED_TRACE(limit);
    const TemporaryFolder folder;
    CopyFiles(base_.path(), folder.path());
    const pid_t child = fork();
    if (child == 0) {
      signal(SIGXFSZ, SIG_IGN);
      const auto ledger = OpenIn(folder.path(), clock_);
      rlimit size = {};
      getrlimit(RLIMIT_FSIZE, &size);
      const rlim_t before = std::exchange(size.rlim_cur, limit);
      setrlimit(RLIMIT_FSIZE, &size);
      const absl::Status status = ledger->Commit(SecondBatch()).status();
      size.rlim_cur = before;
      setrlimit(RLIMIT_FSIZE, &size);
      if (!status.ok() && status.message().find("disk") == std::string::npos) _exit(kUnclear);
      if (!status.ok() && TotalsOf(*ledger) != before_) _exit(kChanged);
      if (!ledger->Commit(SecondBatch()).ok() || TotalsOf(*ledger) != truth_) _exit(kWrongTotals);
      _exit(status.ok() ? kFitted : kFailedClearly);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    const int code = WEXITSTATUS(status);
    EXPECT_TRUE(code == kFailedClearly || code == kFitted) << code;
    failed += code == kFailedClearly ? 1 : 0;
    ExpectAllOrNothing(folder.path());
  }
  EXPECT_GT(failed, 3);
}

TEST_F(LedgerCrash, ALedgerIsFreeOnceItsProcessIsDead) {
  EXPECT_TRUE(KilledAt(5, base_.path(), clock_));
  EXPECT_NE(OpenIn(base_.path(), clock_), nullptr);
}

}  // namespace
}  // namespace semaphore::gateway
