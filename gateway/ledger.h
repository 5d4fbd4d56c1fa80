// The durable ledger: which finished things were counted, and the totals of the event families, in
// one SQLite file. A thing is remembered and counted in the same transaction, and totals are
// published only after it, so that the numbers are Semaphore's own whatever happens to this
// process. SQLite blocks: all but View, SeriesScraped and GetStats belong to one thread that may
// wait.
#ifndef SEMAPHORE_GATEWAY_LEDGER_H_
#define SEMAPHORE_GATEWAY_LEDGER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "gateway/ci_catalog.h"
#include "gateway/ci_series.h"
#include "gateway/collector_ledger.h"
#include "gateway/run_counter.h"

namespace semaphore::gateway {

// `increase()` does not see the first value of a series. Hence every series is first published at 0
// and only then, when a scrape has returned that or two minutes have passed, with its value; which
// of both a series has reached is kept in the file, or a restart would show a counter falling.
//
// A series to which nothing happened for its family's expiry is deleted, total and all: that bounds
// the file and makes room under the cap. If it comes back it begins at 0 as any new one does.
// Prometheus takes the fall for a reset, so that `increase()` stays right. Its zeros do not
// expire while its pipeline is seen.
//
// Label sets beyond a family's cap are folded: labels that are not closed sets of words become
// "other". One known already is never folded later.
class Ledger final : public CollectorLedger {
 public:
  static constexpr int kSchemaVersion = 1;
  static constexpr absl::Duration kZeroWait = absl::Minutes(2);
  // Keys are kept for this long before the watermark: a reconcile asks for 24 hours before it.
  static constexpr absl::Duration kKeyRetention = absl::Hours(24 + 48);
  // Of what is not asked for again, whatever its age, but once in a long while.
  static constexpr absl::Duration kPromotionRetention = absl::Hours(24 * 400);
  static constexpr absl::Duration kDeploymentRetention = absl::Hours(24 * 400);

  struct Options {
    std::string state_dir = {};
    // How long to wait for another process that has the file locked.
    absl::Duration busy_timeout = absl::Seconds(5);
    // What the file may grow to, in pages of 4 KiB; 0: what the disk holds.
    int64_t max_pages = 0;
    size_t max_series = kDefaultMaxSeries;  // of a family; see SeriesCap
    // For tests: told of each statement before it runs, and of "published" after a commit.
    std::function<void(std::string_view statement)> on_statement = {};
  };

  // Creates the file if there is none. Errors say which file and what to do:
  //   FAILED_PRECONDITION  another process has this ledger, or a newer version wrote it
  //   PERMISSION_DENIED    the directory or file cannot be written
  //   DATA_LOSS            it is corrupt, no ledger, or gone although it was there
  // The clock outlives this.
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(Options options, RunCounter counter,
                                                      const client::Clock& clock);
  ~Ledger() override;
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // After an error nothing has changed and a repetition is right. UNAVAILABLE: locked by another
  // process; RESOURCE_EXHAUSTED: the disk is full; DATA_LOSS as above.
  absl::StatusOr<std::optional<absl::Time>> Watermark(const std::string& organization,
                                                      const std::string& project_id,
                                                      const std::string& name) override;
  absl::Status SetWatermark(const std::string& organization, const std::string& project_id,
                            const std::string& name, absl::Time at) override;
  absl::StatusOr<std::vector<std::string>> Unknown(const std::string& organization,
                                                   const std::string& project_id,
                                                   std::vector<std::string> ids) override;
  // Those with a run within kLastRunMemory.
  absl::StatusOr<std::vector<LastRunOf>> LastRuns(const std::string& organization,
                                                  const std::string& project_id) override;
  absl::StatusOr<std::vector<WaitingPromotion>> DuePromotions(const std::string& organization,
                                                              const std::string& project_id,
                                                              absl::Time now) override;
  absl::StatusOr<std::vector<WaitingDeployment>> DueDeployments(const std::string& organization,
                                                                const std::string& project_id,
                                                                absl::Time now,
                                                                const std::string& after) override;
  absl::StatusOr<std::vector<WaitingDeployment>> PendingDeployments(const std::string& organization,
                                                                    const std::string& project_id,
                                                                    absl::Time now) override;
  // `batch.watermark` moves the mark kPipelinesMark, never back.
  absl::StatusOr<CommitOutcome> Commit(const CollectedBatch& batch) override;
  static constexpr char kPipelinesMark[] = "pipelines";

  struct Discovered {
    std::string pipeline;  // as PipelineFile says
    std::string branch_name;
  };
  // Pipelines seen, finished or not: their series exist at 0 from now on. Free when they do
  // already.
  absl::Status Discover(const RunCounter::Project& project,
                        const std::vector<Discovered>& pipelines);

  // Publishes the values whose zeros were scraped or waited long enough, and drops expired series.
  // To be called every second or so; free when there is nothing to do.
  absl::Status Settle();

  // What is published: the event families in the catalogue's order. Any thread.
  struct Published {
    std::shared_ptr<const CiSnapshot> snapshot;  // never null
    uint64_t generation = 0;
  };
  Published View() const;
  // A scraper has been sent the whole snapshot of this generation. Where several scrape, a zero
  // waits for each of those that came within kZeroWait. Any thread.
  void SeriesScraped(uint64_t generation, std::string_view scraper = {});
  static constexpr size_t kMaxScrapers = 16;  // told apart; more of them wait for kZeroWait

  struct Stats {
    uint64_t counted = 0;     // finished things that were new, since the start, as all below
    uint64_t duplicates = 0;  // refused
    uint64_t overflow = 0;    // increments folded into "other"
    uint64_t expired = 0;     // series
    uint64_t unreadable = 0;  // series left out because the catalogue has changed under them
    uint64_t waiting = 0;     // series published at 0 for now; a level, as the next
    std::vector<std::pair<std::string_view, uint64_t>> series;  // by family
  };
  Stats GetStats() const;  // any thread

 private:
  class State;
  explicit Ledger(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_LEDGER_H_
