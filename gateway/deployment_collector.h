// Counts the deployments of one project and keeps the picture of its deployment targets. A target's
// history is read back to a mark in the ledger; what is newer waits in the ledger, in one
// transaction with the moved mark, until its pipeline is done. So none is lost or counted twice
// whatever ends this process, and however long it did not run. Runs within the project's poll.
#ifndef SEMAPHORE_GATEWAY_DEPLOYMENT_COLLECTOR_H_
#define SEMAPHORE_GATEWAY_DEPLOYMENT_COLLECTOR_H_

#include <boost/asio/awaitable.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "gateway/collection_state.h"
#include "gateway/collector_ledger.h"
#include "gateway/failed_reads.h"

namespace semaphore::gateway {

struct CollectingFor;

class DeploymentCollector {
 public:
  // Both outlive it. Of the project its names are used and its targets are kept.
  DeploymentCollector(const CollectingFor& collecting, ProjectState& project)
      : collecting_(collecting), project_(project) {}

  // Does nothing before it is time again (TargetsInterval). Fails where the ledger does or upstream
  // is in trouble; one thing that upstream refuses stops no other, is asked for again later, and
  // given up in the end.
  boost::asio::awaitable<absl::Status> Poll();

 private:
  template <typename Reply>
  using Reading = boost::asio::awaitable<absl::StatusOr<Reply>>;
  using Doing = boost::asio::awaitable<absl::Status>;

  struct Target {
    // Every deployment triggered before is counted, waits, or is older than counting. Nothing
    // before its history was read for the first time.
    std::optional<absl::Time> mark;
    std::optional<absl::Time> last_passed;
    std::string last_deployment_id;  // as of the last complete reading
    client::MonotonicTime last_read = client::MonotonicTime::min();
    int tries = 0;  // readings that failed, one after another
    client::MonotonicTime not_before = client::MonotonicTime::min();
  };
  // Of one target: those that have no pipeline yet, by id.
  using Pending = std::map<std::string, WaitingDeployment>;
  struct History {
    std::vector<v1::Deployment> deployments;  // newest first
    bool cut_off = false;
  };
  // What a history means.
  struct News {
    CollectedBatch batch;
    absl::Time mark = absl::UnixEpoch();
    std::optional<absl::Time> last_passed = {};
  };

  Doing ReadTargets(const std::vector<v1::DeploymentTarget>& targets, Failures& failures);
  Doing LoadTargets(const std::vector<v1::DeploymentTarget>& targets);
  Doing ReadTarget(v1::DeploymentTarget target, Pending pending, Failures& failures);
  absl::Time FirstMark(const v1::DeploymentTarget& target) const;
  Doing ReadNews(const v1::DeploymentTarget& target, const Pending& pending, News& news);
  Reading<History> ReadHistory(std::string target_id, absl::Time back_to, bool first);
  Reading<bool> IsUnderWay(v1::Deployment deployment, News& news);
  void StillPending(WaitingDeployment waiting, const absl::Status& status,
                    CollectedBatch& batch) const;
  Doing Settle(Failures& failures);
  Reading<std::optional<CollectedDeployment>> SettleOne(WaitingDeployment waiting);
  Doing Commit(CollectedBatch batch);
  void Show(const std::vector<v1::DeploymentTarget>& targets);
  CollectedBatch NewBatch() const;
  void Told(const char* event, const std::string& target, const std::string& deployment_id,
            absl::string_view message) const;

  const CollectingFor& collecting_;
  ProjectState& project_;
  client::MonotonicTime next_{client::MonotonicTime::min()};
  // When this project's targets were first seen, by our clock.
  std::optional<absl::Time> begun_;
  std::map<std::string, Target> targets_;  // by id
  std::string settled_to_;                 // where the rotation over what waits is
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_DEPLOYMENT_COLLECTOR_H_
