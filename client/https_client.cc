#include "client/https_client.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/async_event.h"
#include "client/connection_pool.h"
#include "client/https_connection.h"
#include "client/request_text.h"
#include "client/request_watch.h"
#include "client/tls_context.h"

namespace semaphore::client {

namespace asio = boost::asio;

namespace {

using ConnectionPtr = std::unique_ptr<HttpsConnection>;

// A request that waits for a slot. What it is granted is written under the state's mutex, before
// the event is set.
struct Waiter {
  std::shared_ptr<AsyncEvent> event;
  std::optional<ConnectionPool::Grant> grant;
  ConnectionPtr connection;
};

absl::Status CheckOptions(const HttpsClient::Options& options) {
  const auto wrong = [](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("upstream connection: ", what));
  };
  if (options.host.empty() || !HasOnlyVisible(options.host)) return wrong("host is not a name");
  if (options.port == 0) return wrong("port is 0");
  if (!HasOnlyVisible(options.proxy_host)) return wrong("proxy_host is not a name");
  if (!options.proxy_host.empty() && options.proxy_port == 0) return wrong("proxy_port is 0");
  if (!IsHeaderValue(options.proxy_authorization)) {
    return wrong("proxy_authorization holds a control character");
  }
  if (options.max_connections == 0) return wrong("max_connections is 0");
  if (options.max_header_bytes < 1024 || options.max_header_bytes > 16 << 20) {
    return wrong("max_header_bytes is not between 1 KiB and 16 MiB");
  }
  return absl::OkStatus();
}

}  // namespace

struct HttpsClient::State {
  State(asio::any_io_executor executor, const Clock& clock, DnsResolver& resolver, Options options,
        std::unique_ptr<TlsContext> tls)
      : executor(std::move(executor)),
        clock(clock),
        resolver(resolver),
        options(std::move(options)),
        origin(Authority(this->options.host, this->options.port, true)),
        host_header(Authority(this->options.host, this->options.port, false)),
        tls(std::move(tls)),
        pool({.max_connections = this->options.max_connections,
              .max_waiters = this->options.max_waiting,
              .idle_timeout = this->options.idle_timeout,
              .max_age = this->options.max_connection_age}) {}

  // Under the mutex: the connections that the pool has given up, to be destroyed after the mutex is
  // released.
  std::vector<ConnectionPtr> TakeOut(const std::vector<ConnectionPool::ConnectionId>& ids);
  void Release(ConnectionPool::ConnectionId id, ConnectionPtr connection, bool keep);

  const asio::any_io_executor executor;
  const Clock& clock;
  DnsResolver& resolver;
  const Options options;
  const std::string origin;
  const std::string host_header;
  const std::unique_ptr<TlsContext> tls;

  mutable std::mutex mutex;  // of the next four; never held across an await
  ConnectionPool pool;
  std::unordered_map<ConnectionPool::ConnectionId, ConnectionPtr> idle;
  std::unordered_map<ConnectionPool::WaiterId, std::shared_ptr<Waiter>> waiters;
  bool closed = false;  // the client is gone; requests still suspended are about to be destroyed

  std::atomic<size_t> requests_in_flight = 0;
  std::atomic<uint64_t> dials = 0;
  std::atomic<uint64_t> handshakes_full = 0;
  std::atomic<uint64_t> handshakes_resumed = 0;
  std::atomic<uint64_t> connections_reused = 0;
  std::atomic<uint64_t> redials = 0;
  std::atomic<uint64_t> dns_failures = 0;
};

std::vector<ConnectionPtr> HttpsClient::State::TakeOut(
    const std::vector<ConnectionPool::ConnectionId>& ids) {
  std::vector<ConnectionPtr> taken;
  taken.reserve(ids.size());
  for (const ConnectionPool::ConnectionId id : ids) {
    taken.push_back(std::move(idle.extract(id).mapped()));
  }
  return taken;
}

void HttpsClient::State::Release(ConnectionPool::ConnectionId id, ConnectionPtr connection,
                                 bool keep) {
  std::vector<ConnectionPtr> expired;
  const std::scoped_lock lock(mutex);
  if (closed) return;
  ConnectionPool::Released released = pool.Release(id, keep && connection != nullptr, clock.Now());
  expired = TakeOut(released.close);
  if (released.grant.has_value()) {
    const std::shared_ptr<Waiter> waiter =
        std::move(waiters.extract(released.grant->waiter).mapped());
    waiter->grant = released.grant;
    if (released.keep) waiter->connection = std::move(connection);
    waiter->event->Set();  // posts; nothing runs under the mutex
  } else if (released.keep) {
    idle.emplace(id, std::move(connection));
  }
}

// Counts a request for as long as its coroutine exists, however that ends.
class HttpsClient::InFlight {
 public:
  explicit InFlight(State& state) : state_(state) { ++state_.requests_in_flight; }
  ~InFlight() { --state_.requests_in_flight; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  State& state_;
};

// One slot of the pool and the connection in it; both go back when it is destroyed, however the
// request ends.
class HttpsClient::Lease {
 public:
  explicit Lease(State& state) : state_(state) {}
  ~Lease() {
    if (waiter_id_ != 0) Leave();
    if (id_ != 0) state_.Release(id_, std::move(connection_), keep_);
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // Waits for a slot, first come, first served. A connection that was kept alive comes with it if
  // one is at hand, seems alive, and is not ruled out by `fresh`.
  asio::awaitable<HttpFailure> Acquire(bool fresh, RequestWatch& watch);
  // Resolves, dials, tunnels and shakes hands.
  asio::awaitable<HttpFailure> Connect(RequestWatch& watch, HttpResult& result);
  // Keeps the slot, closes the connection.
  void Replace(bool fresh);
  void Keep() { keep_ = true; }

  bool reused() const { return reused_; }
  HttpsConnection& connection() { return *connection_; }

 private:
  void Occupy(ConnectionPool::Action action, ConnectionPool::ConnectionId id,
              ConnectionPtr connection);
  void Leave();

  State& state_;
  ConnectionPool::ConnectionId id_ = 0;
  ConnectionPool::WaiterId waiter_id_ = 0;
  std::shared_ptr<Waiter> waiter_;
  ConnectionPtr connection_;
  bool reused_ = false;
  bool keep_ = false;
};

asio::awaitable<HttpFailure> HttpsClient::Lease::Acquire(bool fresh, RequestWatch& watch) {
  const std::string doing = absl::StrCat("wait for a connection to ", state_.origin);
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  std::vector<ConnectionPtr> expired;
  {
    const std::scoped_lock lock(state_.mutex);
    const ConnectionPool::Verdict verdict = state_.pool.Acquire(fresh, state_.clock.Now());
    expired = state_.TakeOut(verdict.close);
    if (verdict.action == ConnectionPool::Action::kFull) {
      co_return HttpFailure{HttpCause::kRefused,
                            absl::ResourceExhaustedError(absl::StrCat(
                                doing, ": ", state_.pool.waiting(), " requests wait already"))};
    }
    if (verdict.action == ConnectionPool::Action::kWait) {
      waiter_ = std::make_shared<Waiter>();
      waiter_->event = AsyncEvent::Create(executor);
      waiter_id_ = verdict.id;
      state_.waiters.emplace(waiter_id_, waiter_);
    } else if (verdict.action == ConnectionPool::Action::kReuse) {
      Occupy(verdict.action, verdict.id, std::move(state_.idle.extract(verdict.id).mapped()));
    } else {
      Occupy(verdict.action, verdict.id, nullptr);
    }
  }
  expired.clear();
  if (waiter_ != nullptr) {
    co_await waiter_->event->WaitUntil(watch.deadline());
    Leave();
    if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) {
      keep_ = true;  // what was granted in the same moment has not been touched
      co_return stop;
    }
    if (id_ == 0) {
      co_return HttpFailure{HttpCause::kDeadline, absl::DeadlineExceededError(doing)};
    }
  }
  while (reused_ && !(connection_->PeerIsThere() && connection_->IsQuiet())) Replace(false);
  co_return HttpFailure{};
}

void HttpsClient::Lease::Occupy(ConnectionPool::Action action, ConnectionPool::ConnectionId id,
                                ConnectionPtr connection) {
  id_ = id;
  reused_ = action == ConnectionPool::Action::kReuse;
  connection_ = std::move(connection);
}

// Stops waiting, and takes what was granted if the grant came first.
void HttpsClient::Lease::Leave() {
  const std::scoped_lock lock(state_.mutex);
  if (waiter_->grant.has_value()) {
    Occupy(waiter_->grant->action, waiter_->grant->id, std::move(waiter_->connection));
  } else {
    state_.pool.Leave(waiter_id_);
    state_.waiters.erase(waiter_id_);
  }
  waiter_id_ = 0;
  waiter_.reset();
}

void HttpsClient::Lease::Replace(bool fresh) {
  connection_.reset();
  std::vector<ConnectionPtr> expired;
  const std::scoped_lock lock(state_.mutex);
  const ConnectionPool::Verdict verdict = state_.pool.Replace(id_, fresh, state_.clock.Now());
  expired = state_.TakeOut(verdict.close);
  ConnectionPtr other;
  if (verdict.action == ConnectionPool::Action::kReuse) {
    other = std::move(state_.idle.extract(verdict.id).mapped());
  }
  Occupy(verdict.action, verdict.id, std::move(other));
}

asio::awaitable<HttpFailure> HttpsClient::Lease::Connect(RequestWatch& watch, HttpResult& result) {
  const Options& options = state_.options;
  const HttpsConnection::Proxy proxy{.target = {options.proxy_host, options.proxy_port},
                                     .authorization = options.proxy_authorization};
  const bool direct = options.proxy_host.empty();
  const HttpsConnection::Target target =
      direct ? HttpsConnection::Target{options.host, options.port} : proxy.target;

  result.stage = HttpStage::kResolve;
  absl::StatusOr<DnsResolver::Addresses> addresses =
      co_await state_.resolver.Resolve(target.host, watch.deadline());
  if (HttpFailure stop = StopFailure(watch, absl::StrCat("resolve '", target.host, "'"));
      !stop.ok()) {
    co_return stop;
  }
  if (!addresses.ok()) {
    const bool late = addresses.status().code() == absl::StatusCode::kDeadlineExceeded;
    if (!late) ++state_.dns_failures;
    co_return HttpFailure{late ? HttpCause::kDeadline : HttpCause::kDns, addresses.status()};
  }

  result.stage = HttpStage::kDial;
  ++state_.dials;
  connection_ = std::make_unique<HttpsConnection>(state_.executor, *state_.tls, state_.origin,
                                                  options.max_header_bytes);
  HttpFailure failure = co_await connection_->Dial(
      *addresses, target, state_.clock.Now() + options.connect_timeout, watch);
  if (!failure.ok()) co_return failure;

  if (!direct) {
    result.stage = HttpStage::kProxy;
    failure = co_await connection_->OpenTunnel(
        proxy, state_.clock.Now() + options.handshake_timeout, watch);
    if (!failure.ok()) co_return failure;
  }

  result.stage = HttpStage::kHandshake;
  failure = co_await connection_->Handshake(state_.clock.Now() + options.handshake_timeout, watch);
  if (!failure.ok()) co_return failure;
  ++(connection_->resumed() ? state_.handshakes_resumed : state_.handshakes_full);
  co_return HttpFailure{};
}

namespace {

// Runs the caller's hook as a coroutine of its own, so that the deadline can end it as well as the
// caller can.
asio::awaitable<HttpFailure> Admit(const HttpRequest& request, RequestWatch& watch) {
  if (!request.admit) co_return HttpFailure{};
  const std::string doing = "wait to be admitted";
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  asio::cancellation_signal signal;
  RequestWatch::Stage stage(watch, watch.deadline(),
                            [&signal] { signal.emit(asio::cancellation_type::terminal); });
  asio::awaitable<absl::Status> admission = request.admit(watch.deadline());
  auto [error, admitted] =
      co_await asio::co_spawn(executor, std::move(admission), watch.Token(signal.slot()));
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  if (error) admitted = absl::InternalError("wait to be admitted: an exception");
  if (!admitted.ok()) co_return HttpFailure{HttpCause::kRefused, std::move(admitted)};
  co_return HttpFailure{};
}

// One attempt on a connection that is ready.
asio::awaitable<HttpFailure> Attempt(HttpsConnection& connection, const HttpRequest& request,
                                     std::string_view bytes, RequestWatch& watch,
                                     HttpResult& result) {
  result.stage = HttpStage::kAdmit;
  HttpFailure failure = co_await Admit(request, watch);
  if (!failure.ok()) co_return failure;
  if (!connection.PeerIsThere()) {
    co_return HttpFailure{HttpCause::kReset,
                          absl::UnavailableError("upstream hung up before the request was sent")};
  }
  result.stage = HttpStage::kWrite;
  result.may_have_arrived = true;
  failure = co_await connection.Write(bytes, watch);
  if (!failure.ok()) co_return failure;
  co_return co_await connection.ReadReply(request, watch, result);
}

}  // namespace

asio::awaitable<void> HttpsClient::Run(std::shared_ptr<State> state, const HttpRequest& request,
                                       MonotonicTime deadline, HttpResult& result) {
  const InFlight in_flight(*state);
  const auto end = [&result](HttpFailure failure) {
    result.status = std::move(failure.status);
    result.cause = failure.cause;
  };
  result.stage = HttpStage::kSlot;
  if (absl::Status sound = CheckRequest(request); !sound.ok()) {
    co_return end({HttpCause::kRefused, std::move(sound)});
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
  const std::shared_ptr<RequestWatch> watch =
      RequestWatch::Create(executor, cancellation, state->clock, deadline);
  const std::string bytes = SerializeRequest(request, state->host_header);

  Lease lease(*state);
  HttpFailure failure = co_await lease.Acquire(!request.repeatable, *watch);
  if (!failure.ok()) co_return end(std::move(failure));
  for (bool redialled = false;; redialled = true) {
    if (lease.reused()) {
      ++state->connections_reused;
    } else {
      failure = co_await lease.Connect(*watch, result);
      if (!failure.ok()) co_return end(std::move(failure));
    }
    failure = co_await Attempt(lease.connection(), request, bytes, *watch, result);
    if (failure.ok()) {
      if (lease.connection().reusable()) lease.Keep();
      co_return;
    }
    const bool unsent = result.stage == HttpStage::kAdmit;
    if (unsent && failure.cause == HttpCause::kRefused) lease.Keep();
    // Only a kept-alive connection may have been dead all along, and only if it brought no part of
    // a reply.
    const bool redial = failure.cause == HttpCause::kReset && lease.reused() && !redialled &&
                        (unsent || (request.repeatable && !lease.connection().reply_started()));
    if (!redial) co_return end(std::move(failure));
    ++state->redials;
    lease.Replace(true);
    result.response = HttpResponse();
  }
}

HttpsClient::HttpsClient(std::shared_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<HttpsClient>> HttpsClient::Create(asio::any_io_executor executor,
                                                                 const Clock& clock,
                                                                 DnsResolver& resolver,
                                                                 const Options& options) {
  if (absl::Status sound = CheckOptions(options); !sound.ok()) return sound;
  absl::StatusOr<std::unique_ptr<TlsContext>> tls = TlsContext::Create(
      {.host = options.host, .ca_file = options.ca_file, .ca_pem = options.ca_pem});
  if (!tls.ok()) return tls.status();
  return std::unique_ptr<HttpsClient>(new HttpsClient(
      std::make_shared<State>(std::move(executor), clock, resolver, options, *std::move(tls))));
}

HttpsClient::~HttpsClient() {
  std::unordered_map<ConnectionPool::ConnectionId, ConnectionPtr> idle;
  const std::scoped_lock lock(state_->mutex);
  state_->closed = true;
  idle.swap(state_->idle);
}

asio::awaitable<HttpResult> HttpsClient::Send(HttpRequest request, MonotonicTime deadline) {
  const std::shared_ptr<State> state = state_;
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  HttpResult result;
  try {
    co_await Run(state, request, deadline, result);
  } catch (const std::exception& error) {
    result.status = absl::InternalError(absl::StrCat("send a request: ", error.what()));
    result.cause = HttpCause::kReset;
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  co_return result;
}

void HttpsClient::CloseExpired() {
  std::vector<ConnectionPtr> expired;
  const std::scoped_lock lock(state_->mutex);
  expired = state_->TakeOut(state_->pool.Expire(state_->clock.Now()));
}

HttpsClient::Statistics HttpsClient::Stats() const {
  Statistics statistics;
  {
    const std::scoped_lock lock(state_->mutex);
    statistics.connections_in_use = state_->pool.in_use();
    statistics.connections_idle = state_->pool.idle();
    statistics.requests_waiting = state_->pool.waiting();
  }
  statistics.requests_in_flight = state_->requests_in_flight;
  statistics.dials = state_->dials;
  statistics.handshakes_full = state_->handshakes_full;
  statistics.handshakes_resumed = state_->handshakes_resumed;
  statistics.connections_reused = state_->connections_reused;
  statistics.redials = state_->redials;
  statistics.dns_failures = state_->dns_failures;
  return statistics;
}

}  // namespace semaphore::client
