// The credentials that a gRPC call carries: its `authorization` metadata or, without any, the names
// in its connection's verified certificate. The one place that looks for them; whose they are is
// the authenticator's business.
#ifndef SEMAPHORE_GATEWAY_SERVICE_CREDENTIALS_H_
#define SEMAPHORE_GATEWAY_SERVICE_CREDENTIALS_H_

#include <grpcpp/server_context.h>

#include "gateway/caller.h"

namespace semaphore::gateway {

Credentials CredentialsOf(const grpc::ServerContextBase& context);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SERVICE_CREDENTIALS_H_
