// Messages from proto3 JSON, by descriptors: one reader for every request of the API. protobuf has
// one, but it lets duplicate members pass, cannot say which members were there, and its errors name
// no field. What is accepted is the proto3 JSON mapping and nothing beyond it.
#ifndef SEMAPHORE_GATEWAY_REST_JSON_READER_H_
#define SEMAPHORE_GATEWAY_REST_JSON_READER_H_

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace semaphore::gateway {

// Fills `message` from a JSON object. INVALID_FIELD names the member by its path in the request,
// which begins with `prefix` ("" or the field that the body is), and never quotes a value that may
// be secret. Names may be lowerCamelCase or snake_case; null is absence. Refused: a member that
// does not exist or stands there twice in either spelling, a value of another type, more than 32
// levels, anything that is not JSON in UTF-8.
//
// `given`, unless null, gets the paths of the writable members that the text has a value for, set
// or default, down to the single value; lists and maps are one value: {"description":"",
// "settings":{"count":1}} gives "description" and "settings.count". That is an update mask.
absl::Status ReadRestJson(std::string_view text, const std::string& prefix,
                          google::protobuf::Message& message, std::vector<std::string>* given);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_JSON_READER_H_
