#include "client/request_text.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::client {

std::string Authority(const std::string& host, uint16_t port, bool always_port) {
  const bool v6 = host.find(':') != std::string::npos;
  const std::string name = v6 ? absl::StrCat("[", host, "]") : host;
  return always_port || port != 443 ? absl::StrCat(name, ":", port) : name;
}

bool IsHeaderValue(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return (c < 0x20 && c != '\t') || c == 0x7f;  // CR, LF and NUL above all
  });
}

bool HasOnlyVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c != 0x7f; });
}

// What a caller could use to smuggle a second request or header into the first is never sent, nor
// quoted.
absl::Status CheckRequest(const HttpRequest& request) {
  const bool method =
      !request.method.empty() && std::all_of(request.method.begin(), request.method.end(),
                                             [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!method) return absl::InvalidArgumentError("request: the method is not a word of A to Z");
  if (!request.target.starts_with('/') || !HasOnlyVisible(request.target)) {
    return absl::InvalidArgumentError(
        "request: the target does not start with '/' or holds a space or control character");
  }
  const std::pair<const char*, std::string_view> values[] = {
      {"Content-Type", request.content_type},
      {"Authorization", request.authorization},
      {"traceparent", request.traceparent}};
  for (const auto& [name, value] : values) {
    if (IsHeaderValue(value)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("request: the value of ", name, " holds a control character"));
  }
  return absl::OkStatus();
}

std::string SerializeRequest(const HttpRequest& request, const std::string& host) {
  std::string bytes;
  bytes.reserve(512 + request.body.size());
  absl::StrAppend(&bytes, request.method, " ", request.target, " HTTP/1.1\r\nHost: ", host,
                  "\r\nUser-Agent: SemaphoreCI v2.0 Client\r\nAccept: application/json\r\n"
                  "Accept-Encoding: identity\r\n");
  const auto add = [&bytes](const char* name, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&bytes, name, ": ", value, "\r\n");
  };
  add("Authorization", request.authorization);
  add("traceparent", request.traceparent);
  add("Content-Type", request.content_type);
  if (!request.body.empty() || request.method == "POST" || request.method == "PATCH") {
    absl::StrAppend(&bytes, "Content-Length: ", request.body.size(), "\r\n");
  }
  absl::StrAppend(&bytes, "\r\n", request.body);
  return bytes;
}

}  // namespace semaphore::client
