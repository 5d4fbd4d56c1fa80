#include "gateway/admin_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/accept.h"
#include "gateway/gzip_stream.h"
#include "gateway/json_text.h"
#include "gateway/status_page.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Reply = http::response<http::string_body>;

constexpr auto kUseTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::string_view kPaths = "/metrics\n/metrics/ci\n/healthz\n/readyz\n";
constexpr const char* kPlainText = "text/plain; charset=utf-8";

// How much of a refused request is read after the reply, so that closing does not reset it away,
// and for how long.
constexpr size_t kLingerBytes = 64 << 10;
constexpr std::chrono::seconds kLingerTime{2};
// How long a failing accept (no descriptor is left) rests.
constexpr std::chrono::milliseconds kAcceptRest{100};

// A page is made and sent in pieces of about this size, before and after compression.
constexpr size_t kPieceBytes = 64 << 10;
constexpr size_t kSendBytes = 16 << 10;

struct Wish {
  Exposition format = Exposition::kText;
  bool gzip = false;
};

Reply MakeReply(http::status status, std::string_view content_type, std::string body) {
  Reply reply(status, 11);
  reply.set(http::field::content_type, content_type);
  reply.set(http::field::cache_control, "no-store");
  reply.body() = std::move(body);
  return reply;
}

void AppendList(const std::vector<std::string>& texts, std::string& body) {
  body += '[';
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) body += ',';
    AppendJsonString(&body, texts[i]);
  }
  body += ']';
}

Reply MakeReadiness(const std::vector<std::string>& reasons,
                    const std::vector<std::string>& notes) {
  std::string body =
      reasons.empty() ? "{\"ready\":true,\"reasons\":" : "{\"ready\":false,\"reasons\":";
  AppendList(reasons, body);
  body += ",\"notes\":";
  AppendList(notes, body);
  body += "}\n";
  const http::status status =
      reasons.empty() ? http::status::ok : http::status::service_unavailable;
  return MakeReply(status, "application/json", std::move(body));
}

// The values of every header of that name, as one.
template <typename Request>
std::string Joined(const Request& request, http::field name) {
  std::string out;
  const auto [first, last] = request.equal_range(name);
  for (auto header = first; header != last; ++header) {
    if (!out.empty()) out += ',';
    out += std::string_view(header->value());
  }
  return out;
}

template <typename Request>
Wish WishOf(const Request& request) {
  return {.format = NegotiateExposition(Joined(request, http::field::accept)),
          .gzip = AcceptsGzip(Joined(request, http::field::accept_encoding))};
}

template <typename Message>
void SetPageHeaders(Wish wish, Message* reply) {
  reply->set(http::field::content_type, ContentTypeOf(wish.format));
  reply->set(http::field::cache_control, "no-store");
  reply->set(http::field::vary, "Accept, Accept-Encoding");
  if (wish.gzip) reply->set(http::field::content_encoding, "gzip");
}

Reply MakeMetrics(const AdminServer::Sources& sources, Wish wish) {
  std::string page = sources.metrics(wish.format);
  Reply reply = MakeReply(http::status::ok, "", wish.gzip ? Gzip(page) : std::move(page));
  SetPageHeaders(wish, &reply);
  return reply;
}

Reply MakeStatus(const StatusPage& status, std::string_view path, Wish wish) {
  const bool page = path == "/";
  std::string body = page ? std::string(StatusPage::Html()) : status.Json();
  Reply reply = MakeReply(http::status::ok, page ? "text/html; charset=utf-8" : "application/json",
                          wish.gzip ? Gzip(body) : std::move(body));
  if (wish.gzip) reply.set(http::field::content_encoding, "gzip");
  reply.set(http::field::vary, "Accept-Encoding");
  reply.set("Content-Security-Policy", StatusPage::Policy());
  reply.set("X-Content-Type-Options", "nosniff");
  return reply;
}

std::string_view PathOf(std::string_view target) { return target.substr(0, target.find('?')); }

bool IsRead(http::verb verb) { return verb == http::verb::get || verb == http::verb::head; }

// Everything but the page of CI facts, which is sent in pieces; of that only why it cannot be had.
Reply Answer(const AdminServer::Sources& sources, http::verb verb, std::string_view path,
             Wish wish) {
  const bool known =
      path == "/metrics" || path == "/metrics/ci" || path == "/healthz" || path == "/readyz";
  if (!known) {
    return MakeReply(http::status::not_found, kPlainText,
                     "not found; there is:\n" + std::string(kPaths));
  }
  if (!IsRead(verb)) {
    Reply reply = MakeReply(http::status::method_not_allowed, kPlainText, "use GET or HEAD\n");
    reply.set(http::field::allow, "GET, HEAD");
    return reply;
  }
  if (path == "/metrics") return MakeMetrics(sources, wish);
  if (path == "/metrics/ci" && !sources.ci_snapshot) {
    return MakeReply(http::status::not_found, kPlainText,
                     "no facts about CI are collected here: the configuration has no section "
                     "metrics\n");
  }
  if (path == "/metrics/ci") {
    return MakeReply(http::status::service_unavailable, kPlainText,
                     "no facts about CI have been collected yet\n");
  }
  if (path == "/readyz") return MakeReadiness(sources.not_ready_because(), sources.notes());
  return MakeReply(http::status::ok, kPlainText, "ok\n");
}

// What to say to bytes that are no request we take; nothing when the peer is gone or too slow.
std::optional<Reply> AnswerUnreadable(const beast::error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return MakeReply(http::status::request_header_fields_too_large, kPlainText,
                     "header too large\n");
  }
  if (error == http::error::body_limit) {
    return MakeReply(http::status::payload_too_large, kPlainText, "body too large\n");
  }
  if (error == beast::error::timeout || error == http::error::end_of_stream ||
      error == http::error::partial_message ||
      error.category() != make_error_code(http::error::bad_method).category()) {
    return std::nullopt;
  }
  return MakeReply(http::status::bad_request, kPlainText, "not an HTTP/1.1 request\n");
}

// Prometheus and its kin say how long they will wait; who does not, looks and stores nothing.
std::string ScraperOf(const http::request<http::string_body>& request,
                      const beast::tcp_stream& stream) {
  if (request.find("x-prometheus-scrape-timeout-seconds") == request.end()) return "";
  beast::error_code error;
  const tcp::endpoint peer = stream.socket().remote_endpoint(error);
  constexpr size_t kMaxAgentBytes = 200;
  const auto agent = request[http::field::user_agent];
  return absl::StrCat(peer.address().to_string(), " ",
                      absl::string_view(agent.data(), std::min(agent.size(), kMaxAgentBytes)));
}

}  // namespace

// All its state belongs to one strand; the coroutines keep it alive.
class AdminServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(const asio::any_io_executor& executor, Options options, Sources sources)
      : strand_(asio::make_strand(executor)),
        options_(std::move(options)),
        sources_(std::move(sources)),
        acceptor_(strand_),
        rest_(strand_),
        next_sample_(strand_) {}

  absl::Status Listen();
  void Spawn() {
    asio::co_spawn(strand_, AcceptAll(shared_from_this()), asio::detached);
    if (sources_.families) asio::co_spawn(strand_, SampleAll(shared_from_this()), asio::detached);
  }
  void Stop() {
    asio::post(strand_, [self = shared_from_this()] { self->CloseAll(); });
  }
  uint16_t port() const { return port_; }

 private:
  // Makes a connection known to CloseAll for as long as its coroutine lives.
  class Registration {
   public:
    Registration(Impl* impl, beast::tcp_stream* stream) : impl_(impl), stream_(stream) {
      impl_->streams_.insert(stream_);
    }
    ~Registration() { impl_->streams_.erase(stream_); }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    Impl* const impl_;
    beast::tcp_stream* const stream_;
  };

  static asio::awaitable<void> AcceptAll(std::shared_ptr<Impl> self);
  static asio::awaitable<void> SampleAll(std::shared_ptr<Impl> self);
  static asio::awaitable<void> Serve(std::shared_ptr<Impl> self, tcp::socket socket);
  struct PageRequest {
    Wish wish;
    unsigned version = 11;
    bool keep = false;
    bool without_body = false;
  };

  // True when the connection may carry another request.
  static asio::awaitable<bool> ServeOne(Impl* self, beast::tcp_stream* stream,
                                        beast::flat_buffer* buffer);
  static asio::awaitable<bool> Send(Impl* self, beast::tcp_stream* stream, Reply reply,
                                    bool without_body);
  // True when the whole page was sent; only its header for HEAD.
  static asio::awaitable<bool> SendPage(Impl* self, beast::tcp_stream* stream, CiPage* page,
                                        PageRequest request);
  static asio::awaitable<void> Linger(beast::tcp_stream* stream);
  void CloseAll();

  const asio::strand<asio::any_io_executor> strand_;
  const Options options_;
  const Sources sources_;
  tcp::acceptor acceptor_;
  asio::steady_timer rest_;
  asio::steady_timer next_sample_;
  StatusPage status_;
  uint16_t port_ = 0;
  bool stopped_ = false;
  std::set<beast::tcp_stream*> streams_;
};

absl::Status AdminServer::Impl::Listen() {
  const std::string where = absl::StrCat("admin address ", options_.host, " port ", options_.port);
  beast::error_code error;
  const std::string literal = options_.host == "localhost" ? "127.0.0.1" : options_.host;
  const asio::ip::address address = asio::ip::make_address(literal, error);
  if (error) return absl::InvalidArgumentError(where + ": expected an IP address");
  const tcp::endpoint endpoint(address, options_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(static_cast<int>(options_.max_connections), error);
  if (error) return absl::UnavailableError(where + ": cannot listen: " + error.message());
  port_ = acceptor_.local_endpoint(error).port();
  if (error) return absl::UnavailableError(where + ": " + error.message());
  return absl::OkStatus();
}

asio::awaitable<void> AdminServer::Impl::AcceptAll(std::shared_ptr<Impl> self) {
  while (!self->stopped_) {
    auto [error, socket] = co_await self->acceptor_.async_accept(kUseTuple);
    if (self->stopped_) break;
    if (error) {
      self->rest_.expires_after(kAcceptRest);
      co_await self->rest_.async_wait(kUseTuple);
      continue;
    }
    // A full house closes at once; whoever holds the places loses them within the timeouts.
    if (self->streams_.size() >= self->options_.max_connections) continue;
    asio::co_spawn(self->strand_, Serve(self, std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> AdminServer::Impl::SampleAll(std::shared_ptr<Impl> self) {
  // The second sample comes soon, so that what is a rate has something to show.
  constexpr std::chrono::seconds kSoon{1};
  constexpr std::chrono::seconds kUsual{10};
  for (bool first = true; !self->stopped_; first = false) {
    std::shared_ptr<const CiSnapshot> ci;
    if (self->sources_.ci_snapshot) ci = self->sources_.ci_snapshot();
    self->status_.Sample(absl::Now(), self->sources_.families(), ci.get());
    self->next_sample_.expires_after(first ? kSoon : kUsual);
    co_await self->next_sample_.async_wait(kUseTuple);
  }
}

asio::awaitable<void> AdminServer::Impl::Serve(std::shared_ptr<Impl> self, tcp::socket socket) {
  beast::tcp_stream stream(std::move(socket));
  if (self->stopped_) co_return;
  const Registration registration(self.get(), &stream);
  beast::flat_buffer buffer(self->options_.max_header_bytes + self->options_.max_body_bytes);
  for (bool more = true; more && !self->stopped_;) {
    more = co_await ServeOne(self.get(), &stream, &buffer);
  }
  beast::error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
}

asio::awaitable<bool> AdminServer::Impl::ServeOne(Impl* self, beast::tcp_stream* stream,
                                                  beast::flat_buffer* buffer) {
  http::request_parser<http::string_body> parser;
  parser.header_limit(static_cast<uint32_t>(self->options_.max_header_bytes));
  parser.body_limit(self->options_.max_body_bytes);
  stream->expires_after(self->options_.read_timeout);
  const auto [read_error, bytes] = co_await http::async_read(*stream, *buffer, parser, kUseTuple);
  if (read_error) {
    std::optional<Reply> refusal = AnswerUnreadable(read_error);
    if (!refusal.has_value() || self->stopped_) co_return false;
    refusal->keep_alive(false);
    const bool sent = co_await Send(self, stream, *std::move(refusal), /*without_body=*/false);
    if (sent) co_await Linger(stream);
    co_return false;
  }
  const auto& request = parser.get();
  const std::string_view path = PathOf(request.target());
  const Wish wish = WishOf(request);
  if (path == "/metrics/ci" && IsRead(request.method()) && self->sources_.ci_snapshot) {
    const std::shared_ptr<const CiSnapshot> snapshot = self->sources_.ci_snapshot();
    if (snapshot != nullptr) {
      CiPage page(snapshot, wish.format);
      // Without chunks, the end of the connection is the end of the page.
      const PageRequest of{.wish = wish,
                           .version = request.version(),
                           .keep = request.keep_alive() && request.version() >= 11,
                           .without_body = request.method() == http::verb::head};
      const bool sent = co_await SendPage(self, stream, &page, of);
      if (sent && !of.without_body && self->sources_.ci_scraped) {
        self->sources_.ci_scraped(snapshot, page.dropped(), ScraperOf(request, *stream));
      }
      co_return sent&& of.keep;
    }
  }
  const bool for_people = (path == "/" || path == "/status.json") && self->sources_.families;
  Reply reply = for_people && IsRead(request.method())
                    ? MakeStatus(self->status_, path, wish)
                    : Answer(self->sources_, request.method(), path, wish);
  const bool keep = request.keep_alive();
  reply.version(request.version());
  reply.keep_alive(keep);
  const bool without_body = request.method() == http::verb::head;
  const bool sent = co_await Send(self, stream, std::move(reply), without_body);
  co_return sent&& keep;
}

asio::awaitable<bool> AdminServer::Impl::Send(Impl* self, beast::tcp_stream* stream, Reply reply,
                                              bool without_body) {
  reply.prepare_payload();
  stream->expires_after(self->options_.write_timeout);
  http::response_serializer<http::string_body> serializer(reply);
  // HEAD says the length of the body it leaves out.
  if (without_body) {
    const auto [error, bytes] = co_await http::async_write_header(*stream, serializer, kUseTuple);
    co_return !error;
  }
  const auto [error, bytes] = co_await http::async_write(*stream, serializer, kUseTuple);
  co_return !error;
}

asio::awaitable<bool> AdminServer::Impl::SendPage(Impl* self, beast::tcp_stream* stream,
                                                  CiPage* page, PageRequest request) {
  http::response<http::empty_body> head(http::status::ok, request.version);
  SetPageHeaders(request.wish, &head);
  head.keep_alive(request.keep);
  const bool chunked = request.version >= 11;
  head.chunked(chunked);
  http::response_serializer<http::empty_body> serializer(head);
  stream->expires_after(self->options_.write_timeout);  // for all of it
  const auto [head_error, ignored] =
      co_await http::async_write_header(*stream, serializer, kUseTuple);
  if (head_error) co_return false;
  if (request.without_body) co_return true;

  std::optional<GzipStream> gzip;
  if (request.wish.gzip) gzip.emplace();
  std::string piece;
  std::string compressed;
  for (bool more = true; more;) {
    piece.clear();
    more = page->Append(kPieceBytes, &piece);
    if (gzip) gzip->Add(piece, !more, &compressed);
    if (gzip && more && compressed.size() < kSendBytes) {
      // Others on this thread get their turn between any two pieces.
      co_await asio::post(self->strand_, kUseTuple);
      continue;
    }
    std::string& body = gzip ? compressed : piece;
    // An empty chunk would be the last one.
    const bool empty = body.empty();
    beast::error_code error;
    if (!empty && chunked) {
      std::tie(error, std::ignore) =
          co_await asio::async_write(*stream, http::make_chunk(asio::buffer(body)), kUseTuple);
    } else if (!empty) {
      std::tie(error, std::ignore) =
          co_await asio::async_write(*stream, asio::buffer(body), kUseTuple);
    }
    if (error) co_return false;
    body.clear();
  }
  if (!chunked) co_return true;
  const auto [error, bytes] =
      co_await asio::async_write(*stream, http::make_chunk_last(), kUseTuple);
  co_return !error;
}

asio::awaitable<void> AdminServer::Impl::Linger(beast::tcp_stream* stream) {
  beast::error_code ignored;
  stream->socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream->expires_after(kLingerTime);
  char scratch[4096];
  for (size_t left = kLingerBytes; left > 0;) {
    const auto [error, bytes] =
        co_await stream->async_read_some(asio::buffer(scratch, sizeof scratch), kUseTuple);
    if (error) co_return;
    left -= std::min(left, bytes);
  }
}

void AdminServer::Impl::CloseAll() {
  stopped_ = true;
  beast::error_code ignored;
  acceptor_.close(ignored);
  rest_.cancel();
  next_sample_.cancel();
  for (beast::tcp_stream* stream : streams_) stream->close();
}

AdminServer::AdminServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

// Only running out of memory throws here, and may end the program.
// NOLINTNEXTLINE(bugprone-exception-escape)
AdminServer::~AdminServer() { Stop(); }

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(
    const asio::any_io_executor& executor, Options options, Sources sources) {
  auto impl = std::make_shared<Impl>(executor, std::move(options), std::move(sources));
  absl::Status status = impl->Listen();
  if (!status.ok()) return status;
  impl->Spawn();
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

uint16_t AdminServer::port() const { return impl_->port(); }

void AdminServer::Stop() { impl_->Stop(); }

}  // namespace semaphore::gateway
