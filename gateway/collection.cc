#include "gateway/collection.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/budget.h"
#include "gateway/collection_estimate.h"
#include "gateway/collection_state.h"
#include "gateway/collector.h"
#include "gateway/ledger.h"
#include "gateway/run_counter.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds kSettleInterval{1};

double RandomShare() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

// On the ledger's thread, until its context stops. A failure is told once.
asio::awaitable<void> KeepSettling(Ledger& ledger, const client::Clock& clock, Log& log) {
  bool failing = false;
  for (;;) {
    const absl::Status status = ledger.Settle();
    if (!status.ok() && !failing) {
      log.Warning("ledger_unusable", {{"message", std::string(status.message())}});
    }
    failing = !status.ok();
    const bool woken = co_await client::SleepUntil(clock.Now() + kSettleInterval);
    if (!woken) co_return;
  }
}

}  // namespace

struct Collection::Parts {
  Parts(const client::Clock& clock_in, Log& log_in, Metrics& metrics_in)
      : clock(clock_in), log(log_in), metrics(metrics_in) {}

  Collector::Options CollectorOptions(const Config& config);
  Metrics::CollectorState Truth() const;

  const client::Clock& clock;
  Log& log;
  Metrics& metrics;
  StateBounds bounds;
  std::optional<RefRules> refs;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<Collector> collector;
  std::vector<size_t> organization_index;  // of the collector's, in the configuration
  asio::io_context ledger_context;
  asio::executor_work_guard<asio::io_context::executor_type> ledger_work =
      asio::make_work_guard(ledger_context);
  std::thread ledger_thread;
};

Collector::Options Collection::Parts::CollectorOptions(const Config& config) {
  const MetricsConfig& section = *config.metrics;
  Collector::Options options;
  options.discover = section.discover;
  options.level = bounds.level;
  options.poll_interval = absl::FromChrono(section.poll_interval);
  options.backfill = absl::FromChrono(section.backfill);
  options.requests_per_second = config.upstream.requests_per_second;
  options.listed_ref = [this](const v1::Pipeline& pipeline) -> std::optional<std::string> {
    RefRules::Ref ref = refs->Classify(pipeline.branch_name());
    if (!ref.listed) return std::nullopt;
    return std::move(ref.label);
  };
  options.discovered = [this](const CollectedBatch& project,
                              const std::vector<std::pair<std::string, std::string>>& seen) {
    std::vector<Ledger::Discovered> pipelines;
    for (const auto& [file, branch] : seen) pipelines.push_back({file, branch});
    return ledger->Discover({project.organization, project.project_id, project.project}, pipelines);
  };
  options.random = RandomShare;
  options.lag = [this](size_t organization, absl::Duration lag) {
    metrics.CollectorLag(organization_index[organization], absl::ToChronoNanoseconds(lag));
  };
  return options;
}

Metrics::CollectorState Collection::Parts::Truth() const {
  Metrics::CollectorState state;
  for (const Collector::Truth& truth : collector->GetTruth()) {
    Metrics::CollectorState::Organization row;
    row.name = truth.organization;
    row.polls_ok = truth.polls_ok;
    row.polls_failed = truth.polls_failed;
    row.counted = truth.pipelines_counted;
    row.duplicates = truth.duplicates;
    row.interval_seconds = absl::ToDoubleSeconds(truth.interval);
    for (const Collector::Truth::Project& project : truth.projects) {
      if (project.last_success.has_value()) {
        row.last_successes.emplace_back(project.name, UnixSeconds(*project.last_success));
      }
      if (project.watermark.has_value()) {
        row.watermarks.emplace_back(project.name, UnixSeconds(*project.watermark));
      }
    }
    state.organizations.push_back(std::move(row));
  }
  const Ledger::Stats stats = ledger->GetStats();
  const StateFamilies states = MakeStateFamilies(collector->State(), bounds);
  for (const auto& [family, series] : stats.series) {
    state.series.emplace_back(std::string(family), series);
  }
  for (const CiFamily& family : states.families) {
    state.series.emplace_back(std::string(family.name), family.series.size());
  }
  state.overflow = stats.overflow;
  state.expired = stats.expired;
  return state;
}

absl::StatusOr<std::unique_ptr<Collection>> Collection::Start(
    const Config& config, const std::vector<client::Upstream*>& upstreams,
    const asio::any_io_executor& executor, const client::Clock& clock, Log& log, Metrics& metrics) {
  const MetricsConfig& section = *config.metrics;
  auto parts = std::make_unique<Parts>(clock, log, metrics);
  parts->bounds = {ParseCiLevel(section.level), static_cast<size_t>(section.max_series)};
  absl::StatusOr<RefRules> refs = RefRules::Create(section.refs);
  if (!refs.ok()) return refs.status();
  parts->refs = *refs;
  absl::StatusOr<std::unique_ptr<Ledger>> ledger =
      Ledger::Open({.state_dir = section.state_dir, .max_series = parts->bounds.max_series},
                   RunCounter(*std::move(refs), parts->bounds.level), clock);
  if (!ledger.ok()) {
    return absl::Status(ledger.status().code(),
                        absl::StrCat("metrics: ", ledger.status().message()));
  }
  parts->ledger = *std::move(ledger);

  std::vector<Collector::Organization> organizations;
  for (size_t i = 0; i < config.organizations.size(); ++i) {
    Collector::Organization organization{config.organizations[i].name, upstreams[i], {}};
    for (const MetricsProject& project : section.projects) {
      if (project.organization == organization.name) {
        organization.projects.push_back(project.name);
      }
    }
    if (!section.discover && organization.projects.empty()) continue;
    parts->organization_index.push_back(i);
    organizations.push_back(std::move(organization));
  }
  asio::io_context& context = parts->ledger_context;
  parts->collector = std::make_unique<Collector>(
      parts->CollectorOptions(config), executor, asio::any_io_executor(context.get_executor()),
      std::move(organizations), *parts->ledger, clock, log);
  asio::co_spawn(context, KeepSettling(*parts->ledger, clock, log), asio::detached);
  parts->ledger_thread = std::thread([&context] { context.run(); });
  parts->collector->Start();
  metrics.SetCollectorSource([parts = parts.get()] { return parts->Truth(); });
  return std::unique_ptr<Collection>(new Collection(std::move(parts)));
}

Collection::Collection(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Collection::~Collection() { Stop(absl::ZeroDuration()); }

// The families of events are copied; a page costs more to write than that.
std::shared_ptr<const CiSnapshot> Collection::Snapshot() const {
  const Ledger::Published events = parts_->ledger->View();
  auto page = std::make_shared<CiSnapshot>(*events.snapshot);
  StateFamilies states = MakeStateFamilies(parts_->collector->State(), parts_->bounds);
  for (CiFamily& family : states.families) page->families.push_back(std::move(family));
  page->max_series = parts_->bounds.max_series;
  page->left_out = states.overflow;
  page->collected = std::max(page->collected, parts_->clock.WallNow());
  page->generation = events.generation;
  return page;
}

void Collection::Scraped(uint64_t generation, std::string_view scraper) {
  parts_->ledger->SeriesScraped(generation, scraper);
}

std::vector<std::string> Collection::Notes() const { return parts_->collector->Notes(); }

void Collection::BeginStop() { parts_->collector->BeginStop(); }

void Collection::Stop(absl::Duration limit) {
  parts_->metrics.SetCollectorSource(nullptr);
  parts_->collector->Stop(limit);
  parts_->ledger_context.stop();
  if (parts_->ledger_thread.joinable()) parts_->ledger_thread.join();
}

}  // namespace semaphore::gateway
