#include "gateway/rest_server.h"

#include <sys/socket.h>

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/string_view.h"
#include "gateway/certificate_names.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using client::MonotonicTime;
using TlsStream = asio::ssl::stream<tcp::socket>;

constexpr auto kUseTuple = asio::as_tuple(asio::use_awaitable);
// What a read takes at most: little, for idle connections hold it too, and more for a body.
constexpr size_t kReadBytes = 4 << 10;
constexpr size_t kBodyReadBytes = 64 << 10;
// How much of a refused request is read after the reply, so that closing does not reset it away.
constexpr size_t kLingerBytes = 256 << 10;
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::chrono::milliseconds kAcceptRest{100};
// When the server stops: how long replies may take to leave, and how often that is looked at.
constexpr std::chrono::seconds kLastWords{1};
constexpr std::chrono::milliseconds kLastSweeps{20};
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

tcp::socket& SocketOf(tcp::socket& stream) { return stream; }
tcp::socket& SocketOf(TlsStream& stream) { return stream.next_layer(); }

// What all threads share.
struct Shared {
  Shared(const RestServer::Options& options_in, const RestHandler& handler_in, Engine& engine_in,
         const client::Clock& clock_in)
      : options(options_in), handler(handler_in), engine(engine_in), clock(clock_in) {}

  const RestServer::Options options;
  const RestHandler& handler;
  Engine& engine;
  const client::Clock& clock;
  std::atomic<bool> draining = false;
  std::atomic<int64_t> body_bytes = 0;
  std::atomic<uint64_t> connections = 0;
  std::atomic<uint64_t> requests = 0;
  std::atomic<uint64_t> refused_connections = 0;
  std::atomic<uint64_t> refused_requests = 0;
  std::atomic<uint64_t> remembered = 0;
};

// What the sweep needs to know of a connection.
struct Guarded {
  tcp::socket* socket = nullptr;
  MonotonicTime deadline = MonotonicTime::max();  // then it is closed
  bool midway = false;                            // in a request, over no TLS: told why
  bool idle = false;                              // between requests
  std::shared_ptr<OngoingCall> ongoing;           // what it waits for
};

// One thread with what lives on it.
class Worker {
 public:
  explicit Worker(Shared& shared) : shared_(shared), acceptor_(context_), timer_(context_) {}

  absl::Status Listen(const tcp::endpoint& endpoint);
  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void Run();
  void Drain();
  void Stop();

 private:
  friend class Registration;

  static asio::awaitable<void> AcceptAll(Worker* self);
  static asio::awaitable<void> Sweep(Worker* self);
  void Take(tcp::socket socket);
  std::string_view Date();

  template <typename Stream>
  friend class Connection;

  Shared& shared_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer timer_;
  std::list<Guarded*> guarded_;
  MonotonicTime ends_at_ = MonotonicTime::max();  // then no connection is left; set by Stop
  RestMemory memory_;
  RestCall scratch_call_;  // of the hot path; keeps its room from call to call
  absl::Time date_at_ = absl::InfinitePast();
  std::string date_;
  std::thread thread_;
};

// A connection's place in the sweep, for as long as it lives.
class Registration {
 public:
  Registration(Worker& worker, Guarded& guarded)
      : worker_(worker), place_(worker.guarded_.insert(worker.guarded_.end(), &guarded)) {}
  ~Registration() {
    worker_.guarded_.erase(place_);
    worker_.shared_.connections.fetch_sub(1);
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  Worker& worker_;
  const std::list<Guarded*>::iterator place_;
};

// Bytes of bodies that are counted as long as this lives.
class BodyShare {
 public:
  explicit BodyShare(Shared& shared) : shared_(shared) {}
  ~BodyShare() { shared_.body_bytes.fetch_sub(taken_); }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;

  bool Take(int64_t bytes) {
    taken_ += bytes;
    return shared_.body_bytes.fetch_add(bytes) + bytes <= shared_.options.max_body_bytes_in_hand;
  }
  void Release() { shared_.body_bytes.fetch_sub(std::exchange(taken_, 0)); }
  bool empty() const { return taken_ == 0; }

 private:
  Shared& shared_;
  int64_t taken_ = 0;
};

// Replies that wait to be written. Short ones are one text, so that they leave in one piece without
// being gathered.
class ReplyBatch {
 public:
  void Add(std::string_view head, const std::shared_ptr<const RestBody>& body) {
    if (pieces_.empty() || pieces_.back().body != nullptr) pieces_.emplace_back();
    Piece& piece = pieces_.back();
    piece.text += head;
    bytes_ += head.size();
    ++replies_;
    if (body == nullptr) return;
    bytes_ += body->bytes.size();
    if (body->bytes.size() <= kCopiedBytes) {
      piece.text += body->bytes;
    } else {
      piece.body = body;
    }
  }

  bool empty() const { return bytes_ == 0; }
  bool full() const { return bytes_ >= kMaxBytes || replies_ >= kMaxReplies; }

  // What is left of it.
  std::vector<asio::const_buffer> Buffers() const {
    std::vector<asio::const_buffer> buffers;
    size_t skipped = 0;
    const auto add = [&](const std::string& text) {
      const size_t skip = std::min(text.size(), written_ - skipped);
      skipped += skip;
      if (skip < text.size()) buffers.push_back(asio::buffer(text) + skip);
    };
    for (const Piece& piece : pieces_) {
      add(piece.text);
      if (piece.body != nullptr) add(piece.body->bytes);
    }
    return buffers;
  }

  // Its only piece when nothing of it is written and it is one; else empty.
  std::string_view Whole() const {
    if (pieces_.size() != 1 || written_ > 0 || pieces_[0].body != nullptr) return {};
    return pieces_[0].text;
  }

  void Written(size_t bytes) {
    written_ += bytes;
    if (written_ < bytes_) return;
    // The room is kept for the next reply, unless it is much for a connection that may be idle.
    const bool keeps = pieces_.size() == 1 && pieces_[0].text.capacity() <= kKeptBytes;
    if (keeps) {
      pieces_[0].text.clear();
      pieces_[0].body.reset();
    } else {
      pieces_.clear();
    }
    bytes_ = written_ = replies_ = 0;
  }

 private:
  struct Piece {
    std::string text;
    std::shared_ptr<const RestBody> body;  // after the text
  };
  static constexpr size_t kCopiedBytes = 8 << 10;
  static constexpr size_t kKeptBytes = 8 << 10;
  // Of replies that wait while further pipelined requests are answered.
  static constexpr size_t kMaxBytes = 64 << 10;
  static constexpr size_t kMaxReplies = 64;

  std::vector<Piece> pieces_;
  size_t bytes_ = 0;
  size_t written_ = 0;
  size_t replies_ = 0;
};

// A call that the engine has not answered yet.
struct Pending {
  explicit Pending(const asio::any_io_executor& executor) : wake(executor) {
    wake.expires_at(std::chrono::steady_clock::time_point::max());
  }
  asio::steady_timer wake;
  Answer answer;
  bool done = false;
};

// ---- One connection

template <typename Stream>
class Connection : public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(Worker& worker, Stream stream, std::string peer)
      : worker_(worker),
        shared_(worker.shared_),
        stream_(std::move(stream)),
        peer_(std::move(peer)),
        reader_(shared_.options.limits),
        body_share_(shared_) {
    guarded_.socket = &SocketOf(stream_);
  }

  // Until the connection ends. Keeps itself alive.
  static asio::awaitable<void> Serve(std::shared_ptr<Connection> self) {
    const Registration registration(self->worker_, self->guarded_);
    const bool greeted = co_await self->Greet();
    while (greeted && co_await self->ServeSome()) {
    }
    co_await self->Close();
  }

 private:
  // A call that the engine took and did not answer at once. `head` finds the place where it is
  // remembered, for that may have been given to another meanwhile.
  struct Started {
    RestCall call;
    Engine::Prepared prepared;
    std::string head;
  };

  // TLS, where there is any.
  asio::awaitable<bool> Greet() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      Expect(shared_.options.head_timeout);
      const auto [error] = co_await stream_.async_handshake(TlsStream::server, kUseTuple);
      if (error) co_return false;
      if (shared_.options.tls->asks_for_certificates()) {
        certificate_names_ = CertificateNames(stream_.native_handle());
      }
    }
    co_return true;
  }

  // Answers what has been received, then reads on. False when the connection is to end.
  asio::awaitable<bool> ServeSome() {
    for (;;) {
      bool answered = AnswerRemembered();
      if (!answered && !co_await AnswerNext(answered)) co_return false;
      if (closing_) co_return false;
      if (!answered) break;
      if (!batch_.full() || FlushNow()) continue;
      if (!co_await Flush()) co_return false;
    }
    if (!FlushNow() && !co_await Flush()) co_return false;
    co_return co_await ReadMore();
  }

  asio::awaitable<bool> ReadMore() {
    if (received_.empty() && !reader_.InBody()) {
      if (shared_.draining) co_return false;
      guarded_.idle = true;
      Expect(shared_.options.idle_timeout);
    } else if (fresh_wait_) {
      Expect(reader_.InBody() ? shared_.options.body_timeout : shared_.options.head_timeout);
    }
    fresh_wait_ = false;
    const size_t room = reader_.InBody() ? kBodyReadBytes : kReadBytes;
    if (scratch_.size() != room) scratch_ = std::vector<char>(room);
    guarded_.midway = !guarded_.idle && std::is_same_v<Stream, tcp::socket>;
    const auto [error, bytes] = co_await stream_.async_read_some(asio::buffer(scratch_), kUseTuple);
    guarded_.midway = false;
    fresh_wait_ = guarded_.idle;
    guarded_.idle = false;
    if (error) {
      const bool midway = !received_.empty() || reader_.InBody();
      if (midway && shared_.clock.Now() >= guarded_.deadline) shared_.refused_requests.fetch_add(1);
      co_return false;
    }
    received_.append(scratch_.data(), bytes);
    co_return true;
  }

  // The hot path: a request that came before byte for byte and whose answer needs no waiting. No
  // coroutine, no parsing, little memory to ask for. False when it is none of these; then either
  // nothing has happened or the call is in `started_`.
  bool AnswerRemembered() {
    // What a certificate proves stands in no head.
    if (reader_.InBody() || !certificate_names_.empty()) return false;
    const std::string_view bytes = Received();
    const std::string_view head = bytes.substr(0, HeadLength(bytes));
    RestMemory::Entry* const entry = worker_.memory_.Find(head);
    if (entry == nullptr) return false;
    shared_.remembered.fetch_add(1, std::memory_order_relaxed);
    RestCall& call = worker_.scratch_call_;
    call = entry->call;
    Engine::Prepared prepared;
    const std::optional<Answer> answer = Ask(call, prepared);
    if (!answer) {
      started_ = Started{std::move(call), std::move(prepared), std::string(head)};
      Consume(head.size());
      return false;
    }
    Put(shared_.handler.Reply(call, *answer, worker_.memory_, entry), call.head_only);
    Consume(head.size());
    return true;
  }

  // Answers the request at the front of what was received, if it is whole. False when the
  // connection is to end.
  asio::awaitable<bool> AnswerNext(bool& answered) {
    if (started_) {
      answered = true;
      Started started = *std::exchange(started_, std::nullopt);
      co_return co_await Finish(std::move(started));
    }
    const std::string_view bytes = Received();
    if (bytes.empty()) co_return true;
    size_t consumed = 0;
    const bool began_in_head = !reader_.InBody();
    const HttpRequestReader::State state = reader_.Feed(bytes, consumed);
    std::string head(began_in_head ? bytes.substr(0, consumed) : std::string_view());
    if (state == HttpRequestReader::State::kRefused) {
      co_return Refuse(reader_.refusal());
    }
    Consume(consumed);
    if (reader_.InBody() && !ReserveBody(consumed)) {
      co_return Refuse({503, "the gateway has too many bytes in hand"});
    }
    if (state == HttpRequestReader::State::kNeedsMore) {
      if (began_in_head && reader_.InBody()) {
        fresh_wait_ = true;
        answered = consumed > 0;  // perhaps the body is there already
        if (reader_.TakeExpectation() && Received().empty() && !co_await Promise()) co_return false;
      }
      co_return true;
    }
    answered = true;
    HttpRequest request = reader_.TakeRequest();
    co_return co_await AnswerRequest(std::move(request), std::move(head));
  }

  bool ReserveBody(size_t consumed) {
    if (reader_.body_length()) {
      return !body_share_.empty() ||
             body_share_.Take(static_cast<int64_t>(*reader_.body_length()) + 1);
    }
    return body_share_.Take(static_cast<int64_t>(consumed));
  }

  asio::awaitable<bool> Promise() {
    batch_.Add(kContinue, nullptr);
    co_return co_await Flush();
  }

  asio::awaitable<bool> AnswerRequest(HttpRequest request, std::string head) {
    shared_.requests.fetch_add(1, std::memory_order_relaxed);
    RestHandler::Read read = shared_.handler.ReadRequest(request, certificate_names_);
    body_share_.Release();
    if (!read.call) {
      const bool head_only = request.verb == "HEAD";
      co_return Put(std::move(read.reply), head_only);
    }
    // Only reads without a body: their head is all that there is of them.
    const bool whole = read.call->call.method->IsRead() && request.body.empty();
    if (whole && read.call->call.unreadable.ok() && certificate_names_.empty()) {
      if (RestMemory::Entry* entry = worker_.memory_.Place(head)) entry->call = *read.call;
    }
    if (!whole) head.clear();
    RestCall call = *std::move(read.call);
    co_return co_await Call(std::move(call), std::move(head));
  }

  std::optional<Answer> Ask(RestCall& call, Engine::Prepared& prepared) {
    call.call.started = shared_.clock.Now();
    call.call.peer_source = [this] { return peer_; };
    return shared_.engine.AnswerNow(call.call, prepared);
  }

  asio::awaitable<bool> Call(RestCall call, std::string head) {
    Started started{std::move(call), {}, std::move(head)};
    const std::optional<Answer> answer = Ask(started.call, started.prepared);
    if (!answer) co_return co_await Finish(std::move(started));
    co_return Put(shared_.handler.Reply(started.call, *answer, worker_.memory_,
                                        worker_.memory_.Find(started.head)),
                  started.call.head_only);
  }

  // A call that needs waiting.
  asio::awaitable<bool> Finish(Started started) {
    if (!co_await Flush()) co_return false;
    IncomingCall& incoming = started.call.call;
    const client::MethodSpec* const method = incoming.method;
    incoming.peer = peer_;
    incoming.deadline = MonotonicTime::max();
    const Answer answer = co_await Wait(std::move(incoming), std::move(started.prepared));
    incoming.method = method;
    co_return Put(shared_.handler.Reply(started.call, answer, worker_.memory_,
                                        worker_.memory_.Find(started.head)),
                  started.call.head_only);
  }

  asio::awaitable<Answer> Wait(IncomingCall call, Engine::Prepared prepared) {
    guarded_.deadline = MonotonicTime::max();  // the engine has a deadline of its own
    const auto executor = stream_.get_executor();
    const auto pending = std::make_shared<Pending>(executor);
    const std::shared_ptr<OngoingCall> ongoing = shared_.engine.NewCall();
    shared_.engine.Start(std::move(call), std::move(prepared), ongoing,
                         [pending, executor](Answer answer) {
                           asio::post(executor, [pending, answer = std::move(answer)]() mutable {
                             pending->answer = std::move(answer);
                             pending->done = true;
                             pending->wake.cancel();
                           });
                         });
    guarded_.ongoing = ongoing;
    WatchForEnd(pending, ongoing);
    while (!pending->done) co_await pending->wake.async_wait(kUseTuple);
    guarded_.ongoing = nullptr;
    error_code ignored;
    SocketOf(stream_).cancel(ignored);  // the watch
    co_return std::move(pending->answer);
  }

  // A client that closes its connection wants no answer any more.
  void WatchForEnd(const std::shared_ptr<Pending>& pending,
                   const std::shared_ptr<OngoingCall>& ongoing) {
    tcp::socket& socket = SocketOf(stream_);
    socket.async_wait(tcp::socket::wait_read, [self = this->shared_from_this(), pending,
                                               ongoing](const error_code& error) {
      if (error || pending->done) return;
      char byte = 0;
      const ssize_t peeked =
          recv(SocketOf(self->stream_).native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (peeked == 0 || (peeked < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
        ongoing->Cancel();
      }
    });
  }

  // Adds a reply to those that are to be written. False when the connection ends with it.
  bool Put(RestReply reply, bool head_only) {
    const bool close = reply.close || shared_.draining;
    absl::StrAppend(&reply.head, "date: ", client::ToAbsl(worker_.Date()), "\r\n",
                    close ? "connection: close\r\n\r\n" : "\r\n");
    batch_.Add(reply.head, head_only ? nullptr : reply.body);
    closing_ = close;
    return !close;
  }

  // Writes the batch if that needs no waiting. False when something is left of it.
  bool FlushNow() {
    if (batch_.empty()) return true;
    if constexpr (std::is_same_v<Stream, tcp::socket>) {
      const std::string_view whole = batch_.Whole();
      const ssize_t sent = whole.empty() ? 0
                                         : send(stream_.native_handle(), whole.data(), whole.size(),
                                                MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) batch_.Written(static_cast<size_t>(sent));
    }
    return batch_.empty();
  }

  asio::awaitable<bool> Flush() {
    if (batch_.empty()) co_return true;
    const std::vector<asio::const_buffer> buffers = batch_.Buffers();
    Expect(shared_.options.write_timeout);
    const auto [error, bytes] = co_await asio::async_write(stream_, buffers, kUseTuple);
    batch_.Written(bytes);
    co_return !error;
  }

  bool Refuse(const HttpRefusal& refusal) {
    shared_.refused_requests.fetch_add(1);
    body_share_.Release();
    lingers_ = true;
    return Put(PlainErrorReply(refusal.status, refusal.message), /*head_only=*/false);
  }

  asio::awaitable<void> Close() {
    // Where the last reply says so the connection ends after it.
    const bool sent = closing_ && co_await Flush();
    error_code ignored;
    if (sent && lingers_) co_await Linger();
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      if (sent) {
        Expect(kLingerTime);
        co_await stream_.async_shutdown(kUseTuple);
      }
    }
    SocketOf(stream_).shutdown(tcp::socket::shutdown_both, ignored);
    SocketOf(stream_).close(ignored);
  }

  asio::awaitable<void> Linger() {
    error_code ignored;
    if constexpr (std::is_same_v<Stream, tcp::socket>) {
      stream_.shutdown(tcp::socket::shutdown_send, ignored);
    }
    Expect(kLingerTime);
    for (size_t left = kLingerBytes; left > 0;) {
      const auto [error, bytes] =
          co_await stream_.async_read_some(asio::buffer(scratch_), kUseTuple);
      if (error) co_return;
      left -= std::min(left, bytes);
    }
  }

  void Expect(std::chrono::nanoseconds limit) {
    guarded_.deadline = std::min(shared_.clock.Now() + limit, worker_.ends_at_);
  }

  std::string_view Received() const { return std::string_view(received_).substr(at_); }
  void Consume(size_t bytes) {
    at_ += bytes;
    if (at_ < received_.size()) return;
    at_ = 0;
    received_.clear();
    if (received_.capacity() > 4 * kReadBytes) received_.shrink_to_fit();
  }

  Worker& worker_;
  Shared& shared_;
  Stream stream_;
  const std::string peer_;
  std::vector<std::string> certificate_names_;
  Guarded guarded_;
  std::vector<char> scratch_ = std::vector<char>(kReadBytes);
  std::string received_;
  size_t at_ = 0;  // what stands before it is consumed
  HttpRequestReader reader_;
  BodyShare body_share_;
  ReplyBatch batch_;
  std::optional<Started> started_;
  bool fresh_wait_ = false;  // the next read begins a head or a body
  bool closing_ = false;     // the last reply of the batch ends the connection
  bool lingers_ = false;
};

// ---- One thread

absl::Status Listening(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, bool share) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  const int on = 1;
  if (!error && share &&
      setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
    error = error_code(errno, boost::system::system_category());
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  return error ? absl::UnavailableError(error.message()) : absl::OkStatus();
}

absl::Status Worker::Listen(const tcp::endpoint& endpoint) {
  return Listening(acceptor_, endpoint, /*share=*/true);
}

void Worker::Run() {
  asio::co_spawn(context_, AcceptAll(this), asio::detached);
  asio::co_spawn(context_, Sweep(this), asio::detached);
  thread_ = std::thread([this] { context_.run(); });
}

asio::awaitable<void> Worker::AcceptAll(Worker* self) {
  asio::steady_timer rest(self->context_);
  for (;;) {
    auto [error, socket] = co_await self->acceptor_.async_accept(kUseTuple);
    if (self->shared_.draining) co_return;
    if (error) {
      // No descriptor is left, perhaps.
      rest.expires_after(kAcceptRest);
      co_await rest.async_wait(kUseTuple);
      continue;
    }
    self->Take(std::move(socket));
  }
}

void Worker::Take(tcp::socket socket) {
  if (shared_.connections.fetch_add(1) >= shared_.options.max_connections) {
    shared_.connections.fetch_sub(1);
    shared_.refused_connections.fetch_add(1);
    return;
  }
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  const tcp::endpoint remote = socket.remote_endpoint(ignored);
  // As gRPC writes a peer's name, which is what quotas by address go by.
  const std::string peer =
      remote.address().is_v6()
          ? absl::StrCat("ipv6:[", remote.address().to_string(), "]:", remote.port())
          : absl::StrCat("ipv4:", remote.address().to_string(), ":", remote.port());
  if (shared_.options.tls == nullptr) {
    auto connection = std::make_shared<Connection<tcp::socket>>(*this, std::move(socket), peer);
    asio::co_spawn(context_, Connection<tcp::socket>::Serve(std::move(connection)), asio::detached);
    return;
  }
  const std::shared_ptr<asio::ssl::context> tls = shared_.options.tls->Context();
  auto connection =
      std::make_shared<Connection<TlsStream>>(*this, TlsStream(std::move(socket), *tls), peer);
  asio::co_spawn(context_, Connection<TlsStream>::Serve(std::move(connection)), asio::detached);
}

asio::awaitable<void> Worker::Sweep(Worker* self) {
  const RestReply slow = PlainErrorReply(408, "the request took too long to arrive");
  const std::string too_slow =
      absl::StrCat(slow.head, "connection: close\r\n\r\n", slow.body->bytes);
  for (;;) {
    const bool hurried = self->ends_at_ != MonotonicTime::max();
    self->timer_.expires_after(hurried ? kLastSweeps : self->shared_.options.sweep_interval);
    co_await self->timer_.async_wait(kUseTuple);
    const bool ending = self->ends_at_ != MonotonicTime::max();
    if (ending && self->guarded_.empty()) co_return;
    const MonotonicTime now = self->shared_.clock.Now();
    for (Guarded* guarded : self->guarded_) {
      error_code ignored;
      if (now < guarded->deadline) continue;
      if (guarded->midway) {
        // Nothing was written that it does not have, so there is room.
        (void)send(guarded->socket->native_handle(), too_slow.data(), too_slow.size(),
                   MSG_DONTWAIT | MSG_NOSIGNAL);
      }
      guarded->socket->close(ignored);
    }
  }
}

void Worker::Drain() {
  asio::post(context_, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    for (Guarded* guarded : guarded_) {
      if (guarded->idle) guarded->socket->close(ignored);
    }
  });
}

void Worker::Stop() {
  asio::post(context_, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    // What was answered just now may still be written.
    ends_at_ = shared_.clock.Now() + kLastWords;
    for (Guarded* guarded : guarded_) {
      guarded->deadline = std::min(guarded->deadline, ends_at_);
      if (guarded->ongoing != nullptr) guarded->ongoing->Cancel();
      if (guarded->idle) guarded->socket->close(ignored);
    }
    timer_.cancel();  // so that the sweep sees it
  });
  // Ends when the last connection has.
  if (thread_.joinable()) thread_.join();
}

std::string_view Worker::Date() {
  const absl::Time now = shared_.clock.WallNow();
  if (now - date_at_ >= absl::Seconds(1) || now < date_at_) {
    date_at_ = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
    date_ = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
  }
  return date_;
}

}  // namespace

// ---- All of them

class RestServer::Impl {
 public:
  Impl(const Options& options, const RestHandler& handler, Engine& engine,
       const client::Clock& clock)
      : shared(options, handler, engine, clock) {}

  absl::Status Listen() {
    const std::string where =
        absl::StrCat("REST address ", shared.options.host, " port ", shared.options.port);
    error_code error;
    const std::string literal =
        shared.options.host == "localhost" ? "127.0.0.1" : shared.options.host;
    const asio::ip::address address = asio::ip::make_address(literal, error);
    if (error) return absl::InvalidArgumentError(where + ": expected an IP address");
    tcp::endpoint endpoint(address, shared.options.port);
    // SO_REUSEPORT would let a second gateway take every other connection, so the port is first
    // asked for alone.
    if (endpoint.port() != 0) {
      asio::io_context scratch;
      tcp::acceptor alone(scratch);
      const absl::Status free = Listening(alone, endpoint, /*share=*/false);
      if (!free.ok()) {
        return absl::UnavailableError(absl::StrCat(where, ": cannot listen: ", free.message()));
      }
    }
    for (int i = 0; i < shared.options.threads; ++i) {
      workers.push_back(std::make_unique<Worker>(shared));
      const absl::Status listening = workers.back()->Listen(endpoint);
      if (!listening.ok()) {
        return absl::UnavailableError(
            absl::StrCat(where, ": cannot listen: ", listening.message()));
      }
      endpoint.port(workers.front()->port());
    }
    for (const auto& worker : workers) worker->Run();
    return absl::OkStatus();
  }

  Shared shared;
  std::vector<std::unique_ptr<Worker>> workers;
  bool stopped = false;
};

RestServer::RestServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

RestServer::~RestServer() { Stop(); }

absl::StatusOr<std::unique_ptr<RestServer>> RestServer::Start(const Options& options,
                                                              const RestHandler& handler,
                                                              Engine& engine,
                                                              const client::Clock& clock) {
  auto impl = std::make_unique<Impl>(options, handler, engine, clock);
  if (absl::Status status = impl->Listen(); !status.ok()) return status;
  return std::unique_ptr<RestServer>(new RestServer(std::move(impl)));
}

uint16_t RestServer::port() const { return impl_->workers.front()->port(); }

RestServer::Stats RestServer::GetStats() const {
  const Shared& shared = impl_->shared;
  return {.connections = shared.connections,
          .requests = shared.requests + shared.remembered,
          .refused_connections = shared.refused_connections,
          .refused_requests = shared.refused_requests,
          .remembered = shared.remembered};
}

void RestServer::Drain() {
  impl_->shared.draining = true;
  for (const auto& worker : impl_->workers) worker->Drain();
}

void RestServer::Stop() {
  if (std::exchange(impl_->stopped, true)) return;
  impl_->shared.draining = true;
  for (const auto& worker : impl_->workers) worker->Stop();
}

}  // namespace semaphore::gateway
