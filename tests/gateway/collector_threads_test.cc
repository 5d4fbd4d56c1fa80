// Collector and ledger as the gateway runs them, on several threads and by the real clock, while
// scrapes go on: nothing is lost, and ThreadSanitizer has something to watch.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/local_budget.h"
#include "client/upstream.h"
#include "gateway/collection_state.h"
#include "gateway/collector.h"
#include "gateway/ledger.h"
#include "gateway/log.h"
#include "tests/client/method_fixture.h"
#include "tests/gateway/fake_semaphore.h"
#include "tests/gateway/ledger_fixture.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;

constexpr size_t kProjects = 6;
constexpr size_t kPipelines = 60;  // of each organization
constexpr std::chrono::seconds kLimit{100};

class CollectorThreadsTest : public testing::Test {
 protected:
  CollectorThreadsTest() {
    for (int i = 0; i < 3; ++i) threads_.emplace_back([this] { context_.run(); });
    threads_.emplace_back([this] { ledger_context_.run(); });
    for (const char* const name : {"acme", "umbrella"}) organizations_.emplace_back(name);
    for (Organization& organization : organizations_) {
      organization.semaphore.projects.clear();
      for (size_t i = 0; i < kProjects; ++i) {
        const std::string id = absl::StrCat(organization.name, i);
        organization.semaphore.projects.emplace_back(id, absl::StrCat("project", i));
      }
      client::Upstream::Options options;
      options.organization = organization.name;
      options.host = "acme.semaphoreci.com";
      options.base_path = "/api/v1alpha";
      options.token = [] { return std::string("CANARY-token"); };
      options.random = [] { return 0.5; };
      organization.upstream = *client::Upstream::Create(std::move(options), client::Table(),
                                                        organization.semaphore, budget_, clock_);
    }
  }
  ~CollectorThreadsTest() override {
    if (collector_ != nullptr) collector_->Stop(kStopLimit);
    context_.stop();
    ledger_context_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  void StartCollector() {
    Collector::Options options;
    options.discover = true;
    options.poll_interval = absl::Milliseconds(20);
    options.requests_per_second = 1e6;
    options.listed_ref = [](const v1::Pipeline& pipeline) {
      return std::optional<std::string>(pipeline.branch_name());
    };
    options.random = [] { return 0.5; };
    std::vector<Collector::Organization> organizations;
    for (Organization& each : organizations_) {
      organizations.push_back({each.name, each.upstream.get(), {}});
    }
    collector_ = std::make_unique<Collector>(std::move(options), context_.get_executor(),
                                             ledger_context_.get_executor(),
                                             std::move(organizations), *ledger_, clock_, log_);
    collector_->Start();
  }

  // What a scrape does, and the gateway each second. True when `ready` says so of the collector.
  template <typename Ready>
  bool ScrapeUntil(Ready ready) {
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while (std::chrono::steady_clock::now() < end) {
      const Ledger::Published published = ledger_->View();
      ledger_->SeriesScraped(published.generation);
      (void)ledger_->GetStats();
      (void)MakeStateFamilies(collector_->State(), {});
      (void)collector_->Notes();
      std::atomic<bool> settled = false;
      asio::post(ledger_context_, [&] {
        EXPECT_TRUE(ledger_->Settle().ok());
        settled = true;
        settled.notify_one();
      });
      settled.wait(false);
      if (ready(collector_->GetTruth())) return true;
    }
    return false;
  }

  void RunPipelines(size_t round) {
    for (Organization& organization : organizations_) {
      const std::lock_guard lock(organization.semaphore.mutex);
      organization.semaphore.Run(absl::StrCat(organization.name, "-", round),
                                 absl::Milliseconds(5 * (round % 7)),
                                 absl::StrCat(organization.name, round % kProjects));
    }
  }

  static constexpr absl::Duration kStopLimit = absl::Seconds(30);

  struct Organization {
    explicit Organization(const char* name_in) : name(name_in) {}
    std::string name;
    client::SystemClock clock;
    FakeSemaphore semaphore{clock};
    std::unique_ptr<client::Upstream> upstream;
  };

  client::SystemClock clock_;
  TemporaryFolder folder_;
  asio::io_context context_;
  asio::io_context ledger_context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ =
      asio::make_work_guard(context_);
  asio::executor_work_guard<asio::io_context::executor_type> ledger_work_ =
      asio::make_work_guard(ledger_context_);
  std::vector<std::thread> threads_;
  client::LocalBudget budget_{{.requests_per_second = 1e6, .burst = 1'000'000},
                              clock_,
                              context_.get_executor(),
                              client::SleepUntil};
  Log log_{clock_, {}, [](std::string_view) {}};
  std::deque<Organization> organizations_;
  std::unique_ptr<Ledger> ledger_ =
      *Ledger::Open({.state_dir = folder_.path()}, CounterOf(), clock_);
  std::unique_ptr<Collector> collector_;
};

TEST_F(CollectorThreadsTest, EachPipelineIsCountedOnceWhileScrapesGoOn) {
  StartCollector();
  ASSERT_TRUE(ScrapeUntil([](const std::vector<Collector::Truth>& truths) {
    size_t begun = 0;
    for (const Collector::Truth& truth : truths) {
      for (const auto& project : truth.projects) begun += project.watermark.has_value() ? 1 : 0;
    }
    return begun == 2 * kProjects;
  }));
  for (size_t round = 0; round < kPipelines; ++round) {
    RunPipelines(round);
    ScrapeUntil([](const auto&) { return true; });
  }
  const auto counted = [](const std::vector<Collector::Truth>& truths) {
    return truths[0].pipelines_counted >= kPipelines && truths[1].pipelines_counted >= kPipelines;
  };
  ASSERT_TRUE(ScrapeUntil(counted));
  collector_->Stop(kStopLimit);
  ASSERT_TRUE(ScrapeUntil(counted));

  double runs = 0;
  for (const auto& [series, value] : TotalsOf(*ledger_)) {
    if (series.starts_with("semaphoreci_pipeline_runs_total{")) runs += value;
  }
  EXPECT_EQ(runs, 2 * kPipelines);
}

}  // namespace
}  // namespace semaphore::gateway
