#include "gateway/rest_router.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/error.h"
#include "client/quote.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

using client::MakeError;
using client::MethodSpec;
using client::Quote;
using client::Reason;
using client::ToAbsl;
using client::ToStd;
using google::api::HttpRule;
using google::protobuf::FieldDescriptor;

absl::Status Wrong(const MethodSpec& method, std::string_view what) {
  return absl::InternalError(absl::StrCat(method.full_name, ": google.api.http: ", ToAbsl(what)));
}

// Verb and template of a rule; both empty for a kind of rule that is not known here.
std::pair<std::string, std::string> PatternOf(const HttpRule& rule) {
  switch (rule.pattern_case()) {
    case HttpRule::kGet:
      return {"GET", rule.get()};
    case HttpRule::kPut:
      return {"PUT", rule.put()};
    case HttpRule::kPost:
      return {"POST", rule.post()};
    case HttpRule::kDelete:
      return {"DELETE", rule.delete_()};
    case HttpRule::kPatch:
      return {"PATCH", rule.patch()};
    default:
      return {};
  }
}

std::string SegmentName(const PathVariable& variable) {
  return absl::StrCat("{", variable.name, "}");
}

// "{agent_type.name}", also as "{agent_type.name=*}", at the front of `text`, which is taken off.
absl::StatusOr<PathVariable> TakeVariable(const MethodSpec& method, size_t segment,
                                          std::string_view& text) {
  const size_t close = text.find('}');
  if (close == std::string_view::npos) return Wrong(method, "a brace without its end");
  std::string_view name = text.substr(1, close - 1);
  if (name.size() > 2 && name.substr(name.size() - 2) == "=*") name.remove_suffix(2);
  PathVariable variable{segment, std::string(name),
                        client::ResolveField(method.descriptor->input_type(), name)};
  if (variable.field.empty())
    return Wrong(method, absl::StrCat("no request field ", SegmentName(variable)));
  const bool repeated = absl::c_any_of(
      variable.field, [](const FieldDescriptor* field) { return field->is_repeated(); });
  if (repeated || variable.field.back()->type() != FieldDescriptor::TYPE_STRING)
    return Wrong(method, absl::StrCat("no single string: ", SegmentName(variable)));
  text.remove_prefix(close + 1);
  return variable;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

absl::Status CheckBody(RestRoute& route, const HttpRule& rule) {
  const MethodSpec& method = *route.method;
  route.body = rule.body();
  const bool has_body = route.verb != "GET" && route.verb != "DELETE";
  if (has_body == route.body.empty())
    return Wrong(method, "GET and DELETE have no body, all others have one");
  if (!rule.response_body().empty()) return Wrong(method, "response_body is not known here");
  if (route.body.empty() || route.body == "*") return absl::OkStatus();
  route.body_field = method.descriptor->input_type()->FindFieldByName(route.body);
  if (route.body_field == nullptr || route.body_field->is_repeated() ||
      route.body_field->message_type() == nullptr) {
    return Wrong(method, absl::StrCat("body is no single message of the request: ", route.body));
  }
  return absl::OkStatus();
}

}  // namespace

// A path that was asked for.
struct RestRouter::Path {
  std::vector<std::string> segments;  // decoded
  std::string verb;                   // behind the last ':'
  bool has_verb = false;
};

// ---- Finding

absl::StatusOr<RestRouter::Match> RestRouter::Find(std::string_view verb,
                                                   std::string_view path) const {
  absl::StatusOr<Path> split = Split(path);
  if (!split.ok()) return split.status();
  std::vector<const RestRoute*> found;
  Collect(root_, *split, 0, found);
  for (const RestRoute* route : found) {
    if (route->verb == verb) return Match{route, std::move(split->segments)};
  }
  if (found.empty()) {
    return MakeError(Reason::kRouteNotFound, absl::StrCat("no method has the path ", Quote(path)));
  }
  return MakeError(Reason::kMethodNotAllowed,
                   absl::StrCat(ToAbsl(Quote(verb, 16)), " is not possible on this path; it takes ",
                                absl::StrJoin(AllowedVerbs(path), ", ")));
}

std::vector<std::string> RestRouter::AllowedVerbs(std::string_view path) const {
  const absl::StatusOr<Path> split = Split(path);
  if (!split.ok()) return {};
  std::vector<const RestRoute*> found;
  Collect(root_, *split, 0, found);
  std::vector<std::string> verbs;
  for (const RestRoute* route : found) {
    verbs.push_back(route->verb);
    if (route->verb == "GET") verbs.emplace_back("HEAD");
  }
  if (!verbs.empty()) verbs.emplace_back("OPTIONS");
  std::sort(verbs.begin(), verbs.end());
  verbs.erase(std::unique(verbs.begin(), verbs.end()), verbs.end());
  return verbs;
}

absl::StatusOr<RestRouter::Path> RestRouter::Split(std::string_view path) const {
  const auto nothing = [path] {
    return MakeError(Reason::kRouteNotFound, absl::StrCat("no method has the path ", Quote(path)));
  };
  if (path.empty() || path.front() != '/') return nothing();
  path.remove_prefix(1);
  // Before anything is copied: paths may be long, templates are not.
  if (static_cast<size_t>(absl::c_count(path, '/')) + 1 > max_segments_) return nothing();
  const std::vector<absl::string_view> raw = absl::StrSplit(ToAbsl(path), '/');
  Path split;
  for (size_t i = 0; i < raw.size(); ++i) {
    std::string_view segment = ToStd(raw[i]);
    const size_t colon = i + 1 == raw.size() ? segment.rfind(':') : std::string_view::npos;
    split.has_verb = colon != std::string_view::npos;
    const std::string_view verb = split.has_verb ? segment.substr(colon + 1) : std::string_view();
    segment = segment.substr(0, colon);
    absl::StatusOr<std::string> decoded = PercentDecode(segment, false);
    absl::StatusOr<std::string> decoded_verb = PercentDecode(verb, false);
    for (const absl::Status& status : {decoded.status(), decoded_verb.status()}) {
      if (!status.ok()) {
        return client::InvalidFields(
            {{"path", absl::StrCat("segment ", i + 1, ": ", status.message())}});
      }
    }
    if (decoded->empty() || (split.has_verb && verb.empty())) return nothing();
    split.segments.push_back(*std::move(decoded));
    split.verb = *std::move(decoded_verb);
  }
  return split;
}

void RestRouter::Collect(const Node& node, const Path& path, size_t depth,
                         std::vector<const RestRoute*>& found) {
  if (depth == path.segments.size()) {
    const auto routes = node.routes.find(path.verb);
    if (routes == node.routes.end()) return;
    for (const RestRoute& route : routes->second) found.push_back(&route);
    return;
  }
  const auto literal = node.literals.find(path.segments[depth]);
  if (literal != node.literals.end()) Collect(*literal->second, path, depth + 1, found);
  if (node.variable != nullptr) Collect(*node.variable, path, depth + 1, found);
}

absl::StatusOr<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 1 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(Quote(text.substr(i, 3)), " is no percent-escape"));
      }
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

// ---- Building

absl::Status RestRouter::Add(const MethodSpec& method, const HttpRule& rule) {
  const auto [verb, path_template] = PatternOf(rule);
  if (verb.empty()) return Wrong(method, "no pattern, or one of a kind that is not known here");
  RestRoute route;
  route.method = &method;
  route.verb = verb;
  absl::Status status = CheckBody(route, rule);
  if (status.ok()) status = AddTemplate(std::move(route), path_template);
  for (int i = 0; status.ok() && i < rule.additional_bindings_size(); ++i) {
    const HttpRule& other = rule.additional_bindings(i);
    status = other.additional_bindings_size() > 0 ? Wrong(method, "nested additional_bindings")
                                                  : Add(method, other);
  }
  return status;
}

absl::Status RestRouter::AddTemplate(RestRoute route, std::string_view path_template) {
  const MethodSpec& method = *route.method;
  if (path_template.substr(0, 1) != "/") return Wrong(method, "a path begins with /");
  std::string_view rest = path_template.substr(1);
  Node* node = &root_;
  size_t segments = 0;
  for (;; ++segments) {
    std::unique_ptr<Node>* next = nullptr;
    if (!rest.empty() && rest.front() == '{') {
      absl::StatusOr<PathVariable> variable = TakeVariable(method, segments, rest);
      if (!variable.ok()) return variable.status();
      for (const PathVariable& other : route.variables) {
        if (other.field == variable->field)
          return Wrong(method, absl::StrCat("stands there twice: ", SegmentName(other)));
      }
      route.variables.push_back(*std::move(variable));
      next = &node->variable;
    } else {
      const std::string_view literal = rest.substr(0, rest.find_first_of("/:{"));
      if (literal.empty() || literal.find_first_of("*}%?#") != std::string_view::npos)
        return Wrong(method, absl::StrCat("no path template: ", ToAbsl(path_template)));
      rest.remove_prefix(literal.size());
      next = &node->literals[std::string(literal)];
    }
    if (*next == nullptr) *next = std::make_unique<Node>();
    node = next->get();
    if (rest.empty() || rest.front() != '/') break;
    rest.remove_prefix(1);
  }
  if (!rest.empty() && (rest.front() != ':' || rest.size() == 1 ||
                        rest.find_first_of("/{}*%", 1) != std::string_view::npos)) {
    return Wrong(method, absl::StrCat("no path template: ", ToAbsl(path_template)));
  }
  std::vector<RestRoute>& routes = node->routes[std::string(rest.substr(rest.empty() ? 0 : 1))];
  for (const RestRoute& other : routes) {
    if (other.verb == route.verb)
      return Wrong(method, absl::StrCat("the same verb and path as ", other.method->full_name));
  }
  routes.push_back(std::move(route));
  max_segments_ = std::max(max_segments_, segments + 1);
  return absl::OkStatus();
}

}  // namespace semaphore::gateway
