#include "tests/client/https_client_fixture.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <exception>
#include <utility>

namespace semaphore::client {

namespace asio = boost::asio;

HttpsClientTest::HttpsClientTest()
    : lookup([](const std::string&) {
        return DnsResolver::Addresses{asio::ip::address_v4::loopback()};
      }),
      io(std::make_unique<asio::io_context>(1)) {
  options.host = "upstream.test";
  options.ca_pem = authority.certificate_pem();
  tls.certificate = authority.Issue("DNS:upstream.test");
}

HttpsClientTest::~HttpsClientTest() {
  client.reset();
  resolver.reset();
}

void HttpsClientTest::Start(std::vector<Script> scripts) {
  StartServer(std::move(scripts));
  StartClient();
}

void HttpsClientTest::StartServer(std::vector<Script> scripts) {
  server = std::make_unique<ScriptedTlsServer>(tls, std::move(scripts));
  options.port = server->port();
}

void HttpsClientTest::StartClient() {
  client.reset();
  resolver = std::make_unique<DnsResolver>(clock, DnsResolver::Options{}, lookup);
  auto created = HttpsClient::Create(io->get_executor(), clock, *resolver, options);
  ASSERT_TRUE(created.ok()) << created.status();
  client = *std::move(created);
}

std::shared_ptr<Call> HttpsClientTest::Begin(HttpRequest request, MonotonicDuration patience) {
  auto call = std::make_shared<Call>();
  const auto done = [call](const std::exception_ptr& error, HttpResult result) {
    ASSERT_FALSE(error);
    call->result = std::move(result);
  };
  asio::co_spawn(asio::make_strand(*io), client->Send(std::move(request), clock.Now() + patience),
                 asio::bind_cancellation_slot(call->cancel.slot(), done));
  return call;
}

HttpResult HttpsClientTest::Send(HttpRequest request, MonotonicDuration patience) {
  const std::shared_ptr<Call> call = Begin(std::move(request), patience);
  io->restart();
  io->run();
  return *std::move(call->result);
}

void HttpsClientTest::RunUntil(const std::function<bool()>& reached) {
  const MonotonicTime give_up = std::chrono::steady_clock::now() + kPatience;
  while (!reached()) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "the request never got there";
    io->restart();
    io->run_one_for(std::chrono::milliseconds(1));
  }
  Settle();
}

void HttpsClientTest::Settle() {
  io->restart();
  while (io->poll() > 0) io->restart();
}

}  // namespace semaphore::client
