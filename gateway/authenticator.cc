#include "gateway/authenticator.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

constexpr std::chrono::seconds kLookInterval{1};

// The digest is as good a hash as there is, and who does not know a token cannot choose it.
struct HashOfTokenHash {
  size_t operator()(const TokenHash& hash) const {
    size_t value = 0;
    std::memcpy(&value, hash.data(), sizeof value);
    return value;
  }
};
struct EqualTokenHash {
  bool operator()(const TokenHash& a, const TokenHash& b) const { return SameHash(a, b); }
};

// DNS names do not care for letter case; the file has them in lower case.
std::string CanonicalCertificateName(const std::string& name) {
  return absl::StartsWithIgnoreCase(name, "dns:") ? absl::AsciiStrToLower(name) : name;
}

}  // namespace

struct Authenticator::Snapshot {
  std::vector<Caller> callers;
  absl::flat_hash_map<TokenHash, const Caller*, HashOfTokenHash, EqualTokenHash> by_token;
  absl::flat_hash_map<std::string, const Caller*> by_certificate;
};

Authenticator::Authenticator(Options options, const client::Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      file_(options_.callers_file, kMaxCallersFileBytes) {}

Authenticator::~Authenticator() = default;

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::Open(Options options,
                                                                   const client::Clock& clock) {
  std::unique_ptr<Authenticator> made(new Authenticator(std::move(options), clock));
  absl::StatusOr<std::optional<std::string>> text = made->file_.Look(clock.WallNow());
  if (!text.ok()) return text.status();
  absl::StatusOr<std::shared_ptr<const Snapshot>> snapshot = made->Read(**text);
  if (!snapshot.ok()) return snapshot.status();
  made->text_hash_ = HashToken(**text);
  made->snapshot_ = *std::move(snapshot);
  return made;
}

void Authenticator::Watch() {
  watch_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, stop, kLookInterval, [&stop] { return stop.stop_requested(); })) {
      Look();
    }
  });
}

void Authenticator::Look() {
  // The listener runs without any lock.
  const std::optional<absl::Status> news = LookAgain();
  if (news.has_value() && options_.listener) options_.listener(*news, GetState());
}

std::optional<absl::Status> Authenticator::LookAgain() {
  const std::lock_guard looking(look_mutex_);
  absl::StatusOr<std::optional<std::string>> text = file_.Look(clock_.WallNow());
  if (text.ok() && !text->has_value()) return std::nullopt;
  absl::StatusOr<std::shared_ptr<const Snapshot>> read = absl::UnknownError("not read");
  if (text.ok()) {
    const std::optional<TokenHash> hash = HashToken(**text);
    const bool same = hash.has_value() && hash == text_hash_;
    text_hash_ = hash;
    if (same && GetState().usable) return std::nullopt;
    read = Read(**text);
  } else {
    read = text.status();
  }
  const std::lock_guard lock(mutex_);
  if (!read.ok() && read.status() == last_error_) return std::nullopt;
  last_error_ = read.status();
  if (read.ok()) snapshot_ = *std::move(read);
  return last_error_;
}

absl::StatusOr<std::shared_ptr<const Authenticator::Snapshot>> Authenticator::Read(
    const std::string& text) const {
  absl::StatusOr<std::vector<CallerEntry>> entries =
      ParseCallers(text, options_.callers_file, options_.scope);
  if (!entries.ok()) return entries.status();
  auto snapshot = std::make_shared<Snapshot>();
  // Reserved, so that what points to a caller stays right.
  snapshot->callers.reserve(entries->size());
  for (CallerEntry& entry : *entries) {
    Caller& caller = snapshot->callers.emplace_back(std::move(entry.caller));
    if (options_.slot_of) caller.slot = options_.slot_of(caller.name);
    for (const TokenHash& hash : entry.tokens) snapshot->by_token.emplace(hash, &caller);
    for (const std::string& name : entry.certificate_names)
      snapshot->by_certificate.emplace(name, &caller);
  }
  return std::shared_ptr<const Snapshot>(std::move(snapshot));
}

std::shared_ptr<const Authenticator::Snapshot> Authenticator::Current() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

Authenticator::State Authenticator::GetState() const {
  const std::lock_guard lock(mutex_);
  return {.callers = snapshot_->callers.size(), .usable = last_error_.ok()};
}

Authenticator::Verdict Authenticator::Authenticate(const Credentials& credentials) const {
  std::shared_ptr<const Snapshot> snapshot = Current();
  // The caller lives as long as the whole snapshot does, which the pointer keeps.
  const auto found = [&snapshot](const Caller* caller) -> Verdict {
    return {.caller = std::shared_ptr<const Caller>(std::move(snapshot), caller)};
  };
  if (!credentials.authorization.empty()) {
    const std::optional<std::string_view> token = BearerToken(credentials);
    if (!token.has_value()) return {nullptr, CallerRefusal::kMalformedCredentials};
    const std::optional<TokenHash> hash = HashToken(*token);
    if (!hash.has_value()) return {nullptr, CallerRefusal::kUnknownToken};
    const auto row = snapshot->by_token.find(*hash);
    if (row == snapshot->by_token.end()) return {nullptr, CallerRefusal::kUnknownToken};
    return found(row->second);
  }
  if (credentials.certificate_names.empty()) return {nullptr, CallerRefusal::kNoCredentials};
  const Caller* caller = nullptr;
  for (const std::string& name : credentials.certificate_names) {
    const auto row = snapshot->by_certificate.find(CanonicalCertificateName(name));
    if (row == snapshot->by_certificate.end()) continue;
    // A certificate of two callers is nobody's.
    if (caller != nullptr && caller != row->second)
      return {nullptr, CallerRefusal::kUnknownCertificate};
    caller = row->second;
  }
  if (caller == nullptr) return {nullptr, CallerRefusal::kUnknownCertificate};
  return found(caller);
}

std::optional<std::string_view> BearerToken(const Credentials& credentials) {
  constexpr std::string_view kScheme = "bearer";
  if (credentials.authorization.size() != 1) return std::nullopt;
  const std::string_view value = credentials.authorization.front();
  const std::string_view scheme = value.substr(0, std::min(value.find(' '), value.size()));
  if (!absl::EqualsIgnoreCase(client::ToAbsl(scheme), client::ToAbsl(kScheme))) return std::nullopt;
  const size_t begin = value.find_first_not_of(' ', scheme.size());
  if (begin == std::string_view::npos) return std::nullopt;
  const std::string_view token = value.substr(begin);
  const bool visible =
      std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > 0x20 && c < 0x7F; });
  if (!visible || token.size() > kMaxCallerTokenBytes) return std::nullopt;
  return token;
}

}  // namespace semaphore::gateway
