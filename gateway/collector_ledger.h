// What the collector found and wants counted, and the ledger as the collector sees it. The ledger
// knows what was counted before, whatever happened to this process in between; the collector only
// brings it every finished thing at least once.
#ifndef SEMAPHORE_GATEWAY_COLLECTOR_LEDGER_H_
#define SEMAPHORE_GATEWAY_COLLECTOR_LEDGER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/last_run.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/promotion.pb.h"

namespace semaphore::gateway {

struct CollectedPipeline {
  v1::Pipeline pipeline;      // done; with blocks from level block on
  std::vector<v1::Job> jobs;  // from level job on
};

struct CollectedPromotion {
  std::string pipeline_id;  // the one that was promoted
  v1::Promotion promotion;
  bool automatic = false;
};

struct CollectedDeployment {
  std::string target;
  v1::Deployment deployment;
  v1::PipelineResult result = v1::PIPELINE_RESULT_UNSPECIFIED;  // of its pipeline
  bool automatic = false;
  absl::Time done;
  std::optional<absl::Time> workflow_created;  // where it passed
};

// A pipeline whose promotions are to be read. It outlives this process, as the next does.
struct WaitingPromotion {
  std::string pipeline_id;
  absl::Time since = {};  // promotions triggered before are not ours to count
  absl::Time due = {};    // by our clock
  absl::Time until = {};  // it waits on until it was read then or later
  int tries = 0;          // reads without an end, one after another
};

// A deployment that is not counted yet. The copy says its target, with the name to count it under.
struct WaitingDeployment {
  v1::Deployment deployment;
  absl::Time due = {};  // by our clock
  int tries = 0;        // reads that failed, one after another
};

struct CollectedBatch {
  std::string organization;
  std::string project_id;
  std::string project;  // its name at present
  std::vector<CollectedPipeline> pipelines;
  std::vector<CollectedPromotion> promotions;
  std::vector<CollectedDeployment> deployments;
  std::vector<LastRunOf> last_runs;     // those that changed
  bool count = true;                    // false: only remember that they are known
  std::optional<absl::Time> watermark;  // to move it there with the rest, in one transaction

  // What waits from now on. One that waits already keeps the earlier `since` and `due` and the
  // later `until`.
  std::vector<WaitingPromotion> promotions_to_read;
  std::vector<WaitingPromotion> promotions_postponed;  // still wait, as they say now
  std::vector<std::string> promotions_read;            // these pipelines wait no more
  // Wait from now on, unless they were counted. Of one that waits already the copy is taken when
  // it is the first with a pipeline. What is in `deployments` waits no more.
  std::vector<WaitingDeployment> deployments_found;
  std::vector<WaitingDeployment> deployments_postponed;
  std::vector<std::pair<std::string, absl::Time>> marks;  // by name; never back
};

struct CommitOutcome {
  uint64_t counted = 0;     // pipelines that were new
  uint64_t duplicates = 0;  // pipelines that were known
  uint64_t dropped = 0;     // that would have had to wait where too many do
};

// Everything blocks and is called on one thread.
class CollectorLedger {
 public:
  virtual ~CollectorLedger() = default;

  // Nothing before the first complete walk. `name` tells several marks of a project apart.
  virtual absl::StatusOr<std::optional<absl::Time>> Watermark(const std::string& organization,
                                                              const std::string& project_id,
                                                              const std::string& name) = 0;
  virtual absl::Status SetWatermark(const std::string& organization, const std::string& project_id,
                                    const std::string& name, absl::Time at) = 0;

  // Those of the ids (of pipelines or of deployments) that it has not seen.
  virtual absl::StatusOr<std::vector<std::string>> Unknown(const std::string& organization,
                                                           const std::string& project_id,
                                                           std::vector<std::string> ids) = 0;

  // As committed; those of long ago are left out.
  virtual absl::StatusOr<std::vector<LastRunOf>> LastRuns(const std::string& organization,
                                                          const std::string& project_id) = 0;

  // What waits in a project and is due: the promotions longest due first, the deployments in the
  // order of their ids from `after` on. At most kDueAtOnce.
  static constexpr int kDueAtOnce = 20;
  virtual absl::StatusOr<std::vector<WaitingPromotion>> DuePromotions(
      const std::string& organization, const std::string& project_id, absl::Time now) = 0;
  virtual absl::StatusOr<std::vector<WaitingDeployment>> DueDeployments(
      const std::string& organization, const std::string& project_id, absl::Time now,
      const std::string& after) = 0;
  // Of those that have no pipeline yet, which the others have or will not get. At most kMaxPending.
  static constexpr int kMaxPending = 1000;
  virtual absl::StatusOr<std::vector<WaitingDeployment>> PendingDeployments(
      const std::string& organization, const std::string& project_id, absl::Time now) = 0;

  // All of it or nothing; what was committed before changes nothing.
  virtual absl::StatusOr<CommitOutcome> Commit(const CollectedBatch& batch) = 0;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COLLECTOR_LEDGER_H_
