#include "gateway/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <mutex>
#include <set>
#include <utility>

#include "gateway/process_metrics.h"

namespace semaphore::gateway {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr int kUnknownCode = 2;

// The spelling of go-grpc-prometheus, which dashboards and alerts for grpc_server_* expect.
constexpr std::array<const char*, 17> kGrpcCodes = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

// The statuses that Semaphore is known to send exist at 0 from the start, or increase() would miss
// the first of each; the others appear when they happen.
constexpr std::array<int, 12> kUsualStatuses = {200, 302, 400, 401, 403, 404,
                                                422, 429, 500, 502, 503, 504};

// From an answer out of memory to a call that waited for the budget.
const Histogram::BucketBoundaries kCallSeconds = {0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                  0.25,   0.5,   1,     2.5,  5,     10,   30};
const Histogram::BucketBoundaries kUpstreamSeconds = {0.025, 0.05, 0.1, 0.25, 0.5,
                                                      1,     2.5,  5,   10,   30};

const Histogram::BucketBoundaries kLagSeconds = {5,   15,   30,   60,    120,  300,
                                                 600, 1800, 3600, 14400, 86400};

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

// "semaphore.v1.PipelineService" and "GetPipeline" are PipelineService.GetPipeline.
std::string ShortMethodName(const Metrics::Method& method) {
  return method.service.substr(method.service.rfind('.') + 1) + "." + method.method;
}

std::string StatusText(int http_status) {
  return http_status >= 100 && http_status <= 599 ? std::to_string(http_status) : "other";
}

MetricFamily Declare(const char* name, const char* help, MetricType type) {
  return {name, help, type, {}};
}

void AddSample(MetricFamily* family, std::vector<prometheus::ClientMetric::Label> labels,
               double value) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  metric.gauge.value = value;
  family->metric.push_back(std::move(metric));
}

}  // namespace

struct Metrics::Families {
  explicit Families(const Options& options);

  void AddMethod(const Method& method);
  void AddOrganization(const Options& options, const std::string& organization);
  Counter& Replies(size_t organization, size_t route, int http_status);
  std::vector<MetricFamily> CollectUpstream() const;
  std::vector<MetricFamily> CollectTls() const;
  std::vector<MetricFamily> CollectCallers() const;
  std::vector<MetricFamily> CollectRest() const;
  std::vector<MetricFamily> Collect() const;
  std::vector<MetricFamily> CollectCollector() const;

  struct MethodChildren {
    Counter* started = nullptr;
    std::array<Counter*, kGrpcCodes.size()> handled{};
    Histogram* handling = nullptr;
    Counter* unknown_fields = nullptr;
    Counter* unknown_enum_words = nullptr;
    Counter* cache_requests = nullptr;
    Counter* cache_hits = nullptr;
    Counter* cache_stale = nullptr;
    Counter* cache_coalesced = nullptr;
  };
  struct RouteChildren {
    Histogram* duration = nullptr;
    std::vector<Counter*> failures;  // by cause
  };
  struct OrganizationChildren {
    std::string name;
    std::vector<RouteChildren> routes;
    std::vector<Counter*> retries;  // by reason
    std::vector<Histogram*> waits;  // by priority
    UpstreamSource source;          // guarded by sources_mutex
    Histogram* lag = nullptr;       // from done to counted
  };

  prometheus::Registry registry;
  Family<Counter>& started;
  Family<Counter>& handled;
  Family<Histogram>& handling;
  Family<Counter>& requests;
  Family<Counter>& failures;
  Family<Histogram>& duration;
  Family<Counter>& retries;
  Family<Histogram>& waits;
  Family<Histogram>& lags;
  Counter& quota_rejections;
  Family<Counter>& caller_requests;
  Family<Counter>& caller_refusals;
  Counter& ci_series_dropped;
  Family<Counter>& unknown_fields;
  Family<Counter>& unknown_enum_words;
  Family<Counter>& cache_requests;
  Family<Counter>& cache_hits;
  Family<Counter>& cache_stale;
  Family<Counter>& cache_coalesced;

  const std::vector<std::string> priorities;
  const std::vector<std::string> circuit_states;
  std::vector<Route> routes;
  std::vector<MethodChildren> methods;
  std::vector<OrganizationChildren> organizations;
  std::vector<Counter*> refusals;  // by reason

  // Anonymous, other, and then the callers in the order in which they were first seen. Written
  // before its place is told to anybody.
  static constexpr size_t kOtherCaller = 1;
  std::array<std::atomic<Counter*>, kMaxNamedCallers + 2> callers{};
  std::mutex slots_mutex;  // of the next
  std::map<std::string, size_t> slots;

  mutable std::mutex sources_mutex;  // held while a source runs, so that a setter returns after it
  CountSource log_drops;             // guarded by sources_mutex
  CacheSource cache;                 // guarded by sources_mutex
  TlsSource tls;                     // guarded by sources_mutex
  CallersSource callers_file;        // guarded by sources_mutex
  RestSource rest;                   // guarded by sources_mutex
  AuditSource audit;                 // guarded by sources_mutex
  CollectorSource collector;         // guarded by sources_mutex
};

namespace {

Family<Counter>& CounterFamily(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
Family<Histogram>& HistogramFamily(prometheus::Registry& registry, const char* name,
                                   const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

}  // namespace

Metrics::Families::Families(const Options& options)
    : started(CounterFamily(registry, "grpc_server_started_total",
                            "Total number of RPCs started on the server.")),
      handled(CounterFamily(registry, "grpc_server_handled_total",
                            "Total number of RPCs completed on the server, regardless of success "
                            "or failure.")),
      handling(HistogramFamily(registry, "grpc_server_handling_seconds",
                               "Response latency of RPCs that had been handled by the server, in "
                               "seconds.")),
      requests(
          CounterFamily(registry, "semaphoreci_gateway_upstream_requests_total",
                        "Requests to the Semaphore API that got a whole reply, by HTTP status; "
                        "each attempt counts.")),
      failures(
          CounterFamily(registry, "semaphoreci_gateway_upstream_failures_total",
                        "Requests to the Semaphore API that got no whole reply, by cause; each "
                        "attempt counts.")),
      duration(HistogramFamily(registry, "semaphoreci_gateway_upstream_request_duration_seconds",
                               "Time from sending a request to the Semaphore API to the end of its "
                               "reply or failure, in seconds.")),
      retries(CounterFamily(registry, "semaphoreci_gateway_upstream_retries_total",
                            "Attempts repeated against the Semaphore API, by reason.")),
      waits(HistogramFamily(registry, "semaphoreci_gateway_upstream_budget_wait_seconds",
                            "Time that requests to the Semaphore API waited for their turn, by "
                            "class of caller, in seconds.")),
      lags(HistogramFamily(registry, "semaphoreci_gateway_collector_lag_seconds",
                           "Time from the end of a pipeline to its being counted, in seconds.")),
      quota_rejections(CounterFamily(registry, "semaphoreci_gateway_caller_quota_rejections_total",
                                     "Calls refused because their caller's quota was spent.")
                           .Add({})),
      caller_requests(CounterFamily(registry, "semaphoreci_gateway_caller_requests_total",
                                    "Calls answered, by the caller's name in the callers file; "
                                    "anonymous: nobody known, other: names beyond the first 200.")),
      caller_refusals(CounterFamily(registry, "semaphoreci_gateway_caller_refusals_total",
                                    "Calls refused because of who made them, by reason.")),
      ci_series_dropped(CounterFamily(registry, "semaphoreci_gateway_ci_series_dropped_total",
                                      "Series left out of the pages of CI facts because their "
                                      "family was over its cap or they did not fit it; 0 unless "
                                      "something is wrong.")
                            .Add({})),
      unknown_fields(CounterFamily(registry, "semaphoreci_gateway_unknown_fields_total",
                                   "Fields in replies of the Semaphore API that this release does "
                                   "not know (schema drift).")),
      unknown_enum_words(CounterFamily(registry, "semaphoreci_gateway_unknown_enum_words_total",
                                       "Enum words in replies of the Semaphore API that this "
                                       "release does not know (schema drift).")),
      cache_requests(CounterFamily(registry, "semaphoreci_gateway_cache_requests_total",
                                   "Reads that the cache was asked for.")),
      cache_hits(CounterFamily(registry, "semaphoreci_gateway_cache_hits_total",
                               "Reads answered from the cache with a fresh reply.")),
      cache_stale(CounterFamily(registry, "semaphoreci_gateway_cache_stale_total",
                                "Reads answered from the cache with a stale reply, marked so.")),
      cache_coalesced(CounterFamily(registry, "semaphoreci_gateway_cache_coalesced_total",
                                    "Reads answered by the fetch of another caller.")),
      priorities(options.priorities),
      circuit_states(options.circuit_states),
      routes(options.routes) {
  for (const Method& method : options.methods) AddMethod(method);
  for (const std::string& organization : options.organizations) {
    AddOrganization(options, organization);
  }
  for (const std::string& reason : options.caller_refusals) {
    refusals.push_back(&caller_refusals.Add({{"reason", CleanLabelValue(reason)}}));
  }
  callers[kAnonymousCaller] = &caller_requests.Add({{"caller", "anonymous"}});
  callers[kOtherCaller] = &caller_requests.Add({{"caller", "other"}});
  std::map<std::string, std::string> labels;
  for (const auto& [name, value] : options.build_info) labels[name] = CleanLabelValue(value);
  prometheus::BuildGauge()
      .Name("semaphoreci_gateway_build_info")
      .Help("Always 1; the labels say what is running.")
      .Register(registry)
      .Add(labels)
      .Set(1);
}

void Metrics::Families::AddMethod(const Method& method) {
  const prometheus::Labels labels = {{"grpc_type", CleanLabelValue(method.type)},
                                     {"grpc_service", CleanLabelValue(method.service)},
                                     {"grpc_method", CleanLabelValue(method.method)}};
  MethodChildren children;
  children.started = &started.Add(labels);
  for (size_t code = 0; code < kGrpcCodes.size(); ++code) {
    prometheus::Labels with_code = labels;
    with_code["grpc_code"] = kGrpcCodes[code];
    children.handled[code] = &handled.Add(with_code);
  }
  children.handling = &handling.Add(labels, kCallSeconds);
  const prometheus::Labels drift = {{"method", CleanLabelValue(ShortMethodName(method))}};
  children.unknown_fields = &unknown_fields.Add(drift);
  children.unknown_enum_words = &unknown_enum_words.Add(drift);
  children.cache_requests = &cache_requests.Add(drift);
  children.cache_hits = &cache_hits.Add(drift);
  children.cache_stale = &cache_stale.Add(drift);
  children.cache_coalesced = &cache_coalesced.Add(drift);
  methods.push_back(children);
}

void Metrics::Families::AddOrganization(const Options& options, const std::string& organization) {
  OrganizationChildren children;
  children.name = CleanLabelValue(organization);
  for (const std::string& reason : options.retry_reasons) {
    children.retries.push_back(
        &retries.Add({{"organization", children.name}, {"reason", CleanLabelValue(reason)}}));
  }
  for (const std::string& priority : options.priorities) {
    children.waits.push_back(
        &waits.Add({{"organization", children.name}, {"class", priority}}, kCallSeconds));
  }
  for (const Route& route : routes) {
    const prometheus::Labels labels = {{"organization", children.name},
                                       {"route", CleanLabelValue(route.route)}};
    RouteChildren of_route;
    for (const std::string& cause : options.failure_causes) {
      prometheus::Labels with_cause = labels;
      with_cause["cause"] = CleanLabelValue(cause);
      of_route.failures.push_back(&failures.Add(with_cause));
    }
    prometheus::Labels with_method = labels;
    with_method["method"] = CleanLabelValue(route.verb);
    of_route.duration = &duration.Add(with_method, kUpstreamSeconds);
    children.routes.push_back(std::move(of_route));
  }
  children.lag = &lags.Add({{"organization", children.name}}, kLagSeconds);
  organizations.push_back(std::move(children));
  for (size_t route = 0; route < routes.size(); ++route) {
    for (const int status : kUsualStatuses) Replies(organizations.size() - 1, route, status);
  }
}

// Looked up each time: upstream requests are a few per second, and most statuses never happen.
Counter& Metrics::Families::Replies(size_t organization, size_t route, int http_status) {
  return requests.Add({{"organization", organizations[organization].name},
                       {"route", CleanLabelValue(routes[route].route)},
                       {"method", CleanLabelValue(routes[route].verb)},
                       {"code", StatusText(http_status)}});
}

std::vector<MetricFamily> Metrics::Families::CollectUpstream() const {
  std::vector<MetricFamily> out = {
      Declare("semaphoreci_gateway_upstream_requests_in_flight",
              "Requests to the Semaphore API that are under way.", MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_connections",
              "Connections to the Semaphore API, by state.", MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_tls_handshakes_total",
              "TLS handshakes completed with the Semaphore API, by whether a session was resumed.",
              MetricType::Counter),
      Declare("semaphoreci_gateway_upstream_budget_tokens",
              "Requests that the budget for the Semaphore API would let through at once.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_budget_rejections_total",
              "Requests refused because the budget for the Semaphore API was spent, by class of "
              "caller.",
              MetricType::Counter),
      Declare("semaphoreci_gateway_upstream_budget_capacity",
              "The most requests that the budget for the Semaphore API lets through at once.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_budget_rate",
              "Requests per second to the Semaphore API in force: the configured rate, less while "
              "it throttles, 0 while it asked for a pause.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_budget_waiting",
              "Requests to the Semaphore API that wait for their turn, by class of caller.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_throttled_total",
              "Replies in which the Semaphore API asked for fewer requests (429, 503).",
              MetricType::Counter),
      Declare("semaphoreci_gateway_upstream_circuit_state",
              "1 for the state of the circuit breaker before the Semaphore API, 0 for the others.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_circuit_rejections_total",
              "Requests not made because the circuit breaker was open.", MetricType::Counter),
      Declare("semaphoreci_gateway_upstream_circuit_openings_total",
              "Times that the circuit breaker opened.", MetricType::Counter),
      Declare("semaphoreci_gateway_upstream_retry_budget_tokens",
              "Retries that the retry budget would allow at once.", MetricType::Gauge),
      Declare("semaphoreci_gateway_upstream_retry_budget_refusals_total",
              "Retries not made because the retry budget was spent.", MetricType::Counter),
      Declare("semaphoreci_gateway_log_lines_dropped_total",
              "Log lines lost because standard error did not take them fast enough.",
              MetricType::Counter),
      Declare("semaphoreci_gateway_cache_entries", "Replies in the cache.", MetricType::Gauge),
      Declare("semaphoreci_gateway_cache_bytes",
              "Memory of the cache: keys, replies and overhead, in bytes.", MetricType::Gauge),
      Declare("semaphoreci_gateway_cache_evictions_total",
              "Replies not kept (any longer), by reason.", MetricType::Counter),
      Declare("semaphoreci_gateway_cache_abandoned_fetches_total",
              "Fetches given up because nobody waited for them any more.", MetricType::Counter),
      Declare("semaphoreci_gateway_cache_refreshes_total",
              "Fetches made in the background for replies that were served stale.",
              MetricType::Counter)};
  const std::lock_guard lock(sources_mutex);
  for (const OrganizationChildren& organization : organizations) {
    if (!organization.source) continue;
    const UpstreamState state = organization.source();
    const auto count = [](auto value) { return static_cast<double>(value); };
    const prometheus::ClientMetric::Label of{"organization", organization.name};
    AddSample(&out[0], {of}, count(state.requests_in_flight));
    AddSample(&out[1], {of, {"state", "idle"}}, count(state.connections_idle));
    AddSample(&out[1], {of, {"state", "active"}}, count(state.connections_active));
    AddSample(&out[1], {of, {"state", "dialing"}}, count(state.connections_dialing));
    AddSample(&out[2], {of, {"resumed", "false"}}, count(state.full_handshakes));
    AddSample(&out[2], {of, {"resumed", "true"}}, count(state.resumed_handshakes));
    AddSample(&out[3], {of}, state.budget_tokens);
    AddSample(&out[5], {of}, state.budget_capacity);
    AddSample(&out[6], {of}, state.budget_rate);
    for (size_t i = 0; i < priorities.size(); ++i) {
      const prometheus::ClientMetric::Label priority{"class", priorities[i]};
      const auto at = [i](const std::vector<uint64_t>& counts) {
        return i < counts.size() ? static_cast<double>(counts[i]) : 0;
      };
      AddSample(&out[4], {of, priority}, at(state.budget_rejections));
      AddSample(&out[7], {of, priority}, at(state.budget_waiting));
    }
    AddSample(&out[8], {of}, count(state.throttled));
    for (size_t i = 0; i < circuit_states.size(); ++i) {
      AddSample(&out[9], {of, {"state", circuit_states[i]}}, state.circuit_state == i ? 1 : 0);
    }
    AddSample(&out[10], {of}, count(state.circuit_rejections));
    AddSample(&out[11], {of}, count(state.circuit_openings));
    AddSample(&out[12], {of}, state.retries_available);
    AddSample(&out[13], {of}, count(state.retries_refused));
  }
  if (cache) {
    const CacheState state = cache();
    const auto count = [](uint64_t value) { return static_cast<double>(value); };
    AddSample(&out[15], {}, count(state.entries));
    AddSample(&out[16], {}, count(state.bytes));
    AddSample(&out[17], {{"reason", "room"}}, count(state.evictions));
    AddSample(&out[17], {{"reason", "too_large"}}, count(state.too_large));
    AddSample(&out[18], {}, count(state.abandoned));
    AddSample(&out[19], {}, count(state.refreshes));
  }
  if (log_drops) AddSample(&out[14], {}, static_cast<double>(log_drops()));
  std::erase_if(out, [](const MetricFamily& family) { return family.metric.empty(); });
  return out;
}

std::vector<MetricFamily> Metrics::Families::CollectTls() const {
  const std::lock_guard lock(sources_mutex);
  if (!tls) return {};
  const TlsState state = tls();
  std::vector<MetricFamily> out = {
      Declare("semaphoreci_gateway_tls_certificate_expiry_timestamp_seconds",
              "When the certificate that callers are shown expires, in Unix time.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_tls_reloads_total",
              "Changed sets of the files of TLS towards callers, by whether they were taken.",
              MetricType::Counter)};
  AddSample(&out[0], {}, static_cast<double>(state.certificate_expiry_seconds));
  AddSample(&out[1], {{"result", "success"}}, static_cast<double>(state.reloads));
  AddSample(&out[1], {{"result", "failure"}}, static_cast<double>(state.refusals));
  return out;
}

std::vector<MetricFamily> Metrics::Families::CollectRest() const {
  const std::lock_guard lock(sources_mutex);
  if (!rest) return {};
  std::vector<MetricFamily> out = {
      Declare("semaphoreci_gateway_rest_connections", "Open connections of the REST listener.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_rest_requests_total",
              "HTTP requests that the REST listener read, whatever they asked for.",
              MetricType::Counter),
      Declare("semaphoreci_gateway_rest_connections_refused_total",
              "Connections closed at once because there were too many.", MetricType::Counter),
      Declare("semaphoreci_gateway_rest_requests_refused_total",
              "Requests that were no HTTP, too large or too slow.", MetricType::Counter)};
  const RestState state = rest();
  AddSample(&out[0], {}, static_cast<double>(state.connections));
  AddSample(&out[1], {}, static_cast<double>(state.requests));
  AddSample(&out[2], {}, static_cast<double>(state.refused_connections));
  AddSample(&out[3], {}, static_cast<double>(state.refused_requests));
  return out;
}

std::vector<MetricFamily> Metrics::Families::CollectCallers() const {
  std::vector<MetricFamily> out = {
      Declare("semaphoreci_gateway_callers", "Callers in force of the callers file.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_callers_file_usable",
              "1 while the callers file can be used; 0: an earlier state of it is in force.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_audit_lines_total", "Audit lines written.", MetricType::Counter),
      Declare("semaphoreci_gateway_audit_lines_waiting",
              "Audit lines of changes in hand, or not yet taken by standard error.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_audit_refusals_total",
              "Changes refused because their audit line had no room.", MetricType::Counter),
      Declare("semaphoreci_gateway_audit_write_failures_total",
              "Attempts to write an audit line that standard error refused; each is repeated.",
              MetricType::Counter)};
  const std::lock_guard lock(sources_mutex);
  if (callers_file) {
    const CallersState state = callers_file();
    AddSample(&out[0], {}, static_cast<double>(state.callers));
    AddSample(&out[1], {}, state.file_usable ? 1 : 0);
  }
  if (audit) {
    const AuditState state = audit();
    AddSample(&out[2], {}, static_cast<double>(state.written));
    AddSample(&out[3], {}, static_cast<double>(state.waiting));
    AddSample(&out[4], {}, static_cast<double>(state.refused));
    AddSample(&out[5], {}, static_cast<double>(state.failed));
  }
  std::erase_if(out, [](const MetricFamily& family) { return family.metric.empty(); });
  return out;
}

// Nothing while CI facts are not collected.
std::vector<MetricFamily> Metrics::Families::CollectCollector() const {
  const std::lock_guard lock(sources_mutex);
  if (!collector) return {};
  std::vector<MetricFamily> out = {
      Declare("semaphoreci_gateway_collector_polls_total",
              "Polls of projects, agents and lists of projects, by result (ok, failed).",
              MetricType::Counter),
      Declare("semaphoreci_gateway_collector_pipelines_counted_total",
              "Finished pipelines that were new to the ledger.", MetricType::Counter),
      Declare("semaphoreci_gateway_collector_duplicates_total",
              "Finished pipelines that the ledger refused because it had them.",
              MetricType::Counter),
      Declare("semaphoreci_gateway_collector_last_success_timestamp_seconds",
              "When a project was last collected without failure, in seconds since 1970.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_collector_interval_seconds",
              "Time between two polls of a project that is in force, in seconds.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_collector_watermark_timestamp_seconds",
              "Up to when finished pipelines are counted, by Semaphore's clock, in seconds since "
              "1970.",
              MetricType::Gauge),
      Declare("semaphoreci_gateway_ci_series", "Series of CI facts, by family.", MetricType::Gauge),
      Declare("semaphoreci_gateway_ci_series_overflow_total",
              "Increments that were folded or left out because their family was full.",
              MetricType::Counter),
      Declare("semaphoreci_gateway_ci_series_expired_total",
              "Series of CI facts dropped because nothing happened to them for long.",
              MetricType::Counter)};
  const CollectorState state = collector();
  for (const CollectorState::Organization& organization : state.organizations) {
    const prometheus::ClientMetric::Label of{"organization", CleanLabelValue(organization.name)};
    AddSample(&out[0], {of, {"result", "ok"}}, static_cast<double>(organization.polls_ok));
    AddSample(&out[0], {of, {"result", "failed"}}, static_cast<double>(organization.polls_failed));
    AddSample(&out[1], {of}, static_cast<double>(organization.counted));
    AddSample(&out[2], {of}, static_cast<double>(organization.duplicates));
    AddSample(&out[3], {of}, organization.last_success_seconds);
    AddSample(&out[4], {of}, organization.interval_seconds);
    for (const auto& [project, seconds] : organization.watermarks) {
      AddSample(&out[5], {of, {"project", CleanLabelValue(project)}}, seconds);
    }
  }
  for (const auto& [family, count] : state.series) {
    AddSample(&out[6], {{"family", family}}, static_cast<double>(count));
  }
  AddSample(&out[7], {}, static_cast<double>(state.overflow));
  AddSample(&out[8], {}, static_cast<double>(state.expired));
  std::erase_if(out, [](const MetricFamily& family) { return family.metric.empty(); });
  return out;
}

Metrics::Metrics(const Options& options) : families_(std::make_unique<Families>(options)) {}
Metrics::~Metrics() = default;

void Metrics::CallStarted(size_t method) {
  if (method < families_->methods.size()) families_->methods[method].started->Increment();
}

void Metrics::CallHandled(size_t method, int grpc_code, std::chrono::nanoseconds duration) {
  if (method >= families_->methods.size()) return;
  const Families::MethodChildren& children = families_->methods[method];
  const bool known = grpc_code >= 0 && grpc_code < static_cast<int>(kGrpcCodes.size());
  children.handled[static_cast<size_t>(known ? grpc_code : kUnknownCode)]->Increment();
  children.handling->Observe(Seconds(duration));
}

void Metrics::UpstreamReplied(size_t organization, size_t route, int http_status,
                              std::chrono::nanoseconds duration) {
  if (organization >= families_->organizations.size()) return;
  if (route >= families_->routes.size()) return;
  families_->Replies(organization, route, http_status).Increment();
  families_->organizations[organization].routes[route].duration->Observe(Seconds(duration));
}

void Metrics::UpstreamFailed(size_t organization, size_t route, size_t cause,
                             std::chrono::nanoseconds duration) {
  if (organization >= families_->organizations.size()) return;
  if (route >= families_->routes.size()) return;
  const Families::RouteChildren& children = families_->organizations[organization].routes[route];
  if (cause < children.failures.size()) children.failures[cause]->Increment();
  children.duration->Observe(Seconds(duration));
}

void Metrics::UpstreamRetried(size_t organization, size_t reason) {
  if (organization >= families_->organizations.size()) return;
  const std::vector<Counter*>& retries = families_->organizations[organization].retries;
  if (reason < retries.size()) retries[reason]->Increment();
}

void Metrics::BudgetWaited(size_t organization, size_t priority,
                           std::chrono::nanoseconds duration) {
  if (organization >= families_->organizations.size()) return;
  const std::vector<Histogram*>& waits = families_->organizations[organization].waits;
  if (priority < waits.size()) waits[priority]->Observe(Seconds(duration));
}

void Metrics::CallerQuotaExhausted() { families_->quota_rejections.Increment(); }

size_t Metrics::CallerSlot(const std::string& name) {
  const std::lock_guard lock(families_->slots_mutex);
  const auto known = families_->slots.find(name);
  if (known != families_->slots.end()) return known->second;
  if (families_->slots.size() >= kMaxNamedCallers) return Families::kOtherCaller;
  const size_t slot = families_->slots.size() + 2;
  families_->callers[slot] = &families_->caller_requests.Add({{"caller", CleanLabelValue(name)}});
  families_->slots.emplace(name, slot);
  return slot;
}

void Metrics::CallerAnswered(size_t slot) {
  if (slot >= families_->callers.size()) return;
  Counter* const counter = families_->callers[slot];
  if (counter != nullptr) counter->Increment();
}

void Metrics::CallerRefused(size_t reason) {
  if (reason < families_->refusals.size()) families_->refusals[reason]->Increment();
}

void Metrics::CollectorLag(size_t organization, std::chrono::nanoseconds lag) {
  if (organization >= families_->organizations.size()) return;
  families_->organizations[organization].lag->Observe(Seconds(lag));
}

void Metrics::CacheAnswered(size_t method, std::string_view how) {
  if (method >= families_->methods.size() || how.empty() || how == "bypass") return;
  const Families::MethodChildren& children = families_->methods[method];
  children.cache_requests->Increment();
  if (how == "hit") children.cache_hits->Increment();
  if (how == "stale") children.cache_stale->Increment();
  if (how == "coalesced") children.cache_coalesced->Increment();
}

void Metrics::UnknownFields(size_t method, uint64_t count) {
  if (method >= families_->methods.size()) return;
  families_->methods[method].unknown_fields->Increment(static_cast<double>(count));
}

void Metrics::UnknownEnumWords(size_t method, uint64_t count) {
  if (method >= families_->methods.size()) return;
  families_->methods[method].unknown_enum_words->Increment(static_cast<double>(count));
}

void Metrics::SetUpstreamSource(size_t organization, UpstreamSource source) {
  if (organization >= families_->organizations.size()) return;
  const std::lock_guard lock(families_->sources_mutex);
  families_->organizations[organization].source = std::move(source);
}

void Metrics::SetCacheSource(CacheSource source) {
  const std::lock_guard lock(families_->sources_mutex);
  families_->cache = std::move(source);
}

void Metrics::SetCollectorSource(CollectorSource source) {
  const std::lock_guard lock(families_->sources_mutex);
  families_->collector = std::move(source);
}

void Metrics::SetLogDropsSource(CountSource source) {
  const std::lock_guard lock(families_->sources_mutex);
  families_->log_drops = std::move(source);
}

void Metrics::SetTlsSource(TlsSource source) {
  const std::lock_guard lock(families_->sources_mutex);
  families_->tls = std::move(source);
}

void Metrics::SetCallersSource(CallersSource source) {
  const std::lock_guard lock(families_->sources_mutex);
  families_->callers_file = std::move(source);
}

void Metrics::SetRestSource(RestSource source) {
  const std::lock_guard lock(families_->sources_mutex);
  families_->rest = std::move(source);
}

void Metrics::SetAuditSource(AuditSource source) {
  const std::lock_guard lock(families_->sources_mutex);
  families_->audit = std::move(source);
}

void Metrics::CiSeriesDropped(uint64_t count) {
  families_->ci_series_dropped.Increment(static_cast<double>(count));
}

std::vector<MetricFamily> Metrics::Families::Collect() const {
  std::vector<MetricFamily> page = registry.Collect();
  for (MetricFamily& family : CollectUpstream()) page.push_back(std::move(family));
  for (MetricFamily& family : CollectTls()) page.push_back(std::move(family));
  for (MetricFamily& family : CollectCallers()) page.push_back(std::move(family));
  for (MetricFamily& family : CollectRest()) page.push_back(std::move(family));
  for (MetricFamily& family : CollectCollector()) page.push_back(std::move(family));
  for (MetricFamily& family : CollectProcessMetrics("/proc")) page.push_back(std::move(family));
  return page;
}

std::vector<MetricFamily> Metrics::Collect() const { return families_->Collect(); }

std::string Metrics::Page(Exposition format) const {
  return WriteFamilies(families_->Collect(), format);
}

// Read off a page on which nothing is missing, so that it cannot differ from what is served.
std::vector<Metrics::Description> Metrics::Catalog() {
  Options options;
  options.methods = {{.service = "service", .method = "method"}};
  options.organizations = {"organization"};
  options.routes = {{.verb = "GET", .route = "route"}};
  options.failure_causes = options.retry_reasons = options.priorities = options.circuit_states =
      options.caller_refusals = {"any"};
  options.build_info = {{"version", "any"}};
  Metrics metrics(options);
  metrics.SetUpstreamSource(0, [] { return UpstreamState(); });
  metrics.SetCacheSource([] { return CacheState(); });
  metrics.SetLogDropsSource([] { return uint64_t{0}; });
  metrics.SetTlsSource([] { return TlsState(); });
  metrics.SetCallersSource([] { return CallersState(); });
  metrics.SetAuditSource([] { return AuditState(); });
  metrics.SetRestSource([] { return RestState(); });
  metrics.SetCollectorSource([] {
    CollectorState state;
    state.organizations.emplace_back();
    state.organizations.back().watermarks = {{"any", 0}};
    state.series = {{"any", 0}};
    return state;
  });

  std::vector<Description> out;
  for (const MetricFamily& collected : metrics.families_->Collect()) {
    Description family;
    family.name = collected.name;
    family.type = collected.type == MetricType::Counter ? "counter"
                  : collected.type == MetricType::Gauge ? "gauge"
                                                        : "histogram";
    family.unit = UnitOf(collected.name);
    family.help = collected.help;
    std::set<std::string> labels;
    for (const prometheus::ClientMetric& metric : collected.metric) {
      for (const auto& label : metric.label) labels.insert(label.name);
    }
    family.labels.assign(labels.begin(), labels.end());
    for (const auto& bucket : collected.metric.front().histogram.bucket) {
      if (std::isfinite(bucket.upper_bound)) family.buckets.push_back(bucket.upper_bound);
    }
    out.push_back(std::move(family));
  }
  return out;
}

}  // namespace semaphore::gateway
