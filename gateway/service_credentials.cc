#include "gateway/service_credentials.h"

namespace semaphore::gateway {

Credentials CredentialsOf(const grpc::ServerContextBase& context) {
  Credentials credentials;
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto entry = begin; entry != end; ++entry)
    credentials.authorization.emplace_back(entry->second.data(), entry->second.size());
  return credentials;
}

}  // namespace semaphore::gateway
