#include "gateway/json_text.h"

#include <cstdint>

namespace semaphore::gateway {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

Utf8Unit NextUtf8(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, true};
  // The smallest code point of each length refuses overlong forms.
  size_t length = 0;
  uint32_t smallest = 0;
  uint32_t code = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2, smallest = 0x80, code = lead & 0x1Fu;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3, smallest = 0x800, code = lead & 0x0Fu;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4, smallest = 0x10000, code = lead & 0x07u;
  } else {
    return {1, false};
  }
  if (text.size() < length) return {1, false};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return {1, false};
    code = (code << 6u) | (byte(i) & 0x3Fu);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < smallest || code > 0x10FFFF || surrogate) return {1, false};
  return {length, true};
}

std::string RepairUtf8(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    const Utf8Unit unit = NextUtf8(text);
    const std::string_view piece = unit.valid ? text.substr(0, unit.length) : kReplacement;
    if (out.size() + piece.size() > max_bytes) break;
    out.append(piece);
    text.remove_prefix(unit.length);
  }
  return out;
}

void AppendJsonString(std::string* out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  while (!text.empty()) {
    const Utf8Unit unit = NextUtf8(text);
    const unsigned char c = static_cast<unsigned char>(text.front());
    if (!unit.valid) {
      out->append(kReplacement);
    } else if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(text.front());
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (c < 0x20 || c == 0x7F) {
      out->append("\\u00");
      out->push_back(kHex[c >> 4u]);
      out->push_back(kHex[c & 0xFu]);
    } else {
      out->append(text.substr(0, unit.length));
    }
    text.remove_prefix(unit.length);
  }
  out->push_back('"');
}

}  // namespace semaphore::gateway
