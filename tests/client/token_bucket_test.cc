#include "client/token_bucket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace semaphore::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

TEST(TokenBucket, AFullBucketGivesItsBurstAtOnce) {
  TokenBucket bucket(10, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.Take(kStart), std::nullopt);
  EXPECT_EQ(bucket.Take(kStart), milliseconds(100));
}

TEST(TokenBucket, ARefusalTakesNothing) {
  TokenBucket bucket(1, 1);
  ASSERT_EQ(bucket.Take(kStart), std::nullopt);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(bucket.Take(kStart), seconds(1));
  EXPECT_EQ(bucket.Take(kStart + seconds(1)), std::nullopt);
}

TEST(TokenBucket, TokensComeBackAtTheRateUpToTheBurst) {
  TokenBucket bucket(10, 5);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart), 5);
  for (int i = 0; i < 5; ++i) bucket.Take(kStart);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart), 0);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + milliseconds(150)), 1.5);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + seconds(100)), 5);
}

TEST(TokenBucket, ATimeThatSeemsToGoBackBreaksNothing) {
  TokenBucket bucket(10, 2);
  bucket.Take(kStart + seconds(1));
  bucket.Take(kStart + seconds(1));
  EXPECT_EQ(bucket.Take(kStart), seconds(1) + milliseconds(100));
}

TEST(TokenBucket, AnotherRateKeepsTheNumberOfTokens) {
  TokenBucket bucket(10, 20);
  for (int i = 0; i < 12; ++i) bucket.Take(kStart);
  bucket.SetRate(kStart, 2);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart), 8);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + seconds(1)), 10);
  bucket.SetRate(kStart + seconds(1), 5);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + seconds(1)), 10);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + seconds(2)), 15);
}

TEST(TokenBucket, AFullBucketStaysFullAtAnotherRate) {
  TokenBucket bucket(10, 3);
  bucket.SetRate(kStart, 1);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.Take(kStart), std::nullopt);
  EXPECT_EQ(bucket.Take(kStart), seconds(1));
}

TEST(TokenBucket, AHigherRateShortensTheWait) {
  TokenBucket bucket(1, 2);
  bucket.Take(kStart);
  bucket.Take(kStart);
  bucket.SetRate(kStart, 10);
  EXPECT_EQ(bucket.Take(kStart), milliseconds(100));
}

TEST(TokenBucket, ADrainedBucketHoldsNothingAndFillsAtItsRate) {
  TokenBucket bucket(10, 5);
  bucket.Drain(kStart);
  bucket.Drain(kStart);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart), 0);
  EXPECT_EQ(bucket.Take(kStart), milliseconds(100));
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + milliseconds(250)), 2.5);
}

struct Taken {
  MonotonicTime at;
  double allowance = 0;  // tokens that the rates in force have brought up to `at`
};

// The most that any window held beyond its allowance; a window's own first token is part of it.
double WorstExcess(const std::vector<Taken>& taken) {
  double worst = 0;
  double most_before = -1e300;
  for (size_t i = 0; i < taken.size(); ++i) {
    const auto index = static_cast<double>(i);
    most_before = std::max(most_before, taken[i].allowance - index);
    worst = std::max(worst, index + 1 - taken[i].allowance + most_before);
  }
  return worst;
}

// In any window of length w at most rate·w + burst are taken, whatever order callers come in, while
// the rate changes and the bucket is drained at any moment.
TEST(TokenBucket, PropertyNoWindowHoldsMoreThanTheRatesInForceAllow) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::pair<double, int> sizes[] = {{0.01, 1},   {1, 1},         {3, 2},       {7, 20},
                                          {10, 20},    {700, 1},       {333333, 50}, {700000, 3},
                                          {999999, 1}, {1000000, 1000}};
  for (size_t round = 0; round < 60; ++round) {
    const auto& [max_rate, burst] = sizes[round % std::size(sizes)];
    const unsigned unrest = 1U << round % 8;  // one change in so many steps; at times hardly any
    SCOPED_TRACE("round " + std::to_string(round) + ", rate " + std::to_string(max_rate));
    TokenBucket bucket(max_rate, burst);
    const auto interval = std::chrono::duration<double>(1 / max_rate);
    std::vector<Taken> taken;
    MonotonicTime now = kStart;
    double rate = max_rate;
    double allowance = 0;
    for (int i = 0; i < 5000; ++i) {
      if (random() % 2 == 0) {
        const auto step = std::chrono::duration_cast<MonotonicDuration>(
            interval * 4 * std::exponential_distribution<>(2)(random));
        now += step;
        allowance += std::chrono::duration<double>(step).count() * rate;
      }
      if (round % 3 > 0 && random() % unrest == 0) {
        rate = max_rate / (1 << random() % 6);
        bucket.SetRate(now, rate);
      }
      if (random() % unrest == 0 && random() % 16 == 0) bucket.Drain(now);
      const auto wait = bucket.Take(now);
      if (wait) {
        ASSERT_GT(*wait, MonotonicDuration::zero());
      } else {
        taken.push_back({now, allowance});
      }
    }
    ASSERT_GT(taken.size(), 50u);
    // A nanosecond of rounding for each change of the rate.
    ASSERT_LE(WorstExcess(taken), burst + 5000 * max_rate * 1e-9 + 1e-4);
  }
}

TEST(TokenBucket, ALongRunDoesNotOutpaceARateThatIsNoWholeNumberOfNanoseconds) {
  TokenBucket bucket(700000, 1);
  MonotonicTime now = kStart;
  constexpr int kCount = 1000000;
  for (int i = 0; i < kCount; ++i) {
    if (const auto wait = bucket.Take(now)) {
      now += *wait;
      bucket.Take(now);
    }
  }
  const double window = std::chrono::duration<double>(now - kStart).count();
  EXPECT_LE(kCount, 700000 * window + 1 + 1e-6);
}

}  // namespace
}  // namespace semaphore::client
