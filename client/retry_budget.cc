#include "client/retry_budget.h"

#include <algorithm>

namespace semaphore::client {

RetryBudget::RetryBudget(const Options& options) : options_(options), available_(options.reserve) {}

void RetryBudget::OnRequest() {
  available_ = std::min<double>(available_ + options_.share, options_.reserve);
}

bool RetryBudget::TryRetry() {
  if (available_ < 1) {
    ++stats_.refused;
    return false;
  }
  available_ -= 1;
  ++stats_.allowed;
  return true;
}

}  // namespace semaphore::client
