// Which method an HTTP verb and a path mean, from the `google.api.http` options: a tree of path
// segments, built once. The rules of the path are here (api.md, "HTTP rules"): the custom verb is
// what stands behind the last ':' of the last segment as it was sent, so that %3A is never one;
// only then is each segment decoded, so that %2F is a character of an id and never a border.
#ifndef SEMAPHORE_GATEWAY_REST_ROUTER_H_
#define SEMAPHORE_GATEWAY_REST_ROUTER_H_

#include <google/protobuf/descriptor.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/method_table.h"
#include "google/api/http.pb.h"

namespace semaphore::gateway {

// A request field that a segment of the path gives: {agent_type.name}.
struct PathVariable {
  size_t segment = 0;
  std::string name;                                             // "agent_type.name"
  std::vector<const google::protobuf::FieldDescriptor*> field;  // through messages
};

struct RestRoute {
  const client::MethodSpec* method = nullptr;
  std::string verb;  // "GET"
  std::vector<PathVariable> variables;
  // What the body is: nothing, "*" the request itself, or a field of it.
  std::string body;
  const google::protobuf::FieldDescriptor* body_field = nullptr;
};

class RestRouter {
 public:
  // INTERNAL names the method when the rule cannot be right: a template that is none or that this
  // router does not know ("**", "{name=a/*}"), a field that does not exist, is no string or stands
  // there twice, a body that is no message or belongs to GET or DELETE, a verb and path that
  // another method has.
  absl::Status Add(const client::MethodSpec& method, const google::api::HttpRule& rule);

  struct Match {
    const RestRoute* route = nullptr;
    std::vector<std::string> segments;  // decoded, by PathVariable::segment
  };

  // ROUTE_NOT_FOUND, METHOD_NOT_ALLOWED, or INVALID_FIELD for a broken percent-escape. `path` is
  // without the query. An empty segment, and so a slash at the end, is part of no route.
  absl::StatusOr<Match> Find(std::string_view verb, std::string_view path) const;

  // What may be asked of a path: with HEAD beside GET, and OPTIONS. Empty if no route has it.
  std::vector<std::string> AllowedVerbs(std::string_view path) const;

 private:
  struct Node {
    absl::flat_hash_map<std::string, std::unique_ptr<Node>> literals;
    std::unique_ptr<Node> variable;
    absl::flat_hash_map<std::string, std::vector<RestRoute>> routes;  // by custom verb, mostly ""
  };

  struct Path;
  absl::StatusOr<Path> Split(std::string_view path) const;
  // The routes that have the path, more literal ones first.
  static void Collect(const Node& node, const Path& path, size_t depth,
                      std::vector<const RestRoute*>& found);
  absl::Status AddTemplate(RestRoute route, std::string_view path_template);

  Node root_;
  size_t max_segments_ = 0;
};

// %XX decoded; with `plus_is_space` also '+'. INVALID_ARGUMENT quotes an escape that is none.
absl::StatusOr<std::string> PercentDecode(std::string_view text, bool plus_is_space);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_ROUTER_H_
