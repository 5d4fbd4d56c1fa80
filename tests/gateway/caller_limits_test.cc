#include "gateway/caller_limits.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace semaphore::gateway {
namespace {

using std::chrono::milliseconds;

constexpr client::MonotonicTime kStart{std::chrono::hours(1)};

TEST(CallerLimits, EachCallerHasItsOwnQuota) {
  CallerLimits limits({.requests_per_second = 10, .burst = 2});
  EXPECT_EQ(limits.Take("a", kStart), std::nullopt);
  EXPECT_EQ(limits.Take("a", kStart), std::nullopt);
  EXPECT_EQ(limits.Take("a", kStart), milliseconds(100));
  EXPECT_EQ(limits.Take("b", kStart), std::nullopt);
  EXPECT_EQ(limits.Take("a", kStart + milliseconds(100)), std::nullopt);
}

TEST(CallerLimits, LookingTakesNothing) {
  CallerLimits limits({.requests_per_second = 10, .burst = 2});
  EXPECT_EQ(limits.Look("a", kStart), (CallerLimits::Standing{10, 2, 2})) << "never seen";
  EXPECT_EQ(limits.Take("a", kStart), std::nullopt);
  EXPECT_EQ(limits.Look("a", kStart), (CallerLimits::Standing{10, 2, 1}));
  EXPECT_EQ(limits.Look("a", kStart), (CallerLimits::Standing{10, 2, 1}));
  EXPECT_EQ(limits.Look("b", kStart), (CallerLimits::Standing{10, 2, 2}));
  EXPECT_EQ(CallerLimits({.requests_per_second = 0}).Look("a", kStart), std::nullopt);
}

TEST(CallerLimits, NoRateIsNoLimit) {
  CallerLimits limits({.requests_per_second = 0, .burst = 1});
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(limits.Take("a", kStart), std::nullopt);
}

TEST(CallerLimits, TheCallerNotSeenForLongestIsForgottenFirst) {
  CallerLimits limits({.requests_per_second = 1, .burst = 1, .max_callers = 3});
  for (const char* caller : {"a", "b", "c"}) EXPECT_EQ(limits.Take(caller, kStart), std::nullopt);
  EXPECT_TRUE(limits.Take("a", kStart).has_value()) << "still known, and now seen last";
  EXPECT_EQ(limits.Take("d", kStart), std::nullopt);
  EXPECT_TRUE(limits.Take("a", kStart).has_value());
  EXPECT_TRUE(limits.Take("c", kStart).has_value());
  EXPECT_EQ(limits.Take("b", kStart), std::nullopt) << "forgotten for d";
}

TEST(CallerLimits, ManyCallersNeverTakeMoreMemoryThanAllowed) {
  CallerLimits limits({.requests_per_second = 1, .burst = 1, .max_callers = 100});
  for (int i = 0; i < 100000; ++i) {
    ASSERT_EQ(limits.Take(std::to_string(i), kStart), std::nullopt);
  }
}

TEST(CallerOfPeer, IsTheAddressWithoutThePort) {
  EXPECT_EQ(CallerOfPeer("ipv4:10.0.0.7:53412"), "10.0.0.7");
  EXPECT_EQ(CallerOfPeer("ipv6:%5B2001:db8::1%5D:53412"), "2001:db8::1");
  EXPECT_EQ(CallerOfPeer("ipv6:[::1]:53412"), "::1");
  EXPECT_EQ(CallerOfPeer("unix:/run/x"), "unix:/run/x");
  EXPECT_EQ(CallerOfPeer(""), "");
}

}  // namespace
}  // namespace semaphore::gateway
