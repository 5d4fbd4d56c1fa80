// The process_* metrics that every Prometheus user knows, read from /proc at scrape time. What
// cannot be read there is left out rather than reported as zero.
#ifndef SEMAPHORE_GATEWAY_PROCESS_METRICS_H_
#define SEMAPHORE_GATEWAY_PROCESS_METRICS_H_

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace semaphore::gateway {

// `proc` is "/proc" but in tests.
std::vector<prometheus::MetricFamily> CollectProcessMetrics(const std::string& proc);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_PROCESS_METRICS_H_
