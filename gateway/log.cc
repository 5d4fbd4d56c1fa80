#include "gateway/log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "gateway/json_text.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kMaxTextBytes = 2048;
constexpr std::chrono::seconds kLongestFlush{2};

// How many bytes of a line were taken.
using CountingSink = std::function<size_t(std::string_view line)>;

size_t WriteToStandardError(std::string_view line) {
  size_t taken = 0;
  while (taken < line.size()) {
    const ssize_t written = write(STDERR_FILENO, line.data() + taken, line.size() - taken);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;  // nobody is left to tell
    taken += static_cast<size_t>(written);
  }
  return taken;
}

// The audit lines that are promised or wait. Any thread adds to it; one at a time writes from it.
class AuditLane {
 public:
  explicit AuditLane(size_t capacity) : capacity_(std::max<size_t>(capacity, 1)) {}

  bool Reserve(bool may_use_half) {
    const size_t most = may_use_half ? (capacity_ + 1) / 2 : capacity_;
    size_t used = used_.load(std::memory_order_relaxed);
    do {
      if (used >= most) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
    } while (!used_.compare_exchange_weak(used, used + 1, std::memory_order_relaxed));
    return true;
  }

  // Whether the writer must be woken: it is when it has nothing else to write, or failed before.
  bool Add(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
    return lines_.size() == 1 || blocked_;
  }

  bool blocked() const { return blocked_; }

  // Writes until nothing is left or the sink refuses a line, which is then kept for the next time.
  void WriteAll(const CountingSink& sink) {
    for (;;) {
      std::string line;
      {
        const std::lock_guard lock(mutex_);
        if (lines_.empty()) break;
        line = std::move(lines_.front());
        lines_.pop_front();
      }
      // What came of the last attempt must not swallow the beginning of this one.
      if (torn_) sink("\n");
      const size_t taken = sink(line);
      blocked_ = taken < line.size();
      torn_ = blocked_ && (torn_ || taken > 0);
      if (blocked_) {
        failed_.fetch_add(1, std::memory_order_relaxed);
        const std::lock_guard lock(mutex_);
        lines_.push_front(std::move(line));
        break;
      }
      written_.fetch_add(1, std::memory_order_relaxed);
      used_.fetch_sub(1, std::memory_order_relaxed);
    }
  }

  Log::AuditStats Stats() const { return {written_, used_, refused_, failed_}; }

 private:
  const size_t capacity_;
  std::atomic<size_t> used_{0};
  std::atomic<uint64_t> written_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<bool> blocked_{false};
  bool torn_ = false;  // of the writer alone: a part of a line was taken
  std::mutex mutex_;   // of the next
  std::deque<std::string> lines_;
};

// Only the log's one thread calls it, so it needs no mutex; the lines come formatted. An empty one
// only wakes it for the audit lines, which always go first.
class LineSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  LineSink(CountingSink sink, AuditLane& audit) : sink_(std::move(sink)), audit_(audit) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    audit_.WriteAll(sink_);
    if (message.payload.size() > 0)
      sink_(std::string_view(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}

 private:
  const CountingSink sink_;
  AuditLane& audit_;
};

template <typename T>
void AppendNumber(std::string* out, T value) {
  char digits[32];
  const auto result = std::to_chars(std::begin(digits), std::end(digits), value);
  out->append(digits, result.ptr);
}

void AppendValue(std::string* out, const LogField::Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    if (text->size() <= kMaxTextBytes) {
      AppendJsonString(out, *text);
    } else {
      AppendJsonString(out, RepairUtf8(*text, kMaxTextBytes) + "...");
    }
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    out->append(*flag ? "true" : "false");
  } else if (const auto* integer = std::get_if<int64_t>(&value)) {
    AppendNumber(out, *integer);
  } else if (const auto* natural = std::get_if<uint64_t>(&value)) {
    AppendNumber(out, *natural);
  } else if (const double number = std::get<double>(value); std::isfinite(number)) {
    AppendNumber(out, number);
  } else {
    out->append("null");
  }
}

}  // namespace

std::string_view LogLevelWord(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::optional<LogLevel> ParseLogLevel(std::string_view word) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (LogLevelWord(level) == word) return level;
  }
  return std::nullopt;
}

std::string FormatLogLine(absl::Time time, LogLevel level, std::string_view event,
                          std::span<const LogField> fields) {
  std::string line;
  line.reserve(256);
  line += "{\"time\":\"";
  line += absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone());
  line += "\",\"level\":\"";
  line += LogLevelWord(level);
  line += "\",\"event\":";
  AppendJsonString(&line, event);
  for (const LogField& field : fields) {
    line += ',';
    AppendJsonString(&line, field.key());
    line += ':';
    AppendValue(&line, field.value());
  }
  line += '}';
  return line;
}

struct Log::Queue {
  Queue(const Options& options, CountingSink sink_in)
      : sink(std::move(sink_in)),
        audit(options.audit_lines),
        pool(std::make_shared<spdlog::details::thread_pool>(
            std::max<size_t>(options.queue_lines, 1), 1)),
        logger(std::make_shared<spdlog::async_logger>(
            "semaphore-gateway", std::make_shared<LineSink>(sink, audit), pool,
            spdlog::async_overflow_policy::overrun_oldest)) {
    // The level is decided in Log::Write; nothing may be printed by the library itself.
    logger->set_level(spdlog::level::trace);
    logger->set_error_handler([](const std::string&) {});
  }

  // The pool ends first: its end writes what is queued. Then no other thread writes any more.
  void Finish() {
    pool.reset();
    audit.WriteAll(sink);
  }

  void Wake() { logger->log(spdlog::level::info, spdlog::string_view_t()); }

  const CountingSink sink;
  AuditLane audit;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(const client::Clock& clock, Options options, Sink sink)
    : clock_(clock), level_(options.level) {
  CountingSink counting = WriteToStandardError;
  if (sink) {
    counting = [sink = std::move(sink)](std::string_view line) {
      sink(line);
      return line.size();
    };
  }
  queue_ = std::make_shared<Queue>(options, std::move(counting));
}

Log::~Log() {
  // A sink that never returns must not keep the program from ending: then its thread is left to the
  // operating system.
  std::promise<void> finished;
  std::future<void> done = finished.get_future();
  std::thread([queue = std::move(queue_), finished = std::move(finished)]() mutable {
    queue->Finish();
    finished.set_value();
  }).detach();
  done.wait_for(kLongestFlush);
}

void Log::Write(LogLevel level, std::string_view event, std::span<const LogField> fields) {
  if (!Enabled(level)) return;
  try {
    std::string line = FormatLogLine(clock_.WallNow(), level, event, fields);
    line += '\n';
    queue_->logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  } catch (...) {
    ++lost_lines_;  // out of memory: the line is lost, the call is not
  }
}

void Log::Debug(std::string_view event, std::initializer_list<LogField> fields) {
  Write(LogLevel::kDebug, event, {fields.begin(), fields.size()});
}
void Log::Info(std::string_view event, std::initializer_list<LogField> fields) {
  Write(LogLevel::kInfo, event, {fields.begin(), fields.size()});
}
void Log::Warning(std::string_view event, std::initializer_list<LogField> fields) {
  Write(LogLevel::kWarning, event, {fields.begin(), fields.size()});
}
void Log::Error(std::string_view event, std::initializer_list<LogField> fields) {
  Write(LogLevel::kError, event, {fields.begin(), fields.size()});
}

bool Log::ReserveAudit(bool may_use_half) {
  if (queue_->audit.Reserve(may_use_half)) return true;
  // Perhaps what refused to be written can be written by now.
  if (queue_->audit.blocked()) queue_->Wake();
  return false;
}

void Log::WriteAudit(std::string_view event, std::span<const LogField> fields) {
  std::string line = FormatLogLine(clock_.WallNow(), LogLevel::kInfo, event, fields);
  line += '\n';
  if (queue_->audit.Add(std::move(line))) queue_->Wake();
}

Log::AuditStats Log::GetAuditStats() const { return queue_->audit.Stats(); }

uint64_t Log::dropped_lines() const { return queue_->pool->overrun_counter() + lost_lines_; }

}  // namespace semaphore::gateway
