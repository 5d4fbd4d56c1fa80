#include "gateway/scrape_time_metrics.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "gateway/label_value.h"

namespace semaphore::gateway {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

double ToDouble(uint64_t value) { return static_cast<double>(value); }

uint64_t At(const std::vector<uint64_t>& counts, size_t index) {
  return index < counts.size() ? counts[index] : 0;
}

// Names may be the same once they are clean, and a series must not be there twice.
std::map<std::string, double> ByCleanName(
    const std::vector<std::pair<std::string, double>>& values) {
  std::map<std::string, double> out;
  for (const auto& [name, value] : values) out[CleanLabelValue(name)] = value;
  return out;
}

}  // namespace

void ScrapeTimeMetrics::Counter(const char* name, const char* help, Labels labels, uint64_t value) {
  Add(name, help, MetricType::Counter, std::move(labels), ToDouble(value));
}

void ScrapeTimeMetrics::Gauge(const char* name, const char* help, Labels labels, double value) {
  Add(name, help, MetricType::Gauge, std::move(labels), value);
}

void ScrapeTimeMetrics::Add(const char* name, const char* help, MetricType type, Labels labels,
                            double value) {
  auto family = std::find_if(families_.begin(), families_.end(),
                             [name](const MetricFamily& each) { return each.name == name; });
  if (family == families_.end()) {
    families_.push_back({name, help, type, {}});
    family = std::prev(families_.end());
  }
  prometheus::ClientMetric& metric = family->metric.emplace_back();
  metric.label = std::move(labels);
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
}

void ScrapeTimeMetrics::AddUpstream(const std::string& organization,
                                    const Metrics::UpstreamState& state, const Words& words) {
  const prometheus::ClientMetric::Label of{"organization", organization};
  Gauge("semaphoreci_gateway_upstream_requests_in_flight",
        "Requests to the Semaphore API that are under way.", {of},
        static_cast<double>(state.requests_in_flight));
  for (const auto& [word, count] :
       {std::pair("idle", state.connections_idle), std::pair("active", state.connections_active),
        std::pair("dialing", state.connections_dialing)}) {
    Gauge("semaphoreci_gateway_upstream_connections", "Connections to the Semaphore API, by state.",
          {of, {"state", word}}, static_cast<double>(count));
  }
  for (const auto& [word, count] :
       {std::pair("false", state.full_handshakes), std::pair("true", state.resumed_handshakes)}) {
    Counter("semaphoreci_gateway_upstream_tls_handshakes_total",
            "TLS handshakes completed with the Semaphore API, by whether a session was resumed.",
            {of, {"resumed", word}}, count);
  }
  AddBudget(organization, state, words);
  for (size_t i = 0; i < words.circuit_states.size(); ++i) {
    Gauge("semaphoreci_gateway_upstream_circuit_state",
          "1 for the state of the circuit breaker before the Semaphore API, 0 for the others.",
          {of, {"state", words.circuit_states[i]}}, state.circuit_state == i ? 1 : 0);
  }
  Counter("semaphoreci_gateway_upstream_circuit_rejections_total",
          "Requests not made because the circuit breaker was open.", {of},
          state.circuit_rejections);
  Counter("semaphoreci_gateway_upstream_circuit_openings_total",
          "Times that the circuit breaker opened.", {of}, state.circuit_openings);
  Gauge("semaphoreci_gateway_upstream_retry_budget_tokens",
        "Retries that the retry budget would allow at once.", {of}, state.retries_available);
  Counter("semaphoreci_gateway_upstream_retry_budget_refusals_total",
          "Retries not made because the retry budget was spent.", {of}, state.retries_refused);
}

void ScrapeTimeMetrics::AddBudget(const std::string& organization,
                                  const Metrics::UpstreamState& state, const Words& words) {
  const prometheus::ClientMetric::Label of{"organization", organization};
  Gauge("semaphoreci_gateway_upstream_budget_tokens",
        "Requests that the budget for the Semaphore API would let through at once.", {of},
        state.budget_tokens);
  Gauge("semaphoreci_gateway_upstream_budget_capacity",
        "The most requests that the budget for the Semaphore API lets through at once.", {of},
        state.budget_capacity);
  Gauge("semaphoreci_gateway_upstream_budget_rate",
        "Requests per second to the Semaphore API in force: the configured rate, less while it "
        "throttles, 0 while it asked for a pause.",
        {of}, state.budget_rate);
  for (size_t i = 0; i < words.priorities.size(); ++i) {
    const prometheus::ClientMetric::Label priority{"class", words.priorities[i]};
    Gauge("semaphoreci_gateway_upstream_budget_waiting",
          "Requests to the Semaphore API that wait for their turn, by class of caller.",
          {of, priority}, ToDouble(At(state.budget_waiting, i)));
    Counter("semaphoreci_gateway_upstream_budget_rejections_total",
            "Requests refused because the budget for the Semaphore API was spent, by class of "
            "caller.",
            {of, priority}, At(state.budget_rejections, i));
  }
  Counter("semaphoreci_gateway_upstream_throttled_total",
          "Replies in which the Semaphore API asked for fewer requests (429, 503).", {of},
          state.throttled);
}

void ScrapeTimeMetrics::AddCache(const Metrics::CacheState& state) {
  Gauge("semaphoreci_gateway_cache_entries", "Replies in the cache.", {}, ToDouble(state.entries));
  Gauge("semaphoreci_gateway_cache_bytes",
        "Memory of the cache: keys, replies and overhead, in bytes.", {}, ToDouble(state.bytes));
  for (const auto& [reason, count] :
       {std::pair("room", state.evictions), std::pair("too_large", state.too_large)}) {
    Counter("semaphoreci_gateway_cache_evictions_total",
            "Replies not kept (any longer), by reason.", {{"reason", reason}}, count);
  }
  Counter("semaphoreci_gateway_cache_abandoned_fetches_total",
          "Fetches given up because nobody waited for them any more.", {}, state.abandoned);
  Counter("semaphoreci_gateway_cache_refreshes_total",
          "Fetches made in the background for replies that were served stale.", {},
          state.refreshes);
}

void ScrapeTimeMetrics::AddLogDrops(uint64_t lines) {
  Counter("semaphoreci_gateway_log_lines_dropped_total",
          "Log lines lost because standard error did not take them fast enough.", {}, lines);
}

void ScrapeTimeMetrics::AddTls(const Metrics::TlsState& state) {
  Gauge("semaphoreci_gateway_tls_certificate_expiry_timestamp_seconds",
        "When the certificate that callers are shown expires, in Unix time.", {},
        static_cast<double>(state.certificate_expiry_seconds));
  for (const auto& [result, count] :
       {std::pair("success", state.reloads), std::pair("failure", state.refusals)}) {
    Counter("semaphoreci_gateway_tls_reloads_total",
            "Changed sets of the files of TLS towards callers, by whether they were taken.",
            {{"result", result}}, count);
  }
}

void ScrapeTimeMetrics::AddCallers(const Metrics::CallersState& state) {
  Gauge("semaphoreci_gateway_callers", "Callers in force of the callers file.", {},
        ToDouble(state.callers));
  Gauge("semaphoreci_gateway_callers_file_usable",
        "1 while the callers file can be used; 0: an earlier state of it is in force.", {},
        state.file_usable ? 1 : 0);
}

void ScrapeTimeMetrics::AddAudit(const Metrics::AuditState& state) {
  Counter("semaphoreci_gateway_audit_lines_total", "Audit lines written.", {}, state.written);
  Gauge("semaphoreci_gateway_audit_lines_waiting",
        "Audit lines of changes in hand, or not yet taken by standard error.", {},
        ToDouble(state.waiting));
  Counter("semaphoreci_gateway_audit_refusals_total",
          "Changes refused because their audit line had no room.", {}, state.refused);
  Counter("semaphoreci_gateway_audit_write_failures_total",
          "Attempts to write an audit line that standard error refused; each is repeated.", {},
          state.failed);
}

void ScrapeTimeMetrics::AddRest(const Metrics::RestState& state) {
  Gauge("semaphoreci_gateway_rest_connections", "Open connections of the REST listener.", {},
        ToDouble(state.connections));
  Counter("semaphoreci_gateway_rest_requests_total",
          "HTTP requests that the REST listener read, whatever they asked for.", {},
          state.requests);
  Counter("semaphoreci_gateway_rest_connections_refused_total",
          "Connections closed at once because there were too many.", {}, state.refused_connections);
  Counter("semaphoreci_gateway_rest_requests_refused_total",
          "Requests that were no HTTP, too large or too slow.", {}, state.refused_requests);
}

void ScrapeTimeMetrics::AddCollector(const Metrics::CollectorState& state) {
  for (const Metrics::CollectorState::Organization& organization : state.organizations) {
    const prometheus::ClientMetric::Label of{"organization", CleanLabelValue(organization.name)};
    for (const auto& [result, count] :
         {std::pair("ok", organization.polls_ok), std::pair("failed", organization.polls_failed)}) {
      Counter("semaphoreci_gateway_collector_polls_total",
              "Polls of projects, agents and lists of projects, by result (ok, failed).",
              {of, {"result", result}}, count);
    }
    Counter("semaphoreci_gateway_collector_pipelines_counted_total",
            "Finished pipelines that were new to the ledger.", {of}, organization.counted);
    Counter("semaphoreci_gateway_collector_duplicates_total",
            "Finished pipelines that the ledger refused because it had them.", {of},
            organization.duplicates);
    Gauge("semaphoreci_gateway_collector_interval_seconds",
          "Time between two polls of a project that is in force, in seconds.", {of},
          organization.interval_seconds);
    for (const auto& [project, seconds] : ByCleanName(organization.last_successes)) {
      Gauge("semaphoreci_gateway_collector_last_success_timestamp_seconds",
            "When a project was last collected without failure, in seconds since 1970.",
            {of, {"project", project}}, seconds);
    }
    for (const auto& [project, seconds] : ByCleanName(organization.watermarks)) {
      Gauge("semaphoreci_gateway_collector_watermark_timestamp_seconds",
            "Up to when finished pipelines are counted, by Semaphore's clock, in seconds since "
            "1970.",
            {of, {"project", project}}, seconds);
    }
  }
  for (const auto& [family, count] : state.series) {
    Gauge("semaphoreci_gateway_ci_series", "Series of CI facts, by family.", {{"family", family}},
          ToDouble(count));
  }
  Counter("semaphoreci_gateway_ci_series_overflow_total",
          "Increments that were counted as other because their family was full.", {},
          state.overflow);
  Counter("semaphoreci_gateway_ci_series_expired_total",
          "Series of CI facts dropped because nothing happened to them for long.", {},
          state.expired);
}

}  // namespace semaphore::gateway
