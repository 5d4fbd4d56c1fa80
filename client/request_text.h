// The text of an HTTP/1.1 request, and what must not be in it. Pure; where the text goes is not its
// business.
#ifndef SEMAPHORE_CLIENT_REQUEST_TEXT_H_
#define SEMAPHORE_CLIENT_REQUEST_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/http_client.h"

namespace semaphore::client {

// "ci.test" and 443: "ci.test", or "ci.test:443" if `always_port`. "::1" and 8443: "[::1]:8443".
std::string Authority(const std::string& host, uint16_t port, bool always_port);

// No CR, LF, NUL or other control character: it cannot end a header.
bool IsHeaderValue(std::string_view text);

// Neither that nor a space: it cannot end a word of the request line.
bool HasOnlyVisible(std::string_view text);

// INVALID_ARGUMENT for what could smuggle a second request or header into the first. Does not quote
// it.
absl::Status CheckRequest(const HttpRequest& request);

// Head and body of a request that CheckRequest has passed; `host` is the value of the Host header.
std::string SerializeRequest(const HttpRequest& request, const std::string& host);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_REQUEST_TEXT_H_
