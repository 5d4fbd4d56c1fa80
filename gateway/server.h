// The gRPC server: listening, health, reflection, lifetimes of connections, graceful end. It knows
// nothing of what the services do.
#ifndef SEMAPHORE_GATEWAY_SERVER_H_
#define SEMAPHORE_GATEWAY_SERVER_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/config.h"
#include "gateway/inbound_tls.h"
#include "gateway/server_unknown_method.h"

namespace semaphore::gateway {

// Who gets in.
struct ServerAccess {
  UnknownMethodService::CheckCredentials check_credentials;
  const InboundTls* tls = nullptr;  // outlives the server; null: plaintext
};

class Server {
 public:
  // Listens when it returns. UNAVAILABLE when the address cannot be used.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const GrpcConfig& grpc, const LimitsConfig& limits,
      std::vector<std::unique_ptr<grpc::Service>> services, ServerAccess access);

  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const { return port_; }

  // Says NOT_SERVING to health checks, while calls are still answered.
  void SetNotServing();

  // Takes no new calls, lets those in hand finish within `grace`, then cancels them. Returns when
  // none is left.
  void Shutdown(absl::Duration grace);

 private:
  explicit Server(UnknownMethodService::CheckCredentials check_credentials)
      : unknown_method_(std::move(check_credentials)) {}

  std::vector<std::unique_ptr<grpc::Service>> services_;
  UnknownMethodService unknown_method_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<grpc::Server> server_;
  uint16_t port_ = 0;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SERVER_H_
