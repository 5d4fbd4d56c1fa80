#include "tests/simulator/connection.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/reply_text.h"

namespace semaphore::simulator {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxBodyBytes = 8 << 20;
constexpr size_t kMaxWaitingBytes = 1 << 20;  // sent by a client while it waits for a reply
constexpr size_t kMaxIgnoredBytes =
    256 << 20;  // read and thrown away so that a client hears an early end
constexpr auto kHandshakeLimit = std::chrono::seconds(30);
constexpr auto kWriteLimit = std::chrono::minutes(5);
constexpr auto kGoodbyeLimit = std::chrono::seconds(5);

class Connection {
 public:
  Connection(tcp::socket socket, asio::ssl::context& tls, const ServerOptions& options,
             ServerParts& parts, HoldGate& gate)
      : stream_(std::move(socket), tls),
        options_(options),
        parts_(parts),
        gate_(gate),
        number_(parts.ledger.ConnectionOpened()) {}
  ~Connection() { parts_.ledger.ConnectionClosed(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  asio::awaitable<void> Run();

 private:
  asio::awaitable<bool> Handshake();
  asio::awaitable<bool> ReadClientHello();
  asio::awaitable<bool> ServeOne();
  asio::awaitable<void> RefuseUnreadable(error_code error);
  asio::awaitable<bool> Deliver(Reply reply, std::optional<Fault> fault, bool keep_alive,
                                bool without_body);
  asio::awaitable<bool> Write(std::string_view bytes);
  asio::awaitable<bool> WriteSlowly(std::string_view bytes, size_t piece_bytes,
                                    absl::Duration piece_delay);

  // Each gives false when the connection has ended.
  asio::awaitable<bool> Disturb(Fault fault);
  asio::awaitable<bool> Pause(absl::Duration length);
  asio::awaitable<bool> Hold();
  asio::awaitable<bool> WaitWhileConnected(asio::steady_timer& timer);
  asio::awaitable<bool> ReadMore();

  asio::awaitable<void> StaySilent();
  asio::awaitable<void> CutOff();
  asio::awaitable<void> SayGoodbye();
  void Reset();
  asio::awaitable<void> IgnoreInput(size_t most_bytes);

  beast::tcp_stream& tcp_layer() { return stream_.next_layer(); }

  beast::ssl_stream<beast::tcp_stream> stream_;
  beast::flat_buffer buffer_{kMaxWaitingBytes};  // received, not used yet
  bool encrypted_ = false;                       // the handshake is done
  const ServerOptions& options_;
  ServerParts& parts_;
  HoldGate& gate_;
  const uint64_t number_;
};

asio::awaitable<void> WaitFor(asio::steady_timer& timer) { co_await timer.async_wait(kAwait); }

Request ToRequest(const Parser::value_type& message) {
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message) {
    request.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())),
                                 std::string(field.value()));
  }
  request.body = message.body();
  return request;
}

asio::awaitable<void> Connection::Run() {
  const std::optional<Fault> fault = parts_.faults.TakeForConnection(number_, FaultStage::kAccept);
  if (fault) {
    const bool go_on = co_await Disturb(*fault);
    if (!go_on) co_return;
  }
  const bool ready = co_await Handshake();
  if (!ready) co_return;
  for (;;) {
    const bool go_on = co_await ServeOne();
    if (!go_on) co_return;
  }
}

asio::awaitable<bool> Connection::Handshake() {
  const std::optional<Fault> fault =
      parts_.faults.TakeForConnection(number_, FaultStage::kHandshake);
  tcp_layer().expires_after(kHandshakeLimit);
  if (fault) {
    const bool greeted = co_await ReadClientHello();
    if (!greeted) co_return false;
    const bool go_on = co_await Disturb(*fault);
    if (!go_on) co_return false;
    tcp_layer().expires_after(kHandshakeLimit);
  }
  const auto [error, used] =
      co_await stream_.async_handshake(asio::ssl::stream_base::server, buffer_.data(), kAwait);
  buffer_.consume(buffer_.size());
  encrypted_ = true;
  co_return !error;
}

// Waits until the buffer holds the whole first TLS record.
asio::awaitable<bool> Connection::ReadClientHello() {
  constexpr size_t kRecordHeaderBytes = 5;
  for (;;) {
    if (buffer_.size() >= kRecordHeaderBytes) {
      const auto* bytes = static_cast<const unsigned char*>(buffer_.cdata().data());
      const size_t record_bytes = static_cast<size_t>(bytes[3]) << 8 | bytes[4];
      if (buffer_.size() >= kRecordHeaderBytes + record_bytes) co_return true;
    }
    const bool more = co_await ReadMore();
    if (!more) co_return false;
  }
}

// One request and its reply. False when the connection ends after it.
asio::awaitable<bool> Connection::ServeOne() {
  Parser parser;
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(kMaxBodyBytes);
  tcp_layer().expires_after(absl::ToChronoMilliseconds(options_.idle_timeout));
  const auto [head_error, head_bytes] =
      co_await http::async_read_header(stream_, buffer_, parser, kAwait);
  if (head_error) {
    co_await RefuseUnreadable(head_error);
    co_return false;
  }
  const std::string method(parser.get().method_string());
  const std::string target(parser.get().target());
  const bool own = target.starts_with("/_simulator/");
  std::optional<Fault> fault;
  if (!own) fault = parts_.faults.TakeForRequest(method, target, number_);

  const auto record = [&](const Request& request, bool complete) {
    if (own) return;
    RecordedRequest recorded = parts_.describe(request);
    recorded.connection = number_;
    recorded.tls_session_resumed = SSL_session_reused(stream_.native_handle()) == 1;
    recorded.complete = complete;
    if (fault) recorded.fault = FaultActionWord(fault->action);
    parts_.ledger.Record(std::move(recorded));
  };
  if (fault && fault->stage == FaultStage::kRequest) {
    const bool passing =
        fault->action == FaultAction::kDelay || fault->action == FaultAction::kHold;
    if (!passing) record(ToRequest(parser.get()), false);
    const bool go_on = co_await Disturb(*fault);
    if (!go_on && passing) record(ToRequest(parser.get()), false);
    if (!go_on) co_return false;
  }
  tcp_layer().expires_after(absl::ToChronoMilliseconds(options_.idle_timeout));
  if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    const bool invited = co_await Write("HTTP/1.1 100 Continue\r\n\r\n");
    if (!invited) co_return false;
  }
  const auto [body_error, body_bytes] = co_await http::async_read(stream_, buffer_, parser, kAwait);
  if (body_error) {
    co_await RefuseUnreadable(body_error);
    co_return false;
  }
  const Request request = ToRequest(parser.get());
  record(request, true);
  if (fault && fault->stage == FaultStage::kRequest) fault.reset();

  const bool replaced =
      fault && (fault->action == FaultAction::kAnswer || fault->action == FaultAction::kHugeBody ||
                fault->action == FaultAction::kDeepBody);
  Reply reply;
  if (!replaced || fault->carry_out) reply = parts_.answer(request);
  const bool keep_alive = parser.get().keep_alive();
  const bool go_on =
      co_await Deliver(std::move(reply), std::move(fault), keep_alive, method == "HEAD");
  co_return go_on;
}

// Answers what can be answered when a request is not HTTP or too large, and ends the connection.
asio::awaitable<void> Connection::RefuseUnreadable(error_code error) {
  Reply reply;
  if (error == http::error::body_limit) {
    reply = RawTextReply(413, "Something went wrong");
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    reply = PlainTextReply(431, "");
  } else if (error != http::error::end_of_stream && error != http::error::partial_message &&
             error.category() == http::make_error_code(http::error::end_of_stream).category()) {
    reply = PlainTextReply(400, "Bad Request");
  } else {
    if (error == http::error::end_of_stream) co_await SayGoodbye();
    co_return;
  }
  const bool sent = co_await Deliver(std::move(reply), std::nullopt, false, false);
  static_cast<void>(sent);
}

void ReplaceBody(Reply& reply, const Fault& fault) {
  if (fault.action == FaultAction::kAnswer) {
    reply = {.status = fault.status, .headers = fault.headers, .body = fault.body};
  } else if (fault.action == FaultAction::kHugeBody) {
    constexpr std::string_view kFrame = R"({"padding":""})";
    const size_t bytes = fault.megabytes << 20;
    reply = {.status = 200, .headers = {}, .body = R"({"padding":")"};
    reply.body.append(bytes - std::min(bytes, kFrame.size()), 'x');
    reply.body += "\"}";
  } else if (fault.action == FaultAction::kDeepBody) {
    reply = {.status = 200, .headers = {}, .body = std::string(fault.depth, '[')};
    reply.body.append(fault.depth, ']');
  }
}

asio::awaitable<bool> Connection::Deliver(Reply reply, std::optional<Fault> fault, bool keep_alive,
                                          bool without_body) {
  const FaultAction action = fault ? fault->action : FaultAction::kDelay;
  const bool truncated = action == FaultAction::kTruncatedChunks;
  if (fault) ReplaceBody(reply, *fault);
  const std::string reason(http::obsolete_reason(static_cast<http::status>(reply.status)));
  const ReplyText text = ToText(reply, {.reason = reason,
                                        .chunked = options_.chunked_replies || truncated ||
                                                   action == FaultAction::kChunkedBody,
                                        .last_chunk = !truncated,
                                        .keep_alive = keep_alive,
                                        .without_body = without_body});
  const std::string_view bytes = text.bytes;
  size_t sent = 0;
  if (fault) {
    if (StrikesAtStage(action)) {
      sent = text.BytesBefore(fault->stage);
      const bool written = co_await Write(bytes.substr(0, sent));
      if (!written) co_return false;
    }
    const bool go_on = co_await Disturb(*fault);
    if (!go_on) co_return false;
  }
  if (action == FaultAction::kSlowBody) {
    const bool head_sent = co_await Write(bytes.substr(0, text.head_bytes));
    if (!head_sent) co_return false;
    const bool body_sent =
        co_await WriteSlowly(bytes.substr(text.head_bytes), fault->piece_bytes, fault->piece_delay);
    if (!body_sent) co_return false;
  } else {
    const bool written = co_await Write(bytes.substr(sent));
    if (!written) co_return false;
  }
  if (truncated) {
    co_await CutOff();
    co_return false;
  }
  if (!keep_alive) co_await SayGoodbye();
  co_return keep_alive;
}

asio::awaitable<bool> Connection::Write(std::string_view bytes) {
  if (bytes.empty()) co_return true;
  tcp_layer().expires_after(kWriteLimit);
  const auto [error, written] =
      co_await asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()), kAwait);
  co_return !error;
}

asio::awaitable<bool> Connection::WriteSlowly(std::string_view bytes, size_t piece_bytes,
                                              absl::Duration piece_delay) {
  for (size_t begin = 0; begin < bytes.size(); begin += piece_bytes) {
    const bool written = co_await Write(bytes.substr(begin, piece_bytes));
    if (!written) co_return false;
    const bool go_on = co_await Pause(piece_delay);
    if (!go_on) co_return false;
  }
  co_return true;
}

asio::awaitable<bool> Connection::Disturb(Fault fault) {
  if (fault.delay > absl::ZeroDuration()) {
    const bool go_on = co_await Pause(fault.delay);
    if (!go_on) co_return false;
  }
  switch (fault.action) {
    case FaultAction::kHold: {
      const bool go_on = co_await Hold();
      co_return go_on;
    }
    case FaultAction::kSilence:
      co_await StaySilent();
      co_return false;
    case FaultAction::kClose:
      co_await CutOff();
      co_return false;
    case FaultAction::kTlsClose:
      co_await SayGoodbye();
      co_return false;
    case FaultAction::kReset:
      Reset();
      co_return false;
    default:
      co_return true;
  }
}

asio::awaitable<bool> Connection::Pause(absl::Duration length) {
  asio::steady_timer timer(stream_.get_executor(), absl::ToChronoMicroseconds(length));
  const bool go_on = co_await WaitWhileConnected(timer);
  co_return go_on;
}

asio::awaitable<bool> Connection::Hold() {
  struct Held {
    Connection& connection;
    asio::steady_timer& timer;
    Held(Connection& of, asio::steady_timer& with) : connection(of), timer(with) {
      connection.gate_.Enter(&timer);
      connection.parts_.ledger.HoldStarted();
    }
    ~Held() {
      connection.gate_.Leave(&timer);
      connection.parts_.ledger.HoldEnded();
    }
  };
  asio::steady_timer timer(stream_.get_executor(), asio::steady_timer::time_point::max());
  const Held held(*this, timer);
  const bool go_on = co_await WaitWhileConnected(timer);
  co_return go_on;
}

// Reads while it waits, so that a client that goes away is noticed at once.
asio::awaitable<bool> Connection::WaitWhileConnected(asio::steady_timer& timer) {
  using asio::experimental::awaitable_operators::operator||;
  tcp_layer().expires_never();
  for (;;) {
    const std::variant<std::monostate, bool> first = co_await (WaitFor(timer) || ReadMore());
    if (first.index() == 0) co_return true;
    if (!std::get<1>(first)) co_return false;
  }
}

asio::awaitable<bool> Connection::ReadMore() {
  constexpr size_t kReadBytes = 16 << 10;
  if (buffer_.size() + kReadBytes > kMaxWaitingBytes) co_return false;
  size_t received = 0;
  error_code error;
  if (encrypted_) {
    std::tie(error, received) =
        co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
  } else {
    std::tie(error, received) =
        co_await tcp_layer().async_read_some(buffer_.prepare(kReadBytes), kAwait);
  }
  buffer_.commit(received);
  co_return !error;
}

asio::awaitable<void> Connection::StaySilent() {
  tcp_layer().expires_never();
  co_await IgnoreInput(kMaxIgnoredBytes);
}

// Waits a little for the other side's end, since closing with unread input would send a reset.
asio::awaitable<void> Connection::CutOff() {
  error_code error;
  tcp_layer().socket().shutdown(tcp::socket::shutdown_send, error);
  tcp_layer().expires_after(kGoodbyeLimit);
  co_await IgnoreInput(kMaxIgnoredBytes);
}

asio::awaitable<void> Connection::SayGoodbye() {
  tcp_layer().expires_after(kGoodbyeLimit);
  // Whatever comes of it: the next line ends the stream in any case.
  static_cast<void>(co_await stream_.async_shutdown(kAwait));
  co_await CutOff();
}

void Connection::Reset() {
  error_code error;
  tcp_layer().socket().set_option(asio::socket_base::linger(true, 0), error);
  tcp_layer().socket().close(error);
}

asio::awaitable<void> Connection::IgnoreInput(size_t most_bytes) {
  std::array<char, 16 << 10> ignored;
  for (size_t total = 0; total < most_bytes;) {
    const auto [error, received] =
        co_await tcp_layer().async_read_some(asio::buffer(ignored), kAwait);
    if (error) co_return;
    total += received;
  }
}

}  // namespace

asio::awaitable<void> ServeConnection(tcp::socket socket, asio::ssl::context& tls,
                                      const ServerOptions& options, ServerParts& parts,
                                      HoldGate& gate) {
  Connection connection(std::move(socket), tls, options, parts, gate);
  co_await connection.Run();
}

}  // namespace semaphore::simulator
