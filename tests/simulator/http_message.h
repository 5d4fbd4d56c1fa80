// One HTTP request and one reply as plain values, so that everything behind the socket (routes,
// state, faults, ledger) is free of the network library. It does no parsing and no writing.
#ifndef SEMAPHORE_TESTS_SIMULATOR_HTTP_MESSAGE_H_
#define SEMAPHORE_TESTS_SIMULATOR_HTTP_MESSAGE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace semaphore::simulator {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;
  std::string target;  // origin form, as received
  Headers headers;     // names in lower case, in order of arrival
  std::string body;

  // The first header of that (lower case) name; empty when there is none.
  std::string_view Header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
};

struct Reply {
  int status = 200;
  Headers headers;  // without Content-Length, Transfer-Encoding and Connection
  std::string body;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_HTTP_MESSAGE_H_
