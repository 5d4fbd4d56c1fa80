#include "gateway/http_request_reader.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr uint32_t kNoLimitOfBeast = 1 << 30;  // ours are checked before it sees a byte

std::string_view ToStd(beast::string_view text) { return {text.data(), text.size()}; }

// What Beast would let pass and others read otherwise.
std::optional<std::string> Ambiguity(std::string_view head) {
  for (size_t i = 0; i < head.size(); ++i) {
    const char c = head[i];
    if (c == '\0') return "the head holds a NUL";
    if (c == '\r' && (i + 1 == head.size() || head[i + 1] != '\n')) {
      return "the head holds a CR without LF";
    }
    if (c != '\n') continue;
    if (i == 0 || head[i - 1] != '\r') return "the head holds an LF without CR";
    if (i + 1 < head.size() && (head[i + 1] == ' ' || head[i + 1] == '\t')) {
      return "the head holds a folded line";
    }
  }
  return std::nullopt;
}

}  // namespace

struct HttpRequestReader::Parser {
  http::request_parser<http::string_body> beast;
};

std::string_view HttpRequest::First(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return {};
}

std::vector<std::string> HttpRequest::All(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : fields) {
    if (key == name) values.push_back(value);
  }
  return values;
}

size_t HeadLength(std::string_view bytes) {
  const size_t end = bytes.find(kHeadEnd);
  return end == std::string_view::npos ? 0 : end + kHeadEnd.size();
}

HttpRequestReader::HttpRequestReader(const HttpLimits& limits) : limits_(limits) {}
HttpRequestReader::~HttpRequestReader() = default;

HttpRequestReader::State HttpRequestReader::Feed(std::string_view bytes, size_t& consumed) {
  consumed = 0;
  if (parser_ != nullptr) return FeedBody(bytes, consumed);
  // An empty line before a request is a leftover of the one before (RFC 9112, section 2.2).
  while (bytes.starts_with("\r\n")) {
    bytes.remove_prefix(2);
    consumed += 2;
  }
  size_t used = 0;
  const State state = FeedHead(bytes, used);
  consumed += used;
  return state;
}

HttpRequestReader::State HttpRequestReader::FeedHead(std::string_view bytes, size_t& consumed) {
  const size_t length = HeadLength(bytes.substr(0, limits_.head_bytes));
  if (length == 0) {
    if (bytes.size() < limits_.head_bytes) return State::kNeedsMore;
    const bool whole_line = bytes.substr(0, limits_.head_bytes).find('\n') != bytes.npos;
    return whole_line
               ? Refuse(431, absl::StrCat("the head is longer than ", limits_.head_bytes, " bytes"))
               : Refuse(414, absl::StrCat("the target is longer than ", limits_.target_bytes,
                                          " bytes"));
  }
  const std::string_view head = bytes.substr(0, length);
  if (const std::optional<std::string> wrong = Ambiguity(head)) return Refuse(400, *wrong);
  parser_ = std::make_unique<Parser>();
  parser_->beast.header_limit(kNoLimitOfBeast);
  parser_->beast.body_limit(limits_.body_bytes);
  parser_->beast.eager(true);
  beast::error_code error;
  consumed = parser_->beast.put(asio::buffer(head.data(), head.size()), error);
  if (error == http::error::bad_version) return Refuse(505, "only HTTP/1.1 and 1.0 are spoken");
  if (error == http::error::body_limit) {
    return Refuse(413, absl::StrCat("the body is longer than ", limits_.body_bytes, " bytes"));
  }
  if (error == http::error::bad_transfer_encoding) {
    return Refuse(400, "transfer-encoding and content-length contradict each other");
  }
  if (error && error != http::error::need_more) {
    return Refuse(400, absl::StrCat("not an HTTP request: ", error.message()));
  }
  if (!parser_->beast.is_header_done()) return Refuse(400, "not an HTTP request");
  return TakeHead();
}

// Framing and host, as RFC 9112 demands of a server.
HttpRequestReader::State HttpRequestReader::TakeHead() {
  const auto& message = parser_->beast.get();
  request_ = {};
  request_.verb = ToStd(message.method_string());
  request_.target = ToStd(message.target());
  request_.keep_alive = message.keep_alive();
  size_t lengths = 0;
  size_t codings = 0;
  size_t hosts = 0;
  for (const auto& field : message) {
    std::string name = absl::AsciiStrToLower(client::ToAbsl(ToStd(field.name_string())));
    lengths += name == "content-length" ? 1 : 0;
    codings += name == "transfer-encoding" ? 1 : 0;
    hosts += name == "host" ? 1 : 0;
    request_.fields.emplace_back(std::move(name), ToStd(field.value()));
  }
  const bool old = message.version() < 11;
  if (request_.target.size() > limits_.target_bytes) {
    return Refuse(414, absl::StrCat("the target is longer than ", limits_.target_bytes, " bytes"));
  }
  if (lengths > 1) return Refuse(400, "content-length was sent more than once");
  if (lengths + codings > 1) return Refuse(400, "the body has two lengths");
  if (codings == 1 && old) return Refuse(400, "HTTP/1.0 knows no transfer-encoding");
  if (codings == 1 && !absl::EqualsIgnoreCase(client::ToAbsl(request_.First("transfer-encoding")),
                                              "chunked")) {
    return Refuse(501, "the only transfer-encoding understood is chunked");
  }
  if (hosts > 1 || (hosts == 0 && !old)) return Refuse(400, "expected exactly one host");
  const std::string_view expect = request_.First("expect");
  if (!expect.empty()) {
    if (!absl::EqualsIgnoreCase(client::ToAbsl(expect), "100-continue")) {
      return Refuse(417, "the only expectation understood is 100-continue");
    }
    expectation_ = !old;
  }
  if (!parser_->beast.is_done()) return State::kNeedsMore;
  expectation_ = false;
  return State::kDone;
}

HttpRequestReader::State HttpRequestReader::FeedBody(std::string_view bytes, size_t& consumed) {
  while (consumed < bytes.size() && !parser_->beast.is_done()) {
    beast::error_code error;
    const std::string_view rest = bytes.substr(consumed);
    const size_t used = parser_->beast.put(asio::buffer(rest.data(), rest.size()), error);
    consumed += used;
    if (error == http::error::body_limit) {
      return Refuse(413, absl::StrCat("the body is longer than ", limits_.body_bytes, " bytes"));
    }
    if (error && error != http::error::need_more) {
      return Refuse(400, absl::StrCat("not a body: ", error.message()));
    }
    if (used == 0) break;
  }
  if (parser_->beast.is_done()) return State::kDone;
  // What is not consumed of a chunk's head or of trailers may not grow without end.
  if (bytes.size() - consumed > limits_.head_bytes) return Refuse(400, "a chunk's head is too long");
  return State::kNeedsMore;
}

HttpRequestReader::State HttpRequestReader::Refuse(int status, std::string message) {
  refusal_ = {status, std::move(message)};
  return State::kRefused;
}

HttpRequest HttpRequestReader::TakeRequest() {
  request_.body = std::move(parser_->beast.get().body());
  parser_.reset();
  expectation_ = false;
  return std::move(request_);
}

const HttpRefusal& HttpRequestReader::refusal() const { return refusal_; }

bool HttpRequestReader::InBody() const { return parser_ != nullptr && !parser_->beast.is_done(); }

std::optional<uint64_t> HttpRequestReader::body_length() const {
  const auto length = parser_ == nullptr ? boost::none : parser_->beast.content_length();
  return length ? std::optional<uint64_t>(*length) : std::nullopt;
}

bool HttpRequestReader::TakeExpectation() { return std::exchange(expectation_, false); }

}  // namespace semaphore::gateway
