// What an upstream reply that is no success means: the table of api.md ("Errors") as code. Upstream
// says "error" in four encodings and by many texts (facts §3); the texts that decide a code stand
// in one table here.
#ifndef SEMAPHORE_CLIENT_UPSTREAM_ERROR_H_
#define SEMAPHORE_CLIENT_UPSTREAM_ERROR_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/http_client.h"

namespace semaphore::client {

// Upstream's words in whatever form: a JSON string, an object's "message", raw text; "" for an
// empty body. UpstreamMessage("\"Internal error\"") and UpstreamMessage("Internal error") are both
// "Internal error".
std::string UpstreamMessage(std::string_view body);

// The status for a reply with a code other than 2xx. `now` resolves a Retry-After that is a date;
// `secrets` (see redact.h) are taken out of upstream's words.
absl::Status StatusFromReply(const HttpResponse& response, absl::Time now,
                             const std::vector<std::string>& secrets = {});

// The HTTP status that counts: a code inside the body (grpc-gateway's int, reschedule's name) wins
// over the header's.
int EffectiveStatus(const HttpResponse& response);

// Retry-After as a wait from `now`; nullopt when it is absent or neither seconds nor a date. Never
// negative, at most an hour.
std::optional<absl::Duration> RetryAfter(const HttpResponse& response, absl::Time now);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_UPSTREAM_ERROR_H_
