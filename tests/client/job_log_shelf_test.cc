#include "client/job_log_shelf.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

namespace semaphore::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

std::shared_ptr<const JobLogEvents> Log(size_t bytes = 10) {
  auto events = std::make_shared<JobLogEvents>();
  events->Append(std::string(bytes, 'x'));
  return events;
}

TEST(JobLogShelf, GivesWhatWasPutAndWhenItWasDownloaded) {
  JobLogShelf shelf;
  const auto log = Log();
  EXPECT_EQ(shelf.Get("j", kStart).events, nullptr);
  shelf.Put("j", log, kStart);
  const auto entry = shelf.Get("j", kStart + seconds(3));
  EXPECT_EQ(entry.events, log);
  EXPECT_EQ(entry.downloaded, kStart);
  EXPECT_EQ(shelf.Get("k", kStart).events, nullptr);
}

TEST(JobLogShelf, EachUseKeepsALogForAnotherMinute) {
  JobLogShelf shelf;
  shelf.Put("j", Log(), kStart);
  for (int i = 1; i <= 10; ++i) EXPECT_NE(shelf.Get("j", kStart + seconds(50 * i)).events, nullptr);
  EXPECT_EQ(shelf.Get("j", kStart + seconds(561)).events, nullptr);
  EXPECT_EQ(shelf.bytes(), 0u);
}

TEST(JobLogShelf, ExpireDropsWhatNobodyAskedForWithinAMinute) {
  JobLogShelf shelf;
  shelf.Put("j", Log(), kStart);
  shelf.Expire(kStart + seconds(60));
  EXPECT_GT(shelf.bytes(), 0u);
  shelf.Expire(kStart + seconds(60) + milliseconds(1));
  EXPECT_EQ(shelf.bytes(), 0u);
}

TEST(JobLogShelf, ANewDownloadReplacesTheOld) {
  JobLogShelf shelf;
  shelf.Put("j", Log(), kStart);
  const size_t bytes = shelf.bytes();
  const auto newer = Log();
  shelf.Put("j", newer, kStart + seconds(1));
  EXPECT_EQ(shelf.bytes(), bytes);
  EXPECT_EQ(shelf.Get("j", kStart + seconds(2)).events, newer);
}

TEST(JobLogShelf, BytesStayWithinTheBoundByDroppingTheLeastRecentlyUsed) {
  const size_t one = Log()->bytes();
  JobLogShelf shelf(3 * one);
  for (const char* id : {"a", "b", "c"}) shelf.Put(id, Log(), kStart);
  shelf.Get("a", kStart + seconds(1));
  shelf.Get("c", kStart + seconds(2));
  shelf.Put("d", Log(), kStart + seconds(3));
  EXPECT_LE(shelf.bytes(), 3 * one);
  EXPECT_NE(shelf.Get("a", kStart + seconds(3)).events, nullptr);
  EXPECT_EQ(shelf.Get("b", kStart + seconds(3)).events, nullptr);
  EXPECT_NE(shelf.Get("c", kStart + seconds(3)).events, nullptr);
  EXPECT_NE(shelf.Get("d", kStart + seconds(3)).events, nullptr);
}

TEST(JobLogShelf, ALogLargerThanTheBoundIsNotKeptAndPushesNothingOut) {
  const size_t one = Log()->bytes();
  JobLogShelf shelf(2 * one);
  shelf.Put("small", Log(), kStart);
  shelf.Put("large", Log(8 << 20), kStart);
  EXPECT_EQ(shelf.Get("large", kStart).events, nullptr);
  EXPECT_NE(shelf.Get("small", kStart).events, nullptr);
}

}  // namespace
}  // namespace semaphore::client
