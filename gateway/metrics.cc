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
#include "gateway/scrape_time_metrics.h"

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

}  // namespace

struct Metrics::Families {
  explicit Families(const Options& options);

  void AddMethod(const Method& method);
  void AddOrganization(const Options& options, const std::string& organization);
  Counter& Replies(size_t organization, size_t route, int http_status);
  std::vector<MetricFamily> CollectSources() const;
  std::vector<MetricFamily> Collect() const;

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
                                      "family was full or they did not fit it, counted with each "
                                      "page.")
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

std::vector<MetricFamily> Metrics::Families::CollectSources() const {
  ScrapeTimeMetrics out;
  const std::lock_guard lock(sources_mutex);
  for (const OrganizationChildren& organization : organizations) {
    if (!organization.source) continue;
    out.AddUpstream(organization.name, organization.source(), {priorities, circuit_states});
  }
  if (log_drops) out.AddLogDrops(log_drops());
  if (cache) out.AddCache(cache());
  if (tls) out.AddTls(tls());
  if (callers_file) out.AddCallers(callers_file());
  if (audit) out.AddAudit(audit());
  if (rest) out.AddRest(rest());
  if (collector) out.AddCollector(collector());
  return out.Take();
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
  for (MetricFamily& family : CollectSources()) page.push_back(std::move(family));
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
    state.organizations.back().last_successes = {{"any", 0}};
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
