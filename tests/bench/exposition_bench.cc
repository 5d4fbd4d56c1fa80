// What writing a page of 50 000 series of CI facts costs, plain and compressed; see
// docs/benchmarks.md.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "gateway/ci_catalog.h"
#include "gateway/exposition.h"
#include "gateway/gzip_stream.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kSeries = 50'000;
constexpr size_t kPieceBytes = 64 << 10;

// As Prometheus counts: each bucket is a series. Families are filled up to their caps in turn.
std::shared_ptr<const CiSnapshot> BigSnapshot() {
  auto snapshot = std::make_shared<CiSnapshot>();
  size_t lines = 0;
  for (const CiFamilySpec& spec : CiCatalog()) {
    CiFamily& family = snapshot->families.emplace_back(CiFamily{spec.name, {}});
    const bool histogram = spec.type == CiType::kHistogram;
    const size_t lines_each = histogram ? spec.buckets.size() + 3 : 1;
    for (size_t i = 0; i < spec.max_series && lines < kSeries; ++i, lines += lines_each) {
      CiSeries& series = family.series.emplace_back();
      for (const std::string_view label : spec.labels) {
        series.labels.push_back(std::string(label) + "-of-some-length-" +
                                std::to_string(i * 7919 % spec.max_series));
      }
      series.value = static_cast<double>(i) * 1.25;
      series.sum = static_cast<double>(i) * 100.125;
      if (histogram) series.buckets.assign(spec.buckets.size() + 1, i);
    }
  }
  return snapshot;
}

void WritePage(benchmark::State& state, Exposition format, bool compressed) {
  const std::shared_ptr<const CiSnapshot> snapshot = BigSnapshot();
  size_t bytes = 0;
  for (auto _ : state) {
    CiPage page(snapshot, format);
    GzipStream gzip;
    std::string piece;
    std::string out;
    bytes = 0;
    for (bool more = true; more;) {
      piece.clear();
      more = page.Append(kPieceBytes, &piece);
      if (compressed) gzip.Add(piece, !more, &out);
      bytes += compressed ? out.size() : piece.size();
      out.clear();
    }
  }
  state.counters["page_bytes"] = static_cast<double>(bytes);
}

BENCHMARK_CAPTURE(WritePage, text, Exposition::kText, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(WritePage, open_metrics, Exposition::kOpenMetrics, false)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(WritePage, open_metrics_gzip, Exposition::kOpenMetrics, true)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace semaphore::gateway

BENCHMARK_MAIN();
