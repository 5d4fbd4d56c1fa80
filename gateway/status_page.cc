#include "gateway/status_page.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "gateway/ci_catalog.h"
#include "gateway/embedded_files.h"
#include "gateway/json_text.h"

namespace semaphore::gateway {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;

// In the order of a row.
constexpr std::array<const char*, StatusPage::kFields> kNames = {
    "time",         "calls",   "calls_failed", "call_seconds", "cache_requests",   "cache_hits",
    "budget_share", "waiting", "circuit_open", "passed",       "passed_or_failed", "run_seconds",
    "runs_timed",   "active",  "agents"};
constexpr size_t kFirstOfCi = 9;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::string_view LabelOf(const ClientMetric& metric, std::string_view name) {
  for (const ClientMetric::Label& label : metric.label) {
    if (label.name == name) return label.value;
  }
  return "";
}

using Wanted = std::function<bool(const ClientMetric&)>;

Wanted With(std::string_view name, std::string_view value) {
  return [name, value](const ClientMetric& metric) { return LabelOf(metric, name) == value; };
}

std::vector<const ClientMetric*> SeriesOf(const std::vector<MetricFamily>& families,
                                          std::string_view name) {
  std::vector<const ClientMetric*> series;
  for (const MetricFamily& family : families) {
    if (family.name != name) continue;
    for (const ClientMetric& metric : family.metric) series.push_back(&metric);
  }
  return series;
}

// The sum of the wanted series of a family; of a histogram, of their sums. A series is 0 in the
// types that it is not of.
double SumOf(const std::vector<MetricFamily>& families, std::string_view name,
             const Wanted& wanted = nullptr) {
  double sum = 0;
  for (const ClientMetric* metric : SeriesOf(families, name)) {
    if (wanted && !wanted(*metric)) continue;
    sum += metric->counter.value + metric->gauge.value + metric->histogram.sample_sum;
  }
  return sum;
}

// Of the organization that has the smallest share of its budget left: others do not help it.
double BudgetShare(const std::vector<MetricFamily>& own) {
  double least = kNone;
  for (const ClientMetric* tokens : SeriesOf(own, "semaphoreci_gateway_upstream_budget_tokens")) {
    const double capacity = SumOf(own, "semaphoreci_gateway_upstream_budget_capacity",
                                  With("organization", LabelOf(*tokens, "organization")));
    if (capacity > 0) least = std::fmin(least, tokens->gauge.value / capacity);
  }
  return least;
}

const std::vector<CiSeries>& SeriesOf(const CiSnapshot& ci, std::string_view name) {
  static const auto* none = new std::vector<CiSeries>();
  for (const CiFamily& family : ci.families) {
    if (family.name == name) return family.series;
  }
  return *none;
}

double SumOf(const CiSnapshot& ci, std::string_view name) {
  double sum = 0;
  for (const CiSeries& series : SeriesOf(ci, name)) sum += series.value;
  return sum;
}

// Every digit, or the difference of two large totals would be lost.
void AppendNumber(std::string* out, double value) {
  if (!std::isfinite(value)) {
    *out += "null";
    return;
  }
  std::array<char, 32> text;
  out->append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

}  // namespace

std::string_view StatusPage::Html() { return kStatusPageHtml; }

std::string_view StatusPage::Policy() {
  return "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
         "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

void StatusPage::Sample(absl::Time now, const std::vector<MetricFamily>& own,
                        const CiSnapshot* ci) {
  Row row{};
  row[0] = static_cast<double>(absl::ToUnixSeconds(now));
  row[1] = SumOf(own, "grpc_server_handled_total");
  row[2] = row[1] - SumOf(own, "grpc_server_handled_total", With("grpc_code", "OK"));
  row[3] = SumOf(own, "grpc_server_handling_seconds");
  row[4] = SumOf(own, "semaphoreci_gateway_cache_requests_total");
  row[5] = SumOf(own, "semaphoreci_gateway_cache_hits_total");
  row[6] = BudgetShare(own);
  row[7] = SumOf(own, "semaphoreci_gateway_upstream_budget_waiting");
  // Half open is on its way back, and stays so until a call comes.
  row[8] = SumOf(own, "semaphoreci_gateway_upstream_circuit_state", With("state", "open"));
  std::fill(row.begin() + kFirstOfCi, row.end(), kNone);
  age_ = AgeOf(now, own);
  failing_.clear();
  failing_total_ = 0;
  // What the ledger had before is no news; what was collected once is, whatever fails later.
  collector_ = ci != nullptr && (collector_ || SumOf(*ci, "semaphoreci_up") > 0);
  if (collector_) SampleCi(*ci, row);
  rows_.push_back(row);
  if (rows_.size() > kMaxSamples) rows_.pop_front();
}

StatusPage::Age StatusPage::AgeOf(absl::Time now, const std::vector<MetricFamily>& own) {
  constexpr double kOldSeconds = 300;
  constexpr double kOldIntervals = 5;
  const std::string_view last = "semaphoreci_gateway_collector_last_success_timestamp_seconds";
  const std::string_view interval = "semaphoreci_gateway_collector_interval_seconds";
  Age age;
  for (const ClientMetric* place : SeriesOf(own, last)) {
    if (place->gauge.value <= 0) continue;  // never
    const std::string_view organization = LabelOf(*place, "organization");
    const double seconds =
        std::max(0.0, static_cast<double>(absl::ToUnixSeconds(now)) - place->gauge.value);
    const double limit = std::max(
        kOldSeconds, kOldIntervals * SumOf(own, interval, With("organization", organization)));
    if (seconds > limit) ++age.old;
    if (age.places == 0 || seconds < age.newest_seconds) age.newest_seconds = seconds;
    if (age.places == 0 || seconds > age.oldest_seconds) {
      age.oldest_seconds = seconds;
      age.organization = organization;
      age.project = LabelOf(*place, "project");
    }
    ++age.places;
  }
  return age;
}

// Series have their labels in the catalogue's order.
void StatusPage::SampleCi(const CiSnapshot& ci, Row& row) {
  std::fill(row.begin() + kFirstOfCi, row.end(), 0);
  // As on the dashboards: of listed refs, and stopped or canceled says nothing.
  for (const CiSeries& series : SeriesOf(ci, "semaphoreci_pipeline_runs_total")) {
    const std::vector<std::string>& labels = series.labels;
    if (labels.size() != 6 || labels[3] == kOtherLabel) continue;
    if (labels[5] == "passed") row[9] += series.value;
    if (labels[5] == "passed" || labels[5] == "failed") row[10] += series.value;
  }
  for (const CiSeries& series : SeriesOf(ci, "semaphoreci_pipeline_run_duration_seconds")) {
    row[11] += series.sum;
    row[12] += static_cast<double>(
        std::accumulate(series.buckets.begin(), series.buckets.end(), uint64_t{0}));
  }
  row[13] = SumOf(ci, "semaphoreci_pipelines_active");
  row[14] = SumOf(ci, "semaphoreci_agents");
  for (const CiSeries& series : SeriesOf(ci, "semaphoreci_pipeline_last_result")) {
    const std::vector<std::string>& labels = series.labels;
    if (series.value != 1 || labels.size() != 5 || labels[4] != "failed") continue;
    ++failing_total_;
    if (failing_.size() < kMaxFailing)
      failing_.push_back({labels[0], labels[1], labels[2], labels[3]});
  }
}

std::string StatusPage::Json() const {
  std::string out = absl::StrCat("{\"collector\":", collector_ ? "true" : "false",
                                 ",\"age\":{\"places\":", age_.places, ",\"old\":", age_.old,
                                 ",\"newest_seconds\":");
  AppendNumber(&out, age_.newest_seconds);
  out += ",\"oldest_seconds\":";
  AppendNumber(&out, age_.oldest_seconds);
  out += ",\"organization\":";
  AppendJsonString(&out, age_.organization);
  out += ",\"project\":";
  AppendJsonString(&out, age_.project);
  out += "},\"fields\":[";
  for (size_t i = 0; i < kFields; ++i) absl::StrAppend(&out, i > 0 ? ",\"" : "\"", kNames[i], "\"");
  out += "],\"samples\":[";
  for (size_t i = 0; i < rows_.size(); ++i) {
    out += i > 0 ? ",[" : "[";
    for (size_t j = 0; j < kFields; ++j) {
      if (j > 0) out += ',';
      AppendNumber(&out, rows_[i][j]);
    }
    out += ']';
  }
  absl::StrAppend(&out, "],\"failing_total\":", failing_total_, ",\"failing\":[");
  for (size_t i = 0; i < failing_.size(); ++i) {
    if (i > 0) out += ',';
    constexpr std::array<const char*, 4> kKeys = {"organization", "project", "pipeline", "ref"};
    for (size_t j = 0; j < kKeys.size(); ++j) {
      absl::StrAppend(&out, j > 0 ? ",\"" : "{\"", kKeys[j], "\":");
      AppendJsonString(&out, failing_[i][j]);
    }
    out += '}';
  }
  return out + "]}\n";
}

}  // namespace semaphore::gateway
