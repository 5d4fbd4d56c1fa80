#include "tests/simulator/router.h"

#include <optional>
#include <utility>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/simulator/parameters.h"
#include "tests/simulator/replies.h"

namespace semaphore::simulator {
namespace {

std::vector<std::string> SegmentsOf(std::string_view path) {
  const std::string text(path);
  return absl::StrSplit(text, '/', absl::SkipEmpty());
}

// "rack%2F7+a" is "rack/7+a": in a path '+' is no space.
std::string DecodeSegment(std::string_view segment) {
  const Pairs pairs =
      ParseForm("=" + absl::StrReplaceAll(std::string(segment), {{"+", "%2B"}, {"&", "%26"}}));
  return pairs[0].second;
}

std::optional<std::map<std::string, std::string>> Match(const std::vector<std::string>& pattern,
                                                        const std::vector<std::string>& path) {
  const bool open_end = !pattern.empty() && pattern.back() == "*";
  const size_t fixed = pattern.size() - (open_end ? 1 : 0);
  if (open_end ? path.size() < fixed : path.size() != fixed) return std::nullopt;
  std::map<std::string, std::string> parameters;
  for (size_t i = 0; i < fixed; i++) {
    if (pattern[i].starts_with(':')) {
      parameters[pattern[i].substr(1)] = DecodeSegment(path[i]);
    } else if (pattern[i] != path[i]) {
      return std::nullopt;
    }
  }
  return parameters;
}

}  // namespace

std::string Call::Text(std::string_view name) const {
  const boost::json::value* value = parameters.if_contains(name);
  if (value == nullptr) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (value->is_int64()) return std::to_string(value->get_int64());
  if (value->is_uint64()) return std::to_string(value->get_uint64());
  return {};
}

void Router::Add(std::string method, std::string_view pattern, Handler handler,
                 BodyReading reading) {
  routes_.push_back({.method = std::move(method),
                     .segments = SegmentsOf(pattern),
                     .handler = std::move(handler),
                     .reading = reading});
}

Reply Router::Answer(const Request& request, absl::Time now) const {
  const std::string path(PathOf(request.target));
  const std::vector<std::string> segments = SegmentsOf(path);
  for (const Route& route : routes_) {
    const std::string_view method =
        request.method == "HEAD" ? std::string_view("GET") : std::string_view(request.method);
    if (!route.method.empty() && route.method != method) continue;
    auto path_parameters = Match(route.segments, segments);
    if (!path_parameters) continue;
    Call call{.request = request,
              .now = now,
              .path = path,
              .authority = std::string(request.Header("host")),
              .path_parameters = *std::move(path_parameters),
              .parameters = {}};
    if (route.reading == BodyReading::kRaw) {
      call.parameters = Nest(ParseForm(QueryOf(request.target)));
    } else {
      auto parameters = ParseParameters(request);
      if (!parameters.ok()) {
        return RawTextReply(400,
                            "Malformed request: " + std::string(parameters.status().message()));
      }
      call.parameters = *std::move(parameters);
    }
    return route.handler(call);
  }
  return RawTextReply(404, "oops");  // also for a wrong method on a known path
}

}  // namespace semaphore::simulator
