// Retention ages: upstream's "2 weeks", our {count: 2, unit: AGE_UNIT_WEEK}.
#ifndef SEMAPHORE_CLIENT_AGE_TEXT_H_
#define SEMAPHORE_CLIENT_AGE_TEXT_H_

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "client/wire_plan.h"

namespace semaphore::client {

// `plan` is that of a message with an int32 `count` and an enum `unit`. A unit that is not known is
// an error: a retention age that is half understood must not be written back.
absl::Status ParseAgeText(const std::string& text, const MessagePlan& plan,
                          google::protobuf::Message& age);

// "1 week", "2 weeks"; the message must have passed validation.
std::string FormatAgeText(const google::protobuf::Message& age, const MessagePlan& plan);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_AGE_TEXT_H_
