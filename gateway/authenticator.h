// Finds out who calls, by a bearer token or the names of a verified certificate, from the callers
// file, which may be replaced while the program runs. A file that becomes unusable takes nobody's
// access away: the last good one stays in force and the trouble is told. What a caller may do is
// decided by the engine.
#ifndef SEMAPHORE_GATEWAY_AUTHENTICATOR_H_
#define SEMAPHORE_GATEWAY_AUTHENTICATOR_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/clock.h"
#include "gateway/caller.h"
#include "gateway/callers_file.h"
#include "gateway/guarded_file.h"

namespace semaphore::gateway {

class Authenticator {
 public:
  struct State {
    size_t callers = 0;  // in force
    bool usable = true;  // the file is, at present
  };
  struct Options {
    std::string callers_file;
    CallersFileScope scope;
    // The place of a caller in the metrics; empty: 0 for all.
    std::function<size_t(const std::string& name)> slot_of;
    // Called on the thread that noticed: with an error when the file became unusable or its trouble
    // changed, with OK when another text was taken from it or it is usable again. Never twice for
    // the same state.
    std::function<void(const absl::Status& news, State state)> listener;
  };
  struct Verdict {
    std::shared_ptr<const Caller> caller;  // null: nobody, because of `refusal`
    CallerRefusal refusal = CallerRefusal::kNoCredentials;
  };

  // Reads the file once, at once; the error says what is wrong with it. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<Authenticator>> Open(Options options,
                                                             const client::Clock& clock);

  // Ends the watch.
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // From now on looks at the file once a second, on a thread of its own, so that no call ever waits
  // for the file system and a removed token ends even when nobody calls.
  void Watch();
  // One look, for tests of what a watch does.
  void Look();

  // From any thread; microseconds, and never any I/O. An authorization decides alone: a bad token
  // is not saved by a good certificate.
  Verdict Authenticate(const Credentials& credentials) const;

  State GetState() const;

 private:
  struct Snapshot;

  Authenticator(Options options, const client::Clock& clock);
  // The callers in a text, ready to be looked up.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Read(const std::string& text) const;
  // What to tell the listener, if anything.
  std::optional<absl::Status> LookAgain();
  std::shared_ptr<const Snapshot> Current() const;

  const Options options_;
  const client::Clock& clock_;

  std::mutex look_mutex_;  // held while the file is looked at; guards the next two
  GuardedFile file_;
  std::optional<TokenHash> text_hash_;  // of the text that was read last, good or bad

  mutable std::mutex mutex_;  // guards the next two; never held during I/O or a callback
  std::shared_ptr<const Snapshot> snapshot_;
  absl::Status last_error_;

  std::jthread watch_;
};

// The token of exactly one `Bearer TOKEN`: the scheme in any letter case, spaces and nothing else
// between the two, visible ASCII of at most 4 KiB, nothing before or after. Nothing when anything
// else, or anything more, was sent.
std::optional<std::string_view> BearerToken(const Credentials& credentials);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_AUTHENTICATOR_H_
