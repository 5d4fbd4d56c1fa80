// TLS towards callers: certificate, key and client authorities from files that may be replaced
// while the program runs. A changed set is taken when two looks in a row see the same and it is
// sound; until then, and whatever is wrong with it, the last good one stays in force. New
// connections use what is in force, old ones go on undisturbed.
#ifndef SEMAPHORE_GATEWAY_INBOUND_TLS_H_
#define SEMAPHORE_GATEWAY_INBOUND_TLS_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "gateway/config.h"
#include "gateway/tls_files.h"

namespace boost::asio::ssl {
class context;
}

namespace semaphore::gateway {

class InboundTls {
 public:
  // One sound set, for as long as somebody holds it.
  struct Snapshot {
    // Grows with each set and, where client certificates count, every five minutes: who gives a
    // new generation a new context forgets the sessions of the old one, and a session that is
    // resumed stands for a certificate that nobody looks at again.
    uint64_t generation = 0;
    TlsTexts texts;
    absl::Time expiry;  // of the listener's own certificate
    // For HTTP: TLS 1.2 or later with AEAD suites, ALPN "http/1.1", client certificates as
    // configured.
    std::shared_ptr<boost::asio::ssl::context> context;
  };

  // Called without a lock on the thread that looked: with the expiry of the certificate when a set
  // was taken or is sound again, with an error when the files became unusable, their trouble
  // changed, or the certificate in force has expired. Never twice in a row for the same state.
  using Listener = std::function<void(const absl::StatusOr<absl::Time>&)>;

  struct Stats {
    absl::Time expiry;  // of the certificate in force
    uint64_t reloads = 0;
    uint64_t refusals = 0;  // sets that were not taken
  };

  // Reads the files at once. INVALID_ARGUMENT or FAILED_PRECONDITION says which file cannot be used
  // and why. `clock` outlives this.
  static absl::StatusOr<std::unique_ptr<InboundTls>> Create(const TlsConfig& config,
                                                            const client::Clock& clock,
                                                            Listener listener);
  ~InboundTls();
  InboundTls(const InboundTls&) = delete;
  InboundTls& operator=(const InboundTls&) = delete;

  // From any thread; never null.
  std::shared_ptr<const Snapshot> Current() const;
  std::shared_ptr<boost::asio::ssl::context> Context() const { return Current()->context; }

  bool asks_for_certificates() const { return !config_.client_ca_file.empty(); }
  bool requires_certificates() const { return config_.require_client_certificate; }

  Stats GetStats() const;

  // Looks at the files now. Blocks on the file system.
  void Look();

  // Looks every `interval` on a thread of its own until this is destroyed. Call once.
  void Watch(absl::Duration interval);

 private:
  InboundTls(const TlsConfig& config, const client::Clock& clock, Listener listener);
  absl::StatusOr<std::shared_ptr<const Snapshot>> Make(TlsTexts texts, uint64_t generation) const;
  // What to tell the listener, if anything.
  std::optional<absl::StatusOr<absl::Time>> Judge(absl::StatusOr<TlsTexts> read);
  void EndSessions();
  std::optional<absl::StatusOr<absl::Time>> NoteTrouble(absl::Status trouble, bool refused);

  const TlsConfig config_;
  const client::Clock& clock_;
  const Listener listener_;

  std::mutex look_mutex_;          // held while the files are looked at; guards the next two
  absl::StatusOr<TlsTexts> seen_;  // at the last look
  client::MonotonicTime begun_;    // of the generation in force

  mutable std::mutex mutex_;  // guards the next four; never held during I/O or a callback
  std::shared_ptr<const Snapshot> current_;
  absl::Status trouble_;  // as last told
  uint64_t reloads_ = 0;
  uint64_t refusals_ = 0;

  std::mutex stop_mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;  // guarded by stop_mutex_
  std::thread watcher_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_INBOUND_TLS_H_
