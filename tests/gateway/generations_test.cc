#include "gateway/generations.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace semaphore::gateway {
namespace {

using Kind = Generations::Kind;

TEST(Generations, AMarkIsCurrentUntilWhatItIsOfAdvances) {
  Generations generations;
  const GenerationMark mark = generations.Mark(Kind::kResource, "acme", "Pipeline", "1");
  EXPECT_TRUE(generations.IsCurrent(mark));
  generations.Advance(Kind::kResource, "acme", "Pipeline", "1");
  EXPECT_FALSE(generations.IsCurrent(mark));
  EXPECT_TRUE(generations.IsCurrent(generations.Mark(Kind::kResource, "acme", "Pipeline", "1")));
}

TEST(Generations, AnOldMarkNeverBecomesCurrentAgain) {
  Generations generations;
  const GenerationMark mark = generations.Mark(Kind::kLists, "acme", "Pipeline");
  for (int i = 0; i < 100'000; ++i) {
    generations.Advance(Kind::kLists, "acme", "Pipeline");
    ASSERT_FALSE(generations.IsCurrent(mark)) << "after " << i + 1;
  }
}

// Which names share a counter differs from one process to the next, so the slots are asked.
TEST(Generations, WhatSharesNoCounterIsIndependent) {
  struct Name {
    Kind kind;
    const char* organization;
    const char* type;
    const char* id;
  };
  const std::vector<Name> names = {
      {Kind::kResource, "acme", "Pipeline", "1"}, {Kind::kResource, "acme", "Pipeline", "2"},
      {Kind::kResource, "acme", "Job", "1"},      {Kind::kResource, "other", "Pipeline", "1"},
      {Kind::kResource, "acme", "Pipeline", ""},  {Kind::kLists, "acme", "Pipeline", ""},
      {Kind::kLive, "acme", "Pipeline", ""},      {Kind::kLists, "acmeP", "ipeline", ""},
      {Kind::kLists, "acme", "Job", ""},          {Kind::kLists, "other", "Pipeline", ""},
  };
  Generations generations;
  int shared = 0;
  for (const Name& advanced : names) {
    std::vector<GenerationMark> before;
    for (const Name& name : names) {
      before.push_back(generations.Mark(name.kind, name.organization, name.type, name.id));
    }
    generations.Advance(advanced.kind, advanced.organization, advanced.type, advanced.id);
    const uint32_t slot = before[&advanced - names.data()].slot;
    for (size_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ(generations.IsCurrent(before[i]), before[i].slot != slot)
          << advanced.organization << ' ' << advanced.type << ' ' << advanced.id << " against "
          << names[i].organization << ' ' << names[i].type << ' ' << names[i].id;
      if (before[i].slot == slot) ++shared;
    }
  }
  // Each shares with itself. That two pairs of these share has a chance of one in millions; a kind,
  // organization, type or id left out of the hash would make them share always.
  EXPECT_LE(shared, static_cast<int>(names.size()) + 2);
}

TEST(Generations, ManyResourcesSpreadOverManyCounters) {
  const Generations generations;
  std::vector<bool> used(1 << 16);
  int distinct = 0;
  for (int i = 0; i < 10'000; ++i) {
    const uint32_t slot = generations.Mark(Kind::kResource, "a", "Job", std::to_string(i)).slot;
    ASSERT_LT(slot, used.size());
    if (!used[slot]) ++distinct;
    used[slot] = true;
  }
  EXPECT_GT(distinct, 9'000) << "of which about 9 270 are expected by chance";
}

TEST(Generations, AReplyIsCurrentWhileAllItsMarksAre) {
  Generations generations;
  CachedReply reply;
  EXPECT_TRUE(generations.IsCurrent(reply)) << "it depends on nothing";
  reply.marks = {generations.Mark(Kind::kResource, "acme", "Pipeline", "1"),
                 generations.Mark(Kind::kLists, "acme", "Pipeline"),
                 generations.Mark(Kind::kLive, "acme", "Pipeline")};
  reply.mark_count = 3;
  EXPECT_TRUE(generations.IsCurrent(reply));
  generations.Advance(Kind::kLive, "acme", "Pipeline");
  EXPECT_FALSE(generations.IsCurrent(reply));
  reply.mark_count = reply.marks[0].slot == reply.marks[2].slot ? 0 : 1;
  EXPECT_TRUE(generations.IsCurrent(reply)) << "marks beyond the count do not matter";
}

TEST(Generations, NoAdvanceIsLostAmongThreads) {
  constexpr int kThreads = 8;
  constexpr int kAdvances = 10'000;
  Generations generations;
  std::atomic<int> wrong = 0;
  const uint64_t before = generations.Mark(Kind::kLists, "acme", "Job").value;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kAdvances; ++i) {
        const GenerationMark mark = generations.Mark(Kind::kLists, "acme", "Job");
        generations.Advance(Kind::kLists, "acme", "Job");
        if (generations.IsCurrent(mark)) ++wrong;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0) << "a mark taken before the thread's own change must be old after it";
  EXPECT_EQ(generations.Mark(Kind::kLists, "acme", "Job").value - before, kThreads * kAdvances);
}

}  // namespace
}  // namespace semaphore::gateway
