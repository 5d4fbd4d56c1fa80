// Messages as proto3 JSON, by descriptors: one writer for every reply of the API. What is written
// is what protobuf's own writer (and so the `call` command) writes: lowerCamelCase names, members
// without a value left out. That one goes through the wire format and takes several times as long.
#ifndef SEMAPHORE_GATEWAY_REST_JSON_WRITER_H_
#define SEMAPHORE_GATEWAY_REST_JSON_WRITER_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"

namespace semaphore::gateway {

// Appends `message` as a JSON object, without white space. INTERNAL for a message that has no JSON:
// a time outside of the years 1 to 9999.
absl::Status AppendRestJson(const google::protobuf::Message& message, std::string* out);

// The members of the object that AppendRestJson writes, without its braces.
absl::Status AppendRestMembers(const google::protobuf::Message& message, std::string* out);

// INTERNAL for a type that uses one that neither this nor the reader can do: Any, Struct and such.
absl::Status CheckRestType(const google::protobuf::Descriptor* type);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_JSON_WRITER_H_
