#include "gateway/ci_catalog.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <set>
#include <string>

#include "gateway/metrics_catalog.h"

namespace semaphore::gateway {
namespace {

TEST(CiCatalog, EveryFamilyIsFoundByItsNameWhichIsItsOnly) {
  std::set<std::string_view> names;
  for (const CiFamilySpec& spec : CiCatalog()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_EQ(FindCiFamily(spec.name), &spec);
  }
  EXPECT_EQ(FindCiFamily("semaphoreci_nothing"), nullptr);
  EXPECT_EQ(FindCiFamily(""), nullptr);
}

TEST(CiCatalog, NamesFollowTheRulesOfTheirTypeAndUnit) {
  for (const CiFamilySpec& spec : CiCatalog()) {
    SCOPED_TRACE(spec.name);
    EXPECT_TRUE(spec.name.starts_with("semaphoreci_"));
    EXPECT_FALSE(spec.name.starts_with("semaphoreci_gateway_"));
    EXPECT_EQ(spec.name.ends_with("_total"), spec.type == CiType::kCounter);
    EXPECT_EQ(spec.name.ends_with("_seconds"), spec.unit == "seconds");
    EXPECT_FALSE(spec.help.empty());
    EXPECT_EQ(spec.help.find('\n'), std::string_view::npos);
    EXPECT_GT(spec.max_series, 0u);
  }
}

TEST(CiCatalog, TheOrganizationIsTheFirstLabelAndNoLabelIsTwiceOrAnId) {
  const std::set<std::string_view> never = {"le", "user", "sha", "url", "message", "agent"};
  for (const CiFamilySpec& spec : CiCatalog()) {
    SCOPED_TRACE(spec.name);
    ASSERT_FALSE(spec.labels.empty());
    EXPECT_EQ(spec.labels.front(), "organization");
    const std::set<std::string_view> labels(spec.labels.begin(), spec.labels.end());
    EXPECT_EQ(labels.size(), spec.labels.size());
    for (const std::string_view label : labels) EXPECT_FALSE(never.contains(label)) << label;
  }
}

TEST(CiCatalog, OnlyHistogramsHaveBucketsAndTheyRise) {
  for (const CiFamilySpec& spec : CiCatalog()) {
    SCOPED_TRACE(spec.name);
    EXPECT_EQ(spec.buckets.empty(), spec.type != CiType::kHistogram);
    EXPECT_TRUE(std::is_sorted(spec.buckets.begin(), spec.buckets.end()));
  }
}

TEST(CiCatalog, EventsExpireAndStatesDoNot) {
  for (const CiFamilySpec& spec : CiCatalog()) {
    SCOPED_TRACE(spec.name);
    EXPECT_EQ(spec.event, spec.type != CiType::kGauge);
    EXPECT_EQ(spec.event, spec.expiry != absl::InfiniteDuration());
  }
}

TEST(MetricsCatalog, IsJsonWithEveryFamilyOnce) {
  const boost::json::array all = boost::json::parse(MetricsCatalogJson()).as_array();
  std::set<std::string> names;
  size_t ci = 0;
  for (const boost::json::value& row : all) {
    const boost::json::object& family = row.as_object();
    const std::string name(family.at("name").as_string());
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_FALSE(family.at("help").as_string().empty()) << name;
    EXPECT_TRUE(family.at("labels").is_array()) << name;
    EXPECT_EQ(family.at("type").as_string() == "histogram",
              !family.at("buckets").as_array().empty())
        << name;
    ci += family.at("scope").as_string() == "ci" ? 1 : 0;
  }
  EXPECT_EQ(ci, CiCatalog().size());
  EXPECT_TRUE(names.contains("semaphoreci_gateway_upstream_circuit_state"));
  EXPECT_TRUE(names.contains("process_open_fds"));
}

}  // namespace
}  // namespace semaphore::gateway
