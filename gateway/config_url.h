// The few URLs of a configuration file: scheme, host, port and path, nothing else. Kept apart from
// the sections because it is a grammar of its own and gets its own table of good and bad texts.
#ifndef SEMAPHORE_GATEWAY_CONFIG_URL_H_
#define SEMAPHORE_GATEWAY_CONFIG_URL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/config.h"

namespace semaphore::gateway {

struct HttpUrl {
  HostPort address;  // the host in lower case
  std::string path;  // empty, or starts with '/' and does not end with one
};

// `SCHEME://HOST[:PORT][/PATH]`. Nothing when there is another scheme, a user, a query, a fragment,
// a percent sign, an empty or dot segment, or a port outside 1 to 65535.
// "https://Acme.example/api/" is {"acme.example", 443, "/api"}.
std::optional<HttpUrl> ParseHttpUrl(std::string_view url, std::string_view scheme,
                                    uint16_t default_port);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CONFIG_URL_H_
