// What every test of HttpsClient needs: a scripted server with a certificate, a client that trusts
// it, a name that leads there, and ways to run a request to its end or to where it stands still.
#ifndef SEMAPHORE_TESTS_CLIENT_HTTPS_CLIENT_FIXTURE_H_
#define SEMAPHORE_TESTS_CLIENT_HTTPS_CLIENT_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/https_client.h"
#include "tests/client/scripted_tls_server.h"
#include "tests/client/test_certificates.h"

namespace semaphore::client {

inline const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";

inline Step Handshake() { return {Step::Kind::kHandshake, ""}; }
inline Step ReadSome() { return {Step::Kind::kReadSome, ""}; }
inline Step ReadRequest() { return {Step::Kind::kReadRequest, ""}; }
inline Step Reply(std::string bytes) { return {Step::Kind::kReply, std::move(bytes)}; }
inline Step Trickle(std::string bytes) { return {Step::Kind::kTrickle, std::move(bytes)}; }
inline Step Serve(std::string bytes = kOk) { return {Step::Kind::kServe, std::move(bytes)}; }
inline Step Silence() { return {Step::Kind::kSilence, ""}; }
inline Step Hold() { return {Step::Kind::kHold, ""}; }
inline Step Goodbye() { return {Step::Kind::kGoodbye, ""}; }
inline Step Reset() { return {Step::Kind::kReset, ""}; }

inline HttpRequest Read(std::string target = "/read") {
  HttpRequest request;
  request.method = "GET";
  request.target = std::move(target);
  request.repeatable = true;
  return request;
}

inline HttpRequest Change(std::string body = "{}") {
  HttpRequest request;
  request.method = "POST";
  request.target = "/change";
  request.content_type = "application/json";
  request.body = std::move(body);
  return request;
}

// Real time, which the test may advance.
class ShiftedClock final : public Clock {
 public:
  MonotonicTime Now() const override { return std::chrono::steady_clock::now() + shift_.load(); }
  absl::Time WallNow() const override { return absl::Now(); }
  void Advance(MonotonicDuration by) { shift_ = shift_.load() + by; }

 private:
  std::atomic<MonotonicDuration> shift_ = MonotonicDuration::zero();
};

// A request under way.
struct Call {
  std::optional<HttpResult> result;
  boost::asio::cancellation_signal cancel;
};

class HttpsClientTest : public testing::Test {
 protected:
  HttpsClientTest();
  ~HttpsClientTest() override;

  // A server with a good certificate, and a client for it.
  void Start(std::vector<Script> scripts);
  void StartServer(std::vector<Script> scripts);
  void StartClient();

  std::shared_ptr<Call> Begin(HttpRequest request, MonotonicDuration patience = kPatience);
  // To the end: when it returns, nothing keeps the io_context running.
  HttpResult Send(HttpRequest request, MonotonicDuration patience = kPatience);
  void RunUntil(const std::function<bool()>& reached);
  // Runs what can run now.
  void Settle();

  static constexpr MonotonicDuration kPatience = std::chrono::seconds(60);

  ShiftedClock clock;
  TestAuthority authority;
  DnsResolver::Lookup lookup;
  HttpsClient::Options options;
  ScriptedTlsServer::Tls tls;
  std::unique_ptr<ScriptedTlsServer> server;
  std::unique_ptr<boost::asio::io_context> io;
  std::unique_ptr<DnsResolver> resolver;
  std::unique_ptr<HttpsClient> client;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_HTTPS_CLIENT_FIXTURE_H_
