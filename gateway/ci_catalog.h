// Every family of CI facts that the gateway exports, declared in one place: what the collector
// counts, the pages write, the README lists and dashboards may ask for. The gateway's own families
// are in metrics.cc; `semaphore-gateway metrics-catalog` prints both.
#ifndef SEMAPHORE_GATEWAY_CI_CATALOG_H_
#define SEMAPHORE_GATEWAY_CI_CATALOG_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace semaphore::gateway {

enum class CiType { kCounter, kGauge, kHistogram };

// The least metrics.level of the configuration at which a family exists.
enum class CiLevel { kProject, kPipeline, kBlock, kJob };

// The value to which refs that are not listed, and whatever is over a family's cap, are folded.
inline constexpr std::string_view kOtherLabel = "other";

// Of a family, where the configuration says nothing.
inline constexpr size_t kDefaultMaxSeries = 2000;

struct CiFamilySpec {
  std::string_view name;  // a counter's ends in _total, a name with a unit in _unit
  CiType type = CiType::kCounter;
  std::string_view unit;  // "seconds", or ""
  std::string_view help;  // one line
  std::vector<std::string_view> labels;
  std::vector<double> buckets;  // upper bounds, rising, without +Inf
  size_t max_series = kDefaultMaxSeries;
  // A series that nothing happened to for so long is no longer exported.
  absl::Duration expiry = absl::InfiniteDuration();
  CiLevel level = CiLevel::kPipeline;
  bool event = true;  // counted durably; false: state, rebuilt whole by each collection
};

// In the order of the pages.
const std::vector<CiFamilySpec>& CiCatalog();

// Null for a name that is not in the catalogue.
const CiFamilySpec* FindCiFamily(std::string_view name);

// How many series of the family there may be when `max_series` is configured: those that have room
// for more by default have it in the same proportion.
size_t SeriesCap(const CiFamilySpec& spec, size_t max_series);

std::string_view ToWord(CiType type);    // "counter"
std::string_view ToWord(CiLevel level);  // "pipeline", as in the configuration

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CI_CATALOG_H_
