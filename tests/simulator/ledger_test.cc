#include "tests/simulator/ledger.h"

#include <gtest/gtest.h>

#include <thread>

namespace semaphore::simulator {
namespace {

RecordedRequest RequestWithBody(size_t bytes) {
  RecordedRequest request;
  request.body.assign(bytes, 'x');
  return request;
}

TEST(LedgerTest, TheOldestRequestsAreForgottenBeyondTheCount) {
  Ledger ledger;
  for (size_t i = 0; i < Ledger::kMaxRequests + 3; i++) ledger.Record({});
  EXPECT_EQ(ledger.Requests().size(), Ledger::kMaxRequests);
  EXPECT_EQ(ledger.Requests().front().number, 4U);
  EXPECT_EQ(ledger.forgotten_requests(), 3U);
}

TEST(LedgerTest, TheOldestRequestsAreForgottenBeyondTheirBytes) {
  Ledger ledger;
  for (int i = 0; i < 3; i++) ledger.Record(RequestWithBody(Ledger::kMaxBytes / 2));
  EXPECT_EQ(ledger.Requests().size(), 1U);
  EXPECT_EQ(ledger.forgotten_requests(), 2U);
}

TEST(LedgerTest, AWaitEndsWhenItsConditionHolds) {
  Ledger ledger;
  std::thread recording([&] { ledger.Record({}); });
  EXPECT_TRUE(ledger.WaitUntil([&] { return ledger.Requests().size() == 1; }, absl::Minutes(1)));
  recording.join();
}

TEST(LedgerTest, AWaitForWhatNeverHappensEndsAtItsLimit) {
  const Ledger ledger;
  EXPECT_FALSE(ledger.WaitUntil([] { return false; }, absl::Milliseconds(1)));
}

TEST(LedgerTest, ClearingStartsTheNumbersAgain) {
  Ledger ledger;
  ledger.Record({});
  ledger.Clear();
  ledger.Record({});
  EXPECT_EQ(ledger.Requests().front().number, 1U);
}

}  // namespace
}  // namespace semaphore::simulator
