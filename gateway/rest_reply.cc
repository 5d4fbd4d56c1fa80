#include "gateway/rest_reply.h"

#include <openssl/sha.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/error.h"
#include "client/string_view.h"
#include "gateway/accept.h"
#include "gateway/json_text.h"
#include "gateway/rest_status.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kWorthCompressing = 1024;
constexpr int kCompressionLevel = 1;  // most of the gain for a fraction of the time
constexpr std::string_view kJson = "application/json";

std::string_view Phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

// Empty when zlib fails, which only want of memory makes it do.
std::string Gzip(const std::string& bytes) {
  z_stream stream = {};
  constexpr int kGzipWindow = 15 + 16;
  if (deflateInit2(&stream, kCompressionLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return {};
  }
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int ended = deflate(&stream, Z_FINISH);
  out.resize(ended == Z_STREAM_END ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

// Enough of a SHA-256 that no two bodies of a resource ever share it.
std::string EtagOf(std::string_view bytes, bool compressed) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  const std::string_view start(reinterpret_cast<const char*>(digest), 16);
  return absl::StrCat("\"", absl::BytesToHexString(client::ToAbsl(start)),
                      compressed ? "-gzip" : "", "\"");
}

void AppendCallFields(const Answer& answer, std::string& head) {
  absl::StrAppend(&head, "x-request-id: ", answer.request_id, "\r\n");
  if (answer.cache.empty()) return;
  absl::StrAppend(&head, "x-cache: ", client::ToAbsl(answer.cache), "\r\n");
}

// The caller's quota as draft-ietf-httpapi-ratelimit-headers tells it: a window is the time in
// which an empty bucket fills.
void AppendQuota(const Answer& answer, std::string& head) {
  if (!answer.quota) return;
  const CallerLimits::Standing& quota = *answer.quota;
  const auto seconds = [&quota](double calls) {
    return static_cast<int64_t>(std::ceil(calls / quota.requests_per_second));
  };
  absl::StrAppend(&head, "ratelimit-policy: \"caller\";q=", quota.burst,
                  ";w=", std::max<int64_t>(1, seconds(quota.burst)),
                  "\r\nratelimit: \"caller\";r=", static_cast<int64_t>(quota.available),
                  ";t=", seconds(quota.burst - quota.available), "\r\n");
}

// How long others may keep it: as long as it is fresh here, which they count from when upstream
// said it (`age`), and never in a cache that several share, for who may read it is decided here.
std::string CacheControl(const Answer& answer) {
  if (answer.cache.empty() || answer.cache == "bypass") return "cache-control: no-store\r\n";
  const int64_t left = std::max<int64_t>(0, absl::ToInt64Seconds(answer.fresh_for));
  const int64_t seconds = left == 0 ? 0 : left + absl::ToInt64Seconds(answer.age);
  return absl::StrCat("cache-control: private, max-age=", seconds, "\r\n");
}

}  // namespace

std::string StatusLine(int status) {
  return absl::StrCat("HTTP/1.1 ", status, " ", client::ToAbsl(Phrase(status)), "\r\n");
}

std::shared_ptr<const RestBody> MakeRestBody(std::string bytes, std::string_view content_type,
                                             bool gzip) {
  auto body = std::make_shared<RestBody>();
  std::string compressed;
  if (gzip && bytes.size() > kWorthCompressing) compressed = Gzip(bytes);
  const bool smaller = !compressed.empty() && compressed.size() < bytes.size();
  body->etag = EtagOf(bytes, smaller);
  body->bytes = smaller ? std::move(compressed) : std::move(bytes);
  body->head = absl::StrCat("content-type: ", client::ToAbsl(content_type),
                            "\r\ncontent-length: ", body->bytes.size(), "\r\n",
                            smaller ? "content-encoding: gzip\r\n" : "");
  return body;
}

RestReply SuccessReply(const Answer& answer, std::shared_ptr<const RestBody> body,
                       std::string_view if_none_match) {
  RestReply reply;
  const bool unchanged = !if_none_match.empty() && NamesEtag(if_none_match, body->etag);
  reply.status = unchanged ? 304 : 200;
  reply.head.reserve(512);
  reply.head = unchanged ? "HTTP/1.1 304 Not Modified\r\n" : "HTTP/1.1 200 OK\r\n";
  if (!unchanged) reply.head += body->head;
  absl::StrAppend(&reply.head, "etag: ", body->etag, "\r\n", CacheControl(answer),
                  "vary: accept-encoding, authorization, x-semaphore-organization\r\n");
  AppendCallFields(answer, reply.head);
  if (!answer.cache.empty()) {
    absl::StrAppend(&reply.head, "age: ", absl::ToInt64Seconds(answer.age), "\r\n");
  }
  AppendQuota(answer, reply.head);
  if (!unchanged) reply.body = std::move(body);
  return reply;
}

RestReply ErrorReply(const absl::Status& status, std::string_view request_id) {
  RestReply reply;
  reply.status = HttpStatusOf(status);
  reply.body = MakeRestBody(StatusJson(status), kJson, /*gzip=*/false);
  reply.head =
      absl::StrCat(StatusLine(reply.status), reply.body->head, "cache-control: no-store\r\n");
  if (!request_id.empty()) {
    absl::StrAppend(&reply.head, "x-request-id: ", client::ToAbsl(request_id), "\r\n");
  }
  if (reply.status == 401) reply.head += "www-authenticate: Bearer realm=\"semaphore-gateway\"\r\n";
  if (const auto wait = client::GetRetryAfter(status)) {
    absl::StrAppend(&reply.head,
                    "retry-after: ", absl::ToInt64Seconds(absl::Ceil(*wait, absl::Seconds(1))),
                    "\r\n");
  }
  return reply;
}

RestReply FailureReply(const Answer& answer) {
  RestReply reply = ErrorReply(answer.status, answer.request_id);
  if (!answer.cache.empty()) {
    absl::StrAppend(&reply.head, "x-cache: ", client::ToAbsl(answer.cache), "\r\n");
  }
  AppendQuota(answer, reply.head);
  return reply;
}

RestReply PlainErrorReply(int http_status, std::string_view message) {
  // In the words of google.rpc.Code, so that there is one kind of error.
  constexpr int kInvalidArgument = 3;
  constexpr int kUnimplemented = 12;
  constexpr int kUnavailable = 14;
  const int code = http_status == 503  ? kUnavailable
                   : http_status > 499 ? kUnimplemented
                                       : kInvalidArgument;
  std::string text = absl::StrCat("{\"code\":", code, ",\"message\":");
  AppendJsonString(&text, message);
  text += ",\"details\":[]}";
  RestReply reply;
  reply.status = http_status;
  reply.close = true;
  reply.body = MakeRestBody(std::move(text), kJson, /*gzip=*/false);
  reply.head =
      absl::StrCat(StatusLine(http_status), reply.body->head, "cache-control: no-store\r\n");
  return reply;
}

bool NamesEtag(std::string_view if_none_match, std::string_view etag) {
  for (absl::string_view item : absl::StrSplit(client::ToAbsl(if_none_match), ',')) {
    item = absl::StripAsciiWhitespace(item);
    if (item == "*") return true;
    if (absl::StartsWith(item, "W/")) item.remove_prefix(2);
    if (item == client::ToAbsl(etag)) return true;
  }
  return false;
}

bool AcceptsJson(std::string_view accept) {
  if (accept.empty()) return true;
  return AcceptedQuality(accept, {"application/json", "application/*", "*/*"}).value_or(0) > 0;
}

}  // namespace semaphore::gateway
