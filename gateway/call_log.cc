#include "gateway/call_log.h"

#include <algorithm>
#include <array>

namespace semaphore::gateway {
namespace {

LogLevel LevelOf(const CallRecord& call) {
  if (call.server_fault) return LogLevel::kError;
  return call.failed ? LogLevel::kWarning : LogLevel::kInfo;
}

}  // namespace

CallSampler::Verdict CallSampler::Decide(const CallRecord& call, client::MonotonicTime now) {
  const bool from_cache = call.cache == "hit" || call.cache == "stale";
  const bool quick_success =
      !call.failed && !call.change && from_cache && call.duration < options_.slow_call;
  if (quick_success && !Admit(now)) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return {};
  }
  return {true, suppressed_.exchange(0, std::memory_order_relaxed)};
}

bool CallSampler::Admit(client::MonotonicTime now) {
  // One more than the second, so that a fresh window (0) is no second of any clock.
  const uint64_t second =
      1 + (static_cast<uint64_t>(
               std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count()) &
           0x7FFFFFFFu);
  uint64_t seen = window_.load(std::memory_order_relaxed);
  for (;;) {
    // A thread that read the clock a moment ago counts in the newer second.
    const uint64_t counting = std::max(seen >> 32u, second);
    const uint64_t written = seen >> 32u == counting ? (seen & 0xFFFFFFFFu) : 0;
    if (written >= options_.sampled_calls_per_second) return false;
    const uint64_t next = (counting << 32u) | (written + 1);
    if (window_.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return true;
  }
}

void CallLog::Record(const CallRecord& call, const std::function<std::string()>& peer) {
  const LogLevel level = LevelOf(call);
  if (!log_.Enabled(level)) return;
  const CallSampler::Verdict verdict = sampler_.Decide(call, clock_.Now());
  if (!verdict.write) return;
  const std::string peer_text = peer ? peer() : std::string(call.peer);
  std::array<LogField, 12> fields = {{{"method", call.method},
                                      {"code", call.code},
                                      {"duration_seconds", call.duration},
                                      {"caller", call.caller},
                                      {"organization", call.organization},
                                      {"cache", call.cache},
                                      {"reason", call.reason},
                                      {"message", call.message},
                                      {"request_id", call.request_id},
                                      {"traceparent", call.traceparent},
                                      {"peer", peer_text},
                                      {"suppressed", verdict.suppressed}}};
  // Empty texts and a zero count say nothing; the first three always stand.
  size_t kept = 3;
  for (size_t i = kept; i < fields.size(); ++i) {
    const auto* text = std::get_if<std::string_view>(&fields[i].value());
    const bool empty = text != nullptr ? text->empty() : verdict.suppressed == 0;
    if (!empty) fields[kept++] = fields[i];
  }
  log_.Write(level, "call", {fields.data(), kept});
}

}  // namespace semaphore::gateway
