#include "gateway/log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <future>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "gateway/json_text.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kMaxTextBytes = 2048;
constexpr std::chrono::seconds kLongestFlush{2};

void WriteToStandardError(std::string_view line) {
  while (!line.empty()) {
    const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody is left to tell
    line.remove_prefix(static_cast<size_t>(written));
  }
}

// Only the log's one thread calls it, so it needs no mutex; the lines come formatted.
class LineSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit LineSink(Log::Sink sink) : sink_(std::move(sink)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    sink_(std::string_view(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}

 private:
  const Log::Sink sink_;
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
  Queue(size_t lines, Sink sink)
      : pool(std::make_shared<spdlog::details::thread_pool>(lines, 1)),
        logger(std::make_shared<spdlog::async_logger>(
            "semaphore-gateway", std::make_shared<LineSink>(std::move(sink)), pool,
            spdlog::async_overflow_policy::overrun_oldest)) {
    // The level is decided in Log::Write; nothing may be printed by the library itself.
    logger->set_level(spdlog::level::trace);
    logger->set_error_handler([](const std::string&) {});
  }

  // The pool ends first: its end writes what is queued.
  void Finish() { pool.reset(); }

  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(const client::Clock& clock, Options options, Sink sink)
    : clock_(clock), level_(options.level) {
  if (!sink) sink = WriteToStandardError;
  queue_ = std::make_shared<Queue>(std::max<size_t>(options.queue_lines, 1), std::move(sink));
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

uint64_t Log::dropped_lines() const { return queue_->pool->overrun_counter() + lost_lines_; }

}  // namespace semaphore::gateway
