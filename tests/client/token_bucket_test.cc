#include "client/token_bucket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

namespace semaphore::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};
constexpr MonotonicTime kNever = MonotonicTime::max();

TEST(TokenBucket, AFullBucketAdmitsItsBurstAtOnce) {
  TokenBucket bucket(10, 3);
  for (int i = 0; i < 3; ++i) {
    const auto verdict = bucket.Reserve(kStart, kStart);
    EXPECT_TRUE(verdict.admitted);
    EXPECT_EQ(verdict.at, kStart);
  }
  const auto refused = bucket.Reserve(kStart, kStart);
  EXPECT_FALSE(refused.admitted);
  EXPECT_EQ(refused.retry_after, milliseconds(100));
}

TEST(TokenBucket, WhoCanWaitGetsTheNextFreeTime) {
  TokenBucket bucket(10, 1);
  EXPECT_EQ(bucket.Reserve(kStart, kNever).at, kStart);
  EXPECT_EQ(bucket.Reserve(kStart, kNever).at, kStart + milliseconds(100));
  EXPECT_EQ(bucket.Reserve(kStart, kNever).at, kStart + milliseconds(200));
}

TEST(TokenBucket, ARefusalTakesNothing) {
  TokenBucket bucket(1, 1);
  ASSERT_TRUE(bucket.Reserve(kStart, kStart).admitted);
  for (int i = 0; i < 100; ++i) {
    const auto refused = bucket.Reserve(kStart, kStart + milliseconds(999));
    ASSERT_FALSE(refused.admitted);
    ASSERT_EQ(refused.retry_after, seconds(1));
  }
  EXPECT_TRUE(bucket.Reserve(kStart, kStart + seconds(1)).admitted);
}

TEST(TokenBucket, TheNewestReservationCanBeGivenBack) {
  TokenBucket bucket(10, 1);
  bucket.Reserve(kStart, kNever);
  const auto waiting = bucket.Reserve(kStart, kNever);
  bucket.Cancel(waiting);
  EXPECT_EQ(bucket.Reserve(kStart, kNever).at, waiting.at);
}

TEST(TokenBucket, AnOlderReservationIsLostSoThatNoTwoCollide) {
  TokenBucket bucket(10, 1);
  bucket.Reserve(kStart, kNever);
  const auto older = bucket.Reserve(kStart, kNever);
  const auto newer = bucket.Reserve(kStart, kNever);
  bucket.Cancel(older);
  EXPECT_GT(bucket.Reserve(kStart, kNever).at, newer.at);
}

TEST(TokenBucket, GivingBackTwiceOrARefusalGivesNothing) {
  TokenBucket bucket(10, 1);
  bucket.Reserve(kStart, kNever);
  const auto waiting = bucket.Reserve(kStart, kNever);
  bucket.Cancel(waiting);
  bucket.Cancel(waiting);
  bucket.Cancel(bucket.Reserve(kStart, kStart));
  EXPECT_EQ(bucket.Reserve(kStart, kNever).at, waiting.at);
}

TEST(TokenBucket, TokensComeBackAtTheRateUpToTheBurst) {
  TokenBucket bucket(10, 5);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart), 5);
  for (int i = 0; i < 5; ++i) bucket.Reserve(kStart, kStart);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart), 0);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + milliseconds(150)), 1.5);
  EXPECT_DOUBLE_EQ(bucket.Available(kStart + seconds(100)), 5);
}

TEST(TokenBucket, ATimeThatSeemsToGoBackBreaksNothing) {
  TokenBucket bucket(10, 2);
  bucket.Reserve(kStart + seconds(1), kNever);
  bucket.Reserve(kStart + seconds(1), kNever);
  EXPECT_GE(bucket.Reserve(kStart, kNever).at, kStart + seconds(1) + milliseconds(100));
}

// In any window of length w at most rate·w + burst requests go, whatever order callers come in, how
// long they can wait and who gives up.
TEST(TokenBucket, NoWindowHoldsMoreThanRateTimesItsLengthPlusBurst) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::pair<double, int> sizes[] = {{0.01, 1},   {1, 1},         {3, 2},       {7, 20},
                                          {10, 20},    {700, 1},       {333333, 50}, {700000, 3},
                                          {999999, 1}, {1000000, 1000}};
  for (const auto& [rate, burst] : sizes) {
    SCOPED_TRACE("rate " + std::to_string(rate) + ", burst " + std::to_string(burst));
    TokenBucket bucket(rate, burst);
    const auto interval = std::chrono::duration<double>(1 / rate);
    std::vector<MonotonicTime> gone;
    MonotonicTime now = kStart;
    for (int i = 0; i < 3000; ++i) {
      const double step = std::exponential_distribution<>(2)(random);
      if (random() % 4 == 0)
        now += std::chrono::duration_cast<MonotonicDuration>(interval * step * 4);
      const auto patience = std::chrono::duration_cast<MonotonicDuration>(
          interval * static_cast<double>(random() % 6));
      const auto verdict = bucket.Reserve(now, now + patience);
      if (!verdict.admitted) {
        ASSERT_GT(verdict.retry_after, patience);
        continue;
      }
      ASSERT_GE(verdict.at, now);
      ASSERT_LE(verdict.at, now + patience);
      if (verdict.at > now && random() % 5 == 0) {
        bucket.Cancel(verdict);
      } else {
        gone.push_back(verdict.at);
      }
    }
    std::sort(gone.begin(), gone.end());
    ASSERT_GT(gone.size(), 100u);
    for (size_t first = 0; first < gone.size(); ++first) {
      for (size_t last = first; last < gone.size(); ++last) {
        const double window = std::chrono::duration<double>(gone[last] - gone[first]).count();
        ASSERT_LE(static_cast<double>(last - first + 1), rate * window + burst + 1e-6)
            << "from " << first << " to " << last;
      }
    }
  }
}

TEST(TokenBucket, ALongRunDoesNotOutpaceARateThatIsNoWholeNumberOfNanoseconds) {
  TokenBucket bucket(700000, 1);
  MonotonicTime last = kStart;
  constexpr int kCount = 1000000;
  for (int i = 0; i < kCount; ++i) last = bucket.Reserve(kStart, kNever).at;
  const double window = std::chrono::duration<double>(last - kStart).count();
  EXPECT_LE(kCount, 700000 * window + 1 + 1e-6);
}

}  // namespace
}  // namespace semaphore::client
