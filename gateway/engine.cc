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

// Whether a caller's own request id may be repeated in a log.
bool IsSafeId(const std::string& id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
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
  if (given == "interactive") return client::Priority::kInteractive;
  if (given == "batch") return client::Priority::kBatch;
  return client::InvalidFields(
      {{"x-priority",
        absl::StrCat("expected \"interactive\" or \"batch\", got ", client::Quote(given))}});
}

absl::StatusOr<std::shared_ptr<const Message>> Parse(const IncomingCall& call) {
  std::shared_ptr<Message> request(call.method->request_prototype->New());
  if (!request->ParseFromString(call.request)) {
    return client::InvalidFields(
        {{"request", absl::StrCat("the bytes are no ", request->GetDescriptor()->full_name(),
                                  ", or one of its texts is not UTF-8")}});
  }
  return request;
}

Answer Refusal(absl::Status status) {
  Answer answer;
  answer.status = std::move(status);
  return answer;
}

absl::Status Draining() {
  ErrorDetails details;
  details.retry_after = absl::Seconds(1);
  return MakeError(Reason::kGatewayDraining, "the gateway is shutting down; ask another replica",
                   details);
}

bool IsServerFault(absl::StatusCode code, std::string_view reason) {
  return code == absl::StatusCode::kInternal ||
         reason == client::ReasonName(Reason::kUpstreamTokenRejected);
}

// The same words for no, a wrong and a half token, so that nobody learns how near they were.
absl::Status Unauthenticated() {
  return MakeError(
      Reason::kCallerUnauthenticated,
      "the gateway does not know this caller; send `authorization: Bearer TOKEN` once, "
      "with a token that its operator gave you, or connect with a certificate that it "
      "knows");
}

// The same words whether there is such an organization or not.
absl::Status ForbiddenOrganization(const Caller& caller) {
  return MakeError(
      Reason::kCallerForbidden,
      absl::StrCat("the caller ", caller.name,
                   " may not use the organization that x-semaphore-organization names, or the "
                   "default one that is meant without it; it may use ",
                   absl::StrJoin(caller.organizations, ", ")));
}

absl::Status AuditIsFull() {
  ErrorDetails details;
  details.retry_after = absl::Seconds(1);
  return MakeError(Reason::kGatewayOverloaded,
                   "too many audit lines wait to be written; no change is made without its line",
                   details);
}

// Whom quotas and turns are counted for.
std::string QuotaNameOf(const IncomingCall& call) {
  if (call.caller != nullptr) return call.caller->name;
  return CallerOfPeer(call.peer.empty() ? call.peer_source() : call.peer);
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
  Prepared prepared;
  client::CallContext context;
  Done done;
};

Engine::Engine(Options options, asio::any_io_executor executor,
               const std::vector<Organization>& organizations, ReplyCache& cache,
               const client::Clock& clock, Metrics& metrics, CallLog& call_log, AuditLog& audit_log,
               const Authenticator* authenticator)
    : options_(options),
      executor_(std::move(executor)),
      organizations_(organizations),
      cache_(cache),
      clock_(clock),
      metrics_(metrics),
      call_log_(call_log),
      audit_log_(audit_log),
      authenticator_(authenticator),
      id_prefix_(client::MakeUuid().substr(0, 6)),
      caller_limits_(options.callers) {}

std::shared_ptr<OngoingCall> Engine::NewCall() const {
  return std::make_shared<OngoingCall>(executor_);
}

// ---- The path of a call

std::optional<Answer> Engine::AnswerNow(IncomingCall& call, Prepared& prepared) {
  metrics_.CallStarted(call.method->index);
  call.request_id = RequestId(call.request_id);
  call.traceparent = TraceParent(call.traceparent);
  absl::Status refused = draining_ ? Draining() : Admit(call);
  if (call.method->IsChange()) {
    call.audited = audit_log_.Reserve(/*refused=*/!refused.ok());
    if (!call.audited) refused = AuditIsFull();
  }
  if (!refused.ok()) return Conclude(call, prepared, Refusal(std::move(refused)));
  const absl::StatusOr<const Organization*> organization = FindOrganization(call.organization);
  if (!organization.ok()) return Conclude(call, prepared, Refusal(organization.status()));
  prepared.organization = *organization;
  refused = call.unreadable;
  if (refused.ok() && !call.cache_control.empty()) {
    const absl::StatusOr<CacheDirectives> directives = ParseCacheControl(call.cache_control);
    refused = directives.status();
    if (directives.ok()) prepared.directives = *directives;
  }
  if (refused.ok() && !call.priority.empty()) {
    const absl::StatusOr<client::Priority> priority = PriorityOf(call.priority);
    refused = priority.status();
    if (priority.ok()) prepared.priority = *priority;
  }
  if (refused.ok() && call.method->call.has_cache()) {
    if (std::optional<Answer> kept = AnswerFromCache(call, prepared)) {
      return Conclude(call, prepared, *std::move(kept));
    }
  }
  if (refused.ok()) {
    absl::StatusOr<std::shared_ptr<const Message>> request = Parse(call);
    refused = request.status();
    if (request.ok()) prepared.request = *std::move(request);
  }
  if (refused.ok()) refused = client::ValidateRequest(*call.method, *prepared.request);
  if (refused.ok()) return std::nullopt;
  return Conclude(call, prepared, Refusal(std::move(refused)));
}

absl::Status Engine::Admit(IncomingCall& call) {
  if (authenticator_ == nullptr) return absl::OkStatus();
  Authenticator::Verdict verdict = authenticator_->Authenticate(call.credentials);
  call.credentials = {};  // nobody needs them any more
  if (verdict.caller == nullptr) {
    metrics_.CallerRefused(static_cast<size_t>(verdict.refusal));
    return Unauthenticated();
  }
  call.caller = std::move(verdict.caller);
  return CheckMayCall(call);
}

absl::Status Engine::CheckMayCall(const IncomingCall& call) {
  const Caller& caller = *call.caller;
  if (!caller.MayCall(call.method->index)) {
    metrics_.CallerRefused(static_cast<size_t>(CallerRefusal::kMethod));
    return MakeError(Reason::kCallerForbidden,
                     absl::StrCat("the caller ", caller.name, " may not call ",
                                  call.method->full_name, "; who runs the gateway decides that"));
  }
  if (caller.organizations.empty()) return absl::OkStatus();
  const absl::StatusOr<const Organization*> organization = FindOrganization(call.organization);
  if (organization.ok() && caller.MayUse((*organization)->name)) return absl::OkStatus();
  metrics_.CallerRefused(static_cast<size_t>(CallerRefusal::kOrganization));
  return ForbiddenOrganization(caller);
}

absl::Status Engine::CheckCredentials(const Credentials& credentials) {
  if (authenticator_ == nullptr) return absl::OkStatus();
  const Authenticator::Verdict verdict = authenticator_->Authenticate(credentials);
  if (verdict.caller != nullptr) return absl::OkStatus();
  metrics_.CallerRefused(static_cast<size_t>(verdict.refusal));
  return Unauthenticated();
}

// What is kept was once asked for with the same request, so the request need not be validated.
std::optional<Answer> Engine::AnswerFromCache(const IncomingCall& call, Prepared& prepared) {
  const client::MethodSpec& method = *call.method;
  thread_local std::vector<std::unique_ptr<Message>> scratch;
  const auto index = static_cast<size_t>(method.index);
  if (scratch.size() <= index) scratch.resize(index + 1);
  if (scratch[index] == nullptr) scratch[index].reset(method.request_prototype->New());
  Message& request = *scratch[index];
  if (!request.ParseFromString(call.request) || !IsCacheable(method, request)) return std::nullopt;
  request.DiscardUnknownFields();
  thread_local std::string key;
  key.clear();
  ReplyCache::AppendKey(prepared.organization->name, "", method, request, key);
  bool needs_refresh = false;
  std::optional<ReplyCache::Answer> kept = cache_.Find(key, prepared.directives, needs_refresh);
  if (!kept || needs_refresh) prepared.key = key;
  if (!kept) return std::nullopt;
  if (needs_refresh) {
    Prepared refresh = prepared;
    refresh.priority = client::Priority::kBatch;
    const std::shared_ptr<Message> copy(request.New());
    copy->CopyFrom(request);
    refresh.request = copy;
    cache_.Refresh(ReadCallOf(call, refresh));
  }
  return Answer{.status = std::move(kept->status),
                .reply = std::move(kept->reply),
                .cache = kept->cache,
                .age = kept->age,
                .fresh_for = kept->fresh_for,
                .request_id = {}};
}

void Engine::Start(IncomingCall call, Prepared prepared, std::shared_ptr<OngoingCall> ongoing,
                   Done done) {
  const int64_t others = in_flight_.fetch_add(1);
  const auto bytes = static_cast<int64_t>(call.request.size());
  const int64_t queued = queued_bytes_.fetch_add(bytes) + bytes;
  absl::Status refused = CheckRoom(others, queued);
  // Of reads that may be kept only those are charged that lead to a request.
  if (refused.ok() && prepared.key.empty()) refused = ChargeCaller(QuotaNameOf(call));
  if (!refused.ok()) return Finish(call, prepared, Refusal(std::move(refused)), done);

  auto running = std::make_shared<Running>();
  running->context.deadline = OwnDeadline(call);
  running->context.traceparent = call.traceparent;
  running->context.turn = {.priority = prepared.priority, .caller = QuotaNameOf(call)};
  running->context.fresh = prepared.directives.no_cache;
  running->prepared = std::move(prepared);
  running->call = std::move(call);
  running->done = std::move(done);
  const std::shared_ptr<OngoingCall::Strand>& strand = ongoing->strand_;
  asio::post(strand->executor, [this, ongoing = std::move(ongoing),
                                running = std::move(running)]() mutable {
    if (ongoing->strand_->cancelled) {
      return Finish(running->call, running->prepared,
                    Refusal(MakeError(Reason::kCancelled, "the caller went away")), running->done);
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
  const Prepared& prepared = running->prepared;
  Answer answer;
  if (!prepared.key.empty()) {
    ReplyCache::ReadCall read = ReadCallOf(running->call, prepared);
    read.context = running->context;
    ReplyCache::Answer found = co_await cache_.Read(std::move(read));
    answer.status = std::move(found.status);
    answer.reply = std::move(found.reply);
    answer.cache = found.cache;
    answer.age = found.age;
    answer.fresh_for = found.fresh_for;
  } else {
    client::CallResult result =
        co_await prepared.organization->upstream->Call(method, prepared.request, running->context);
    // Whatever came back: it may have been carried out.
    if (!method.IsRead() && result.may_have_arrived) {
      cache_.Invalidate(prepared.organization->name, method, *prepared.request);
    }
    answer.status = std::move(result.status);
    answer.reply = std::make_shared<const std::string>(std::move(result.reply));
    answer.age = result.age;
    answer.cache = !method.IsRead() || prepared.directives.no_cache ? "bypass" : "miss";
  }
  Finish(running->call, prepared, std::move(answer), running->done);
}

void Engine::Finish(const IncomingCall& call, const Prepared& prepared, Answer answer,
                    const Done& done) {
  in_flight_.fetch_sub(1);
  queued_bytes_.fetch_sub(static_cast<int64_t>(call.request.size()));
  if (draining_) {
    const std::lock_guard lock(idle_mutex_);
    idle_.notify_all();
  }
  answer.quota = caller_limits_.Look(QuotaNameOf(call), clock_.Now());
  done(Conclude(call, prepared, std::move(answer)));
}

Answer Engine::Conclude(const IncomingCall& call, const Prepared& prepared, Answer answer) {
  const std::string_view organization =
      prepared.organization == nullptr ? std::string_view() : prepared.organization->name;
  answer.request_id = call.request_id;
  const std::chrono::nanoseconds duration = clock_.Now() - call.started;
  metrics_.CallHandled(call.method->index, static_cast<int>(answer.status.code()), duration);
  metrics_.CacheAnswered(call.method->index, answer.cache);
  metrics_.CallerAnswered(call.caller == nullptr ? Metrics::kAnonymousCaller : call.caller->slot);
  CallRecord record{.method = call.method->full_name,
                    .caller = call.caller == nullptr ? std::string_view() : call.caller->name,
                    .organization = organization,
                    .code = "OK",
                    .reason = {},
                    .message = {},
                    .cache = answer.cache,
                    .request_id = answer.request_id,
                    .traceparent = call.traceparent,
                    .peer = {},
                    .duration = duration,
                    .failed = !answer.status.ok(),
                    .server_fault = false,
                    .change = !call.method->IsRead()};
  const auto peer = [&call] { return call.peer.empty() ? call.peer_source() : call.peer; };
  if (answer.status.ok()) {
    call_log_.Record(record, peer);
    if (call.audited) Audit(call, prepared, record);
    return answer;
  }
  answer.status = client::WithMethod(std::move(answer.status), call.method->full_name);
  const auto info = client::GetErrorInfo(answer.status);
  const std::string code = absl::StatusCodeToString(answer.status.code());
  const std::string reason = info ? info->reason() : "";
  record.code = code;
  record.reason = reason;
  record.server_fault = IsServerFault(answer.status.code(), reason);
  record.message = client::ToStd(answer.status.message());
  call_log_.Record(record, peer);
  if (call.audited) Audit(call, prepared, record);
  return answer;
}

void Engine::Audit(const IncomingCall& call, const Prepared& prepared, const CallRecord& record) {
  const std::string peer = call.peer.empty() ? call.peer_source() : call.peer;
  audit_log_.Write({.method = call.method,
                    .request = prepared.request.get(),
                    .caller = record.caller.empty() ? "anonymous" : record.caller,
                    .organization = record.organization,
                    .code = record.code,
                    .reason = record.reason,
                    .request_id = record.request_id,
                    .peer = peer});
}

void Engine::Drain(absl::Duration grace) {
  BeginDrain();
  std::unique_lock lock(idle_mutex_);
  idle_.wait_for(lock, absl::ToChronoNanoseconds(grace), [this] { return in_flight_ == 0; });
}

// ---- Its steps
// ----------------------------------------------------------------------------------------------------

// Unique, and cheap to make: who needs an unguessable one brings it.
std::string Engine::RequestId(const std::string& given) {
  if (IsSafeId(given)) return given;
  return absl::StrCat(id_prefix_, "-", absl::Hex(ids_made_.fetch_add(1), absl::kZeroPad8));
}

ReplyCache::ReadCall Engine::ReadCallOf(const IncomingCall& call, const Prepared& prepared) {
  ReplyCache::ReadCall read;
  read.target = {.organization = prepared.organization->name,
                 .upstream = prepared.organization->upstream};
  read.method = call.method;
  read.request = prepared.request;
  read.key = prepared.key;
  read.directives = prepared.directives;
  const std::string caller = QuotaNameOf(call);
  read.context.traceparent = call.traceparent;
  read.context.turn = {.priority = prepared.priority, .caller = caller};
  read.charge = [this, caller] { return ChargeCaller(caller); };
  return read;
}

absl::Status Engine::CheckRoom(int64_t others, int64_t queued_bytes) const {
  if (draining_) return Draining();
  ErrorDetails details;
  details.retry_after = absl::Seconds(1);
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

client::MonotonicTime Engine::OwnDeadline(const IncomingCall& call) const {
  const absl::Duration given = call.deadline == client::MonotonicTime::max()
                                   ? options_.default_deadline
                                   : absl::FromChrono(call.deadline - call.started);
  const absl::Duration most = std::min(given, options_.max_deadline);
  const absl::Duration reserve = std::max(kLeastReserve, most * kReserveShare);
  return call.started + absl::ToChronoNanoseconds(most - reserve);
}

}  // namespace semaphore::gateway
