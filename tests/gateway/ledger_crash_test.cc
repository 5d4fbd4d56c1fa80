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

CollectedBatch FirstBatch() {
  return BatchOf({PipelineOf({.id = "a", .result = v1::PIPELINE_RESULT_FAILED, .commit = "c"})});
}

// With a duplicate, a recovery, a flaky commit, a promotion, a deployment and a watermark in it.
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
  return batch;
}

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
    Commit(*ledger, SecondBatch());
    EXPECT_EQ(TotalsOf(*ledger), truth_);
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
  EXPECT_GT(step, 50) << "that is fewer statements than a commit has";
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
