#include "client/upstream.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/error.h"
#include "client/field_mask.h"
#include "client/functions.h"
#include "client/merge.h"
#include "client/pages.h"
#include "client/redact.h"
#include "client/reply.h"
#include "client/retry.h"
#include "client/string_view.h"
#include "client/upstream_error.h"
#include "client/uuid.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using google::protobuf::Message;
using MessagePtr = std::shared_ptr<const Message>;

constexpr int kMaxPageRequests =
    8;  // for one page of the caller's: a list that moves faster than that is refused
constexpr absl::Duration kDefaultRetryDelay = absl::Seconds(1);

// A 2xx was read but its body makes no sense: for a change that cannot be repeated, nobody knows
// what it did.
absl::Status Undecodable(const MethodSpec& spec, const absl::Status& status,
                         const std::string& made_token, bool caller_token) {
  Attempt attempt;
  attempt.number = kMaxAttempts;
  attempt.status = status;
  attempt.may_have_arrived = true;
  return DecideRetry(spec, attempt, caller_token, 0).outcome_unknown
             ? OutcomeUnknown(spec, status, made_token)
             : status;
}

bool IsSuccess(int status) { return status >= 200 && status < 300; }

// A delete that may have been carried out by an earlier attempt finds nothing: that is what was
// asked for.
bool IsDeleteDone(const MethodSpec& spec, const HttpResult& result, bool arrived_before) {
  return spec.call.verb() == upstream::v1::VERB_DELETE && arrived_before && result.status.ok() &&
         EffectiveStatus(result.response) == 404;
}

}  // namespace

CallResult FailedCall(const MethodSpec& spec, absl::Status status,
                      const Upstream::Exchange& exchange) {
  CallResult result;
  result.status = WithMethod(std::move(status), spec.full_name);
  result.attempts = exchange.attempts;
  result.may_have_arrived = exchange.may_have_arrived;
  return result;
}

absl::Status OutcomeUnknown(const MethodSpec& spec, const absl::Status& cause,
                            const std::string& made_token) {
  ErrorDetails details;
  details.request_id = made_token;
  if (const auto info = GetErrorInfo(cause)) {
    const auto status = info->metadata().find("upstreamStatus");
    if (status != info->metadata().end())
      details.upstream_status = std::atoi(status->second.c_str());
    const auto message = info->metadata().find("upstreamMessage");
    if (message != info->metadata().end()) details.upstream_message = message->second;
  }
  return MakeError(
      Reason::kOutcomeUnknown,
      absl::StrCat(spec.name, " was sent to Semaphore but no clear answer came back (",
                   cause.message(), "): it may have happened; look before you repeat it",
                   made_token.empty() ? "" : ", or repeat it with the request_id in requestId"),
      details);
}

absl::StatusOr<std::unique_ptr<Upstream>> Upstream::Create(Options options,
                                                           const MethodTable& table,
                                                           HttpClient& http, Budget& budget,
                                                           const Clock& clock) {
  for (const std::unique_ptr<MethodSpec>& spec : table.methods()) {
    if (!spec->call.function().empty() && FindFunction(spec->call.function()) == nullptr) {
      return absl::InternalError(
          absl::StrCat(spec->full_name, ": no function ", spec->call.function()));
    }
  }
  return std::unique_ptr<Upstream>(new Upstream(std::move(options), table, http, budget, clock));
}

Upstream::Upstream(Options options, const MethodTable& table, HttpClient& http, Budget& budget,
                   const Clock& clock)
    : options_(std::move(options)),
      table_(table),
      http_(http),
      budget_(budget),
      clock_(clock),
      circuit_(options_.circuit),
      retries_(options_.retries) {}

asio::awaitable<CallResult> Upstream::Call(const MethodSpec& spec, MessagePtr request,
                                           CallContext context) {
  // Every wait below looks at its own result; an exception in the middle would lose what is known
  // by then.
  co_await asio::this_coro::throw_if_cancelled(false);
  job_logs_.Expire(clock_.Now());
  if (const Function function = FindFunction(spec.call.function())) {
    co_return co_await function(*this, spec, std::move(request), std::move(context));
  }
  if (spec.merge_from != nullptr) {
    co_return co_await CallMerged(*this, spec, std::move(request), std::move(context));
  }
  if (spec.IsPaged()) co_return co_await CallPage(spec, std::move(request), std::move(context));
  co_return co_await CallPlain(spec, std::move(request), std::move(context));
}

asio::awaitable<CallResult> Upstream::CallPlain(const MethodSpec& spec, MessagePtr request,
                                                CallContext context,
                                                std::function<void(EncodedRequest&)> adjust) {
  co_await asio::this_coro::throw_if_cancelled(false);
  SendOptions send;
  bool caller_token = false;
  if (spec.token_field != nullptr) {
    caller_token = !request->GetReflection()->GetString(*request, spec.token_field).empty();
    if (!caller_token) {
      send.made_token = MakeUuid();
      const std::shared_ptr<Message> completed(request->New());
      completed->CopyFrom(*request);
      completed->GetReflection()->SetString(completed.get(), spec.token_field, send.made_token);
      request = completed;
    }
  }
  send.request = request;
  const std::string made_token = send.made_token;
  std::vector<std::string> changed;
  const bool partial = spec.mask_field != nullptr && spec.merge_from == nullptr;
  if (partial) changed = *ChangedPaths(spec, *request);  // validated with the request
  EncodedRequest encoded = EncodeRequest(spec, *request, partial ? &changed : nullptr);
  if (adjust) adjust(encoded);
  HttpRequest http = ToHttp(spec, encoded);
  Exchange exchange = co_await Send(spec, std::move(http), context, std::move(send));
  if (!exchange.status.ok()) co_return FailedCall(spec, exchange.status, exchange);
  Drift drift;
  const std::unique_ptr<Message> reply(spec.reply_prototype->New());
  const absl::Status decoded = DecodeReply(spec, exchange.response.body, *request, drift, *reply);
  Observe(spec, drift);
  if (!decoded.ok())
    co_return FailedCall(spec, Undecodable(spec, decoded, made_token, caller_token), exchange);
  CallResult result;
  result.attempts = exchange.attempts;
  result.may_have_arrived = exchange.may_have_arrived;
  reply->SerializeToString(&result.reply);
  co_return result;
}

asio::awaitable<CallResult> Upstream::CallPage(const MethodSpec& spec, MessagePtr request,
                                               CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const google::protobuf::Reflection* reflection = request->GetReflection();
  const std::string binding = PageBinding(spec, options_.organization, *request);
  const std::string token = reflection->GetString(*request, spec.page_token);
  PagePosition position;
  if (!token.empty()) {
    absl::StatusOr<PagePosition> decoded = DecodePageToken(token, binding);
    if (!decoded.ok()) {
      co_return FailedCall(
          spec, InvalidFields({{"page_token", std::string(decoded.status().message())}}));
    }
    position = *std::move(decoded);
  }
  const int32_t page_size = reflection->GetInt32(*request, spec.page_size);
  Exchange total;
  for (int i = 0; i < kMaxPageRequests; ++i) {
    const PageQuery query = PlanPage(spec.call.pages(), page_size, position);
    EncodedRequest encoded = EncodeRequest(spec, *request);
    if (position.pin_seconds != 0) {
      std::erase_if(encoded.query, [](const auto& pair) { return pair.first == "created_before"; });
      encoded.query.emplace_back("created_before", absl::StrCat(position.pin_seconds));
    }
    encoded.query.insert(encoded.query.end(), query.parameters.begin(), query.parameters.end());
    HttpRequest http = ToHttp(spec, encoded);
    SendOptions send;
    Exchange exchange = co_await Send(spec, std::move(http), context, std::move(send));
    total.attempts += exchange.attempts;
    total.may_have_arrived |= exchange.may_have_arrived;
    if (!exchange.status.ok()) co_return FailedCall(spec, exchange.status, total);
    Drift drift;
    const std::unique_ptr<Message> reply(spec.reply_prototype->New());
    const absl::StatusOr<PageVerdict> verdict =
        DecodePage(spec, exchange.response.body, query,
                   ReadPageHeaders(spec.call.pages().dialect(), exchange.response), drift, *reply);
    Observe(spec, drift);
    if (!verdict.ok()) co_return FailedCall(spec, verdict.status(), total);
    std::optional<PagePosition> next = verdict->next;
    if (verdict->again) {
      position = *verdict->again;
      // A long run of empty upstream pages becomes an empty page with a token, which goes on; a
      // list that moves under the walk might never come to rest.
      const bool advances = spec.call.pages().dialect() != upstream::v1::DIALECT_LINK_HEADER;
      if (!advances || i + 1 < kMaxPageRequests) continue;
      next = position;
    }
    if (next) {
      reply->GetReflection()->SetString(reply.get(), spec.next_page_token,
                                        EncodePageToken(*next, binding));
    }
    CallResult result;
    result.attempts = total.attempts;
    result.may_have_arrived = total.may_have_arrived;
    reply->SerializeToString(&result.reply);
    co_return result;
  }
  co_return FailedCall(
      spec,
      MakeError(Reason::kUpstreamMalformedResponse,
                "the list changes faster than it can be read; narrow the filters or start again"),
      total);
}

asio::awaitable<absl::StatusOr<ResourceLocks::Held>> Upstream::Lock(std::string resource,
                                                                    MonotonicTime deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  ResourceLocks::Held held = co_await locks_.Acquire(std::move(resource), deadline);
  if (held) co_return std::move(held);
  const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
  const bool left = cancellation.cancelled() != asio::cancellation_type::none;
  co_return left
      ? MakeError(Reason::kCancelled, "the caller went away")
      : MakeError(Reason::kDeadline, "out of time while another change of it was under way");
}

asio::awaitable<Upstream::Exchange> Upstream::Send(const MethodSpec& spec, HttpRequest request,
                                                   CallContext context, SendOptions options) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Exchange exchange;
  std::string token = options.secret;
  if (options.authorize) {
    absl::StatusOr<std::string> current = options_.token();
    if (!current.ok()) {
      exchange.status =
          MakeError(Reason::kUpstreamTokenRejected,
                    absl::StrCat("the gateway has no API token: ", current.status().message()));
      co_return exchange;
    }
    token = *std::move(current);
    request.authorization = absl::StrCat("Token ", token);
  }
  request.traceparent = context.traceparent;
  const bool caller_token = spec.token_field != nullptr && options.made_token.empty();
  bool in_doubt = false;
  for (int number = 1;; ++number) {
    HttpRequest attempt_request = request;
    if (options.before_each) options.before_each(attempt_request);
    HttpResult result = co_await TryOnce(spec, std::move(attempt_request), context, number == 1);
    exchange.attempts = number;
    const bool arrived_before = exchange.may_have_arrived;
    exchange.may_have_arrived |= result.may_have_arrived;
    if (IsDeleteDone(spec, result, arrived_before)) {
      exchange.status = absl::OkStatus();
      co_return exchange;
    }
    Redact(result.response, token);
    Attempt attempt;
    attempt.number = number;
    attempt.status = StatusOf(result, options);
    attempt.cause = result.cause;
    attempt.may_have_arrived = result.may_have_arrived;
    attempt.earlier_in_doubt = in_doubt;
    if (attempt.status.ok()) {
      exchange.status = absl::OkStatus();
      exchange.response = std::move(result.response);
      co_return exchange;
    }
    if (result.cause == HttpCause::kNone) {
      attempt.http_status = EffectiveStatus(result.response);
      attempt.retry_after = RetryAfter(result.response, clock_.WallNow());
    }
    RetryVerdict verdict = DecideRetry(spec, attempt, caller_token, options_.random());
    in_doubt = verdict.in_doubt;
    const MonotonicTime next = clock_.Now() + absl::ToChronoNanoseconds(verdict.delay);
    bool slept = false;
    if (verdict.retry && next < context.deadline && MayRetry()) {
      options_.observer.retry(verdict.reason);
      slept = co_await options_.sleeper(next);
    }
    if (slept) continue;
    // Nothing more is tried: what was sent so far decides what the caller is told.
    attempt.number = kMaxAttempts;
    verdict = DecideRetry(spec, attempt, caller_token, 0);
    exchange.status = verdict.outcome_unknown
                          ? OutcomeUnknown(spec, attempt.status, options.made_token)
                          : attempt.status;
    exchange.response = std::move(result.response);
    co_return exchange;
  }
}

// One attempt: circuit, turn, and on the way the token; what came of it is learned from.
asio::awaitable<HttpResult> Upstream::TryOnce(const MethodSpec& spec, HttpRequest request,
                                              CallContext context, bool first) {
  co_await asio::this_coro::throw_if_cancelled(false);
  HttpResult refused;
  refused.stage = HttpStage::kSlot;
  refused.cause = HttpCause::kRefused;
  refused.status = AskCircuit(true).status();
  if (!refused.status.ok()) co_return refused;
  absl::StatusOr<Budget::Pass> pass =
      co_await budget_.Enter(context.turn, context.deadline, context.shared_turn);
  if (!pass.ok()) {
    refused.status = pass.status();
    co_return refused;
  }
  // It may have opened during the wait.
  const absl::StatusOr<CircuitBreaker::Verdict> admission = AskCircuit(false);
  if (!admission.ok()) {
    refused.status = admission.status();
    co_return refused;
  }
  request.admit = [this, &pass](MonotonicTime deadline) { return budget_.Charge(*pass, deadline); };
  // Only what is sent earns retries: refused calls are no load that retries would be a share of.
  if (first) {
    const std::lock_guard lock(mutex_);
    retries_.OnRequest();
  }
  const MonotonicTime start = clock_.Now();
  HttpResult result = co_await http_.Send(std::move(request), context.deadline);
  const MonotonicDuration took = clock_.Now() - start;
  options_.observer.attempt({spec, result.response.status, result.cause, absl::FromChrono(took)});
  JudgeAttempt(spec, result, took, *admission);
  co_return result;
}

// UPSTREAM_CIRCUIT_OPEN with RetryInfo when upstream is not to be asked. `only_look` takes no
// probe's place.
absl::StatusOr<CircuitBreaker::Verdict> Upstream::AskCircuit(bool only_look) {
  const std::lock_guard lock(mutex_);
  const MonotonicTime now = clock_.Now();
  if (only_look && circuit_.GetState(now) != CircuitBreaker::State::kOpen) {
    return CircuitBreaker::Verdict{};
  }
  const CircuitBreaker::Verdict verdict = circuit_.Ask(now);
  if (verdict.admitted) return verdict;
  ErrorDetails details;
  details.retry_after = absl::FromChrono(verdict.retry_after);
  return MakeError(Reason::kUpstreamCircuitOpen,
                   "Semaphore failed most of the last requests, so it is left alone for a while",
                   details);
}

void Upstream::JudgeAttempt(const MethodSpec& spec, const HttpResult& result,
                            MonotonicDuration waited, const CircuitBreaker::Verdict& admission) {
  const int status = result.cause == HttpCause::kNone ? result.response.status : 0;
  if (status == 429 || status == 503) {
    budget_.OnThrottled(RetryAfter(result.response, clock_.WallNow()));
  }
  CircuitBreaker::Outcome outcome = CircuitBreaker::Judge(result.cause, status, waited);
  // Changes get a 500 for the caller's mistakes as well, such as an unknown promotion parameter
  // (facts §5.3); one caller must not close the gate for all.
  if (status == 500 && !spec.IsRead()) outcome = CircuitBreaker::Outcome::kIgnored;
  std::unique_lock lock(mutex_);
  const MonotonicTime now = clock_.Now();
  circuit_.Record(now, outcome, admission);
  const CircuitBreaker::State state = circuit_.GetState(now);
  if (std::exchange(circuit_state_, state) == state) return;
  lock.unlock();
  options_.observer.circuit(state);
}

bool Upstream::MayRetry() {
  const std::lock_guard lock(mutex_);
  return retries_.TryRetry();
}

Upstream::Health Upstream::GetHealth() const {
  const std::lock_guard lock(mutex_);
  return {.circuit = circuit_.GetState(clock_.Now()),
          .circuit_stats = circuit_.GetStats(),
          .retries_available = retries_.Available(),
          .retry_stats = retries_.GetStats()};
}

HttpRequest Upstream::ToHttp(const MethodSpec& spec, const EncodedRequest& encoded) const {
  HttpRequest request;
  request.method = encoded.verb;
  request.target = absl::StrCat(options_.base_path, "/", encoded.Target());
  request.content_type = encoded.content_type;
  request.body = encoded.body;
  request.repeatable = spec.IsRead();
  return request;
}

void Upstream::Observe(const MethodSpec& spec, const Drift& drift) const {
  if (drift.unknown_fields + drift.unknown_words > 0) options_.observer.drift(spec, drift);
}

// The status of one attempt: of the connection, or of the reply's code.
absl::Status Upstream::StatusOf(const HttpResult& result, const SendOptions& options) const {
  ErrorDetails details;
  details.upstream_status = result.response.status;
  const absl::string_view what = result.status.message();
  switch (result.cause) {
    case HttpCause::kNone:
      break;
    case HttpCause::kDeadline:
      return MakeError(Reason::kDeadline, absl::StrCat("out of time: ", what));
    case HttpCause::kCancelled:
      return MakeError(Reason::kCancelled, "the caller went away");
    case HttpCause::kMalformed:
      if (GetErrorInfo(result.status)) return result.status;
      return MakeError(Reason::kUpstreamMalformedResponse,
                       absl::StrCat("Semaphore's reply is no HTTP: ", what), details);
    case HttpCause::kTooLarge:
      return MakeError(Reason::kUpstreamResponseTooLarge,
                       absl::StrCat("Semaphore's reply is too large: ", what), details);
    case HttpCause::kRefused:
      if (GetErrorInfo(result.status)) return result.status;
      if (absl::IsResourceExhausted(result.status)) {
        details.retry_after = kDefaultRetryDelay;
        return MakeError(Reason::kGatewayOverloaded,
                         absl::StrCat("too many calls wait for Semaphore: ", what), details);
      }
      return MakeError(Reason::kGatewayError,
                       what.empty() ? "the request was refused" : ToStd(what));
    default:
      details.retry_after = kDefaultRetryDelay;
      return MakeError(Reason::kUpstreamUnavailable,
                       absl::StrCat("Semaphore cannot be reached: ", what), details);
  }
  if (!result.status.ok()) return result.status;
  const int status = result.response.status;
  if (IsSuccess(status) || (status == 302 && options.accept_redirect)) return absl::OkStatus();
  return StatusFromReply(
      result.response, clock_.WallNow(),
      options.request ? SecretsOf(*options.request) : std::vector<std::string>());
}

// Upstream has no reason to repeat our token; should it ever, it goes no further. A JSON body is
// written anew first, so that no escape hides the token.
void Upstream::Redact(HttpResponse& response, const std::string& secret) const {
  if (secret.empty() || IsSuccess(response.status)) return;
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(response.body, error);
  std::string body = error ? response.body : boost::json::serialize(value);
  if (absl::StrReplaceAll({{secret, "[redacted]"}}, &body) > 0) response.body = std::move(body);
}

}  // namespace semaphore::client
