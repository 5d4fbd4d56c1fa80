// One value of a field as text, as proto3 JSON writes it: what a query parameter holds, and what
// stands between the quotes, or instead of them, in a JSON body. Timestamps are RFC 3339, durations
// "1.5s", masks "nameSettings.aws,url", bytes base64 of either alphabet, enums their names or
// numbers; a wrapper is the value in it. Strict: what the proto3 JSON mapping does not allow is
// refused with what was expected.
#ifndef SEMAPHORE_GATEWAY_REST_VALUE_H_
#define SEMAPHORE_GATEWAY_REST_VALUE_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace semaphore::gateway {

// Sets `field` of `message`, or appends to it if it is repeated. INVALID_ARGUMENT says what was
// expected, and quotes the text unless the field may hold a secret (strings and bytes are never
// quoted). `field` must be IsTextual.
absl::Status SetFromText(std::string_view text, const google::protobuf::FieldDescriptor* field,
                         google::protobuf::Message& message);

// Whether one text says the whole value: scalars, and the messages that proto3 JSON writes as one.
bool IsTextual(const google::protobuf::FieldDescriptor* field);

// The types of google/protobuf/wrappers.proto: a scalar in a message, so that it can be absent.
bool IsWrapper(const google::protobuf::Descriptor* type);

// The field of `type` with that lowerCamelCase or snake_case name; null if there is none.
const google::protobuf::FieldDescriptor* FindRestField(const google::protobuf::Descriptor* type,
                                                       std::string_view name);

// For the error about a name that FindRestField does not find: ` (did you mean "pageSize"?)`, or
// nothing when no field's name is near.
std::string DidYouMean(const google::protobuf::Descriptor* type, std::string_view name);

// A name that somebody chose, to be shown as the place of an error: as it is if it could be a
// field's, else in quotes; at most 64 bytes of it.
std::string ShownName(std::string_view name);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_VALUE_H_
