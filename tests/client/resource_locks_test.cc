#include "client/resource_locks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using Held = ResourceLocks::Held;

const MonotonicTime kFar = std::chrono::steady_clock::now() + std::chrono::hours(1);

// Everything on one thread: each step runs until nothing more can happen.
class ResourceLocksTest : public testing::Test {
 protected:
  struct Asked {
    std::optional<Held> held;  // set once there is an answer
    asio::cancellation_signal signal;

    bool has() const { return held.has_value() && static_cast<bool>(*held); }
    bool refused() const { return held.has_value() && !*held; }
  };

  std::shared_ptr<Asked> Ask(const std::string& key, MonotonicTime deadline = kFar) {
    auto asked = std::make_shared<Asked>();
    asio::co_spawn(context_, Acquire(key, deadline, asked),
                   asio::bind_cancellation_slot(asked->signal.slot(),
                                                [asked](const std::exception_ptr& exception) {
                                                  EXPECT_EQ(exception, nullptr);
                                                }));
    Settle();
    return asked;
  }

  asio::awaitable<void> Acquire(std::string key, MonotonicTime deadline,
                                std::shared_ptr<Asked> asked) {
    asked->held.emplace(co_await locks_.Acquire(std::move(key), deadline));
  }

  void Settle() {
    context_.restart();
    context_.poll();
  }

  void Release(Asked& asked) {
    asked.held.reset();
    Settle();
  }

  void Cancel(Asked& asked) {
    asked.signal.emit(asio::cancellation_type::terminal);
    Settle();
  }

  asio::io_context context_;
  ResourceLocks locks_;
};

TEST_F(ResourceLocksTest, AFreeOneIsHadAtOnceAndASecondTimeAfterItsRelease) {
  for (int i = 0; i < 3; ++i) {
    const auto asked = Ask("a");
    ASSERT_TRUE(asked->has());
    Release(*asked);
  }
}

TEST_F(ResourceLocksTest, DifferentResourcesDoNotWaitForEachOther) {
  const auto a = Ask("a");
  const auto b = Ask("b");
  EXPECT_TRUE(a->has());
  EXPECT_TRUE(b->has());
}

TEST_F(ResourceLocksTest, WhoWaitsIsServedInTheOrderOfAsking) {
  const auto first = Ask("a");
  const auto second = Ask("a");
  const auto third = Ask("a");
  EXPECT_FALSE(second->held);
  Release(*first);
  EXPECT_TRUE(second->has());
  EXPECT_FALSE(third->held);
  Release(*second);
  EXPECT_TRUE(third->has());
}

TEST_F(ResourceLocksTest, WhoWaitedTooLongGetsNothingAndHoldsUpNobody) {
  const auto first = Ask("a");
  const auto late = Ask("a", MonotonicTime::min());
  EXPECT_TRUE(late->refused());
  const auto third = Ask("a");
  EXPECT_FALSE(third->held);
  Release(*first);
  EXPECT_TRUE(third->has());
}

TEST_F(ResourceLocksTest, AFreeOneIsHadEvenWhenTheDeadlineHasPassed) {
  EXPECT_TRUE(Ask("a", MonotonicTime::min())->has());
}

TEST_F(ResourceLocksTest, WhoLeavesGetsNothingAndHoldsUpNobody) {
  const auto first = Ask("a");
  const auto leaver = Ask("a");
  const auto third = Ask("a");
  Cancel(*leaver);
  EXPECT_TRUE(leaver->refused());
  EXPECT_FALSE(third->held);
  Release(*first);
  EXPECT_TRUE(third->has());
}

TEST_F(ResourceLocksTest, ALockThatWasHandedToOneWhoIsLeavingIsNotLost) {
  const auto first = Ask("a");
  const auto leaver = Ask("a");
  const auto third = Ask("a");
  // Released and cancelled in one step: the lock is on its way to the leaver.
  first->held.reset();
  leaver->signal.emit(asio::cancellation_type::terminal);
  Settle();
  if (leaver->has()) Release(*leaver);
  EXPECT_TRUE(third->has());
}

TEST_F(ResourceLocksTest, CancelledBeforeReleasedInOneStepIsNotLostEither) {
  const auto first = Ask("a");
  const auto leaver = Ask("a");
  const auto third = Ask("a");
  leaver->signal.emit(asio::cancellation_type::terminal);
  first->held.reset();
  Settle();
  if (leaver->has()) Release(*leaver);
  EXPECT_TRUE(third->has());
}

TEST_F(ResourceLocksTest, AHeldOneThatIsMovedIsReleasedOnce) {
  const auto first = Ask("a");
  const auto second = Ask("a");
  const auto third = Ask("a");
  {
    const Held moved = *std::move(first->held);
    EXPECT_TRUE(moved);
    EXPECT_FALSE(first->has());
    Release(*first);
    EXPECT_FALSE(second->held) << "what was moved away still holds it";
  }
  Settle();
  EXPECT_TRUE(second->has());
  EXPECT_FALSE(third->held);
}

// Counts who is inside; more than one at a time is what the lock is there against.
struct Room {
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::atomic<int> visits = 0;
  std::atomic<int> refused = 0;
};

asio::awaitable<void> Visit(ResourceLocks& locks, Room& room, std::string key,
                            MonotonicTime deadline) {
  for (int i = 0; i < 50; ++i) {
    const Held held = co_await locks.Acquire(key, deadline);
    if (!held) {
      ++room.refused;
      continue;
    }
    const int inside = ++room.inside;
    if (inside > room.most) room.most = inside;
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    ++room.visits;
    --room.inside;
  }
}

TEST(ResourceLocks, UnderContentionOfManyThreadsThereIsOneAtATimeAndAllGetTheirTurn) {
  asio::thread_pool pool(4);
  ResourceLocks locks;
  Room rooms[2];
  for (int i = 0; i < 40; ++i) {
    asio::co_spawn(asio::make_strand(pool),
                   Visit(locks, rooms[i % 2], i % 2 == 0 ? "a" : "b", kFar), asio::detached);
  }
  pool.join();
  for (const Room& room : rooms) {
    EXPECT_EQ(room.most, 1);
    EXPECT_EQ(room.visits, 20 * 50);
    EXPECT_EQ(room.refused, 0);
  }
}

TEST(ResourceLocks, UnderContentionThoseWithoutTimeLoseNoLock) {
  asio::thread_pool pool(4);
  ResourceLocks locks;
  Room room;
  for (int i = 0; i < 40; ++i) {
    const MonotonicTime deadline = i % 4 == 0 ? MonotonicTime::min() : kFar;
    asio::co_spawn(asio::make_strand(pool), Visit(locks, room, "a", deadline), asio::detached);
  }
  pool.join();
  EXPECT_EQ(room.most, 1);
  EXPECT_EQ(room.visits + room.refused, 40 * 50);
  EXPECT_GE(room.visits, 30 * 50);
  // Whoever comes now finds it free.
  asio::io_context context;
  Room after;
  asio::co_spawn(context, Visit(locks, after, "a", MonotonicTime::min()), asio::detached);
  context.run();
  EXPECT_EQ(after.visits, 50);
}

}  // namespace
}  // namespace semaphore::client
