// The credentials with which the gRPC server listens under TLS: each new connection gets what
// InboundTls has in force. gRPC's own watcher of files is not used: it forgets the old pair before
// it has tried the new one, so that half a rotation closes the port, and it notices changes by
// whole seconds of modification time.
#ifndef SEMAPHORE_GATEWAY_SERVER_CREDENTIALS_H_
#define SEMAPHORE_GATEWAY_SERVER_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "gateway/inbound_tls.h"

namespace semaphore::gateway {

// For one listening port. They and `tls` outlive the server.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const InboundTls& tls);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SERVER_CREDENTIALS_H_
