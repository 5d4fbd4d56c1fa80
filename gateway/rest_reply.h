// What goes back over REST, as bytes: heads, bodies with their ETags, conditions, negotiation.
// Pure; the listener writes what is made here.
#ifndef SEMAPHORE_GATEWAY_REST_REPLY_H_
#define SEMAPHORE_GATEWAY_REST_REPLY_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/engine.h"

namespace semaphore::gateway {

// A body that may be sent many times. Never changed once it is made.
struct RestBody {
  std::string bytes;
  std::string etag;  // strong, with its quotes
  std::string head;  // the fields that go with it every time
};

// A whole reply. The body may be shared with others.
struct RestReply {
  int status = 200;
  std::string head;  // status line and fields, without `connection`, `date` and the empty line
  std::shared_ptr<const RestBody> body;  // null: none
  bool close = false;                    // the connection must end after it
};

// With its ETag; compressed where that is asked for and worth it (more than 1 KiB).
std::shared_ptr<const RestBody> MakeRestBody(std::string bytes, std::string_view content_type,
                                             bool gzip);

// The reply to a call that went well. `if_none_match` as it was sent; empty: no condition.
RestReply SuccessReply(const Answer& answer, std::shared_ptr<const RestBody> body,
                       std::string_view if_none_match);

// google.rpc.Status as JSON, Retry-After where waiting helps.
RestReply ErrorReply(const absl::Status& status, std::string_view request_id);

// The same for a call that failed.
RestReply FailureReply(const Answer& answer);

// A reply without a call: refused by the listener itself.
RestReply PlainErrorReply(int http_status, std::string_view message);

// Whether the list of If-None-Match names this ETag; weak ones count, as they do for GET.
bool NamesEtag(std::string_view if_none_match, std::string_view etag);

// Whether what is asked for with Accept can be JSON; empty: anything.
bool AcceptsJson(std::string_view accept);

// "HTTP/1.1 404 Not Found\r\n"
std::string StatusLine(int status);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_REPLY_H_
