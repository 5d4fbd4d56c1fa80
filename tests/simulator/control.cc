// The simulator's own routes under /_simulator/, for scripts in any language. They ask for the API
// token like the rest, are never struck by a fault and do not appear in the ledger.
#include <boost/json/parse.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulator/access.h"
#include "tests/simulator/fault_json.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"

namespace semaphore::simulator {
namespace {

Reply ControlReply(const boost::json::value& value) {
  Reply reply = JsonReply(value);
  reply.headers = {{"content-type", "application/json"}};
  return reply;
}

// One fault or an array of them; none is taken when one is refused.
Reply AddFaults(const Controls& controls, const Call& call) {
  boost::system::error_code error;
  const boost::json::value json = boost::json::parse(call.request.body, error);
  if (error) return PlainTextReply(400, "the body is not JSON\n");
  std::vector<Fault> faults;
  const boost::json::array one = {json};
  for (const boost::json::value& item : json.is_array() ? json.get_array() : one) {
    auto fault = FaultFromJson(item);
    if (!fault.ok()) return PlainTextReply(400, std::string(fault.status().message()) + "\n");
    faults.push_back(*std::move(fault));
  }
  for (Fault& fault : faults) {
    if (!controls.faults.Add(std::move(fault))) {
      return PlainTextReply(400, "the script is full; DELETE it first\n");
    }
  }
  return ControlReply(boost::json::object{{"added", faults.size()}});
}

const char* WordOf(Authorization authorization) {
  switch (authorization) {
    case Authorization::kNone:
      return "none";
    case Authorization::kRight:
      return "right";
    case Authorization::kWrong:
      break;
  }
  return "wrong";
}

Reply ListRequests(const Controls& controls) {
  boost::json::array requests;
  for (const RecordedRequest& request : controls.ledger.Requests()) {
    boost::json::array headers;
    for (const auto& [name, value] : request.headers) {
      headers.push_back(boost::json::array{name, value});
    }
    requests.push_back(boost::json::object{{"number", request.number},
                                           {"connection", request.connection},
                                           {"tls_session_resumed", request.tls_session_resumed},
                                           {"method", request.method},
                                           {"target", request.target},
                                           {"headers", headers},
                                           {"authorization", WordOf(request.authorization)},
                                           {"body", request.body},
                                           {"complete", request.complete},
                                           {"fault", request.fault}});
  }
  return ControlReply(
      boost::json::object{{"requests", requests},
                          {"forgotten", controls.ledger.forgotten_requests()},
                          {"open_connections", controls.ledger.open_connections()},
                          {"total_connections", controls.ledger.total_connections()},
                          {"held", controls.ledger.held()}});
}

// {"access": "no_permission"}
Reply ChangeAccess(const Controls& controls, const Call& call) {
  boost::system::error_code error;
  const boost::json::value json = boost::json::parse(call.request.body, error);
  const boost::json::value* word =
      error || !json.is_object() ? nullptr : json.get_object().if_contains("access");
  std::optional<Access> access;
  if (word != nullptr && word->is_string()) {
    access = AccessFromWord(std::string_view(word->get_string()));
  }
  if (!access) return PlainTextReply(400, "\"access\" must be one of " + AccessWords() + "\n");
  controls.set_access(*access);
  return ControlReply(boost::json::object{{"access", AccessWord(*access)}});
}

Reply ListIds(const Controls& controls) {
  boost::json::object ids;
  for (const auto& [name, id] : NamedIds(controls.world.ids())) ids[name] = id;
  return ControlReply(ids);
}

}  // namespace

void AddControlRoutes(Router& router, Controls& controls) {
  const Handler add_faults = [&controls](const Call& call) { return AddFaults(controls, call); };
  router.Add("POST", "/_simulator/faults", add_faults, BodyReading::kRaw);
  router.Add("DELETE", "/_simulator/faults", [&controls](const Call&) {
    controls.faults.Clear();
    return ControlReply(boost::json::object());
  });
  // Called from curl, whose -d says nothing of JSON: the body is read as it is.
  router.Add(
      "POST", "/_simulator/access",
      [&controls](const Call& call) { return ChangeAccess(controls, call); }, BodyReading::kRaw);
  router.Add("POST", "/_simulator/release", [&controls](const Call&) {
    controls.release_held();
    return ControlReply(boost::json::object());
  });
  router.Add("GET", "/_simulator/requests",
             [&controls](const Call&) { return ListRequests(controls); });
  router.Add("DELETE", "/_simulator/requests", [&controls](const Call&) {
    controls.ledger.Clear();
    return ControlReply(boost::json::object());
  });
  router.Add("GET", "/_simulator/ids", [&controls](const Call&) { return ListIds(controls); });
}

}  // namespace semaphore::simulator
