#include "client/fair_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace semaphore::client {
namespace {

constexpr Turn Of(Priority priority) { return {.priority = priority, .caller = {}}; }

std::vector<FairQueue::Id> PopAll(FairQueue& queue) {
  std::vector<FairQueue::Id> order;
  while (const auto id = queue.Pop()) order.push_back(*id);
  return order;
}

TEST(FairQueue, ServesOneCallerInOrder) {
  FairQueue queue;
  for (FairQueue::Id id = 1; id <= 4; ++id) queue.Push(id, {.caller = "a"});
  EXPECT_EQ(PopAll(queue), (std::vector<FairQueue::Id>{1, 2, 3, 4}));
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(FairQueue, CallersOfAClassTakeTurns) {
  FairQueue queue;
  for (FairQueue::Id id = 1; id <= 100; ++id) queue.Push(id, {.caller = "greedy"});
  queue.Push(101, {.caller = "modest"});
  queue.Push(102, {.caller = "modest"});
  const auto order = PopAll(queue);
  EXPECT_EQ(std::vector<FairQueue::Id>(order.begin(), order.begin() + 5),
            (std::vector<FairQueue::Id>{1, 101, 2, 102, 3}));
}

TEST(FairQueue, AnInteractiveCallPassesABatchThatWaits) {
  FairQueue queue;
  for (FairQueue::Id id = 1; id <= 50; ++id) queue.Push(id, Of(Priority::kBatch));
  for (int i = 0; i < 10; ++i) queue.Pop();
  queue.Push(51, Of(Priority::kInteractive));
  std::vector<FairQueue::Id> next = {*queue.Pop(), *queue.Pop()};
  EXPECT_TRUE(next[0] == 51 || next[1] == 51) << next[0] << " " << next[1];
}

TEST(FairQueue, IdleTimeEarnsNoCredit) {
  FairQueue queue;
  FairQueue::Id id = 0;
  for (int i = 0; i < 1000; ++i) {
    queue.Push(++id, Of(Priority::kInteractive));
    queue.Pop();
  }
  // Both classes wait from now on; batch was never served and may not catch up.
  std::map<FairQueue::Id, Priority> of;
  for (int i = 0; i < 300; ++i) {
    queue.Push(++id, Of(Priority::kInteractive));
    of[id] = Priority::kInteractive;
    queue.Push(++id, Of(Priority::kBatch));
    of[id] = Priority::kBatch;
  }
  int interactive = 0;
  for (int i = 0; i < 90; ++i) interactive += of[*queue.Pop()] == Priority::kInteractive;
  EXPECT_NEAR(interactive, 70, 2);
}

TEST(FairQueue, WhoeverLeavesIsNotServed) {
  FairQueue queue;
  for (FairQueue::Id id = 1; id <= 3; ++id) queue.Push(id, {.caller = "a"});
  EXPECT_TRUE(queue.Remove(2));
  EXPECT_FALSE(queue.Remove(2));
  EXPECT_EQ(PopAll(queue), (std::vector<FairQueue::Id>{1, 3}));
  EXPECT_FALSE(queue.Remove(1));
}

TEST(FairQueueProperty, SharesHoldWithinAPercentWhileEveryClassWaits) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    FairQueue queue;
    std::map<FairQueue::Id, size_t> of;
    FairQueue::Id id = 0;
    const auto push = [&](size_t priority) {
      queue.Push(++id, {.priority = static_cast<Priority>(priority),
                        .caller = std::to_string(random() % 5)});
      of[id] = priority;
    };
    std::array<int, kPriorities> served{};
    constexpr int kTurns = 10000;
    for (int i = 0; i < kTurns; ++i) {
      for (size_t priority = 0; priority < kPriorities; ++priority) {
        // Never empty, but of random length.
        const auto more = static_cast<int>(random() % 3);
        for (int j = 0; j < more; ++j) push(priority);
        if (queue.waiting(static_cast<Priority>(priority)) == 0) push(priority);
      }
      ++served[of.at(*queue.Pop())];
    }
    for (size_t priority = 0; priority < kPriorities; ++priority) {
      EXPECT_NEAR(served[priority] * 100.0 / kTurns, kShares[priority], 1);
    }
  }
}

TEST(FairQueueProperty, EverybodyIsServedOnceAndTheForecastHolds) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    FairQueue queue;
    std::set<FairQueue::Id> waiting;
    FairQueue::Id id = 0;
    for (int i = 0; i < 300; ++i) {
      const Turn turn{.priority = static_cast<Priority>(random() % kPriorities),
                      .caller = std::to_string(random() % 4)};
      switch (random() % 4) {
        case 0:
          if (const auto next = queue.Pop()) {
            EXPECT_EQ(waiting.erase(*next), 1u);
          }
          break;
        case 1:
          if (!waiting.empty()) {
            const FairQueue::Id gone = *waiting.begin();
            EXPECT_TRUE(queue.Remove(gone));
            waiting.erase(gone);
          }
          break;
        default:
          queue.Push(++id, turn);
          waiting.insert(id);
      }
      ASSERT_EQ(queue.size(), waiting.size());
    }
    // A forecast for a newcomer, and what then happens.
    const Turn turn{.priority = static_cast<Priority>(random() % kPriorities),
                    .caller = std::to_string(random() % 6)};
    const size_t forecast = queue.TurnsBefore(turn);
    queue.Push(++id, turn);
    size_t turns = 0;
    while (*queue.Pop() != id) ++turns;
    // One turn more or less within the class is as many in all as its share is small.
    const double slack = 200.0 / kShares[static_cast<size_t>(turn.priority)];
    EXPECT_NEAR(static_cast<double>(turns), static_cast<double>(forecast), slack + 2);
  }
}

}  // namespace
}  // namespace semaphore::client
