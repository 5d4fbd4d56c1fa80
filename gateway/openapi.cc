#include "gateway/openapi.h"

#include <google/api/annotations.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gateway/version.h"

namespace semaphore::gateway {
namespace {

namespace json = boost::json;
using client::MethodSpec;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using upstream::v1::Behavior;

constexpr char kUuid[] = "9c0a6f1e-5d0b-4f6f-8a52-3f3c1b7d2e10";
constexpr char kTime[] = "2026-01-02T03:04:05Z";

bool Is(const FieldDescriptor* field, Behavior behavior) {
  const auto& behaviors = field->options().GetExtension(upstream::v1::wire).behavior();
  return std::find(behaviors.begin(), behaviors.end(), behavior) != behaviors.end();
}

std::string_view TypeName(const FieldDescriptor* field) {
  return field->type() == FieldDescriptor::TYPE_MESSAGE
             ? std::string_view(field->message_type()->full_name())
             : std::string_view();
}

// Messages that are one text in JSON.
bool IsText(const FieldDescriptor* field) {
  const std::string_view type = TypeName(field);
  return type == "google.protobuf.Timestamp" || type == "google.protobuf.Duration" ||
         type == "google.protobuf.FieldMask";
}

// ---- Comments

// The comments of the sources, by full name.
class Comments {
 public:
  absl::Status Load(std::string_view commented_protos) {
    google::protobuf::FileDescriptorSet files;
    if (!files.ParseFromArray(commented_protos.data(), static_cast<int>(commented_protos.size()))) {
      return absl::InternalError("the embedded descriptors cannot be read");
    }
    for (const auto& file : files.file()) {
      if (pool_.BuildFile(file) == nullptr) {
        return absl::InternalError(absl::StrCat("the embedded ", file.name(), " cannot be read"));
      }
    }
    return absl::OkStatus();
  }

  std::string Of(const google::protobuf::MethodDescriptor* method) const {
    return Text(pool_.FindMethodByName(method->full_name()));
  }
  std::string Of(const Descriptor* type) const {
    return Text(pool_.FindMessageTypeByName(type->full_name()));
  }
  std::string Of(const EnumDescriptor* type) const {
    return Text(pool_.FindEnumTypeByName(type->full_name()));
  }
  std::string Of(const FieldDescriptor* field) const {
    return Text(pool_.FindFieldByName(field->full_name()));
  }
  std::string OfFile(const google::protobuf::FileDescriptor* file) const {
    const google::protobuf::FileDescriptor* found = pool_.FindFileByName(file->name());
    google::protobuf::SourceLocation location;
    // The comment before `syntax`, field 12 of a FileDescriptorProto.
    if (found == nullptr || !found->GetSourceLocation({12}, &location)) return "";
    return Joined(location.leading_comments);
  }
  // Of enum values the comment may also stand behind.
  std::string Of(const google::protobuf::EnumValueDescriptor* value) const {
    return Text(
        pool_.FindEnumTypeByName(value->type()->full_name())->FindValueByName(value->name()));
  }

 private:
  template <typename AnyDescriptor>
  static std::string Text(const AnyDescriptor* descriptor) {
    google::protobuf::SourceLocation location;
    if (descriptor == nullptr || !descriptor->GetSourceLocation(&location)) return "";
    return Joined(location.leading_comments.empty() ? location.trailing_comments
                                                    : location.leading_comments);
  }

  // Lines of one paragraph become one; an empty line stays.
  static std::string Joined(const std::string& comment) {
    std::string text;
    for (absl::string_view line : absl::StrSplit(comment, '\n')) {
      line = absl::StripAsciiWhitespace(line);
      if (line.empty()) {
        if (!text.empty() && !absl::EndsWith(text, "\n")) text += "\n\n";
        continue;
      }
      if (!text.empty() && !absl::EndsWith(text, "\n")) text += ' ';
      absl::StrAppend(&text, line);
    }
    while (absl::EndsWith(text, "\n")) text.pop_back();
    return text;
  }

  DescriptorPool pool_;
};

std::string FirstSentence(const std::string& text) {
  const size_t end = text.find(". ");
  const std::string sentence = text.substr(0, end == std::string::npos ? text.find('\n') : end);
  return absl::EndsWith(sentence, ".") ? sentence.substr(0, sentence.size() - 1) : sentence;
}

// ---- Examples

// A value that the contract takes for a field of that name.
std::string ExampleText(const FieldDescriptor* field) {
  static const auto* const known = new std::map<std::string_view, std::string_view>{
      {"reference", "refs/heads/main"},
      {"commit_sha", "d9f3b1a0c2e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8"},
      {"branch_name", "main"},
      {"git_ref_label", "main"},
      {"pipeline_file", ".semaphore/semaphore.yml"},
      {"yaml_file_path", ".semaphore/semaphore.yml"},
      {"yaml_file_name", "semaphore.yml"},
      {"working_directory", ".semaphore"},
      {"yaml_definition",
       "version: v1.0\nname: CI\nagent:\n  machine: {type: f1-standard-2, os_image: ubuntu2204}\n"
       "blocks:\n  - name: Test\n    task: {jobs: [{name: Test, commands: [make test]}]}\n"},
      {"agent_type_name", "s1-linux-medium"},
      {"agent_name", "linux-medium-7f3a"},
      {"project_name", "web"},
      {"url", "https://shop.example.com"},
      {"ip_address", "192.0.2.17"},
      {"page_token", ""},
      {"next_page_token", ""},
      {"selector", "/test-results/**"},
      {"pattern", "main"},
      {"account_id", "123456789012"},
      {"role_name_patterns", "ci-agents"}};
  if (field->name() == "name") {
    const std::string_view type = field->containing_type()->name();
    if (type == "AgentType") return "s1-linux-medium";
    if (type == "EnvVar") return "LOG_LEVEL";
    return "production";
  }
  const auto found = known->find(field->name());
  if (found != known->end()) return std::string(found->second);
  if (absl::EndsWith(field->name(), "_id")) return kUuid;
  return absl::StrCat("a ", absl::StrJoin(absl::StrSplit(field->name(), '_'), " "));
}

json::value ExampleOne(const FieldDescriptor* field, bool input, int depth);

// `input`: what a caller may write, else what a reply holds.
json::object ExampleObject(const Descriptor* type, bool input, int depth) {
  json::object object;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const auto& wire = field->options().GetExtension(upstream::v1::wire);
    const bool left_out = input ? Is(field, upstream::v1::BEHAVIOR_OUTPUT_ONLY)
                                : Is(field, upstream::v1::BEHAVIOR_INPUT_ONLY) || wire.secret();
    if (left_out || depth > 5) continue;
    if (field->is_map()) {
      object[field->json_name()] = json::object{{"NAME", "value"}};
    } else if (field->is_repeated()) {
      object[field->json_name()] = json::array{ExampleOne(field, input, depth + 1)};
    } else {
      object[field->json_name()] = ExampleOne(field, input, depth + 1);
    }
  }
  return object;
}

json::value ExampleOne(const FieldDescriptor* field, bool input, int depth) {
  const auto& wire = field->options().GetExtension(upstream::v1::wire);
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return true;
    case FieldDescriptor::CPPTYPE_ENUM:
      return json::value(field->enum_type()->value(1)->name());
    case FieldDescriptor::CPPTYPE_STRING:
      return json::value(field->type() == FieldDescriptor::TYPE_BYTES ? "c2VjcmV0"
                                                                      : ExampleText(field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (TypeName(field) == "google.protobuf.Timestamp") return kTime;
      if (TypeName(field) == "google.protobuf.Duration") return "300s";
      if (TypeName(field) == "google.protobuf.FieldMask") return "name";
      return ExampleObject(field->message_type(), input, depth);
    default:
      return wire.max() > 0 ? wire.max() : field->name() == "page_size" ? 10 : 1;
  }
}

// ---- Schemas

class Document {
 public:
  explicit Document(const Comments& comments) : comments_(comments) {}

  // Those whose paths name fields of the request itself first.
  absl::Status AddMethod(const MethodSpec& method);
  std::string Finish() &&;

 private:
  struct Path {
    std::string text;              // "/v1/agentTypes/{agentTypeName}"
    std::set<std::string> fields;  // of the request, that stand in it: "agent_type.name"
    json::array parameters;
  };

  absl::StatusOr<Path> PathOf(const MethodSpec& method, const std::string& template_text);
  json::object Reference(const std::string& kind, const std::string& name) const {
    return {{"$ref", absl::StrCat("#/components/", kind, "/", name)}};
  }
  // The schema of one value of the field, as it stands in an object.
  json::object SchemaOfOne(const FieldDescriptor* field);
  json::object SchemaOf(const FieldDescriptor* field);
  json::object SchemaOf(const Descriptor* type, const std::set<std::string>& without);
  json::object ReferenceTo(const Descriptor* type);
  json::object ReferenceTo(const EnumDescriptor* type);
  json::object Parameter(const FieldDescriptor* field, const std::string& name, bool in_path);
  json::object RequestBody(const MethodSpec& method, const std::string& body,
                           const std::set<std::string>& in_path);
  json::object Replies(const MethodSpec& method);

  const Comments& comments_;
  std::map<std::string, json::object> schemas_;  // sorted, so that the document is always the same
  std::map<std::string, json::object> paths_;
  std::map<std::string, std::string> tags_;
  std::map<std::string, std::vector<std::string>> parameter_names_;  // by the shape of a path
};

// Verb and path of a method.
std::pair<std::string, std::string> RouteOf(const google::api::HttpRule& rule) {
  if (!rule.get().empty()) return {"get", rule.get()};
  if (!rule.post().empty()) return {"post", rule.post()};
  if (!rule.patch().empty()) return {"patch", rule.patch()};
  return {"delete", rule.delete_()};
}

json::object Document::ReferenceTo(const EnumDescriptor* type) {
  if (schemas_.contains(type->name())) return Reference("schemas", type->name());
  json::array values;
  std::string description = comments_.Of(type);
  for (int i = 0; i < type->value_count(); ++i) {
    values.emplace_back(type->value(i)->name());
    const std::string comment = comments_.Of(type->value(i));
    if (comment.empty()) continue;
    absl::StrAppend(&description, description.empty() ? "" : "\n\n", type->value(i)->name(), ": ",
                    comment);
  }
  json::object schema{{"type", "string"}, {"enum", std::move(values)}};
  if (!description.empty()) schema["description"] = description;
  schemas_[type->name()] = std::move(schema);
  return Reference("schemas", type->name());
}

json::object Document::ReferenceTo(const Descriptor* type) {
  if (!schemas_.contains(type->name())) {
    schemas_[type->name()] = {};  // ends the recursion of a type that holds itself
    schemas_[type->name()] = SchemaOf(type, {});
  }
  return Reference("schemas", type->name());
}

json::object Document::SchemaOfOne(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return {{"type", "boolean"}};
    case FieldDescriptor::CPPTYPE_INT32: {
      json::object schema{{"type", "integer"}, {"format", "int32"}};
      const auto& wire = field->options().GetExtension(upstream::v1::wire);
      if (wire.max() > 0) {
        schema["minimum"] = 0;
        schema["maximum"] = wire.max();
      }
      return schema;
    }
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
      return {{"type", "string"}, {"format", "int64"}};
    case FieldDescriptor::CPPTYPE_ENUM:
      return ReferenceTo(field->enum_type());
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->type() == FieldDescriptor::TYPE_BYTES) {
        return {{"type", "string"}, {"contentEncoding", "base64"}};
      }
      return {{"type", "string"}};
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (TypeName(field) == "google.protobuf.Timestamp") {
        return {{"type", "string"}, {"format", "date-time"}};
      }
      if (TypeName(field) == "google.protobuf.Duration") {
        return {{"type", "string"}, {"pattern", R"(^-?[0-9]+(\.[0-9]{1,9})?s$)"}};
      }
      if (TypeName(field) == "google.protobuf.FieldMask") return {{"type", "string"}};
      return ReferenceTo(field->message_type());
    default:
      return {{"type", "number"}};
  }
}

json::object Document::SchemaOf(const FieldDescriptor* field) {
  json::object schema;
  if (field->is_map()) {
    schema = {{"type", "object"},
              {"additionalProperties", SchemaOfOne(field->message_type()->map_value())}};
  } else if (field->is_repeated()) {
    schema = {{"type", "array"}, {"items", SchemaOfOne(field)}};
  } else {
    schema = SchemaOfOne(field);
  }
  const std::string comment = comments_.Of(field);
  if (!comment.empty()) schema["description"] = comment;
  if (Is(field, upstream::v1::BEHAVIOR_OUTPUT_ONLY)) schema["readOnly"] = true;
  if (Is(field, upstream::v1::BEHAVIOR_INPUT_ONLY)) schema["writeOnly"] = true;
  return schema;
}

json::object Document::SchemaOf(const Descriptor* type, const std::set<std::string>& without) {
  json::object properties;
  json::array required;
  // In resources a required field is one of some changes, which say so themselves.
  const bool is_request = absl::EndsWith(type->name(), "Request");
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (without.contains(field->name())) continue;
    properties[field->json_name()] = SchemaOf(field);
    if (is_request && Is(field, upstream::v1::BEHAVIOR_REQUIRED)) {
      required.emplace_back(field->json_name());
    }
  }
  json::object schema{{"type", "object"}, {"properties", std::move(properties)}};
  const std::string comment = comments_.Of(type);
  if (!comment.empty()) schema["description"] = comment;
  if (!required.empty()) schema["required"] = std::move(required);
  if (is_request) schema["additionalProperties"] = false;
  return schema;
}

// ---- Operations

json::object Document::Parameter(const FieldDescriptor* field, const std::string& name,
                                 bool in_path) {
  json::object schema = SchemaOf(field);
  json::object parameter{{"name", name}, {"in", in_path ? "path" : "query"}};
  if (schema.contains("description")) {
    parameter["description"] = schema["description"];
    schema.erase("description");
  }
  if (in_path) {
    schema["pattern"] = "^[A-Za-z0-9._~-]{1,128}$";
    schema.erase("readOnly");
  }
  if (in_path || Is(field, upstream::v1::BEHAVIOR_REQUIRED)) parameter["required"] = true;
  const json::value example = ExampleOne(field, /*input=*/true, 0);
  if (in_path || parameter.contains("required")) parameter["example"] = example;
  parameter["schema"] = std::move(schema);
  return parameter;
}

json::object Document::RequestBody(const MethodSpec& method, const std::string& body,
                                   const std::set<std::string>& in_path) {
  const Descriptor* type = method.descriptor->input_type();
  json::object schema;
  json::object example;
  bool required = false;
  if (body == "*") {
    schema = SchemaOf(type, in_path);
    required = schema.contains("required");
    example = ExampleObject(type, /*input=*/true, 0);
    for (const std::string& name : in_path) {
      example.erase(type->FindFieldByName(name)->json_name());
    }
    // Made by the gateway when absent, which is what a first try wants.
    example.erase("requestId");
  } else {
    const FieldDescriptor* field = type->FindFieldByName(body);
    schema = ReferenceTo(field->message_type());
    const auto& members = field->options().GetExtension(upstream::v1::wire).required_members();
    if (!members.empty()) {
      json::array names;
      for (const std::string& member : members) {
        names.emplace_back(field->message_type()->FindFieldByName(member)->json_name());
      }
      schema = {{"allOf", json::array{schema, json::object{{"required", std::move(names)}}}}};
    }
    required = true;
    example = ExampleObject(field->message_type(), /*input=*/true, 0);
    for (const std::string& path : in_path) {
      const std::string member = path.substr(path.find('.') + 1);
      example.erase(field->message_type()->FindFieldByName(member)->json_name());
    }
  }
  json::object media{{"schema", std::move(schema)}, {"example", std::move(example)}};
  return {{"required", required},
          {"content", json::object{{"application/json", std::move(media)}}}};
}

json::object Document::Replies(const MethodSpec& method) {
  const Descriptor* type = method.descriptor->output_type();
  const json::object headers{{"x-request-id", Reference("headers", "RequestId")},
                             {"x-cache", Reference("headers", "Cache")},
                             {"age", Reference("headers", "Age")}};
  json::object media{{"schema", ReferenceTo(type)},
                     {"example", ExampleObject(type, /*input=*/false, 0)}};
  json::object replies;
  replies["200"] = json::object{{"description", "Done."},
                                {"headers", headers},
                                {"content", json::object{{"application/json", std::move(media)}}}};
  if (method.IsRead()) replies["304"] = Reference("responses", "NotModified");
  for (const char* code :
       {"400", "401", "403", "404", "409", "429", "500", "501", "502", "503", "504"}) {
    replies[code] = Reference("responses", absl::StrCat("Error", code));
  }
  return replies;
}

absl::Status Document::AddMethod(const MethodSpec& method) {
  const google::api::HttpRule& rule = method.descriptor->options().GetExtension(google::api::http);
  const auto [verb, template_text] = RouteOf(rule);
  if (template_text.empty()) {
    return absl::InternalError(absl::StrCat(method.full_name, " has no google.api.http"));
  }
  absl::StatusOr<Path> path = PathOf(method, template_text);
  if (!path.ok()) return path.status();
  const Descriptor* request = method.descriptor->input_type();
  for (int i = 0; i < request->field_count() && rule.body() != "*"; ++i) {
    const FieldDescriptor* field = request->field(i);
    if (field->name() == rule.body() || path->fields.contains(field->name())) continue;
    if (field->is_map() || (field->message_type() != nullptr && !IsText(field))) {
      return absl::InternalError(absl::StrCat(field->full_name(), " fits in no query"));
    }
    path->parameters.emplace_back(Parameter(field, field->json_name(), /*in_path=*/false));
  }
  path->parameters.emplace_back(Reference("parameters", "Organization"));
  path->parameters.emplace_back(Reference("parameters", "Priority"));
  if (method.IsRead()) path->parameters.emplace_back(Reference("parameters", "CacheControl"));

  const std::string comment = comments_.Of(method.descriptor);
  const std::string tag = method.descriptor->service()->name();
  tags_[tag] = comments_.OfFile(method.descriptor->file());
  json::object operation{{"operationId", absl::StrCat(tag, "_", method.name)},
                         {"tags", json::array{tag}},
                         {"summary", FirstSentence(comment)},
                         {"description", comment},
                         {"parameters", std::move(path->parameters)}};
  if (!rule.body().empty()) {
    operation["requestBody"] = RequestBody(method, rule.body(), path->fields);
  }
  operation["responses"] = Replies(method);
  paths_[path->text][verb] = std::move(operation);
  return absl::OkStatus();
}

// OpenAPI takes paths that differ only in the names of parameters for the same path, so the names
// of the first method of a path are those of all: {agentTypeName} also for {agent_type.name}.
absl::StatusOr<Document::Path> Document::PathOf(const MethodSpec& method,
                                                const std::string& template_text) {
  Path path;
  std::vector<const FieldDescriptor*> last_fields;
  std::vector<std::string> pieces;
  for (size_t at = 0; at < template_text.size();) {
    const size_t open = template_text.find('{', at);
    pieces.push_back(template_text.substr(at, open - at));
    if (open == std::string::npos) break;
    const size_t close = template_text.find('}', open);
    const std::string name = template_text.substr(open + 1, close - open - 1);
    const auto fields = client::ResolveField(method.descriptor->input_type(), name);
    if (fields.empty()) return absl::InternalError(absl::StrCat(method.full_name, ": ", name));
    last_fields.push_back(fields.back());
    path.fields.insert(name);
    at = close + 1;
  }
  const std::string shape = absl::StrCat(absl::StrJoin(pieces, "{}"), last_fields.size());
  std::vector<std::string>& names = parameter_names_[shape];
  for (size_t i = names.size(); i < last_fields.size(); ++i) {
    names.push_back(last_fields[i]->json_name());
  }
  for (size_t i = 0; i < pieces.size() || i < names.size(); ++i) {
    if (i < pieces.size()) path.text += pieces[i];
    if (i == names.size()) break;
    absl::StrAppend(&path.text, "{", names[i], "}");
    path.parameters.emplace_back(Parameter(last_fields[i], names[i], /*in_path=*/true));
  }
  return path;
}

// ---- What all operations share

json::object HeaderParameter(const char* name, const char* description, json::object schema) {
  return {{"name", name}, {"in", "header"}, {"description", description}, {"schema", schema}};
}

json::object SharedParameters() {
  const json::object text{{"type", "string"}};
  return {
      {"Organization",
       HeaderParameter("x-semaphore-organization",
                       "Which of the configured organizations is meant; absent, the first.", text)},
      {"CacheControl",
       HeaderParameter("cache-control",
                       "`no-cache` asks Semaphore; `max-age=N` takes what it said in the last N "
                       "seconds; `max-stale=N` also what is N seconds past its time.",
                       text)},
      {"Priority",
       HeaderParameter("x-priority", "`batch` is work that can wait while people are served.",
                       {{"type", "string"}, {"enum", json::array{"interactive", "batch"}}})}};
}

json::object SharedHeaders() {
  const json::object text{{"type", "string"}};
  return {{"RequestId",
           json::object{{"description", "Names the call in the gateway's log."}, {"schema", text}}},
          {"Cache",
           json::object{{"description", "Where the answer came from."},
                        {"schema", json::object{{"type", "string"},
                                                {"enum", json::array{"hit", "miss", "coalesced",
                                                                     "stale", "bypass"}}}}}},
          {"Age", json::object{{"description", "Seconds since Semaphore said it."},
                               {"schema", json::object{{"type", "integer"}, {"minimum", 0}}}}},
          {"RetryAfter", json::object{{"description", "Seconds to wait before the next attempt."},
                                      {"schema", json::object{{"type", "integer"}}}}}};
}

json::object SharedReplies() {
  static const std::vector<std::pair<const char*, const char*>> kErrors = {
      {"400",
       "A field, page token, mask or header is not what it should be (INVALID_FIELD says "
       "which), or Semaphore refused the request."},
      {"401", "No or bad credentials of the caller (CALLER_UNAUTHENTICATED)."},
      {"403", "The caller, or the gateway's token at Semaphore, may not do this."},
      {"404", "Nothing of that name, or not visible to the gateway's token."},
      {"409", "It exists already, or another change came between."},
      {"429", "A quota or budget is spent; Retry-After says when to come back."},
      {"500",
       "Semaphore failed, said what cannot be understood, or a change was sent and its "
       "outcome is unknown (OUTCOME_UNKNOWN)."},
      {"501", "This edition of Semaphore has no such thing."},
      {"502", "Semaphore refused the gateway's own token (UPSTREAM_TOKEN_REJECTED)."},
      {"503", "Semaphore or the gateway cannot answer now; Retry-After says when to come back."},
      {"504", "Out of time before Semaphore answered."}};
  json::object replies;
  replies["NotModified"] = json::object{
      {"description", "What the caller named in If-None-Match is still what there is."}};
  for (const auto& [code, description] : kErrors) {
    json::object reply{
        {"description", description},
        {"content",
         json::object{
             {"application/json",
              json::object{{"schema", json::object{{"$ref", "#/components/schemas/Status"}}}}}}}};
    if (std::string_view(code) == "429" || std::string_view(code) == "503") {
      reply["headers"] =
          json::object{{"retry-after", json::object{{"$ref", "#/components/headers/RetryAfter"}}}};
    }
    replies[absl::StrCat("Error", code)] = std::move(reply);
  }
  return replies;
}

json::object StatusSchema() {
  const json::object detail{
      {"type", "object"},
      {"description",
       "ErrorInfo (a stable `reason`), RetryInfo (`retryDelay`) or BadRequest "
       "(`fieldViolations`) of package google.rpc."},
      {"properties", json::object{{"@type", json::object{{"type", "string"}}},
                                  {"reason", json::object{{"type", "string"}}},
                                  {"domain", json::object{{"type", "string"}}}}},
      {"required", json::array{"@type"}}};
  return {{"type", "object"},
          {"description", "google.rpc.Status: what went wrong, the same as over gRPC."},
          {"properties",
           json::object{{"code", json::object{{"type", "integer"},
                                              {"description", "The gRPC code, not the HTTP one."}}},
                        {"message", json::object{{"type", "string"}}},
                        {"details", json::object{{"type", "array"}, {"items", detail}}}}},
          {"required", json::array{"code", "message"}},
          {"example",
           json::object{{"code", 5},
                        {"message", "no such pipeline, or not visible to the token"},
                        {"details", json::array{json::object{
                                        {"@type", "type.googleapis.com/google.rpc.ErrorInfo"},
                                        {"reason", "UPSTREAM_NOT_FOUND"},
                                        {"domain", "semaphore-gateway"}}}}}}};
}

std::string Document::Finish() && {
  json::object schemas;
  for (auto& [name, schema] : schemas_) schemas[name] = std::move(schema);
  schemas["Status"] = StatusSchema();
  json::object paths;
  for (auto& [path, operations] : paths_) paths[path] = std::move(operations);
  json::array tags;
  for (const auto& [name, description] : tags_) {
    tags.emplace_back(json::object{{"name", name}, {"description", description}});
  }
  json::object document{
      {"openapi", "3.1.0"},
      {"info",
       json::object{{"title", "semaphore-gateway"},
                    {"summary", "Semaphore CI, typed, cached and within one budget."},
                    {"description",
                     "The same operations as over gRPC. Names of fields are lowerCamelCase; "
                     "snake_case is understood. Fields at their default value (empty, 0, false) "
                     "may be left out of replies."},
                    {"version", kVersion}}},
      {"servers", json::array{json::object{{"url", "/"}}}},
      {"security", json::array{json::object{}, json::object{{"token", json::array{}}}}},
      {"tags", std::move(tags)},
      {"paths", std::move(paths)},
      {"components",
       json::object{
           {"schemas", std::move(schemas)},
           {"parameters", SharedParameters()},
           {"headers", SharedHeaders()},
           {"responses", SharedReplies()},
           {"securitySchemes",
            json::object{{"token", json::object{{"type", "http"},
                                                {"scheme", "bearer"},
                                                {"description",
                                                 "A token of the gateway's own callers, where the "
                                                 "gateway asks for one."}}}}}}}};
  return json::serialize(document);
}

}  // namespace

absl::StatusOr<std::string> OpenApiDocument(const client::MethodTable& table,
                                            std::string_view commented_protos) {
  Comments comments;
  if (absl::Status loaded = comments.Load(commented_protos); !loaded.ok()) return loaded;
  Document document(comments);
  for (const bool nested : {false, true}) {
    for (const auto& method : table.methods()) {
      const auto& rule = method->descriptor->options().GetExtension(google::api::http);
      const std::string path = RouteOf(rule).second;
      if (absl::StrContains(path, '.') != nested) continue;
      if (absl::Status added = document.AddMethod(*method); !added.ok()) return added;
    }
  }
  return std::move(document).Finish();
}

}  // namespace semaphore::gateway
