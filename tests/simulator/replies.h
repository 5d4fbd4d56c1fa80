// The forms in which the service's backends put a result or an error into a reply body (facts,
// section 3). Which of them a route uses is the route's own business.
#ifndef SEMAPHORE_TESTS_SIMULATOR_REPLIES_H_
#define SEMAPHORE_TESTS_SIMULATOR_REPLIES_H_

#include <boost/json/value.hpp>
#include <string>

#include "tests/simulator/http_message.h"

namespace semaphore::simulator {

// From the Elixir services: their default cache-control header, and no Content-Type.
Reply PlugReply(int status, std::string body);

// A JSON document.
Reply JsonReply(const boost::json::value& value);

// A JSON string literal, quotes included: what handlers answer.
Reply JsonStringReply(int status, const std::string& text);

// Unquoted: what the layers before the handlers answer.
Reply RawTextReply(int status, std::string text);

// A text/plain reply of the authentication layer, the log store or the simulator itself.
Reply PlainTextReply(int status, std::string text);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_REPLIES_H_
