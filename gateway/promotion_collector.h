// Counts the promotions of one project's pipelines. Which pipelines are to be asked for theirs is
// kept in the ledger from the commit of the pipeline on, so that nothing that ends this process
// loses one. Runs within the project's poll.
#ifndef SEMAPHORE_GATEWAY_PROMOTION_COLLECTOR_H_
#define SEMAPHORE_GATEWAY_PROMOTION_COLLECTOR_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/collection_state.h"
#include "gateway/collector_ledger.h"

namespace semaphore::gateway {

struct CollectingFor;

class PromotionCollector {
 public:
  // The ledger's mark of when counting began, by Semaphore's clock: the latest that was heard of a
  // pipeline then. Promotions that were triggered before are not counted, whenever the pipelines
  // that they started end.
  static constexpr char kMark[] = "promotions";

  // Both outlive it. Of the project only the names are used.
  PromotionCollector(const CollectingFor& collecting, const ProjectState& project)
      : collecting_(collecting), project_(project) {}

  // Adds to the batch that counts this pipeline whose promotions are to be read then: its own, soon
  // after its end and once more an hour later; if it was promoted itself, its parent has had one,
  // whenever that was.
  void Await(const v1::Pipeline& pipeline, CollectedBatch& batch) const;

  // Tells that so many of a batch found no room to wait.
  void Dropped(uint64_t count) const;

  // Reads some of those that are due and commits what they say. Fails where the ledger does or
  // upstream is in trouble; what upstream refuses is asked for again later, and given up in the
  // end.
  boost::asio::awaitable<absl::Status> Poll();

 private:
  using Doing = boost::asio::awaitable<absl::Status>;

  Doing ReadMark();
  Doing Read(WaitingPromotion waiting, CollectedBatch& batch) const;
  void Postpone(WaitingPromotion waiting, const absl::Status& status, CollectedBatch& batch) const;
  void Told(const char* event, const std::string& pipeline_id, absl::string_view message) const;

  const CollectingFor& collecting_;
  const ProjectState& project_;
  std::optional<absl::Time> begun_;  // the mark, once it was read
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_PROMOTION_COLLECTOR_H_
