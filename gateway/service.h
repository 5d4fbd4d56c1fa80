// The gRPC services: one line per method that hands raw bytes to the engine. Nothing is parsed or
// decided here.
#ifndef SEMAPHORE_GATEWAY_SERVICE_H_
#define SEMAPHORE_GATEWAY_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "client/method_table.h"
#include "gateway/engine.h"

namespace semaphore::gateway {

// Every service of the API. INTERNAL when the table lacks a method. Engine, table and clock outlive
// the services.
absl::StatusOr<std::vector<std::unique_ptr<grpc::Service>>> MakeServices(
    const client::MethodTable& table, Engine& engine, const client::Clock& clock);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SERVICE_H_
