#include "client/dns_resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/async_event.h"

namespace semaphore::client {

namespace asio = boost::asio;

namespace {

// A status of its own for each thread: Debian's Abseil counts references where ThreadSanitizer does
// not see it.
absl::StatusOr<DnsResolver::Addresses> DeepCopy(
    const absl::StatusOr<DnsResolver::Addresses>& answer) {
  if (answer.ok()) return *answer;
  return absl::Status(answer.status().code(), answer.status().message());
}

struct Waiter {
  std::shared_ptr<AsyncEvent> event;
  std::optional<absl::StatusOr<DnsResolver::Addresses>> answer;  // under the resolver's mutex
};

struct Host {
  DnsResolver::Addresses good;  // the last answer that was one; empty: there was none
  MonotonicTime good_at;
  std::optional<MonotonicTime> failed_at;   // of the last lookup, when it failed
  std::optional<MonotonicTime> started_at;  // of the lookup in flight
  std::vector<std::shared_ptr<Waiter>> waiters;
};

}  // namespace

struct DnsResolver::State : std::enable_shared_from_this<DnsResolver::State> {
  State(const Clock& clock, Options options, Lookup lookup)
      : clock(clock), options(options), lookup(std::move(lookup)) {}

  // Returns the answer when there is one at once. Otherwise `waiter` is in the queue of the lookup
  // in flight, and `until` is when it should stop waiting.
  std::optional<absl::StatusOr<Addresses>> Join(const std::string& name,
                                                const std::shared_ptr<Waiter>& waiter,
                                                MonotonicTime deadline, MonotonicTime* until);
  // Takes `waiter` out of the queue and says what it gets, `cancelled` or too late as it may be.
  absl::StatusOr<Addresses> Leave(const std::string& name, const std::shared_ptr<Waiter>& waiter,
                                  bool cancelled);
  absl::Status Start(const std::string& name);
  void Finish(const std::string& name, absl::StatusOr<Addresses> answer);
  bool MakeRoom();

  const Clock& clock;
  const Options options;
  const Lookup lookup;
  std::mutex mutex;
  std::map<std::string, Host> hosts;
  bool closed = false;
};

std::optional<absl::StatusOr<DnsResolver::Addresses>> DnsResolver::State::Join(
    const std::string& name, const std::shared_ptr<Waiter>& waiter, MonotonicTime deadline,
    MonotonicTime* until) {
  const std::scoped_lock lock(mutex);
  const MonotonicTime now = clock.Now();
  if (!hosts.contains(name) && !MakeRoom()) {
    return absl::ResourceExhaustedError(absl::StrCat("resolve '", name, "': ", options.max_hosts,
                                                     " other names are being looked up"));
  }
  Host& host = hosts[name];
  if (!host.good.empty()) {
    if (now < host.good_at + options.fresh_for) return host.good;
    if (host.failed_at.has_value() && now < *host.failed_at + options.retry_after) return host.good;
  }
  if (!host.started_at.has_value()) {
    host.started_at = now;
    absl::Status started = Start(name);
    if (!started.ok()) {
      host.started_at.reset();
      if (!host.good.empty()) return host.good;
      return started;
    }
  }
  *until = deadline;
  if (!host.good.empty()) {
    const MonotonicTime slow_at = *host.started_at + options.slow_after;
    if (slow_at <= now) return host.good;
    *until = std::min(deadline, slow_at);
  }
  host.waiters.push_back(waiter);
  return std::nullopt;
}

absl::StatusOr<DnsResolver::Addresses> DnsResolver::State::Leave(
    const std::string& name, const std::shared_ptr<Waiter>& waiter, bool cancelled) {
  const std::scoped_lock lock(mutex);
  if (!waiter->answer.has_value()) {
    const auto found = hosts.find(name);
    if (found != hosts.end()) {
      std::erase(found->second.waiters, waiter);
      if (!cancelled && !found->second.good.empty()) return found->second.good;
    }
  }
  if (cancelled) return absl::CancelledError(absl::StrCat("resolve '", name, "': cancelled"));
  if (waiter->answer.has_value()) return *std::move(waiter->answer);
  return absl::DeadlineExceededError(
      absl::StrCat("resolve '", name, "': no answer before the deadline"));
}

absl::Status DnsResolver::State::Start(const std::string& name) {
  try {
    std::thread([self = shared_from_this(), name] {
      self->Finish(name, self->lookup(name));
    }).detach();
  } catch (const std::system_error& error) {
    return absl::UnavailableError(
        absl::StrCat("resolve '", name, "': no thread for the lookup: ", error.what()));
  }
  return absl::OkStatus();
}

void DnsResolver::State::Finish(const std::string& name, absl::StatusOr<Addresses> answer) {
  const std::scoped_lock lock(mutex);
  if (closed) return;
  Host& host = hosts[name];
  host.started_at.reset();
  const MonotonicTime now = clock.Now();
  if (answer.ok() && answer->empty()) {
    answer = absl::UnavailableError(absl::StrCat("resolve '", name, "': no addresses"));
  }
  if (answer.ok()) {
    host.good = *answer;
    host.good_at = now;
    host.failed_at.reset();
  } else {
    host.failed_at = now;
    if (!host.good.empty()) answer = host.good;
  }
  for (const std::shared_ptr<Waiter>& waiter : host.waiters) {
    waiter->answer = DeepCopy(answer);
    waiter->event->Set();  // posts; nothing runs under the mutex
  }
  host.waiters.clear();
}

bool DnsResolver::State::MakeRoom() {
  if (hosts.size() < options.max_hosts) return true;
  auto oldest = hosts.end();
  for (auto it = hosts.begin(); it != hosts.end(); ++it) {
    if (it->second.started_at.has_value()) continue;
    if (oldest == hosts.end() || it->second.good_at < oldest->second.good_at) oldest = it;
  }
  if (oldest == hosts.end()) return false;
  hosts.erase(oldest);
  return true;
}

DnsResolver::DnsResolver(const Clock& clock) : DnsResolver(clock, Options(), &SystemLookup) {}

DnsResolver::DnsResolver(const Clock& clock, Options options, Lookup lookup)
    : state_(std::make_shared<State>(clock, options, std::move(lookup))) {}

DnsResolver::~DnsResolver() {
  const std::scoped_lock lock(state_->mutex);
  state_->closed = true;
  state_->hosts.clear();
}

asio::awaitable<absl::StatusOr<DnsResolver::Addresses>> DnsResolver::Resolve(
    std::string host, MonotonicTime deadline) {
  boost::system::error_code not_literal;
  const asio::ip::address literal = asio::ip::make_address(host, not_literal);
  if (!not_literal) co_return Addresses{literal};

  const std::shared_ptr<State> state = state_;
  asio::any_io_executor executor = co_await asio::this_coro::executor;
  auto waiter = std::make_shared<Waiter>();
  waiter->event = AsyncEvent::Create(executor);
  MonotonicTime until;
  std::optional<absl::StatusOr<Addresses>> known = state->Join(host, waiter, deadline, &until);
  if (known.has_value()) co_return *std::move(known);
  co_await waiter->event->WaitUntil(until);
  const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
  const bool cancelled = cancellation.cancelled() != asio::cancellation_type::none;
  co_return state->Leave(host, waiter, cancelled);
}

absl::StatusOr<DnsResolver::Addresses> DnsResolver::SystemLookup(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("resolve '", host, "': ", ::gai_strerror(error)));
  }
  Addresses addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (entry->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
    endpoint.resize(entry->ai_addrlen);
    const asio::ip::address address = endpoint.address();
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) {
      addresses.push_back(address);
    }
  }
  ::freeaddrinfo(found);
  return addresses;
}

}  // namespace semaphore::client
