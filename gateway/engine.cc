#include "gateway/engine.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/error.h"
#include "client/quote.h"
#include "client/string_view.h"
#include "client/uuid.h"
#include "client/validate.h"

namespace semaphore::gateway {

namespace asio = boost::asio;
using client::ErrorDetails;
using client::MakeError;
using client::Reason;
using google::protobuf::Message;

namespace {

// Taken from the caller's time so that the answer still arrives in it.
constexpr absl::Duration kLeastReserve = absl::Milliseconds(20);
constexpr double kReserveShare = 0.05;

// Ours, unless the caller brought one that is safe to repeat in a log.
std::string RequestId(const std::string& given) {
  const bool safe = !given.empty() && given.size() <= 64 &&
                    std::all_of(given.begin(), given.end(), [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
                    });
  return safe ? given : client::MakeUuid();
}

// W3C trace context, version 00 or later: hexadecimal digits and dashes. Anything else is not sent
// on.
std::string TraceParent(const std::string& given) {
  const bool valid = given.size() >= 55 && given.size() <= 128 &&
                     std::all_of(given.begin(), given.end(), [](unsigned char c) {
                       return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f') || c == '-';
                     });
  return valid ? given : "";
}

absl::StatusOr<client::Priority> PriorityOf(const std::string& given) {
  if (given.empty() || given == "interactive") return client::Priority::kInteractive;
  if (given == "batch") return client::Priority::kBatch;
  return client::InvalidFields(
      {{"x-priority",
        absl::StrCat("expected \"interactive\" or \"batch\", got ", client::Quote(given))}});
}

bool IsServerFault(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInternal ||
         status.code() == absl::StatusCode::kUnauthenticated;
}

}  // namespace

struct OngoingCall::Strand {
  explicit Strand(const asio::any_io_executor& base) : executor(asio::make_strand(base)) {}
  asio::strand<asio::any_io_executor> executor;
  asio::cancellation_signal signal;  // used on the executor only
  bool cancelled = false;            // likewise: a signal before the call has begun reaches nobody
};

OngoingCall::OngoingCall(const asio::any_io_executor& executor)
    : strand_(std::make_shared<Strand>(executor)) {}
OngoingCall::~OngoingCall() = default;

void OngoingCall::Cancel() {
  asio::post(strand_->executor, [strand = strand_] {
    strand->cancelled = true;
    strand->signal.emit(asio::cancellation_type::terminal);
  });
}

struct Engine::Running {
  IncomingCall call;
  const Organization* organization;
  std::shared_ptr<const Message> request;
  client::CallContext context;
  Done done;
};

Engine::Engine(Options options, asio::any_io_executor executor,
               const std::vector<Organization>& organizations, const client::Clock& clock,
               Metrics& metrics, CallLog& call_log)
    : options_(options),
      executor_(std::move(executor)),
      organizations_(organizations),
      clock_(clock),
      metrics_(metrics),
      call_log_(call_log),
      caller_limits_(options.callers) {}

std::shared_ptr<OngoingCall> Engine::NewCall() const {
  return std::make_shared<OngoingCall>(executor_);
}

// ---- The path of a call
// -------------------------------------------------------------------------------------------

void Engine::Start(IncomingCall call, std::shared_ptr<OngoingCall> ongoing, Done done) {
  metrics_.CallStarted(call.method->index);
  call.request_id = RequestId(call.request_id);
  call.traceparent = TraceParent(call.traceparent);
  const int64_t others = in_flight_.fetch_add(1);
  const auto bytes = static_cast<int64_t>(call.request.size());
  const int64_t queued = queued_bytes_.fetch_add(bytes) + bytes;

  Answer refusal;
  std::string_view organization_name;
  const absl::StatusOr<const Organization*> organization = FindOrganization(call.organization);
  if (organization.ok()) organization_name = (*organization)->name;
  absl::StatusOr<std::shared_ptr<const Message>> request = absl::UnknownError("not parsed");
  const absl::StatusOr<client::Priority> priority = PriorityOf(call.priority);
  const std::string caller = CallerOfPeer(call.peer);
  refusal.status = CheckRoom(others, queued);
  if (refusal.status.ok()) refusal.status = organization.status();
  if (refusal.status.ok()) refusal.status = priority.status();
  if (refusal.status.ok()) {
    request = Parse(call);
    refusal.status = request.status();
  }
  if (refusal.status.ok()) refusal.status = client::ValidateRequest(*call.method, **request);
  if (refusal.status.ok()) refusal.status = ChargeCaller(caller);
  if (!refusal.status.ok()) return Finish(call, organization_name, std::move(refusal), done);

  auto running = std::make_shared<Running>();
  running->organization = *organization;
  running->request = *std::move(request);
  running->context.deadline = OwnDeadline(call);
  running->context.traceparent = call.traceparent;
  running->context.turn = {.priority = *priority, .caller = caller};
  running->call = std::move(call);
  running->done = std::move(done);
  const std::shared_ptr<OngoingCall::Strand>& strand = ongoing->strand_;
  asio::post(strand->executor, [this, ongoing = std::move(ongoing),
                                running = std::move(running)]() mutable {
    if (ongoing->strand_->cancelled) {
      Answer answer;
      answer.status = MakeError(Reason::kCancelled, "the caller went away");
      return Finish(running->call, running->organization->name, std::move(answer), running->done);
    }
    // The handler keeps the signal alive as long as the coroutine may look at its slot.
    asio::co_spawn(ongoing->strand_->executor, Run(std::move(running)),
                   asio::bind_cancellation_slot(ongoing->strand_->signal.slot(),
                                                [ongoing](const std::exception_ptr&) {}));
  });
}

asio::awaitable<void> Engine::Run(std::shared_ptr<Running> running) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const client::MethodSpec& method = *running->call.method;
  client::CallResult result =
      co_await running->organization->upstream->Call(method, running->request, running->context);
  Answer answer;
  answer.status = std::move(result.status);
  answer.reply = std::move(result.reply);
  answer.age = result.age;
  const bool asks_fresh = absl::StrContains(running->call.cache_control, "no-cache");
  answer.cache = result.kept ? "hit" : !method.IsRead() || asks_fresh ? "bypass" : "miss";
  Finish(running->call, running->organization->name, std::move(answer), running->done);
}

void Engine::Finish(const IncomingCall& call, std::string_view organization, Answer answer,
                    const Done& done) {
  in_flight_.fetch_sub(1);
  queued_bytes_.fetch_sub(static_cast<int64_t>(call.request.size()));
  if (draining_) {
    const std::lock_guard lock(idle_mutex_);
    idle_.notify_all();
  }
  answer.status = client::WithMethod(std::move(answer.status), call.method->full_name);
  answer.request_id = call.request_id;
  const std::chrono::nanoseconds duration = clock_.Now() - call.started;
  metrics_.CallHandled(call.method->index, static_cast<int>(answer.status.code()), duration);
  const auto info = client::GetErrorInfo(answer.status);
  const std::string code = absl::StatusCodeToString(answer.status.code());
  const std::string reason = info ? info->reason() : "";
  call_log_.Record({.method = call.method->full_name,
                    .organization = organization,
                    .code = code,
                    .reason = reason,
                    .message = client::ToStd(answer.status.message()),
                    .cache = answer.cache,
                    .request_id = answer.request_id,
                    .traceparent = call.traceparent,
                    .peer = call.peer,
                    .duration = duration,
                    .failed = !answer.status.ok(),
                    .server_fault = IsServerFault(answer.status),
                    .change = !call.method->IsRead()});
  done(std::move(answer));
}

void Engine::Drain(absl::Duration grace) {
  draining_ = true;
  std::unique_lock lock(idle_mutex_);
  idle_.wait_for(lock, absl::ToChronoNanoseconds(grace), [this] { return in_flight_ == 0; });
}

// ---- Its steps
// ----------------------------------------------------------------------------------------------------

absl::Status Engine::CheckRoom(int64_t others, int64_t queued_bytes) const {
  ErrorDetails details;
  details.retry_after = absl::Seconds(1);
  if (draining_) {
    return MakeError(Reason::kGatewayDraining, "the gateway is shutting down; ask another replica",
                     details);
  }
  if (others >= options_.max_concurrent_calls) {
    return MakeError(Reason::kGatewayOverloaded, "the gateway has too many calls in hand", details);
  }
  if (queued_bytes > options_.max_queued_bytes) {
    return MakeError(Reason::kGatewayOverloaded, "the gateway has too many bytes in hand", details);
  }
  return absl::OkStatus();
}

absl::Status Engine::ChargeCaller(const std::string& caller) {
  const std::optional<client::MonotonicDuration> wait = caller_limits_.Take(caller, clock_.Now());
  if (!wait) return absl::OkStatus();
  metrics_.CallerQuotaExhausted();
  ErrorDetails details;
  details.retry_after = absl::FromChrono(*wait);
  return MakeError(Reason::kCallerQuotaExhausted,
                   absl::StrCat("this caller's quota (", options_.callers.requests_per_second,
                                " calls/s) is spent; come back later"),
                   details);
}

absl::StatusOr<const Engine::Organization*> Engine::FindOrganization(
    const std::vector<std::string>& names) const {
  if (names.empty()) return &organizations_.front();
  if (names.size() > 1) {
    return MakeError(Reason::kUnknownOrganization,
                     "x-semaphore-organization was sent more than once");
  }
  for (const Organization& organization : organizations_) {
    if (organization.name == names.front()) return &organization;
  }
  return MakeError(
      Reason::kUnknownOrganization,
      absl::StrCat("no organization ", client::Quote(names.front()), " is configured; there are: ",
                   absl::StrJoin(organizations_, ", ",
                                 [](std::string* out, const Organization& organization) {
                                   absl::StrAppend(out, organization.name);
                                 })));
}

absl::StatusOr<std::shared_ptr<const Message>> Engine::Parse(const IncomingCall& call) const {
  std::shared_ptr<Message> request(call.method->request_prototype->New());
  if (!request->ParseFromString(call.request)) {
    return client::InvalidFields(
        {{"request", absl::StrCat("the bytes are no ", request->GetDescriptor()->full_name(),
                                  ", or one of its texts is not UTF-8")}});
  }
  return request;
}

client::MonotonicTime Engine::OwnDeadline(const IncomingCall& call) const {
  const absl::Duration given = call.deadline == client::MonotonicTime::max()
                                   ? options_.default_deadline
                                   : absl::FromChrono(call.deadline - call.started);
  const absl::Duration most = std::min(given, options_.max_deadline);
  const absl::Duration reserve = std::max(kLeastReserve, most * kReserveShare);
  return call.started + absl::ToChronoNanoseconds(most - reserve);
}

}  // namespace semaphore::gateway
