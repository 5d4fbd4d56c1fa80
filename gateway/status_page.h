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
  static constexpr size_t kFields = 15;
  static constexpr size_t kMaxSamples = 2160;  // six hours of ten seconds
  static constexpr size_t kMaxFailing = 50;

  // The page itself: one document with its style and script, no other resource.
  static std::string_view Html();
  // For its Content-Security-Policy header.
  static std::string_view Policy();

  // `ci` is null where no CI facts are collected.
  void Sample(absl::Time now, const std::vector<prometheus::MetricFamily>& own,
              const CiSnapshot* ci);

  // Oldest sample first; counters are running totals, and a field without a value is null:
  //   {"collector": whether CI facts were collected since the start,
  //    "age": {"places": number, "old": number, "newest_seconds": number, "oldest_seconds": number,
  //            "organization": of the oldest, "project": of the oldest},
  //    "fields": [names], "samples": [[numbers], …],
  //    "failing_total": number, "failing": [{organization, project, pipeline, ref}, …]}
  // A place is what has a time of its last successful collection: a project (of "" where only its
  // organization has one). At most kMaxFailing of the failing are listed.
  std::string Json() const;

 private:
  using Row = std::array<double, kFields>;

  // How long ago each place was last collected without failure, when it was sampled.
  struct Age {
    size_t places = 0;
    size_t old = 0;  // too old to be taken for the present
    double newest_seconds = 0;
    double oldest_seconds = 0;
    std::string organization;  // of the oldest
    std::string project;
  };

  static Age AgeOf(absl::Time now, const std::vector<prometheus::MetricFamily>& own);
  void SampleCi(const CiSnapshot& ci, Row& row);

  std::deque<Row> rows_;
  Age age_;
  std::vector<std::array<std::string, 4>> failing_;
  size_t failing_total_ = 0;
  bool collector_ = false;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_STATUS_PAGE_H_
