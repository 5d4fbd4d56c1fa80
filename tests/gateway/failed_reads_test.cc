#include "gateway/failed_reads.h"

#include <gtest/gtest.h>

namespace semaphore::gateway {
namespace {

TEST(FailedReadsTest, WhatIsRefusedIsGivenUpAfterTwoHours) {
  absl::Duration waited;
  int tries = 1;
  while (const std::optional<absl::Duration> again =
             ReadAgainAfter(absl::InternalError("500"), tries)) {
    EXPECT_GE(*again, absl::Minutes(1));
    EXPECT_LE(*again, absl::Hours(1));
    waited += *again;
    ++tries;
  }
  EXPECT_GT(waited, absl::Hours(2));
  EXPECT_LT(waited, absl::Hours(3));
}

TEST(FailedReadsTest, TroubleIsWaitedOutForDays) {
  EXPECT_EQ(ReadAgainAfter(absl::UnavailableError("503"), 99), absl::Hours(1));
  EXPECT_FALSE(ReadAgainAfter(absl::UnavailableError("503"), 100).has_value());
}

TEST(FailedReadsTest, APollEndsAfterThreeAndFailsWithTheFirstTrouble) {
  Failures failures;
  failures.Add(absl::OkStatus());
  failures.Add(absl::NotFoundError("404"));
  EXPECT_TRUE(failures.trouble().ok());
  failures.Add(absl::UnavailableError("first"));
  EXPECT_FALSE(failures.Enough());
  failures.Add(absl::DeadlineExceededError("second"));
  EXPECT_TRUE(failures.Enough());
  EXPECT_EQ(failures.trouble(), absl::UnavailableError("first"));
}

}  // namespace
}  // namespace semaphore::gateway
