// Answers calls of methods that do not exist with an error of ours, METHOD_NOT_FOUND; gRPC itself
// would answer without any details.
#ifndef SEMAPHORE_GATEWAY_SERVER_UNKNOWN_METHOD_H_
#define SEMAPHORE_GATEWAY_SERVER_UNKNOWN_METHOD_H_

#include <grpcpp/generic/async_generic_service.h>

namespace semaphore::gateway {

class UnknownMethodService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SERVER_UNKNOWN_METHOD_H_
