#include "client/budget.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <vector>

#include "client/error.h"
#include "tests/client/fake_clock.h"
#include "tests/client/status_reading.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

class BudgetTest : public testing::Test {
 protected:
  asio::awaitable<bool> Sleep(MonotonicTime until) {
    sleeps_.push_back(until - clock_.Now());
    if (cancelled_) co_return false;
    clock_.AdvanceTo(until);
    co_return true;
  }

  Sleeper TheSleeper() {
    return [this](MonotonicTime until) { return Sleep(until); };
  }

  absl::Status Admit(Budget& budget, MonotonicTime deadline) {
    std::optional<absl::Status> status;
    asio::io_context context;
    asio::co_spawn(
        context, budget.Admit(deadline),
        [&status](std::exception_ptr, absl::Status result) { status = std::move(result); });
    context.run();
    return *status;
  }

  FakeClock clock_;
  std::vector<MonotonicDuration> sleeps_;
  bool cancelled_ = false;
};

TEST_F(BudgetTest, WhatTheBurstHoldsGoesAtOnce) {
  Budget budget({.requests_per_second = 10, .burst = 3}, clock_, TheSleeper());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Admit(budget, clock_.Now()).ok());
  EXPECT_TRUE(sleeps_.empty());
  EXPECT_NEAR(budget.GetStats().tokens, 0, 1e-9);
  EXPECT_EQ(budget.GetStats().burst, 3);
}

TEST_F(BudgetTest, TheRestWaitsItsTurn) {
  Budget budget({.requests_per_second = 10, .burst = 1}, clock_, TheSleeper());
  EXPECT_TRUE(Admit(budget, clock_.Now()).ok());
  EXPECT_TRUE(Admit(budget, clock_.Now() + seconds(1)).ok());
  ASSERT_EQ(sleeps_.size(), 1u);
  EXPECT_EQ(sleeps_[0], milliseconds(100));
}

TEST_F(BudgetTest, WhatCannotMakeItByTheDeadlineIsRefusedAtOnceWithRetryInfo) {
  Budget budget({.requests_per_second = 1, .burst = 1}, clock_, TheSleeper());
  ASSERT_TRUE(Admit(budget, clock_.Now()).ok());
  const absl::Status refused = Admit(budget, clock_.Now() + milliseconds(999));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_EQ(GetRetryAfter(refused), absl::Seconds(1));
  EXPECT_TRUE(sleeps_.empty());
  EXPECT_EQ(budget.GetStats().rejections, 1u);
  EXPECT_TRUE(Admit(budget, clock_.Now() + seconds(1)).ok()) << "the refusal took a token";
}

TEST_F(BudgetTest, MaxWaitBoundsTheWaitWhateverTheDeadline) {
  Budget budget({.requests_per_second = 0.1, .burst = 1, .max_wait = absl::Seconds(5)}, clock_,
                TheSleeper());
  ASSERT_TRUE(Admit(budget, clock_.Now()).ok());
  const absl::Status refused = Admit(budget, clock_.Now() + std::chrono::hours(1));
  EXPECT_EQ(ReasonOf(refused), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_EQ(GetRetryAfter(refused), absl::Seconds(10));
}

TEST_F(BudgetTest, ACallerWhoGoesAwayGivesTheTokenBack) {
  Budget budget({.requests_per_second = 1, .burst = 1}, clock_, TheSleeper());
  ASSERT_TRUE(Admit(budget, clock_.Now()).ok());
  cancelled_ = true;
  const absl::Status gone = Admit(budget, clock_.Now() + seconds(5));
  EXPECT_EQ(gone.code(), absl::StatusCode::kCancelled);
  cancelled_ = false;
  ASSERT_TRUE(Admit(budget, clock_.Now() + seconds(5)).ok());
  EXPECT_EQ(sleeps_.back(), seconds(1));
  EXPECT_EQ(budget.GetStats().waiting, 0u);
}

}  // namespace
}  // namespace semaphore::client
