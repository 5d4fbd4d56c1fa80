// The real HttpClient: HTTP/1.1 over verified TLS to one upstream origin, with a bounded pool of
// kept-alive connections. It exists to say truthfully how far a request got. It does not retry (but
// for one redial of a dead kept-alive connection), follow redirects, or know what the bytes mean.
#ifndef SEMAPHORE_CLIENT_HTTPS_CLIENT_H_
#define SEMAPHORE_CLIENT_HTTPS_CLIENT_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/clock.h"
#include "client/dns_resolver.h"
#include "client/http_client.h"

namespace semaphore::client {

// Any number of strands may Send at the same time. What the causes and codes of a failure mean
// beyond HttpCause:
//   kSlot/kRefused    INVALID_ARGUMENT a header that must not be sent; RESOURCE_EXHAUSTED
//   `max_waiting` wait already kHandshake/kTls   FAILED_PRECONDITION the certificate was refused
//   (trying again will not help), else UNAVAILABLE kAdmit/kReset     the connection died while
//   `admit` was awaited; nothing was sent kBody/kRefused    the status that `body_sink` returned
// After a redial that failed, `stage` is where the second attempt got to while `may_have_arrived`
// stays true.
class HttpsClient final : public HttpClient {
 public:
  struct Options {
    std::string host;  // name or address literal
    uint16_t port = 443;
    std::string ca_file;  // PEM; when both are empty the system's authorities are trusted
    std::string ca_pem;

    std::string proxy_host;  // outbound HTTP proxy to tunnel through (CONNECT); empty: none
    uint16_t proxy_port = 0;
    std::string proxy_authorization;  // value of Proxy-Authorization. Never logged.

    size_t max_connections = 32;  // which is also how many requests are in flight
    size_t max_waiting = 1024;    // requests that wait for one of them
    MonotonicDuration idle_timeout = std::chrono::seconds(55);
    MonotonicDuration max_connection_age = std::chrono::minutes(10);
    size_t max_header_bytes = 64 << 10;
    // Each within the request's deadline.
    MonotonicDuration connect_timeout = std::chrono::seconds(10);
    MonotonicDuration handshake_timeout = std::chrono::seconds(10);  // also for the proxy's answer
  };

  struct Statistics {
    size_t connections_in_use = 0;  // with those being dialled
    size_t connections_idle = 0;
    size_t requests_waiting = 0;  // for a connection
    size_t requests_in_flight = 0;
    uint64_t dials = 0;
    uint64_t handshakes_full = 0;
    uint64_t handshakes_resumed = 0;
    uint64_t connections_reused = 0;
    uint64_t redials = 0;
    uint64_t dns_failures = 0;
  };

  // `executor` is the io_context's own, not a strand; `clock` and `resolver` outlive the client.
  // INVALID_ARGUMENT names the option that is wrong.
  static absl::StatusOr<std::unique_ptr<HttpsClient>> Create(boost::asio::any_io_executor executor,
                                                             const Clock& clock,
                                                             DnsResolver& resolver,
                                                             const Options& options);

  // When every Send has ended, or when the io_context has stopped and before it is destroyed.
  ~HttpsClient() override;

  boost::asio::awaitable<HttpResult> Send(HttpRequest request, MonotonicTime deadline) override;

  // Closes the idle connections whose time is over. Every Send does it too; nothing else does, for
  // a timer would keep the io_context running. Any thread.
  void CloseExpired();

  // Any thread.
  Statistics Stats() const;

 private:
  struct State;
  class InFlight;
  class Lease;

  explicit HttpsClient(std::shared_ptr<State> state);

  static boost::asio::awaitable<void> Run(std::shared_ptr<State> state, const HttpRequest& request,
                                          MonotonicTime deadline, HttpResult& result);

  std::shared_ptr<State> state_;  // shared with the requests in flight
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_HTTPS_CLIENT_H_
