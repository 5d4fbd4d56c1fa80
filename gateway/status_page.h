// A picture for people who just want to look: the page at / of the admin port and the data behind
// it. Keeps a bounded ring of samples of the gateway's own metrics and of the CI facts; asks nobody
// else. Not thread-safe: it belongs to the admin server's strand.
#ifndef SEMAPHORE_GATEWAY_STATUS_PAGE_H_
#define SEMAPHORE_GATEWAY_STATUS_PAGE_H_

#include <prometheus/metric_family.h>

#include <array>
#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "gateway/ci_series.h"

namespace semaphore::gateway {

class StatusPage {
 public:
  static constexpr size_t kFields = 16;
  static constexpr size_t kMaxSamples = 2160;  // six hours of ten seconds
  static constexpr size_t kMaxFailing = 50;

  // The page itself: one document with its style and script, no other resource.
  static std::string_view Html();
  // For its Content-Security-Policy header.
  static std::string_view Policy();

  // `ci` is null where no CI facts are collected.
  void Sample(absl::Time now, const std::vector<prometheus::MetricFamily>& own,
              const CiSnapshot* ci);

  // "collector" is whether CI facts were collected at least once.
  // {"collector": bool, "fields": [names], "samples": [[numbers], …], "failing": [{organization,
  // project, pipeline, ref}, …]}, oldest sample first. Counters are running totals.
  std::string Json() const;

 private:
  using Row = std::array<double, kFields>;

  std::deque<Row> rows_;
  std::vector<std::array<std::string, 4>> failing_;
  bool collector_ = false;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_STATUS_PAGE_H_
