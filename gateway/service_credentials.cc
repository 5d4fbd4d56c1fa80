#include "gateway/service_credentials.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/certificate_names.h"

namespace semaphore::gateway {

// gRPC has verified the certificate or ended the handshake.
std::vector<std::string> PeerCertificateNames(const grpc::ServerContextBase& context) {
  std::vector<std::string> names;
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return names;
  const auto add = [&](const char* property, std::string (*name_of)(std::string_view)) {
    for (const grpc::string_ref& value : auth->FindPropertyValues(property)) {
      std::string name = name_of({value.data(), value.size()});
      if (!name.empty() && names.size() < kMaxCertificateNames) names.push_back(std::move(name));
    }
  };
  add(GRPC_PEER_DNS_PROPERTY_NAME, &DnsCallerName);
  add(GRPC_PEER_URI_PROPERTY_NAME, &SpiffeCallerName);
  return names;
}

Credentials CredentialsOf(const grpc::ServerContextBase& context) {
  Credentials credentials;
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto entry = begin; entry != end; ++entry)
    credentials.authorization.emplace_back(entry->second.data(), entry->second.size());
  // An authorization decides alone, so that its callers do not pay for looking any further.
  if (credentials.authorization.empty()) {
    credentials.certificate_names = PeerCertificateNames(context);
  }
  return credentials;
}

}  // namespace semaphore::gateway
