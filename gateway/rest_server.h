// The REST listener: HTTP/1.1 over TCP or TLS, keep-alive, pipelining. Each of its threads has an
// io_context and a listening socket of its own (SO_REUSEPORT), so that a connection never leaves
// its thread. What requests mean is RestHandler's. Bounds: connections, heads, bodies, bytes of
// bodies in hand, replies that wait to be read, and time for each.
#ifndef SEMAPHORE_GATEWAY_REST_SERVER_H_
#define SEMAPHORE_GATEWAY_REST_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/clock.h"
#include "gateway/http_request_reader.h"
#include "gateway/inbound_tls.h"
#include "gateway/rest_handler.h"

namespace semaphore::gateway {

class RestServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // an IP address, or localhost
    uint16_t port = 0;               // 0: any free one
    int threads = 2;
    size_t max_connections = 20'000;  // of all threads; more are closed at once
    HttpLimits limits;
    int64_t max_body_bytes_in_hand = 256 << 20;                        // of all connections
    std::chrono::milliseconds idle_timeout{std::chrono::seconds(75)};  // between requests
    std::chrono::milliseconds head_timeout{std::chrono::seconds(10)};  // from its first byte
    std::chrono::milliseconds body_timeout{std::chrono::seconds(60)};
    std::chrono::milliseconds write_timeout{std::chrono::seconds(60)};
    std::chrono::milliseconds sweep_interval{
        std::chrono::seconds(1)};     // when timeouts are looked at
    const InboundTls* tls = nullptr;  // null: plain
  };

  struct Stats {
    uint64_t connections = 0;  // open
    uint64_t requests = 0;
    uint64_t refused_connections = 0;
    uint64_t refused_requests = 0;  // no HTTP, too large, or too slow
    uint64_t remembered = 0;        // requests that came again byte for byte
  };

  // Listens and serves when it returns. UNAVAILABLE when the address cannot be used. Handler, clock
  // and engine outlive the server.
  static absl::StatusOr<std::unique_ptr<RestServer>> Start(const Options& options,
                                                           const RestHandler& handler,
                                                           Engine& engine,
                                                           const client::Clock& clock);

  // Stops.
  ~RestServer();
  RestServer(const RestServer&) = delete;
  RestServer& operator=(const RestServer&) = delete;

  uint16_t port() const;
  Stats GetStats() const;

  // Takes no more connections, ends idle ones, and ends the others after the reply they wait for.
  void Drain();

  // Cancels the calls in the engine's hands, closes everything and ends the threads. The engine's
  // executor must still run.
  void Stop();

 private:
  class Impl;  // keeps Beast and Asio's sockets out of this header
  explicit RestServer(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_SERVER_H_
