// The walk against a list that behaves as upstream's: newest first by creation, numbered pages, and
// changing while it is read.
#include "gateway/walk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

constexpr int64_t kNow = 1'700'000'000;

struct Row {
  std::string id;
  double done;  // unix seconds
};

// Rows in order of creation, newest first.
class ShiftingList {
 public:
  std::vector<Row> rows;
  bool inclusive = false;                    // whether a bound itself belongs to the range
  bool counts = true;                        // whether it tells its total
  std::function<void(int request)> between;  // runs before each request
  int requests = 0;

  Walk::Answer Ask(const Walk::Query& query) {
    if (between) between(requests);
    ++requests;
    std::vector<Row> matching;
    for (const Row& row : rows) {
      const double after = static_cast<double>(absl::ToUnixSeconds(query.done_after));
      const double before = static_cast<double>(absl::ToUnixSeconds(query.done_before));
      const bool in = inclusive ? row.done >= after && row.done <= before
                                : row.done > after && row.done < before;
      if (in) matching.push_back(row);
    }
    const size_t page = query.page_token.empty() ? 0 : std::stoul(query.page_token);
    const size_t begin = std::min(matching.size(), page * Walk::kPageSize);
    const size_t end = std::min(matching.size(), begin + Walk::kPageSize);
    Walk::Answer answer;
    for (size_t i = begin; i < end; ++i) {
      answer.items.push_back({matching[i].id, absl::UnixEpoch() + absl::Seconds(matching[i].done)});
    }
    if (counts) answer.total = static_cast<int64_t>(matching.size());
    if (end < matching.size()) answer.next_page_token = absl::StrCat(page + 1);
    return answer;
  }
};

struct Walked {
  std::set<std::string> found;
  absl::Status status;
  size_t discarded = 0;
};

Walked WalkAll(ShiftingList& list, Walk& walk) {
  Walked out;
  while (const std::optional<Walk::Query> query = walk.Next()) {
    const Walk::Answer answer = list.Ask(*query);
    const absl::StatusOr<Walk::Verdict> verdict = walk.OnAnswer(answer);
    if (!verdict.ok()) {
      out.status = verdict.status();
      return out;
    }
    if (*verdict == Walk::Verdict::kDiscard) {
      ++out.discarded;
      continue;
    }
    for (const Walk::Item& item : answer.items) out.found.insert(item.id);
  }
  return out;
}

Walk LastHours(int hours) {
  return Walk(absl::FromUnixSeconds(kNow - 3600 * hours), absl::FromUnixSeconds(kNow));
}

std::vector<Row> RandomRows(int count, int seconds, std::mt19937& random) {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back(
        {absl::StrCat("p", i),
         static_cast<double>(kNow) - 1 - std::uniform_real_distribution<>(0, seconds)(random)});
  }
  return rows;
}

TEST(WalkTest, AsksOnceWhenOnePageHoldsEverything) {
  ShiftingList list;
  list.rows = {{"a", kNow - 10.5}, {"b", kNow - 20.25}};
  Walk walk = LastHours(1);
  EXPECT_EQ(WalkAll(list, walk).found, (std::set<std::string>{"a", "b"}));
  EXPECT_EQ(list.requests, 1);
  EXPECT_EQ(walk.newest_done(), absl::UnixEpoch() + absl::Seconds(kNow - 10.5));
}

TEST(WalkTest, AnEmptyListCompletesItAndSaysNoDate) {
  ShiftingList list;
  Walk walk = LastHours(1);
  WalkAll(list, walk);
  EXPECT_TRUE(walk.complete());
  EXPECT_EQ(walk.newest_done(), absl::InfinitePast());
}

TEST(WalkTest, FindsEveryPipelineOfALongTimeInSlicesOfAPage) {
  std::mt19937 random(7);
  ShiftingList list;
  list.rows = RandomRows(5000, 24 * 3600, random);
  Walk walk = LastHours(24);
  EXPECT_EQ(WalkAll(list, walk).found.size(), 5000u);
  EXPECT_LT(list.requests, 5000 / Walk::kPageSize * 2);
}

TEST(WalkTest, FindsOnesAtTheEdgesOfSlicesWhetherBoundsAreInOrOut) {
  for (const bool inclusive : {false, true}) {
    ShiftingList list;
    list.inclusive = inclusive;
    for (int i = 0; i < 3600; ++i) list.rows.push_back({absl::StrCat(i), kNow - i * 1.0});
    Walk walk = LastHours(1);
    EXPECT_EQ(WalkAll(list, walk).found.size(), 3600u) << inclusive;
  }
}

TEST(WalkTest, ManyInOneSecondAreReadPageByPage) {
  ShiftingList list;
  for (int i = 0; i < 1100; ++i) list.rows.push_back({absl::StrCat(i), kNow - 100.0 + i * 1e-4});
  Walk walk = LastHours(1);
  EXPECT_EQ(WalkAll(list, walk).found.size(), 1100u);
}

// Of a busy second: each request makes one row of an earlier page vanish and another appear behind,
// so that a walk which trusted page numbers would miss rows that were there all the time.
TEST(WalkTest, PagesThatShiftWhileReadHideNothing) {
  ShiftingList list;
  for (int i = 0; i < 900; ++i) list.rows.push_back({absl::StrCat(i), kNow - 100.5});
  std::set<std::string> lasting;
  for (int i = 50; i < 900; ++i) lasting.insert(absl::StrCat(i));
  int removed = 0;
  list.between = [&](int) {
    if (removed >= 40) return;
    ++removed;
    list.rows.erase(list.rows.begin());
    list.rows.push_back({absl::StrCat("new", removed), kNow - 100.5});
  };
  Walk walk = LastHours(1);
  const Walked walked = WalkAll(list, walk);
  ASSERT_TRUE(walked.status.ok()) << walked.status;
  EXPECT_TRUE(
      std::includes(walked.found.begin(), walked.found.end(), lasting.begin(), lasting.end()));
}

TEST(WalkTest, PipelinesThatFinishDuringAWalkDoNotHideOthers) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    ShiftingList list;
    list.rows = RandomRows(2000, 3600, random);
    std::set<std::string> from_the_start;
    for (const Row& row : list.rows) from_the_start.insert(row.id);
    list.between = [&](int request) {
      // Created long ago and done only now, it lands anywhere in the list; another one is deleted.
      const size_t at = random() % list.rows.size();
      list.rows.insert(list.rows.begin() + static_cast<std::ptrdiff_t>(at),
                       {absl::StrCat("late", request), kNow - 0.5});
      const size_t gone = random() % list.rows.size();
      from_the_start.erase(list.rows[gone].id);
      list.rows.erase(list.rows.begin() + static_cast<std::ptrdiff_t>(gone));
    };
    Walk walk = LastHours(1);
    const Walked walked = WalkAll(list, walk);
    ASSERT_TRUE(walked.status.ok()) << walked.status;
    EXPECT_TRUE(std::includes(walked.found.begin(), walked.found.end(), from_the_start.begin(),
                              from_the_start.end()))
        << "seed " << seed;
  }
}

TEST(WalkTest, AnUpstreamThatDoesNotCountIsWalkedToo) {
  std::mt19937 random(3);
  ShiftingList list;
  list.counts = false;
  list.rows = RandomRows(1500, 3600, random);
  for (int i = 0; i < 500; ++i) list.rows.push_back({absl::StrCat("same", i), kNow - 60.0});
  Walk walk = LastHours(1);
  EXPECT_EQ(WalkAll(list, walk).found.size(), 2000u);
}

TEST(WalkTest, AListThatNeverComesToRestFailsTheWalk) {
  Walk walk = LastHours(1);
  int made = 0;
  absl::Status status;
  while (status.ok() && walk.Next().has_value()) {
    Walk::Answer answer;  // a page of new ones each time, and more behind it
    for (int i = 0; i < Walk::kPageSize; ++i) {
      answer.items.push_back({absl::StrCat(made++), absl::FromUnixSeconds(kNow - 100)});
    }
    answer.total = 1'000'000;
    answer.next_page_token = "more";
    status = walk.OnAnswer(answer).status();
  }
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_FALSE(walk.complete());
}

TEST(WalkTest, ADateInTheFutureDoesNotBecomeTheWatermark) {
  Walk walk = LastHours(1);
  Walk::Answer answer;
  answer.items = {{"a", absl::FromUnixSeconds(kNow - 5)}, {"b", absl::FromUnixSeconds(kNow * 2)}};
  answer.total = 2;
  ASSERT_TRUE(walk.OnAnswer(answer).ok());
  EXPECT_EQ(walk.newest_done(), absl::FromUnixSeconds(kNow - 5));
}

TEST(WalkTest, TheDateOfASliceThatIsNotCompleteDoesNotCount) {
  Walk walk = LastHours(1);
  Walk::Answer answer;
  for (int i = 0; i < Walk::kPageSize; ++i) {
    answer.items.push_back({absl::StrCat(i), absl::FromUnixSeconds(kNow - 5)});
  }
  answer.total = 1000;
  answer.next_page_token = "1";
  ASSERT_TRUE(walk.OnAnswer(answer).ok());
  EXPECT_EQ(walk.newest_done(), absl::InfinitePast());
}

TEST(WalkTest, AHundredThousandPipelinesNeedAThousandRequests) {
  std::mt19937 random(1);
  ShiftingList list;
  list.rows = RandomRows(100'000, 24 * 3600, random);
  Walk walk = LastHours(24);
  EXPECT_EQ(WalkAll(list, walk).found.size(), 100'000u);
  EXPECT_LT(list.requests, 1100);
}

}  // namespace
}  // namespace semaphore::gateway
