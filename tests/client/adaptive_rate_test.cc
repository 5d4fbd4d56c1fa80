#include "client/adaptive_rate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace semaphore::client {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr MonotonicTime kStart{hours(1000)};

TEST(AdaptiveRate, StartsWithTheWholeRate) {
  const AdaptiveRate rate;
  EXPECT_EQ(rate.Share(kStart), 1);
  EXPECT_EQ(rate.PausedUntil(kStart), std::nullopt);
}

TEST(AdaptiveRate, AThrottleHalvesTheRateAndTimeBringsItBack) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(kStart), 0.5);
  EXPECT_EQ(rate.PausedUntil(kStart), std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(kStart + seconds(2)), 0.7);
  EXPECT_DOUBLE_EQ(rate.Share(kStart + seconds(5)), 1);
  EXPECT_DOUBLE_EQ(rate.Share(kStart + hours(10000)), 1);
}

TEST(AdaptiveRate, ABurstOfParallelThrottlesCountsOnce) {
  AdaptiveRate rate;
  for (int i = 0; i < 100; ++i) rate.OnThrottled(kStart + milliseconds(9 * i), std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(kStart), 0.5);
  rate.OnThrottled(kStart + seconds(1), std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(kStart + seconds(1)), 0.3);
}

TEST(AdaptiveRate, ItNeverFallsBelowItsLeast) {
  AdaptiveRate rate;
  for (int i = 0; i < 100; ++i) {
    rate.OnThrottled(kStart + seconds(i), std::nullopt);
    EXPECT_GE(rate.Share(kStart + seconds(i)), AdaptiveRate::kMinShare);
  }
  EXPECT_LT(rate.Share(kStart + seconds(99)), 0.2);
}

TEST(AdaptiveRate, RetryAfterPausesAndThenRampsUp) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, seconds(30));
  const MonotonicTime end = kStart + seconds(30);
  EXPECT_EQ(rate.PausedUntil(kStart), end);
  EXPECT_EQ(rate.PausedUntil(end - MonotonicDuration(1)), end);
  EXPECT_EQ(rate.PausedUntil(end), std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(kStart), 0.125);
  EXPECT_DOUBLE_EQ(rate.Share(end), 0.125);
  EXPECT_DOUBLE_EQ(rate.Share(end + seconds(5)), 0.625);
  EXPECT_DOUBLE_EQ(rate.Share(end + seconds(9)), 1);
}

TEST(AdaptiveRate, APauseNeverRaisesTheShare) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, seconds(5));
  rate.OnThrottled(kStart + seconds(5), std::nullopt);
  ASSERT_DOUBLE_EQ(rate.Share(kStart + seconds(5)), 0.0625);
  rate.OnThrottled(kStart + seconds(5), seconds(5));
  EXPECT_DOUBLE_EQ(rate.Share(kStart + seconds(10)), 0.0625);
}

TEST(AdaptiveRate, RetryAfterIsBounded) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, MonotonicDuration::max());
  EXPECT_EQ(rate.PausedUntil(kStart), kStart + AdaptiveRate::kMaxPause);
}

TEST(AdaptiveRate, ARetryAfterInThePastIsNone) {
  for (const MonotonicDuration retry_after :
       {MonotonicDuration::zero(), MonotonicDuration::min()}) {
    AdaptiveRate rate;
    rate.OnThrottled(kStart, retry_after);
    EXPECT_EQ(rate.PausedUntil(kStart), std::nullopt);
    EXPECT_DOUBLE_EQ(rate.Share(kStart), 0.5);
  }
}

TEST(AdaptiveRate, LaterThrottlesExtendAPauseAndNeverShortenIt) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, seconds(30));
  rate.OnThrottled(kStart + seconds(1), seconds(2));
  rate.OnThrottled(kStart + seconds(2), std::nullopt);
  rate.OnSuccess(kStart + seconds(2));
  EXPECT_EQ(rate.PausedUntil(kStart + seconds(2)), kStart + seconds(30));
  EXPECT_DOUBLE_EQ(rate.Share(kStart + seconds(30)), 0.125);
  rate.OnThrottled(kStart + seconds(3), seconds(60));
  EXPECT_EQ(rate.PausedUntil(kStart + seconds(3)), kStart + seconds(63));
  EXPECT_DOUBLE_EQ(rate.Share(kStart + seconds(63)), 0.125);
}

TEST(AdaptiveRate, TheLongestPauseSurvivesCallersThatOvertakeEachOther) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, AdaptiveRate::kMaxPause);
  const MonotonicTime before = kStart - milliseconds(3);
  rate.OnSuccess(before);
  EXPECT_TRUE(rate.PausedUntil(before));
  EXPECT_TRUE(rate.PausedUntil(kStart));
}

TEST(AdaptiveRate, AClockThatGoesBackHoldsUpNoRecovery) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, std::nullopt);
  const MonotonicTime back = kStart - hours(10);
  EXPECT_DOUBLE_EQ(rate.Share(back), 0.5);
  rate.OnSuccess(back);
  EXPECT_DOUBLE_EQ(rate.Share(back + seconds(5)), 1);
  rate.OnThrottled(back + seconds(5), std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(back + seconds(5)), 0.5);
}

TEST(AdaptiveRate, AClockThatGoesBackStretchesNoPause) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, minutes(2));
  const MonotonicTime back = kStart - hours(10);
  EXPECT_EQ(rate.PausedUntil(back), std::nullopt);
  rate.OnSuccess(back);
  EXPECT_EQ(rate.PausedUntil(kStart), std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(back + seconds(9)), 1);
}

TEST(AdaptiveRate, AClockThatLeapsAheadEndsThePause) {
  AdaptiveRate rate;
  rate.OnThrottled(kStart, minutes(2));
  const MonotonicTime ahead = kStart + hours(100000);
  EXPECT_EQ(rate.PausedUntil(ahead), std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(ahead), 1);
  rate.OnThrottled(ahead, std::nullopt);
  EXPECT_DOUBLE_EQ(rate.Share(ahead), 0.5);
}

// Throttles of all kinds and successes in any order, with time running forward.
TEST(AdaptiveRate, TheShareStaysInBoundsAndOnlyThrottlesLowerIt) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  AdaptiveRate rate;
  MonotonicTime now = kStart;
  MonotonicTime last_effect = kStart;
  double share = 1;
  for (int i = 0; i < 20000; ++i) {
    now += milliseconds(static_cast<int64_t>(std::exponential_distribution<>(0.002)(random)));
    const auto paused = rate.PausedUntil(now);
    ASSERT_GE(rate.Share(now), share) << "at event " << i;
    share = rate.Share(now);
    switch (random() % 8) {
      case 0: {
        rate.OnThrottled(now, milliseconds(random() % 20000));
        last_effect = now;
        break;
      }
      case 1:
        rate.OnThrottled(now, std::nullopt);
        last_effect = now;
        break;
      case 2:
        if (random() % 20 == 0) now += seconds(60);
        break;
      default:
        rate.OnSuccess(now);
        ASSERT_GE(rate.Share(now), share);
    }
    ASSERT_LE(rate.Share(now), 1);
    ASSERT_GE(rate.Share(now), AdaptiveRate::kMinShare);
    const auto pause = rate.PausedUntil(now);
    if (paused && *paused > now) {
      ASSERT_TRUE(pause);
      ASSERT_GE(*pause, *paused);
    }
    if (pause) {
      ASSERT_GT(*pause, now);
      ASSERT_LE(*pause, now + AdaptiveRate::kMaxPause);
    }
    const MonotonicTime calm = std::max(pause.value_or(now), last_effect);
    ASSERT_DOUBLE_EQ(rate.Share(calm + seconds(10)), 1);
    share = rate.Share(now);
  }
}

TEST(AdaptiveRate, WhateverTheClockDidTheWholeRateComesBack) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  AdaptiveRate rate;
  MonotonicTime now = kStart;
  for (int i = 0; i < 5000; ++i) {
    const int64_t reach = int64_t{1} << random() % 32;  // milliseconds, up to 24 days
    now += milliseconds(std::uniform_int_distribution<int64_t>(-reach, reach)(random));
    if (random() % 2 == 0) {
      rate.OnThrottled(now, std::nullopt);
    } else {
      rate.OnThrottled(now, milliseconds(random() % 600000));
    }
    ASSERT_LE(rate.Share(now), 1);
    ASSERT_GE(rate.Share(now), AdaptiveRate::kMinShare);
    AdaptiveRate later = rate;
    MonotonicTime then =
        now + milliseconds(std::uniform_int_distribution<int64_t>(-reach, reach)(random));
    later.OnSuccess(then);
    then += AdaptiveRate::kMaxPause + seconds(11);
    ASSERT_EQ(later.PausedUntil(then), std::nullopt) << "at event " << i;
    ASSERT_DOUBLE_EQ(later.Share(then), 1) << "at event " << i;
  }
}

}  // namespace
}  // namespace semaphore::client
