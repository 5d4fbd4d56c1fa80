#include "client/connection_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>
#include <vector>

namespace semaphore::client {
namespace {

using std::chrono::seconds;
using Action = ConnectionPool::Action;
using Ids = std::vector<ConnectionPool::ConnectionId>;

const MonotonicTime kStart = MonotonicTime() + std::chrono::hours(1);

ConnectionPool::Limits Limits(size_t connections) {
  return {.max_connections = connections,
          .max_waiters = 3,
          .idle_timeout = seconds(55),
          .max_age = seconds(600)};
}

TEST(ConnectionPoolTest, DialsWhenNothingIsIdle) {
  ConnectionPool pool(Limits(2));
  EXPECT_EQ(pool.Acquire(false, kStart).action, Action::kDial);
  EXPECT_EQ(pool.in_use(), 1u);
}

TEST(ConnectionPoolTest, ReusesTheMostRecentlyUsedConnection) {
  ConnectionPool pool(Limits(3));
  const auto first = pool.Acquire(false, kStart);
  const auto second = pool.Acquire(false, kStart);
  EXPECT_TRUE(pool.Release(second.id, true, kStart).keep);
  EXPECT_TRUE(pool.Release(first.id, true, kStart).keep);
  const auto again = pool.Acquire(false, kStart);
  EXPECT_EQ(again.action, Action::kReuse);
  EXPECT_EQ(again.id, first.id);
  EXPECT_EQ(pool.Acquire(false, kStart).id, second.id);
}

TEST(ConnectionPoolTest, DoesNotKeepWhatCannotCarryAnotherRequest) {
  ConnectionPool pool(Limits(2));
  const auto first = pool.Acquire(false, kStart);
  EXPECT_FALSE(pool.Release(first.id, false, kStart).keep);
  EXPECT_EQ(pool.idle(), 0u);
  EXPECT_EQ(pool.Acquire(false, kStart).action, Action::kDial);
}

TEST(ConnectionPoolTest, DialsWhenAFreshConnectionIsWanted) {
  ConnectionPool pool(Limits(2));
  pool.Release(pool.Acquire(false, kStart).id, true, kStart);
  const auto fresh = pool.Acquire(true, kStart);
  EXPECT_EQ(fresh.action, Action::kDial);
  EXPECT_TRUE(fresh.close.empty());
  EXPECT_EQ(pool.idle(), 1u);
}

TEST(ConnectionPoolTest, ClosesTheLongestIdleToMakeRoomForAFreshOne) {
  ConnectionPool pool(Limits(2));
  const auto first = pool.Acquire(false, kStart);
  const auto second = pool.Acquire(false, kStart);
  pool.Release(first.id, true, kStart);
  pool.Release(second.id, true, kStart + seconds(1));
  const auto fresh = pool.Acquire(true, kStart + seconds(2));
  EXPECT_EQ(fresh.action, Action::kDial);
  EXPECT_EQ(fresh.close, Ids{first.id});
}

TEST(ConnectionPoolTest, GrantsAFreedSlotToTheFirstWhoWaited) {
  ConnectionPool pool(Limits(1));
  const auto used = pool.Acquire(false, kStart);
  const auto first = pool.Acquire(false, kStart);
  const auto second = pool.Acquire(false, kStart);
  ASSERT_EQ(first.action, Action::kWait);
  ASSERT_EQ(second.action, Action::kWait);
  const auto released = pool.Release(used.id, true, kStart);
  EXPECT_TRUE(released.keep);
  ASSERT_TRUE(released.grant.has_value());
  EXPECT_EQ(released.grant->waiter, first.id);
  EXPECT_EQ(released.grant->action, Action::kReuse);
  EXPECT_EQ(released.grant->id, used.id);
  EXPECT_EQ(pool.Release(used.id, true, kStart).grant->waiter, second.id);
}

TEST(ConnectionPoolTest, GrantsADialWhenTheReleasedConnectionIsNotKept) {
  ConnectionPool pool(Limits(1));
  const auto used = pool.Acquire(false, kStart);
  pool.Acquire(false, kStart);
  const auto released = pool.Release(used.id, false, kStart);
  EXPECT_FALSE(released.keep);
  ASSERT_TRUE(released.grant.has_value());
  EXPECT_EQ(released.grant->action, Action::kDial);
  EXPECT_NE(released.grant->id, used.id);
}

TEST(ConnectionPoolTest, GrantsADialToAWaiterThatWantsAFreshConnection) {
  ConnectionPool pool(Limits(1));
  const auto used = pool.Acquire(false, kStart);
  pool.Acquire(true, kStart);
  const auto released = pool.Release(used.id, true, kStart);
  EXPECT_FALSE(released.keep);
  EXPECT_EQ(released.grant->action, Action::kDial);
}

TEST(ConnectionPoolTest, ForgetsAWaiterThatLeaves) {
  ConnectionPool pool(Limits(1));
  const auto used = pool.Acquire(false, kStart);
  const auto leaving = pool.Acquire(false, kStart);
  const auto staying = pool.Acquire(false, kStart);
  EXPECT_TRUE(pool.Leave(leaving.id));
  EXPECT_EQ(pool.Release(used.id, true, kStart).grant->waiter, staying.id);
}

TEST(ConnectionPoolTest, TellsALeavingWaiterThatItWasGrantedASlot) {
  ConnectionPool pool(Limits(1));
  const auto used = pool.Acquire(false, kStart);
  const auto waiter = pool.Acquire(false, kStart);
  pool.Release(used.id, true, kStart);
  EXPECT_FALSE(pool.Leave(waiter.id));
  EXPECT_EQ(pool.in_use(), 1u);
}

TEST(ConnectionPoolTest, RefusesMoreWaitersThanItsBound) {
  ConnectionPool pool(Limits(1));
  pool.Acquire(false, kStart);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool.Acquire(false, kStart).action, Action::kWait);
  EXPECT_EQ(pool.Acquire(false, kStart).action, Action::kFull);
}

TEST(ConnectionPoolTest, DoesNotReuseAConnectionThatWasIdleTooLong) {
  ConnectionPool pool(Limits(2));
  const auto first = pool.Acquire(false, kStart);
  pool.Release(first.id, true, kStart);
  const auto later = pool.Acquire(false, kStart + seconds(55));
  EXPECT_EQ(later.action, Action::kDial);
  EXPECT_EQ(later.close, Ids{first.id});
}

TEST(ConnectionPoolTest, DoesNotKeepAConnectionPastItsAge) {
  ConnectionPool pool(Limits(2));
  const auto first = pool.Acquire(false, kStart);
  EXPECT_FALSE(pool.Release(first.id, true, kStart + seconds(600)).keep);
}

TEST(ConnectionPoolTest, DoesNotReuseAConnectionPastItsAge) {
  ConnectionPool pool(Limits(2));
  const auto first = pool.Acquire(false, kStart);
  EXPECT_TRUE(pool.Release(first.id, true, kStart + seconds(599)).keep);
  EXPECT_EQ(pool.Acquire(false, kStart + seconds(600)).close, Ids{first.id});
}

TEST(ConnectionPoolTest, ExpiresOnlyWhatIsOverdue) {
  ConnectionPool pool(Limits(2));
  const auto first = pool.Acquire(false, kStart);
  const auto second = pool.Acquire(false, kStart);
  pool.Release(first.id, true, kStart);
  pool.Release(second.id, true, kStart + seconds(10));
  EXPECT_TRUE(pool.Expire(kStart + seconds(54)).empty());
  EXPECT_EQ(pool.Expire(kStart + seconds(60)), Ids{first.id});
  EXPECT_EQ(pool.idle(), 1u);
}

TEST(ConnectionPoolTest, ReplacesADeadConnectionByTheNextIdleOne) {
  ConnectionPool pool(Limits(2));
  const auto first = pool.Acquire(false, kStart);
  const auto second = pool.Acquire(false, kStart);
  pool.Release(first.id, true, kStart);
  const auto next = pool.Replace(second.id, false, kStart);
  EXPECT_EQ(next.action, Action::kReuse);
  EXPECT_EQ(next.id, first.id);
  EXPECT_EQ(pool.in_use(), 1u);
}

TEST(ConnectionPoolTest, ReplacesADeadConnectionByADialWhenAskedForAFreshOne) {
  ConnectionPool pool(Limits(1));
  const auto first = pool.Acquire(false, kStart);
  const auto next = pool.Replace(first.id, true, kStart);
  EXPECT_EQ(next.action, Action::kDial);
  EXPECT_NE(next.id, first.id);
  EXPECT_EQ(pool.in_use(), 1u);
}

TEST(ConnectionPoolTest, IgnoresTheReleaseOfWhatIsNotInUse) {
  ConnectionPool pool(Limits(1));
  EXPECT_FALSE(pool.Release(42, true, kStart).keep);
  EXPECT_EQ(pool.idle(), 0u);
}

// A second, naive account of what must be true, driven through a long random history.
class RandomHistory {
 public:
  RandomHistory(uint32_t seed, size_t connections)
      : random_(seed), connections_(connections), pool_(Limits(connections)) {}

  void Step() {
    now_ += std::chrono::milliseconds(Below(40000));
    switch (Below(6)) {
      case 0:
      case 1:
        Acquire();
        break;
      case 2:
      case 3:
        Release();
        break;
      case 4:
        Leave();
        break;
      default:
        Below(2) == 0 ? Replace() : Close(pool_.Expire(now_));
    }
    ASSERT_EQ(pool_.in_use(), used_.size());
    ASSERT_EQ(pool_.idle(), idle_.size());
    ASSERT_EQ(pool_.waiting(), waiting_.size());
    ASSERT_LE(used_.size() + idle_.size(), connections_);
    if (!waiting_.empty()) {
      ASSERT_EQ(used_.size(), connections_);
    }
  }

 private:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }

  ConnectionPool::ConnectionId AnyUsed() {
    return *std::next(used_.begin(), Below(static_cast<uint32_t>(used_.size())));
  }

  void Close(const Ids& ids) {
    for (const auto id : ids) ASSERT_EQ(idle_.erase(id), 1u);
  }

  void Take(Action action, ConnectionPool::ConnectionId id) {
    if (action == Action::kReuse) {
      ASSERT_EQ(idle_.erase(id), 1u);
    } else {
      ASSERT_EQ(action, Action::kDial);
      ASSERT_FALSE(idle_.contains(id));
    }
    ASSERT_TRUE(used_.insert(id).second);
  }

  void Acquire() {
    const bool fresh = Below(3) == 0;
    const auto verdict = pool_.Acquire(fresh, now_);
    Close(verdict.close);
    if (verdict.action == Action::kWait) {
      ASSERT_EQ(used_.size(), connections_);
      waiting_.push_back(verdict.id);
    } else if (verdict.action == Action::kFull) {
      ASSERT_EQ(waiting_.size(), 3u);
    } else {
      ASSERT_FALSE(fresh && verdict.action == Action::kReuse);
      Take(verdict.action, verdict.id);
    }
  }

  void Release() {
    if (used_.empty()) return;
    const auto id = AnyUsed();
    used_.erase(id);
    const auto released = pool_.Release(id, Below(3) != 0, now_);
    if (released.keep) idle_.insert(id);
    Close(released.close);
    ASSERT_EQ(released.grant.has_value(), !waiting_.empty());
    if (!released.grant.has_value()) return;
    ASSERT_EQ(released.grant->waiter, waiting_.front());
    waiting_.pop_front();
    Take(released.grant->action, released.grant->id);
  }

  void Leave() {
    if (waiting_.empty()) return;
    const auto it = waiting_.begin() + Below(static_cast<uint32_t>(waiting_.size()));
    ASSERT_TRUE(pool_.Leave(*it));
    waiting_.erase(it);
  }

  void Replace() {
    if (used_.empty()) return;
    const auto id = AnyUsed();
    used_.erase(id);
    const auto verdict = pool_.Replace(id, Below(2) == 0, now_);
    Close(verdict.close);
    Take(verdict.action, verdict.id);
  }

  std::mt19937 random_;
  const size_t connections_;
  ConnectionPool pool_;
  MonotonicTime now_ = kStart;
  std::set<ConnectionPool::ConnectionId> used_;
  std::set<ConnectionPool::ConnectionId> idle_;
  std::deque<ConnectionPool::WaiterId> waiting_;
};

TEST(ConnectionPoolTest, KeepsItsPromisesThroughARandomHistory) {
  const uint32_t seed = std::random_device()();
  for (size_t connections = 1; connections <= 5; ++connections) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", connections " << connections);
    RandomHistory history(seed, connections);
    for (int i = 0; i < 20000; ++i) {
      history.Step();
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace semaphore::client
