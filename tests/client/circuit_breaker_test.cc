#include "client/circuit_breaker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace semaphore::client {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Outcome = CircuitBreaker::Outcome;
using State = CircuitBreaker::State;
using Verdict = CircuitBreaker::Verdict;

constexpr MonotonicTime kStart{hours(1000)};

void Report(CircuitBreaker& breaker, MonotonicTime now, Outcome outcome, int count = 1) {
  for (int i = 0; i < count; ++i) breaker.Record(now, outcome, breaker.Ask(now));
}

CircuitBreaker OpenedAt(MonotonicTime now) {
  CircuitBreaker breaker({});
  Report(breaker, now, Outcome::kFailure, 20);
  EXPECT_EQ(breaker.GetState(now), State::kOpen);
  return breaker;
}

TEST(CircuitBreaker, StaysClosedWhileMostCallsSucceed) {
  CircuitBreaker breaker({});
  for (int i = 0; i < 1000; ++i) {
    Report(breaker, kStart, Outcome::kSuccess, 2);
    Report(breaker, kStart, Outcome::kFailure);
  }
  EXPECT_EQ(breaker.GetState(kStart), State::kClosed);
  const Verdict verdict = breaker.Ask(kStart);
  EXPECT_TRUE(verdict.admitted);
  EXPECT_FALSE(verdict.probe);
}

TEST(CircuitBreaker, OpensWhenHalfOfEnoughCallsFailed) {
  CircuitBreaker breaker({});
  Report(breaker, kStart, Outcome::kSuccess, 10);
  Report(breaker, kStart, Outcome::kFailure, 9);
  EXPECT_EQ(breaker.GetState(kStart), State::kClosed);
  Report(breaker, kStart, Outcome::kFailure);
  EXPECT_EQ(breaker.GetState(kStart), State::kOpen);
  const Verdict verdict = breaker.Ask(kStart + seconds(1));
  EXPECT_FALSE(verdict.admitted);
  EXPECT_EQ(verdict.retry_after, seconds(4));
  EXPECT_EQ(breaker.GetStats().rejections, 1u);
  EXPECT_EQ(breaker.GetStats().openings, 1u);
}

TEST(CircuitBreaker, AFewCallsThatAllFailDoNotOpenIt) {
  CircuitBreaker breaker({});
  Report(breaker, kStart, Outcome::kFailure, 19);
  EXPECT_EQ(breaker.GetState(kStart), State::kClosed);
}

TEST(CircuitBreaker, IgnoredResultsCountForNothing) {
  CircuitBreaker breaker({});
  Report(breaker, kStart, Outcome::kFailure, 19);
  Report(breaker, kStart, Outcome::kIgnored, 100);
  EXPECT_EQ(breaker.GetState(kStart), State::kClosed);
}

TEST(CircuitBreaker, ResultsLeaveTheWindow) {
  CircuitBreaker breaker({});
  Report(breaker, kStart, Outcome::kFailure, 19);
  Report(breaker, kStart + seconds(10), Outcome::kFailure, 19);
  EXPECT_EQ(breaker.GetState(kStart + seconds(10)), State::kClosed);
  Report(breaker, kStart + seconds(19), Outcome::kFailure);
  EXPECT_EQ(breaker.GetState(kStart + seconds(19)), State::kOpen);
}

TEST(CircuitBreaker, HalfOpenAdmitsAFewProbesAtOnce) {
  CircuitBreaker breaker = OpenedAt(kStart);
  EXPECT_FALSE(breaker.Ask(kStart + seconds(5) - milliseconds(1)).admitted);
  const MonotonicTime now = kStart + seconds(5);
  EXPECT_EQ(breaker.GetState(now), State::kHalfOpen);
  for (int i = 0; i < 3; ++i) {
    const Verdict probe = breaker.Ask(now);
    EXPECT_TRUE(probe.admitted);
    EXPECT_TRUE(probe.probe);
  }
  const Verdict rejected = breaker.Ask(now + seconds(1));
  EXPECT_FALSE(rejected.admitted);
  EXPECT_EQ(rejected.retry_after, seconds(4));
}

TEST(CircuitBreaker, ProbesThatSucceedCloseIt) {
  CircuitBreaker breaker = OpenedAt(kStart);
  const MonotonicTime now = kStart + seconds(5);
  Report(breaker, now, Outcome::kSuccess, 2);
  EXPECT_EQ(breaker.GetState(now), State::kHalfOpen);
  Report(breaker, now, Outcome::kSuccess);
  EXPECT_EQ(breaker.GetState(now), State::kClosed);
  Report(breaker, now, Outcome::kFailure, 19);
  EXPECT_EQ(breaker.GetState(now), State::kClosed) << "what was before the opening is forgotten";
}

TEST(CircuitBreaker, EachProbeThatFailsDoublesTheWaitUpToABound) {
  CircuitBreaker breaker = OpenedAt(kStart);
  MonotonicTime now = kStart + seconds(5);
  for (const int wait : {10, 15, 15}) {
    Report(breaker, now, Outcome::kSuccess, 2);
    Report(breaker, now, Outcome::kFailure);
    EXPECT_EQ(breaker.Ask(now).retry_after, seconds(wait));
    now += seconds(wait);
  }
  EXPECT_EQ(breaker.GetStats().openings, 4u);
  Report(breaker, now, Outcome::kSuccess, 3);
  Report(breaker, now, Outcome::kFailure, 20);
  EXPECT_EQ(breaker.Ask(now).retry_after, seconds(5)) << "once closed it starts from the beginning";
}

TEST(CircuitBreaker, ACancelledProbeGivesItsPlaceBack) {
  CircuitBreaker breaker = OpenedAt(kStart);
  const MonotonicTime now = kStart + seconds(5);
  for (int i = 0; i < 100; ++i) {
    const Verdict probe = breaker.Ask(now);
    ASSERT_TRUE(probe.admitted);
    breaker.Record(now, Outcome::kIgnored, probe);
  }
  EXPECT_EQ(breaker.GetState(now), State::kHalfOpen);
  Report(breaker, now, Outcome::kSuccess, 3);
  EXPECT_EQ(breaker.GetState(now), State::kClosed);
}

TEST(CircuitBreaker, AProbeThatNeverReportsLosesItsPlace) {
  CircuitBreaker breaker = OpenedAt(kStart);
  MonotonicTime now = kStart + seconds(5);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(breaker.Ask(now).admitted);
  now += seconds(5);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(breaker.Ask(now).admitted);
  EXPECT_FALSE(breaker.Ask(now).admitted);
}

TEST(CircuitBreaker, AProbeThatReportsLateCountsAndTakesNobodysPlace) {
  CircuitBreaker breaker = OpenedAt(kStart);
  MonotonicTime now = kStart + seconds(5);
  const Verdict late = breaker.Ask(now);
  now += seconds(6);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(breaker.Ask(now).admitted);
  breaker.Record(now, Outcome::kSuccess, late);
  EXPECT_FALSE(breaker.Ask(now).admitted);
  Report(breaker, now + seconds(5), Outcome::kSuccess, 2);
  EXPECT_EQ(breaker.GetState(now + seconds(5)), State::kClosed);
}

TEST(CircuitBreaker, CallsFromBeforeTheOpeningDecideNothing) {
  CircuitBreaker breaker({});
  const Verdict before = breaker.Ask(kStart);
  Report(breaker, kStart, Outcome::kFailure, 20);
  breaker.Record(kStart, Outcome::kFailure, before);
  EXPECT_EQ(breaker.Ask(kStart).retry_after, seconds(5));
  const MonotonicTime now = kStart + seconds(5);
  for (int i = 0; i < 3; ++i) breaker.Record(now, Outcome::kSuccess, before);
  breaker.Record(now, Outcome::kFailure, before);
  EXPECT_EQ(breaker.GetState(now), State::kHalfOpen);
  Report(breaker, now, Outcome::kSuccess, 3);
  for (int i = 0; i < 100; ++i) breaker.Record(now, Outcome::kFailure, before);
  EXPECT_EQ(breaker.GetState(now), State::kClosed);
}

TEST(CircuitBreaker, AProbeOfAnEarlierRoundDecidesNothing) {
  CircuitBreaker breaker = OpenedAt(kStart);
  MonotonicTime now = kStart + seconds(5);
  const Verdict earlier = breaker.Ask(now);
  Report(breaker, now, Outcome::kFailure);
  now += seconds(10);
  ASSERT_TRUE(breaker.Ask(now).probe);
  breaker.Record(now, Outcome::kFailure, earlier);
  EXPECT_EQ(breaker.GetState(now), State::kHalfOpen);
}

TEST(CircuitBreaker, ReportingARejectionDoesNothing) {
  CircuitBreaker breaker = OpenedAt(kStart);
  const Verdict rejected = breaker.Ask(kStart);
  const MonotonicTime now = kStart + seconds(5);
  ASSERT_TRUE(breaker.Ask(now).probe);
  breaker.Record(now, Outcome::kFailure, rejected);
  EXPECT_EQ(breaker.GetState(now), State::kHalfOpen);
}

TEST(CircuitBreaker, AClockThatGoesBackStretchesNoWait) {
  CircuitBreaker breaker = OpenedAt(kStart);
  MonotonicTime now = kStart - hours(10);
  EXPECT_EQ(breaker.Ask(now).retry_after, seconds(5));
  now += seconds(5);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(breaker.Ask(now).probe);
  now -= hours(10);
  EXPECT_EQ(breaker.Ask(now).retry_after, seconds(5));
  EXPECT_TRUE(breaker.Ask(now + seconds(5)).probe);
}

TEST(CircuitBreaker, AClockThatGoesBackEmptiesTheWindowAndKeepsCounting) {
  CircuitBreaker breaker({});
  Report(breaker, kStart, Outcome::kFailure, 19);
  const MonotonicTime back = kStart - hours(10);
  Report(breaker, back, Outcome::kFailure, 19);
  EXPECT_EQ(breaker.GetState(back), State::kClosed);
  Report(breaker, back, Outcome::kFailure);
  EXPECT_EQ(breaker.GetState(back), State::kOpen);
}

TEST(CircuitBreaker, CallersThatOvertakeEachOtherLoseNoResult) {
  CircuitBreaker breaker({});
  Report(breaker, kStart, Outcome::kFailure, 10);
  Report(breaker, kStart - milliseconds(1), Outcome::kFailure, 10);
  EXPECT_EQ(breaker.GetState(kStart), State::kOpen);
}

TEST(CircuitBreaker, AClockThatLeapsAheadEndsEveryWait) {
  CircuitBreaker breaker = OpenedAt(kStart);
  MonotonicTime now = kStart + hours(100000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(breaker.Ask(now).probe);
  now += hours(100000);
  Report(breaker, now, Outcome::kSuccess, 3);
  EXPECT_EQ(breaker.GetState(now), State::kClosed);
}

TEST(CircuitBreaker, JudgesWhatAnAttemptSaysAboutUpstream) {
  struct Row {
    HttpCause cause;
    int http_status;
    MonotonicDuration waited;
    Outcome outcome;
  };
  const Row rows[] = {
      {HttpCause::kDns, 0, {}, Outcome::kFailure},
      {HttpCause::kConnect, 0, {}, Outcome::kFailure},
      {HttpCause::kProxy, 0, {}, Outcome::kFailure},
      {HttpCause::kTls, 0, {}, Outcome::kFailure},
      {HttpCause::kReset, 0, {}, Outcome::kFailure},
      {HttpCause::kMalformed, 0, {}, Outcome::kFailure},
      {HttpCause::kDeadline, 0, seconds(1), Outcome::kFailure},
      {HttpCause::kDeadline, 0, milliseconds(999), Outcome::kIgnored},
      {HttpCause::kDeadline, 200, {}, Outcome::kIgnored},
      {HttpCause::kTooLarge, 200, seconds(9), Outcome::kIgnored},
      {HttpCause::kCancelled, 0, seconds(9), Outcome::kIgnored},
      {HttpCause::kRefused, 0, seconds(9), Outcome::kIgnored},
      {HttpCause::kNone, 200, seconds(9), Outcome::kSuccess},
      {HttpCause::kNone, 302, {}, Outcome::kSuccess},
      {HttpCause::kNone, 400, {}, Outcome::kSuccess},
      {HttpCause::kNone, 401, {}, Outcome::kSuccess},
      {HttpCause::kNone, 403, {}, Outcome::kIgnored},
      {HttpCause::kNone, 404, {}, Outcome::kSuccess},
      {HttpCause::kNone, 429, {}, Outcome::kIgnored},
      {HttpCause::kNone, 500, {}, Outcome::kFailure},
      {HttpCause::kNone, 501, {}, Outcome::kSuccess},
      {HttpCause::kNone, 502, {}, Outcome::kFailure},
      {HttpCause::kNone, 503, {}, Outcome::kFailure},
      {HttpCause::kNone, 504, {}, Outcome::kFailure},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(CircuitBreaker::Judge(row.cause, row.http_status, row.waited), row.outcome)
        << "cause " << static_cast<int>(row.cause) << ", status " << row.http_status << ", waited "
        << row.waited.count();
  }
}

// A call under way in the property tests.
struct Call {
  Verdict verdict;
  MonotonicTime since;
};

MonotonicDuration RandomStep(std::mt19937& random) {
  return milliseconds(static_cast<int64_t>(std::exponential_distribution<>(0.02)(random)));
}

// Calls in any order and of any duration, some of which never report, over an upstream that is well
// and ill in turns; compared with a list of all results.
TEST(CircuitBreaker, OpensExactlyWhenTheWindowSaysSoAndBoundsItsProbes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const CircuitBreaker::Options options;
  CircuitBreaker breaker(options);
  MonotonicTime now = kStart;
  std::vector<Call> calls;
  std::vector<std::pair<int64_t, bool>> results;  // second and failure, since it closed
  uint64_t rejections = 0;
  unsigned failing = 10;  // per cent
  uint64_t openings_seen = 0;
  uint64_t closings_seen = 0;
  State before = State::kClosed;
  for (int i = 0; i < 50000; ++i) {
    now += RandomStep(random);
    if (random() % 500 == 0) failing = random() % 2 == 0 ? 0 : random() % 101;
    if (calls.empty() || random() % 2 == 0) {
      const Verdict verdict = breaker.Ask(now);
      before = breaker.GetState(now);
      ASSERT_EQ(verdict.admitted && verdict.probe, verdict.admitted && before == State::kHalfOpen);
      if (!verdict.admitted) {
        ++rejections;
        ASSERT_NE(before, State::kClosed);
        ASSERT_GT(verdict.retry_after, MonotonicDuration::zero());
        ASSERT_LE(verdict.retry_after, options.max_open_for);
        CircuitBreaker later = breaker;
        ASSERT_TRUE(later.Ask(now + verdict.retry_after).admitted);
        continue;
      }
      calls.push_back({verdict, now});
      const auto holds_place = [&](const Call& call) {
        return call.verdict.probe && now - call.since < options.open_for;
      };
      ASSERT_LE(std::count_if(calls.begin(), calls.end(), holds_place), options.probes);
      continue;
    }
    std::swap(calls[random() % calls.size()], calls.back());
    const Call call = calls.back();
    calls.pop_back();
    if (random() % 20 == 0) continue;  // never reports
    const bool failed = random() % 100 < failing;
    before = breaker.GetState(now);
    breaker.Record(now, failed ? Outcome::kFailure : Outcome::kSuccess, call.verdict);
    const State after = breaker.GetState(now);
    if (before != State::kClosed) {
      if (after == State::kClosed) {
        results.clear();
        ++closings_seen;
        // Calls from before are not in the list of results.
        calls.clear();
      }
      if (after == State::kOpen) {
        // A probe that failed ended the round; those left of it do not hold places in the next.
        for (Call& left : calls) left.verdict.probe = false;
      }
      continue;
    }
    const int64_t second = std::chrono::floor<seconds>(now.time_since_epoch()).count();
    results.emplace_back(second, failed);
    int volume = 0;
    int failures = 0;
    for (const auto& [number, failure] : results) {
      if (number <= second - 10) continue;
      ++volume;
      failures += failure ? 1 : 0;
    }
    const bool ill = volume >= options.min_volume && failures * 2 >= volume;
    ASSERT_EQ(after, ill ? State::kOpen : State::kClosed) << failures << " of " << volume;
    if (ill) ++openings_seen;
  }
  EXPECT_EQ(breaker.GetStats().rejections, rejections);
  EXPECT_GE(breaker.GetStats().openings, openings_seen);
  // That it was worth while: a hundred turns of upstream's health bring dozens of both.
  EXPECT_GT(openings_seen, 0u);
  EXPECT_GT(closings_seen, 0u);
}

TEST(CircuitBreaker, WhateverTheClockDidAnUpstreamThatIsWellClosesIt) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const CircuitBreaker::Options options;
  CircuitBreaker breaker(options);
  MonotonicTime now = kStart;
  std::vector<Verdict> verdicts;
  for (int i = 0; i < 5000; ++i) {
    const int64_t reach = int64_t{1} << random() % 32;  // milliseconds, up to 24 days
    if (random() % 4 == 0)
      now += milliseconds(std::uniform_int_distribution<int64_t>(-reach, reach)(random));
    verdicts.push_back(breaker.Ask(now));
    const size_t reported = random() % verdicts.size();
    if (random() % 4 != 0)
      breaker.Record(now, random() % 8 ? Outcome::kFailure : Outcome::kSuccess, verdicts[reported]);
    CircuitBreaker later = breaker;
    MonotonicTime then = now;
    if (random() % 4 == 0)
      then += milliseconds(std::uniform_int_distribution<int64_t>(-reach, reach)(random));
    const MonotonicTime end = then + options.max_open_for + options.open_for;
    later.Ask(then);  // with a lost probe more
    while (then < end) {
      const Verdict verdict = later.Ask(then);
      later.Record(then, Outcome::kSuccess, verdict);
      if (later.GetState(then) == State::kClosed) break;
      if (!verdict.admitted) then += verdict.retry_after;
    }
    ASSERT_EQ(later.GetState(then), State::kClosed) << "at event " << i;
  }
  EXPECT_GT(breaker.GetStats().openings, 0u);
}

}  // namespace
}  // namespace semaphore::client
