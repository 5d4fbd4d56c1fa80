// Upstream's JSON into our messages, driven by the wire plans: one function for every resource and
// both dialects. Lenient where upstream is (numbers as text, missing and null members, unknown keys
// and words, which are counted); strict elsewhere, with the path of the offending member in the
// error.
#ifndef SEMAPHORE_CLIENT_DECODER_H_
#define SEMAPHORE_CLIENT_DECODER_H_

#include <google/protobuf/message.h>

#include <boost/json/value.hpp>
#include <cstdint>

#include "absl/status/status.h"
#include "client/wire_plan.h"

namespace semaphore::client {

// What upstream said that we do not know: the schema has moved.
struct Drift {
  uint64_t unknown_fields = 0;
  uint64_t unknown_words = 0;
};

struct DecodeContext {
  const google::protobuf::Message* request = nullptr;  // for request.… conditions; may be null
  Drift* drift = nullptr;                              // never null
};

// Merges a JSON object into `message`. INVALID_ARGUMENT names the member: "blocks[2].jobs[0].index:
// expected …".
absl::Status DecodeObject(const boost::json::object& object, const MessagePlan& plan,
                          const DecodeContext& context, google::protobuf::Message& message);

// Decodes one member as `field` of `message`; what DecodeObject does for each key that it knows.
absl::Status DecodeMember(const boost::json::value& value, const FieldPlan& field,
                          const DecodeContext& context, google::protobuf::Message& message);

// The `element`th item of a list, appended to a repeated message field.
absl::Status DecodeElement(const boost::json::value& value, size_t element, const FieldPlan& field,
                           const DecodeContext& context, google::protobuf::Message& message);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_DECODER_H_
