// Keeps a second process away from a ledger, and knows whether the ledger was ever there.
#ifndef SEMAPHORE_GATEWAY_LEDGER_LOCK_H_
#define SEMAPHORE_GATEWAY_LEDGER_LOCK_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace semaphore::gateway {

// Held while a ledger is open, and released by the kernel however its process ends. The file's
// content says that the ledger was created, so that one that is gone is not mistaken for a first
// start.
class LedgerLock {
 public:
  // Makes the folder and the file `name` in it where they are missing. FAILED_PRECONDITION: another
  // process holds it; PERMISSION_DENIED, RESOURCE_EXHAUSTED: as the system says.
  static absl::StatusOr<std::unique_ptr<LedgerLock>> Take(const std::string& folder,
                                                          const std::string& name);
  ~LedgerLock();
  LedgerLock(const LedgerLock&) = delete;
  LedgerLock& operator=(const LedgerLock&) = delete;

  // Whether a ledger was created here, by this process or an earlier one.
  bool marked() const { return marked_; }
  absl::Status Mark();

 private:
  explicit LedgerLock(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  int file_ = -1;
  bool marked_ = false;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_LEDGER_LOCK_H_
