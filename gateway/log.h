// Structured logging: one JSON object per line on standard error, written by a thread of its own so
// that no call ever waits for a terminal or a full pipe; what does not fit into the queue is
// dropped, oldest first, and counted. Audit lines have a lane of their own, from which none is ever
// dropped: who has no room there must not act. What is worth a line for a call is decided in
// call_log.h.
#ifndef SEMAPHORE_GATEWAY_LOG_H_
#define SEMAPHORE_GATEWAY_LOG_H_

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "client/clock.h"

namespace semaphore::gateway {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

std::string_view LogLevelWord(LogLevel level);
// The words of the configuration: debug, info, warning, error.
std::optional<LogLevel> ParseLogLevel(std::string_view word);

// A typed key and value of a line. Borrows both: make it in the call, do not keep it. Keys are
// snake_case literals; durations are written as seconds, so their keys end in `_seconds`.
class LogField {
 public:
  using Value = std::variant<std::string_view, int64_t, uint64_t, double, bool>;

  LogField(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  LogField(std::string_view key, const char* value) : key_(key), value_(std::string_view(value)) {}
  LogField(std::string_view key, const std::string& value)
      : key_(key), value_(std::string_view(value)) {}
  LogField(std::string_view key, bool value) : key_(key), value_(value) {}
  LogField(std::string_view key, double value) : key_(key), value_(value) {}
  LogField(std::string_view key, std::chrono::nanoseconds value)
      : key_(key), value_(std::chrono::duration<double>(value).count()) {}
  template <std::signed_integral T>
  LogField(std::string_view key, T value) : key_(key), value_(int64_t{value}) {}
  template <std::unsigned_integral T>
    requires(!std::same_as<T, bool>)
  LogField(std::string_view key, T value) : key_(key), value_(uint64_t{value}) {}

  std::string_view key() const { return key_; }
  const Value& value() const { return value_; }

 private:
  std::string_view key_;
  Value value_;
};

// The line without its line end: {"time":…,"level":…,"event":…} and the fields in order. Text
// values are cut at 2 KiB and repaired to valid UTF-8; a number that JSON cannot hold is null.
std::string FormatLogLine(absl::Time time, LogLevel level, std::string_view event,
                          std::span<const LogField> fields);

class Log {
 public:
  // Gets whole lines with their line end, one at a time, on the log's thread. May block; must not
  // throw.
  using Sink = std::function<void(std::string_view line)>;

  struct Options {
    LogLevel level = LogLevel::kInfo;
    size_t queue_lines = 8192;
    // Audit lines that may be promised or wait at the same time. More than a gateway has calls in
    // hand unless it is configured for that.
    size_t audit_lines = 16384;
  };
  struct AuditStats {
    uint64_t written = 0;
    uint64_t waiting = 0;  // promised, or not yet taken by the sink
    uint64_t refused = 0;  // promises not made because the lane was full
    uint64_t failed = 0;   // attempts to write that standard error refused
  };

  // `clock` outlives the log. An empty sink is standard error.
  Log(const client::Clock& clock, Options options, Sink sink = {});
  // Writes what is queued, but waits at most two seconds for a sink that does not take it.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  bool Enabled(LogLevel level) const { return level >= level_; }

  // `event` says what happened in a few snake_case words: "call", "token_unusable". Never blocks,
  // never throws.
  void Write(LogLevel level, std::string_view event, std::span<const LogField> fields);
  void Debug(std::string_view event, std::initializer_list<LogField> fields = {});
  void Info(std::string_view event, std::initializer_list<LogField> fields = {});
  void Warning(std::string_view event, std::initializer_list<LogField> fields = {});
  void Error(std::string_view event, std::initializer_list<LogField> fields = {});

  // Promises room for one audit line, which must then be written with WriteAudit; false when the
  // lane is full, or, for one that `may_use_half`, half full. So those who are refused anyway leave
  // room for those who are not. Never blocks.
  bool ReserveAudit(bool may_use_half);
  // Needs a promise. Ignores the level. The line is written before any ordinary one that comes
  // later; when standard error refuses it, it is tried again with each line that follows.
  void WriteAudit(std::string_view event, std::span<const LogField> fields);
  AuditStats GetAuditStats() const;

  // Lines lost so far, because the queue was full or memory was out.
  uint64_t dropped_lines() const;

 private:
  struct Queue;  // keeps spdlog out of this header

  const client::Clock& clock_;
  const LogLevel level_;
  std::shared_ptr<Queue> queue_;
  std::atomic<uint64_t> lost_lines_{0};
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_LOG_H_
