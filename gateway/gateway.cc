#include "gateway/gateway.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/circuit_breaker.h"
#include "client/dns_resolver.h"
#include "client/error.h"
#include "client/https_client.h"
#include "client/local_budget.h"
#include "client/method_table.h"
#include "client/upstream.h"
#include "gateway/admin_server.h"
#include "gateway/audit_log.h"
#include "gateway/authenticator.h"
#include "gateway/call_log.h"
#include "gateway/collection.h"
#include "gateway/embedded_files.h"
#include "gateway/engine.h"
#include "gateway/inbound_tls.h"
#include "gateway/memory_store.h"
#include "gateway/metrics.h"
#include "gateway/openapi.h"
#include "gateway/reply_cache.h"
#include "gateway/rest_handler.h"
#include "gateway/rest_server.h"
#include "gateway/rest_transcoder.h"
#include "gateway/server.h"
#include "gateway/service.h"
#include "gateway/token_source.h"
#include "gateway/version.h"

namespace semaphore::gateway {

namespace asio = boost::asio;

namespace {

// In the order of client::HttpCause and of the words that client/retry.h uses; the metric's label
// sets.
const std::vector<std::string> kFailureCauses = {"none",     "dns",       "connect",   "proxy",
                                                 "tls",      "reset",     "malformed", "too_large",
                                                 "deadline", "cancelled", "refused"};
const std::vector<std::string> kRetryReasons = {"connection", "unavailable", "rate_limited",
                                                "error"};

// In the order of client::Priority and of client::CircuitBreaker::State.
const std::vector<std::string> kPriorityWords = {"interactive", "batch", "collector"};
const std::vector<std::string> kCircuitWords = {"closed", "open", "half_open"};

// How often the files of TLS are looked at. A change is taken at the second look that sees it.
constexpr absl::Duration kTlsLookInterval = absl::Seconds(1);

// How long calls and fetches that were cut off may take to end: they only close their sockets.
constexpr absl::Duration kCutOff = absl::Seconds(2);

// A uniform number in [0, 1), for jitter.
double RandomShare() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

Metrics::Options MetricsOptions(const client::MethodTable& table, const Config& config) {
  Metrics::Options options;
  for (const auto& method : table.methods()) {
    options.methods.push_back({.service = method->service, .method = method->name});
    options.routes.push_back({.verb = method->verb, .route = method->route});
  }
  for (const OrganizationConfig& organization : config.organizations) {
    options.organizations.push_back(organization.name);
  }
  options.failure_causes = kFailureCauses;
  options.retry_reasons = kRetryReasons;
  options.priorities = kPriorityWords;
  options.circuit_states = kCircuitWords;
  options.build_info = {{"version", kVersion}};
  options.caller_refusals = CallerRefusalWords();
  return options;
}

// "acme.semaphoreci.com", "localhost:8443": the authority as it stands in URLs.
std::string Authority(const OrganizationConfig& config) {
  const std::string host = config.host.find(':') == std::string::npos
                               ? config.host
                               : absl::StrCat("[", config.host, "]");
  return config.port == 443 ? host : absl::StrCat(host, ":", config.port);
}

// Threads that run an io_context until it is stopped.
class IoThreads {
 public:
  explicit IoThreads(int count) : work_(asio::make_work_guard(context_)) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { context_.run(); });
  }
  ~IoThreads() { Stop(); }
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  asio::io_context& context() { return context_; }

  void Stop() {
    work_.reset();
    context_.stop();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

// What one organization needs; members in the order in which they use each other.
struct OrganizationParts {
  std::unique_ptr<TokenSource> token;
  std::unique_ptr<client::HttpsClient> http;
  std::unique_ptr<client::LocalBudget> budget;
  std::unique_ptr<client::Upstream> upstream;
};

}  // namespace

struct Gateway::Parts {
  Parts(const Config& config_in, Log& log_in) : config(config_in), log(log_in) {}

  absl::Status Start();
  absl::Status StartOrganization(size_t index);
  absl::Status StartTls();
  absl::Status StartRest(int threads);
  absl::Status StartAuthenticator();
  absl::Status StartCollection();
  absl::Status StartAdmin();
  client::UpstreamObserver Observer(size_t organization);
  Metrics::UpstreamState StateOf(size_t organization);
  std::vector<std::string> NotReadyBecause();
  std::vector<std::string> Notes();
  void Stop(absl::Duration grace);

  const Config config;
  Log& log;
  client::SystemClock clock;
  std::unique_ptr<client::MethodTable> table;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<CallLog> call_log;
  std::unique_ptr<AuditLog> audit_log;
  std::unique_ptr<Authenticator> authenticator;  // null: callers are anonymous
  // Destroyed after everything that posts to them, but stopped before.
  std::unique_ptr<IoThreads> upstream_io;
  std::unique_ptr<IoThreads> admin_io;
  std::unique_ptr<client::DnsResolver> resolver;
  std::vector<OrganizationParts> organizations;
  std::unique_ptr<MemoryStore> store;
  std::unique_ptr<ReplyCache> cache;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<InboundTls> tls;         // null: plaintext
  std::unique_ptr<Collection> collection;  // null: no metrics section
  std::unique_ptr<Server> server;
  std::unique_ptr<RestTranscoder> transcoder;  // null, as the next two: no REST
  std::unique_ptr<RestHandler> rest_handler;
  std::unique_ptr<RestServer> rest;
  std::unique_ptr<AdminServer> admin;
  std::atomic<bool> draining = false;
  std::once_flag stopped;
};

absl::Status Gateway::Parts::Start() {
  absl::StatusOr<std::unique_ptr<client::MethodTable>> built = client::MethodTable::Build();
  if (!built.ok()) return built.status();
  table = *std::move(built);
  metrics = std::make_unique<Metrics>(MetricsOptions(*table, config));
  metrics->SetLogDropsSource([this] { return log.dropped_lines(); });
  call_log = std::make_unique<CallLog>(
      log, clock,
      CallSampler::Options{
          .slow_call = config.log.slow_call,
          .sampled_calls_per_second = static_cast<uint32_t>(config.log.sampled_calls_per_second)});
  audit_log = std::make_unique<AuditLog>(log, *table);
  metrics->SetAuditSource([this]() -> Metrics::AuditState {
    const Log::AuditStats stats = log.GetAuditStats();
    return {.written = stats.written,
            .waiting = stats.waiting,
            .refused = stats.refused,
            .failed = stats.failed};
  });
  if (absl::Status started = StartAuthenticator(); !started.ok()) return started;
  const int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u));
  upstream_io = std::make_unique<IoThreads>(threads);
  admin_io = std::make_unique<IoThreads>(1);
  resolver = std::make_unique<client::DnsResolver>(clock);

  std::vector<Engine::Organization> rows;
  organizations.resize(config.organizations.size());
  for (size_t i = 0; i < config.organizations.size(); ++i) {
    const absl::Status started = StartOrganization(i);
    if (!started.ok()) {
      return absl::Status(
          started.code(),
          absl::StrCat("organization ", config.organizations[i].name, ": ", started.message()));
    }
    rows.push_back({config.organizations[i].name, organizations[i].upstream.get()});
  }
  const Engine::Options options{
      .default_deadline = absl::FromChrono(config.limits.default_deadline),
      .max_deadline = absl::FromChrono(config.limits.max_deadline),
      .max_concurrent_calls = config.limits.max_concurrent_calls,
      .max_queued_bytes = config.limits.max_queued_bytes,
      .callers = {.requests_per_second = config.callers.requests_per_second,
                  .burst = static_cast<int>(config.callers.burst)}};
  store = std::make_unique<MemoryStore>(
      MemoryStore::Options{.max_bytes = static_cast<size_t>(config.cache_max_bytes)});
  cache = std::make_unique<ReplyCache>(ReplyCache::Options{.lifetimes = config.cache_lifetimes},
                                       *store, clock, upstream_io->context().get_executor());
  metrics->SetCacheSource([this]() -> Metrics::CacheState {
    const CacheStore::Stats kept = store->GetStats();
    const ReplyCache::Stats fetched = cache->GetStats();
    return {.entries = kept.entries,
            .bytes = kept.bytes,
            .evictions = kept.evictions,
            .too_large = kept.too_large,
            .abandoned = fetched.abandoned,
            .refreshes = fetched.refreshes};
  });
  engine = std::make_unique<Engine>(options, upstream_io->context().get_executor(), rows, *cache,
                                    clock, *metrics, *call_log, *audit_log, authenticator.get());

  if (const absl::Status collecting = StartCollection(); !collecting.ok()) return collecting;

  auto services = MakeServices(*table, *engine, clock);
  if (!services.ok()) return services.status();
  if (absl::Status started = StartTls(); !started.ok()) return started;
  absl::StatusOr<std::unique_ptr<Server>> listening = Server::Start(
      config.grpc, config.limits, *std::move(services),
      {.check_credentials =
           [this](const Credentials& credentials) { return engine->CheckCredentials(credentials); },
       .tls = tls.get()});
  if (!listening.ok()) return listening.status();
  server = *std::move(listening);
  if (absl::Status started = StartRest(threads); !started.ok()) return started;

  return StartAdmin();
}

absl::Status Gateway::Parts::StartAdmin() {
  AdminServer::Options options;
  options.host = config.admin.host;
  options.port = config.admin.port;
  AdminServer::Sources sources{
      .metrics = [this](Exposition format) { return metrics->Page(format); },
      .not_ready_because = [this] { return NotReadyBecause(); },
      .notes = [this] { return Notes(); },
      .families = [this] { return metrics->Collect(); }};
  if (collection != nullptr) {
    sources.ci_snapshot = [this] { return collection->Snapshot(); };
    sources.ci_scraped = [this](const std::shared_ptr<const CiSnapshot>& snapshot, uint64_t dropped,
                                std::string_view scraper) {
      if (!scraper.empty()) collection->Scraped(snapshot->generation, scraper);
      metrics->CiSeriesDropped(dropped);
    };
  }
  absl::StatusOr<std::unique_ptr<AdminServer>> started = AdminServer::Start(
      admin_io->context().get_executor(), std::move(options), std::move(sources));
  if (!started.ok()) return started.status();
  admin = *std::move(started);
  return absl::OkStatus();
}

absl::Status Gateway::Parts::StartTls() {
  if (!config.tls.has_value()) return absl::OkStatus();
  const auto report = [this](const absl::StatusOr<absl::Time>& expiry) {
    if (expiry.ok()) {
      log.Info("tls_certificate_loaded",
               {{"expiry", absl::FormatTime(*expiry, absl::UTCTimeZone())}});
    } else {
      log.Warning("tls_certificate_unusable",
                  {{"message", std::string(expiry.status().message())}});
    }
  };
  absl::StatusOr<std::unique_ptr<InboundTls>> created =
      InboundTls::Create(*config.tls, clock, report);
  if (!created.ok()) {
    return absl::Status(created.status().code(),
                        absl::StrCat("TLS towards callers: ", created.status().message()));
  }
  tls = *std::move(created);
  tls->Watch(kTlsLookInterval);
  metrics->SetTlsSource([this]() -> Metrics::TlsState {
    const InboundTls::Stats stats = tls->GetStats();
    return {.certificate_expiry_seconds = absl::ToUnixSeconds(stats.expiry),
            .reloads = stats.reloads,
            .refusals = stats.refusals};
  });
  return absl::OkStatus();
}

absl::Status Gateway::Parts::StartRest(int threads) {
  if (!config.rest.has_value()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<RestTranscoder>> created = RestTranscoder::Create(*table);
  if (!created.ok()) return created.status();
  transcoder = *std::move(created);
  absl::StatusOr<std::string> document = OpenApiDocument(*table, kCommentedProtos);
  if (!document.ok()) return document.status();
  rest_handler = std::make_unique<RestHandler>(
      RestHandler::Options{
          .files = {{"/", "text/html; charset=utf-8", std::string(kExplorerHtml)},
                    {"/explorer.css", "text/css; charset=utf-8", std::string(kExplorerCss)},
                    {"/explorer.js", "text/javascript; charset=utf-8", std::string(kExplorerJs)},
                    {"/openapi.json", "application/json", *std::move(document)}},
          .cors_allowed_origins = config.rest->cors_allowed_origins,
          .local_hosts_only = IsLoopback(config.rest->address) && !config.auth.has_value()},
      *transcoder, *engine);
  RestServer::Options options;
  options.host = config.rest->address.host;
  options.port = config.rest->address.port;
  options.threads = threads;
  options.max_connections = static_cast<size_t>(config.rest->max_connections);
  options.limits = {.head_bytes = static_cast<size_t>(config.rest->max_head_bytes),
                    .target_bytes = static_cast<size_t>(config.rest->max_head_bytes / 2),
                    .body_bytes = static_cast<size_t>(config.limits.max_message_bytes)};
  options.max_body_bytes_in_hand = config.limits.max_queued_bytes;
  options.idle_timeout = config.rest->idle_timeout;
  options.head_timeout = config.rest->head_timeout;
  options.body_timeout = config.rest->body_timeout;
  options.write_timeout = config.rest->write_timeout;
  options.tls = tls.get();
  absl::StatusOr<std::unique_ptr<RestServer>> started =
      RestServer::Start(options, *rest_handler, *engine, clock);
  if (!started.ok()) return started.status();
  rest = *std::move(started);
  metrics->SetRestSource([this]() -> Metrics::RestState {
    const RestServer::Stats stats = rest->GetStats();
    return {.connections = stats.connections,
            .requests = stats.requests,
            .refused_connections = stats.refused_connections,
            .refused_requests = stats.refused_requests};
  });
  return absl::OkStatus();
}

absl::Status Gateway::Parts::StartAuthenticator() {
  if (!config.auth.has_value()) return absl::OkStatus();
  Authenticator::Options options;
  options.callers_file = config.auth->callers_file;
  options.scope.methods = table.get();
  for (const OrganizationConfig& organization : config.organizations) {
    options.scope.organizations.push_back(organization.name);
  }
  options.slot_of = [this](const std::string& name) { return metrics->CallerSlot(name); };
  options.listener = [this](const absl::Status& status, Authenticator::State state) {
    if (status.ok()) {
      log.Info("callers_loaded", {{"callers", state.callers}});
    } else {
      log.Warning("callers_unusable", {{"message", std::string(status.message())}});
    }
  };
  absl::StatusOr<std::unique_ptr<Authenticator>> opened =
      Authenticator::Open(std::move(options), clock);
  if (!opened.ok()) return opened.status();
  authenticator = *std::move(opened);
  authenticator->Watch();
  log.Info("callers_loaded", {{"callers", authenticator->GetState().callers}});
  metrics->SetCallersSource([this]() -> Metrics::CallersState {
    const Authenticator::State state = authenticator->GetState();
    return {.callers = state.callers, .file_usable = state.usable};
  });
  return absl::OkStatus();
}

absl::Status Gateway::Parts::StartOrganization(size_t index) {
  const OrganizationConfig& config_row = config.organizations[index];
  OrganizationParts& parts = organizations[index];
  const auto report = [this, name = config_row.name](const absl::Status& status) {
    if (status.ok()) {
      log.Info("token_loaded", {{"organization", name}});
    } else {
      log.Warning("token_unusable",
                  {{"organization", name}, {"message", std::string(status.message())}});
    }
  };
  absl::StatusOr<std::unique_ptr<TokenSource>> token =
      config_row.token_file.empty()
          ? TokenSource::Fixed(config_row.token,
                               absl::StrCat("environment variable ", config_row.token_env))
          : TokenSource::FromFile(config_row.token_file, clock, report);
  if (!token.ok()) return token.status();
  parts.token = *std::move(token);

  client::HttpsClient::Options http;
  http.host = config_row.host;
  http.port = config_row.port;
  http.ca_file = config_row.ca_file;
  if (config.upstream.proxy) {
    http.proxy_host = config.upstream.proxy->host;
    http.proxy_port = config.upstream.proxy->port;
    http.proxy_authorization = config.upstream.proxy_authorization;
  }
  http.max_connections = static_cast<size_t>(config.upstream.max_in_flight);
  http.connect_timeout = config.upstream.connect_timeout;
  absl::StatusOr<std::unique_ptr<client::HttpsClient>> https =
      client::HttpsClient::Create(upstream_io->context().get_executor(), clock, *resolver, http);
  if (!https.ok()) return https.status();
  parts.http = *std::move(https);

  client::LocalBudget::Options budget;
  budget.requests_per_second = config.upstream.requests_per_second;
  budget.burst = static_cast<int>(config.upstream.burst);
  budget.max_in_flight = static_cast<size_t>(config.upstream.max_in_flight);
  budget.max_wait = absl::FromChrono(config.upstream.max_wait);
  budget.waited = [this, index](client::Priority priority, absl::Duration duration) {
    metrics->BudgetWaited(index, static_cast<size_t>(priority),
                          absl::ToChronoNanoseconds(duration));
  };
  parts.budget = std::make_unique<client::LocalBudget>(
      std::move(budget), clock, upstream_io->context().get_executor(), client::SleepUntil);

  client::Upstream::Options options;
  options.organization = config_row.name;
  options.host = Authority(config_row);
  options.base_path = config_row.base_path;
  options.token = [source = parts.token.get()]() -> absl::StatusOr<std::string> {
    return *source->Current();
  };
  options.random = RandomShare;
  options.observer = Observer(index);
  absl::StatusOr<std::unique_ptr<client::Upstream>> upstream =
      client::Upstream::Create(std::move(options), *table, *parts.http, *parts.budget, clock);
  if (!upstream.ok()) return upstream.status();
  parts.upstream = *std::move(upstream);
  metrics->SetUpstreamSource(index, [this, index] { return StateOf(index); });
  return absl::OkStatus();
}

absl::Status Gateway::Parts::StartCollection() {
  if (!config.metrics.has_value()) return absl::OkStatus();
  std::vector<client::Upstream*> upstreams;
  for (const OrganizationParts& parts : organizations) upstreams.push_back(parts.upstream.get());
  absl::StatusOr<std::unique_ptr<Collection>> started = Collection::Start(
      config, upstreams, upstream_io->context().get_executor(), clock, log, *metrics);
  if (!started.ok()) return started.status();
  collection = *std::move(started);
  return absl::OkStatus();
}

client::UpstreamObserver Gateway::Parts::Observer(size_t organization) {
  client::UpstreamObserver observer;
  observer.attempt = [this, organization](const client::UpstreamObserver::Attempt& attempt) {
    const std::chrono::nanoseconds duration = absl::ToChronoNanoseconds(attempt.duration);
    if (attempt.cause == client::HttpCause::kNone) {
      metrics->UpstreamReplied(organization, attempt.method.index, attempt.http_status, duration);
    } else {
      metrics->UpstreamFailed(organization, attempt.method.index,
                              static_cast<size_t>(attempt.cause), duration);
    }
  };
  observer.retry = [this, organization](std::string_view reason) {
    const auto found = std::find(kRetryReasons.begin(), kRetryReasons.end(), reason);
    metrics->UpstreamRetried(organization, found - kRetryReasons.begin());
  };
  observer.circuit = [this, organization](client::CircuitBreaker::State state) {
    log.Warning("circuit", {{"organization", config.organizations[organization].name},
                            {"state", kCircuitWords[static_cast<size_t>(state)]}});
  };
  observer.drift = [this](const client::MethodSpec& method, const client::Drift& drift) {
    metrics->UnknownFields(method.index, drift.unknown_fields);
    metrics->UnknownEnumWords(method.index, drift.unknown_words);
  };
  return observer;
}

// Asked at every scrape, which is also when what nobody uses any more is let go.
Metrics::UpstreamState Gateway::Parts::StateOf(size_t organization) {
  OrganizationParts& parts = organizations[organization];
  parts.http->CloseExpired();
  parts.upstream->job_logs().Expire(clock.Now());
  const client::HttpsClient::Statistics http = parts.http->Stats();
  const client::LocalBudget::Stats budget = parts.budget->GetStats();
  const client::Upstream::Health health = parts.upstream->GetHealth();
  return {.requests_in_flight = static_cast<int64_t>(http.requests_in_flight),
          .connections_idle = static_cast<int64_t>(http.connections_idle),
          .connections_active = static_cast<int64_t>(http.connections_in_use),
          .full_handshakes = http.handshakes_full,
          .resumed_handshakes = http.handshakes_resumed,
          .budget_tokens = budget.tokens,
          .budget_capacity = static_cast<double>(budget.burst),
          .budget_rate = budget.rate,
          .budget_waiting = {budget.waiting.begin(), budget.waiting.end()},
          .budget_rejections = {budget.rejections.begin(), budget.rejections.end()},
          .throttled = budget.throttled,
          .circuit_state = static_cast<size_t>(health.circuit),
          .circuit_rejections = health.circuit_stats.rejections,
          .circuit_openings = health.circuit_stats.openings,
          .retries_available = health.retries_available,
          .retries_refused = health.retry_stats.refused};
}

std::vector<std::string> Gateway::Parts::NotReadyBecause() {
  std::vector<std::string> reasons;
  if (draining) reasons.emplace_back("shutting down");
  return reasons;
}

// A breaker that is open is no reason to stop sending calls here: another replica would fare no
// better, and what is kept is still served.
std::vector<std::string> Gateway::Parts::Notes() {
  std::vector<std::string> notes;
  for (size_t i = 0; i < organizations.size(); ++i) {
    const client::CircuitBreaker::State state = organizations[i].upstream->GetHealth().circuit;
    if (state == client::CircuitBreaker::State::kClosed) continue;
    notes.push_back(absl::StrCat("the circuit to organization ", config.organizations[i].name,
                                 " is ", kCircuitWords[static_cast<size_t>(state)]));
  }
  if (collection != nullptr) {
    for (std::string& note : collection->Notes()) notes.push_back(std::move(note));
  }
  return notes;
}

void Gateway::Parts::Stop(absl::Duration grace) {
  std::call_once(stopped, [this, grace] {
    // First, so that nobody who saw it not ready is still served.
    if (engine != nullptr) engine->BeginDrain();
    draining = true;
    if (collection != nullptr) collection->BeginStop();
    if (server != nullptr) {
      // The port stays open while calls are in hand, so that a new one is told to go elsewhere
      // instead of being cut off.
      const client::MonotonicTime end = clock.Now() + absl::ToChronoNanoseconds(grace);
      server->SetNotServing();
      if (rest != nullptr) rest->Drain();
      engine->Drain(grace);
      if (rest != nullptr) rest->Stop();
      // What is left are health watches and the like, which never end by themselves.
      server->Shutdown(
          std::clamp(absl::FromChrono(end - clock.Now()), absl::ZeroDuration(), absl::Seconds(1)));
      // The calls that were cut off end on the upstream threads, which must still run for that.
      engine->Drain(kCutOff);
      cache->EndFetches(kCutOff);
    }
    if (admin != nullptr) admin->Stop();
    if (collection != nullptr) collection->Stop(kCutOff);
    if (upstream_io != nullptr) upstream_io->Stop();
    if (admin_io != nullptr) admin_io->Stop();
    if (metrics == nullptr) return;
    for (size_t i = 0; i < organizations.size(); ++i) metrics->SetUpstreamSource(i, nullptr);
    metrics->SetCacheSource(nullptr);
    metrics->SetLogDropsSource(nullptr);
    metrics->SetTlsSource(nullptr);
    metrics->SetCallersSource(nullptr);
    metrics->SetRestSource(nullptr);
    metrics->SetAuditSource(nullptr);
  });
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const Config& config, Log& log) {
  std::unique_ptr<Gateway> gateway(new Gateway(std::make_unique<Parts>(config, log)));
  const absl::Status started = gateway->parts_->Start();
  if (!started.ok()) return started;
  return gateway;
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Gateway::~Gateway() { parts_->Stop(absl::ZeroDuration()); }

uint16_t Gateway::grpc_port() const { return parts_->server->port(); }
uint16_t Gateway::rest_port() const { return parts_->rest == nullptr ? 0 : parts_->rest->port(); }
uint16_t Gateway::admin_port() const { return parts_->admin->port(); }

void Gateway::Stop(absl::Duration grace) { parts_->Stop(grace); }

}  // namespace semaphore::gateway
