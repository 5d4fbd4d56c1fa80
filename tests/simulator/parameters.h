// Reads what a client sent the way the real service does: query, form and JSON body end up in one
// set of parameters, where form and query values are always text. Pure functions without any I/O.
#ifndef SEMAPHORE_TESTS_SIMULATOR_PARAMETERS_H_
#define SEMAPHORE_TESTS_SIMULATOR_PARAMETERS_H_

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/simulator/http_message.h"

namespace semaphore::simulator {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// "a=1&b=x%20y+z" is {{"a", "1"}, {"b", "x y z"}}. A broken escape stays as it is.
Pairs ParseForm(std::string_view text);

// "a b&c" is "a+b%26c".
std::string EncodeFormText(std::string_view text);

// {"parameters[A]", "1"} is {"parameters": {"A": "1"}}, {"kinds[]", "x"} is {"kinds": ["x"]}; of
// equal names the last wins.
boost::json::object Nest(const Pairs& pairs);

// The path of a target, without its query.
std::string_view PathOf(std::string_view target);
std::string_view QueryOf(std::string_view target);

// The fields of a multipart/form-data body; parts that are files, and whatever is no part, are left
// out. `content_type` names the boundary.
Pairs ParseMultipart(std::string_view body, std::string_view content_type);

// Query parameters, overridden by those of the body when its Content-Type is JSON, urlencoded or
// multipart; any other body is ignored. An error's message says what is malformed.
absl::StatusOr<boost::json::object> ParseParameters(const Request& request);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_PARAMETERS_H_
