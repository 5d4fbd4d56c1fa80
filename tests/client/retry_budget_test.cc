#include "client/retry_budget.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace semaphore::client {
namespace {

TEST(RetryBudget, TheReserveLetsRareTrafficRetry) {
  RetryBudget budget({.share = 0.2, .reserve = 10});
  EXPECT_DOUBLE_EQ(budget.Available(), 10);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.TryRetry());
  EXPECT_FALSE(budget.TryRetry());
  EXPECT_EQ(budget.GetStats().allowed, 10u);
  EXPECT_EQ(budget.GetStats().refused, 1u);
}

TEST(RetryBudget, FiveRequestsPayForOneRetry) {
  RetryBudget budget({.share = 0.2, .reserve = 10});
  while (budget.TryRetry()) {
  }
  for (int i = 0; i < 4; ++i) budget.OnRequest();
  EXPECT_FALSE(budget.TryRetry());
  budget.OnRequest();
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_FALSE(budget.TryRetry());
}

TEST(RetryBudget, ALongQuietTimeSavesNoMoreThanTheReserve) {
  RetryBudget budget({.share = 0.2, .reserve = 3});
  for (int i = 0; i < 1000; ++i) budget.OnRequest();
  EXPECT_DOUBLE_EQ(budget.Available(), 3);
}

TEST(RetryBudget, ARefusalTakesNothing) {
  RetryBudget budget({.share = 0.5, .reserve = 1});
  ASSERT_TRUE(budget.TryRetry());
  budget.OnRequest();
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(budget.TryRetry());
  budget.OnRequest();
  EXPECT_TRUE(budget.TryRetry());
}

TEST(RetryBudget, WithoutShareAndReserveNothingIsRetried) {
  RetryBudget budget({.share = 0, .reserve = 0});
  for (int i = 0; i < 100; ++i) budget.OnRequest();
  EXPECT_FALSE(budget.TryRetry());
}

TEST(RetryBudget, RetriesNeverExceedTheReserveAndTheShareOfRequests) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    const RetryBudget::Options options = {
        .share = std::uniform_real_distribution<>(0, 1)(random),
        .reserve = std::uniform_int_distribution<>(0, 20)(random)};
    SCOPED_TRACE("share " + std::to_string(options.share) + ", reserve " +
                 std::to_string(options.reserve));
    RetryBudget budget(options);
    uint64_t requests = 0;
    uint64_t retries = 0;
    uint64_t refused = 0;
    unsigned eagerness = 2;
    for (int i = 0; i < 5000; ++i) {
      if (random() % 100 == 0) eagerness = 1 + random() % 20;
      if (random() % eagerness == 0) {
        budget.OnRequest();
        ++requests;
      } else {
        budget.TryRetry() ? ++retries : ++refused;
      }
      ASSERT_LE(static_cast<double>(retries),
                options.reserve + options.share * static_cast<double>(requests) + 1e-6);
      ASSERT_GE(budget.Available(), 0);
      ASSERT_LE(budget.Available(), options.reserve);
    }
    ASSERT_EQ(budget.GetStats().allowed, retries);
    ASSERT_EQ(budget.GetStats().refused, refused);
  }
}

}  // namespace
}  // namespace semaphore::client
