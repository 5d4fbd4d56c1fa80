// Collects one project: what is active, what finished, and through their own collectors promotions
// and deployments. Each poll asks
// for little, brings the ledger everything that finished at least once, and leaves an immutable
// picture of the project's state. Runs on its organization's strand, one poll at a time.
#ifndef SEMAPHORE_GATEWAY_PROJECT_COLLECTOR_H_
#define SEMAPHORE_GATEWAY_PROJECT_COLLECTOR_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "gateway/active_pipelines.h"
#include "gateway/ci_catalog.h"
#include "gateway/collection_plan.h"
#include "gateway/collection_state.h"
#include "gateway/collector_ledger.h"
#include "gateway/collector_reads.h"
#include "gateway/deployment_collector.h"
#include "gateway/log.h"
#include "gateway/promotion_collector.h"

namespace semaphore::gateway {

// What the projects of an organization share. All references outlive their users.
struct CollectingFor {
  std::string organization;
  CiLevel level = CiLevel::kPipeline;
  absl::Duration interval;  // between polls of a project, as configured
  // The label of a listed ref; nothing for the others.
  std::function<std::optional<std::string>(const v1::Pipeline&)> listed_ref;
  CollectorReads& reads;
  CollectorLedger& ledger;
  boost::asio::any_io_executor ledger_thread;
  const client::Clock& clock;
  Log& log;
  // Pipeline files and branch names seen in the project of an otherwise empty batch; on the
  // ledger's thread.
  std::function<absl::Status(const CollectedBatch& project,
                             const std::vector<std::pair<std::string, std::string>>& seen)>
      discover;
  // Called after each commit, on the strand.
  std::function<void(const CommitOutcome&, const std::vector<absl::Duration>& lags)> committed;
};

class ProjectCollector {
 public:
  // How far back counting begins at the very first poll.
  ProjectCollector(const CollectingFor& collecting, std::string project_id, std::string name,
                   absl::Duration backfill);

  // One poll. It fails with the first thing that failed; what was found before is kept.
  boost::asio::awaitable<absl::Status> Poll();

  const std::string& project_id() const { return project_id_; }
  const std::string& name() const { return state_.name; }
  void Rename(const std::string& name);
  const ProjectState& state() const { return state_; }
  // Of the last complete walk; nothing before.
  std::optional<absl::Time> watermark() const { return watermark_; }

 private:
  template <typename Reply>
  using Reading = boost::asio::awaitable<absl::StatusOr<Reply>>;
  using Doing = boost::asio::awaitable<absl::Status>;

  struct Undescribed {
    int tries = 0;
    uint64_t described_before = 0;  // others, before the poll in which it failed first
  };

  Doing LoadLastRuns();
  Doing Look();
  Doing ReadOldOnes();
  Doing CommitSeen();
  bool WalkIsDue() const;
  Doing WalkFinished();
  Doing CommitPage(std::vector<v1::Pipeline> pipelines, bool count,
                   std::optional<absl::Time> watermark);
  Doing CommitNew(std::vector<v1::Pipeline> pipelines, bool count,
                  std::optional<absl::Time> watermark);
  Reading<CollectedPipeline> WithDetails(v1::Pipeline pipeline);
  bool GiveUpDetails(const std::string& pipeline_id);
  void AddRun(const v1::Pipeline& pipeline);
  Doing Commit(CollectedBatch batch);
  Reading<std::optional<absl::Time>> Mark(const char* name);
  Reading<std::set<std::string>> Unknown(std::vector<std::string> ids);
  Doing Discover(std::vector<v1::Pipeline> pipelines);
  CollectedBatch NewBatch() const;

  const CollectingFor& collecting_;
  const std::string project_id_;
  ProjectState state_;
  const absl::Duration backfill_;
  std::optional<absl::Time> watermark_;
  bool last_runs_loaded_ = false;
  std::set<std::pair<std::string, std::string>> unsaved_runs_;  // keys of last_runs

  ActivePipelines active_;
  std::vector<v1::Pipeline> finished_;              // seen by a look, not yet committed
  std::set<std::string> unreadable_;                // ids, told in the log
  std::map<std::string, Undescribed> undescribed_;  // by id
  uint64_t described_ = 0;
  uint64_t described_before_poll_ = 0;
  std::set<std::pair<std::string, std::string>> discovered_;  // files and branches told
  absl::Time newest_ = absl::InfinitePast();  // the latest that was heard of a pipeline
  bool walk_wanted_ = true;
  client::MonotonicTime last_walk_;
  std::optional<client::MonotonicTime> next_reconcile_;  // nothing: at once

  PromotionCollector promotions_;
  DeploymentCollector deployments_;
};

// Whether it says that upstream has no such thing for us, rather than that it is in trouble.
bool IsAbsence(const absl::Status& status);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_PROJECT_COLLECTOR_H_
