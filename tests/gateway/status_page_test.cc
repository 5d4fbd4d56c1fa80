#include "gateway/status_page.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>
#include <utility>
#include <vector>

namespace semaphore::gateway {
namespace {

namespace json = boost::json;

json::value Value(const json::value& status, const char* name, size_t row) {
  const json::array& fields = status.at("fields").as_array();
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].as_string() == name)
      return status.at("samples").as_array().at(row).as_array().at(i);
  }
  return "no such field";
}

double Field(const json::value& status, const char* name, size_t row) {
  return Value(status, name, row).to_number<double>();
}

CiSeries Series(std::vector<std::string> labels, double value) {
  CiSeries series;
  series.labels = std::move(labels);
  series.value = value;
  return series;
}

using Labels = std::vector<prometheus::ClientMetric::Label>;

prometheus::MetricFamily Gauges(const char* name,
                                const std::vector<std::pair<Labels, double>>& series) {
  prometheus::MetricFamily family;
  family.name = name;
  family.type = prometheus::MetricType::Gauge;
  for (const auto& [labels, value] : series) {
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    metric.label = labels;
    metric.gauge.value = value;
  }
  return family;
}

constexpr const char* kLastSuccess = "semaphoreci_gateway_collector_last_success_timestamp_seconds";
constexpr const char* kInterval = "semaphoreci_gateway_collector_interval_seconds";

// "age" after one sample at `now`.
json::value Age(int64_t now, const std::vector<prometheus::MetricFamily>& own) {
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(now), own, nullptr);
  return json::parse(page.Json()).at("age");
}

TEST(StatusPage, WithoutSamplesIsStillJson) {
  const json::value status = json::parse(StatusPage().Json());
  EXPECT_FALSE(status.at("collector").as_bool());
  EXPECT_EQ(status.at("age").at("places").as_int64(), 0);
  EXPECT_TRUE(status.at("samples").as_array().empty());
}

TEST(StatusPage, AddsUpWhatTheCollectorFound) {
  CiSnapshot ci;
  ci.families = {{"semaphoreci_up", {Series({"acme"}, 1)}},
                 {"semaphoreci_pipeline_runs_total",
                  {Series({"acme", "web", "a.yml", "main", "branch", "passed"}, 3),
                   Series({"acme", "web", "b.yml", "main", "branch", "passed"}, 2),
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
  EXPECT_EQ(Field(status, "passed", 0), 5);
  EXPECT_EQ(Field(status, "passed_or_failed", 0), 6);
  EXPECT_EQ(Field(status, "active", 0), 2);
  EXPECT_EQ(status.at("failing_total").as_int64(), 1);
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
  const json::value status = json::parse(page.Json());
  EXPECT_TRUE(status.at("collector").as_bool());
  for (const char* name : {"passed", "passed_or_failed", "active", "agents"}) {
    EXPECT_TRUE(Value(status, name, 0).is_null()) << name;
    EXPECT_TRUE(Value(status, name, 1).is_number()) << name;
    EXPECT_TRUE(Value(status, name, 2).is_number()) << name;
  }
}

TEST(StatusPage, ListsNothingFailingThatWasNotCollectedSinceTheStart) {
  CiSnapshot ci;
  ci.families = {{"semaphoreci_up", {Series({"acme"}, 0)}},
                 {"semaphoreci_pipeline_last_result",
                  {Series({"acme", "web", "a.yml", "main", "failed"}, 1)}}};
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1), {}, &ci);
  const json::value status = json::parse(page.Json());
  EXPECT_EQ(status.at("failing_total").as_int64(), 0);
  EXPECT_TRUE(status.at("failing").as_array().empty());
}

TEST(StatusPage, CountsVerdictsOnListedRefsOnly) {
  CiSnapshot ci;
  ci.families = {{"semaphoreci_up", {Series({"acme"}, 1)}},
                 {"semaphoreci_pipeline_runs_total",
                  {Series({"acme", "web", "a.yml", "main", "branch", "passed"}, 3),
                   Series({"acme", "web", "a.yml", "main", "branch", "failed"}, 1),
                   Series({"acme", "web", "a.yml", "main", "branch", "stopped"}, 10),
                   Series({"acme", "web", "a.yml", "main", "branch", "canceled"}, 20),
                   Series({"acme", "web", "a.yml", "main", "branch", "unknown"}, 40),
                   Series({"acme", "web", "a.yml", "other", "branch", "passed"}, 80),
                   Series({"acme", "web", "a.yml", "other", "branch", "failed"}, 160)}}};
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1), {}, &ci);
  const json::value status = json::parse(page.Json());
  EXPECT_EQ(Field(status, "passed", 0), 3);
  EXPECT_EQ(Field(status, "passed_or_failed", 0), 4);
}

TEST(StatusPage, ListsFiftyOfTheFailingAndCountsAll) {
  CiFamily results{"semaphoreci_pipeline_last_result", {}};
  for (int i = 0; i < 80; ++i) {
    results.series.push_back(
        Series({"acme", "web", "a" + std::to_string(i) + ".yml", "main", "failed"}, 1));
  }
  CiSnapshot ci;
  ci.families = {{"semaphoreci_up", {Series({"acme"}, 1)}}, results};
  StatusPage page;
  for (int64_t second : {1, 2}) page.Sample(absl::FromUnixSeconds(second), {}, &ci);
  const json::value status = json::parse(page.Json());
  EXPECT_EQ(status.at("failing").as_array().size(), 50u);
  EXPECT_EQ(status.at("failing_total").as_int64(), 80);
}

TEST(StatusPage, ShowsTheBudgetOfTheOrganizationThatHasTheLeast) {
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1),
              {Gauges("semaphoreci_gateway_upstream_budget_tokens",
                      {{{{"organization", "acme"}}, 20}, {{{"organization", "beta"}}, 5}}),
               Gauges("semaphoreci_gateway_upstream_budget_capacity",
                      {{{{"organization", "acme"}}, 20}, {{{"organization", "beta"}}, 40}})},
              nullptr);
  page.Sample(absl::FromUnixSeconds(2), {}, nullptr);
  const json::value status = json::parse(page.Json());
  EXPECT_EQ(Field(status, "budget_share", 0), 0.125);
  EXPECT_TRUE(Value(status, "budget_share", 1).is_null());
}

TEST(StatusPage, TakesNoHalfOpenCircuitBreakerForAnOpenOne) {
  const auto of = [](const char* organization, const char* state) {
    return Labels{{"organization", organization}, {"state", state}};
  };
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1),
              {Gauges("semaphoreci_gateway_upstream_circuit_state", {{of("acme", "closed"), 0},
                                                                     {of("acme", "open"), 1},
                                                                     {of("acme", "half_open"), 0},
                                                                     {of("beta", "closed"), 0},
                                                                     {of("beta", "open"), 0},
                                                                     {of("beta", "half_open"), 1},
                                                                     {of("gamma", "closed"), 1},
                                                                     {of("gamma", "open"), 0}})},
              nullptr);
  EXPECT_EQ(Field(json::parse(page.Json()), "circuit_open", 0), 1);
}

TEST(StatusPage, CallsAProjectOldThatWasNotCollectedForFiveMinutes) {
  const auto of = [](const char* organization, const char* project) {
    return Labels{{"organization", organization}, {"project", project}};
  };
  const json::value age =
      Age(20'000,
          {Gauges(kLastSuccess, {{of("acme", "api"), 19'990},
                                 {of("acme", "web"), 2'000},
                                 {of("beta", "web"), 19'700},
                                 {of("beta", "new"), 0}}),
           Gauges(kInterval, {{{{"organization", "acme"}}, 60}, {{{"organization", "beta"}}, 1}})});
  EXPECT_EQ(age.at("places").as_int64(), 3) << "one was never collected";
  EXPECT_EQ(age.at("old").as_int64(), 1);
  EXPECT_EQ(age.at("newest_seconds").to_number<double>(), 10);
  EXPECT_EQ(age.at("oldest_seconds").to_number<double>(), 18'000);
  EXPECT_EQ(age.at("organization").as_string(), "acme");
  EXPECT_EQ(age.at("project").as_string(), "web");
}

TEST(StatusPage, WaitsFiveIntervalsBeforeItCallsFactsOld) {
  const std::vector<prometheus::MetricFamily> own = {
      Gauges(kLastSuccess,
             {{{{"organization", "acme"}}, 1'000}, {{{"organization", "beta"}}, 1'000}}),
      Gauges(kInterval, {{{{"organization", "acme"}}, 600}, {{{"organization", "beta"}}, 60}})};
  EXPECT_EQ(Age(1'300, own).at("old").as_int64(), 0);
  EXPECT_EQ(Age(1'301, own).at("old").as_int64(), 1);
  EXPECT_EQ(Age(4'000, own).at("old").as_int64(), 1);
  EXPECT_EQ(Age(4'001, own).at("old").as_int64(), 2);
  EXPECT_EQ(Age(900, own).at("newest_seconds").to_number<double>(), 0) << "a clock went back";
}

TEST(StatusPage, LosesNoDigitOfALargeTotal) {
  CiSnapshot ci;
  ci.families = {{"semaphoreci_up", {Series({"acme"}, 1)}},
                 {"semaphoreci_pipeline_runs_total",
                  {Series({"acme", "web", "a.yml", "main", "branch", "passed"}, 123'456'789)}}};
  StatusPage page;
  page.Sample(absl::FromUnixSeconds(1'700'000'000), {}, &ci);
  EXPECT_EQ(Field(json::parse(page.Json()), "passed", 0), 123'456'789);
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
