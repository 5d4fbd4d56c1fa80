// Everything about a request that can be known to be wrong before upstream is asked (api.md,
// "Conventions"): required fields, the rule for ids, bounds of texts and numbers, time ranges,
// idempotency tokens. Nothing is sent when it fails.
#ifndef SEMAPHORE_CLIENT_VALIDATE_H_
#define SEMAPHORE_CLIENT_VALIDATE_H_

#include <google/protobuf/message.h>

#include <string_view>

#include "absl/status/status.h"
#include "client/method_table.h"

namespace semaphore::client {

// OK, or INVALID_FIELD with a violation for each field that is wrong.
absl::Status ValidateRequest(const MethodSpec& spec, const google::protobuf::Message& request);

// The rule for ids and names that go into a path: 1 to 128 bytes of A-Z a-z 0-9 . _ ~ -, and not
// "." or "..".
bool IsPathId(std::string_view text);

// Eight, four, four, four and twelve hexadecimal digits.
bool IsUuid(std::string_view text);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_VALIDATE_H_
