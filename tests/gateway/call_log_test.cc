#include "gateway/call_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace semaphore::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

client::MonotonicTime At(std::chrono::nanoseconds time) { return client::MonotonicTime(time); }

CallRecord Hit() {
  CallRecord call;
  call.method = "PipelineService.GetPipeline";
  call.code = "OK";
  call.cache = "hit";
  return call;
}

CallSampler::Options TwoPerSecond() {
  return {.slow_call = seconds(1), .sampled_calls_per_second = 2};
}

TEST(CallSampler, WritesQuickHitsOnlyUpToTheRate) {
  CallSampler sampler(TwoPerSecond());
  EXPECT_TRUE(sampler.Decide(Hit(), At(seconds(5))).write);
  EXPECT_TRUE(sampler.Decide(Hit(), At(milliseconds(5500))).write);
  EXPECT_FALSE(sampler.Decide(Hit(), At(milliseconds(5999))).write);
}

TEST(CallSampler, TheNextLineSaysHowManyWereLeftOut) {
  CallSampler sampler(TwoPerSecond());
  for (int i = 0; i < 7; ++i) sampler.Decide(Hit(), At(seconds(5)));
  CallSampler::Verdict verdict = sampler.Decide(Hit(), At(seconds(6)));
  EXPECT_TRUE(verdict.write);
  EXPECT_EQ(verdict.suppressed, 5u);
  EXPECT_EQ(sampler.Decide(Hit(), At(seconds(6))).suppressed, 0u);
}

TEST(CallSampler, AFailureAlsoCarriesTheCount) {
  CallSampler sampler(TwoPerSecond());
  for (int i = 0; i < 3; ++i) sampler.Decide(Hit(), At(seconds(5)));
  CallRecord failure = Hit();
  failure.failed = true;
  EXPECT_EQ(sampler.Decide(failure, At(seconds(5))).suppressed, 1u);
}

TEST(CallSampler, WritesEveryFailureChangeMissAndSlowCall) {
  struct Row {
    const char* what;
    CallRecord call;
  };
  std::vector<Row> rows(6, Row{"", Hit()});
  rows[0].what = "failure", rows[0].call.failed = true;
  rows[1].what = "change", rows[1].call.change = true;
  rows[2].what = "miss", rows[2].call.cache = "miss";
  rows[3].what = "coalesced", rows[3].call.cache = "coalesced";
  rows[4].what = "slow", rows[4].call.duration = seconds(1);
  rows[5].what = "no cache in it", rows[5].call.cache = "";
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    CallSampler sampler({.slow_call = seconds(1), .sampled_calls_per_second = 0});
    EXPECT_TRUE(sampler.Decide(row.call, At(seconds(5))).write);
  }
}

TEST(CallSampler, ARateOfZeroWritesNoQuickHit) {
  CallSampler sampler({.slow_call = seconds(1), .sampled_calls_per_second = 0});
  EXPECT_FALSE(sampler.Decide(Hit(), At(seconds(0))).write);
  EXPECT_FALSE(sampler.Decide(Hit(), At(seconds(1))).write);
}

TEST(CallSampler, AThreadWithAnOlderClockDoesNotOpenTheSecondAgain) {
  CallSampler sampler(TwoPerSecond());
  sampler.Decide(Hit(), At(seconds(6)));
  sampler.Decide(Hit(), At(seconds(6)));
  EXPECT_FALSE(sampler.Decide(Hit(), At(milliseconds(5999))).write);
  EXPECT_FALSE(sampler.Decide(Hit(), At(seconds(6))).write);
}

TEST(CallSampler, ManyThreadsLoseNoCall) {
  CallSampler sampler({.slow_call = seconds(1), .sampled_calls_per_second = 100});
  std::atomic<uint64_t> written{0};
  std::atomic<uint64_t> suppressed{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        const auto verdict = sampler.Decide(Hit(), At(milliseconds(i)));
        if (verdict.write) ++written;
        suppressed += verdict.suppressed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CallRecord last = Hit();
  last.failed = true;
  suppressed += sampler.Decide(last, At(seconds(20))).suppressed;
  EXPECT_EQ(written + suppressed, 40'000u);
  EXPECT_LE(written, 1'000u);
}

class FixedClock final : public client::Clock {
 public:
  client::MonotonicTime Now() const override { return At(seconds(5)); }
  absl::Time WallNow() const override { return absl::UnixEpoch(); }
};

TEST(CallLog, WritesTheFieldsThatSaySomething) {
  FixedClock clock;
  std::string lines;
  {
    Log log(clock, {}, [&](std::string_view line) { lines += line; });
    CallLog calls(log, clock, TwoPerSecond());
    CallRecord call = Hit();
    call.duration = milliseconds(3);
    call.organization = "acme";
    calls.Record(call);
    call.failed = true;
    call.server_fault = true;
    call.code = "Internal";
    call.reason = "UPSTREAM_ERROR";
    calls.Record(call);
  }
  EXPECT_EQ(lines,
            R"({"time":"1970-01-01T00:00:00.000000Z","level":"info","event":"call",)"
            R"("method":"PipelineService.GetPipeline","code":"OK","duration_seconds":0.003,)"
            R"("organization":"acme","cache":"hit"})"
            "\n"
            R"({"time":"1970-01-01T00:00:00.000000Z","level":"error","event":"call",)"
            R"("method":"PipelineService.GetPipeline","code":"Internal","duration_seconds":0.003,)"
            R"("organization":"acme","cache":"hit","reason":"UPSTREAM_ERROR"})"
            "\n");
}

}  // namespace
}  // namespace semaphore::gateway
