// A collector over FakeSemaphore in virtual time, with a ledger in memory that outlives it. Hours
// of collecting pass in milliseconds.
#ifndef SEMAPHORE_TESTS_GATEWAY_COLLECTOR_FIXTURE_H_
#define SEMAPHORE_TESTS_GATEWAY_COLLECTOR_FIXTURE_H_

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/local_budget.h"
#include "client/upstream.h"
#include "gateway/collector.h"
#include "gateway/log.h"
#include "tests/client/method_fixture.h"
#include "tests/client/virtual_time.h"
#include "tests/gateway/fake_semaphore.h"

namespace semaphore::gateway {

class LedgerInMemory final : public CollectorLedger {
 public:
  using Key = std::pair<std::string, std::string>;

  absl::StatusOr<std::optional<absl::Time>> Watermark(const std::string&, const std::string& id,
                                                      const std::string& name) override {
    const auto found = watermarks.find({id, name});
    if (found == watermarks.end()) return std::optional<absl::Time>();
    return std::optional(found->second);
  }
  absl::Status SetWatermark(const std::string&, const std::string& id, const std::string& name,
                            absl::Time at) override {
    watermarks[{id, name}] = at;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> Unknown(const std::string&, const std::string& id,
                                                   std::vector<std::string> ids) override {
    std::erase_if(ids, [&](const std::string& each) { return known.count({id, each}) > 0; });
    return ids;
  }
  absl::StatusOr<std::vector<LastRunOf>> LastRuns(const std::string&,
                                                  const std::string& id) override {
    std::vector<LastRunOf> runs;
    for (const auto& [key, run] : last_runs[id]) runs.push_back(run);
    return runs;
  }

  // Nothing waits here: promotions and deployments have the real ledger in their tests.
  absl::StatusOr<std::vector<WaitingPromotion>> DuePromotions(const std::string&,
                                                              const std::string&,
                                                              absl::Time) override {
    return std::vector<WaitingPromotion>();
  }
  absl::StatusOr<std::vector<WaitingDeployment>> DueDeployments(const std::string&,
                                                                const std::string&, absl::Time,
                                                                const std::string&) override {
    return std::vector<WaitingDeployment>();
  }
  absl::StatusOr<std::vector<WaitingDeployment>> PendingDeployments(const std::string&,
                                                                    const std::string&,
                                                                    absl::Time) override {
    return std::vector<WaitingDeployment>();
  }
  absl::StatusOr<CommitOutcome> Commit(const CollectedBatch& batch) override {
    if (!trouble.ok()) return trouble;
    CommitOutcome outcome;
    for (const CollectedPipeline& each : batch.pipelines) {
      const std::string& id = each.pipeline.pipeline_id();
      if (!known.insert({batch.project_id, id}).second) {
        ++outcome.duplicates;
        continue;
      }
      ++outcome.counted;
      largest_batch = std::max(largest_batch, batch.pipelines.size());
      if (batch.count) counted.push_back(id);
      if (batch.count) jobs += each.jobs.size();
      if (batch.count) names.insert(batch.project);
    }
    for (const LastRunOf& each : batch.last_runs) {
      last_runs[batch.project_id][{each.file, each.ref}] = each;
    }
    if (batch.watermark.has_value()) watermarks[{batch.project_id, "pipelines"}] = *batch.watermark;
    return outcome;
  }

  std::map<std::string, std::map<Key, LastRunOf>> last_runs;  // by project, and file and ref
  std::map<Key, absl::Time> watermarks;
  std::set<Key> known;
  std::vector<std::string> counted;
  std::set<std::string> names;
  size_t jobs = 0;
  size_t largest_batch = 0;
  absl::Status trouble;
};

class CollectorFixture : public testing::Test {
 protected:
  CollectorFixture() {
    client::Upstream::Options upstream;
    upstream.organization = "acme";
    upstream.host = "acme.semaphoreci.com";
    upstream.base_path = "/api/v1alpha";
    upstream.token = [] { return std::string("CANARY-token"); };
    upstream.random = [this] { return Random(); };
    upstream.sleeper = time_.TheSleeper();
    upstream_ = *client::Upstream::Create(std::move(upstream), client::Table(), semaphore_, budget_,
                                          time_.clock());
    organization_.name = "acme";
    organization_.projects = {"web"};
    options_.listed_ref = [](const v1::Pipeline& pipeline) -> std::optional<std::string> {
      if (pipeline.branch_name() != "main") return std::nullopt;
      return "main";
    };
    options_.random = [this] { return Random(); };
    options_.sleeper = time_.TheSleeper();
  }
  ~CollectorFixture() override { StopCollector(); }

  virtual CollectorLedger& TheLedger() { return ledger_; }
  void StartCollector() {
    organization_.upstream = upstream_.get();
    collector_ = std::make_unique<Collector>(
        options_, time_.context().get_executor(), time_.context().get_executor(),
        std::vector<Collector::Organization>{organization_}, TheLedger(), time_.clock(), log_);
    collector_->Start();
  }
  void StopCollector() {
    if (collector_ == nullptr) return;
    collector_->BeginStop();
    time_.RunUntil(time_.Now());
    collector_.reset();
  }
  void RunFor(absl::Duration duration) {
    time_.RunUntil(time_.Now() + absl::ToChronoNanoseconds(duration));
  }
  // Started, and past its first walk.
  void StartCounting() {
    StartCollector();
    RunFor(absl::Minutes(2));
    semaphore_.requests.clear();
  }
  double Random() { return std::uniform_real_distribution<>(0, 1)(random_); }

  static const CiSeries* Find(const StateFamilies& families, std::string_view name,
                              const std::vector<std::string>& labels) {
    for (const CiFamily& family : families.families) {
      if (family.name != name) continue;
      for (const CiSeries& series : family.series) {
        if (series.labels == labels) return &series;
      }
    }
    return nullptr;
  }
  // -1: there is no such series.
  double State(std::string_view name, const std::vector<std::string>& labels) const {
    const StateFamilies families = MakeStateFamilies(collector_->State(), {.level = CiLevel::kJob});
    const CiSeries* const series = Find(families, name, labels);
    return series == nullptr ? -1 : series->value;
  }

  client::VirtualTime time_;
  FakeSemaphore semaphore_{time_.clock()};
  std::minstd_rand random_{1};
  client::LocalBudget budget_{{.requests_per_second = 10, .burst = 20},
                              time_.clock(),
                              time_.context().get_executor(),
                              time_.TheSleeper()};
  std::unique_ptr<client::Upstream> upstream_;
  std::mutex log_mutex_;  // of the next two: the log has a thread of its own
  std::condition_variable log_written_;
  std::vector<std::string> log_lines_;
  Log log_{time_.clock(), {}, [this](std::string_view line) {
             const std::lock_guard lock(log_mutex_);
             log_lines_.emplace_back(line);
             log_written_.notify_all();
           }};
  LedgerInMemory ledger_;
  Collector::Options options_;
  Collector::Organization organization_;
  std::unique_ptr<Collector> collector_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_TESTS_GATEWAY_COLLECTOR_FIXTURE_H_
