#include "client/functions.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/deployment_secrets.h"
#include "client/error.h"
#include "client/job_log.h"
#include "client/pages.h"
#include "client/quote.h"
#include "client/reply.h"
#include "client/string_view.h"
#include "client/upstream_error.h"
#include "client/validate.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/promotion.pb.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using google::protobuf::DynamicCastToGenerated;
using google::protobuf::Message;
using MessagePtr = std::shared_ptr<const Message>;

constexpr size_t kDefaultLogPage = 1000;
constexpr size_t kMaxLogPage = 10000;
constexpr size_t kMaxLogPageBytes = (3 << 20) - 256;  // of events; the rest is for the token
constexpr size_t kMaxLogBytes = 64 << 20;

CallResult Answered(const Message& reply, const Upstream::Exchange& exchange) {
  CallResult result;
  result.attempts = exchange.attempts;
  result.may_have_arrived = exchange.may_have_arrived;
  reply.SerializeToString(&result.reply);
  return result;
}

// The path and query of a hand-over to our own host's log service; "" for any other place. The
// query holds a token that is valid for five minutes, so the target is shown nowhere.
std::string HandOverTarget(std::string_view location, const std::string& host) {
  const std::string prefix = absl::StrCat("https://", host, "/api/v1/logs/");
  if (location.find_first_of(" \t\r\n") != std::string_view::npos) return "";
  if (!absl::StartsWithIgnoreCase(ToAbsl(location), prefix)) return "";
  return std::string(location.substr(prefix.size() - std::string_view("/api/v1/logs/").size()));
}

// The token in the query of a hand-over; "" if there is none.
std::string TokenOf(std::string_view target) {
  constexpr std::string_view kKey = "jwt=";
  const size_t at = target.find(kKey);
  if (at == std::string_view::npos) return "";
  const std::string_view rest = target.substr(at + kKey.size());
  return std::string(rest.substr(0, rest.find('&')));
}

// The log of one download; a new parser for each attempt.
struct Download {
  std::shared_ptr<JobLogParser> parser;
};

void AttachParser(Download& download, HttpRequest& request) {
  download.parser = std::make_shared<JobLogParser>();
  request.max_body_bytes = kMaxLogBytes;
  request.body_sink = [parser = download.parser](std::string_view chunk) {
    return parser->Write(chunk);
  };
}

struct FetchedLog {
  absl::Status status;
  std::shared_ptr<const JobLogEvents> events;
  Upstream::Exchange exchange;
};

// Reads the whole log, following the hand-over that self-hosted jobs answer with (facts §6).
asio::awaitable<FetchedLog> FetchLog(Upstream& upstream, const MethodSpec& spec, MessagePtr request,
                                     CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  FetchedLog fetched;
  const auto download = std::make_shared<Download>();
  Upstream::SendOptions options;
  options.accept_redirect = true;
  options.before_each = [download](HttpRequest& attempt) { AttachParser(*download, attempt); };
  const EncodedRequest encoded = EncodeRequest(spec, *request);
  HttpRequest http = upstream.ToHttp(spec, encoded);
  fetched.exchange = co_await upstream.Send(spec, std::move(http), context, std::move(options));
  if (fetched.exchange.status.ok() && fetched.exchange.response.status == 302) {
    HttpRequest handed_over;
    handed_over.method = "GET";
    handed_over.target =
        HandOverTarget(fetched.exchange.response.Header("location"), upstream.options().host);
    handed_over.repeatable = true;
    if (handed_over.target.empty()) {
      fetched.status =
          MakeError(Reason::kUpstreamMalformedResponse,
                    "Semaphore handed the job log over to another host, which is not followed");
      co_return fetched;
    }
    Upstream::SendOptions second;
    second.authorize = false;
    second.secret = TokenOf(handed_over.target);
    second.before_each = [download](HttpRequest& attempt) { AttachParser(*download, attempt); };
    const int attempts = fetched.exchange.attempts;
    fetched.exchange =
        co_await upstream.Send(spec, std::move(handed_over), context, std::move(second));
    fetched.exchange.attempts += attempts;
  }
  fetched.status = fetched.exchange.status;
  if (!fetched.status.ok()) co_return fetched;
  upstream.Observe(spec, download->parser->drift());
  absl::StatusOr<std::shared_ptr<const JobLogEvents>> events = download->parser->Finish();
  fetched.status = events.status();
  if (events.ok()) fetched.events = *std::move(events);
  co_return fetched;
}

std::string LogPage(const JobLogEvents& events, size_t first, int32_t page_size,
                    std::string_view binding) {
  const size_t wanted = page_size == 0 ? kDefaultLogPage : std::min<size_t>(page_size, kMaxLogPage);
  size_t end = 0;
  std::string page = events.Page(first, wanted, kMaxLogPageBytes, end);
  v1::JobLog rest;
  if (end < events.size()) {
    PagePosition next;
    next.offset = end;
    rest.set_next_page_token(EncodePageToken(next, binding));
  }
  rest.set_complete(events.complete() && end == events.size());
  rest.AppendToString(&page);
  return page;
}

// Where a page starts; INVALID_FIELD for a token that is none of this list.
absl::StatusOr<PagePosition> PageStart(const std::string& token, std::string_view binding) {
  if (token.empty()) return PagePosition{};
  absl::StatusOr<PagePosition> position = DecodePageToken(token, binding);
  if (position.ok()) return position;
  return InvalidFields({{"page_token", std::string(position.status().message())}});
}

// A log that may still grow is fetched anew for a first page; a walk goes on in what it began with,
// so that it is one download.
asio::awaitable<CallResult> GetJobLog(Upstream& upstream, const MethodSpec& spec,
                                      MessagePtr message, CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto& request = *DynamicCastToGenerated<v1::GetJobLogRequest>(message.get());
  const std::string binding = PageBinding(spec, upstream.options().organization, request);
  const absl::StatusOr<PagePosition> position = PageStart(request.page_token(), binding);
  if (!position.ok()) co_return FailedCall(spec, position.status());
  const MonotonicTime now = upstream.clock().Now();
  const JobLogShelf::Entry kept = upstream.job_logs().Get(request.job_id(), now);
  const bool usable = kept.events != nullptr && position->offset <= kept.events->size() &&
                      (position->offset > 0 || (kept.events->complete() && !context.fresh));
  CallResult result;
  if (usable) {
    result.kept = true;
    result.age = absl::FromChrono(now - kept.downloaded);
    result.reply = LogPage(*kept.events, position->offset, request.page_size(), binding);
    co_return result;
  }
  const FetchedLog fetched = co_await FetchLog(upstream, spec, message, context);
  if (!fetched.status.ok()) co_return FailedCall(spec, fetched.status, fetched.exchange);
  if (position->offset > fetched.events->size()) {
    co_return FailedCall(
        spec,
        InvalidFields({{"page_token", "the log is shorter than it was; start again without it"}}),
        fetched.exchange);
  }
  upstream.job_logs().Put(request.job_id(), fetched.events, upstream.clock().Now());
  result.attempts = fetched.exchange.attempts;
  result.may_have_arrived = true;
  result.reply = LogPage(*fetched.events, position->offset, request.page_size(), binding);
  co_return result;
}

// Upstream answers 400 with its findings; that is the answer, not an error. `Malformed request` is
// about our JSON.
asio::awaitable<CallResult> ValidatePipelineYaml(Upstream& upstream, const MethodSpec& spec,
                                                 MessagePtr request, CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const EncodedRequest encoded = EncodeRequest(spec, *request);
  HttpRequest http = upstream.ToHttp(spec, encoded);
  Upstream::SendOptions send;
  const Upstream::Exchange exchange =
      co_await upstream.Send(spec, std::move(http), context, std::move(send));
  const std::string& body = exchange.response.body;
  v1::ValidatePipelineYamlResponse reply;
  reply.set_message(ReplaceInvalidUtf8(UpstreamMessage(body)));
  reply.set_valid(exchange.status.ok());
  if (!exchange.status.ok()) {
    const bool findings = EffectiveStatus(exchange.response) == 400 && !reply.message().empty() &&
                          !absl::StartsWith(reply.message(), "Malformed request");
    if (!findings) co_return FailedCall(spec, exchange.status, exchange);
  } else if (const absl::Status object = CheckIsObject(body); !object.ok()) {
    co_return FailedCall(spec, object, exchange);
  }
  co_return Answered(reply, exchange);
}

// What a pipeline says of its promotions: "" is none, and asking for them would be answered with
// 500 (facts §5.3). The reference's shape does not tell, so then the list is asked for.
bool HasNoPromotions(std::string_view pipeline_body) {
  boost::system::error_code error;
  const json::value root =
      json::parse(json::string_view(pipeline_body.data(), pipeline_body.size()), error);
  if (error || !root.is_object()) return false;
  const json::value* pipeline = root.get_object().if_contains("pipeline");
  if (pipeline == nullptr || !pipeline->is_object()) return false;
  const json::value* switch_id = pipeline->get_object().if_contains("switch_id");
  return switch_id != nullptr && switch_id->is_string() && switch_id->get_string().empty();
}

asio::awaitable<CallResult> ListPromotions(Upstream& upstream, const MethodSpec& spec,
                                           MessagePtr message, CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto& request = *DynamicCastToGenerated<v1::ListPromotionsRequest>(message.get());
  const MethodSpec& get_pipeline =
      *upstream.table().Find("semaphore.v1.PipelineService/GetPipeline");
  v1::GetPipelineRequest pipeline;
  pipeline.set_pipeline_id(request.pipeline_id());
  // A filter of the list, but here it goes into a path.
  const absl::Status valid = ValidateRequest(get_pipeline, pipeline);
  if (!valid.ok()) co_return FailedCall(spec, valid);
  const absl::StatusOr<PagePosition> position =
      PageStart(request.page_token(), PageBinding(spec, upstream.options().organization, request));
  if (!position.ok()) co_return FailedCall(spec, position.status());
  const EncodedRequest encoded = EncodeRequest(get_pipeline, pipeline);
  HttpRequest http = upstream.ToHttp(get_pipeline, encoded);
  Upstream::SendOptions send;
  const Upstream::Exchange exchange =
      co_await upstream.Send(get_pipeline, std::move(http), context, std::move(send));
  if (!exchange.status.ok()) co_return FailedCall(spec, exchange.status, exchange);
  if (HasNoPromotions(exchange.response.body)) {
    v1::ListPromotionsResponse none;
    none.set_total_size(0);
    co_return Answered(none, exchange);
  }
  CallResult result = co_await upstream.CallPage(spec, message, context);
  result.attempts += exchange.attempts;
  co_return result;
}

}  // namespace

Function FindFunction(std::string_view name) {
  if (name == "GetJobLog") return GetJobLog;
  if (name == "ListPromotions") return ListPromotions;
  if (name == "UpdateDeploymentTarget") return UpdateDeploymentTarget;
  if (name == "ValidatePipelineYaml") return ValidatePipelineYaml;
  return nullptr;
}

}  // namespace semaphore::client
