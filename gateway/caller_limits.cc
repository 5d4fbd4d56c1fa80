#include "gateway/caller_limits.h"

#include "absl/strings/str_replace.h"

namespace semaphore::gateway {

std::optional<client::MonotonicDuration> CallerLimits::Take(const std::string& caller,
                                                            client::MonotonicTime now) {
  if (options_.requests_per_second <= 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  auto found = by_name_.find(caller);
  if (found == by_name_.end()) {
    if (callers_.size() >= options_.max_callers) {
      by_name_.erase(callers_.back().name);
      callers_.pop_back();
    }
    callers_.push_front(
        {.name = caller,
         .bucket = client::TokenBucket(options_.requests_per_second, options_.burst)});
    found = by_name_.emplace(caller, callers_.begin()).first;
  } else {
    callers_.splice(callers_.begin(), callers_, found->second);
  }
  return found->second->bucket.Take(now);
}

std::optional<CallerLimits::Standing> CallerLimits::Look(const std::string& caller,
                                                         client::MonotonicTime now) const {
  if (options_.requests_per_second <= 0) return std::nullopt;
  Standing standing{.requests_per_second = options_.requests_per_second,
                    .burst = options_.burst,
                    .available = static_cast<double>(options_.burst)};
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(caller);
  if (found != by_name_.end()) standing.available = found->second->bucket.Available(now);
  return standing;
}

std::string CallerOfPeer(std::string_view peer) {
  const size_t scheme = peer.find(':');
  const size_t port = peer.rfind(':');
  if (scheme == port || !(peer.starts_with("ipv4:") || peer.starts_with("ipv6:"))) {
    return std::string(peer);
  }
  return absl::StrReplaceAll(std::string(peer.substr(scheme + 1, port - scheme - 1)),
                             {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}});
}

}  // namespace semaphore::gateway
