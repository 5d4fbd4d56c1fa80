#include "client/validate.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/error.h"
#include "client/field_mask.h"
#include "client/quote.h"
#include "client/string_view.h"
#include "client/timestamp.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using upstream::v1::Wire;

constexpr int32_t kDefaultMaxBytes = 1024;

const Wire& WireOf(const FieldDescriptor* field) {
  return field->options().GetExtension(upstream::v1::wire);
}

bool Has(const Wire& wire, upstream::v1::Behavior behavior) {
  return std::find(wire.behavior().begin(), wire.behavior().end(), behavior) !=
         wire.behavior().end();
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8CharacterLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// Whether a field holds anything: what "required" asks.
bool IsPopulated(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  if (field->is_repeated()) return reflection->FieldSize(message, field) > 0;
  if (field->type() == FieldDescriptor::TYPE_STRING)
    return !reflection->GetString(message, field).empty();
  return reflection->HasField(message, field);
}

class Validator {
 public:
  explicit Validator(const MethodSpec& spec) : spec_(spec) {
    for (const PathPiece& piece : spec_.path) {
      if (!piece.field.empty()) path_fields_.push_back(&piece.field);
    }
    if (spec_.merge_from == nullptr) return;
    // The identifier also goes into the path of the reading that comes first.
    for (const RequestDefault& entry : spec_.reply_defaults) {
      if (!IsInPath(entry.from.back())) path_fields_.push_back(&entry.from);
    }
  }

  std::vector<FieldViolation> Run(const Message& request) {
    for (const FieldPath* field : path_fields_) CheckPathId(request, *field);
    CheckMessage(request, "", false);
    if (spec_.token_field != nullptr) CheckToken(request);
    if (spec_.mask_field != nullptr) CheckMask(request);
    return std::move(violations_);
  }

 private:
  using FieldPath = std::vector<const FieldDescriptor*>;

  void Add(std::string field, std::string description) {
    violations_.push_back({std::move(field), std::move(description)});
  }

  void CheckPathId(const Message& request, const FieldPath& fields) {
    const Message* message = &request;
    std::string path;
    for (const FieldDescriptor* field : fields) {
      absl::StrAppend(&path, path.empty() ? "" : ".", field->name());
      if (field == fields.back()) break;
      message = &message->GetReflection()->GetMessage(*message, field);
    }
    const std::string value = message->GetReflection()->GetString(*message, fields.back());
    if (IsPathId(value)) return;
    Add(path,
        value.empty()
            ? "required"
            : absl::StrCat("must be 1 to 128 characters of A-Z a-z 0-9 . _ ~ -, not . or .., got ",
                           Quote(value)));
  }

  void CheckToken(const Message& request) {
    const std::string token = request.GetReflection()->GetString(request, spec_.token_field);
    if (!token.empty() && !IsUuid(token)) {
      Add(spec_.token_field->name(), absl::StrCat("must be a UUID or empty, got ", Quote(token)));
    }
  }

  void CheckMask(const Message& request) {
    const auto paths = ChangedPaths(spec_, request);
    if (!paths.ok()) Add(spec_.mask_field->name(), std::string(paths.status().message()));
  }

  void CheckMessage(const Message& message, const std::string& prefix, bool secret) {
    const google::protobuf::Descriptor* type = message.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      const Wire& wire = WireOf(field);
      if (Has(wire, upstream::v1::BEHAVIOR_OUTPUT_ONLY) || IsInPath(field)) continue;
      const std::string path = absl::StrCat(prefix, field->name());
      if (!IsPopulated(message, field)) {
        CheckRequired(message, wire, path);
        continue;
      }
      CheckField(message, field, path, secret || wire.secret());
      for (const std::string& member : wire.required_members())
        CheckMember(message, field, member, path);
    }
  }

  void CheckRequired(const Message& message, const Wire& wire, const std::string& path) {
    if (Has(wire, upstream::v1::BEHAVIOR_REQUIRED)) Add(path, "required");
    if (wire.required_unless().empty()) return;
    const FieldDescriptor* other = message.GetDescriptor()->FindFieldByName(wire.required_unless());
    if (!IsPopulated(message, other))
      Add(path, absl::StrCat("this or ", other->name(), " is required"));
  }

  void CheckMember(const Message& message, const FieldDescriptor* field, const std::string& member,
                   const std::string& path) {
    const Message& inner = message.GetReflection()->GetMessage(message, field);
    if (!IsPopulated(inner, inner.GetDescriptor()->FindFieldByName(member))) {
      Add(absl::StrCat(path, ".", member), "required");
    }
  }

  // Fields of the path have been held to the stricter rule.
  bool IsInPath(const FieldDescriptor* field) const {
    return std::any_of(path_fields_.begin(), path_fields_.end(),
                       [field](const FieldPath* path) { return path->back() == field; });
  }

  void CheckField(const Message& message, const FieldDescriptor* field, const std::string& path,
                  bool secret) {
    const Reflection* reflection = message.GetReflection();
    if (field->is_map()) return CheckMap(message, field, path);
    if (!field->is_repeated()) {
      if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
        return CheckSubmessage(reflection->GetMessage(message, field), message, field, path,
                               secret);
      }
      return CheckScalar(message, field, path, secret);
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      const std::string item = absl::StrCat(path, "[", i, "]");
      if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
        CheckMessage(reflection->GetRepeatedMessage(message, field, i), absl::StrCat(item, "."),
                     secret);
      } else if (field->type() == FieldDescriptor::TYPE_STRING) {
        const std::string text = reflection->GetRepeatedString(message, field, i);
        CheckText(text, WireOf(field), item, secret);
        if (WireOf(field).codec() == upstream::v1::CODEC_COMMA_LIST &&
            (text.empty() || text.find(',') != std::string::npos)) {
          Add(item, "must not be empty or hold a comma");
        }
      }
    }
  }

  void CheckMap(const Message& message, const FieldDescriptor* field, const std::string& path) {
    const Wire& wire = WireOf(field);
    const Reflection* reflection = message.GetReflection();
    Wire key_rule;  // one line, default bound, whatever the values may be
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      const Message& entry = reflection->GetRepeatedMessage(message, field, i);
      const std::string key =
          entry.GetReflection()->GetString(entry, field->message_type()->map_key());
      const std::string item = absl::StrCat(path, "[", Quote(key), "]");
      if (key.empty()) Add(item, "a name must not be empty");
      CheckText(key, key_rule, item, false);
      // Upstream's form parser would make "a[b]" an entry b inside of a, and so of a field's name.
      if (key.find_first_of("[]") != std::string::npos) Add(item, "a name must not hold [ or ]");
      CheckText(entry.GetReflection()->GetString(entry, field->message_type()->map_value()), wire,
                item, true);
      if (std::find(wire.reserved_keys().begin(), wire.reserved_keys().end(), key) !=
          wire.reserved_keys().end()) {
        Add(item, absl::StrCat("names that upstream reserves: ",
                               absl::StrJoin(wire.reserved_keys(), ", ")));
      }
    }
  }

  void CheckSubmessage(const Message& value, const Message& parent, const FieldDescriptor* field,
                       const std::string& path, bool secret) {
    if (IsTimestamp(field)) {
      return CheckTime(
          *google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(&value), parent,
          field, path);
    }
    if (IsDuration(field)) {
      return CheckDuration(
          *google::protobuf::DynamicCastToGenerated<google::protobuf::Duration>(&value), field,
          path);
    }
    CheckMessage(value, absl::StrCat(path, "."), secret);
  }

  void CheckTime(const google::protobuf::Timestamp& time, const Message& parent,
                 const FieldDescriptor* field, const std::string& path) {
    if (!IsValid(time))
      return Add(path, "must be a time from year 1 to 9999 with nanos from 0 to 999999999");
    const std::string& earlier_name = WireOf(field).later_than();
    if (earlier_name.empty()) return;
    const FieldDescriptor* earlier_field = parent.GetDescriptor()->FindFieldByName(earlier_name);
    if (!parent.GetReflection()->HasField(parent, earlier_field)) return;
    const auto* earlier = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(
        &parent.GetReflection()->GetMessage(parent, earlier_field));
    if (FloorSeconds(*earlier) >= CeilingSeconds(time)) {
      Add(path, absl::StrCat("must be later than ", earlier_name, ", in whole seconds"));
    }
  }

  void CheckDuration(const google::protobuf::Duration& value, const FieldDescriptor* field,
                     const std::string& path) {
    const Wire& wire = WireOf(field);
    const bool whole = value.nanos() == 0;
    const bool in_bounds = wire.max() == 0 || value.seconds() == 0 ||
                           (value.seconds() >= wire.min() && value.seconds() <= wire.max());
    if (!whole || !in_bounds) {
      Add(path, absl::StrCat("must be whole seconds, 0 or from ", wire.min(), " to ", wire.max()));
    }
  }

  void CheckScalar(const Message& message, const FieldDescriptor* field, const std::string& path,
                   bool secret) {
    const Reflection* reflection = message.GetReflection();
    const Wire& wire = WireOf(field);
    switch (field->type()) {
      case FieldDescriptor::TYPE_STRING:
        return CheckText(reflection->GetString(message, field), wire, path, secret);
      case FieldDescriptor::TYPE_BYTES:
        CheckSize(reflection->GetString(message, field).size(), wire, path);
        return;
      case FieldDescriptor::TYPE_ENUM: {
        const int value = reflection->GetEnumValue(message, field);
        if (field->enum_type()->FindValueByNumber(value) == nullptr) {
          Add(path, absl::StrCat(value, " is no value of ", field->enum_type()->name()));
        }
        return;
      }
      case FieldDescriptor::TYPE_INT32: {
        const int32_t value = reflection->GetInt32(message, field);
        if (field == spec_.page_size && value < 0)
          return Add(path, absl::StrCat("must not be negative, got ", value));
        if (wire.max() != 0 && (value < wire.min() || value > wire.max())) {
          Add(path, absl::StrCat("must be from ", wire.min(), " to ", wire.max(), ", got ", value));
        }
        return;
      }
      default:
        return;
    }
  }

  bool CheckSize(size_t size, const Wire& wire, const std::string& path) {
    const size_t bound = wire.max_bytes() > 0 ? wire.max_bytes() : kDefaultMaxBytes;
    if (size > bound) Add(path, absl::StrCat("must be at most ", bound, " bytes, got ", size));
    return size <= bound;
  }

  void CheckText(std::string_view text, const Wire& wire, const std::string& path, bool secret) {
    if (!CheckSize(text.size(), wire, path)) return;  // what is too long is not worth reading
    const std::string shown = secret ? "" : absl::StrCat(", got ", Quote(text));
    if (!IsUtf8(text)) return Add(path, absl::StrCat("must be UTF-8", shown));
    if (text.find('\0') != std::string_view::npos)
      return Add(path, absl::StrCat("must not hold a NUL byte", shown));
    if (!wire.multiline() && text.find_first_of("\r\n") != std::string_view::npos) {
      Add(path, absl::StrCat("must be one line", shown));
    }
  }

  const MethodSpec& spec_;
  std::vector<const FieldPath*> path_fields_;
  std::vector<FieldViolation> violations_;
};

}  // namespace

absl::Status ValidateRequest(const MethodSpec& spec, const Message& request) {
  const std::vector<FieldViolation> violations = Validator(spec).Run(request);
  return violations.empty() ? absl::OkStatus()
                            : WithMethod(InvalidFields(violations), spec.full_name);
}

bool IsPathId(std::string_view text) {
  if (text.empty() || text.size() > 128 || text == "." || text == "..") return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '~' ||
           c == '-';
  });
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[i])))
      return false;
  }
  return true;
}

}  // namespace semaphore::client
