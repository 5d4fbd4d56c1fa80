// The names that a verified client certificate gives its caller: "dns:web.internal" for a DNS name,
// "spiffe://example.org/web" for a SPIFFE id, both from the subject's alternative names and from
// nowhere else: no common name, no address, no wildcard. What such a name may do is not decided
// here.
#ifndef SEMAPHORE_GATEWAY_CERTIFICATE_NAMES_H_
#define SEMAPHORE_GATEWAY_CERTIFICATE_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

struct ssl_st;  // OpenSSL's SSL

namespace semaphore::gateway {

// Of one certificate; further ones are not looked at.
inline constexpr size_t kMaxCertificateNames = 20;

// DnsCallerName("Web.Internal") is "dns:web.internal". Empty for what names no single host: a
// wildcard, an empty label, other characters than letters, digits, '-' and '_', more than 253
// bytes.
std::string DnsCallerName(std::string_view dns_name);

// SpiffeCallerName("spiffe://example.org/web") is the same text. Empty for any other URI and for a
// SPIFFE id that breaks its own standard (a port, a query, an empty segment, "..", over 2048
// bytes).
std::string SpiffeCallerName(std::string_view uri);

// Of the peer of a finished handshake in which certificates were asked for and verified; empty when
// it gave none, or one without such names.
std::vector<std::string> CertificateNames(ssl_st* ssl);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CERTIFICATE_NAMES_H_
