// What `semaphore-gateway metrics-catalog` prints: every family that the program can export, so
// that the README's table, dashboards and rules can be held against it.
#ifndef SEMAPHORE_GATEWAY_METRICS_CATALOG_H_
#define SEMAPHORE_GATEWAY_METRICS_CATALOG_H_

#include <string>

namespace semaphore::gateway {

// A JSON list, one family per line: name, type, unit, help, labels, buckets and scope ("ci":
// /metrics/ci, "gateway": /metrics); those of scope "ci" also level, event, max_series and, where a
// quiet series ends, expiry_seconds. A histogram's labels are those of its series, without le.
std::string MetricsCatalogJson();

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_METRICS_CATALOG_H_
