// Answers calls of methods that do not exist with an error of ours, METHOD_NOT_FOUND, or, to
// callers who are not known, with what they get from every method; gRPC itself would answer without
// any details.
#ifndef SEMAPHORE_GATEWAY_SERVER_UNKNOWN_METHOD_H_
#define SEMAPHORE_GATEWAY_SERVER_UNKNOWN_METHOD_H_

#include <grpcpp/generic/async_generic_service.h>

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "gateway/caller.h"

namespace semaphore::gateway {

class UnknownMethodService final : public grpc::CallbackGenericService {
 public:
  // OK, or why these credentials are nobody's. Empty: everybody is welcome.
  using CheckCredentials = std::function<absl::Status(const Credentials&)>;

  explicit UnknownMethodService(CheckCredentials check) : check_(std::move(check)) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  const CheckCredentials check_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SERVER_UNKNOWN_METHOD_H_
