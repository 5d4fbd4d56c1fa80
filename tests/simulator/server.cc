#include "tests/simulator/server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "tests/simulator/connection.h"

namespace semaphore::simulator {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

absl::Status Failed(const std::string& what, const error_code& error) {
  return absl::UnavailableError(what + ": " + error.message());
}

absl::Status SetUp(asio::ssl::context& tls, const ServerOptions& options) {
  error_code error;
  tls.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, error);
  if (error) return Failed("cannot set TLS versions", error);
  tls.use_certificate_chain(asio::buffer(options.certificate_pem), error);
  if (error) return Failed("cannot use the certificate", error);
  tls.use_private_key(asio::buffer(options.key_pem), asio::ssl::context::pem, error);
  if (error) return Failed("cannot use the private key", error);
  // Without a context id OpenSSL would not resume sessions in every configuration.
  constexpr unsigned char kSessionContext[] = "simulator";
  SSL_CTX_set_session_id_context(tls.native_handle(), kSessionContext, sizeof(kSessionContext) - 1);
  return absl::OkStatus();
}

}  // namespace

struct Server::Impl {
  Impl(ServerOptions server_options, ServerParts server_parts)
      : options(std::move(server_options)), parts(std::move(server_parts)) {}

  const ServerOptions options;
  ServerParts parts;
  HoldGate gate;
  uint16_t port = 0;
  asio::ssl::context tls{asio::ssl::context::tls_server};
  // Last but for the thread: its destructor ends the coroutines, which use everything above.
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  std::thread thread;

  absl::Status Listen();
  asio::awaitable<void> Accept();
};

absl::Status Server::Impl::Listen() {
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) return Failed("cannot read the address " + options.address, error);
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return Failed("cannot listen on " + options.address + " port " + std::to_string(options.port),
                  error);
  }
  port = acceptor.local_endpoint(error).port();
  return absl::OkStatus();
}

asio::awaitable<void> Server::Impl::Accept() {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kAwait);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      // Out of descriptors, most likely: without a pause this loop would starve those that could
      // give some back.
      asio::steady_timer pause(io, std::chrono::milliseconds(10));
      co_await pause.async_wait(kAwait);
      continue;
    }
    // A reply is written in pieces; waiting for acknowledgements between them would cost 40 ms
    // each.
    boost::system::error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    asio::co_spawn(io, ServeConnection(std::move(socket), tls, options, parts, gate),
                   asio::detached);
  }
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, ServerParts parts) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(parts));
  absl::Status status = SetUp(impl->tls, impl->options);
  if (status.ok()) status = impl->Listen();
  if (!status.ok()) return status;
  asio::co_spawn(impl->io, impl->Accept(), asio::detached);
  impl->thread = std::thread([io = &impl->io] { io->run(); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  impl_->io.stop();
  impl_->thread.join();
}

uint16_t Server::port() const { return impl_->port; }

void Server::ReleaseHeld() {
  asio::post(impl_->io, [gate = &impl_->gate] { gate->ReleaseAll(); });
}

}  // namespace semaphore::simulator
