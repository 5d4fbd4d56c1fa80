// Our status as gRPC's: code, message, and the details as google.rpc.Status in the trailing
// metadata.
#ifndef SEMAPHORE_GATEWAY_STATUS_H_
#define SEMAPHORE_GATEWAY_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace semaphore::gateway {

grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_STATUS_H_
