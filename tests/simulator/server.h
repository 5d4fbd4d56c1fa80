// Listens for HTTPS on one address with a thread of its own and serves each connection until it
// ends. What is answered, which fault strikes and what is remembered is decided elsewhere.
#ifndef SEMAPHORE_TESTS_SIMULATOR_SERVER_H_
#define SEMAPHORE_TESTS_SIMULATOR_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/simulator/fault.h"
#include "tests/simulator/http_message.h"
#include "tests/simulator/ledger.h"

namespace semaphore::simulator {

struct ServerOptions {
  std::string address;
  uint16_t port = 0;
  std::string certificate_pem;
  std::string key_pem;
  bool chunked_replies = false;
  absl::Duration idle_timeout;
};

// The functions are called from the server's thread only; the objects outlive the server.
struct ServerParts {
  FaultScript& faults;
  Ledger& ledger;
  std::function<Reply(const Request&)> answer;
  std::function<RecordedRequest(const Request&)> describe;
};

class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, ServerParts parts);

  // Drops every connection and joins the thread.
  ~Server();

  uint16_t port() const;

  // Lets every held reply go. Thread-safe.
  void ReleaseHeld();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_SERVER_H_
