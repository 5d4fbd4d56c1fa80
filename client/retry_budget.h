// How much of the traffic may be retries: a fixed share of the requests, and a small reserve so
// that rare traffic can retry too. When everything fails, retries then add that share to the load
// instead of multiplying it. Pure; its owner locks.
#ifndef SEMAPHORE_CLIENT_RETRY_BUDGET_H_
#define SEMAPHORE_CLIENT_RETRY_BUDGET_H_

#include <cstdint>

namespace semaphore::client {

class RetryBudget {
 public:
  struct Options {
    double share = 0.2;  // what each request adds, in retries; 0 to 1
    int reserve = 10;    // retries at the start, and the most that is kept
  };

  explicit RetryBudget(const Options& options);

  // A first attempt is made.
  void OnRequest();

  // Takes one retry; false when there is none. Never true more often than reserve + share times
  // the calls of OnRequest.
  bool TryRetry();

  double Available() const { return available_; }

  struct Stats {
    uint64_t allowed = 0;
    uint64_t refused = 0;
  };
  const Stats& GetStats() const { return stats_; }

 private:
  const Options options_;
  double available_;
  Stats stats_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_RETRY_BUDGET_H_
