#include "gateway/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/server_credentials.h"

namespace semaphore::gateway {
namespace {

constexpr int kOwnPingMilliseconds = 60000;  // finds clients that vanished without a word
constexpr int kPingTimeoutMilliseconds = 20000;
constexpr int kHandshakeMilliseconds = 20000;
constexpr int kConcurrentStreamsPerConnection = 1000;

void SetLifetimes(const GrpcConfig& config, grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             static_cast<int>(config.max_connection_age.count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             static_cast<int>(config.max_connection_age_grace.count()));
  // Clients ping to keep idle connections through firewalls; that is no abuse at the configured
  // interval.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             static_cast<int>(config.keepalive_min_ping_interval.count()));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kOwnPingMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kConcurrentStreamsPerConnection);
  // Without this a second gateway on the same port would start happily and take every other
  // connection.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Nobody can ask for gRPC's own statistics here, and replies are never compressed: without both,
  // a call passes through less.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const GrpcConfig& config, const LimitsConfig& limits,
    std::vector<std::unique_ptr<grpc::Service>> services, ServerAccess access) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<Server> server(new Server(std::move(access.check_credentials)));
  server->services_ = std::move(services);
  grpc::ServerBuilder builder;
  int port = 0;
  server->credentials_ = access.tls == nullptr ? grpc::InsecureServerCredentials()
                                               : MakeServerCredentials(*access.tls);
  builder.AddListeningPort(ToString(config.address), server->credentials_, &port);
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits.max_message_bytes));
  SetLifetimes(config, builder);
  for (const std::unique_ptr<grpc::Service>& service : server->services_)
    builder.RegisterService(service.get());
  builder.RegisterCallbackGenericService(&server->unknown_method_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen for gRPC on ",
                                               ToString(config.address),
                                               ": the address is in use or not of this machine"));
  }
  server->port_ = static_cast<uint16_t>(port);
  server->server_->GetHealthCheckService()->SetServingStatus(true);
  return server;
}

Server::~Server() {
  if (server_ != nullptr) Shutdown(absl::ZeroDuration());
}

void Server::SetNotServing() { server_->GetHealthCheckService()->SetServingStatus(false); }

void Server::Shutdown(absl::Duration grace) {
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
}

}  // namespace semaphore::gateway
