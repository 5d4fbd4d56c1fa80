#include "gateway/rest_json_writer.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/string_view.h"
#include "client/timestamp.h"
#include "gateway/json_text.h"
#include "gateway/rest_value.h"

namespace semaphore::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DynamicCastToGenerated;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <typename Number>
void AppendNumber(Number number, std::string* out) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  out->append(buffer, end);
}

template <typename Number>
void AppendQuotedNumber(Number number, std::string* out) {
  out->push_back('"');
  AppendNumber(number, out);
  out->push_back('"');
}

template <typename Float>
void AppendFloat(Float number, std::string* out) {
  if (std::isnan(number)) {
    out->append("\"NaN\"");
  } else if (std::isinf(number)) {
    out->append(number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  } else {
    AppendNumber(number, out);  // the shortest text that reads back as the same number
  }
}

void AppendDigits(int64_t number, int count, std::string* out) {
  const size_t begin = out->size();
  out->append(static_cast<size_t>(count), '0');
  for (size_t i = begin + static_cast<size_t>(count); i > begin; number /= 10)
    (*out)[--i] = static_cast<char>('0' + number % 10);
}

// ".5" would be three, six or nine digits: ".500"; nothing for none.
void AppendNanos(int32_t nanos, std::string* out) {
  if (nanos == 0) return;
  out->push_back('.');
  if (nanos % 1000000 == 0) return AppendDigits(nanos / 1000000, 3, out);
  if (nanos % 1000 == 0) return AppendDigits(nanos / 1000, 6, out);
  AppendDigits(nanos, 9, out);
}

absl::Status AppendTime(const google::protobuf::Timestamp& time, std::string* out) {
  if (!client::IsValid(time)) return absl::InternalError("a time outside of the years 1 to 9999");
  const std::chrono::sys_seconds instant{std::chrono::seconds(time.seconds())};
  const auto day = std::chrono::floor<std::chrono::days>(instant);
  const std::chrono::year_month_day date(day);
  const int64_t second = (instant - day).count();
  out->push_back('"');
  AppendDigits(static_cast<int>(date.year()), 4, out);
  out->push_back('-');
  AppendDigits(static_cast<unsigned>(date.month()), 2, out);
  out->push_back('-');
  AppendDigits(static_cast<unsigned>(date.day()), 2, out);
  out->push_back('T');
  AppendDigits(second / 3600, 2, out);
  out->push_back(':');
  AppendDigits(second / 60 % 60, 2, out);
  out->push_back(':');
  AppendDigits(second % 60, 2, out);
  AppendNanos(time.nanos(), out);
  out->append("Z\"");
  return absl::OkStatus();
}

absl::Status AppendDuration(const google::protobuf::Duration& duration, std::string* out) {
  constexpr int64_t kMaxSeconds = 315576000000;
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  const bool mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
  if (mixed || seconds < -kMaxSeconds || seconds > kMaxSeconds || nanos <= -1000000000 ||
      nanos >= 1000000000) {
    return absl::InternalError("a duration out of range");
  }
  out->push_back('"');
  if (seconds < 0 || nanos < 0) out->push_back('-');
  AppendNumber(std::abs(seconds), out);
  AppendNanos(std::abs(nanos), out);
  out->append("s\"");
  return absl::OkStatus();
}

// "name_settings.aws" is "nameSettings.aws".
std::string CamelCasePath(const std::string& path) {
  std::string out;
  bool upper = false;
  for (const char c : path) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out += upper ? static_cast<char>(absl::ascii_toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return out;
}

void AppendMask(const google::protobuf::FieldMask& mask, std::string* out) {
  AppendJsonString(out, absl::StrJoin(mask.paths(), ",", [](std::string* to, const auto& path) {
                     absl::StrAppend(to, CamelCasePath(path));
                   }));
}

void AppendBytes(const std::string& bytes, std::string* out) {
  absl::StrAppend(out, "\"", absl::Base64Escape(bytes), "\"");
}

void AppendEnum(int value, const FieldDescriptor* field, std::string* out) {
  const auto* known = field->enum_type()->FindValueByNumber(value);
  if (known == nullptr) return AppendNumber(value, out);
  absl::StrAppend(out, "\"", known->name(), "\"");
}

// A map has no order of its own; the same message is always the same text.
std::vector<const Message*> SortedEntries(const Message& message, const FieldDescriptor* field) {
  std::vector<const Message*> entries;
  const Reflection* reflection = message.GetReflection();
  const int size = reflection->FieldSize(message, field);
  entries.reserve(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i)
    entries.push_back(&reflection->GetRepeatedMessage(message, field, i));
  const FieldDescriptor* const key = field->message_type()->map_key();
  if (key->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return entries;
  std::sort(entries.begin(), entries.end(), [key](const Message* one, const Message* other) {
    std::string scratch[2];
    return one->GetReflection()->GetStringReference(*one, key, &scratch[0]) <
           other->GetReflection()->GetStringReference(*other, key, &scratch[1]);
  });
  return entries;
}

class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  absl::Status Object(const Message& message) {
    out_->push_back('{');
    const absl::Status written = Members(message);
    out_->push_back('}');
    return written;
  }

  absl::Status Members(const Message& message) {
    const Descriptor* type = message.GetDescriptor();
    const Reflection* reflection = message.GetReflection();
    bool first = true;
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      const bool present = field->is_repeated() ? reflection->FieldSize(message, field) > 0
                                                : reflection->HasField(message, field);
      if (!present) continue;
      if (!first) out_->push_back(',');
      first = false;
      out_->push_back('"');
      out_->append(field->json_name());
      out_->append("\":");
      const absl::Status written = field->is_map()        ? Map(message, field)
                                   : field->is_repeated() ? List(message, field)
                                                          : Value(message, field, -1);
      if (!written.ok()) return written;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status List(const Message& message, const FieldDescriptor* field) {
    out_->push_back('[');
    const int size = message.GetReflection()->FieldSize(message, field);
    for (int i = 0; i < size; ++i) {
      if (i > 0) out_->push_back(',');
      const absl::Status written = Value(message, field, i);
      if (!written.ok()) return written;
    }
    out_->push_back(']');
    return absl::OkStatus();
  }

  absl::Status Map(const Message& message, const FieldDescriptor* field) {
    const FieldDescriptor* const key = field->message_type()->map_key();
    out_->push_back('{');
    bool first = true;
    for (const Message* each : SortedEntries(message, field)) {
      if (!first) out_->push_back(',');
      first = false;
      const Message& entry = *each;
      const size_t begin = out_->size();
      absl::Status written = Value(entry, key, -1);
      if (!written.ok()) return written;
      if ((*out_)[begin] != '"') {  // a number or a boolean, which JSON wants in quotes here
        out_->insert(begin, 1, '"');
        out_->push_back('"');
      }
      out_->push_back(':');
      written = Value(entry, field->message_type()->map_value(), -1);
      if (!written.ok()) return written;
    }
    out_->push_back('}');
    return absl::OkStatus();
  }

  // The value of a single field, or with an index of an item of a list.
  absl::Status Value(const Message& message, const FieldDescriptor* field, int index) {
    const Reflection* reflection = message.GetReflection();
    const bool item = index >= 0;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        AppendNumber(item ? reflection->GetRepeatedInt32(message, field, index)
                          : reflection->GetInt32(message, field),
                     out_);
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        AppendNumber(item ? reflection->GetRepeatedUInt32(message, field, index)
                          : reflection->GetUInt32(message, field),
                     out_);
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        AppendQuotedNumber(item ? reflection->GetRepeatedInt64(message, field, index)
                                : reflection->GetInt64(message, field),
                           out_);
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        AppendQuotedNumber(item ? reflection->GetRepeatedUInt64(message, field, index)
                                : reflection->GetUInt64(message, field),
                           out_);
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        AppendFloat(item ? reflection->GetRepeatedDouble(message, field, index)
                         : reflection->GetDouble(message, field),
                    out_);
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        AppendFloat(item ? reflection->GetRepeatedFloat(message, field, index)
                         : reflection->GetFloat(message, field),
                    out_);
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        out_->append((item ? reflection->GetRepeatedBool(message, field, index)
                           : reflection->GetBool(message, field))
                         ? "true"
                         : "false");
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        AppendEnum(item ? reflection->GetRepeatedEnumValue(message, field, index)
                        : reflection->GetEnumValue(message, field),
                   field, out_);
        break;
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text =
            item ? reflection->GetRepeatedStringReference(message, field, index, &scratch)
                 : reflection->GetStringReference(message, field, &scratch);
        if (field->type() == FieldDescriptor::TYPE_BYTES) {
          AppendBytes(text, out_);
        } else {
          AppendJsonString(out_, text);
        }
        break;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Inner(item ? reflection->GetRepeatedMessage(message, field, index)
                          : reflection->GetMessage(message, field));
    }
    return absl::OkStatus();
  }

  absl::Status Inner(const Message& message) {
    const Descriptor* type = message.GetDescriptor();
    switch (type->well_known_type()) {
      case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
        return AppendTime(*DynamicCastToGenerated<google::protobuf::Timestamp>(&message), out_);
      case Descriptor::WELLKNOWNTYPE_DURATION:
        return AppendDuration(*DynamicCastToGenerated<google::protobuf::Duration>(&message), out_);
      case Descriptor::WELLKNOWNTYPE_FIELDMASK:
        AppendMask(*DynamicCastToGenerated<google::protobuf::FieldMask>(&message), out_);
        return absl::OkStatus();
      default:
        return IsWrapper(type) ? Value(message, type->FindFieldByNumber(1), -1) : Object(message);
    }
  }

  std::string* out_;
};

absl::Status CheckType(const Descriptor* type, absl::flat_hash_set<const Descriptor*>& seen) {
  if (!seen.insert(type).second) return absl::OkStatus();
  switch (type->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_STRUCT:
    case Descriptor::WELLKNOWNTYPE_VALUE:
    case Descriptor::WELLKNOWNTYPE_LISTVALUE:
      return absl::InternalError(absl::StrCat(type->full_name(), " has no JSON here"));
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
      break;
    default:
      return absl::OkStatus();
  }
  for (int i = 0; i < type->field_count(); ++i) {
    const Descriptor* inner = type->field(i)->message_type();
    const absl::Status checked = inner == nullptr ? absl::OkStatus() : CheckType(inner, seen);
    if (!checked.ok()) return checked;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AppendRestJson(const Message& message, std::string* out) {
  return Writer(out).Object(message);
}

absl::Status AppendRestMembers(const Message& message, std::string* out) {
  return Writer(out).Members(message);
}

absl::Status CheckRestType(const Descriptor* type) {
  absl::flat_hash_set<const Descriptor*> seen;
  return CheckType(type, seen);
}

}  // namespace semaphore::gateway
