#include "gateway/rest_value.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/quote.h"
#include "client/string_view.h"
#include "client/timestamp.h"

namespace semaphore::gateway {
namespace {

using client::Quote;
using client::ToAbsl;
using google::protobuf::Descriptor;
using google::protobuf::DynamicCastToGenerated;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxNanosDigits = 9;
constexpr size_t kMaxEnumNamesShown = 8;

absl::Status Expected(std::string_view what, std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("expected ", ToAbsl(what), ", got ", Quote(text)));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The whole of `text` as a number, nothing for anything else or what the type cannot hold.
template <typename Number>
std::optional<Number> Whole(std::string_view text) {
  Number number = 0;
  const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || last != text.data() + text.size() || error != std::errc())
    return std::nullopt;
  return number;
}

// An integer, also as "1e3" or "10.0", which JSON allows; those only as far as a double is exact.
template <typename Integer>
std::optional<Integer> ParseInteger(std::string_view text) {
  const bool negative_unsigned = std::is_unsigned_v<Integer> && text == "-0";
  if (negative_unsigned) return Integer{0};
  if (const std::optional<Integer> number = Whole<Integer>(text)) return number;
  if (text.find_first_of(".eE") == std::string_view::npos) return std::nullopt;
  constexpr double kExact = 9007199254740992.0;  // 2^53; it may already stand for 2^53 + 1
  const std::optional<double> number = Whole<double>(text);
  if (!number || std::trunc(*number) != *number || std::abs(*number) >= kExact) return std::nullopt;
  const auto whole = static_cast<int64_t>(*number);
  if (std::is_unsigned_v<Integer> && whole < 0) return std::nullopt;
  const auto narrow = static_cast<Integer>(whole);
  if (static_cast<int64_t>(narrow) != whole) return std::nullopt;
  return narrow;
}

template <typename Float>
std::optional<Float> ParseFloat(std::string_view text) {
  constexpr Float kInfinity = std::numeric_limits<Float>::infinity();
  if (text == "NaN") return std::numeric_limits<Float>::quiet_NaN();
  if (text == "Infinity") return kInfinity;
  if (text == "-Infinity") return -kInfinity;
  const std::optional<Float> number = Whole<Float>(text);  // takes "inf" and "nan", which JSON
                                                           // does not know
  if (!number || !std::isfinite(*number)) return std::nullopt;
  return number;
}

absl::Status SetTimestamp(std::string_view text, Message& message) {
  constexpr std::string_view kExpected = "a time like 2026-01-31T12:00:00Z";
  // The parser of upstream's times is laxer: numbers, a space for the T, any number of digits.
  const size_t point = text.find('.');
  size_t digits = 0;
  while (point != std::string_view::npos && point + 1 + digits < text.size() &&
         IsDigit(text[point + 1 + digits])) {
    ++digits;
  }
  const bool shaped = text.size() >= 20 && text[4] == '-' && (text[10] == 'T' || text[10] == 't');
  if (!shaped || digits > kMaxNanosDigits) return Expected(kExpected, text);
  const absl::StatusOr<client::Instant> instant = client::ParseInstantText(text);
  if (!instant.ok()) return Expected(kExpected, text);
  auto& time = *DynamicCastToGenerated<google::protobuf::Timestamp>(&message);
  time.set_seconds(instant->seconds);
  time.set_nanos(instant->nanos);
  return absl::OkStatus();
}

// "-1.5s": seconds and nanos of the same sign.
absl::Status SetDuration(std::string_view text, Message& message) {
  constexpr std::string_view kExpected = "a duration in seconds like 90s or 1.5s";
  constexpr int64_t kMaxSeconds = 315576000000;
  std::string_view rest = text;
  const bool negative = !rest.empty() && rest.front() == '-';
  if (negative) rest.remove_prefix(1);
  if (rest.empty() || rest.back() != 's') return Expected(kExpected, text);
  rest.remove_suffix(1);
  const size_t point = std::min(rest.find('.'), rest.size());
  const std::string_view fraction = rest.substr(std::min(point + 1, rest.size()));
  const bool digits_only = point > 0 && IsDigit(rest.front()) &&
                           std::all_of(fraction.begin(), fraction.end(), IsDigit) &&
                           (point == rest.size() || !fraction.empty());
  const std::optional<int64_t> seconds = Whole<int64_t>(rest.substr(0, point));
  if (!digits_only || fraction.size() > kMaxNanosDigits || !seconds || *seconds > kMaxSeconds)
    return Expected(kExpected, text);
  int32_t nanos = 0;
  for (size_t i = 0; i < kMaxNanosDigits; ++i)
    nanos = nanos * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
  if (*seconds == kMaxSeconds && nanos > 0) return Expected(kExpected, text);
  auto& duration = *DynamicCastToGenerated<google::protobuf::Duration>(&message);
  duration.set_seconds(negative ? -*seconds : *seconds);
  duration.set_nanos(negative ? -nanos : nanos);
  return absl::OkStatus();
}

// "nameSettings.aws" is "name_settings.aws", and so is that itself.
std::string SnakeCasePath(absl::string_view path) {
  std::string out;
  for (const char c : path) {
    const auto letter = static_cast<unsigned char>(c);
    if (absl::ascii_isupper(letter)) out += '_';
    out += static_cast<char>(absl::ascii_tolower(letter));
  }
  return out;
}

absl::Status SetFieldMask(std::string_view text, Message& message) {
  auto& mask = *DynamicCastToGenerated<google::protobuf::FieldMask>(&message);
  if (text.empty()) return absl::OkStatus();
  for (const absl::string_view path : absl::StrSplit(ToAbsl(text), ',')) {
    const bool clean = !path.empty() && std::all_of(path.begin(), path.end(), [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '*';
    });
    if (!clean) return Expected("names of fields joined by commas, or *", text);
    mask.add_paths(SnakeCasePath(path));
  }
  return absl::OkStatus();
}

absl::Status SetEnum(std::string_view text, const FieldDescriptor* field, Message& message) {
  const EnumDescriptor* type = field->enum_type();
  const google::protobuf::EnumValueDescriptor* value = type->FindValueByName(std::string(text));
  std::optional<int32_t> number;
  if (value != nullptr) number = value->number();
  if (!number) number = ParseInteger<int32_t>(text);
  if (!number) {
    std::string names = "one of ";
    for (int i = 0; i < type->value_count(); ++i) {
      if (static_cast<size_t>(i) == kMaxEnumNamesShown) {
        names += ", …";
        break;
      }
      absl::StrAppend(&names, i > 0 ? ", " : "", type->value(i)->name());
    }
    // What was got first: a long list may be cut.
    return absl::InvalidArgumentError(
        absl::StrCat(Quote(text), " is no ", type->name(), "; expected ", names));
  }
  const Reflection* reflection = message.GetReflection();
  field->is_repeated() ? reflection->AddEnumValue(&message, field, *number)
                       : reflection->SetEnumValue(&message, field, *number);
  return absl::OkStatus();
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = client::Utf8CharacterLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

absl::Status SetString(std::string text, const FieldDescriptor* field, Message& message) {
  const Reflection* reflection = message.GetReflection();
  field->is_repeated() ? reflection->AddString(&message, field, std::move(text))
                       : reflection->SetString(&message, field, std::move(text));
  return absl::OkStatus();
}

absl::Status SetBytes(std::string_view text, const FieldDescriptor* field, Message& message) {
  std::string bytes;
  // The first alphabet has + and /, the second - and _; padding may be left out of both.
  const bool web = text.find_first_of("-_") != std::string_view::npos;
  const bool decoded = web ? absl::WebSafeBase64Unescape(ToAbsl(text), &bytes)
                           : absl::Base64Unescape(ToAbsl(text), &bytes);
  const bool lax = std::any_of(text.begin(), text.end(), [](char c) {
    return c == '.' || absl::ascii_isspace(static_cast<unsigned char>(c));
  });
  if (!decoded || lax) return absl::InvalidArgumentError("expected base64");
  return SetString(std::move(bytes), field, message);
}

template <typename Number, typename Set, typename Add>
absl::Status SetNumber(const std::optional<Number>& number, std::string_view expected,
                       std::string_view text, const FieldDescriptor* field, Message& message,
                       Set set, Add add) {
  if (!number) return Expected(expected, text);
  const Reflection* reflection = message.GetReflection();
  field->is_repeated() ? (reflection->*add)(&message, field, *number)
                       : (reflection->*set)(&message, field, *number);
  return absl::OkStatus();
}

absl::Status SetScalar(std::string_view text, const FieldDescriptor* field, Message& message) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return SetNumber(ParseInteger<int32_t>(text), "a 32-bit integer", text, field, message,
                       &Reflection::SetInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return SetNumber(ParseInteger<int64_t>(text), "a 64-bit integer", text, field, message,
                       &Reflection::SetInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return SetNumber(ParseInteger<uint32_t>(text), "an unsigned 32-bit integer", text, field,
                       message, &Reflection::SetUInt32, &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetNumber(ParseInteger<uint64_t>(text), "an unsigned 64-bit integer", text, field,
                       message, &Reflection::SetUInt64, &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return SetNumber(ParseFloat<double>(text), "a number", text, field, message,
                       &Reflection::SetDouble, &Reflection::AddDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return SetNumber(ParseFloat<float>(text), "a number", text, field, message,
                       &Reflection::SetFloat, &Reflection::AddFloat);
    case FieldDescriptor::CPPTYPE_BOOL: {
      std::optional<bool> flag;
      if (text == "true" || text == "false") flag = text == "true";
      return SetNumber(flag, "true or false", text, field, message, &Reflection::SetBool,
                       &Reflection::AddBool);
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(text, field, message);
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->type() == FieldDescriptor::TYPE_BYTES) return SetBytes(text, field, message);
      if (!IsUtf8(text)) return absl::InvalidArgumentError("expected UTF-8");
      return SetString(std::string(text), field, message);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return absl::InvalidArgumentError("a message has no text");
}

// How many letters must be inserted, removed or exchanged to make one name the other.
size_t Distance(absl::string_view one, absl::string_view other) {
  std::vector<size_t> row(other.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= one.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j < row.size(); ++j) {
      const size_t change = diagonal + (one[i - 1] == other[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

bool IsWrapper(const Descriptor* type) {
  switch (type->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_DOUBLEVALUE:
    case Descriptor::WELLKNOWNTYPE_FLOATVALUE:
    case Descriptor::WELLKNOWNTYPE_INT64VALUE:
    case Descriptor::WELLKNOWNTYPE_UINT64VALUE:
    case Descriptor::WELLKNOWNTYPE_INT32VALUE:
    case Descriptor::WELLKNOWNTYPE_UINT32VALUE:
    case Descriptor::WELLKNOWNTYPE_STRINGVALUE:
    case Descriptor::WELLKNOWNTYPE_BYTESVALUE:
    case Descriptor::WELLKNOWNTYPE_BOOLVALUE:
      return true;
    default:
      return false;
  }
}

bool IsTextual(const FieldDescriptor* field) {
  const Descriptor* type = field->message_type();
  if (type == nullptr) return true;
  return type->well_known_type() == Descriptor::WELLKNOWNTYPE_TIMESTAMP ||
         type->well_known_type() == Descriptor::WELLKNOWNTYPE_DURATION ||
         type->well_known_type() == Descriptor::WELLKNOWNTYPE_FIELDMASK || IsWrapper(type);
}

absl::Status SetFromText(std::string_view text, const FieldDescriptor* field, Message& message) {
  const Descriptor* type = field->message_type();
  if (type == nullptr) return SetScalar(text, field, message);
  const Reflection* reflection = message.GetReflection();
  Message& value = *(field->is_repeated() ? reflection->AddMessage(&message, field)
                                          : reflection->MutableMessage(&message, field));
  switch (type->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return SetTimestamp(text, value);
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return SetDuration(text, value);
    case Descriptor::WELLKNOWNTYPE_FIELDMASK:
      return SetFieldMask(text, value);
    default:
      return SetScalar(text, type->FindFieldByNumber(1), value);
  }
}

const FieldDescriptor* FindRestField(const Descriptor* type, std::string_view name) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->json_name() == name || field->name() == name) return field;
  }
  return nullptr;
}

std::string DidYouMean(const Descriptor* type, std::string_view name) {
  constexpr size_t kLongestName = 64;
  if (name.size() > kLongestName) return "";
  const FieldDescriptor* nearest = nullptr;
  size_t least = std::min<size_t>(3, name.size());  // more than that is another word
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const size_t distance =
        std::min(Distance(ToAbsl(name), field->json_name()), Distance(ToAbsl(name), field->name()));
    if (distance >= least) continue;
    least = distance;
    nearest = field;
  }
  return nearest == nullptr ? "" : absl::StrCat(" (did you mean \"", nearest->json_name(), "\"?)");
}

std::string ShownName(std::string_view name) {
  constexpr size_t kMaxShownBytes = 64;
  const bool plain = !name.empty() && name.size() <= kMaxShownBytes &&
                     std::all_of(name.begin(), name.end(), [](char c) {
                       return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' ||
                              c == '.' || c == '-';
                     });
  return plain ? std::string(name) : Quote(name, kMaxShownBytes);
}

}  // namespace semaphore::gateway
