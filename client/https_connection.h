// One connection to the upstream: TCP, through an outbound proxy if there is one, TLS, and HTTP/1.1
// requests one after another. Each step is bounded by the request's watch and says why it failed.
// It knows nothing of pools and budgets.
#ifndef SEMAPHORE_CLIENT_HTTPS_CONNECTION_H_
#define SEMAPHORE_CLIENT_HTTPS_CONNECTION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/dns_resolver.h"
#include "client/http_client.h"
#include "client/request_watch.h"
#include "client/tls_context.h"

namespace semaphore::client {

struct HttpFailure {
  HttpCause cause = HttpCause::kNone;
  absl::Status status;  // OK: no failure

  bool ok() const { return status.ok(); }
};

// What to say when the deadline has passed or the caller has left; ok() while neither has.
HttpFailure StopFailure(const RequestWatch& watch, std::string_view doing);

// Used by one request at a time, on its strand; between requests any thread may destroy it. The
// coroutines' reference parameters belong to the request that awaits them.
class HttpsConnection final {
 public:
  struct Target {
    std::string host;
    uint16_t port = 443;
  };

  struct Proxy {
    Target target;
    std::string authorization;  // value of Proxy-Authorization; empty: none is sent. Never logged.
  };

  // `executor` is the io_context's own. `tls` outlives the connection. `origin` is "host:port".
  HttpsConnection(const boost::asio::any_io_executor& executor, TlsContext& tls, std::string origin,
                  size_t max_header_bytes);
  ~HttpsConnection();
  HttpsConnection(const HttpsConnection&) = delete;
  HttpsConnection& operator=(const HttpsConnection&) = delete;

  // Tries the addresses in order; each gets an equal share of the time that is left until `limit`.
  boost::asio::awaitable<HttpFailure> Dial(const DnsResolver::Addresses& addresses,
                                           const Target& target, MonotonicTime limit,
                                           RequestWatch& watch);
  boost::asio::awaitable<HttpFailure> OpenTunnel(const Proxy& proxy, MonotonicTime limit,
                                                 RequestWatch& watch);
  boost::asio::awaitable<HttpFailure> Handshake(MonotonicTime limit, RequestWatch& watch);
  boost::asio::awaitable<HttpFailure> Write(std::string_view bytes, RequestWatch& watch);
  // Fills `result.response`, and `result.stage` as it gets from the header to the body.
  boost::asio::awaitable<HttpFailure> ReadReply(const HttpRequest& request, RequestWatch& watch,
                                                HttpResult& result);

  // The peer has not hung up, as far as can be seen without waiting.
  bool PeerIsThere() const;
  // Neither has it said anything unasked: what is said now would be taken for the reply to the next
  // request.
  bool IsQuiet() const;

  bool resumed() const { return resumed_; }
  // Of the latest request: whether any byte of its reply came, and whether another request may
  // follow it.
  bool reply_started() const { return reply_started_; }
  bool reusable() const { return reusable_; }

 private:
  struct Streams;

  boost::asio::awaitable<HttpFailure> ReadBody(const HttpRequest& request, RequestWatch& watch,
                                               HttpResult& result);
  HttpFailure ReadFailure(const boost::system::error_code& error, HttpResult& result) const;
  short Poll(short events) const;
  void Close();

  TlsContext& tls_;
  const std::string origin_;
  const size_t max_header_bytes_;
  std::unique_ptr<Streams> streams_;
  bool secured_ = false;
  bool resumed_ = false;
  bool reply_started_ = false;
  bool reusable_ = false;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_HTTPS_CONNECTION_H_
