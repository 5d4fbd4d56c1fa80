#include "client/decoder.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/age_text.h"
#include "client/quote.h"
#include "client/string_view.h"
#include "client/timestamp.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
namespace json = boost::json;

// Where in the reply we are; lives on the stack and costs nothing until an error asks for it.
struct Path {
  const Path* parent = nullptr;
  std::string_view key;
  std::optional<size_t> index;

  std::string Text() const {
    std::string text = parent != nullptr ? parent->Text() : "";
    if (index) return absl::StrCat(text, "[", *index, "]");
    if (key.empty()) return text;
    return absl::StrCat(text, text.empty() ? "" : ".", ToAbsl(Utf8Prefix(key, 64)));
  }
};

absl::Status Wrong(const Path& path, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path.Text(), ": ", ToAbsl(what)));
}

std::string_view View(const json::string& text) { return {text.data(), text.size()}; }

std::string KindName(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return absl::StrCat("the text ", Quote(View(value.get_string())));
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "nothing";
}

absl::Status Expected(const Path& path, std::string_view what, const json::value& value) {
  return Wrong(path, absl::StrCat("expected ", ToAbsl(what), ", got ", KindName(value)));
}

class Decoder {
 public:
  explicit Decoder(const DecodeContext& context) : context_(context) {}

  absl::Status Object(const json::object& object, const MessagePlan& plan, const Path& path,
                      Message& message) {
    absl::Status status = Keys(object, plan.root, path, message);
    if (!status.ok()) return status;
    for (const FieldPlan* field : plan.conditional) ApplyConditions(*field, message);
    return absl::OkStatus();
  }

  absl::Status Member(const json::value& value, const FieldPlan& field, const Path& path,
                      Message& message) {
    if (field.wire.secret() || !RequestAllows(field)) return absl::OkStatus();
    Message* target = &message;
    for (const FieldDescriptor* step : field.via) {
      target = target->GetReflection()->MutableMessage(target, step);
    }
    if (value.is_null()) return absl::OkStatus();
    if (field.wire.codec() == upstream::v1::CODEC_COMMA_LIST)
      return CommaList(value, field, path, *target);
    if (field.field->is_map()) return Map(value, field, path, *target);
    if (!field.field->is_repeated()) return Single(value, field, path, *target);
    const json::array* array = value.if_array();
    if (array == nullptr) return Expected(path, "an array", value);
    for (size_t i = 0; i < array->size(); ++i) {
      absl::Status status = Element((*array)[i], i, field, path, *target);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Element(const json::value& value, size_t index, const FieldPlan& field,
                       const Path& parent, Message& message) {
    const Path path{&parent, {}, index};
    const Reflection* reflection = message.GetReflection();
    if (field.message_plan != nullptr) {
      const json::object* object = value.if_object();
      if (object == nullptr) return Expected(path, "an object", value);
      return Object(*object, *field.message_plan, path,
                    *reflection->AddMessage(&message, field.field));
    }
    if (field.field->type() == FieldDescriptor::TYPE_STRING) {
      if (value.is_null()) return absl::OkStatus();
      absl::StatusOr<std::string> text = Text(value, path);
      if (!text.ok()) return text.status();
      reflection->AddString(&message, field.field, *std::move(text));
      return absl::OkStatus();
    }
    return Wrong(path, "a list of this type is not supported");
  }

 private:
  absl::Status Keys(const json::object& object, const KeyNode& node, const Path& parent,
                    Message& message) {
    for (const json::key_value_pair& member : object) {
      const std::string_view key(member.key().data(), member.key().size());
      const Path path{&parent, key, std::nullopt};
      const auto child = node.children.find(ToAbsl(key));
      if (child == node.children.end()) {
        ++context_.drift->unknown_fields;
        continue;
      }
      const KeyNode& next = *child->second;
      if (next.field != nullptr) {
        absl::Status status = Member(member.value(), *next.field, path, message);
        if (!status.ok()) return status;
      }
      if (!next.children.empty() && !member.value().is_null()) {
        const json::object* inner = member.value().if_object();
        if (inner == nullptr) return Expected(path, "an object", member.value());
        // Where the key is a field as well, that field's own plan counts its unknown keys, and ours
        // are none to it.
        absl::Status status = next.field == nullptr ? Keys(*inner, next, path, message)
                                                    : KnownKeys(*inner, next, path, message);
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status KnownKeys(const json::object& object, const KeyNode& node, const Path& parent,
                         Message& message) {
    for (const auto& [key, child] : node.children) {
      const json::value* value = object.if_contains(json::string_view(key.data(), key.size()));
      if (value == nullptr || child->field == nullptr) continue;
      absl::Status status =
          Member(*value, *child->field, Path{&parent, key, std::nullopt}, message);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Single(const json::value& value, const FieldPlan& plan, const Path& path,
                      Message& message) {
    const FieldDescriptor* field = plan.field;
    const Reflection* reflection = message.GetReflection();
    if (IsTimestamp(field)) return Time(value, field, path, message);
    if (IsDuration(field)) return Seconds(value, field, path, message);
    if (plan.wire.codec() == upstream::v1::CODEC_AGE_TEXT) {
      absl::StatusOr<std::string> text = Text(value, path);
      if (!text.ok()) return text.status();
      if (text->empty()) return absl::OkStatus();
      const absl::Status parsed =
          ParseAgeText(*text, *plan.message_plan, *reflection->MutableMessage(&message, field));
      return parsed.ok() ? parsed : Wrong(path, ToStd(parsed.message()));
    }
    switch (field->type()) {
      case FieldDescriptor::TYPE_MESSAGE: {
        const json::object* object = value.if_object();
        if (object == nullptr) return Expected(path, "an object", value);
        return Object(*object, *plan.message_plan, path,
                      *reflection->MutableMessage(&message, field));
      }
      case FieldDescriptor::TYPE_STRING: {
        absl::StatusOr<std::string> text = Text(value, path);
        if (!text.ok()) return text.status();
        reflection->SetString(&message, field, *std::move(text));
        return absl::OkStatus();
      }
      case FieldDescriptor::TYPE_BYTES:
        return Bytes(value, field, path, message);
      case FieldDescriptor::TYPE_BOOL:
        return Bool(value, field, path, message);
      case FieldDescriptor::TYPE_INT32: {
        const std::optional<int64_t> number = Integer(value);
        if (!number || *number < std::numeric_limits<int32_t>::min() ||
            *number > std::numeric_limits<int32_t>::max()) {
          if (value.is_string() && value.get_string().empty()) return absl::OkStatus();
          return Expected(path, "a 32-bit integer", value);
        }
        reflection->SetInt32(&message, field, static_cast<int32_t>(*number));
        return absl::OkStatus();
      }
      case FieldDescriptor::TYPE_ENUM:
        return Word(value, plan, path, message);
      default:
        return Wrong(path, absl::StrCat("type ", field->type_name(), " is not supported"));
    }
  }

  static absl::Status Time(const json::value& value, const FieldDescriptor* field, const Path& path,
                           Message& message) {
    const absl::StatusOr<Instant> instant = ParseInstant(value);
    if (!instant.ok()) return Wrong(path, ToStd(instant.status().message()));
    if (!instant->present) return absl::OkStatus();
    auto* time = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(
        message.GetReflection()->MutableMessage(&message, field));
    time->set_seconds(instant->seconds);
    time->set_nanos(instant->nanos);
    return absl::OkStatus();
  }

  static absl::Status Seconds(const json::value& value, const FieldDescriptor* field,
                              const Path& path, Message& message) {
    constexpr int64_t kMaxDurationSeconds = 315576000000;  // what google.protobuf.Duration can hold
    const std::optional<int64_t> seconds = Integer(value);
    if (!seconds || *seconds < -kMaxDurationSeconds || *seconds > kMaxDurationSeconds) {
      return Expected(path, "a number of seconds", value);
    }
    Message* duration = message.GetReflection()->MutableMessage(&message, field);
    duration->GetReflection()->SetInt64(duration, field->message_type()->FindFieldByName("seconds"),
                                        *seconds);
    return absl::OkStatus();
  }

  static absl::Status Bytes(const json::value& value, const FieldDescriptor* field,
                            const Path& path, Message& message) {
    const json::string* text = value.if_string();
    std::string bytes;
    if (text == nullptr || !absl::Base64Unescape(ToAbsl(View(*text)), &bytes))
      return Wrong(path, "expected base64");
    message.GetReflection()->SetString(&message, field, std::move(bytes));
    return absl::OkStatus();
  }

  static absl::Status Bool(const json::value& value, const FieldDescriptor* field, const Path& path,
                           Message& message) {
    if (const bool* flag = value.if_bool()) {
      message.GetReflection()->SetBool(&message, field, *flag);
      return absl::OkStatus();
    }
    if (const json::string* text = value.if_string()) {
      const std::string lower = absl::AsciiStrToLower(ToAbsl(View(*text)));
      if (lower.empty()) return absl::OkStatus();
      if (lower == "true" || lower == "false") {
        message.GetReflection()->SetBool(&message, field, lower == "true");
        return absl::OkStatus();
      }
    }
    return Expected(path, "true or false", value);
  }

  absl::Status Word(const json::value& value, const FieldPlan& plan, const Path& path,
                    Message& message) {
    std::optional<int> number;
    if (const json::string* text = value.if_string()) {
      if (text->empty()) return absl::OkStatus();
      number = plan.enum_plan->FromWord(View(*text));
      if (!number) {
        if (const std::optional<int64_t> digits = Integer(value))
          number = plan.enum_plan->FromNumber(*digits);
      }
    } else if (const std::optional<int64_t> digits = Integer(value)) {
      number = plan.enum_plan->FromNumber(*digits);
    } else if (!value.is_number()) {
      return Expected(path, "a word or a number", value);
    }
    if (!number) ++context_.drift->unknown_words;
    message.GetReflection()->SetEnumValue(&message, plan.field, number.value_or(0));
    return absl::OkStatus();
  }

  static absl::Status CommaList(const json::value& value, const FieldPlan& plan, const Path& path,
                                Message& message) {
    absl::StatusOr<std::string> text = Text(value, path);
    if (!text.ok()) return text.status();
    for (const absl::string_view item : absl::StrSplit(*text, ',', absl::SkipWhitespace())) {
      message.GetReflection()->AddString(&message, plan.field,
                                         std::string(absl::StripAsciiWhitespace(item)));
    }
    return absl::OkStatus();
  }

  static absl::Status Map(const json::value& value, const FieldPlan& plan, const Path& path,
                          Message& message) {
    const json::object* object = value.if_object();
    if (object == nullptr) return Expected(path, "an object", value);
    const google::protobuf::Descriptor* entry = plan.field->message_type();
    for (const json::key_value_pair& member : *object) {
      absl::StatusOr<std::string> text = Text(member.value(), path);
      if (!text.ok()) return text.status();
      Message* pair = message.GetReflection()->AddMessage(&message, plan.field);
      pair->GetReflection()->SetString(pair, entry->map_key(),
                                       std::string(member.key().data(), member.key().size()));
      pair->GetReflection()->SetString(pair, entry->map_value(), *std::move(text));
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<std::string> Text(const json::value& value, const Path& path) {
    if (const json::string* text = value.if_string())
      return std::string(text->data(), text->size());
    if (const int64_t* number = value.if_int64()) return absl::StrCat(*number);
    if (const uint64_t* number = value.if_uint64()) return absl::StrCat(*number);
    if (value.is_null()) return std::string();
    return Expected(path, "a text", value);
  }

  // A whole number, also as a double without fraction or as decimal text; nullopt for anything
  // else.
  static std::optional<int64_t> Integer(const json::value& value) {
    if (const int64_t* number = value.if_int64()) return *number;
    if (const double* number = value.if_double()) {
      constexpr double kExact = 9007199254740992.0;  // 2^53
      if (std::trunc(*number) != *number || std::abs(*number) > kExact) return std::nullopt;
      return static_cast<int64_t>(*number);
    }
    if (const json::string* text = value.if_string()) {
      int64_t number = 0;
      const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
      if (error == std::errc() && end == text->data() + text->size() && !text->empty())
        return number;
    }
    return std::nullopt;
  }

  bool RequestAllows(const FieldPlan& field) const {
    if (context_.request == nullptr) return true;
    for (const Condition& condition : field.request_conditions) {
      const FieldDescriptor* asked =
          context_.request->GetDescriptor()->FindFieldByName(condition.request_field);
      if (asked == nullptr) continue;
      if (!condition.Holds(
              context_.request->GetReflection()->GetEnumValue(*context_.request, asked)))
        return false;
    }
    return true;
  }

  static void ApplyConditions(const FieldPlan& field, Message& message) {
    Message* target = &message;
    for (const FieldDescriptor* step : field.via) {
      if (!target->GetReflection()->HasField(*target, step)) return;
      target = target->GetReflection()->MutableMessage(target, step);
    }
    for (const Condition& condition : field.conditions) {
      if (!condition.HoldsFor(*target)) {
        target->GetReflection()->ClearField(target, field.field);
      }
    }
  }

  DecodeContext context_;
};

}  // namespace

absl::Status DecodeObject(const json::object& object, const MessagePlan& plan,
                          const DecodeContext& context, Message& message) {
  return Decoder(context).Object(object, plan, Path{}, message);
}

absl::Status DecodeMember(const json::value& value, const FieldPlan& field,
                          const DecodeContext& context, Message& message) {
  return Decoder(context).Member(value, field, Path{nullptr, field.path, std::nullopt}, message);
}

absl::Status DecodeElement(const json::value& value, size_t element, const FieldPlan& field,
                           const DecodeContext& context, Message& message) {
  return Decoder(context).Element(value, element, field, Path{}, message);
}

}  // namespace semaphore::client
