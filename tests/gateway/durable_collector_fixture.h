// A collector over FakeSemaphore in virtual time, with the real ledger in a folder that outlives
// both: what is not in the file is gone after a restart.
#ifndef SEMAPHORE_TESTS_GATEWAY_DURABLE_COLLECTOR_FIXTURE_H_
#define SEMAPHORE_TESTS_GATEWAY_DURABLE_COLLECTOR_FIXTURE_H_

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/ledger.h"
#include "tests/gateway/collector_fixture.h"
#include "tests/gateway/ledger_fixture.h"

namespace semaphore::gateway {

// Another ledger, until it is told to refuse commits.
class RefusingLedger final : public CollectorLedger {
 public:
  explicit RefusingLedger(std::unique_ptr<Ledger> ledger) : ledger(std::move(ledger)) {}

  absl::StatusOr<std::optional<absl::Time>> Watermark(const std::string& organization,
                                                      const std::string& project_id,
                                                      const std::string& name) override {
    return ledger->Watermark(organization, project_id, name);
  }
  absl::Status SetWatermark(const std::string& organization, const std::string& project_id,
                            const std::string& name, absl::Time at) override {
    return ledger->SetWatermark(organization, project_id, name, at);
  }
  absl::StatusOr<std::vector<std::string>> Unknown(const std::string& organization,
                                                   const std::string& project_id,
                                                   std::vector<std::string> ids) override {
    return ledger->Unknown(organization, project_id, std::move(ids));
  }
  absl::StatusOr<std::vector<LastRunOf>> LastRuns(const std::string& organization,
                                                  const std::string& project_id) override {
    return ledger->LastRuns(organization, project_id);
  }
  absl::StatusOr<std::vector<WaitingPromotion>> DuePromotions(const std::string& organization,
                                                              const std::string& project_id,
                                                              absl::Time now) override {
    return ledger->DuePromotions(organization, project_id, now);
  }
  absl::StatusOr<std::vector<WaitingDeployment>> DueDeployments(const std::string& organization,
                                                                const std::string& project_id,
                                                                absl::Time now,
                                                                const std::string& after) override {
    return ledger->DueDeployments(organization, project_id, now, after);
  }
  absl::StatusOr<std::vector<WaitingDeployment>> PendingDeployments(const std::string& organization,
                                                                    const std::string& project_id,
                                                                    absl::Time now) override {
    return ledger->PendingDeployments(organization, project_id, now);
  }
  absl::StatusOr<CommitOutcome> Commit(const CollectedBatch& batch) override {
    if (!trouble.ok() && refuses(batch)) return trouble;
    return ledger->Commit(batch);
  }

  const std::unique_ptr<Ledger> ledger;
  absl::Status trouble;
  std::function<bool(const CollectedBatch&)> refuses = [](const CollectedBatch&) { return true; };
};

class DurableCollectorFixture : public CollectorFixture {
 protected:
  DurableCollectorFixture() { OpenLedger(folder_.path()); }
  ~DurableCollectorFixture() override { StopCollector(); }

  CollectorLedger& TheLedger() override { return *durable_; }

  void OpenLedger(const std::string& folder,
                  std::function<void(std::string_view)> on_statement = nullptr) {
    durable_.reset();
    absl::StatusOr<std::unique_ptr<Ledger>> ledger = Ledger::Open(
        {.state_dir = folder, .on_statement = std::move(on_statement)}, CounterOf(), time_.clock());
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    durable_ = std::make_unique<RefusingLedger>(*std::move(ledger));
  }
  void StopAll() {
    StopCollector();
    durable_.reset();
  }
  void StartAll() {
    OpenLedger(folder_.path());
    StartCollector();
  }
  void Restart() {
    StopAll();
    StartAll();
  }

  // Counted, of the project "web".
  double Deployments(const std::string& target, const std::string& result) {
    return Total("semaphoreci_deployments_total", {"acme", "web", target, result, "manual"});
  }
  double LeadTimes(const std::string& target) {
    return Total("semaphoreci_deployment_lead_time_seconds_count", {"acme", "web", target});
  }
  double Promotions(const std::string& name, const std::string& status = "passed",
                    const std::string& trigger = "auto") {
    return Total("semaphoreci_promotions_total", {"acme", "web", name, status, trigger});
  }
  // Of all label sets.
  double All(const std::string& family) {
    double all = 0;
    for (const auto& [name, value] : TotalsOf(*durable_->ledger)) {
      if (name.substr(0, family.size()) == family) all += value;
    }
    return all;
  }
  double AllDeployments() { return All("semaphoreci_deployments_total"); }
  double AllPromotions() { return All("semaphoreci_promotions_total"); }

  // Among all that was logged so far: lines are written in order, so a last one is waited for.
  bool Logged(std::string_view event) {
    const std::string last = absl::StrCat("asked_", ++asked_);
    log_.Info(last, {});
    const auto holds = [this](std::string_view text) {
      return std::any_of(log_lines_.begin(), log_lines_.end(),
                         [text](const std::string& line) { return line.find(text) != line.npos; });
    };
    std::unique_lock lock(log_mutex_);
    log_written_.wait(lock, [&] { return holds(last); });
    return holds(event);
  }
  // Semaphore answers so to whatever begins with that, until it is told otherwise.
  void Fail(std::string prefix, int status) {
    semaphore_.intercept = [prefix = std::move(prefix),
                            status](const std::string& asked) -> std::optional<client::HttpResult> {
      if (asked.substr(0, prefix.size()) != prefix) return std::nullopt;
      return FakeSemaphore::Reply(status, "\"Internal error\"");
    };
  }

  TemporaryFolder folder_;
  std::unique_ptr<RefusingLedger> durable_;

 private:
  double Total(const std::string& family, const std::vector<std::string>& labels) {
    const Page totals = TotalsOf(*durable_->ledger);
    const auto found = totals.find(NameOf(family, labels));
    return found == totals.end() ? 0 : found->second;
  }

  int asked_ = 0;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_TESTS_GATEWAY_DURABLE_COLLECTOR_FIXTURE_H_
