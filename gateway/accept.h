// What a client says it takes, with Accept and Accept-Encoding: the same reading for the REST
// listener and for the pages of the admin port.
#ifndef SEMAPHORE_GATEWAY_ACCEPT_H_
#define SEMAPHORE_GATEWAY_ACCEPT_H_

#include <initializer_list>
#include <optional>
#include <string_view>

namespace semaphore::gateway {

// How much `header` (its value; several headers joined by commas) likes the most exact of `names`
// that it lists; they are in lower case, the most exact first. 0: refused, or malformed. Nothing:
// it lists none of them. A member with a version other than `version` is not one of them; "": any.
std::optional<double> AcceptedQuality(std::string_view header,
                                      std::initializer_list<std::string_view> names,
                                      std::string_view version = "");

// True for "gzip", "deflate, gzip;q=0.5" and "*"; false for "" and "gzip;q=0".
bool AcceptsGzip(std::string_view accept_encoding);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_ACCEPT_H_
