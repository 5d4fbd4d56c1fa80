// The operator's port: a status page, /metrics, /metrics/ci, /healthz and /readyz over plain
// HTTP/1.1. It answers from this process alone and never waits for upstream. Give it an io_context
// that no call runs on: writing a metrics page takes milliseconds of its thread.
#ifndef SEMAPHORE_GATEWAY_ADMIN_SERVER_H_
#define SEMAPHORE_GATEWAY_ADMIN_SERVER_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/ci_series.h"
#include "gateway/exposition.h"

namespace semaphore::gateway {

class AdminServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // an IP address, or localhost
    uint16_t port = 0;               // 0: any free one
    size_t max_connections = 64;     // more are closed at once
    size_t max_header_bytes = 8 << 10;
    size_t max_body_bytes = 4 << 10;  // read and ignored
    // For a whole request to arrive, idle time on a kept connection included; and for a whole reply
    // to leave.
    std::chrono::milliseconds read_timeout{std::chrono::seconds(10)};
    std::chrono::milliseconds write_timeout{std::chrono::seconds(10)};
  };

  using CiSource = std::function<std::shared_ptr<const CiSnapshot>()>;

  // All are called on the server's executor and must not block or throw.
  struct Sources {
    std::function<std::string(Exposition)> metrics;               // the page of /metrics
    std::function<std::vector<std::string>()> not_ready_because;  // empty: ready
    // What is not well and yet no reason to send callers elsewhere; told by /readyz too.
    std::function<std::vector<std::string>()> notes = [] { return std::vector<std::string>(); };
    // What the status page at / is drawn from, every ten seconds. Without it there is none.
    std::function<std::vector<prometheus::MetricFamily>()> families = nullptr;
    // The facts of /metrics/ci; null while there are none yet. Without it the page is not found.
    CiSource ci_snapshot = nullptr;
    // A page of this snapshot has left whole; `dropped` of its series had no room or were not fit
    // to be on it. `scraper` tells apart those who scrape; "": somebody who only looks.
    std::function<void(const std::shared_ptr<const CiSnapshot>& snapshot, uint64_t dropped,
                       std::string_view scraper)>
        ci_scraped = nullptr;
  };

  // Binds, listens and serves as soon as the executor runs. UNAVAILABLE or INVALID_ARGUMENT when it
  // cannot. What the sources use outlives the execution context.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(
      const boost::asio::any_io_executor& executor, Options options, Sources sources);

  // Stops.
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  uint16_t port() const;

  // Closes the listener and every connection, replies under way included, on the executor. From any
  // thread, any number of times.
  void Stop();

 private:
  class Impl;  // keeps Beast out of this header
  explicit AdminServer(std::shared_ptr<Impl> impl);

  const std::shared_ptr<Impl> impl_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_ADMIN_SERVER_H_
