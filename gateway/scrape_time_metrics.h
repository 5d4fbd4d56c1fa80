// The metrics of this process whose values somebody else owns: asked for when a page is written,
// never stored. Each is declared where its samples are added.
#ifndef SEMAPHORE_GATEWAY_SCRAPE_TIME_METRICS_H_
#define SEMAPHORE_GATEWAY_SCRAPE_TIME_METRICS_H_

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gateway/metrics.h"

namespace semaphore::gateway {

class ScrapeTimeMetrics {
 public:
  // The words of closed sets, in the order in which the states count by them.
  struct Words {
    const std::vector<std::string>& priorities;
    const std::vector<std::string>& circuit_states;
  };

  // `organization` is a clean label value.
  void AddUpstream(const std::string& organization, const Metrics::UpstreamState& state,
                   const Words& words);
  void AddCache(const Metrics::CacheState& state);
  void AddLogDrops(uint64_t lines);
  void AddTls(const Metrics::TlsState& state);
  void AddCallers(const Metrics::CallersState& state);
  void AddAudit(const Metrics::AuditState& state);
  void AddRest(const Metrics::RestState& state);
  void AddCollector(const Metrics::CollectorState& state);

  // In the order in which they were first added.
  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  void Counter(const char* name, const char* help, Labels labels, uint64_t value);
  void Gauge(const char* name, const char* help, Labels labels, double value);
  void Add(const char* name, const char* help, prometheus::MetricType type, Labels labels,
           double value);
  void AddBudget(const std::string& organization, const Metrics::UpstreamState& state,
                 const Words& words);

  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_SCRAPE_TIME_METRICS_H_
