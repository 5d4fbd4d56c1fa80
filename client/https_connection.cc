#include "client/https_connection.h"

#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/string_view.h"

namespace semaphore::client {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr size_t kChunkBytes = 64 << 10;
constexpr size_t kTlsRecordBytes = 16 << 10;
constexpr size_t kMaxReservedBodyBytes = 1 << 20;
constexpr int kMaxInformationalReplies = 8;

std::string_view DescribeVerdict(RequestWatch::Verdict verdict) {
  return verdict == RequestWatch::Verdict::kCancelled ? "cancelled by the caller"
                                                      : "no time left before the deadline";
}

}  // namespace

HttpFailure StopFailure(const RequestWatch& watch, std::string_view doing) {
  const RequestWatch::Verdict verdict = watch.Check();
  const std::string text = absl::StrCat(ToAbsl(doing), ": ", ToAbsl(DescribeVerdict(verdict)));
  if (verdict == RequestWatch::Verdict::kCancelled) {
    return {HttpCause::kCancelled, absl::CancelledError(text)};
  }
  if (verdict == RequestWatch::Verdict::kDeadline) {
    return {HttpCause::kDeadline, absl::DeadlineExceededError(text)};
  }
  return {};
}

struct HttpsConnection::Streams {
  Streams(const asio::any_io_executor& executor, asio::ssl::context& context, size_t buffer_bytes)
      : tls(executor, context), buffer(buffer_bytes) {}

  asio::ip::tcp::socket& socket() { return tls.next_layer(); }

  asio::ssl::stream<asio::ip::tcp::socket> tls;
  boost::beast::flat_buffer buffer;
  std::optional<http::response_parser<http::buffer_body>> parser;
  std::vector<char> chunk;
};

HttpsConnection::HttpsConnection(const asio::any_io_executor& executor, TlsContext& tls,
                                 std::string origin, size_t max_header_bytes)
    : tls_(tls),
      origin_(std::move(origin)),
      max_header_bytes_(max_header_bytes),
      streams_(std::make_unique<Streams>(executor, tls.context(), max_header_bytes + kChunkBytes)) {
}

HttpsConnection::~HttpsConnection() {
  // OpenSSL forgets the session of a connection that was not shut down in order; ours end by a
  // plain close, after whole messages, and their sessions are as good as any.
  if (secured_) {
    SSL_set_shutdown(streams_->tls.native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
}

void HttpsConnection::Close() {
  error_code ignored;
  streams_->socket().close(ignored);
}

asio::awaitable<HttpFailure> HttpsConnection::Dial(const DnsResolver::Addresses& addresses,
                                                   const Target& target, MonotonicTime limit,
                                                   RequestWatch& watch) {
  const std::string doing = absl::StrCat("connect to ", target.host, ":", target.port);
  HttpFailure failure{HttpCause::kConnect, absl::UnavailableError(doing + ": no address")};
  int64_t left = static_cast<int64_t>(addresses.size());
  for (const asio::ip::address& address : addresses) {
    if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
    const MonotonicTime now = watch.clock().Now();
    const MonotonicTime until = now + (std::min(limit, watch.deadline()) - now) / left--;
    const asio::ip::tcp::endpoint endpoint(address, target.port);
    error_code error;
    Close();
    streams_->socket().open(endpoint.protocol(), error);
    if (!error) {
      RequestWatch::Stage stage(watch, until, [this] { Close(); });
      std::tie(error) = co_await streams_->socket().async_connect(endpoint, watch.Token());
      if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
      if (watch.Check() == RequestWatch::Verdict::kStageTimeout) error = asio::error::timed_out;
    }
    if (!error) {
      streams_->socket().set_option(asio::ip::tcp::no_delay(true), error);
      co_return HttpFailure{};
    }
    failure.status = absl::UnavailableError(
        absl::StrCat(doing, " (", address.to_string(), "): ", error.message()));
  }
  co_return failure;
}

asio::awaitable<HttpFailure> HttpsConnection::OpenTunnel(const Proxy& proxy, MonotonicTime limit,
                                                         RequestWatch& watch) {
  const std::string doing = absl::StrCat("tunnel to ", origin_, " through the proxy ",
                                         proxy.target.host, ":", proxy.target.port);
  const auto refused = [&doing](const std::string& why) {
    return HttpFailure{HttpCause::kProxy, absl::UnavailableError(absl::StrCat(doing, ": ", why))};
  };
  std::string head = absl::StrCat("CONNECT ", origin_, " HTTP/1.1\r\nHost: ", origin_, "\r\n");
  if (!proxy.authorization.empty()) {
    absl::StrAppend(&head, "Proxy-Authorization: ", proxy.authorization, "\r\n");
  }
  absl::StrAppend(&head, "\r\n");

  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  RequestWatch::Stage stage(watch, limit, [this] { Close(); });
  auto [write_error, written] =
      co_await asio::async_write(streams_->socket(), asio::buffer(head), watch.Token());
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  if (write_error) co_return refused(write_error.message());

  http::response_parser<http::empty_body> parser;
  parser.skip(true);  // whatever its header says, the reply to CONNECT is followed by the tunnel
  parser.header_limit(static_cast<uint32_t>(max_header_bytes_));
  auto [read_error, read] =
      co_await http::async_read_header(streams_->socket(), streams_->buffer, parser, watch.Token());
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  if (watch.Check() == RequestWatch::Verdict::kStageTimeout) co_return refused("no answer in time");
  if (read_error) co_return refused(read_error.message());
  if (parser.get().result_int() / 100 != 2) {
    co_return refused(absl::StrCat("it answered ", parser.get().result_int()));
  }
  if (streams_->buffer.size() > 0) co_return refused("it spoke into the tunnel");
  co_return HttpFailure{};
}

asio::awaitable<HttpFailure> HttpsConnection::Handshake(MonotonicTime limit, RequestWatch& watch) {
  const std::string doing = absl::StrCat("TLS handshake with ", origin_);
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  SSL* ssl = streams_->tls.native_handle();
  if (absl::Status prepared = tls_.Prepare(ssl); !prepared.ok()) {
    co_return HttpFailure{HttpCause::kTls, std::move(prepared)};
  }
  RequestWatch::Stage stage(watch, limit, [this] { Close(); });
  auto [error] =
      co_await streams_->tls.async_handshake(asio::ssl::stream_base::client, watch.Token());
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  if (watch.Check() == RequestWatch::Verdict::kStageTimeout) {
    co_return HttpFailure{HttpCause::kTls, absl::UnavailableError(doing + ": no answer in time")};
  }
  if (error) {
    const bool tls = error.category() == asio::error::get_ssl_category();
    co_return HttpFailure{tls ? HttpCause::kTls : HttpCause::kReset,
                          tls_.HandshakeError(ssl, error)};
  }
  secured_ = true;
  resumed_ = SSL_session_reused(ssl) == 1;
  streams_->buffer.reserve(std::min(kTlsRecordBytes, streams_->buffer.max_size()));
  co_return HttpFailure{};
}

asio::awaitable<HttpFailure> HttpsConnection::Write(std::string_view bytes, RequestWatch& watch) {
  const std::string doing = absl::StrCat("send a request to ", origin_);
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  reply_started_ = false;
  reusable_ = false;
  RequestWatch::Stage stage(watch, watch.deadline(), [this] { Close(); });
  auto [error, written] = co_await asio::async_write(
      streams_->tls, asio::buffer(bytes.data(), bytes.size()), watch.Token());
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  if (error) {
    co_return HttpFailure{HttpCause::kReset,
                          absl::UnavailableError(absl::StrCat(doing, ": ", error.message()))};
  }
  co_return HttpFailure{};
}

asio::awaitable<HttpFailure> HttpsConnection::ReadReply(const HttpRequest& request,
                                                        RequestWatch& watch, HttpResult& result) {
  const std::string doing = absl::StrCat("read the reply of ", origin_);
  if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
  RequestWatch::Stage stage(watch, watch.deadline(), [this] { Close(); });
  result.stage = HttpStage::kHeader;
  for (int replies = 0;; ++replies) {
    if (replies > kMaxInformationalReplies) {
      co_return HttpFailure{HttpCause::kMalformed,
                            absl::InternalError(doing + ": only 1xx replies, and too many")};
    }
    streams_->parser.emplace();
    streams_->parser->header_limit(static_cast<uint32_t>(max_header_bytes_));
    streams_->parser->body_limit(request.max_body_bytes);
    auto [error, read] = co_await http::async_read_header(streams_->tls, streams_->buffer,
                                                          *streams_->parser, watch.Token());
    reply_started_ = reply_started_ || streams_->parser->got_some() || streams_->buffer.size() > 0;
    if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
    if (error) co_return ReadFailure(error, result);
    if (streams_->parser->get().result_int() / 100 != 1) break;
    if (streams_->parser->get().result_int() == 101) {
      co_return HttpFailure{HttpCause::kMalformed,
                            absl::InternalError(doing + ": a switch of protocol nobody asked for")};
    }
  }

  result.response.status = static_cast<int>(streams_->parser->get().result_int());
  for (const auto& field : streams_->parser->get()) {
    result.response.headers.emplace_back(absl::AsciiStrToLower(ToAbsl(field.name_string())),
                                         std::string(field.value()));
  }
  result.stage = HttpStage::kBody;
  HttpFailure failure = co_await ReadBody(request, watch, result);
  if (!failure.ok()) co_return failure;
  result.stage = HttpStage::kDone;
  // Bytes beyond the message, in any of the three places where they can be, would answer the next
  // request.
  SSL* ssl = streams_->tls.native_handle();
  reusable_ = streams_->parser->keep_alive() && streams_->buffer.size() == 0 &&
              SSL_has_pending(ssl) == 0 && BIO_ctrl_pending(SSL_get_rbio(ssl)) == 0;
  streams_->parser.reset();
  co_return HttpFailure{};
}

asio::awaitable<HttpFailure> HttpsConnection::ReadBody(const HttpRequest& request,
                                                       RequestWatch& watch, HttpResult& result) {
  http::response_parser<http::buffer_body>& parser = *streams_->parser;
  const std::string doing = absl::StrCat("read the body of a reply of ", origin_);
  const bool to_sink = request.body_sink && result.response.status == 200;
  if (const auto length = parser.content_length(); length.has_value() && !to_sink) {
    result.response.body.reserve(std::min<uint64_t>(*length, kMaxReservedBodyBytes));
  }
  if (!parser.is_done()) streams_->chunk.resize(kChunkBytes);
  while (!parser.is_done()) {
    http::buffer_body::value_type& body = parser.get().body();
    body.data = streams_->chunk.data();
    body.size = streams_->chunk.size();
    body.more = true;
    auto [error, read] =
        co_await http::async_read_some(streams_->tls, streams_->buffer, parser, watch.Token());
    if (HttpFailure stop = StopFailure(watch, doing); !stop.ok()) co_return stop;
    const std::string_view chunk(streams_->chunk.data(), streams_->chunk.size() - body.size);
    if (to_sink && !chunk.empty()) {
      absl::Status taken = request.body_sink(chunk);
      if (!taken.ok()) co_return HttpFailure{HttpCause::kRefused, std::move(taken)};
    } else {
      result.response.body.append(chunk);
    }
    if (error && error != http::error::need_buffer) co_return ReadFailure(error, result);
  }
  co_return HttpFailure{};
}

HttpFailure HttpsConnection::ReadFailure(const error_code& error, HttpResult& result) const {
  const std::string text =
      absl::StrCat("read the ", result.stage == HttpStage::kHeader ? "header" : "body",
                   " of a reply of ", origin_, ": ", error.message());
  if (error == http::error::body_limit) {
    result.stage = HttpStage::kBody;  // a Content-Length over the bound is told with the header
    return {HttpCause::kTooLarge, absl::ResourceExhaustedError(text)};
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return {HttpCause::kTooLarge, absl::ResourceExhaustedError(text)};
  }
  const bool cut = error == http::error::end_of_stream || error == http::error::partial_message;
  if (!cut && error.category() == http::make_error_code(http::error::bad_value).category()) {
    return {HttpCause::kMalformed, absl::InternalError(text)};
  }
  return {HttpCause::kReset, absl::UnavailableError(text)};
}

short HttpsConnection::Poll(short events) const {
  pollfd entry{.fd = streams_->socket().native_handle(), .events = events, .revents = 0};
  return ::poll(&entry, 1, 0) < 0 ? static_cast<short>(POLLERR) : entry.revents;
}

bool HttpsConnection::PeerIsThere() const {
  return (Poll(POLLRDHUP) & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0;
}

bool HttpsConnection::IsQuiet() const { return Poll(POLLIN) == 0; }

}  // namespace semaphore::client
