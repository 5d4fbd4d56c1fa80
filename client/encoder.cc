#include "client/encoder.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/reflection.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/age_text.h"
#include "client/string_view.h"
#include "client/timestamp.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using upstream::v1::Place;
namespace json = boost::json;

// The message that holds the field, following flattened parents; null when a parent is not set.
const Message* Holder(const Message& request, const FieldPlan& plan) {
  const Message* holder = &request;
  for (const FieldDescriptor* step : plan.via) {
    if (!holder->GetReflection()->HasField(*holder, step)) return nullptr;
    holder = &holder->GetReflection()->GetMessage(*holder, step);
  }
  return holder;
}

bool IsSet(const Message& message, const FieldDescriptor* field) {
  return field->is_repeated() ? message.GetReflection()->FieldSize(message, field) > 0
                              : message.GetReflection()->HasField(message, field);
}

bool IsInPath(const MethodSpec& spec, const FieldDescriptor* field) {
  return std::any_of(spec.path.begin(), spec.path.end(), [field](const PathPiece& piece) {
    return !piece.field.empty() && piece.field.back() == field;
  });
}

// Where a request field travels, by its option, else by its being in the path, else by the verb.
Place PlaceOf(const MethodSpec& spec, const FieldPlan& plan) {
  if (plan.wire.in() != upstream::v1::PLACE_UNSPECIFIED) return plan.wire.in();
  if (plan.Is(upstream::v1::BEHAVIOR_OUTPUT_ONLY) || IsInPath(spec, plan.field))
    return upstream::v1::PLACE_NOWHERE;
  if (spec.call.verb() == upstream::v1::VERB_GET || spec.call.verb() == upstream::v1::VERB_DELETE) {
    return upstream::v1::PLACE_QUERY;
  }
  return upstream::v1::PLACE_BODY;
}

std::string TimeText(const Message& message, const FieldPlan& plan) {
  const auto* time = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(
      &message.GetReflection()->GetMessage(message, plan.field));
  return absl::StrCat(plan.wire.codec() == upstream::v1::CODEC_UNIX_SECONDS_CEILING
                          ? CeilingSeconds(*time)
                          : FloorSeconds(*time));
}

int64_t DurationSeconds(const Message& message, const FieldDescriptor* field) {
  return google::protobuf::DynamicCastToGenerated<google::protobuf::Duration>(
             &message.GetReflection()->GetMessage(message, field))
      ->seconds();
}

std::string CommaList(const Message& message, const FieldDescriptor* field) {
  return absl::StrJoin(message.GetReflection()->GetRepeatedFieldRef<std::string>(message, field),
                       ",");
}

// A single value as text, for queries and forms. Empty: not sent.
std::string ScalarText(const Message& message, const FieldPlan& plan) {
  const Reflection* reflection = message.GetReflection();
  const FieldDescriptor* field = plan.field;
  if (IsTimestamp(field)) return TimeText(message, plan);
  if (IsDuration(field)) return absl::StrCat(DurationSeconds(message, field));
  switch (field->type()) {
    case FieldDescriptor::TYPE_STRING:
      return field->is_repeated() ? CommaList(message, field)
                                  : reflection->GetString(message, field);
    case FieldDescriptor::TYPE_BYTES:
      return absl::Base64Escape(reflection->GetString(message, field));
    case FieldDescriptor::TYPE_BOOL:
      return reflection->GetBool(message, field) ? "true" : "false";
    case FieldDescriptor::TYPE_INT32:
      return absl::StrCat(reflection->GetInt32(message, field));
    case FieldDescriptor::TYPE_ENUM:
      return plan.enum_plan->ToWord(reflection->GetEnumValue(message, field)).value_or("");
    default:
      return "";
  }
}

// A field as key=value pairs: one, or one for each entry of a map (sorted, so that equal requests
// are equal bytes).
void AppendPairs(const Message& message, const FieldPlan& plan,
                 std::vector<std::pair<std::string, std::string>>& pairs) {
  if (!plan.field->is_map()) {
    std::string text = ScalarText(message, plan);
    if (!text.empty()) pairs.emplace_back(plan.path, std::move(text));
    return;
  }
  const Reflection* reflection = message.GetReflection();
  const google::protobuf::Descriptor* entry_type = plan.field->message_type();
  std::vector<std::pair<std::string, std::string>> entries;
  for (int i = 0; i < reflection->FieldSize(message, plan.field); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, plan.field, i);
    std::string key = entry.GetReflection()->GetString(entry, entry_type->map_key());
    entries.emplace_back(
        plan.wire.flatten() ? std::move(key) : absl::StrCat(plan.path, "[", key, "]"),
        entry.GetReflection()->GetString(entry, entry_type->map_value()));
  }
  std::sort(entries.begin(), entries.end());
  pairs.insert(pairs.end(), std::make_move_iterator(entries.begin()),
               std::make_move_iterator(entries.end()));
}

json::value JsonText(const std::string& text) { return json::string(text); }

json::object JsonObject(const Message& message, const MessagePlan& plan);

json::value JsonValue(const Message& message, const FieldPlan& plan) {
  const Reflection* reflection = message.GetReflection();
  const FieldDescriptor* field = plan.field;
  if (IsTimestamp(field)) return JsonText(TimeText(message, plan));
  if (IsDuration(field)) return DurationSeconds(message, field);
  if (plan.wire.codec() == upstream::v1::CODEC_COMMA_LIST)
    return JsonText(CommaList(message, field));
  if (plan.wire.codec() == upstream::v1::CODEC_AGE_TEXT) {
    return JsonText(FormatAgeText(reflection->GetMessage(message, field), *plan.message_plan));
  }
  if (field->is_repeated()) {
    json::array array;
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if (plan.message_plan != nullptr) {
        array.emplace_back(
            JsonObject(reflection->GetRepeatedMessage(message, field, i), *plan.message_plan));
      } else {
        array.emplace_back(JsonText(reflection->GetRepeatedString(message, field, i)));
      }
    }
    return array;
  }
  switch (field->type()) {
    case FieldDescriptor::TYPE_MESSAGE:
      return JsonObject(reflection->GetMessage(message, field), *plan.message_plan);
    case FieldDescriptor::TYPE_BOOL:
      return reflection->GetBool(message, field);
    case FieldDescriptor::TYPE_INT32:
      return reflection->GetInt32(message, field);
    default:
      return JsonText(ScalarText(message, plan));
  }
}

// Puts `value` at a dotted path, making the objects on the way.
void PutAt(json::object& root, const std::string& path, json::value value) {
  json::object* object = &root;
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    json::value& next = (*object)[parts[i]];
    if (!next.is_object()) next.emplace_object();
    object = &next.get_object();
  }
  (*object)[parts.back()] = std::move(value);
}

json::object JsonObject(const Message& message, const MessagePlan& plan) {
  json::object object;
  for (const std::unique_ptr<FieldPlan>& field : plan.fields) {
    if (field->Is(upstream::v1::BEHAVIOR_OUTPUT_ONLY)) continue;
    const Message* holder = Holder(message, *field);
    if (holder == nullptr || !IsSet(*holder, field->field)) continue;
    PutAt(object, field->path, JsonValue(*holder, *field));
  }
  return object;
}

// Whether an update is about this field of the resource, or about something in it.
bool IsChanged(const FieldPlan& plan, const std::vector<std::string>& changed) {
  return std::any_of(changed.begin(), changed.end(), [&plan](const std::string& path) {
    return path.substr(0, path.find('.')) == plan.field->name();
  });
}

std::string PathOf(const MethodSpec& spec, const Message& request) {
  std::string path;
  for (const PathPiece& piece : spec.path) {
    path += piece.literal;
    if (piece.field.empty()) continue;
    const Message* holder = &request;
    for (size_t i = 0; i + 1 < piece.field.size(); ++i) {
      holder = &holder->GetReflection()->GetMessage(*holder, piece.field[i]);
    }
    path += PercentEncode(holder->GetReflection()->GetString(*holder, piece.field.back()));
  }
  return path;
}

std::string JoinPairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  return absl::StrJoin(
      pairs, "&", [](std::string* out, const std::pair<std::string, std::string>& pair) {
        absl::StrAppend(out, PercentEncode(pair.first), "=", PercentEncode(pair.second));
      });
}

}  // namespace

std::string EncodedRequest::Target() const {
  return query.empty() ? path : absl::StrCat(path, "?", JoinPairs(query));
}

EncodedRequest EncodeRequest(const MethodSpec& spec, const Message& request,
                             const std::vector<std::string>* changed) {
  EncodedRequest encoded;
  encoded.verb = spec.verb;
  encoded.path = PathOf(spec, request);
  std::vector<std::pair<std::string, std::string>> form;
  json::object body;
  const bool as_json = spec.call.encoding() == upstream::v1::ENCODING_JSON;
  for (const std::unique_ptr<FieldPlan>& plan : spec.request_plan->fields) {
    const Message* holder = Holder(request, *plan);
    if (holder == nullptr) continue;
    const bool of_resource = changed != nullptr && !plan->via.empty();
    if (of_resource ? !IsChanged(*plan, *changed) : !IsSet(*holder, plan->field)) continue;
    const Place place = PlaceOf(spec, *plan);
    if (place == upstream::v1::PLACE_QUERY) {
      AppendPairs(*holder, *plan, encoded.query);
    } else if (place == upstream::v1::PLACE_BODY && as_json) {
      PutAt(body, plan->path, JsonValue(*holder, *plan));
    } else if (place == upstream::v1::PLACE_BODY) {
      AppendPairs(*holder, *plan, form);
    }
  }
  if (as_json) {
    encoded.content_type = "application/json";
    encoded.body =
        spec.call.constant_body().empty() ? json::serialize(body) : spec.call.constant_body();
  } else if (spec.call.encoding() == upstream::v1::ENCODING_FORM) {
    encoded.content_type = "application/x-www-form-urlencoded";
    encoded.body = JoinPairs(form);
  }
  return encoded;
}

std::string PercentEncode(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

}  // namespace semaphore::client
