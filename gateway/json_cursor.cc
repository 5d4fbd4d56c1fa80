#include "gateway/json_cursor.h"

#include "absl/strings/str_cat.h"
#include "client/quote.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

using client::ToAbsl;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(unsigned point, std::string& out) {
  const auto tail = [&out](unsigned bits) { out += static_cast<char>(0x80u | (bits & 0x3Fu)); };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0u | (point >> 6u));
    tail(point);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0u | (point >> 12u));
    tail(point >> 6u);
    tail(point);
  } else {
    out += static_cast<char>(0xF0u | (point >> 18u));
    tail(point >> 12u);
    tail(point >> 6u);
    tail(point);
  }
}

std::string_view WordOf(JsonKind kind) {
  if (kind == JsonKind::kTrue) return "true";
  return kind == JsonKind::kFalse ? "false" : "null";
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

std::string_view JsonKindName(JsonKind kind) {
  switch (kind) {
    case JsonKind::kObject:
      return "an object";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kNumber:
      return "a number";
    case JsonKind::kTrue:
      return "true";
    case JsonKind::kFalse:
      return "false";
    case JsonKind::kNull:
      return "null";
    case JsonKind::kNone:
      break;
  }
  return "nothing";
}

JsonKind JsonCursor::Peek() {
  SkipSpace();
  if (position_ == text_.size()) return JsonKind::kNone;
  const std::string_view rest = text_.substr(position_);
  switch (rest.front()) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    default:
      break;
  }
  if (rest.front() == '-' || IsDigit(rest.front())) return JsonKind::kNumber;
  for (const JsonKind kind : {JsonKind::kTrue, JsonKind::kFalse, JsonKind::kNull}) {
    if (StartsWith(rest, WordOf(kind))) return kind;
  }
  return JsonKind::kNone;
}

void JsonCursor::TakeWord(JsonKind kind) { position_ += WordOf(kind).size(); }

absl::StatusOr<std::string> JsonCursor::TakeString() {
  ++position_;
  std::string out;
  for (size_t begin = position_;;) {
    if (position_ == text_.size()) return Wrong("a string without its end");
    const char c = text_[position_];
    if (c == '"' || c == '\\') {
      out.append(text_.substr(begin, position_ - begin));
      ++position_;
      if (c == '"') return out;
      const absl::Status taken = TakeEscape(out);
      if (!taken.ok()) return taken;
      begin = position_;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      return Wrong("a control character in a string; it must be escaped");
    } else if (static_cast<unsigned char>(c) < 0x80) {
      ++position_;
    } else {
      const size_t length = client::Utf8CharacterLength(text_.substr(position_));
      if (length == 0) return Wrong("a byte that is no UTF-8");
      position_ += length;
    }
  }
}

// What stands behind the backslash.
absl::Status JsonCursor::TakeEscape(std::string& out) {
  constexpr std::string_view kLetters = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (position_ == text_.size()) return Wrong("a string without its end");
  const size_t letter = kLetters.find(text_[position_]);
  if (letter != std::string_view::npos) {
    out += kMeanings[letter];
    ++position_;
    return absl::OkStatus();
  }
  if (!At('u')) return Wrong("a backslash before a character that needs none");
  const absl::StatusOr<unsigned> first = TakeHex();
  if (!first.ok()) return first.status();
  if (*first < 0xD800 || *first > 0xDFFF) {
    AppendUtf8(*first, out);
    return absl::OkStatus();
  }
  if (*first > 0xDBFF || !StartsWith(text_.substr(position_), "\\u"))
    return Wrong("half of a surrogate pair");
  ++position_;
  const absl::StatusOr<unsigned> second = TakeHex();
  if (!second.ok()) return second.status();
  if (*second < 0xDC00 || *second > 0xDFFF) return Wrong("half of a surrogate pair");
  AppendUtf8(0x10000 + ((*first - 0xD800) << 10u) + (*second - 0xDC00), out);
  return absl::OkStatus();
}

// The 'u' of an escape and its four digits.
absl::StatusOr<unsigned> JsonCursor::TakeHex() {
  ++position_;
  if (text_.size() - position_ < 4) return Wrong("\\u needs four hexadecimal digits");
  unsigned number = 0;
  for (const char c : text_.substr(position_, 4)) {
    number *= 16;
    if (IsDigit(c)) {
      number += static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      number += static_cast<unsigned>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      number += static_cast<unsigned>(c - 'A') + 10;
    } else {
      return Wrong("\\u needs four hexadecimal digits");
    }
  }
  position_ += 4;
  return number;
}

size_t JsonCursor::SkipDigits() {
  const size_t begin = position_;
  while (position_ < text_.size() && IsDigit(text_[position_])) ++position_;
  return position_ - begin;
}

absl::StatusOr<std::string_view> JsonCursor::TakeNumber() {
  const size_t begin = position_;
  if (At('-')) ++position_;
  const bool zero = At('0');
  const size_t digits = SkipDigits();
  if (digits == 0) return Wrong("a number without digits");
  if (zero && digits > 1) return Wrong("a number that begins with 0");
  if (At('.')) {
    ++position_;
    if (SkipDigits() == 0) return Wrong("a number without digits behind its point");
  }
  if (At('e') || At('E')) {
    ++position_;
    if (At('+') || At('-')) ++position_;
    if (SkipDigits() == 0) return Wrong("a number without digits in its exponent");
  }
  return text_.substr(begin, position_ - begin);
}

absl::StatusOr<bool> JsonCursor::More(bool first, char closing) {
  SkipSpace();
  if (At(closing)) {
    ++position_;
    return false;
  }
  if (first) return true;
  if (!At(',')) return Wrong(absl::StrCat("expected , or ", std::string(1, closing)));
  ++position_;
  SkipSpace();
  if (At(closing)) return Wrong("a comma behind the last one");
  return true;
}

absl::StatusOr<std::string> JsonCursor::TakeName() {
  if (Peek() != JsonKind::kString) return Wrong("expected the name of a member in double quotes");
  absl::StatusOr<std::string> name = TakeString();
  if (!name.ok()) return name;
  SkipSpace();
  if (!At(':')) return Wrong("expected : behind the name of a member");
  ++position_;
  return name;
}

absl::Status JsonCursor::CheckEnd() {
  SkipSpace();
  return position_ == text_.size() ? absl::OkStatus() : Wrong("more behind the end of the value");
}

absl::Status JsonCursor::NoValue() const {
  const std::string_view rest = text_.substr(position_);
  if (StartsWith(rest, "NaN") || StartsWith(rest, "Infinity"))
    return Wrong("NaN and Infinity are not JSON");
  return Wrong(rest.empty() ? "the text ends where a value is expected" : "expected a value");
}

absl::Status JsonCursor::Wrong(std::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat("not JSON at byte ", position_, ": ", ToAbsl(what)));
}

void JsonCursor::SkipSpace() {
  while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n' ||
                                      text_[position_] == '\r' || text_[position_] == '\t')) {
    ++position_;
  }
}

}  // namespace semaphore::gateway
