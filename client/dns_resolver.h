// Names to addresses without blocking a strand: getaddrinfo cannot be cancelled, so it runs on a
// thread of its own, once per host at a time, and any number of requests wait for it, each with its
// own deadline and cancellation. The last good addresses outlive a failing or slow lookup. It knows
// nothing of connections.
#ifndef SEMAPHORE_CLIENT_DNS_RESOLVER_H_
#define SEMAPHORE_CLIENT_DNS_RESOLVER_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/clock.h"

namespace semaphore::client {

class DnsResolver final {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;  // never empty when OK, best first
  using Lookup = std::function<absl::StatusOr<Addresses>(const std::string& host)>;

  struct Options {
    MonotonicDuration fresh_for =
        std::chrono::seconds(30);  // an answer younger than this is used as it is
    MonotonicDuration slow_after =
        std::chrono::seconds(1);  // then the last good addresses stand in
    MonotonicDuration retry_after =
        std::chrono::seconds(1);  // how long they do after a failed lookup
    size_t max_hosts = 256;
  };

  // getaddrinfo, IPv4 and IPv6. Blocks.
  static absl::StatusOr<Addresses> SystemLookup(const std::string& host);

  explicit DnsResolver(const Clock& clock);
  DnsResolver(const Clock& clock, Options options, Lookup lookup);

  // Wakes nobody. A lookup still running is left behind, on a thread that touches nothing of the
  // caller's when it ends. Call it while the io_context still exists.
  ~DnsResolver();

  // Errors: UNAVAILABLE the lookup failed and there is no earlier answer; DEADLINE_EXCEEDED;
  // CANCELLED. An address literal is answered as it is. Any strand.
  boost::asio::awaitable<absl::StatusOr<Addresses>> Resolve(std::string host,
                                                            MonotonicTime deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the lookup threads and with the calls that wait
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_DNS_RESOLVER_H_
