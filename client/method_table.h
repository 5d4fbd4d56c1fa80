// The table of methods, built at the start from the .proto files and checked whole: every {field}
// exists, body and page fields have the right type, a change says whether it may be repeated and
// what it makes doubtful. The engine, the encoder and the decoder read it; nothing is written once
// per method that can be said here.
#ifndef SEMAPHORE_CLIENT_METHOD_TABLE_H_
#define SEMAPHORE_CLIENT_METHOD_TABLE_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "client/wire_plan.h"
#include "semaphore/upstream/v1/options.pb.h"

namespace semaphore::client {

// A piece of a path template: literal text, or a request field (through messages: agent_type.name).
struct PathPiece {
  std::string literal;
  std::vector<const google::protobuf::FieldDescriptor*> field;
};

// A value for a reply's field from the request, used when upstream omits it.
struct RequestDefault {
  std::vector<const google::protobuf::FieldDescriptor*> to;    // in the reply
  std::vector<const google::protobuf::FieldDescriptor*> from;  // in the request
};

// A type of resource that a method reads or changes, and the request's field that names one.
struct ResourceReference {
  std::string type;                                            // "Pipeline"
  std::vector<const google::protobuf::FieldDescriptor*> name;  // empty: the request names none
};

struct MethodSpec {
  int index = 0;          // position in the table; arrays by method use it
  std::string full_name;  // "semaphore.v1.PipelineService/GetPipeline"
  std::string service;    // "semaphore.v1.PipelineService"
  std::string name;       // "GetPipeline"
  const google::protobuf::MethodDescriptor* descriptor = nullptr;
  const google::protobuf::Message* request_prototype = nullptr;
  const google::protobuf::Message* reply_prototype = nullptr;
  upstream::v1::Call call;

  std::string verb;   // "GET"
  std::string route;  // the template for metrics: "pipelines/{pipeline_id}"
  std::vector<PathPiece> path;
  const MessagePlan* request_plan = nullptr;
  const MessagePlan* reply_plan = nullptr;
  std::vector<const FieldPlan*> reply_also;
  std::vector<RequestDefault> reply_defaults;

  const google::protobuf::FieldDescriptor* page_size = nullptr;   // lists and logs
  const google::protobuf::FieldDescriptor* page_token = nullptr;  // lists and logs
  const FieldPlan* list_field = nullptr;  // lists: the repeated resource of the reply
  const google::protobuf::FieldDescriptor* next_page_token = nullptr;
  const google::protobuf::FieldDescriptor* total_size =
      nullptr;  // null where upstream does not tell it

  const google::protobuf::FieldDescriptor* token_field = nullptr;  // idempotency token
  const google::protobuf::FieldDescriptor* mask_field = nullptr;   // update_mask
  const MethodSpec* merge_from = nullptr;
  std::optional<Condition> terminal;
  std::optional<Condition> never_kept;  // on the request: its reply holds secrets
  const google::protobuf::FieldDescriptor* ended = nullptr;  // in the reply; null: not told

  upstream::v1::Role role = upstream::v1::ROLE_ADMIN;  // the least that may call it; never unset

  // What a read reads (lists: the type of their items, and no name); what a change invalidates.
  std::vector<ResourceReference> resources;

  bool IsRead() const { return call.verb() == upstream::v1::VERB_GET; }
  // Not every method that sends something changes something: ValidatePipelineYaml does not.
  bool IsChange() const { return call.invalidates_size() > 0; }
  bool IsPaged() const { return call.has_pages(); }
};

class MethodTable {
 public:
  // The table of every method of package semaphore.v1. INTERNAL names the method and what is wrong
  // with its options.
  static absl::StatusOr<std::unique_ptr<MethodTable>> Build();

  const std::vector<std::unique_ptr<MethodSpec>>& methods() const { return methods_; }

  // By full name, with '/' or '.' before the method; null if there is none.
  const MethodSpec* Find(std::string_view full_name) const;

  // The plan of a message type of the API; null if no method uses it.
  const MessagePlan* PlanOf(const google::protobuf::Descriptor* type) const;

 private:
  absl::Status AddService(const google::protobuf::ServiceDescriptor* service);
  absl::Status AddMethod(const google::protobuf::MethodDescriptor* method);
  absl::Status ResolveMerges();

  WirePlans plans_;
  std::vector<std::unique_ptr<MethodSpec>> methods_;
  absl::flat_hash_map<std::string, const MethodSpec*> by_name_;
};

// The field at a dotted path of a message type, with the messages on the way; empty if there is
// none.
std::vector<const google::protobuf::FieldDescriptor*> ResolveField(
    const google::protobuf::Descriptor* type, std::string_view path);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_METHOD_TABLE_H_
