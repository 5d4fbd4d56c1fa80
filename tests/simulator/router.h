// The table of routes: verb and path pattern to handler. It reads parameters and answers what the
// real service answers when nothing matches or the body is malformed; authentication is done before
// it.
#ifndef SEMAPHORE_TESTS_SIMULATOR_ROUTER_H_
#define SEMAPHORE_TESTS_SIMULATOR_ROUTER_H_

#include <boost/json/object.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulator/http_message.h"

namespace semaphore::simulator {

// One request as a handler sees it.
struct Call {
  const Request& request;
  absl::Time now;
  std::string path;
  std::string authority;  // of the Host header: "localhost:8443"
  std::map<std::string, std::string> path_parameters;
  boost::json::object
      parameters;  // of query and body; empty on routes that read their body themselves

  const std::string& InPath(const std::string& name) const { return path_parameters.at(name); }
  bool Has(std::string_view name) const { return parameters.contains(name); }
  // A text or number as text; empty when it is missing or something else.
  std::string Text(std::string_view name) const;
};

using Handler = std::function<Reply(const Call&)>;

enum class BodyReading {
  kParameters,  // query, form and JSON are one set of parameters; malformed JSON is refused before
                // the handler
  kRaw,         // the handler reads Request::body; Call::parameters holds the query alone
};

class Router {
 public:
  // `pattern` is a path whose segments match literally, or anything when they start with ':':
  // "/api/v1alpha/pipelines/:id". A last segment "*" matches whatever is left, an empty `method`
  // any method. Earlier routes win.
  void Add(std::string method, std::string_view pattern, Handler handler,
           BodyReading reading = BodyReading::kParameters);

  // A HEAD is answered like a GET; whoever sends the reply leaves out its body.
  Reply Answer(const Request& request, absl::Time now) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
    BodyReading reading;
  };
  std::vector<Route> routes_;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_ROUTER_H_
