// What collecting CI facts will cost, before it is switched on: requests to Semaphore by what they
// are for, and series by family. The arithmetic is that of the collector itself, held to what one
// really sends by a test; what cannot be known beforehand is an assumption that can be changed.
#ifndef SEMAPHORE_GATEWAY_COLLECTION_ESTIMATE_H_
#define SEMAPHORE_GATEWAY_COLLECTION_ESTIMATE_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "gateway/ci_catalog.h"
#include "gateway/config.h"

namespace semaphore::gateway {

// Of each project, unless it says otherwise.
struct CollectionAssumptions {
  double organizations = 1;
  double projects = 10;  // all together
  double pipelines_per_day = 100;
  double refs = 2;  // listed ones that pipelines run on
  double jobs_per_pipeline = 8;
  double agents = 0;  // all together
  double files = 2;   // pipeline files, such as .semaphore/semaphore.yml
  double blocks_per_pipeline = 3;
  double targets = 1;              // deployment targets
  double deployments_per_day = 2;  // all targets of a project together
  double promoting_share = 0.5;    // pipelines that can be promoted and are once, of all
};

// What the command line calls them.
struct AssumptionOption {
  const char* name;
  double CollectionAssumptions::* field;
};
inline constexpr std::array<AssumptionOption, 10> kAssumptionOptions = {{
    {"projects", &CollectionAssumptions::projects},
    {"pipelines-per-day", &CollectionAssumptions::pipelines_per_day},
    {"refs", &CollectionAssumptions::refs},
    {"files", &CollectionAssumptions::files},
    {"blocks-per-pipeline", &CollectionAssumptions::blocks_per_pipeline},
    {"jobs-per-pipeline", &CollectionAssumptions::jobs_per_pipeline},
    {"promotable-share", &CollectionAssumptions::promoting_share},
    {"targets", &CollectionAssumptions::targets},
    {"deployments-per-day", &CollectionAssumptions::deployments_per_day},
    {"agents", &CollectionAssumptions::agents},
}};

struct CollectionCost {
  struct Requests {
    std::string what;
    double per_day = 0;
  };
  struct Series {
    std::string_view family;
    double series = 0;    // as exported: a histogram has one for each bucket, and two more
    bool capped = false;  // by metrics.max_series
    bool event = false;
  };

  double interval_seconds = 0;  // in force; longer than configured where the budget demands it
  std::vector<Requests> requests;
  std::vector<Series> series;

  double RequestsPerDay() const;
  double TotalSeries() const;
};

CollectionCost EstimateCollection(const MetricsConfig& metrics, double requests_per_second,
                                  const CollectionAssumptions& assumptions);

// The configuration's own numbers in place of the defaults: organizations, projects unless they are
// discovered, and refs.
CollectionAssumptions AssumptionsOf(const Config& config);

// Tables for people. `requests_per_second` is the budget to compare with.
std::string DescribeCost(const CollectionCost& cost, double requests_per_second,
                         const CollectionAssumptions& assumptions);

// "pipeline" of the configuration.
CiLevel ParseCiLevel(std::string_view word);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COLLECTION_ESTIMATE_H_
