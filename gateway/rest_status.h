// Errors as REST shows them: the HTTP code, and google.rpc.Status as the JSON body (api.md,
// "Errors"). Pure; headers like Retry-After are the listener's.
#ifndef SEMAPHORE_GATEWAY_REST_STATUS_H_
#define SEMAPHORE_GATEWAY_REST_STATUS_H_

#include <string>

#include "absl/status/status.h"

namespace semaphore::gateway {

// By the mapping of google/rpc/code.proto, except where the reason says more: 405, 406, 413, 415,
// and 502 for UPSTREAM_TOKEN_REJECTED, so that no client takes it for a 401 of its own.
int HttpStatusOf(const absl::Status& status);

// {"code":5,"message":"…","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",…}]}, the
// details in the order of their types.
std::string StatusJson(const absl::Status& status);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_STATUS_H_
