// Collects facts about CI from every organization, without end: which projects there are, what each
// of them is doing, what finished, which agents are connected. A few workers for each organization
// take one project after another, so the load is even and bounded whatever upstream does; what they
// find goes to the ledger or becomes part of an immutable picture that a scrape reads.
#ifndef SEMAPHORE_GATEWAY_COLLECTOR_H_
#define SEMAPHORE_GATEWAY_COLLECTOR_H_

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/budget.h"
#include "client/clock.h"
#include "client/upstream.h"
#include "gateway/ci_catalog.h"
#include "gateway/collection_state.h"
#include "gateway/collector_ledger.h"
#include "gateway/log.h"

namespace semaphore::gateway {

class Collector {
 public:
  struct Organization {
    std::string name;
    client::Upstream* upstream = nullptr;
    std::vector<std::string> projects;  // names; none with `discover`
  };

  struct Options {
    bool discover = false;
    CiLevel level = CiLevel::kPipeline;
    absl::Duration poll_interval = absl::Seconds(30);
    absl::Duration backfill;          // 0: count from now on
    double requests_per_second = 10;  // the budget of each organization
    std::function<std::optional<std::string>(const v1::Pipeline&)> listed_ref;
    // See CollectingFor::discover.
    std::function<absl::Status(const CollectedBatch& project,
                               const std::vector<std::pair<std::string, std::string>>& seen)>
        discovered = [](const CollectedBatch&, const auto&) { return absl::OkStatus(); };
    std::function<double()> random;  // uniform in [0, 1); thread-safe
    client::Sleeper sleeper = client::SleepUntil;
    // From done to counted, of each pipeline counted. Thread-safe.
    std::function<void(size_t organization, absl::Duration)> lag = [](size_t, absl::Duration) {};
  };

  // The truth about collecting itself; counters only grow.
  struct Truth {
    struct Project {
      std::string name;
      std::optional<absl::Time> watermark;
      std::optional<absl::Time> last_success;  // of its poll, as the next
    };
    std::string organization;
    uint64_t polls_ok = 0;
    uint64_t polls_failed = 0;
    uint64_t pipelines_counted = 0;
    uint64_t duplicates = 0;
    std::optional<absl::Time> last_success;
    absl::Duration interval;  // in force between two polls of a project
    std::vector<Project> projects;
    std::vector<std::string> missing;  // configured names that no project has
  };

  // All outlive the collector. Coroutines run on strands of `executor`, the ledger is used on
  // `ledger_thread` only.
  Collector(Options options, boost::asio::any_io_executor executor,
            boost::asio::any_io_executor ledger_thread, std::vector<Organization> organizations,
            CollectorLedger& ledger, const client::Clock& clock, Log& log);
  // Stop comes first.
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  void Start();
  // Ends what is under way, without waiting.
  void BeginStop();
  // Blocks until everything has ended, or for `limit`. The executors must still run.
  void Stop(absl::Duration limit);

  // At any time, from any thread; copies pointers and waits for nothing.
  CollectionState State() const;
  std::vector<Truth> GetTruth() const;

  // What is not well, in words for people: a project that could not be collected for some while.
  std::vector<std::string> Notes() const;

 private:
  class Branch;  // one organization's
  struct Shared;

  std::shared_ptr<Shared> shared_;
  std::vector<std::shared_ptr<Branch>> branches_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COLLECTOR_H_
