// What collecting costs, by the estimate and in fact.
#include "gateway/collection_estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/gateway/collector_fixture.h"
#include "tests/gateway/durable_collector_fixture.h"

namespace semaphore::gateway {
namespace {

using testing::HasSubstr;

class CollectionEstimateTest : public CollectorFixture {};

TEST_F(CollectionEstimateTest, ADayOfTenBusyProjectsCostsWhatItSays) {
  semaphore_.projects.clear();
  organization_.projects.clear();
  for (int i = 0; i < 10; ++i) {
    semaphore_.projects.push_back({absl::StrCat("id", i), absl::StrCat("name", i)});
    organization_.projects.push_back(absl::StrCat("name", i));
  }
  // The day before, an hour to begin in, and the day that is measured.
  const auto run = [this](int index, absl::Time created) {
    const std::string project = absl::StrCat("id", index % 10);
    semaphore_.pipelines.push_back(
        {absl::StrCat("p", index), project, created, created + absl::Minutes(Random() * 20)});
  };
  const absl::Duration apart = absl::Seconds(8.64);
  int index = 0;
  for (absl::Time at = semaphore_.Now() - absl::Hours(24); at < semaphore_.Now(); at += apart) {
    run(index++, at);
  }
  StartCollector();
  const absl::Time start = semaphore_.Now();
  for (absl::Time at = start; at < start + absl::Hours(25); at += apart) run(index++, at);
  RunFor(absl::Hours(1));
  semaphore_.requests.clear();
  RunFor(absl::Hours(24));
  const auto measured = static_cast<double>(semaphore_.requests.size());

  MetricsConfig metrics;
  CollectionAssumptions assumptions;
  assumptions.projects = 10;
  assumptions.pipelines_per_day = 1000;
  assumptions.promoting_share = 0;
  assumptions.deployments_per_day = 0;
  const double estimated = EstimateCollection(metrics, 10, assumptions).RequestsPerDay();
  RecordProperty("requests_per_day", static_cast<int>(measured));
  EXPECT_NEAR(measured, estimated, estimated * 0.1) << "measured " << measured;
  EXPECT_LT(measured, 60'000);
  RunFor(absl::Minutes(30));
  // All of the 25 hours, and what the day before left running.
  EXPECT_GE(ledger_.counted.size(), 10'417u);
  EXPECT_LE(ledger_.counted.size(), 10'417u + 200u);
}

class PromotingEstimateTest : public DurableCollectorFixture {};

TEST_F(PromotingEstimateTest, PromotionsCostWhatItSays) {
  StartCounting();
  for (int i = 0; i < 100; ++i) {
    const std::string parent = absl::StrCat("parent", i);
    semaphore_.Run(parent, absl::Minutes(1)).switch_id = "switch";
    RunFor(absl::Minutes(2));
    semaphore_.promotions[parent] = {{"Ship", semaphore_.Now()}};
    semaphore_.Run(absl::StrCat("child", i), absl::Minutes(5)).promotion_of = parent;
    RunFor(absl::Minutes(12.4));
  }
  RunFor(absl::Hours(2));
  EXPECT_EQ(Promotions("Ship"), 100);
  CollectionAssumptions assumptions;
  assumptions.projects = 1;
  assumptions.pipelines_per_day = 200;
  assumptions.promoting_share = 0.5;
  const CollectionCost cost = EstimateCollection(MetricsConfig(), 10, assumptions);
  const auto part = std::find_if(cost.requests.begin(), cost.requests.end(),
                                 [](const auto& each) { return each.what == "promotions"; });
  ASSERT_NE(part, cost.requests.end());
  // Each read is two requests.
  EXPECT_NEAR(2.0 * static_cast<double>(semaphore_.RequestsTo("promotions")), part->per_day,
              part->per_day * 0.1);
}

TEST_F(CollectionEstimateTest, CountsInWordsThatFit) {
  CollectionAssumptions assumptions;
  assumptions.projects = 10;
  assumptions.organizations = 1;
  const std::string text =
      DescribeCost(EstimateCollection(MetricsConfig(), 10, assumptions), 10, assumptions);
  EXPECT_THAT(text, HasSubstr("10 projects in 1 organization;"));
}

}  // namespace
}  // namespace semaphore::gateway
