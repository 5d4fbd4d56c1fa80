#include "tests/simulator/replies.h"

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <utility>

namespace semaphore::simulator {

Reply PlugReply(int status, std::string body) {
  return {.status = status,
          .headers = {{"cache-control", "max-age=0, private, must-revalidate"}},
          .body = std::move(body)};
}

Reply JsonReply(const boost::json::value& value) {
  return PlugReply(200, boost::json::serialize(value));
}

Reply JsonStringReply(int status, const std::string& text) {
  return PlugReply(status, boost::json::serialize(boost::json::value(text)));
}

Reply RawTextReply(int status, std::string text) { return PlugReply(status, std::move(text)); }

Reply PlainTextReply(int status, std::string text) {
  return {.status = status, .headers = {{"content-type", "text/plain"}}, .body = std::move(text)};
}

}  // namespace semaphore::simulator
