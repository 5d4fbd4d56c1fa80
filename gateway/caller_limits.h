// How much one caller may ask of Semaphore, so that none uses up what all share: a token bucket for
// each, by authenticated name or else address. Answers that need no request upstream are not
// counted. Thread-safe; knows nothing of what a call is.
#ifndef SEMAPHORE_GATEWAY_CALLER_LIMITS_H_
#define SEMAPHORE_GATEWAY_CALLER_LIMITS_H_

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "client/clock.h"
#include "client/token_bucket.h"

namespace semaphore::gateway {

class CallerLimits {
 public:
  struct Options {
    double requests_per_second = 100;  // 0: no limit
    int burst = 200;
    // Beyond that the one not seen for longest is forgotten, and begins anew with a full bucket.
    size_t max_callers = 10'000;
  };

  explicit CallerLimits(const Options& options) : options_(options) {}

  // How a caller stands.
  struct Standing {
    double requests_per_second = 0;
    int burst = 0;
    double available = 0;  // calls at once, now
    bool operator==(const Standing&) const = default;
  };

  // Takes one call from the caller's quota; when it is spent, in how long there will be one again.
  std::optional<client::MonotonicDuration> Take(const std::string& caller,
                                                client::MonotonicTime now);

  // Without taking anything, and without counting as being seen. Nothing where there is no limit.
  std::optional<Standing> Look(const std::string& caller, client::MonotonicTime now) const;

 private:
  struct Caller {
    std::string name;
    client::TokenBucket bucket;
  };

  const Options options_;
  mutable std::mutex mutex_;   // of the next two
  std::list<Caller> callers_;  // seen last stands first
  absl::flat_hash_map<std::string, std::list<Caller>::iterator> by_name_;
};

// The address in gRPC's name of a peer: "ipv4:10.0.0.7:53412" is "10.0.0.7", "ipv6:%5B::1%5D:53412"
// is "::1". Anything else stays as it is.
std::string CallerOfPeer(std::string_view peer);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CALLER_LIMITS_H_
