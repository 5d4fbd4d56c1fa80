#include "client/method_table.h"

#include <array>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/string_view.h"
#include "google/api/annotations.pb.h"
#include "semaphore/v1/agent.pb.h"
#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/artifact_retention_policy.pb.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/project.pb.h"
#include "semaphore/v1/promotion.pb.h"
#include "semaphore/v1/workflow.pb.h"

namespace semaphore::client {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;

absl::Status Wrong(const MethodSpec& spec, absl::string_view what) {
  return absl::InternalError(absl::StrCat(spec.full_name, ": ", what));
}

std::string VerbName(upstream::v1::Verb verb) {
  switch (verb) {
    case upstream::v1::VERB_GET:
      return "GET";
    case upstream::v1::VERB_POST:
      return "POST";
    case upstream::v1::VERB_PATCH:
      return "PATCH";
    case upstream::v1::VERB_DELETE:
      return "DELETE";
    default:
      return "";
  }
}

// "pipelines/{pipeline_id}" into literal and field pieces.
absl::Status ParsePath(MethodSpec& spec) {
  std::string_view rest = spec.call.path();
  if (rest.empty() || rest.front() == '/')
    return Wrong(spec, "path must be relative and not empty");
  while (!rest.empty()) {
    const size_t open = rest.find('{');
    if (open != 0) {
      spec.path.push_back({std::string(rest.substr(0, open)), {}});
      if (open == std::string_view::npos) break;
      rest.remove_prefix(open);
    }
    const size_t close = rest.find('}');
    if (close == std::string_view::npos)
      return Wrong(spec, "path has an open brace without its end");
    const std::string name(rest.substr(1, close - 1));
    PathPiece piece;
    piece.field = ResolveField(spec.descriptor->input_type(), name);
    if (piece.field.empty())
      return Wrong(spec, absl::StrCat("path names no request field: {", name, "}"));
    if (piece.field.back()->type() != FieldDescriptor::TYPE_STRING ||
        piece.field.back()->is_repeated()) {
      return Wrong(spec, absl::StrCat("path field is no string: {", name, "}"));
    }
    spec.path.push_back(std::move(piece));
    rest.remove_prefix(close + 1);
  }
  return absl::OkStatus();
}

absl::Status CheckVerb(const MethodSpec& spec) {
  const upstream::v1::Call& call = spec.call;
  if (spec.verb.empty()) return Wrong(spec, "verb is missing");
  if (spec.IsRead()) {
    if (call.idempotency() != upstream::v1::IDEMPOTENCY_UNSPECIFIED)
      return Wrong(spec, "a read has no idempotency");
    if (call.invalidates_size() > 0) return Wrong(spec, "a read invalidates nothing");
    if (call.encoding() != upstream::v1::ENCODING_UNSPECIFIED)
      return Wrong(spec, "a read has no body");
    return absl::OkStatus();
  }
  if (call.idempotency() == upstream::v1::IDEMPOTENCY_UNSPECIFIED)
    return Wrong(spec, "a change must say idempotency");
  if (call.invalidates_size() == 0 && call.function().empty())
    return Wrong(spec, "a change must say what it invalidates");
  if (call.has_cache()) return Wrong(spec, "a change is never cached");
  return absl::OkStatus();
}

// Who may call it: what the option says, else viewers read and admins change.
absl::Status SetRole(MethodSpec& spec) {
  spec.role = spec.call.role();
  if (spec.role == upstream::v1::ROLE_VIEWER && spec.IsChange())
    return Wrong(spec, "a change is not for viewers");
  if (spec.role != upstream::v1::ROLE_UNSPECIFIED) return absl::OkStatus();
  spec.role = spec.IsRead() ? upstream::v1::ROLE_VIEWER : upstream::v1::ROLE_ADMIN;
  return absl::OkStatus();
}

absl::Status CheckToken(MethodSpec& spec) {
  const bool needs = spec.call.idempotency() == upstream::v1::IDEMPOTENCY_TOKEN;
  if (needs != !spec.call.token_field().empty())
    return Wrong(spec, "token_field goes with IDEMPOTENCY_TOKEN");
  if (!needs) return absl::OkStatus();
  spec.token_field = spec.descriptor->input_type()->FindFieldByName(spec.call.token_field());
  if (spec.token_field == nullptr || spec.token_field->type() != FieldDescriptor::TYPE_STRING) {
    return Wrong(spec, "token_field names no string field of the request");
  }
  return absl::OkStatus();
}

absl::Status CheckPages(MethodSpec& spec) {
  const Descriptor* request = spec.descriptor->input_type();
  const Descriptor* reply = spec.descriptor->output_type();
  spec.page_size = request->FindFieldByName("page_size");
  spec.page_token = request->FindFieldByName("page_token");
  if (absl::StartsWith(spec.name, "List") != spec.IsPaged())
    return Wrong(spec, "pages go with List methods");
  if (!spec.IsPaged()) return absl::OkStatus();
  const upstream::v1::Pages& pages = spec.call.pages();
  if (pages.dialect() == upstream::v1::DIALECT_UNSPECIFIED)
    return Wrong(spec, "pages without a dialect");
  if (pages.default_size() <= 0) return Wrong(spec, "pages without a default size");
  spec.next_page_token = reply->FindFieldByName("next_page_token");
  spec.total_size = reply->FindFieldByName("total_size");
  if (spec.page_size == nullptr || spec.page_size->type() != FieldDescriptor::TYPE_INT32 ||
      spec.page_token == nullptr || spec.page_token->type() != FieldDescriptor::TYPE_STRING ||
      spec.next_page_token == nullptr ||
      spec.next_page_token->type() != FieldDescriptor::TYPE_STRING) {
    return Wrong(spec, "a list needs int32 page_size, string page_token and next_page_token");
  }
  if (pages.pin_created_before() && request->FindFieldByName("created_before") == nullptr) {
    return Wrong(spec, "pin_created_before needs a field created_before");
  }
  for (const std::unique_ptr<FieldPlan>& field : spec.reply_plan->fields) {
    if (!field->field->is_repeated() || field->message_plan == nullptr) continue;
    if (spec.list_field != nullptr) return Wrong(spec, "a list has one repeated resource");
    spec.list_field = field.get();
  }
  if (spec.list_field == nullptr) return Wrong(spec, "a list needs a repeated resource");
  return absl::OkStatus();
}

absl::Status CheckReply(MethodSpec& spec) {
  for (const std::string& key : spec.call.reply_also()) {
    const auto node = spec.reply_plan->root.children.find(key);
    if (node == spec.reply_plan->root.children.end() || node->second->field == nullptr) {
      return Wrong(spec, absl::StrCat("reply_also names no field: ", key));
    }
    spec.reply_also.push_back(node->second->field);
  }
  for (const std::unique_ptr<FieldPlan>& field : spec.reply_plan->fields) {
    for (const std::string& source : field->wire.from_request()) {
      RequestDefault entry;
      entry.from = ResolveField(spec.descriptor->input_type(), source);
      if (entry.from.empty()) continue;
      entry.to = field->via;
      entry.to.push_back(field->field);
      spec.reply_defaults.push_back(std::move(entry));
      break;
    }
  }
  return absl::OkStatus();
}

// A condition on the fields of `type` itself.
absl::StatusOr<std::optional<Condition>> OwnCondition(const MethodSpec& spec,
                                                      const std::string& text,
                                                      const Descriptor* type) {
  if (text.empty()) return std::optional<Condition>();
  absl::StatusOr<Condition> condition = ParseCondition(text, type);
  if (!condition.ok()) return Wrong(spec, condition.status().message());
  if (condition->field == nullptr)
    return Wrong(spec, absl::StrCat("cache condition is not on a field of its own: ", text));
  return std::optional<Condition>(*std::move(condition));
}

absl::Status CheckCache(MethodSpec& spec) {
  if (!spec.call.has_cache()) return absl::OkStatus();
  const upstream::v1::Cache& cache = spec.call.cache();
  const Descriptor* reply = spec.descriptor->output_type();
  absl::StatusOr<std::optional<Condition>> terminal = OwnCondition(spec, cache.terminal(), reply);
  if (!terminal.ok()) return terminal.status();
  spec.terminal = *std::move(terminal);
  absl::StatusOr<std::optional<Condition>> never_kept =
      OwnCondition(spec, cache.never_if(), spec.descriptor->input_type());
  if (!never_kept.ok()) return never_kept.status();
  spec.never_kept = *std::move(never_kept);
  if (cache.has_settle() != !cache.ended().empty())
    return Wrong(spec, "cache.settle goes with cache.ended");
  if (cache.ended().empty()) return absl::OkStatus();
  if (!spec.terminal) return Wrong(spec, "cache.ended without cache.terminal");
  if (cache.settle().seconds() < 0 || cache.settle().nanos() < 0)
    return Wrong(spec, "cache.settle is negative");
  spec.ended = reply->FindFieldByName(cache.ended());
  if (spec.ended == nullptr || spec.ended->is_repeated() || !IsTimestamp(spec.ended)) {
    return Wrong(spec,
                 absl::StrCat("cache.ended names no Timestamp of the reply: ", cache.ended()));
  }
  return absl::OkStatus();
}

// "DeploymentTarget" is "deployment_target".
std::string SnakeCase(absl::string_view type) {
  std::string out;
  for (const char c : type) {
    const auto letter = static_cast<unsigned char>(c);
    if (absl::ascii_isupper(letter) && !out.empty()) out += '_';
    out += static_cast<char>(absl::ascii_tolower(letter));
  }
  return out;
}

const FieldDescriptor* IdentifierOf(const Descriptor* type) {
  for (int i = 0; i < type->field_count(); ++i) {
    const upstream::v1::Wire& wire = type->field(i)->options().GetExtension(upstream::v1::wire);
    if (absl::c_linear_search(wire.behavior(), upstream::v1::BEHAVIOR_IDENTIFIER))
      return type->field(i);
  }
  return nullptr;
}

// The request's field that names a resource of `type`: "pipeline_id" or "agent_type_name"; the
// identifier of the resource that the request carries, "agent_type.name"; or the identifier under
// its own name in the path, "project_id" of a retention policy (elsewhere a "name" may be
// anything). Empty: none.
std::vector<const FieldDescriptor*> NameOf(const MethodSpec& spec, const Descriptor* type) {
  const Descriptor* request = spec.descriptor->input_type();
  for (const char* suffix : {"_id", "_name"}) {
    const FieldDescriptor* field =
        request->FindFieldByName(absl::StrCat(SnakeCase(type->name()), suffix));
    if (field != nullptr) return {field};
  }
  const FieldDescriptor* identifier = IdentifierOf(type);
  if (identifier == nullptr) return {};
  for (int i = 0; i < request->field_count(); ++i) {
    if (request->field(i)->message_type() == type) return {request->field(i), identifier};
  }
  for (const PathPiece& piece : spec.path) {
    if (piece.field.size() == 1 && piece.field[0]->name() == identifier->name()) return piece.field;
  }
  return {};
}

absl::StatusOr<ResourceReference> Reference(const MethodSpec& spec, const std::string& type_name,
                                            bool named) {
  const Descriptor* type =
      spec.descriptor->file()->pool()->FindMessageTypeByName("semaphore.v1." + type_name);
  if (type == nullptr) return Wrong(spec, absl::StrCat("there is no resource type ", type_name));
  ResourceReference reference{type_name, {}};
  if (named) reference.name = NameOf(spec, type);
  for (const FieldDescriptor* field : reference.name) {
    if (field->is_repeated())
      return Wrong(spec, absl::StrCat("a repeated field names a resource: ", field->name()));
  }
  if (!reference.name.empty() && reference.name.back()->type() != FieldDescriptor::TYPE_STRING) {
    return Wrong(spec, absl::StrCat("what names a ", type_name,
                                    " is no string: ", reference.name.back()->name()));
  }
  return reference;
}

// The type of what a read reads. A log is a part of its job.
std::string ReadType(const MethodSpec& spec) {
  if (spec.IsPaged()) return spec.list_field->field->message_type()->name();
  const std::string& reply = spec.descriptor->output_type()->name();
  if (spec.call.cache().class_() != upstream::v1::CACHE_CLASS_LOG) return reply;
  return std::string(absl::StripSuffix(reply, "Log"));
}

// After CheckPages, which finds the item of a list or has told why there is none.
absl::Status CheckResources(MethodSpec& spec) {
  if (spec.IsPaged() && spec.list_field == nullptr) return absl::OkStatus();
  std::vector<std::string> types(spec.call.invalidates().begin(), spec.call.invalidates().end());
  if (spec.IsRead()) types = {ReadType(spec)};
  bool named = false;
  for (const std::string& type : types) {
    absl::StatusOr<ResourceReference> reference = Reference(spec, type, !spec.IsPaged());
    if (!reference.ok()) return reference.status();
    named = named || !reference->name.empty();
    spec.resources.push_back(*std::move(reference));
  }
  const bool names_one =
      absl::c_any_of(spec.path, [](const PathPiece& piece) { return !piece.field.empty(); });
  if (names_one && !named && !spec.IsPaged())
    return Wrong(spec, "the path names something, but no resource that is read or invalidated");
  return absl::OkStatus();
}

absl::Status CheckRequest(const MethodSpec& spec) {
  const Descriptor* type = spec.descriptor->input_type();
  for (int i = 0; i < type->field_count(); ++i) {
    const upstream::v1::Wire& wire = type->field(i)->options().GetExtension(upstream::v1::wire);
    for (const std::string& other : {wire.later_than(), wire.required_unless()}) {
      if (!other.empty() && type->FindFieldByName(other) == nullptr) {
        return Wrong(spec, absl::StrCat(type->field(i)->name(), " refers to no field: ", other));
      }
    }
    if (!wire.later_than().empty() && !IsTimestamp(type->FindFieldByName(wire.later_than()))) {
      return Wrong(spec, absl::StrCat("later_than needs a Timestamp: ", wire.later_than()));
    }
  }
  return absl::OkStatus();
}

// A change without an encoding has no body, so no field may want to travel in it.
absl::Status CheckEncoding(const MethodSpec& spec) {
  if (spec.call.encoding() != upstream::v1::ENCODING_UNSPECIFIED || spec.IsRead() ||
      spec.call.verb() == upstream::v1::VERB_DELETE) {
    return absl::OkStatus();
  }
  for (const std::unique_ptr<FieldPlan>& field : spec.request_plan->fields) {
    const bool in_path = absl::c_any_of(spec.path, [&field](const PathPiece& piece) {
      return !piece.field.empty() && piece.field.back() == field->field;
    });
    const upstream::v1::Place place = field->wire.in();
    if (!in_path && place != upstream::v1::PLACE_QUERY && place != upstream::v1::PLACE_NOWHERE) {
      return Wrong(spec, absl::StrCat("no encoding for the field ", field->field->name()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHttp(const MethodSpec& spec) {
  const google::api::HttpRule& rule = spec.descriptor->options().GetExtension(google::api::http);
  if (rule.pattern_case() == google::api::HttpRule::PATTERN_NOT_SET)
    return Wrong(spec, "google.api.http is missing");
  const bool get_or_delete = rule.has_get() || rule.has_delete_();
  if (get_or_delete != rule.body().empty())
    return Wrong(spec, "GET and DELETE have no body, all others have one");
  if (!rule.body().empty() && rule.body() != "*" &&
      spec.descriptor->input_type()->FindFieldByName(rule.body()) == nullptr) {
    return Wrong(spec, absl::StrCat("body names no request field: ", rule.body()));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<const FieldDescriptor*> ResolveField(const Descriptor* type, std::string_view path) {
  std::vector<const FieldDescriptor*> fields;
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(ToAbsl(path), '.'))) {
    const FieldDescriptor* field = type == nullptr ? nullptr : type->FindFieldByName(name);
    if (field == nullptr) return {};
    fields.push_back(field);
    type = field->message_type();
  }
  return fields;
}

absl::StatusOr<std::unique_ptr<MethodTable>> MethodTable::Build() {
  const std::array<const FileDescriptor*, 9> files = {
      v1::Workflow::descriptor()->file(),         v1::Pipeline::descriptor()->file(),
      v1::Promotion::descriptor()->file(),        v1::Job::descriptor()->file(),
      v1::AgentType::descriptor()->file(),        v1::Agent::descriptor()->file(),
      v1::DeploymentTarget::descriptor()->file(), v1::ArtifactRetentionPolicy::descriptor()->file(),
      v1::Project::descriptor()->file(),
  };
  auto table = std::make_unique<MethodTable>();
  for (const FileDescriptor* file : files) {
    for (int i = 0; i < file->service_count(); ++i) {
      const absl::Status added = table->AddService(file->service(i));
      if (!added.ok()) return added;
    }
  }
  const absl::Status merges = table->ResolveMerges();
  if (!merges.ok()) return merges;
  return table;
}

const MethodSpec* MethodTable::Find(std::string_view full_name) const {
  std::string name(full_name);
  const size_t dot = name.rfind('.');
  if (name.find('/') == std::string::npos && dot != std::string::npos) name[dot] = '/';
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

absl::Status MethodTable::AddService(const google::protobuf::ServiceDescriptor* service) {
  for (int i = 0; i < service->method_count(); ++i) {
    const absl::Status added = AddMethod(service->method(i));
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

absl::Status MethodTable::AddMethod(const MethodDescriptor* method) {
  auto spec = std::make_unique<MethodSpec>();
  spec->index = static_cast<int>(methods_.size());
  spec->service = method->service()->full_name();
  spec->name = method->name();
  spec->full_name = absl::StrCat(spec->service, "/", spec->name);
  spec->descriptor = method;
  google::protobuf::MessageFactory* factory = google::protobuf::MessageFactory::generated_factory();
  spec->request_prototype = factory->GetPrototype(method->input_type());
  spec->reply_prototype = factory->GetPrototype(method->output_type());
  if (!method->options().HasExtension(upstream::v1::call))
    return Wrong(*spec, "option call is missing");
  spec->call = method->options().GetExtension(upstream::v1::call);
  spec->verb = VerbName(spec->call.verb());
  spec->route = spec->call.path();
  spec->mask_field = method->input_type()->FindFieldByName("update_mask");

  const absl::StatusOr<const MessagePlan*> request_plan = plans_.For(method->input_type());
  if (!request_plan.ok()) return request_plan.status();
  spec->request_plan = *request_plan;
  const absl::StatusOr<const MessagePlan*> reply_plan = plans_.For(method->output_type());
  if (!reply_plan.ok()) return reply_plan.status();
  spec->reply_plan = *reply_plan;

  for (const absl::Status& status :
       {ParsePath(*spec), CheckVerb(*spec), SetRole(*spec), CheckToken(*spec), CheckPages(*spec),
        CheckReply(*spec), CheckCache(*spec), CheckResources(*spec), CheckRequest(*spec),
        CheckEncoding(*spec), CheckHttp(*spec)}) {
    if (!status.ok()) return status;
  }
  by_name_[spec->full_name] = spec.get();
  methods_.push_back(std::move(spec));
  return absl::OkStatus();
}

absl::Status MethodTable::ResolveMerges() {
  for (const std::unique_ptr<MethodSpec>& spec : methods_) {
    if (spec->call.merge_from().empty()) continue;
    spec->merge_from = Find(absl::StrCat(spec->service, "/", spec->call.merge_from()));
    if (spec->merge_from == nullptr || spec->mask_field == nullptr ||
        spec->merge_from->descriptor->output_type() != spec->descriptor->output_type()) {
      return Wrong(*spec, "merge_from needs an update_mask and a Get method of the same resource");
    }
  }
  return absl::OkStatus();
}

const MessagePlan* MethodTable::PlanOf(const Descriptor* type) const {
  return plans_.Existing(type);
}

}  // namespace semaphore::client
