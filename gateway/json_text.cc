#include "gateway/json_text.h"

#include "client/quote.h"

namespace semaphore::gateway {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How many bytes at the front are printable ASCII that stands for itself.
size_t PlainLength(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') return i;
  }
  return text.size();
}

}  // namespace

std::string RepairUtf8(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    const size_t length = client::Utf8CharacterLength(text);
    const std::string_view piece = length > 0 ? text.substr(0, length) : kReplacement;
    if (out.size() + piece.size() > max_bytes) break;
    out.append(piece);
    text.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

void AppendJsonString(std::string* out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  while (!text.empty()) {
    // Most of a long text needs nothing and is copied as one piece.
    const size_t plain = PlainLength(text);
    out->append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const size_t length = client::Utf8CharacterLength(text);
    const unsigned char c = static_cast<unsigned char>(text.front());
    if (length == 0) {
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
      out->append(text.substr(0, length));
    }
    text.remove_prefix(length > 0 ? length : 1);
  }
  out->push_back('"');
}

}  // namespace semaphore::gateway
