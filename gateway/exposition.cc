#include "gateway/exposition.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "gateway/accept.h"
#include "gateway/json_text.h"
#include "gateway/label_value.h"

namespace semaphore::gateway {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::string_view kTotal = "_total";
constexpr size_t kMaxHelpBytes = 4096;
// OpenMetrics: names and values of an exemplar's labels together.
constexpr size_t kMaxExemplarCharacters = 128;

// The shortest text that reads back as the same number.
void AppendNumber(double value, std::string* out) {
  if (std::isnan(value)) {
    out->append("NaN");
    return;
  }
  if (std::isinf(value)) {
    out->append(value > 0 ? "+Inf" : "-Inf");
    return;
  }
  char text[32];
  constexpr double kExact = 1e15;  // up to here every whole number reads better without exponent
  const bool whole = std::abs(value) < kExact && std::trunc(value) == value;
  const std::to_chars_result end =
      whole ? std::to_chars(text, std::end(text), static_cast<int64_t>(value))
            : std::to_chars(text, std::end(text), value);
  out->append(text, end.ptr);
}

void AppendCount(uint64_t value, std::string* out) {
  char text[24];
  out->append(text, std::to_chars(text, std::end(text), value).ptr);
}

// A bucket's bound as OpenMetrics wants it, "1.0" and not "1"; also in text, so that a series keeps
// its name when a scraper changes format.
void AppendBound(double bound, std::string* out) {
  if (!std::isfinite(bound)) return AppendNumber(bound, out);
  char text[64];
  const bool plain = bound == 0 || (std::abs(bound) >= 1e-4 && std::abs(bound) < 1e6);
  const std::to_chars_result end =
      plain ? std::to_chars(text, std::end(text), bound, std::chars_format::fixed)
            : std::to_chars(text, std::end(text), bound, std::chars_format::scientific);
  const std::string_view written(text, static_cast<size_t>(end.ptr - text));
  out->append(written);
  if (plain && written.find('.') == std::string_view::npos) out->append(".0");
}

// `text` is valid UTF-8.
void AppendEscaped(std::string_view text, bool quotes, std::string* out) {
  for (;;) {
    const size_t special = text.find_first_of(quotes ? "\\\n\"" : "\\\n");
    out->append(text.substr(0, special));
    if (special == std::string_view::npos) return;
    out->push_back('\\');
    out->push_back(text[special] == '\n' ? 'n' : text[special]);
    text.remove_prefix(special + 1);
  }
}

void AppendLabel(std::string_view name, std::string_view value, std::string* out) {
  if (!out->empty()) out->push_back(',');
  out->append(name);
  out->append("=\"");
  AppendEscaped(value, /*quotes=*/true, out);
  out->push_back('"');
}

std::string_view WithoutTotal(std::string_view name) {
  if (name.ends_with(kTotal)) name.remove_suffix(kTotal.size());
  return name;
}

struct Declaration {
  std::string_view name;
  std::string_view type;
  std::string_view unit;
  std::string_view help;
};

// HELP, TYPE and UNIT. In OpenMetrics a counter's family is called without its _total.
void AppendDeclaration(Declaration of, Exposition format, std::string* out) {
  const bool open_metrics = format == Exposition::kOpenMetrics;
  if (open_metrics && of.type == "counter") of.name = WithoutTotal(of.name);
  const auto begin = [&](std::string_view what) {
    out->append("# ").append(what).append(" ").append(of.name).append(" ");
  };
  begin("HELP");
  AppendEscaped(RepairUtf8(of.help, kMaxHelpBytes), /*quotes=*/open_metrics, out);
  out->push_back('\n');
  begin("TYPE");
  out->append(of.type).append("\n");
  if (!open_metrics || of.unit.empty()) return;
  begin("UNIT");
  out->append(of.unit).append("\n");
}

// name + suffix + {labels}, without the space and value.
void AppendSeriesName(std::string_view name, std::string_view suffix, std::string_view labels,
                      std::string* out) {
  out->append(name).append(suffix);
  if (!labels.empty()) out->append("{").append(labels).append("}");
}

void AppendBucketName(std::string_view name, std::string_view labels, double bound,
                      std::string* out) {
  out->append(name).append("_bucket{").append(labels);
  out->append(labels.empty() ? "le=\"" : ",le=\"");
  AppendBound(bound, out);
  out->append("\"}");
}

size_t CharactersOf(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
  }));
}

// " # {pipeline_id="…",workflow_id="…"} 12.5 1700000000.123". What is too long is left out.
void AppendExemplar(const Exemplar& exemplar, std::string* out) {
  constexpr std::string_view kPipeline = "pipeline_id";
  constexpr std::string_view kWorkflow = "workflow_id";
  const std::string pipeline = CleanLabelValue(exemplar.pipeline_id);
  const std::string workflow = CleanLabelValue(exemplar.workflow_id);
  std::string labels;
  size_t characters = 0;
  const auto add = [&](std::string_view name, std::string_view value) {
    const size_t more = name.size() + CharactersOf(value);
    if (value.empty() || characters + more > kMaxExemplarCharacters) return;
    characters += more;
    AppendLabel(name, value, &labels);
  };
  add(kPipeline, pipeline);
  add(kWorkflow, workflow);
  if (labels.empty()) return;
  out->append(" # {").append(labels).append("} ");
  AppendNumber(exemplar.value, out);
  if (exemplar.time == absl::InfiniteFuture() || exemplar.time == absl::InfinitePast()) return;
  const int64_t milliseconds = absl::ToUnixMillis(exemplar.time);
  if (milliseconds <= 0) return;
  out->push_back(' ');
  AppendNumber(static_cast<double>(milliseconds) / 1000, out);
}

const Exemplar* ExemplarAt(const CiSeries& series, size_t index) {
  if (index >= series.exemplars.size() || !series.exemplars[index].has_value()) return nullptr;
  return &*series.exemplars[index];
}

void AppendHistogram(const CiFamilySpec& spec, const CiSeries& series, std::string_view labels,
                     Exposition format, std::string* out) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  uint64_t count = 0;
  double lower = -kInfinity;
  for (size_t i = 0; i < series.buckets.size(); ++i) {
    count += series.buckets[i];
    const double upper = i < spec.buckets.size() ? spec.buckets[i] : kInfinity;
    AppendBucketName(spec.name, labels, upper, out);
    out->push_back(' ');
    AppendCount(count, out);
    const Exemplar* exemplar = format == Exposition::kOpenMetrics ? ExemplarAt(series, i) : nullptr;
    // One of another bucket would be unlawful.
    if (exemplar != nullptr && exemplar->value > lower && exemplar->value <= upper) {
      AppendExemplar(*exemplar, out);
    }
    out->push_back('\n');
    lower = upper;
  }
  AppendSeriesName(spec.name, "_count", labels, out);
  out->push_back(' ');
  AppendCount(count, out);
  out->push_back('\n');
  AppendSeriesName(spec.name, "_sum", labels, out);
  out->push_back(' ');
  AppendNumber(series.sum, out);
  out->push_back('\n');
}

void AppendSeries(const CiFamilySpec& spec, const CiSeries& series, std::string_view labels,
                  Exposition format, std::string* out) {
  if (spec.type == CiType::kHistogram) return AppendHistogram(spec, series, labels, format, out);
  AppendSeriesName(spec.name, "", labels, out);
  out->push_back(' ');
  AppendNumber(series.value, out);
  const bool may_have_exemplar =
      spec.type == CiType::kCounter && format == Exposition::kOpenMetrics;
  const Exemplar* exemplar = may_have_exemplar ? ExemplarAt(series, 0) : nullptr;
  if (exemplar != nullptr) AppendExemplar(*exemplar, out);
  out->push_back('\n');
}

bool Fits(const CiFamilySpec& spec, const CiSeries& series) {
  return series.labels.size() == spec.labels.size() &&
         (spec.type != CiType::kHistogram || series.buckets.size() == spec.buckets.size() + 1);
}

}  // namespace

std::string_view ContentTypeOf(Exposition format) {
  return format == Exposition::kText ? "text/plain; version=0.0.4; charset=utf-8"
                                     : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

Exposition NegotiateExposition(std::string_view accept) {
  const double open_metrics =
      AcceptedQuality(accept, {"application/openmetrics-text"}, "1.0.0").value_or(0);
  const double text = AcceptedQuality(accept, {"text/plain", "text/*", "*/*"}, "0.0.4").value_or(0);
  return open_metrics > 0 && open_metrics >= text ? Exposition::kOpenMetrics : Exposition::kText;
}

CiPage::CiPage(std::shared_ptr<const CiSnapshot> snapshot, Exposition format)
    : snapshot_(std::move(snapshot)), format_(format), dropped_(snapshot_->left_out) {
  for (const CiFamily& family : snapshot_->families) {
    if (FindCiFamily(family.name) == nullptr) dropped_ += family.series.size();
  }
}

bool CiPage::Append(size_t bytes, std::string* out) {
  const size_t enough = out->size() + bytes;
  while (!complete_ && out->size() < enough) {
    if (next_row_ < rows_.size()) {
      const CiSeries& series = *rows_[next_row_++];
      scratch_.clear();
      for (size_t i = 0; i < series.labels.size(); ++i) {
        AppendLabel(open_->labels[i], series.labels[i], &scratch_);
      }
      AppendSeries(*open_, series, scratch_, format_, out);
    } else if (next_family_ < CiCatalog().size()) {
      OpenFamily(CiCatalog()[next_family_++], out);
    } else {
      if (format_ == Exposition::kOpenMetrics) out->append("# EOF\n");
      complete_ = true;
    }
  }
  return !complete_;
}

void CiPage::OpenFamily(const CiFamilySpec& spec, std::string* out) {
  open_ = &spec;
  rows_.clear();
  cleaned_.clear();
  next_row_ = 0;
  const CiFamily* family = Find(spec.name);
  if (family == nullptr) return;
  for (const CiSeries& series : family->series) {
    if (!Fits(spec, series)) continue;
    if (std::all_of(series.labels.begin(), series.labels.end(), IsCleanLabelValue)) {
      rows_.push_back(&series);
      continue;
    }
    CiSeries& cleaned = cleaned_.emplace_back(series);
    for (std::string& label : cleaned.labels) label = CleanLabelValue(label);
    rows_.push_back(&cleaned);
  }
  const auto less = [](const CiSeries* a, const CiSeries* b) { return a->labels < b->labels; };
  if (!std::is_sorted(rows_.begin(), rows_.end(), less)) {
    std::stable_sort(rows_.begin(), rows_.end(), less);
  }
  const auto same = [](const CiSeries* a, const CiSeries* b) { return a->labels == b->labels; };
  rows_.erase(std::unique(rows_.begin(), rows_.end(), same), rows_.end());
  // What was counted is never hidden: the ledger bounds events, and folds them beside those it has.
  const size_t most = spec.event ? rows_.size() : SeriesCap(spec, snapshot_->max_series);
  if (rows_.size() > most) rows_.resize(most);
  dropped_ += family->series.size() - rows_.size();
  if (rows_.empty()) return;
  AppendDeclaration({spec.name, ToWord(spec.type), spec.unit, spec.help}, format_, out);
}

const CiFamily* CiPage::Find(std::string_view name) const {
  const auto found = std::find_if(snapshot_->families.begin(), snapshot_->families.end(),
                                  [name](const CiFamily& family) { return family.name == name; });
  return found == snapshot_->families.end() ? nullptr : &*found;
}

namespace {

std::string_view TypeWord(MetricType type) {
  return type == MetricType::Counter ? "counter"
         : type == MetricType::Gauge ? "gauge"
                                     : "histogram";
}

void AppendMetric(const MetricFamily& family, const ClientMetric& metric, std::string_view labels,
                  std::string* out) {
  if (family.type != MetricType::Histogram) {
    AppendSeriesName(family.name, "", labels, out);
    out->push_back(' ');
    const bool counter = family.type == MetricType::Counter;
    AppendNumber(counter ? metric.counter.value : metric.gauge.value, out);
    out->push_back('\n');
    return;
  }
  for (const ClientMetric::Bucket& bucket : metric.histogram.bucket) {
    AppendBucketName(family.name, labels, bucket.upper_bound, out);
    out->push_back(' ');
    AppendCount(bucket.cumulative_count, out);
    out->push_back('\n');
  }
  AppendSeriesName(family.name, "_count", labels, out);
  out->push_back(' ');
  AppendCount(metric.histogram.sample_count, out);
  out->push_back('\n');
  AppendSeriesName(family.name, "_sum", labels, out);
  out->push_back(' ');
  AppendNumber(metric.histogram.sample_sum, out);
  out->push_back('\n');
}

}  // namespace

std::string_view UnitOf(std::string_view name) {
  name = WithoutTotal(name);
  for (const std::string_view unit : {"seconds", "bytes"}) {
    const bool has_it = name.size() > unit.size() && name.ends_with(unit);
    if (has_it && name[name.size() - unit.size() - 1] == '_') return unit;
  }
  return "";
}

std::string WriteFamilies(std::vector<MetricFamily> families, Exposition format) {
  std::string out;
  std::string labels;
  for (MetricFamily& family : families) {
    const bool written = family.type == MetricType::Counter || family.type == MetricType::Gauge ||
                         family.type == MetricType::Histogram;
    if (!written || family.metric.empty()) continue;
    std::sort(family.metric.begin(), family.metric.end(),
              [](const ClientMetric& a, const ClientMetric& b) { return a.label < b.label; });
    AppendDeclaration({family.name, TypeWord(family.type), UnitOf(family.name), family.help},
                      format, &out);
    for (const ClientMetric& metric : family.metric) {
      labels.clear();
      for (const ClientMetric::Label& label : metric.label) {
        AppendLabel(label.name,
                    IsCleanLabelValue(label.value) ? label.value : CleanLabelValue(label.value),
                    &labels);
      }
      AppendMetric(family, metric, labels, &out);
    }
  }
  if (format == Exposition::kOpenMetrics) out += "# EOF\n";
  return out;
}

}  // namespace semaphore::gateway
