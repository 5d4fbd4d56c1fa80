#include "gateway/token_source.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

constexpr std::chrono::seconds kLookInterval{1};
// Room for a line end after the longest secret, and a byte more to tell "too long" from "just
// fits".
constexpr size_t kMaxReadBytes = kMaxSecretBytes + 3;

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
TokenSource::FileRead TokenSource::Read(const std::string& path, const RegularFile::Identity* known,
                                        bool allow_spaces) {
  absl::StatusOr<RegularFile> file = RegularFile::Open(path);
  if (!file.ok()) return {{}, file.status()};
  const RegularFile::Identity identity = file->identity();
  if (known != nullptr && identity == *known) {
    return {identity, absl::UnavailableError("unchanged")};
  }
  // No thread ever waits for the lock that may be held here: it is only tried.
  absl::StatusOr<std::string> text = file->Read(kMaxReadBytes);
  if (!text.ok()) return {identity, std::move(text)};
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  absl::Status valid = ValidateSecret(*text, path, allow_spaces);
  if (!valid.ok()) text = std::move(valid);
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
  settled_ = read.identity.HasSettled(clock_->WallNow());
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
