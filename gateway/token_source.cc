#include "gateway/token_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

constexpr std::chrono::seconds kLookInterval{1};
// File systems stamp a change with the time of their last tick, so two writes close together can
// look like one.
constexpr int64_t kSettleNanoseconds = 2'000'000'000;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status SystemError(const std::string& path, int error) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": cannot be read: ", std::generic_category().message(error)));
}

// One byte more than the bound tells "too long" from "just fits".
absl::StatusOr<std::string> ReadBounded(int fd, const std::string& path) {
  std::array<char, kMaxSecretBytes + 3> buffer;  // room for a line end after the longest secret
  size_t size = 0;
  while (size < buffer.size()) {
    // No thread ever waits for the lock that may be held here: it is only tried.
    const ssize_t got = read(fd, buffer.data() + size, buffer.size() - size);
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path, errno);
    size += static_cast<size_t>(got);
  }
  std::string text(buffer.data(), size);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

absl::Status ValidateSecret(std::string_view secret, const std::string& origin, bool allow_spaces) {
  if (secret.empty()) return absl::FailedPreconditionError(absl::StrCat(origin, ": is empty"));
  if (secret.size() > kMaxSecretBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": is longer than ", kMaxSecretBytes, " bytes"));
  }
  for (size_t i = 0; i < secret.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(secret[i]);
    const bool inner_space = c == ' ' && allow_spaces && i != 0 && i + 1 != secret.size();
    if ((c > 0x20 && c < 0x7F) || inner_space) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": byte ", i + 1, " is a space, a control character or not ASCII; ",
                     "expected the secret alone on one line"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateToken(std::string_view token, const std::string& origin) {
  return ValidateSecret(token, origin, /*allow_spaces=*/false);
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path, bool allow_spaces) {
  return TokenSource::Read(path, nullptr, allow_spaces).text;
}

TokenSource::TokenSource(std::string path, const client::Clock* clock, Listener listener)
    : path_(std::move(path)), clock_(clock), listener_(std::move(listener)) {}

absl::StatusOr<std::unique_ptr<TokenSource>> TokenSource::FromFile(const std::string& path,
                                                                   const client::Clock& clock,
                                                                   Listener listener) {
  std::unique_ptr<TokenSource> source(new TokenSource(path, &clock, std::move(listener)));
  FileRead read = Read(path, nullptr, /*allow_spaces=*/false);
  if (!read.text.ok()) return read.text.status();
  source->identity_ = read.identity;
  source->token_ = std::make_shared<const std::string>(*std::move(read.text));
  source->next_look_nanoseconds_ =
      std::chrono::nanoseconds(clock.Now().time_since_epoch() + kLookInterval).count();
  return source;
}

absl::StatusOr<std::unique_ptr<TokenSource>> TokenSource::Fixed(std::string token,
                                                                const std::string& origin) {
  absl::Status valid = ValidateToken(token, origin);
  if (!valid.ok()) return valid;
  std::unique_ptr<TokenSource> source(new TokenSource({}, nullptr, {}));
  source->token_ = std::make_shared<const std::string>(std::move(token));
  return source;
}

std::shared_ptr<const std::string> TokenSource::Current() {
  if (clock_ != nullptr) {
    const std::chrono::nanoseconds now = clock_->Now().time_since_epoch();
    int64_t due = next_look_nanoseconds_.load(std::memory_order_relaxed);
    // Whoever moves the date does the look; the others keep going.
    if (now.count() >= due && next_look_nanoseconds_.compare_exchange_strong(
                                  due, std::chrono::nanoseconds(now + kLookInterval).count())) {
      Refresh();
    }
  }
  const std::lock_guard lock(mutex_);
  return token_;
}

absl::Status TokenSource::last_error() const {
  const std::lock_guard lock(mutex_);
  return last_error_;
}

// With `known`, a file of that identity is not read: `text` is then UNAVAILABLE with the same
// identity.
TokenSource::FileRead TokenSource::Read(const std::string& path, const Identity* known,
                                        bool allow_spaces) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts = {};
  if (file.get() < 0 || fstat(file.get(), &facts) != 0) return {{}, SystemError(path, errno)};
  if (!S_ISREG(facts.st_mode)) {
    return {{}, absl::FailedPreconditionError(absl::StrCat(path, ": is not a regular file"))};
  }
  const Identity identity{facts.st_dev, facts.st_ino, facts.st_size,
                          facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec};
  if (known != nullptr && identity == *known)
    return {identity, absl::UnavailableError("unchanged")};
  absl::StatusOr<std::string> text = ReadBounded(file.get(), path);
  if (text.ok()) {
    absl::Status valid = ValidateSecret(*text, path, allow_spaces);
    if (!valid.ok()) text = std::move(valid);
  }
  return {identity, std::move(text)};
}

void TokenSource::Refresh() {
  // The listener runs without any lock, so that it may ask for the token.
  const std::optional<absl::Status> news = Look();
  if (news.has_value() && listener_) listener_(*news);
}

std::optional<absl::Status> TokenSource::Look() {
  const std::unique_lock lock(refresh_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return std::nullopt;  // a slow file system: an earlier look still waits
  FileRead read = Read(path_, settled_ ? &identity_ : nullptr, /*allow_spaces=*/false);
  if (absl::IsUnavailable(read.text.status())) return std::nullopt;
  identity_ = read.identity;
  const int64_t age = absl::ToUnixNanos(clock_->WallNow()) - read.identity.modified_nanoseconds;
  settled_ = age > kSettleNanoseconds;
  return Adopt(std::move(read.text));
}

std::optional<absl::Status> TokenSource::Adopt(absl::StatusOr<std::string> text) {
  const std::lock_guard lock(mutex_);
  const bool rotated = text.ok() && *text != *token_;
  if (!rotated && text.status() == last_error_) return std::nullopt;
  last_error_ = text.status();
  if (rotated) token_ = std::make_shared<const std::string>(*std::move(text));
  return last_error_;
}

}  // namespace semaphore::gateway
