// The credentials that a gRPC call carries: its `authorization` metadata or, without any, the names
// in its connection's verified certificate. The one place that looks for them; whose they are is
// the authenticator's business.
#ifndef SEMAPHORE_GATEWAY_SERVICE_CREDENTIALS_H_
#define SEMAPHORE_GATEWAY_SERVICE_CREDENTIALS_H_

#include <grpcpp/server_context.h>

#include <string>
#include <vector>

#include "gateway/caller.h"

namespace semaphore::gateway {

Credentials CredentialsOf(const grpc::ServerContextBase& context);

// What the caller's certificate proves; empty without one. An authorization decides alone, so that
// callers who sent one need not pay for this.
std::vector<std::string> PeerCertificateNames(const grpc::ServerContextBase& context);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SERVICE_CREDENTIALS_H_
