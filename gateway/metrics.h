// Every metric that this process exports about itself, declared in one place: name, unit, help,
// labels. Children are looked up at construction, so that counting a call is an increment by index;
// what others own is asked for at scrape time. Facts about CI are not here.
#ifndef SEMAPHORE_GATEWAY_METRICS_H_
#define SEMAPHORE_GATEWAY_METRICS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/exposition.h"
#include "gateway/label_value.h"

namespace semaphore::gateway {

class Metrics {
 public:
  struct Method {
    std::string service;         // "semaphore.v1.PipelineService"
    std::string method;          // "GetPipeline"
    std::string type = "unary";  // or client_stream, server_stream, bidi_stream
  };
  struct Route {
    std::string verb;   // "GET"
    std::string route;  // the template: "pipelines/:id"
  };
  // The closed sets behind the labels; the calls below name their members by index. Routes may
  // repeat.
  struct Options {
    std::vector<Method> methods;
    std::vector<std::string> organizations;
    std::vector<Route> routes;
    std::vector<std::string> failure_causes;  // in the order of client::HttpCause, for one
    std::vector<std::string> retry_reasons;
    std::vector<std::string> priorities;  // classes of callers, in the order of client::Priority
    std::vector<std::string> circuit_states;        // in the order of client::CircuitBreaker::State
    std::map<std::string, std::string> build_info;  // labels: version, revision, …
    std::vector<std::string> caller_refusals;       // in the order of CallerRefusal
  };

  // The state of one organization's upstream side when asked. Counters only ever grow.
  struct UpstreamState {
    int64_t requests_in_flight = 0;
    int64_t connections_idle = 0;
    int64_t connections_active = 0;
    int64_t connections_dialing = 0;
    uint64_t full_handshakes = 0;
    uint64_t resumed_handshakes = 0;
    double budget_tokens = 0;
    double budget_capacity = 0;
    double budget_rate = 0;                // requests per second; 0: paused
    std::vector<uint64_t> budget_waiting;  // by class, as all below
    std::vector<uint64_t> budget_rejections;
    uint64_t throttled = 0;
    size_t circuit_state = 0;  // in the order of Options::circuit_states
    uint64_t circuit_rejections = 0;
    uint64_t circuit_openings = 0;
    double retries_available = 0;
    uint64_t retries_refused = 0;
  };
  using UpstreamSource = std::function<UpstreamState()>;

  struct CacheState {
    uint64_t entries = 0;
    uint64_t bytes = 0;
    uint64_t evictions = 0;
    uint64_t too_large = 0;
    uint64_t abandoned = 0;
    uint64_t refreshes = 0;
  };
  using CacheSource = std::function<CacheState()>;

  struct TlsState {                          // towards callers
    int64_t certificate_expiry_seconds = 0;  // Unix time
    uint64_t reloads = 0;
    uint64_t refusals = 0;  // changed files that were not taken
  };
  using TlsSource = std::function<TlsState()>;
  using CountSource = std::function<uint64_t()>;

  // The callers file, and the lane of audit lines.
  struct CallersState {
    uint64_t callers = 0;  // in force
    bool file_usable = true;
  };
  struct RestState {
    uint64_t connections = 0;  // open
    uint64_t requests = 0;
    uint64_t refused_connections = 0;
    uint64_t refused_requests = 0;
  };
  using RestSource = std::function<RestState()>;
  using CallersSource = std::function<CallersState()>;
  struct AuditState {
    uint64_t written = 0;
    uint64_t waiting = 0;
    uint64_t refused = 0;
    uint64_t failed = 0;
  };
  using AuditSource = std::function<AuditState()>;

  // The truth about the collection of CI facts.
  struct CollectorState {
    struct Organization {
      std::string name;
      uint64_t polls_ok = 0;
      uint64_t polls_failed = 0;
      uint64_t counted = 0;
      uint64_t duplicates = 0;
      double interval_seconds = 0;
      // By project, in seconds since 1970; without those that have none yet.
      std::vector<std::pair<std::string, double>> last_successes;
      std::vector<std::pair<std::string, double>> watermarks;
    };
    std::vector<Organization> organizations;
    std::vector<std::pair<std::string, uint64_t>> series;  // by CI family
    uint64_t overflow = 0;
    uint64_t expired = 0;
  };
  using CollectorSource = std::function<CollectorState()>;

  // Callers with a label of their own over the life of the process; later ones are "other".
  static constexpr size_t kMaxNamedCallers = 200;
  static constexpr size_t kAnonymousCaller = 0;

  explicit Metrics(const Options& options);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The hot path, from any thread. An index out of range counts nothing; a code outside 0 to 16
  // counts as Unknown.
  void CallStarted(size_t method);
  void CallHandled(size_t method, int grpc_code, std::chrono::nanoseconds duration);

  // A whole reply with an HTTP status came back, or why none did.
  void UpstreamReplied(size_t organization, size_t route, int http_status,
                       std::chrono::nanoseconds duration);
  void UpstreamFailed(size_t organization, size_t route, size_t cause,
                      std::chrono::nanoseconds duration);
  void UpstreamRetried(size_t organization, size_t reason);
  void BudgetWaited(size_t organization, size_t priority, std::chrono::nanoseconds duration);
  void CallerQuotaExhausted();
  // From a pipeline's end to its being counted.
  void CollectorLag(size_t organization, std::chrono::nanoseconds lag);

  // The place of a caller's name, for CallerAnswered; the same for the same name.
  size_t CallerSlot(const std::string& name);
  void CallerAnswered(size_t slot);
  void CallerRefused(size_t reason);

  // `how` as in the x-cache metadata; calls in which the cache had no part count nothing.
  void CacheAnswered(size_t method, std::string_view how);

  // Schema drift in the replies of a method.
  void UnknownFields(size_t method, uint64_t count);
  void UnknownEnumWords(size_t method, uint64_t count);

  // Asked at each scrape, on the scraping thread; must not block. Set again (or to nothing) before
  // what they use ends: when the setter returns, the earlier source is no longer running.
  void SetUpstreamSource(size_t organization, UpstreamSource source);
  void SetCacheSource(CacheSource source);
  void SetCollectorSource(CollectorSource source);
  void SetLogDropsSource(CountSource source);
  void SetTlsSource(TlsSource source);
  void SetCallersSource(CallersSource source);
  void SetRestSource(RestSource source);
  void SetAuditSource(AuditSource source);

  // Series that the pages of /metrics/ci left out as a last resort.
  void CiSeriesDropped(uint64_t count);

  // What the page is written from.
  std::vector<prometheus::MetricFamily> Collect() const;

  // The page. Takes milliseconds and no lock that a call waits for.
  std::string Page(Exposition format) const;
  std::string Text() const { return Page(Exposition::kText); }

  // Every family above once, with the names of its labels in alphabetical order.
  struct Description {
    std::string name;
    std::string type;  // "counter"
    std::string unit;  // "seconds"
    std::string help;
    std::vector<std::string> labels;
    std::vector<double> buckets;
  };
  static std::vector<Description> Catalog();

 private:
  struct Families;  // keeps prometheus-cpp out of this header
  const std::unique_ptr<Families> families_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_METRICS_H_
