#include "gateway/status_page.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>
#include <utility>
#include <vector>

namespace semaphore::gateway {
namespace {

namespace json = boost::json;

double Field(const json::value& status, const char* name, size_t row) {
  const json::array& fields = status.at("fields").as_array();
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].as_string() == name) {
      return status.at("samples").as_array().at(row).as_array().at(i).to_number<double>();
    }
  }
  return -1;
}

CiSeries Series(std::vector<std::string> labels, double value) {
  CiSeries series;
  series.labels = std::move(labels);
  series.value = value;
  return series;
}

TEST(StatusPage, WithoutSamplesIsStillJson) {
  const json::value status = json::parse(StatusPage().Json());
  EXPECT_FALSE(status.at("collector").as_bool());
  EXPECT_TRUE(status.at("samples").as_array().empty());
}

TEST(StatusPage, AddsUpWhatTheCollectorFound) {
  CiSnapshot ci;
  ci.families = {{"semaphoreci_up", {Series({"acme"}, 1)}},
                 {"semaphoreci_pipeline_runs_total",
                  {Series({"acme", "web", "a.yml", "main", "branch", "passed"}, 3),
                   Series({"acme", "web", "a.yml", "main", "branch", "failed"}, 1)}},
                 {"semaphoreci_pipelines_active", {Series({"acme", "web", "a.yml", "running"}, 2)}},
                 {"semaphoreci_pipeline_last_result",
                  {Series({"acme", "web", "<b>\"\n\xFF", "main", "failed"}, 1),
                   Series({"acme", "web", "b.yml", "main", "failed"}, 0),
                   Series({"acme", "web", "b.yml", "main", "passed"}, 1)}}};
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1'700'000'000), {}, &ci);
  const json::value status = json::parse(page.Json());
  EXPECT_TRUE(status.at("collector").as_bool());
  EXPECT_EQ(Field(status, "time", 0), 1'700'000'000);
  EXPECT_EQ(Field(status, "runs", 0), 4);
  EXPECT_EQ(Field(status, "passed", 0), 3);
  EXPECT_EQ(Field(status, "active", 0), 2);
  ASSERT_EQ(status.at("failing").as_array().size(), 1u);
  EXPECT_EQ(status.at("failing").as_array()[0].at("pipeline").as_string(), "<b>\"\n\xEF\xBF\xBD");
}

TEST(StatusPage, SaysThatNothingWasCollectedUntilSomethingWas) {
  CiSnapshot ci;
  ci.families = {{"semaphoreci_pipeline_runs_total",
                  {Series({"acme", "web", "a.yml", "main", "branch", "passed"}, 3)}},
                 {"semaphoreci_up", {Series({"acme"}, 0)}}};
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1), {}, &ci);
  EXPECT_FALSE(json::parse(page.Json()).at("collector").as_bool());
  ci.families[1].series[0].value = 1;
  page.Sample(absl::FromUnixSeconds(2), {}, &ci);
  ci.families[1].series[0].value = 0;  // an outage later
  page.Sample(absl::FromUnixSeconds(3), {}, &ci);
  EXPECT_TRUE(json::parse(page.Json()).at("collector").as_bool());
}

TEST(StatusPage, LosesNoDigitOfALargeTotal) {
  CiSnapshot ci;
  ci.families = {{"semaphoreci_pipeline_runs_total",
                  {Series({"acme", "web", "a.yml", "main", "branch", "passed"}, 123'456'789)}}};
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1'700'000'000), {}, &ci);
  EXPECT_EQ(Field(json::parse(page.Json()), "runs", 0), 123'456'789);
}

TEST(StatusPage, KeepsSixHoursAndNoMore) {
  StatusPage page;
  for (size_t i = 0; i < StatusPage::kMaxSamples + 5; ++i) {
    page.Sample(absl::FromUnixSeconds(static_cast<int64_t>(i)), {}, nullptr);
  }
  const json::value status = json::parse(page.Json());
  EXPECT_EQ(status.at("samples").as_array().size(), StatusPage::kMaxSamples);
  EXPECT_EQ(Field(status, "time", 0), 5);
}

}  // namespace
}  // namespace semaphore::gateway
