// What the ledger knows to be unfinished: pipelines whose promotions are to be read, and
// deployments that are not counted yet. In tables of its file, so that they change in the
// transaction that counts, and wait on whatever ends this process.
#ifndef SEMAPHORE_GATEWAY_LEDGER_WAITING_H_
#define SEMAPHORE_GATEWAY_LEDGER_WAITING_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/collector_ledger.h"
#include "gateway/sqlite.h"

namespace semaphore::gateway {

// Stateless; each call is one on the open file, with its errors.
class LedgerWaiting {
 public:
  static const std::array<const char*, 4> kSchema;
  // Rows of a project in each table.
  static constexpr int64_t kMaxRows = 100'000;

  explicit LedgerWaiting(Sqlite& file) : file_(file) {}

  // See CollectorLedger.
  absl::StatusOr<std::vector<WaitingPromotion>> DuePromotions(const std::string& organization,
                                                              const std::string& project_id,
                                                              absl::Time now);
  absl::StatusOr<std::vector<WaitingDeployment>> DueDeployments(const std::string& organization,
                                                                const std::string& project_id,
                                                                absl::Time now,
                                                                const std::string& after);
  absl::StatusOr<std::vector<WaitingDeployment>> PendingDeployments(const std::string& organization,
                                                                    const std::string& project_id,
                                                                    absl::Time now);

  // Makes those of the batch wait and lets those go that wait no more; counting is not its part,
  // and comes first. Returns how many found no room.
  absl::StatusOr<uint64_t> Apply(const CollectedBatch& batch);

 private:
  absl::StatusOr<uint64_t> AddPromotions(const CollectedBatch& batch);
  absl::Status PostponePromotions(const CollectedBatch& batch);
  absl::StatusOr<uint64_t> AddDeployments(const CollectedBatch& batch);
  absl::Status PostponeDeployments(const CollectedBatch& batch);
  absl::StatusOr<int64_t> Room(const CollectedBatch& batch, const char* count);
  absl::StatusOr<std::vector<WaitingDeployment>> ReadDeployments(Sqlite::Query& query);

  Sqlite& file_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_LEDGER_WAITING_H_
