#include "gateway/certificate_names.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kMaxDnsBytes = 253;
constexpr size_t kMaxLabelBytes = 63;
constexpr size_t kMaxSpiffeBytes = 2048;
constexpr std::string_view kSpiffe = "spiffe://";

// Parts between `separator`, each checked by `allowed`; none may be empty.
template <typename Allowed>
bool EachPart(std::string_view text, char separator, Allowed allowed) {
  while (true) {
    const size_t end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    if (part.empty() || !allowed(part)) return false;
    if (end == std::string_view::npos) return true;
    text.remove_prefix(end + 1);
  }
}

bool IsDnsLabel(std::string_view label) {
  return label.size() <= kMaxLabelBytes &&
         std::all_of(label.begin(), label.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_';
         });
}

bool IsTrustDomain(std::string_view domain) {
  return !domain.empty() && domain.size() <= 255 &&
         std::all_of(domain.begin(), domain.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-' ||
                  c == '_';
         });
}

bool IsSpiffeSegment(std::string_view segment) {
  return segment != "." && segment != ".." &&
         std::all_of(segment.begin(), segment.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
         });
}

std::string_view TextOf(const ASN1_IA5STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string NameOf(const GENERAL_NAME& entry) {
  if (entry.type == GEN_DNS) return DnsCallerName(TextOf(entry.d.dNSName));
  if (entry.type == GEN_URI) return SpiffeCallerName(TextOf(entry.d.uniformResourceIdentifier));
  return {};
}

}  // namespace

std::string DnsCallerName(std::string_view dns_name) {
  if (dns_name.size() > kMaxDnsBytes || !EachPart(dns_name, '.', IsDnsLabel)) return {};
  std::string name = "dns:";
  for (const char c : dns_name) name += absl::ascii_tolower(static_cast<unsigned char>(c));
  return name;
}

std::string SpiffeCallerName(std::string_view uri) {
  if (uri.size() > kMaxSpiffeBytes || uri.substr(0, kSpiffe.size()) != kSpiffe) return {};
  const std::string_view rest = uri.substr(kSpiffe.size());
  const size_t slash = rest.find('/');
  if (!IsTrustDomain(rest.substr(0, slash))) return {};
  if (slash != std::string_view::npos && !EachPart(rest.substr(slash + 1), '/', IsSpiffeSegment)) {
    return {};
  }
  return std::string(uri);
}

std::vector<std::string> CertificateNames(SSL* ssl) {
  std::vector<std::string> names;
  if ((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0) return names;
  if (SSL_get_verify_result(ssl) != X509_V_OK) return names;
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return names;
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> entries(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(entries.get()); ++i) {
    std::string name = NameOf(*sk_GENERAL_NAME_value(entries.get(), i));
    if (!name.empty() && names.size() < kMaxCertificateNames) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace semaphore::gateway
