#include "gateway/rest_handler.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/error.h"
#include "client/string_view.h"
#include "gateway/accept.h"

namespace semaphore::gateway {
namespace {

using client::MakeError;
using client::Reason;

// Pages run their own script and style, and call this gateway only.
constexpr std::string_view kPageFields =
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n";
constexpr std::string_view kCorsFields =
    "access-control-expose-headers: age, etag, retry-after, x-cache, x-request-id\r\n"
    "vary: origin\r\n";

std::string_view PathOf(std::string_view target) { return target.substr(0, target.find('?')); }

size_t SizeOf(const std::string* reply, const RestBody* body) {
  return (reply == nullptr ? 0 : reply->size()) + (body == nullptr ? 0 : body->bytes.size());
}

// "localhost", "gateway", "127.0.0.1:8080", "[::1]", "": what no name on the web can be.
bool IsLocalHost(std::string_view host) {
  if (host.starts_with('[')) return true;
  const std::string name = absl::AsciiStrToLower(client::ToAbsl(host.substr(0, host.find(':'))));
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return true;
  const std::string last = name.substr(dot + 1);
  return last == "localhost" ||
         (!last.empty() && std::all_of(last.begin(), last.end(),
                                       [](unsigned char c) { return absl::ascii_isdigit(c); }));
}

bool Names(const std::vector<std::string>& list, std::string_view wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

}  // namespace

RestMemory::Entry* RestMemory::Find(std::string_view head) {
  Entry& entry = entries_[absl::HashOf(client::ToAbsl(head)) % kPlaces];
  return entry.head == head && !head.empty() ? &entry : nullptr;
}

RestMemory::Entry* RestMemory::Place(std::string_view head) {
  if (head.size() > kMaxHeadBytes) return nullptr;
  Entry& entry = entries_[absl::HashOf(client::ToAbsl(head)) % kPlaces];
  Forget(entry);
  entry = {};
  entry.head = head;
  return &entry;
}

void RestMemory::Keep(Entry& entry, std::shared_ptr<const std::string> reply,
                      std::shared_ptr<const RestBody> body) {
  Forget(entry);
  const size_t bytes = SizeOf(reply.get(), body.get());
  if (reply == nullptr || bytes > kMaxBodyBytes / 8) return;
  for (; body_bytes_ + bytes > kMaxBodyBytes; hand_ = (hand_ + 1) % kPlaces)
    Forget(entries_[hand_]);
  body_bytes_ += bytes;
  entry.reply = std::move(reply);
  entry.body = std::move(body);
}

void RestMemory::Forget(Entry& entry) {
  body_bytes_ -= SizeOf(entry.reply.get(), entry.body.get());
  entry.reply.reset();
  entry.body.reset();
}

RestHandler::RestHandler(Options options, const RestTranscoder& transcoder, Engine& engine)
    : cors_allowed_origins_(std::move(options.cors_allowed_origins)),
      local_hosts_only_(options.local_hosts_only),
      transcoder_(transcoder),
      engine_(engine) {
  for (File& file : options.files) {
    files_.push_back({.path = std::move(file.path),
                      .plain = MakeRestBody(file.bytes, file.content_type, /*gzip=*/false),
                      .compressed = MakeRestBody(file.bytes, file.content_type, /*gzip=*/true)});
  }
}

RestHandler::Read RestHandler::ReadRequest(
    const HttpRequest& request, const std::vector<std::string>& certificate_names) const {
  Read read;
  const std::string cors = CorsFields(request);
  const auto answer = [&read, &cors](RestReply reply) {
    reply.head += cors;
    read.reply = std::move(reply);
    return std::move(read);
  };
  const bool head_only = request.verb == "HEAD";
  if (auto file = FileReply(request, PathOf(request.target))) return answer(*std::move(file));
  if (request.verb == "OPTIONS") return answer(OptionsReply(request));

  Credentials credentials;
  if (engine_.authenticates()) {
    credentials.authorization = request.All("authorization");
    credentials.certificate_names = certificate_names;
  }
  const std::string_view verb = head_only ? std::string_view("GET") : request.verb;
  const auto method = transcoder_.FindMethod(verb, request.target);
  if (!method.ok()) return answer(UnroutedReply(request, credentials, method.status()));

  RestCall call;
  call.call.method = *method;
  auto routed = transcoder_.Transcode({.verb = verb,
                                       .target = request.target,
                                       .content_type = request.First("content-type"),
                                       .body = request.body});
  call.call.unreadable = routed.status();
  if (routed.ok()) call.call.request = std::move(routed->request);
  if (!AcceptsJson(request.First("accept"))) {
    call.call.unreadable =
        MakeError(Reason::kNotAcceptable, "replies are application/json; accept that");
  }
  if (absl::Status page = CheckPage(request, call.call.method->IsChange()); !page.ok())
    call.call.unreadable = std::move(page);
  call.call.organization = request.All("x-semaphore-organization");
  call.call.cache_control = request.First("cache-control");
  call.call.priority = request.First("x-priority");
  call.call.traceparent = request.First("traceparent");
  call.call.request_id = request.First("x-request-id");
  call.call.credentials = std::move(credentials);
  call.head_only = head_only;
  call.gzip = AcceptsGzip(request.First("accept-encoding"));
  call.keep_alive = request.keep_alive;
  if (call.call.method->IsRead()) {
    call.if_none_match = absl::StrJoin(request.All("if-none-match"), ",");
  }
  call.cors = cors;
  read.call = std::move(call);
  return read;
}

RestReply RestHandler::Reply(const RestCall& call, const Answer& answer, RestMemory& memory,
                             RestMemory::Entry* entry) const {
  RestReply reply;
  if (!answer.status.ok()) {
    reply = FailureReply(answer);
  } else if (entry != nullptr && entry->reply != nullptr && entry->reply == answer.reply) {
    reply = SuccessReply(answer, entry->body, call.if_none_match);
  } else {
    static const std::string kNothing;
    const std::string& bytes = answer.reply == nullptr ? kNothing : *answer.reply;
    absl::StatusOr<std::string> json = transcoder_.ReplyJson(*call.call.method, bytes);
    if (json.ok()) {
      auto body = MakeRestBody(*std::move(json), "application/json", call.gzip);
      if (entry != nullptr) memory.Keep(*entry, answer.reply, body);
      reply = SuccessReply(answer, std::move(body), call.if_none_match);
    } else {
      reply = ErrorReply(json.status(), answer.request_id);
    }
  }
  reply.head += call.cors;
  reply.close = !call.keep_alive;
  return reply;
}

// The explorer and the API's description. Open to all: they say what the program's source says.
std::optional<RestReply> RestHandler::FileReply(const HttpRequest& request,
                                                std::string_view path) const {
  const auto file = std::find_if(files_.begin(), files_.end(),
                                 [path](const MadeFile& each) { return each.path == path; });
  if (file == files_.end()) return std::nullopt;
  RestReply reply;
  if (request.verb != "GET" && request.verb != "HEAD") {
    const bool asks = request.verb == "OPTIONS";
    reply = asks ? RestReply{.status = 204, .head = StatusLine(204), .body = nullptr}
                 : ErrorReply(MakeError(Reason::kMethodNotAllowed, "use GET or HEAD"), "");
    reply.head += "allow: GET, HEAD, OPTIONS\r\n";
  } else {
    const bool gzip = AcceptsGzip(request.First("accept-encoding"));
    const auto& body = gzip ? file->compressed : file->plain;
    const bool unchanged = NamesEtag(request.First("if-none-match"), body->etag);
    reply.status = unchanged ? 304 : 200;
    reply.head = StatusLine(reply.status);
    if (!unchanged) reply.head += body->head;
    absl::StrAppend(&reply.head, "etag: ", body->etag, "\r\ncache-control: no-cache\r\n",
                    "vary: accept-encoding\r\n", client::ToAbsl(kPageFields));
    if (!unchanged) reply.body = body;
  }
  reply.close = !request.keep_alive;
  return reply;
}

RestReply RestHandler::OptionsReply(const HttpRequest& request) const {
  RestReply reply;
  reply.close = !request.keep_alive;
  std::vector<std::string> verbs = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST"};
  if (request.target != "*") verbs = transcoder_.AllowedVerbs(request.target);
  if (verbs.empty()) {
    const bool close = reply.close;
    reply = ErrorReply(MakeError(Reason::kRouteNotFound, "there is nothing at this path"), "");
    reply.close = close;
    return reply;
  }
  reply.status = 204;
  reply.head = absl::StrCat(StatusLine(204), "allow: ", absl::StrJoin(verbs, ", "), "\r\n");
  // Whether the origin may, CorsFields has said.
  if (!request.First("access-control-request-method").empty() && !CorsFields(request).empty()) {
    absl::StrAppend(&reply.head, "access-control-allow-methods: ", absl::StrJoin(verbs, ", "),
                    "\r\naccess-control-allow-headers: authorization, cache-control, content-type, "
                    "if-none-match, traceparent, x-priority, x-request-id, "
                    "x-semaphore-organization\r\naccess-control-max-age: 600\r\n");
  }
  return reply;
}

RestReply RestHandler::UnroutedReply(const HttpRequest& request, const Credentials& credentials,
                                     const absl::Status& why) const {
  const absl::Status known = engine_.CheckCredentials(credentials);
  RestReply reply = ErrorReply(known.ok() ? why : known, "");
  if (known.ok() && client::HasReason(why, Reason::kMethodNotAllowed)) {
    absl::StrAppend(&reply.head,
                    "allow: ", absl::StrJoin(transcoder_.AllowedVerbs(request.target), ", "),
                    "\r\n");
  }
  reply.close = !request.keep_alive;
  return reply;
}

absl::Status RestHandler::CheckPage(const HttpRequest& request, bool changes) const {
  const std::string_view host = request.First("host");
  if (local_hosts_only_ && !IsLocalHost(host)) {
    return MakeError(Reason::kCallerForbidden,
                     "without authentication only this machine's own names are taken as host; use "
                     "an address or localhost, or configure auth");
  }
  const std::string_view origin = request.First("origin");
  if (!changes || origin.empty() || Names(cors_allowed_origins_, origin)) return absl::OkStatus();
  const size_t scheme = origin.find("://");
  const bool same =
      scheme != std::string_view::npos &&
      absl::EqualsIgnoreCase(client::ToAbsl(origin.substr(scheme + 3)), client::ToAbsl(host));
  if (same) return absl::OkStatus();
  return MakeError(Reason::kCallerForbidden,
                   "pages of another origin may not change anything here; who runs the gateway "
                   "can allow an origin with rest.cors_allowed_origins");
}

std::string RestHandler::CorsFields(const HttpRequest& request) const {
  const std::string_view origin = request.First("origin");
  if (origin.empty() || !Names(cors_allowed_origins_, origin)) return {};
  return absl::StrCat("access-control-allow-origin: ", client::ToAbsl(origin), "\r\n",
                      client::ToAbsl(kCorsFields));
}

}  // namespace semaphore::gateway
