// What the caller may do at all, and what the service answers where it may not (facts, sections 2
// and 3). It decides by method and path before any handler looks, so a request that is also wrong
// or asks for something missing is refused all the same.
#ifndef SEMAPHORE_TESTS_SIMULATOR_ACCESS_H_
#define SEMAPHORE_TESTS_SIMULATOR_ACCESS_H_

#include <optional>
#include <string>
#include <string_view>

#include "tests/simulator/http_message.h"
#include "tests/simulator/options.h"

namespace semaphore::simulator {

// "no_permission" is Access::kNoPermission; nothing for any other word.
std::optional<Access> AccessFromWord(std::string_view word);
std::string_view AccessWord(Access access);

// All words, for messages: "full, read_only, …".
std::string AccessWords();

// The answer of the layer that stands before authentication: an outage, an unknown organization, a
// caller's address that is not allowed. Nothing when it lets the request pass.
std::optional<Reply> RefusalAtTheDoor(Access access, const Request& request);

// The answer of the area of the API that an authenticated request is for; nothing when it may pass.
std::optional<Reply> RefusalOfArea(Access access, const Request& request);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_ACCESS_H_
