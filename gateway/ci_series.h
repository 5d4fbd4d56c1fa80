// What the CI families hold at one moment, without a registry: the collector publishes a snapshot,
// the pages of /metrics/ci are written from it. It knows nothing of either.
#ifndef SEMAPHORE_GATEWAY_CI_SERIES_H_
#define SEMAPHORE_GATEWAY_CI_SERIES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "gateway/ci_catalog.h"

namespace semaphore::gateway {

struct Exemplar {
  std::string pipeline_id;
  std::string workflow_id;
  double value = 0;
  absl::Time time;
};

struct CiSeries {
  std::vector<std::string> labels;  // values, in the order of the family's labels in the catalogue
  double value = 0;                 // counter, gauge
  // Histogram: not cumulative, one more than the catalogue's bounds (the last is +Inf).
  std::vector<uint64_t> buckets;
  double sum = 0;  // histogram
  // Counter: one; histogram: one per bucket; may be empty.
  std::vector<std::optional<Exemplar>> exemplars;
};

struct CiFamily {
  std::string_view name;  // as in the catalogue
  std::vector<CiSeries> series;
};

// Immutable once published.
struct CiSnapshot {
  std::vector<CiFamily> families;
  absl::Time collected;
  uint64_t generation = 0;  // of the events; a later one may show values that this holds back
  size_t max_series = kDefaultMaxSeries;  // of a family; see SeriesCap
  uint64_t left_out = 0;                  // series that had no room here
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CI_SERIES_H_
