// The seam between what we say to upstream and how bytes get there: one request in, one outcome
// out. HttpsClient is the real one; tests put a scripted fake here. It knows nothing of Semaphore,
// retries or budgets.
#ifndef SEMAPHORE_CLIENT_HTTP_CLIENT_H_
#define SEMAPHORE_CLIENT_HTTP_CLIENT_H_

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/clock.h"

namespace semaphore::client {

// How far a request got. Everything before kWrite means that upstream has seen none of it.
enum class HttpStage {
  kSlot,
  kResolve,
  kDial,
  kProxy,
  kHandshake,
  kAdmit,
  kWrite,
  kHeader,
  kBody,
  kDone
};

// Why it ended there; the closed set of the metric label `cause`.
enum class HttpCause {
  kNone,       // a whole reply was read (whatever its status code)
  kDns,        // the name could not be resolved
  kConnect,    // TCP refused, unreachable
  kProxy,      // the outbound proxy refused the tunnel
  kTls,        // handshake or certificate verification failed
  kReset,      // the connection broke or was cut before the reply was whole
  kMalformed,  // what came back is not HTTP
  kTooLarge,   // header or body over its bound
  kDeadline,   // out of time
  kCancelled,  // the caller went away
  kRefused,    // `admit` said no
};

struct HttpRequest {
  std::string method;        // "GET", "POST", "PATCH", "DELETE"
  std::string target;        // origin form: "/api/v1alpha/pipelines/…?detailed=true"
  std::string content_type;  // empty: no Content-Type header
  std::string body;  // sent with Content-Length when not empty or when the method is POST or PATCH
  std::string
      authorization;        // value of the Authorization header; empty: none is sent. Never logged.
  std::string traceparent;  // W3C trace context; empty: none is sent

  // Read requests may be written a second time, once, when a kept-alive connection turns out to be
  // dead before the first byte of a reply. Requests that must never be sent twice leave this false
  // and get a new connection.
  bool repeatable = false;

  size_t max_body_bytes = 16 << 20;

  // Awaited with a ready connection in hand, immediately before each write to a socket: where the
  // upstream budget is charged. A non-OK status ends the request with kAdmit/kRefused and nothing
  // sent. Empty: admitted.
  std::function<boost::asio::awaitable<absl::Status>(MonotonicTime deadline)> admit;

  // When set, the body of a 200 reply goes here chunk by chunk instead of into HttpResponse::body.
  // A non-OK status ends the request with kBody and that status.
  std::function<absl::Status(std::string_view chunk)> body_sink;
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>>
      headers;  // names in lower case, in order of arrival
  std::string body;

  // The first header of that (lower case) name; empty when there is none.
  std::string_view Header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
};

struct HttpResult {
  absl::Status status;  // OK exactly when a whole reply was read
  HttpStage stage = HttpStage::kDone;
  HttpCause cause = HttpCause::kNone;
  // True once any byte of the request may have left this process.
  bool may_have_arrived = false;
  HttpResponse response;
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;

  // Runs on the calling coroutine's executor, which must be a strand. Honours terminal cancellation
  // of the awaiting coroutine at every stage. Never throws; ends by `deadline` whatever the network
  // does.
  virtual boost::asio::awaitable<HttpResult> Send(HttpRequest request, MonotonicTime deadline) = 0;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_HTTP_CLIENT_H_
