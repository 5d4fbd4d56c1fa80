#include "gateway/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace semaphore::gateway {
namespace {

class FixedClock final : public client::Clock {
 public:
  client::MonotonicTime Now() const override { return {}; }
  absl::Time WallNow() const override { return absl::FromUnixMicros(1'700'000'000'000'042); }
};

// Collects lines on the log's thread; a test may hold that thread.
class Lines {
 public:
  Log::Sink Sink() {
    return [this](std::string_view line) {
      std::unique_lock lock(mutex_);
      ++arrived_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return open_; });
      lines_.emplace_back(line);
    };
  }
  void Hold() { SetOpen(false); }
  void Release() { SetOpen(true); }
  void AwaitFirst() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ > 0; });
  }
  std::vector<std::string> Get() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  void SetOpen(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int arrived_ = 0;
  std::vector<std::string> lines_;
};

std::string Format(std::initializer_list<LogField> fields) {
  return FormatLogLine(FixedClock().WallNow(), LogLevel::kInfo, "started",
                       {fields.begin(), fields.size()});
}

TEST(LogLine, HasTimeLevelEventAndTypedFieldsInOrder) {
  EXPECT_EQ(Format({{"text", "a \"b\""},
                    {"count", 3},
                    {"big", std::numeric_limits<uint64_t>::max()},
                    {"small", std::numeric_limits<int64_t>::min()},
                    {"ratio", 0.5},
                    {"yes", true},
                    {"wait_seconds", std::chrono::milliseconds(1500)}}),
            R"({"time":"2023-11-14T22:13:20.000042Z","level":"info","event":"started",)"
            R"("text":"a \"b\"","count":3,"big":18446744073709551615,)"
            R"("small":-9223372036854775808,"ratio":0.5,"yes":true,"wait_seconds":1.5})");
}

TEST(LogLine, ALiteralIsTextAndNotTrue) {
  EXPECT_NE(Format({{"k", "v"}}).find(R"("k":"v")"), std::string::npos);
}

TEST(LogLine, HostileTextStaysOneValidJsonLine) {
  const std::string hostile("\xFF\n\"}\x00\x1b[2J\xE2\x80", 11);
  const std::string line = Format({{"branch", hostile}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  boost::json::error_code error;
  const boost::json::value parsed = boost::json::parse(line, error);
  ASSERT_FALSE(error) << line;
  EXPECT_TRUE(parsed.as_object().contains("branch"));
}

TEST(LogLine, NumbersThatJsonCannotHoldAreNull) {
  EXPECT_NE(Format({{"x", std::nan("")}}).find(R"("x":null)"), std::string::npos);
  EXPECT_NE(Format({{"x", HUGE_VAL}}).find(R"("x":null)"), std::string::npos);
}

TEST(LogLine, LongTextIsCut) {
  const std::string line = Format({{"message", std::string(10'000, 'x')}});
  EXPECT_LT(line.size(), 2'300u);
  EXPECT_NE(line.find("x...\""), std::string::npos);
}

TEST(Log, WritesLinesInOrderAndAllBeforeItEnds) {
  FixedClock clock;
  Lines lines;
  {
    Log log(clock, {}, lines.Sink());
    for (int i = 0; i < 100; ++i) log.Info("event", {{"i", i}});
    EXPECT_EQ(log.dropped_lines(), 0u);
  }
  const std::vector<std::string> got = lines.Get();
  ASSERT_EQ(got.size(), 100u);
  EXPECT_NE(got[99].find("\"i\":99}\n"), std::string::npos);
}

TEST(Log, LeavesOutWhatIsBelowItsLevel) {
  FixedClock clock;
  Lines lines;
  {
    Log log(clock, {.level = LogLevel::kWarning}, lines.Sink());
    log.Debug("a");
    log.Info("b");
    log.Warning("c");
    log.Error("d");
  }
  const std::vector<std::string> got = lines.Get();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_NE(got[0].find(R"("level":"warning","event":"c")"), std::string::npos);
  EXPECT_NE(got[1].find(R"("level":"error","event":"d")"), std::string::npos);
}

TEST(Log, AStuckSinkBlocksNobodyAndTheLostLinesAreCounted) {
  FixedClock clock;
  Lines lines;
  lines.Hold();
  {
    Log log(clock, {.queue_lines = 4}, lines.Sink());
    log.Info("first");
    lines.AwaitFirst();
    for (int i = 0; i < 10; ++i) log.Info("event", {{"i", i}});
    EXPECT_EQ(log.dropped_lines(), 6u);
    lines.Release();
  }
  const std::vector<std::string> got = lines.Get();
  ASSERT_EQ(got.size(), 5u);
  EXPECT_NE(got[1].find("\"i\":6}"), std::string::npos) << "the oldest are dropped, not the newest";
}

TEST(Log, ManyThreadsWriteWholeLines) {
  FixedClock clock;
  Lines lines;
  {
    Log log(clock, {}, lines.Sink());
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 500; ++i) log.Info("event", {{"thread", t}, {"i", i}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(lines.Get().size(), 2'000u);
  for (const std::string& line : lines.Get()) {
    boost::json::error_code error;
    boost::json::parse(line, error);
    EXPECT_FALSE(error) << line;
  }
}

// ---- Audit lines

void WriteAudit(Log& log, int number) {
  const LogField fields[] = {{"number", number}};
  log.WriteAudit("audit", fields);
}

TEST(Audit, ALineIsWrittenWhateverTheLevelAndTheCrowd) {
  FixedClock clock;
  Lines lines;
  lines.Hold();
  {
    Log log(clock, {.level = LogLevel::kError, .queue_lines = 2}, lines.Sink());
    log.Error("first");
    lines.AwaitFirst();
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(log.ReserveAudit(/*may_use_half=*/false));
      WriteAudit(log, i);
      log.Error("crowd");
    }
    EXPECT_EQ(log.GetAuditStats().waiting, 50u);
    lines.Release();
  }
  int audits = 0;
  for (const std::string& line : lines.Get()) {
    if (line.find("\"event\":\"audit\"") == std::string::npos) continue;
    EXPECT_NE(line.find("\"number\":" + std::to_string(audits) + "}"), std::string::npos) << line;
    ++audits;
  }
  EXPECT_EQ(audits, 50);
}

TEST(Audit, NoMoreLinesArePromisedThanThereIsRoomAndTheRefusedLeaveHalf) {
  FixedClock clock;
  Log log(clock, {.audit_lines = 4}, [](std::string_view) {});
  EXPECT_TRUE(log.ReserveAudit(/*may_use_half=*/true));
  EXPECT_TRUE(log.ReserveAudit(true));
  EXPECT_FALSE(log.ReserveAudit(true));
  EXPECT_TRUE(log.ReserveAudit(false));
  EXPECT_TRUE(log.ReserveAudit(false));
  EXPECT_FALSE(log.ReserveAudit(false)) << "calls in hand count, too";
  EXPECT_EQ(log.GetAuditStats().refused, 2u);
  EXPECT_EQ(log.GetAuditStats().waiting, 4u);
}

TEST(Audit, ALineThatWasWrittenMakesRoom) {
  FixedClock clock;
  Lines lines;
  {
    Log log(clock, {.audit_lines = 1}, lines.Sink());
    for (int i = 0; i < 20; ++i) {
      while (!log.ReserveAudit(false)) std::this_thread::yield();
      WriteAudit(log, i);
    }
  }
  EXPECT_EQ(lines.Get().size(), 20u);
}

// Standard error of this process, led elsewhere for a while.
class StandardErrorTo {
 public:
  explicit StandardErrorTo(const char* path) : saved_(dup(STDERR_FILENO)) { Lead(path); }
  ~StandardErrorTo() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
  }
  void Lead(const char* path) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_GE(fd, 0) << path;
    dup2(fd, STDERR_FILENO);
    close(fd);
  }

 private:
  const int saved_;
};

TEST(Audit, ALineThatStandardErrorRefusesIsWrittenWhenItCanBe) {
  FixedClock clock;
  const std::string path = testing::TempDir() + "/audit-" + std::to_string(getpid());
  {
    StandardErrorTo standard_error("/dev/full");
    Log log(clock, {});
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(log.ReserveAudit(false));
      WriteAudit(log, i);
    }
    while (log.GetAuditStats().failed == 0) std::this_thread::yield();
    EXPECT_EQ(log.GetAuditStats().waiting, 3u);
    standard_error.Lead(path.c_str());
    log.Info("room_again");
    while (log.GetAuditStats().waiting > 0) std::this_thread::yield();
  }
  std::ifstream file(path);
  std::string line;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_NE(line.find("\"number\":" + std::to_string(i) + "}"), std::string::npos) << line;
  }
  std::remove(path.c_str());
}

TEST(Audit, ManyThreadsLoseNothing) {
  FixedClock clock;
  Lines lines;
  {
    Log log(clock, {.queue_lines = 8}, lines.Sink());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 500; ++i) {
          while (!log.ReserveAudit(false)) std::this_thread::yield();
          WriteAudit(log, 1000 * t + i);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(lines.Get().size(), 2'000u);
}

TEST(LogLevel, ReadsItsOwnWords) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    EXPECT_EQ(ParseLogLevel(LogLevelWord(level)), level);
  }
  EXPECT_EQ(ParseLogLevel("loud"), std::nullopt);
}

}  // namespace
}  // namespace semaphore::gateway
