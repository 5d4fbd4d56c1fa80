#include "gateway/config_url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace semaphore::gateway {
namespace {

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= 253 && IsAlnum(host.front()) && IsAlnum(host.back()) &&
         host.find("..") == std::string_view::npos &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return IsAlnum(c) || c == '.' || c == '-' || c == '_'; });
}

bool IsPath(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // the '/'
    const std::string_view segment = path.substr(0, path.find('/'));
    const bool plain = std::all_of(segment.begin(), segment.end(), [](char c) {
      return IsAlnum(c) || c == '.' || c == '-' || c == '_' || c == '~';
    });
    if (segment.empty() || segment == "." || segment == ".." || !plain) return false;
    path.remove_prefix(segment.size());
  }
  return true;
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint32_t port = 0;
  const bool digits = !text.empty() && text.size() <= 5 &&
                      text.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits || !absl::SimpleAtoi(std::string(text), &port)) return std::nullopt;
  if (port == 0 || port > 65535) return std::nullopt;
  return static_cast<uint16_t>(port);
}

}  // namespace

std::optional<HttpUrl> ParseHttpUrl(std::string_view url, std::string_view scheme,
                                    uint16_t default_port) {
  const std::string prefix = std::string(scheme) + "://";
  if (!url.starts_with(prefix)) return std::nullopt;
  url.remove_prefix(prefix.size());
  const size_t slash = std::min(url.find('/'), url.size());
  std::string_view authority = url.substr(0, slash);
  std::string_view path = url.substr(slash);
  if (path.ends_with('/')) path.remove_suffix(1);
  if (!IsPath(path)) return std::nullopt;

  std::string host;
  if (authority.starts_with('[')) {
    const size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    host = authority.substr(1, bracket - 1);
    authority.remove_prefix(bracket + 1);
    in6_addr scratch;
    if (inet_pton(AF_INET6, host.c_str(), &scratch) != 1) return std::nullopt;
  } else {
    host = authority.substr(0, authority.find(':'));
    authority.remove_prefix(host.size());
    if (!IsHostName(host)) return std::nullopt;
  }
  absl::AsciiStrToLower(&host);
  std::optional<uint16_t> port = default_port;
  if (!authority.empty()) {
    port = authority.front() == ':' ? ParsePort(authority.substr(1)) : std::nullopt;
  }
  if (!port.has_value()) return std::nullopt;
  return HttpUrl{{std::move(host), *port}, std::string(path)};
}

}  // namespace semaphore::gateway
