#include "client/reply.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/string_view.h"
#include "client/timestamp.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
namespace json = boost::json;

constexpr size_t kMaxDepth = 64;
constexpr size_t kArenaBytes = 16 << 10;

absl::Status Malformed(absl::string_view what) {
  return MakeError(Reason::kUpstreamMalformedResponse,
                   absl::StrCat("Semaphore's reply is not what it should be: ", what));
}

// A parsed body; small ones live wholly in the buffer beside it, which is what makes decoding
// cheap.
class Document {
 public:
  absl::Status Parse(std::string_view body) {
    json::parse_options options;
    options.max_depth = kMaxDepth;
    boost::system::error_code error;
    value_ = json::parse(json::string_view(body.data(), body.size()), error,
                         json::storage_ptr(&arena_), options);
    if (error == json::error::too_deep) {
      return MakeError(
          Reason::kUpstreamResponseTooLarge,
          absl::StrCat("Semaphore's reply is nested more than ", kMaxDepth, " levels deep"));
    }
    if (error) return Malformed(absl::StrCat("it is no JSON (", error.message(), ")"));
    return absl::OkStatus();
  }

  const json::value& value() const { return value_; }

 private:
  std::array<unsigned char, kArenaBytes> buffer_;
  json::monotonic_resource arena_{buffer_.data(), buffer_.size()};
  json::value value_ = json::value(json::storage_ptr(&arena_));
};

const json::value* MemberOf(const json::value& value, std::string_view path) {
  const json::value* here = &value;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const std::string_view key = path.substr(0, dot);
    const json::object* object = here->if_object();
    here = object == nullptr ? nullptr
                             : object->if_contains(json::string_view(key.data(), key.size()));
    if (here == nullptr) return nullptr;
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return here;
}

// The value that stands for the resource: the root itself, its `reply_root` member, or the first of
// an array.
absl::StatusOr<const json::object*> FindResource(const MethodSpec& spec, const json::value& root) {
  const json::value* value = &root;
  if (!spec.call.reply_root().empty()) {
    value = MemberOf(root, spec.call.reply_root());
    if (value == nullptr)
      return Malformed(absl::StrCat("it has no \"", spec.call.reply_root(), "\""));
  }
  if (spec.call.reply_first()) {
    const json::array* array = value->if_array();
    if (array == nullptr) return Malformed("expected an array");
    if (array->empty())
      return MakeError(Reason::kUpstreamNotFound, "nothing of that name, or not visible");
    value = &array->front();
  }
  const json::object* object = value->if_object();
  if (object == nullptr) return Malformed("expected an object");
  return object;
}

// Creation of the first item in whole seconds; what the walk is pinned to. -1 when it is not told.
int64_t NewestSeconds(const MethodSpec& spec, const json::array& items) {
  const FieldDescriptor* create_time =
      spec.list_field->field->message_type()->FindFieldByName("create_time");
  if (items.empty() || create_time == nullptr) return -1;
  const FieldPlan* plan = spec.list_field->message_plan->Find(create_time);
  const json::value* value = MemberOf(items.front(), plan->path);
  if (value == nullptr) return -1;
  const absl::StatusOr<Instant> instant = ParseInstant(*value);
  return instant.ok() && instant->present ? instant->seconds : -1;
}

// The identity of each item, by convention the first field of a resource; empty if that is no id
// that upstream gives.
std::vector<std::string> Identities(const MethodSpec& spec, const json::array& items) {
  const FieldDescriptor* id = spec.list_field->field->message_type()->FindFieldByNumber(1);
  std::vector<std::string> identities;
  if (id == nullptr || id->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return identities;
  const FieldPlan* plan = spec.list_field->message_plan->Find(id);
  identities.reserve(items.size());
  for (const json::value& item : items) {
    const json::value* value = MemberOf(item, plan->path);
    const json::string* text = value == nullptr ? nullptr : value->if_string();
    identities.emplace_back(text == nullptr ? std::string() : std::string(*text));
  }
  return identities;
}

// Cursors are text for agents and a number for deployments, where 0 is none.
std::string CursorText(const MethodSpec& spec, const json::value& root) {
  const bool by_time = spec.call.pages().dialect() == upstream::v1::DIALECT_TIME_CURSOR;
  const json::value* cursor = MemberOf(root, by_time ? "cursor_before" : "cursor");
  if (cursor == nullptr) return "";
  if (const json::string* text = cursor->if_string()) return std::string(*text);
  if (const int64_t* number = cursor->if_int64()) return *number == 0 ? "" : absl::StrCat(*number);
  return "";
}

bool HasBodyCursor(const MethodSpec& spec) {
  return spec.call.pages().dialect() == upstream::v1::DIALECT_BODY_CURSOR ||
         spec.call.pages().dialect() == upstream::v1::DIALECT_TIME_CURSOR;
}

// What a reply to a change exists to tell, such as the id of what was made; without it nobody knows
// what was done.
absl::Status CheckRequired(const MethodSpec& spec, const Message& reply) {
  for (const std::unique_ptr<FieldPlan>& field : spec.reply_plan->fields) {
    const auto& behavior = field->wire.behavior();
    if (std::find(behavior.begin(), behavior.end(), upstream::v1::BEHAVIOR_REQUIRED) ==
            behavior.end() ||
        !field->via.empty() || field->field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
      continue;
    }
    if (reply.GetReflection()->GetString(reply, field->field).empty())
      return Malformed(absl::StrCat("it has no \"", field->path, "\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DecodeReply(const MethodSpec& spec, std::string_view body, const Message& request,
                         Drift& drift, Message& reply) {
  const bool says_nothing = reply.GetDescriptor()->field_count() == 0;
  if (says_nothing && absl::StripAsciiWhitespace(ToAbsl(body)).empty()) return absl::OkStatus();
  Document document;
  const absl::Status parsed = document.Parse(body);
  if (!parsed.ok() || says_nothing) return parsed;
  const absl::StatusOr<const json::object*> resource = FindResource(spec, document.value());
  if (!resource.ok()) return resource.status();
  const DecodeContext context{&request, &drift};
  const absl::Status decoded = DecodeObject(**resource, *spec.reply_plan, context, reply);
  if (!decoded.ok()) return Malformed(decoded.message());
  for (const FieldPlan* field : spec.reply_also) {
    const json::value* value = MemberOf(document.value(), field->path);
    if (value == nullptr) continue;
    const absl::Status also = DecodeMember(*value, *field, context, reply);
    if (!also.ok()) return Malformed(also.message());
  }
  FillFromRequest(spec, request, reply);
  return CheckRequired(spec, reply);
}

absl::StatusOr<PageVerdict> DecodePage(const MethodSpec& spec, std::string_view body,
                                       const PageQuery& query, PageFacts facts, Drift& drift,
                                       Message& reply) {
  Document document;
  const absl::Status parsed = document.Parse(body);
  if (!parsed.ok()) return parsed;
  const json::value& root = document.value();
  const json::value* list = root.is_array() ? &root : MemberOf(root, spec.list_field->path);
  if (list == nullptr || !list->is_array()) {
    return Malformed(
        absl::StrCat("expected an array or an object with \"", spec.list_field->path, "\""));
  }
  const json::array& items = list->get_array();
  facts.items = items.size();
  facts.newest_seconds = NewestSeconds(spec, items);
  facts.identities = Identities(spec, items);
  if (HasBodyCursor(spec)) {
    facts.cursor = CursorText(spec, root);
    facts.has_next = !facts.cursor.empty();
  }
  absl::StatusOr<PageVerdict> verdict = DecidePage(spec.call.pages(), query, facts);
  if (!verdict.ok()) return Malformed(verdict.status().message());
  if (verdict->again) return verdict;
  // Items of a list are read without the request: an id that one of them omits stays empty.
  const DecodeContext context{nullptr, &drift};
  for (size_t i = verdict->begin; i < verdict->end; ++i) {
    const absl::Status decoded = DecodeElement(items[i], i, *spec.list_field, context, reply);
    if (!decoded.ok()) return Malformed(decoded.message());
  }
  if (spec.total_size != nullptr) {
    const int64_t total =
        facts.paged || query.upstream_size != 0 ? facts.total : static_cast<int64_t>(items.size());
    if (total >= 0) {
      reply.GetReflection()->SetInt32(&reply, spec.total_size,
                                      static_cast<int32_t>(std::min<int64_t>(total, INT32_MAX)));
    }
  }
  return verdict;
}

absl::Status CheckIsObject(std::string_view body) {
  Document document;
  const absl::Status parsed = document.Parse(body);
  if (!parsed.ok() || document.value().is_object()) return parsed;
  return Malformed("expected an object");
}

void FillFromRequest(const MethodSpec& spec, const Message& request, Message& reply) {
  for (const RequestDefault& entry : spec.reply_defaults) {
    const Message* source = &request;
    for (size_t i = 0; i + 1 < entry.from.size(); ++i) {
      source = &source->GetReflection()->GetMessage(*source, entry.from[i]);
    }
    Message* target = &reply;
    for (size_t i = 0; i + 1 < entry.to.size(); ++i) {
      target = target->GetReflection()->MutableMessage(target, entry.to[i]);
    }
    if (!target->GetReflection()->GetString(*target, entry.to.back()).empty()) continue;
    target->GetReflection()->SetString(
        target, entry.to.back(), source->GetReflection()->GetString(*source, entry.from.back()));
  }
}

}  // namespace semaphore::client
