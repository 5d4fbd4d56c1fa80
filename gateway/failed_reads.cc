#include "gateway/failed_reads.h"

#include <algorithm>

namespace semaphore::gateway {
namespace {

constexpr int kRefusedTries = 8;
constexpr int kTroubleTries = 100;

}  // namespace

bool IsTrouble(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnavailable:
      return true;
    default:
      return false;
  }
}

std::optional<absl::Duration> ReadAgainAfter(const absl::Status& status, int tries) {
  if (tries >= (IsTrouble(status) ? kTroubleTries : kRefusedTries)) return std::nullopt;
  return std::min(absl::Minutes(1 << std::clamp(tries - 1, 0, 6)), absl::Hours(1));
}

void Failures::Add(const absl::Status& status) {
  if (!status.ok()) ++failures_;
  if (IsTrouble(status)) trouble_.Update(status);
}

}  // namespace semaphore::gateway
