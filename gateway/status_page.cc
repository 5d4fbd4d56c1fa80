#include "gateway/status_page.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "gateway/embedded_files.h"
#include "gateway/json_text.h"

namespace semaphore::gateway {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// In the order of a row.
constexpr std::array<const char*, StatusPage::kFields> kNames = {
    "time",        "calls",      "calls_failed", "call_seconds", "cache_requests", "cache_hits",
    "tokens",      "capacity",   "waiting",      "circuit_open", "runs",           "passed",
    "run_seconds", "runs_timed", "active",       "agents"};

bool Is(const ClientMetric& metric, std::string_view name, std::string_view value) {
  return std::any_of(metric.label.begin(), metric.label.end(),
                     [&](const auto& label) { return label.name == name && label.value == value; });
}

using Wanted = std::function<bool(const ClientMetric&)>;

// The sum of the wanted series of a family; of a histogram, of their sums.
double SumOf(const std::vector<MetricFamily>& families, std::string_view name,
             const Wanted& wanted = nullptr) {
  double sum = 0;
  for (const MetricFamily& family : families) {
    if (family.name != name) continue;
    for (const ClientMetric& metric : family.metric) {
      if (wanted && !wanted(metric)) continue;
      sum += family.type == MetricType::Counter ? metric.counter.value
             : family.type == MetricType::Gauge ? metric.gauge.value
                                                : metric.histogram.sample_sum;
    }
  }
  return sum;
}

const std::vector<CiSeries>& SeriesOf(const CiSnapshot& ci, std::string_view name) {
  static const auto* none = new std::vector<CiSeries>();
  for (const CiFamily& family : ci.families) {
    if (family.name == name) return family.series;
  }
  return *none;
}

// The label at `index` is `value`, or any when that is "".
double SumOf(const CiSnapshot& ci, std::string_view name, size_t index = 0,
             std::string_view value = "") {
  double sum = 0;
  for (const CiSeries& series : SeriesOf(ci, name)) {
    if (value.empty() || (index < series.labels.size() && series.labels[index] == value)) {
      sum += series.value;
    }
  }
  return sum;
}

// Every digit, or the difference of two large totals would be lost. Samples are finite.
void AppendNumber(std::string* out, double value) {
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
  constexpr size_t kResultLabel = 5;  // of runs_total, in the catalogue's order
  Row row{};
  row[0] = static_cast<double>(absl::ToUnixSeconds(now));
  row[1] = SumOf(own, "grpc_server_handled_total");
  row[2] = row[1] - SumOf(own, "grpc_server_handled_total",
                          [](const ClientMetric& metric) { return Is(metric, "grpc_code", "OK"); });
  row[3] = SumOf(own, "grpc_server_handling_seconds");
  row[4] = SumOf(own, "semaphoreci_gateway_cache_requests_total");
  row[5] = SumOf(own, "semaphoreci_gateway_cache_hits_total");
  row[6] = SumOf(own, "semaphoreci_gateway_upstream_budget_tokens");
  row[7] = SumOf(own, "semaphoreci_gateway_upstream_budget_capacity");
  row[8] = SumOf(own, "semaphoreci_gateway_upstream_budget_waiting");
  row[9] = SumOf(own, "semaphoreci_gateway_upstream_circuit_state",
                 [](const ClientMetric& metric) { return !Is(metric, "state", "closed"); });
  // What the ledger had before is no news; what was collected once is, whatever fails later.
  collector_ = ci != nullptr && (collector_ || SumOf(*ci, "semaphoreci_up") > 0);
  failing_.clear();
  if (ci != nullptr) {
    row[10] = SumOf(*ci, "semaphoreci_pipeline_runs_total");
    row[11] = SumOf(*ci, "semaphoreci_pipeline_runs_total", kResultLabel, "passed");
    for (const CiSeries& series : SeriesOf(*ci, "semaphoreci_pipeline_run_duration_seconds")) {
      row[12] += series.sum;
      row[13] += static_cast<double>(
          std::accumulate(series.buckets.begin(), series.buckets.end(), uint64_t{0}));
    }
    row[14] = SumOf(*ci, "semaphoreci_pipelines_active");
    row[15] = SumOf(*ci, "semaphoreci_agents");
    for (const CiSeries& series : SeriesOf(*ci, "semaphoreci_pipeline_last_result")) {
      const std::vector<std::string>& labels = series.labels;
      if (series.value != 1 || labels.size() != 5 || labels[4] != "failed") continue;
      if (failing_.size() < kMaxFailing)
        failing_.push_back({labels[0], labels[1], labels[2], labels[3]});
    }
  }
  rows_.push_back(row);
  if (rows_.size() > kMaxSamples) rows_.pop_front();
}

std::string StatusPage::Json() const {
  std::string out = absl::StrCat("{\"collector\":", collector_ ? "true" : "false", ",\"fields\":[");
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
  out += "],\"failing\":[";
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
