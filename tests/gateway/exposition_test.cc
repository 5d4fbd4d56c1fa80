#include "gateway/exposition.h"

#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace semaphore::gateway {
namespace {

constexpr char kRuns[] = "semaphoreci_pipeline_runs_total";
constexpr char kDuration[] = "semaphoreci_pipeline_run_duration_seconds";
constexpr char kFlaky[] = "semaphoreci_pipeline_flaky_commits_total";
constexpr char kUp[] = "semaphoreci_up";
constexpr char kReplacement[] = "\xEF\xBF\xBD";

CiSeries Value(std::vector<std::string> labels, double value) {
  CiSeries series;
  series.labels = std::move(labels);
  series.value = value;
  return series;
}

CiSeries Duration(std::vector<std::string> labels, std::vector<uint64_t> buckets, double sum) {
  CiSeries series;
  series.labels = std::move(labels);
  series.buckets = std::move(buckets);
  series.sum = sum;
  return series;
}

std::shared_ptr<const CiSnapshot> Snapshot(std::vector<CiFamily> families) {
  auto snapshot = std::make_shared<CiSnapshot>();
  snapshot->families = std::move(families);
  return snapshot;
}

std::string Page(std::vector<CiFamily> families, Exposition format = Exposition::kText,
                 uint64_t* dropped = nullptr) {
  CiPage page(Snapshot(std::move(families)), format);
  std::string out;
  while (page.Append(1000, &out)) {
  }
  if (dropped != nullptr) *dropped = page.dropped();
  return out;
}

bool Has(const std::string& page, const std::string& text) {
  return page.find(text) != std::string::npos;
}

size_t LinesIn(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(CiPage, AnEmptySnapshotIsALawfulPage) {
  EXPECT_EQ(Page({}), "");
  EXPECT_EQ(Page({}, Exposition::kOpenMetrics), "# EOF\n");
  EXPECT_EQ(Page({{kUp, {}}}), "") << "a family without series is not declared";
}

TEST(CiPage, TextDeclaresAndListsACounter) {
  const std::string page =
      Page({{kRuns, {Value({"acme", "web", ".semaphore/a.yml", "main", "branch", "passed"}, 3)}}});
  EXPECT_TRUE(page.starts_with("# HELP semaphoreci_pipeline_runs_total Finished pipelines"));
  EXPECT_TRUE(Has(page, "\n# TYPE semaphoreci_pipeline_runs_total counter\n"));
  EXPECT_TRUE(page.ends_with(
      "\nsemaphoreci_pipeline_runs_total{organization=\"acme\",project=\"web\",pipeline=\""
      ".semaphore/a.yml\",ref=\"main\",ref_type=\"branch\",result=\"passed\"} 3\n"))
      << page;
}

TEST(CiPage, OpenMetricsNamesACounterWithoutTotalAndEndsWithEof) {
  const std::string page =
      Page({{kFlaky, {Value({"acme", "web", "a.yml"}, 1)}}}, Exposition::kOpenMetrics);
  EXPECT_TRUE(Has(page, "# TYPE semaphoreci_pipeline_flaky_commits counter\n")) << page;
  EXPECT_TRUE(Has(page, "\nsemaphoreci_pipeline_flaky_commits_total{organization=\"acme\""));
  EXPECT_TRUE(page.ends_with("} 1\n# EOF\n"));
}

TEST(CiPage, AHistogramIsCumulativeAndItsBoundsAreSpeltTheSameInBothFormats) {
  const std::vector<uint64_t> buckets = {1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4};
  for (const Exposition format : {Exposition::kText, Exposition::kOpenMetrics}) {
    const std::string page =
        Page({{kDuration, {Duration({"acme", "web", "a.yml", "passed"}, buckets, 123.5)}}}, format);
    const std::string of =
        "{organization=\"acme\",project=\"web\",pipeline=\"a.yml\",result=\"passed\"";
    EXPECT_TRUE(Has(page, "_bucket" + of + ",le=\"15.0\"} 1\n")) << page;
    EXPECT_TRUE(Has(page, "_bucket" + of + ",le=\"30.0\"} 1\n"));
    EXPECT_TRUE(Has(page, "_bucket" + of + ",le=\"60.0\"} 3\n"));
    EXPECT_TRUE(Has(page, "_bucket" + of + ",le=\"14400.0\"} 3\n"));
    EXPECT_TRUE(Has(page, "_bucket" + of + ",le=\"+Inf\"} 7\n"));
    EXPECT_TRUE(Has(page, "_count" + of + "} 7\n"));
    EXPECT_TRUE(Has(page, "_sum" + of + "} 123.5\n"));
    EXPECT_EQ(Has(page, "# UNIT semaphoreci_pipeline_run_duration_seconds seconds\n"),
              format == Exposition::kOpenMetrics);
  }
}

TEST(CiPage, ExemplarsAreOnlyInOpenMetricsOnCountersAndTheRightBuckets) {
  CiSeries run = Value({"acme", "web", "a.yml"}, 1);
  run.exemplars = {Exemplar{"pipeline-1", "workflow-1", 1, absl::FromUnixMillis(1700000000123)}};
  CiSeries duration = Duration({"acme", "web", "a.yml", "passed"}, std::vector<uint64_t>(13, 1), 9);
  duration.exemplars.resize(13);
  duration.exemplars[1] = Exemplar{"pipeline-2", "workflow-2", 20.5, absl::FromUnixSeconds(17)};
  duration.exemplars[2] =
      Exemplar{"pipeline-3", "", 7, absl::FromUnixSeconds(17)};  // not its bucket
  CiSeries gauge = Value({"acme"}, 1);
  gauge.exemplars = {Exemplar{"pipeline-4", "", 1, absl::FromUnixSeconds(17)}};
  const std::vector<CiFamily> families = {{kFlaky, {run}}, {kDuration, {duration}}, {kUp, {gauge}}};
  const std::string page = Page(families, Exposition::kOpenMetrics);
  EXPECT_TRUE(Has(page,
                  "} 1 # {pipeline_id=\"pipeline-1\",workflow_id=\"workflow-1\"} 1 "
                  "1700000000.123\n"))
      << page;
  EXPECT_TRUE(Has(page,
                  "le=\"30.0\"} 2 # {pipeline_id=\"pipeline-2\",workflow_id=\"workflow-2\"} 20.5 "
                  "17\n"))
      << page;
  EXPECT_FALSE(Has(page, "pipeline-3"));
  EXPECT_FALSE(Has(page, "pipeline-4"));
  EXPECT_FALSE(Has(Page(families), " # {"));
}

TEST(CiPage, AnExemplarIsAtMost128Characters) {
  CiSeries run = Value({"acme", "web", "a.yml"}, 1);
  run.exemplars = {Exemplar{std::string(60, 'p'), std::string(60, 'w'), 1, absl::UnixEpoch()}};
  const std::string page = Page({{kFlaky, {run}}}, Exposition::kOpenMetrics);
  EXPECT_TRUE(Has(page, "} 1 # {pipeline_id=\"" + std::string(60, 'p') + "\"} 1\n")) << page;
  run.exemplars = {Exemplar{std::string(300, 'p'), "", 1, absl::UnixEpoch()}};
  EXPECT_FALSE(Has(Page({{kFlaky, {run}}}, Exposition::kOpenMetrics), "} 1 #"));
}

TEST(CiPage, HostileLabelValuesStayOnOneLawfulLine) {
  const std::string page = Page({{kUp,
                                  {Value({"a\"b\\c"}, 1), Value({"new\nline\r\t\x7F"}, 2),
                                   Value({"\xF0\x9F\x92\xA9 \xC3\xBC"}, 3), Value({"\xFF\xC3"}, 4),
                                   Value({std::string(10'000, 'x')}, 5), Value({"\xED\xA0\x80"}, 6),
                                   Value({std::string("nul\0", 4)}, 7), Value({""}, 8)}}});
  const std::string r = kReplacement;
  EXPECT_TRUE(Has(page, "{organization=\"a\\\"b\\\\c\"} 1\n")) << page;
  EXPECT_TRUE(Has(page, "{organization=\"new" + r + "line" + r + r + r + "\"} 2\n"));
  EXPECT_TRUE(Has(page, "{organization=\"\xF0\x9F\x92\xA9 \xC3\xBC\"} 3\n"));
  EXPECT_TRUE(Has(page, "{organization=\"" + r + r + "\"} 4\n"));
  EXPECT_TRUE(Has(page, "{organization=\"" + std::string(128, 'x') + "\"} 5\n"));
  EXPECT_TRUE(Has(page, "{organization=\"" + r + r + r + "\"} 6\n"));
  EXPECT_TRUE(Has(page, "{organization=\"nul" + r + "\"} 7\n"));
  EXPECT_TRUE(Has(page, "{organization=\"\"} 8\n"));
  EXPECT_EQ(LinesIn(page), 10u);
}

TEST(CiPage, NumbersReadBackAsTheSame) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<double, std::string>> rows = {{0, "0"},
                                                            {-0.5, "-0.5"},
                                                            {0.1, "0.1"},
                                                            {1.0 / 3, "0.3333333333333333"},
                                                            {100000, "100000"},
                                                            {1e15, "1e+15"},
                                                            {1e300, "1e+300"},
                                                            {1732780000.25, "1732780000.25"},
                                                            {std::nan(""), "NaN"},
                                                            {kInfinity, "+Inf"},
                                                            {-kInfinity, "-Inf"},
                                                            {5e-324, "5e-324"}};
  for (const auto& [value, text] : rows) {
    EXPECT_TRUE(Page({{kUp, {Value({"acme"}, value)}}}).ends_with("} " + text + "\n")) << text;
  }
}

TEST(CiPage, TheOrderDoesNotDependOnTheOrderOfTheSnapshot) {
  const CiFamily up = {kUp, {Value({"b"}, 1), Value({"a"}, 2)}};
  const CiFamily flaky = {kFlaky, {Value({"acme", "web", "a.yml"}, 1)}};
  const CiFamily up_turned = {kUp, {up.series[1], up.series[0]}};
  EXPECT_EQ(Page({up, flaky}), Page({flaky, up_turned}));
}

TEST(CiPage, NoLabelSetIsOnThePageTwice) {
  uint64_t dropped = 0;
  const std::string page =
      Page({{kUp, {Value({"a\n"}, 1), Value({"b"}, 2), Value({"a\r"}, 3), Value({"b"}, 4)}}},
           Exposition::kText, &dropped);
  EXPECT_EQ(LinesIn(page), 4u) << page;
  EXPECT_EQ(dropped, 2u);
}

TEST(CiPage, WhatDoesNotFitTheCatalogueIsLeftOutAndCounted) {
  uint64_t dropped = 0;
  const std::string page =
      Page({{"semaphoreci_made_up", {Value({"a"}, 1)}},
            {kUp, {Value({}, 1), Value({"a", "b"}, 1)}},
            {kDuration, {Duration({"acme", "web", "a.yml", "passed"}, {1, 2}, 3)}}},
           Exposition::kText, &dropped);
  EXPECT_EQ(page, "");
  EXPECT_EQ(dropped, 4u);
}

TEST(CiPage, AFamilyEndsAtItsCap) {
  CiFamily up{kUp, {}};
  for (int i = 0; i < 2010; ++i) up.series.push_back(Value({"o" + std::to_string(i)}, 1));
  uint64_t dropped = 0;
  EXPECT_EQ(LinesIn(Page({up}, Exposition::kText, &dropped)), 2002u);
  EXPECT_EQ(dropped, 10u);
}

TEST(CiPage, WhatWasCountedIsShownBeyondTheCapWhichMayBeConfigured) {
  CiSnapshot snapshot;
  snapshot.max_series = 100;
  snapshot.left_out = 7;
  CiFamily& flaky = snapshot.families.emplace_back(CiFamily{kFlaky, {}});
  CiFamily up{kUp, {}};
  for (int i = 0; i < 150; ++i) {
    flaky.series.push_back(Value({"acme", "p" + std::to_string(i), "a.yml"}, 1));
    up.series.push_back(Value({"o" + std::to_string(i)}, 1));
  }
  snapshot.families.push_back(std::move(up));
  CiPage page(std::make_shared<CiSnapshot>(std::move(snapshot)), Exposition::kText);
  std::string text;
  while (page.Append(1 << 20, &text)) {
  }
  EXPECT_EQ(LinesIn(text), 2 + 150 + 2 + 100u);
  EXPECT_EQ(page.dropped(), 50u + 7u);
}

TEST(CiPage, ComesInPiecesOfTheAskedSize) {
  CiFamily up{kUp, {}};
  for (int i = 0; i < 1000; ++i) up.series.push_back(Value({"o" + std::to_string(i)}, 1));
  CiPage page(Snapshot({up}), Exposition::kText);
  std::string whole;
  bool more = true;
  while (more) {
    std::string piece;
    more = page.Append(1000, &piece);
    EXPECT_LT(piece.size(), 1500u);
    whole += piece;
  }
  EXPECT_EQ(whole, Page({up}));
}

TEST(Exposition, IsChosenByAccept) {
  const std::vector<std::pair<std::string, Exposition>> rows = {
      {"", Exposition::kText},
      {"*/*", Exposition::kText},
      {"image/png", Exposition::kText},
      {"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", Exposition::kText},
      {"application/openmetrics-text", Exposition::kOpenMetrics},
      {"Application/OpenMetrics-Text; Version=\"1.0.0\"", Exposition::kOpenMetrics},
      {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
       "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
       Exposition::kOpenMetrics},
      {"application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
       Exposition::kText},
      {"application/openmetrics-text;q=0.1,text/plain", Exposition::kText},
      {"application/openmetrics-text;q=0.2,*/*;q=0.1", Exposition::kOpenMetrics},
      {"application/openmetrics-text;q=0", Exposition::kText},
      {"application/openmetrics-text;q=2", Exposition::kText},
      {"application/openmetrics-text;q=x", Exposition::kText},
      {"application/openmetrics-text;escaping=underscores;version=1.0.0", Exposition::kOpenMetrics},
      {",;=,;;q=,", Exposition::kText}};
  for (const auto& [accept, format] : rows)
    EXPECT_EQ(NegotiateExposition(accept), format) << accept;
}

TEST(WriteFamilies, OrdersSeriesByLabelsInBothFormats) {
  prometheus::Registry registry;
  auto& family =
      prometheus::BuildCounter().Name("x_seconds_total").Help("a\\b\n\"c").Register(registry);
  for (const char* name : {"c", "a", "b"}) family.Add({{"l", name}}).Increment(0.5);
  auto& waits = prometheus::BuildHistogram().Name("y_seconds").Help("h").Register(registry);
  waits.Add({}, prometheus::Histogram::BucketBoundaries{0.0005, 1}).Observe(0.7);
  EXPECT_EQ(WriteFamilies(registry.Collect(), Exposition::kText),
            "# HELP x_seconds_total a\\\\b\\n\"c\n# TYPE x_seconds_total counter\n"
            "x_seconds_total{l=\"a\"} 0.5\nx_seconds_total{l=\"b\"} 0.5\n"
            "x_seconds_total{l=\"c\"} 0.5\n"
            "# HELP y_seconds h\n# TYPE y_seconds histogram\n"
            "y_seconds_bucket{le=\"0.0005\"} 0\ny_seconds_bucket{le=\"1.0\"} 1\n"
            "y_seconds_bucket{le=\"+Inf\"} 1\ny_seconds_count 1\ny_seconds_sum 0.7\n");
  EXPECT_EQ(WriteFamilies(registry.Collect(), Exposition::kOpenMetrics),
            "# HELP x_seconds a\\\\b\\n\\\"c\n# TYPE x_seconds counter\n# UNIT x_seconds seconds\n"
            "x_seconds_total{l=\"a\"} 0.5\nx_seconds_total{l=\"b\"} 0.5\n"
            "x_seconds_total{l=\"c\"} 0.5\n"
            "# HELP y_seconds h\n# TYPE y_seconds histogram\n# UNIT y_seconds seconds\n"
            "y_seconds_bucket{le=\"0.0005\"} 0\ny_seconds_bucket{le=\"1.0\"} 1\n"
            "y_seconds_bucket{le=\"+Inf\"} 1\ny_seconds_count 1\ny_seconds_sum 0.7\n# EOF\n");
}

TEST(WriteFamilies, TellsTheUnitOfAName) {
  EXPECT_EQ(UnitOf("process_cpu_seconds_total"), "seconds");
  EXPECT_EQ(UnitOf("cache_bytes"), "bytes");
  EXPECT_EQ(UnitOf("parsecs_per_microseconds"), "");
  EXPECT_EQ(UnitOf("seconds"), "");
  EXPECT_EQ(UnitOf(""), "");
}

// For parsers that are not ours: tests/e2e/exposition_test.py names a folder and reads the pages.
TEST(CiPage, OfEveryFamilyWithHostileValuesIsWrittenForOtherParsers) {
  std::vector<CiFamily> families;
  for (const CiFamilySpec& spec : CiCatalog()) {
    CiFamily family{spec.name, {}};
    for (const char* value : {"plain", "q\"\\\n\xFF", "\xF0\x9F\x92\xA9", "a # {b=\"c\"} 1"}) {
      CiSeries series = Value(std::vector<std::string>(spec.labels.size(), value), 4);
      const Exemplar exemplar{std::string("p\"\\\n\xFF"), "w", 1, absl::FromUnixSeconds(1e9)};
      if (spec.type == CiType::kCounter) series.exemplars = {exemplar};
      if (spec.type == CiType::kHistogram) {
        series.buckets.assign(spec.buckets.size() + 1, 2);
        series.sum = 1.5;
        series.exemplars.assign(series.buckets.size(), std::nullopt);
        series.exemplars[0] = exemplar;
      }
      family.series.push_back(std::move(series));
    }
    families.push_back(std::move(family));
  }
  const std::string text = Page(families);
  const std::string open_metrics = Page(families, Exposition::kOpenMetrics);
  EXPECT_TRUE(Has(open_metrics, " # {"));
  const char* folder = std::getenv("EXPOSITION_PAGES");
  if (folder == nullptr) return;
  std::ofstream(std::string(folder) + "/hostile.txt") << text;
  std::ofstream(std::string(folder) + "/hostile.openmetrics") << open_metrics;
}

}  // namespace
}  // namespace semaphore::gateway
