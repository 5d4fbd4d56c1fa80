#include "tests/simulator/test_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/json/parse.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"

namespace semaphore::simulator {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kLimit = std::chrono::seconds(60);

std::string TextOf(const error_code& error) { return error ? error.message() : std::string(); }

}  // namespace

std::string TestReply::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

boost::json::value TestReply::Json() const {
  error_code error;
  boost::json::value json = boost::json::parse(body, error);
  return error ? boost::json::value() : json;
}

struct TestClient::Impl {
  explicit Impl(const Simulator& simulator) : port(simulator.port()) {
    tls.set_verify_mode(asio::ssl::verify_peer);
    tls.add_certificate_authority(asio::buffer(simulator.ca_pem()));
    tls.set_verify_callback(asio::ssl::host_name_verification("localhost"));
  }
  ~Impl() { SSL_SESSION_free(session); }

  // Runs one asynchronous operation to its end; the stream's own timeout bounds it.
  template <typename Operation>
  error_code Await(Operation operation) {
    error_code result = beast::error::timeout;
    if (stream) stream->next_layer().expires_after(kLimit);
    operation([&result](const error_code& error, size_t = 0) { result = error; });
    io.restart();
    io.run_for(2 * kLimit);
    return result;
  }

  const uint16_t port;
  asio::io_context io{1};
  asio::ssl::context tls{asio::ssl::context::tls_client};
  std::optional<beast::ssl_stream<beast::tcp_stream>> stream;
  beast::flat_buffer buffer;
  bool connected = false;
  SSL_SESSION* session = nullptr;
};

TestClient::TestClient(const Simulator& simulator) : impl_(std::make_unique<Impl>(simulator)) {}
TestClient::~TestClient() = default;

std::string TestClient::ConnectTcp() {
  Disconnect();
  impl_->stream.emplace(impl_->io, impl_->tls);
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), impl_->port);
  return TextOf(impl_->Await([&](auto handler) {
    impl_->stream->next_layer().async_connect(endpoint, std::move(handler));
  }));
}

std::string TestClient::Connect() {
  std::string failed = ConnectTcp();
  if (!failed.empty()) return failed;
  if (impl_->session != nullptr) SSL_set_session(impl_->stream->native_handle(), impl_->session);
  failed = TextOf(impl_->Await([&](auto handler) {
    impl_->stream->async_handshake(asio::ssl::stream_base::client, std::move(handler));
  }));
  impl_->connected = failed.empty();
  return failed;
}

std::string TestClient::WriteRaw(std::string_view bytes) {
  if (!impl_->connected) {
    std::string failed = Connect();
    if (!failed.empty()) return failed;
  }
  return TextOf(impl_->Await([&](auto handler) {
    asio::async_write(*impl_->stream, asio::buffer(bytes.data(), bytes.size()), std::move(handler));
  }));
}

std::string TestClient::Write(const TestRequest& request) {
  std::string text = request.method + " " + request.target + " HTTP/1.1\r\n";
  text += "Host: localhost:" + std::to_string(impl_->port) + "\r\n";
  if (!request.authorization.empty()) text += "Authorization: " + request.authorization + "\r\n";
  if (!request.content_type.empty()) text += "Content-Type: " + request.content_type + "\r\n";
  for (const auto& [name, value] : request.headers) {
    text.append(name).append(": ").append(value).append("\r\n");
  }
  if (!request.body.empty() || request.method != "GET") {
    text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  return WriteRaw(text + "\r\n" + request.body);
}

TestReply TestClient::Read() {
  http::response_parser<http::string_body> parser;
  parser.body_limit(std::numeric_limits<uint64_t>::max());
  TestReply reply;
  reply.error = TextOf(impl_->Await([&](auto handler) {
    http::async_read(*impl_->stream, impl_->buffer, parser, std::move(handler));
  }));
  if (!parser.is_header_done()) {
    impl_->connected = false;
    return reply;
  }
  const auto& message = parser.get();
  reply.status = static_cast<int>(message.result_int());
  for (const auto& field : message) {
    reply.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())),
                               std::string(field.value()));
  }
  reply.body = message.body();
  impl_->connected = reply.error.empty() && message.keep_alive();
  return reply;
}

std::string TestClient::ReadRaw() {
  std::string text;
  const error_code error = impl_->Await([&](auto handler) {
    asio::async_read(*impl_->stream, asio::dynamic_buffer(text), std::move(handler));
  });
  static_cast<void>(error);
  impl_->connected = false;
  return text;
}

TestReply TestClient::Send(const TestRequest& request) {
  std::string failed = Write(request);
  if (!failed.empty()) {
    impl_->connected = false;
    return {.error = std::move(failed), .status = 0, .headers = {}, .body = {}};
  }
  return Read();
}

TestReply TestClient::Get(std::string_view path) {
  return Send({.target = "/api/v1alpha" + std::string(path)});
}

TestReply TestClient::PostForm(std::string_view path, std::string_view form) {
  return Send({.method = "POST",
               .target = "/api/v1alpha" + std::string(path),
               .body = std::string(form),
               .content_type = "application/x-www-form-urlencoded"});
}

TestReply TestClient::PostJson(std::string_view path, std::string_view json) {
  return Send({.method = "POST",
               .target = "/api/v1alpha" + std::string(path),
               .body = std::string(json),
               .content_type = "application/json"});
}

void TestClient::Disconnect() {
  if (!impl_->stream) return;
  if (impl_->connected) {
    SSL_SESSION_free(impl_->session);
    impl_->session = SSL_get1_session(impl_->stream->native_handle());
    // Else OpenSSL takes the session of a connection without a proper end for spoiled.
    SSL_set_shutdown(impl_->stream->native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
  impl_->stream.reset();
  impl_->buffer.clear();
  impl_->connected = false;
}

void SimulatorTest::Start(SimulatorOptions options) {
  client_.reset();
  options.now = time_.Source();
  auto simulator = Simulator::Start(std::move(options));
  ASSERT_TRUE(simulator.ok()) << simulator.status();
  simulator_ = *std::move(simulator);
  client_ = std::make_unique<TestClient>(*simulator_);
}

}  // namespace semaphore::simulator
