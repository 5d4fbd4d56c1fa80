#include "client/quote.h"

#include <cstdint>

namespace semaphore::client {
namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

void AppendEscaped(uint8_t byte, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += "\\x";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

}  // namespace

size_t Utf8CharacterLength(std::string_view text) {
  if (text.empty()) return 0;
  const uint8_t first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                        : first >= 0xE0 && first <= 0xEF ? 3
                        : first >= 0xF0 && first <= 0xF4 ? 4
                                                         : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  const uint8_t second = static_cast<uint8_t>(text[1]);
  if (first == 0xE0 && second < 0xA0) return 0;  // overlong
  if (first == 0xED && second > 0x9F) return 0;  // surrogates
  if (first == 0xF0 && second < 0x90) return 0;  // overlong
  if (first == 0xF4 && second > 0x8F) return 0;  // above U+10FFFF
  return length;
}

std::string Quote(std::string_view text, size_t max_bytes) {
  const std::string_view shown = Utf8Prefix(text, max_bytes);
  std::string out = "\"";
  for (size_t i = 0; i < shown.size();) {
    const size_t length = Utf8CharacterLength(shown.substr(i));
    const uint8_t byte = static_cast<uint8_t>(shown[i]);
    if (length == 0 || byte < 0x20 || byte == 0x7F || byte == '"' || byte == '\\') {
      AppendEscaped(byte, out);
      ++i;
    } else if (byte == 0xC2 && static_cast<uint8_t>(shown[i + 1]) < 0xA0) {
      AppendEscaped(byte, out);  // U+0080 to U+009F: terminals obey them as they do ESC
      AppendEscaped(static_cast<uint8_t>(shown[i + 1]), out);
      i += length;
    } else {
      out += shown.substr(i, length);
      i += length;
    }
  }
  if (shown.size() < text.size()) out += "…";
  out += '"';
  return out;
}

std::string_view Utf8Prefix(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  // A character has at most three continuation bytes; more than that is no UTF-8 and may be cut
  // anywhere.
  for (int back = 0; back < 3 && end > 0 && IsContinuation(text[end]); ++back) --end;
  return text.substr(0, end);
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = Utf8CharacterLength(text.substr(i));
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out += text.substr(i, length);
      i += length;
    }
  }
  return out;
}

}  // namespace semaphore::client
