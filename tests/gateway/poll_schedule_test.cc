#include "gateway/poll_schedule.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>

namespace semaphore::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class PollScheduleTest : public testing::Test {
 protected:
  double share_ = 0.5;
  PollSchedule schedule_{[this] { return share_; }};
  client::MonotonicTime now_{std::chrono::hours(1)};
};

TEST_F(PollScheduleTest, SpreadsNewThingsOverTheInterval) {
  double next = 0;
  PollSchedule schedule([&next] { return next += 0.1; });
  for (int i = 0; i < 9; ++i) schedule.Add(std::to_string(i), now_, seconds(30));
  for (int i = 0; i < 9; ++i) {
    EXPECT_FALSE(schedule.Take(now_ + seconds(3 * i + 2)).has_value()) << i;
    EXPECT_EQ(schedule.Take(now_ + seconds(3 * i + 3) + milliseconds(1)), std::to_string(i));
  }
}

TEST_F(PollScheduleTest, WhatIsOutIsNotGivenAgain) {
  schedule_.Add("a", now_, seconds(0));
  EXPECT_EQ(schedule_.Take(now_), "a");
  EXPECT_FALSE(schedule_.Take(now_ + seconds(1000)).has_value());
  EXPECT_FALSE(schedule_.NextDue().has_value());
}

TEST_F(PollScheduleTest, ComesAgainAfterTheInterval) {
  schedule_.Add("a", now_, seconds(0));
  schedule_.Take(now_);
  schedule_.Done("a", true, seconds(30), now_ + seconds(2));
  EXPECT_EQ(schedule_.NextDue(), now_ + seconds(30));
}

TEST_F(PollScheduleTest, FailuresDoubleTheIntervalUpToABound) {
  schedule_.Add("a", now_, seconds(0));
  client::MonotonicDuration last{};
  for (int i = 0; i < 12; ++i) {
    now_ = *schedule_.NextDue();
    schedule_.Take(now_);
    schedule_.Done("a", false, seconds(30), now_);
    last = *schedule_.NextDue() - now_;
    if (i == 0) {
      EXPECT_EQ(last, seconds(60));
    }
  }
  EXPECT_EQ(last, PollSchedule::kMaxBackoff);
  now_ = *schedule_.NextDue();
  schedule_.Take(now_);
  schedule_.Done("a", true, seconds(30), now_);
  EXPECT_EQ(*schedule_.NextDue() - now_, seconds(30));
}

TEST_F(PollScheduleTest, OneThatFellBehindIsNotCaughtUpWith) {
  schedule_.Add("a", now_, seconds(0));
  schedule_.Take(now_);
  now_ += minutes(10);
  schedule_.Done("a", true, seconds(30), now_);
  EXPECT_GT(*schedule_.NextDue(), now_);
}

TEST_F(PollScheduleTest, ARemovedOneThatIsOutEndsWithItsTurn) {
  schedule_.Add("a", now_, seconds(0));
  schedule_.Take(now_);
  schedule_.Remove("a");
  schedule_.Done("a", true, seconds(30), now_);
  EXPECT_EQ(schedule_.size(), 0u);
}

TEST_F(PollScheduleTest, TheIntervalGrowsWhereTheBudgetWouldBeSpentOnPolling) {
  EXPECT_EQ(PollInterval(seconds(30), RoundRequests(10), 10), seconds(30));
  // 2002 requests a round, at most five a second.
  EXPECT_EQ(
      std::chrono::duration_cast<milliseconds>(PollInterval(seconds(30), RoundRequests(1000), 10)),
      milliseconds(400'400));
}

}  // namespace
}  // namespace semaphore::gateway
