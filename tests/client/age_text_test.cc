#include "client/age_text.h"

#include <gtest/gtest.h>

#include "semaphore/v1/artifact_retention_policy.pb.h"
#include "tests/client/method_fixture.h"

namespace semaphore::client {
namespace {

const MessagePlan& AgePlan() { return *Table().PlanOf(v1::ArtifactAge::descriptor()); }

TEST(AgeText, EveryUnitIsReadInSingularAndPlural) {
  const std::pair<const char*, v1::AgeUnit> units[] = {{"day", v1::AGE_UNIT_DAY},
                                                       {"week", v1::AGE_UNIT_WEEK},
                                                       {"month", v1::AGE_UNIT_MONTH},
                                                       {"year", v1::AGE_UNIT_YEAR}};
  for (const auto& [word, unit] : units) {
    for (int count = 1; count <= 12; ++count) {
      for (const char* ending : {"", "s"}) {
        const std::string text = std::to_string(count) + " " + word + ending;
        SCOPED_TRACE(text);
        v1::ArtifactAge age;
        const absl::Status parsed = ParseAgeText(text, AgePlan(), age);
        ASSERT_TRUE(parsed.ok()) << parsed;
        EXPECT_EQ(age.count(), count);
        EXPECT_EQ(age.unit(), unit);
      }
    }
  }
}

TEST(AgeText, AnAgeThatIsHalfUnderstoodIsAnError) {
  for (const char* text :
       {"2 fortnights", "2", "weeks", "2weeks", "two weeks", "", " ", "0 weeks", "-1 weeks",
        "2 weeks ago", "2  weeks", "99999999999 weeks", "2 UNSPECIFIED", "1.5 weeks"}) {
    SCOPED_TRACE(text);
    v1::ArtifactAge age;
    EXPECT_EQ(ParseAgeText(text, AgePlan(), age).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(AgeText, IsWrittenAsUpstreamExpectsIt) {
  EXPECT_EQ(FormatAgeText(FromText<v1::ArtifactAge>("count: 1 unit: AGE_UNIT_WEEK"), AgePlan()),
            "1 week");
  EXPECT_EQ(FormatAgeText(FromText<v1::ArtifactAge>("count: 2 unit: AGE_UNIT_WEEK"), AgePlan()),
            "2 weeks");
  EXPECT_EQ(FormatAgeText(FromText<v1::ArtifactAge>("count: 12 unit: AGE_UNIT_YEAR"), AgePlan()),
            "12 years");
}

}  // namespace
}  // namespace semaphore::client
