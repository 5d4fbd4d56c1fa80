#include "tests/client/scripted_tls_server.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace semaphore::client {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kPatience{60};

// The size of the first request in `text`, header and body; npos while it is not whole.
size_t RequestSize(const std::string& text) {
  const size_t head = text.find("\r\n\r\n");
  if (head == std::string::npos) return std::string::npos;
  size_t length = 0;
  const std::string name = "Content-Length: ";
  const size_t field = text.find(name);
  if (field < head) {
    const char* begin = text.data() + field + name.size();
    std::from_chars(begin, text.data() + head, length);
  }
  const size_t size = head + 4 + length;
  return size <= text.size() ? size : std::string::npos;
}

// Makes the close a RST.
void SetLinger(tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
}

}  // namespace

struct ScriptedTlsServer::State {
  explicit State(std::vector<Script> scripts) : scripts(std::move(scripts)) {}

  struct Connection {
    Connection(tcp::socket socket, asio::ssl::context& context) : tls(std::move(socket), context) {}
    asio::ssl::stream<tcp::socket> tls;
    bool secured = false;
    std::string input;
  };

  asio::awaitable<void> Accept();
  asio::awaitable<void> Play(tcp::socket socket, size_t number);
  // False when the connection is over.
  asio::awaitable<bool> Perform(Connection& connection, const Step& step);
  asio::awaitable<bool> Shake(Connection& connection);
  asio::awaitable<bool> ReadMore(Connection& connection);
  asio::awaitable<bool> ReadRequest(Connection& connection);
  asio::awaitable<bool> Write(Connection& connection, std::string bytes);
  asio::awaitable<bool> Hold(Connection& connection);

  const std::vector<Script> scripts;
  asio::io_context io{1};
  asio::ssl::context context{asio::ssl::context::tls_server};
  tcp::acceptor acceptor{io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  asio::steady_timer held{io, std::chrono::steady_clock::time_point::max()};
  bool resumed = false;
  std::thread thread;

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::vector<std::string> requests;
  std::vector<std::string> server_names;
  size_t accepted = 0;
  size_t open = 0;
  size_t most_open = 0;
  size_t quiet = 0;
};

asio::awaitable<void> ScriptedTlsServer::State::Accept() {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kToken);
    if (error) co_return;
    // Or Nagle's algorithm keeps the second of two replies back.
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    size_t number = 0;
    {
      const std::scoped_lock lock(mutex);
      number = accepted++;
      most_open = std::max(most_open, ++open);
    }
    asio::co_spawn(io, Play(std::move(socket), number), asio::detached);
  }
}

asio::awaitable<void> ScriptedTlsServer::State::Play(tcp::socket socket, size_t number) {
  {
    Connection connection(std::move(socket), context);
    const Script& script = scripts[std::min(number, scripts.size() - 1)];
    for (const Step& step : script) {
      const bool more = co_await Perform(connection, step);
      if (!more) break;
    }
  }
  const std::scoped_lock lock(mutex);
  --open;
  changed.notify_all();
}

asio::awaitable<bool> ScriptedTlsServer::State::Perform(Connection& connection, const Step& step) {
  bool more = true;
  switch (step.kind) {
    case Step::Kind::kHandshake:
      co_return co_await Shake(connection);
    case Step::Kind::kReadSome:
      co_return co_await ReadMore(connection);
    case Step::Kind::kReadRequest:
      co_return co_await ReadRequest(connection);
    case Step::Kind::kReply:
      co_return co_await Write(connection, step.bytes);
    case Step::Kind::kTrickle:
      for (size_t i = 0; more && i < step.bytes.size(); ++i) {
        more = co_await Write(connection, step.bytes.substr(i, 1));
      }
      co_return more;
    case Step::Kind::kServe:
      while (more) {
        more = co_await ReadRequest(connection);
        if (more) more = co_await Write(connection, step.bytes);
      }
      co_return false;
    case Step::Kind::kHold:
      more = co_await Hold(connection);
      co_return more;
    case Step::Kind::kSilence: {
      {
        const std::scoped_lock lock(mutex);
        ++quiet;
      }
      while (more) more = co_await ReadMore(connection);
      co_return false;
    }
    case Step::Kind::kGoodbye:
      // asio's own shutdown would wait for the client's; sending ours is enough.
      co_await connection.tls.async_shutdown(kToken);
      co_return false;
    case Step::Kind::kReset:
      SetLinger(connection.tls.next_layer());
      co_return false;
  }
  co_return false;
}

asio::awaitable<bool> ScriptedTlsServer::State::Shake(Connection& connection) {
  auto [error] = co_await connection.tls.async_handshake(asio::ssl::stream_base::server, kToken);
  if (error) co_return false;
  connection.secured = true;
  const char* name = SSL_get_servername(connection.tls.native_handle(), TLSEXT_NAMETYPE_host_name);
  const std::scoped_lock lock(mutex);
  server_names.emplace_back(name != nullptr ? name : "");
  co_return true;
}

asio::awaitable<bool> ScriptedTlsServer::State::ReadMore(Connection& connection) {
  char bytes[16 << 10];
  if (connection.secured) {
    auto [error, size] = co_await connection.tls.async_read_some(asio::buffer(bytes), kToken);
    connection.input.append(bytes, size);
    co_return !error;
  }
  auto [error, size] =
      co_await connection.tls.next_layer().async_read_some(asio::buffer(bytes), kToken);
  connection.input.append(bytes, size);
  co_return !error;
}

asio::awaitable<bool> ScriptedTlsServer::State::ReadRequest(Connection& connection) {
  while (RequestSize(connection.input) == std::string::npos) {
    const bool more = co_await ReadMore(connection);
    if (!more) co_return false;
  }
  const size_t size = RequestSize(connection.input);
  const std::scoped_lock lock(mutex);
  requests.push_back(connection.input.substr(0, size));
  connection.input.erase(0, size);
  co_return true;
}

asio::awaitable<bool> ScriptedTlsServer::State::Write(Connection& connection, std::string bytes) {
  if (connection.secured) {
    auto [error, size] = co_await asio::async_write(connection.tls, asio::buffer(bytes), kToken);
    co_return !error;
  }
  auto [error, size] =
      co_await asio::async_write(connection.tls.next_layer(), asio::buffer(bytes), kToken);
  co_return !error;
}

asio::awaitable<bool> ScriptedTlsServer::State::Hold(Connection& connection) {
  {
    const std::scoped_lock lock(mutex);
    ++quiet;
  }
  if (!resumed) co_await held.async_wait(kToken);
  bool more = true;
  while (more) {
    more = co_await ReadMore(connection);
    connection.input.clear();
  }
  co_return false;
}

ScriptedTlsServer::ScriptedTlsServer(const Tls& tls, std::vector<Script> scripts)
    : state_(std::make_unique<State>(std::move(scripts))) {
  SSL_CTX* handle = state_->context.native_handle();
  if (tls.antique) {
    SSL_CTX_set_security_level(handle, 0);
    SSL_CTX_set_min_proto_version(handle, TLS1_VERSION);
  }
  SSL_CTX_set_max_proto_version(handle, tls.max_version);
  state_->context.use_certificate_chain(asio::buffer(tls.certificate.certificate_pem));
  state_->context.use_private_key(asio::buffer(tls.certificate.key_pem), asio::ssl::context::pem);
  asio::co_spawn(state_->io, state_->Accept(), asio::detached);
  state_->thread = std::thread([state = state_.get()] { state->io.run(); });
}

ScriptedTlsServer::~ScriptedTlsServer() {
  state_->io.stop();
  state_->thread.join();
}

uint16_t ScriptedTlsServer::port() const { return state_->acceptor.local_endpoint().port(); }

void ScriptedTlsServer::Resume() {
  asio::post(state_->io, [state = state_.get()] {
    state->resumed = true;
    state->held.cancel();
  });
}

std::vector<std::string> ScriptedTlsServer::requests() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->requests;
}

std::vector<std::string> ScriptedTlsServer::server_names() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->server_names;
}

size_t ScriptedTlsServer::accepted() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->accepted;
}

size_t ScriptedTlsServer::most_open() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->most_open;
}

size_t ScriptedTlsServer::quiet() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->quiet;
}

bool ScriptedTlsServer::WaitUntilAllClosed() const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, kPatience, [this] { return state_->open == 0; });
}

}  // namespace semaphore::client
