#include "client/local_budget.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "client/error.h"
#include "tests/client/status_reading.h"
#include "tests/client/virtual_time.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

// One request to be: when it comes, how long it dials and is in flight, how it ended.
struct Call {
  MonotonicDuration arrives{};
  Turn turn = {};
  MonotonicDuration within = std::chrono::hours(1);
  MonotonicDuration dials{};
  MonotonicDuration runs{};
  bool dial_fails = false;
  bool writes_twice = false;
  std::shared_ptr<Budget::SharedTurn> shared = {};

  absl::Status status = absl::UnknownError("has not ended");
  std::optional<MonotonicTime> entered = {};
  std::vector<MonotonicTime> written = {};
  MonotonicTime ended = {};
};

class LocalBudgetTest : public testing::Test {
 protected:
  LocalBudget& Make(LocalBudget::Options options) {
    budget_ = std::make_unique<LocalBudget>(std::move(options), time_.clock(),
                                            time_.context().get_executor(), time_.TheSleeper());
    return *budget_;
  }

  asio::awaitable<void> Carry(Call& call) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (call.arrives > MonotonicDuration::zero()) co_await time_.Sleep(start_ + call.arrives);
    co_await CarryOn(call);
    call.ended = time_.Now();
  }

  asio::awaitable<void> CarryOn(Call& call) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const MonotonicTime deadline = time_.Now() + call.within;
    absl::StatusOr<Budget::Pass> pass = co_await budget_->Enter(call.turn, deadline, call.shared);
    call.status = pass.status();
    if (!pass.ok()) co_return;
    call.entered = time_.Now();
    if (call.dials > MonotonicDuration::zero()) co_await time_.Sleep(time_.Now() + call.dials);
    if (call.dial_fails) co_return;
    for (int i = 0; i < (call.writes_twice ? 2 : 1); ++i) {
      call.status = co_await budget_->Charge(*pass, deadline);
      if (!call.status.ok()) co_return;
      call.written.push_back(time_.Now());
    }
    if (call.runs > MonotonicDuration::zero()) co_await time_.Sleep(time_.Now() + call.runs);
  }

  asio::awaitable<void> Throttle(MonotonicTime at, bool says_how_long) {
    co_await time_.Sleep(at);
    std::optional<absl::Duration> retry_after;
    if (says_how_long) retry_after = absl::Seconds(2);
    budget_->OnThrottled(retry_after);
  }

  asio::awaitable<void> RaiseAt(MonotonicTime at, std::shared_ptr<Budget::SharedTurn> shared) {
    co_await time_.Sleep(at);
    budget_->Raise(shared, Priority::kInteractive);
  }

  void Spawn(Call& call) {
    asio::co_spawn(asio::make_strand(time_.context()), Carry(call), asio::detached);
  }

  Call& Run(Call call) {
    calls_.push_back(std::move(call));
    Spawn(calls_.back());
    time_.Run();
    return calls_.back();
  }

  // All at once, in order of arrival.
  void RunAll(std::vector<Call> calls) {
    const size_t first = calls_.size();
    start_ = time_.Now();
    for (Call& call : calls) calls_.push_back(std::move(call));
    for (size_t i = first; i < calls_.size(); ++i) Spawn(calls_[i]);
    time_.Run();
  }

  VirtualTime time_;
  MonotonicTime start_ = time_.Now();
  std::deque<Call> calls_;
  std::unique_ptr<LocalBudget> budget_;
};

TEST_F(LocalBudgetTest, WhatTheBurstHoldsGoesAtOnce) {
  Make({.requests_per_second = 10, .burst = 3});
  RunAll({{}, {}, {}});
  for (const Call& call : calls_) EXPECT_EQ(call.written.at(0), start_);
  EXPECT_NEAR(budget_->GetStats().tokens, 0, 1e-9);
  EXPECT_EQ(budget_->GetStats().burst, 3);
}

TEST_F(LocalBudgetTest, TheRestWaitsItsTurn) {
  Make({.requests_per_second = 10, .burst = 1});
  RunAll({{}, {}, {}});
  EXPECT_EQ(calls_[1].written.at(0), start_ + milliseconds(100));
  EXPECT_EQ(calls_[2].written.at(0), start_ + milliseconds(200));
}

TEST_F(LocalBudgetTest, WhatCannotMakeItByTheDeadlineIsRefusedAtOnceWithRetryInfo) {
  Make({.requests_per_second = 1, .burst = 1});
  RunAll({{}, {.within = milliseconds(999)}});
  EXPECT_EQ(calls_[1].status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(calls_[1].status), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_EQ(GetRetryAfter(calls_[1].status), absl::Seconds(1));
  EXPECT_EQ(calls_[1].ended, start_);
  EXPECT_EQ(budget_->GetStats().rejections[0], 1u);
  EXPECT_TRUE(Run({.within = seconds(1)}).status.ok()) << "the refusal took a token";
}

TEST_F(LocalBudgetTest, MaxWaitBoundsTheWaitWhateverTheDeadline) {
  Make({.requests_per_second = 0.1, .burst = 1, .max_wait = absl::Seconds(5)});
  RunAll({{}, {}});
  EXPECT_EQ(ReasonOf(calls_[1].status), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_EQ(GetRetryAfter(calls_[1].status), absl::Seconds(10));
}

TEST_F(LocalBudgetTest, NoWaitAtAllIsAPossibleBound) {
  Make({.requests_per_second = 1, .burst = 1, .max_wait = absl::ZeroDuration()});
  RunAll({{}, {}});
  EXPECT_TRUE(calls_[0].status.ok()) << calls_[0].status;
  EXPECT_EQ(ReasonOf(calls_[1].status), "UPSTREAM_BUDGET_EXHAUSTED");
}

TEST_F(LocalBudgetTest, ACallerWhoGoesAwayGivesThePlaceToTheNext) {
  Make({.requests_per_second = 1, .burst = 1});
  Run({});
  Call leaving;
  Call staying;
  start_ = time_.Now();
  asio::cancellation_signal signal;
  asio::co_spawn(time_.context(), Carry(leaving),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  Spawn(staying);
  time_.context().restart();
  time_.context().poll();
  signal.emit(asio::cancellation_type::terminal);
  time_.Run();
  EXPECT_EQ(leaving.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(staying.written.at(0), start_ + seconds(1));
  EXPECT_EQ(budget_->GetStats().waiting[0], 0u);
  EXPECT_EQ(budget_->GetStats().in_flight, 0u);
}

TEST_F(LocalBudgetTest, NoMoreAreInFlightThanAllowed) {
  Make({.requests_per_second = 1000, .burst = 1000, .max_in_flight = 2});
  RunAll({{.runs = seconds(3)}, {.runs = seconds(5)}, {.runs = seconds(1)}, {}});
  EXPECT_EQ(calls_[2].written.at(0), start_ + seconds(3));
  EXPECT_EQ(calls_[3].written.at(0), start_ + seconds(4));
}

TEST_F(LocalBudgetTest, WhoWaitsForAPlaceInVainIsToldInTimeAndWhenToComeBack) {
  Make({.requests_per_second = 1000, .burst = 1000, .max_in_flight = 1});
  RunAll({{.runs = seconds(30)}, {.within = seconds(2)}, {.within = seconds(1)}});
  for (const Call* call : {&calls_[1], &calls_[2]}) {
    EXPECT_EQ(ReasonOf(call->status), "UPSTREAM_BUDGET_EXHAUSTED");
    EXPECT_TRUE(GetRetryAfter(call->status).has_value());
    EXPECT_EQ(call->ended, start_ + call->within + std::chrono::nanoseconds(1));
  }
}

TEST_F(LocalBudgetTest, AnInteractiveCallPassesTheBatchThatWaits) {
  Make({.requests_per_second = 10, .burst = 1});
  std::vector<Call> calls(30, Call{.turn = {.priority = Priority::kBatch}});
  calls.push_back({.arrives = milliseconds(950)});
  RunAll(std::move(calls));
  EXPECT_LE(calls_[30].written.at(0), start_ + milliseconds(1100));
}

TEST_F(LocalBudgetTest, ATurnThatBecomesUrgentPassesThoseThatAreNot) {
  Make({.requests_per_second = 10, .burst = 1});
  std::vector<Call> calls(30, Call{.turn = {.priority = Priority::kBatch}});
  calls.push_back({.arrives = milliseconds(10), .turn = {.priority = Priority::kBatch}});
  calls.back().shared = std::make_shared<Budget::SharedTurn>();
  const auto shared = calls.back().shared;
  asio::co_spawn(time_.context(), RaiseAt(start_ + milliseconds(950), shared), asio::detached);
  RunAll(std::move(calls));
  EXPECT_LE(calls_[30].written.at(0), start_ + milliseconds(1100));
  EXPECT_EQ(shared->waiting_as, 0u);
}

TEST_F(LocalBudgetTest, ATurnThatBecameUrgentBeforeItWaitedIsUrgent) {
  Make({.requests_per_second = 10, .burst = 1});
  std::vector<Call> calls(30, Call{.turn = {.priority = Priority::kBatch}});
  calls.push_back({.arrives = milliseconds(950), .turn = {.priority = Priority::kBatch}});
  calls.back().shared = std::make_shared<Budget::SharedTurn>();
  budget_->Raise(calls.back().shared, Priority::kInteractive);
  RunAll(std::move(calls));
  EXPECT_LE(calls_[30].written.at(0), start_ + milliseconds(1100));
}

TEST_F(LocalBudgetTest, OneGreedyCallerDelaysItself) {
  Make({.requests_per_second = 10, .burst = 1});
  std::vector<Call> calls(50, Call{.turn = {.caller = "greedy"}});
  calls.push_back({.arrives = milliseconds(950), .turn = {.caller = "modest"}});
  RunAll(std::move(calls));
  EXPECT_LE(calls_[50].written.at(0), start_ + milliseconds(1200));
}

TEST_F(LocalBudgetTest, ASlowDialSpendsNothingAndAFailedOneGivesBack) {
  Make({.requests_per_second = 1, .burst = 2});
  RunAll({{.dials = seconds(4), .dial_fails = true},
          {.dials = seconds(4), .dial_fails = true},
          {.arrives = seconds(4)},
          {.arrives = seconds(4)}});
  EXPECT_EQ(calls_[2].written.at(0), start_ + seconds(4));
  EXPECT_EQ(calls_[3].written.at(0), start_ + seconds(4));
}

TEST_F(LocalBudgetTest, TheSecondWriteOfOnePassIsChargedToo) {
  Make({.requests_per_second = 1, .burst = 1});
  const Call& call = Run({.writes_twice = true});
  EXPECT_EQ(call.written.at(1) - call.written.at(0), seconds(1));
}

TEST_F(LocalBudgetTest, UpstreamsRetryAfterPausesEverythingAndNoBurstFollows) {
  Make({.requests_per_second = 10, .burst = 5, .max_wait = absl::Minutes(1)});
  budget_->OnThrottled(absl::Seconds(30));
  EXPECT_EQ(budget_->GetStats().rate, 0);
  RunAll({{}, {}, {.within = seconds(29)}});
  EXPECT_EQ(ReasonOf(calls_[2].status), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_GE(*GetRetryAfter(calls_[2].status), absl::Seconds(30));
  EXPECT_EQ(calls_[2].ended, start_);
  EXPECT_GE(calls_[0].written.at(0), start_ + seconds(30));
  EXPECT_GE(calls_[1].written.at(0) - calls_[0].written.at(0), milliseconds(200));
  EXPECT_EQ(budget_->GetStats().throttled, 1u);
}

TEST_F(LocalBudgetTest, WithoutARetryAfterItGoesSlowerAndRecovers) {
  Make({.requests_per_second = 10, .burst = 1});
  budget_->OnThrottled(std::nullopt);
  EXPECT_NEAR(budget_->GetStats().rate, 5, 0.1);
  Run({.arrives = seconds(20)});
  EXPECT_NEAR(budget_->GetStats().rate, 10, 1e-9);
}

TEST_F(LocalBudgetTest, TooManyWaitersAreRefusedCheaply) {
  Make({.requests_per_second = 10, .burst = 1, .max_waiting = 2});
  RunAll({{}, {}, {}, {}});
  EXPECT_EQ(ReasonOf(calls_[3].status), "GATEWAY_OVERLOADED");
  EXPECT_TRUE(calls_[2].status.ok());
}

// Writes in any window of time never exceed what the rate gives plus the burst; nobody waits beyond
// its time; what is taken is given back.
TEST_F(LocalBudgetTest, PropertyTheBudgetHoldsOverAnyWindow) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&random](uint32_t bound) { return static_cast<int>(random() % bound); };
    const double rate = 1 + below(50);
    const int burst = 1 + below(20);
    calls_.clear();
    Make({.requests_per_second = rate,
          .burst = burst,
          .max_in_flight = static_cast<size_t>(1 + below(40)),
          .max_wait = absl::Seconds(5)});
    std::vector<Call> calls;
    for (int i = 0; i < 400; ++i) {
      const bool stalls = below(10) == 0;
      calls.push_back({.arrives = milliseconds(1 + below(20000)),
                       .turn = {.priority = static_cast<Priority>(below(kPriorities)),
                                .caller = std::to_string(below(4))},
                       .within = milliseconds(1 + below(8000)),
                       .dials = milliseconds(stalls ? 5000 : below(100)),
                       .runs = milliseconds(below(2000)),
                       .dial_fails = below(10) == 0,
                       .writes_twice = below(10) == 0});
    }
    for (int i = 0; i < below(4); ++i) {
      asio::co_spawn(time_.context(),
                     Throttle(time_.Now() + milliseconds(below(20000)), below(2) == 0),
                     asio::detached);
    }
    RunAll(std::move(calls));
    std::vector<MonotonicTime> written;
    for (const Call& call : calls_) {
      written.insert(written.end(), call.written.begin(), call.written.end());
      if (call.entered) {
        EXPECT_LE(*call.entered,
                  start_ + call.arrives + std::min<MonotonicDuration>(call.within, seconds(5)));
      } else {
        EXPECT_LE(call.ended, start_ + call.arrives + call.within + std::chrono::nanoseconds(1));
        EXPECT_TRUE(GetRetryAfter(call.status).has_value()) << call.status;
      }
    }
    std::sort(written.begin(), written.end());
    for (size_t i = 0; i < written.size(); ++i) {
      for (size_t j = i; j < written.size(); ++j) {
        const std::chrono::duration<double> window = written[j] - written[i];
        ASSERT_LE(static_cast<double>(j - i + 1), rate * window.count() + burst + 1e-6);
      }
    }
    EXPECT_EQ(budget_->GetStats().in_flight, 0u);
    EXPECT_GT(written.size(), 10u) << "the test tests nothing";
  }
}

TEST_F(LocalBudgetTest, PropertySharesHoldWhileEveryClassIsSaturated) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    calls_.clear();
    Make({.requests_per_second = 20, .burst = 1, .max_in_flight = 8, .max_wait = absl::Hours(1)});
    std::vector<Call> calls;
    for (size_t i = 0; i < 3000; ++i) {
      calls.push_back({.turn = {.priority = static_cast<Priority>(i % kPriorities),
                                .caller = std::to_string(random() % 3)},
                       .dials = milliseconds(random() % 30)});
    }
    RunAll(std::move(calls));
    std::array<int, kPriorities> served{};
    // Until the first class has run dry.
    for (const Call& call : calls_) {
      if (call.written.at(0) < start_ + seconds(60)) {
        ++served[static_cast<size_t>(call.turn.priority)];
      }
    }
    const double all = served[0] + served[1] + served[2];
    for (size_t i = 0; i < kPriorities; ++i) EXPECT_NEAR(served[i] / all * 100, kShares[i], 5);
  }
}

}  // namespace
}  // namespace semaphore::client
