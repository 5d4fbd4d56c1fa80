#include "gateway/http_request_reader.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>
#include <utility>

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
constexpr size_t kMaxChunkLineBytes = 256;

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

// A number without sign, space or prefix, and not so long that it could overflow.
std::optional<uint64_t> Digits(std::string_view text, int base) {
  constexpr size_t kMaxDigits = 15;
  if (text.empty() || text.size() > kMaxDigits) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional<uint64_t>(value) : std::nullopt;
}

// No control character but the tab.
bool IsText(std::string_view line) {
  return std::none_of(line.begin(), line.end(),
                      [](unsigned char c) { return absl::ascii_iscntrl(c) && c != '\t'; });
}

// A name or an address, perhaps with a port; may be empty. Whose it is, is not looked at.
bool IsHost(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) ||
           std::string_view("-._~[]:%").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// Proxies are asked with "http://host/path"; a server must understand it, too (RFC 9112, section
// 3.2.2).
std::string OriginForm(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(client::ToAbsl(target), client::ToAbsl(scheme))) continue;
    const size_t path = target.find_first_of("/?", scheme.size());
    if (path == std::string_view::npos) return "/";
    return absl::StrCat(target[path] == '?' ? "/" : "", client::ToAbsl(target.substr(path)));
  }
  return std::string(target);
}

}  // namespace

struct HttpRequestReader::Head {
  http::request_parser<http::empty_body> beast;
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

HttpRequestReader::State HttpRequestReader::Feed(std::string_view bytes, size_t& consumed) {
  consumed = 0;
  if (part_ != Part::kHead) return FeedBody(bytes, consumed);
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
               : Refuse(414,
                        absl::StrCat("the target is longer than ", limits_.target_bytes, " bytes"));
  }
  const std::string_view text = bytes.substr(0, length);
  if (const std::optional<std::string> wrong = Ambiguity(text)) return Refuse(400, *wrong);
  Head head;
  head.beast.header_limit(kNoLimitOfBeast);
  head.beast.body_limit(boost::none);
  beast::error_code error;
  consumed = head.beast.put(asio::buffer(text.data(), text.size()), error);
  if (error == http::error::bad_version) return Refuse(505, "only HTTP/1.1 and 1.0 are spoken");
  if (error == http::error::bad_transfer_encoding) {
    return Refuse(400, "transfer-encoding and content-length contradict each other");
  }
  if (error && error != http::error::need_more) {
    return Refuse(400, absl::StrCat("not an HTTP request: ", error.message()));
  }
  if (!head.beast.is_header_done() || consumed != length) return Refuse(400, "not an HTTP request");
  return TakeHead(head);
}

HttpRequestReader::State HttpRequestReader::TakeHead(const Head& head) {
  const auto& message = head.beast.get();
  const bool old = message.version() < 11;
  request_ = {};
  request_.verb = ToStd(message.method_string());
  request_.target = OriginForm(ToStd(message.target()));
  // What HTTP/1.0 means by keep-alive is to be agreed on in the reply; nobody needs it today.
  request_.keep_alive = message.keep_alive() && !old;
  for (const auto& field : message) {
    request_.fields.emplace_back(absl::AsciiStrToLower(client::ToAbsl(ToStd(field.name_string()))),
                                 ToStd(field.value()));
  }
  if (request_.target.size() > limits_.target_bytes) {
    return Refuse(414, absl::StrCat("the target is longer than ", limits_.target_bytes, " bytes"));
  }
  const std::vector<std::string> hosts = request_.All("host");
  if (hosts.size() > 1 || (hosts.empty() && !old)) return Refuse(400, "expected exactly one host");
  if (!hosts.empty() && !IsHost(hosts[0])) return Refuse(400, "the host is none");
  if (old && !request_.All("transfer-encoding").empty())
    return Refuse(400, "HTTP/1.0 knows no transfer-encoding");
  const State framed = TakeFraming();
  if (framed == State::kRefused) return framed;
  const std::string_view expect = request_.First("expect");
  if (!expect.empty() && !absl::EqualsIgnoreCase(client::ToAbsl(expect), "100-continue")) {
    return Refuse(417, "the only expectation understood is 100-continue");
  }
  expectation_ = framed == State::kNeedsMore && !expect.empty() && !old;
  return framed;
}

// kDone when there is no body.
HttpRequestReader::State HttpRequestReader::TakeFraming() {
  const std::vector<std::string> lengths = request_.All("content-length");
  const std::vector<std::string> codings = request_.All("transfer-encoding");
  length_.reset();
  left_ = 0;
  trailer_bytes_ = 0;
  if (lengths.size() > 1) return Refuse(400, "content-length was sent more than once");
  if (lengths.size() + codings.size() > 1) return Refuse(400, "the body has two lengths");
  if (codings.size() == 1) {
    if (!absl::EqualsIgnoreCase(codings[0], "chunked")) {
      return Refuse(501, "the only transfer-encoding understood is chunked");
    }
    part_ = Part::kChunkSize;
    return State::kNeedsMore;
  }
  if (lengths.empty()) return State::kDone;
  const std::optional<uint64_t> length = Digits(lengths[0], 10);
  if (!length) return Refuse(400, "content-length is no number of bytes");
  if (*length > limits_.body_bytes) return BodyTooLong();
  length_ = *length;
  left_ = *length;
  if (left_ == 0) return State::kDone;
  part_ = Part::kLength;
  return State::kNeedsMore;
}

// Each step takes what is whole; a step that takes nothing waits for more.
HttpRequestReader::State HttpRequestReader::FeedBody(std::string_view bytes, size_t& consumed) {
  for (;;) {
    const std::string_view rest = bytes.substr(consumed);
    size_t used = 0;
    State state = State::kNeedsMore;
    switch (part_) {
      case Part::kHead:
        return State::kDone;
      case Part::kLength:
        state = TakeData(rest, used, Part::kHead);
        break;
      case Part::kChunkSize:
        state = TakeChunkSize(rest, used);
        break;
      case Part::kChunkData:
        state = TakeData(rest, used, Part::kChunkEnd);
        break;
      case Part::kChunkEnd:
        state = TakeChunkEnd(rest, used);
        break;
      case Part::kTrailers:
        state = TakeTrailer(rest, used);
        break;
    }
    consumed += used;
    if (state == State::kRefused || (state == State::kNeedsMore && used == 0)) return state;
  }
}

HttpRequestReader::State HttpRequestReader::TakeData(std::string_view rest, size_t& used,
                                                     Part next) {
  used = static_cast<size_t>(std::min<uint64_t>(left_, rest.size()));
  request_.body.append(rest.substr(0, used));
  left_ -= used;
  if (left_ == 0) part_ = next;
  return State::kNeedsMore;
}

// "1f", "1f;name=value": extensions mean nothing here, but what they may be made of does.
HttpRequestReader::State HttpRequestReader::TakeChunkSize(std::string_view rest, size_t& used) {
  const size_t end = rest.find("\r\n");
  if (std::min(end, rest.size() - std::min<size_t>(rest.size(), 1)) > kMaxChunkLineBytes) {
    return Refuse(400, "a chunk's head is too long");
  }
  if (end == std::string_view::npos) return State::kNeedsMore;
  const std::string_view line = rest.substr(0, end);
  const size_t digits = std::min(line.find_first_of("; \t"), line.size());
  const std::string_view extension =
      client::ToStd(absl::StripAsciiWhitespace(client::ToAbsl(line.substr(digits))));
  const std::optional<uint64_t> size = Digits(line.substr(0, digits), 16);
  if (!size || !IsText(line) || (!extension.empty() && extension.front() != ';')) {
    return Refuse(400, "not a body: a chunk's head is none");
  }
  if (*size > limits_.body_bytes - request_.body.size()) return BodyTooLong();
  used = end + 2;
  left_ = *size;
  part_ = left_ == 0 ? Part::kTrailers : Part::kChunkData;
  return State::kNeedsMore;
}

HttpRequestReader::State HttpRequestReader::TakeChunkEnd(std::string_view rest, size_t& used) {
  constexpr std::string_view kEnd = "\r\n";
  if (!kEnd.starts_with(rest.substr(0, 2))) {
    return Refuse(400, "not a body: a chunk is longer than it says");
  }
  if (rest.size() < kEnd.size()) return State::kNeedsMore;
  used = kEnd.size();
  part_ = Part::kChunkSize;
  return State::kNeedsMore;
}

// Trailers are read and forgotten: no field that matters here may come so late.
HttpRequestReader::State HttpRequestReader::TakeTrailer(std::string_view rest, size_t& used) {
  const size_t end = rest.find("\r\n");
  const size_t bytes = end == std::string_view::npos ? rest.size() : end + 2;
  if (trailer_bytes_ + bytes > limits_.head_bytes) return Refuse(431, "the trailers are too long");
  if (end == std::string_view::npos) return State::kNeedsMore;
  const std::string_view line = rest.substr(0, end);
  if (!line.empty() &&
      (!IsText(line) || line.find(':') == 0 || line.find(':') == std::string_view::npos ||
       line.front() == ' ' || line.front() == '\t')) {
    return Refuse(400, "not a body: a trailer is none");
  }
  trailer_bytes_ += bytes;
  used = bytes;
  if (line.empty()) part_ = Part::kHead;
  return State::kNeedsMore;
}

HttpRequestReader::State HttpRequestReader::BodyTooLong() {
  return Refuse(413, absl::StrCat("the body is longer than ", limits_.body_bytes, " bytes"));
}

HttpRequestReader::State HttpRequestReader::Refuse(int status, std::string message) {
  refusal_ = {status, std::move(message)};
  return State::kRefused;
}

HttpRequest HttpRequestReader::TakeRequest() {
  expectation_ = false;
  return std::move(request_);
}

const HttpRefusal& HttpRequestReader::refusal() const { return refusal_; }

bool HttpRequestReader::InBody() const { return part_ != Part::kHead; }

std::optional<uint64_t> HttpRequestReader::body_length() const { return length_; }

bool HttpRequestReader::TakeExpectation() { return std::exchange(expectation_, false); }

}  // namespace semaphore::gateway
