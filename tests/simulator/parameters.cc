#include "tests/simulator/parameters.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace semaphore::simulator {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string DecodeFormText(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '+') {
      decoded += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 &&
               HexValue(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

// The value of `name="value"` or `name=value` behind a semicolon; empty when there is none.
std::string Attribute(std::string_view header, std::string_view name) {
  const std::string start = std::string(name) + "=";
  size_t found = header.find(start);
  while (found != std::string_view::npos &&
         (found == 0 || (header[found - 1] != ';' && header[found - 1] != ' '))) {
    found = header.find(start, found + 1);
  }
  if (found == std::string_view::npos) return {};
  std::string_view value = header.substr(found + start.size());
  const bool quoted = value.starts_with('"');
  if (quoted) value.remove_prefix(1);
  return std::string(value.substr(0, value.find_first_of(quoted ? "\"" : "; \r\n")));
}

}  // namespace

Pairs ParseForm(std::string_view text) {
  Pairs pairs;
  while (!text.empty()) {
    const size_t end = text.find('&');
    const std::string_view part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    pairs.emplace_back(DecodeFormText(part.substr(0, equals)), DecodeFormText(value));
  }
  return pairs;
}

std::string EncodeFormText(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded += c;
    } else if (c == ' ') {
      encoded += '+';
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

boost::json::object Nest(const Pairs& pairs) {
  boost::json::object nested;
  for (const auto& [name, value] : pairs) {
    const size_t open = name.find('[');
    if (open == std::string::npos || open == 0 || name.back() != ']') {
      nested[name] = value;
      continue;
    }
    const std::string inner = name.substr(open + 1, name.size() - open - 2);
    boost::json::value& outer = nested[name.substr(0, open)];
    if (inner.empty()) {
      if (!outer.is_array()) outer = boost::json::array();
      outer.get_array().emplace_back(boost::json::string(value));
    } else {
      if (!outer.is_object()) outer = boost::json::object();
      outer.get_object()[inner] = value;
    }
  }
  return nested;
}

Pairs ParseMultipart(std::string_view body, std::string_view content_type) {
  Pairs pairs;
  const std::string delimiter = "--" + Attribute(content_type, "boundary");
  if (delimiter.size() == 2) return pairs;
  const std::vector<std::string> parts = absl::StrSplit(std::string(body), delimiter);
  // Behind each delimiter a line end, headers, an empty line, the value, and a line end.
  for (size_t i = 1; i < parts.size() && !parts[i].starts_with("--"); i++) {
    const size_t head_end = parts[i].find("\r\n\r\n");
    if (head_end == std::string::npos || !parts[i].ends_with("\r\n")) continue;
    const std::string head = parts[i].substr(0, head_end);
    const std::string name = Attribute(head, "name");
    if (name.empty() || !Attribute(head, "filename").empty()) continue;
    const size_t begin = head_end + 4;
    if (begin + 2 > parts[i].size()) continue;
    pairs.emplace_back(name, parts[i].substr(begin, parts[i].size() - 2 - begin));
  }
  return pairs;
}

std::string_view PathOf(std::string_view target) { return target.substr(0, target.find('?')); }

std::string_view QueryOf(std::string_view target) {
  const size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

absl::StatusOr<boost::json::object> ParseParameters(const Request& request) {
  boost::json::object parameters = Nest(ParseForm(QueryOf(request.target)));
  const std::string type = absl::AsciiStrToLower(std::string(request.Header("content-type")));
  boost::json::object from_body;
  if (type.starts_with("application/x-www-form-urlencoded")) {
    from_body = Nest(ParseForm(request.body));
  } else if (type.starts_with("multipart/form-data")) {
    from_body = Nest(ParseMultipart(request.body, request.Header("content-type")));
  } else if (type.starts_with("application/json") && !request.body.empty()) {
    boost::system::error_code error;
    boost::json::value value = boost::json::parse(request.body, error);
    if (error) return absl::InvalidArgumentError("the JSON body cannot be read");
    if (value.is_object()) from_body = std::move(value.get_object());
  }
  for (const auto& [name, value] : from_body) parameters[name] = value;
  return parameters;
}

}  // namespace semaphore::simulator
