// The current API token of one organization: from a file that may be replaced while the program
// runs, or fixed from the environment. A file that becomes unusable never takes a working token
// away: the last good one stays in use and the trouble is reported. No error text of this file ever
// holds a token.
#ifndef SEMAPHORE_GATEWAY_TOKEN_SOURCE_H_
#define SEMAPHORE_GATEWAY_TOKEN_SOURCE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/clock.h"
#include "gateway/regular_file.h"

namespace semaphore::gateway {

inline constexpr size_t kMaxSecretBytes = 4096;

// OK when `token` is 1 to 4096 bytes of visible ASCII without spaces. `origin` names it in the
// error.
absl::Status ValidateToken(std::string_view token, const std::string& origin);

// The text of a file that holds one secret on one line: at most 4 KiB, trailing line ends stripped,
// no control characters; `allow_spaces` for header values. Blocks on the file system, briefly;
// refuses anything but a regular file.
absl::StatusOr<std::string> ReadSecretFile(const std::string& path, bool allow_spaces);

class TokenSource {
 public:
  // Called on the thread that noticed: with an error when the file became unusable or its trouble
  // changed, with OK when another token was taken from it or the file is usable again. Never twice
  // for the same state.
  using Listener = std::function<void(const absl::Status&)>;

  // Reads the file once, at once; INVALID_ARGUMENT or FAILED_PRECONDITION when there is no usable
  // token in it. `clock` outlives the source.
  static absl::StatusOr<std::unique_ptr<TokenSource>> FromFile(const std::string& path,
                                                               const client::Clock& clock,
                                                               Listener listener);

  // `origin` names the token in the error: "environment variable SEMAPHORE_API_TOKEN".
  static absl::StatusOr<std::unique_ptr<TokenSource>> Fixed(std::string token,
                                                            const std::string& origin);

  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;

  // Never empty. From any thread. At most once a second one caller also looks at the file, while
  // the others go on with the token at hand; replace the file by rename so that nobody sees half of
  // it.
  std::shared_ptr<const std::string> Current();

  // OK, or why the file cannot be used at present (the last good token is then still in use).
  absl::Status last_error() const;

 private:
  struct FileRead {
    RegularFile::Identity identity;
    absl::StatusOr<std::string> text = absl::UnknownError("not read");
  };

  TokenSource(std::string path, const client::Clock* clock, Listener listener);
  friend absl::StatusOr<std::string> ReadSecretFile(const std::string& path, bool allow_spaces);
  static FileRead Read(const std::string& path, const RegularFile::Identity* known,
                       bool allow_spaces);
  void Refresh();
  // What to tell the listener, if anything.
  std::optional<absl::Status> Look();
  std::optional<absl::Status> Adopt(absl::StatusOr<std::string> text);

  const std::string path_;      // empty: fixed
  const client::Clock* clock_;  // null: fixed
  const Listener listener_;
  std::atomic<int64_t> next_look_nanoseconds_{0};

  std::mutex refresh_mutex_;  // held while the file is looked at; guards the next two
  RegularFile::Identity identity_;
  bool settled_ = false;  // false: the file was so young when read that a second write may have
                          // kept its identity

  mutable std::mutex mutex_;  // guards the rest; never held during I/O or a callback
  std::shared_ptr<const std::string> token_;
  absl::Status last_error_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_TOKEN_SOURCE_H_
