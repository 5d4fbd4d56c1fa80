// The HTTP front must take any bytes, however they are cut, and never read a stream of requests
// otherwise than the next program would: what it accepts, a second reader, which is slow, plain and
// strict, finds to end at the same byte and to carry the same body.
//
// An input is what a client sends on one connection.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/string_view.h"
#include "gateway/http_request_reader.h"
#include "tests/fuzz/fuzz_target.h"

namespace semaphore {
namespace {

using gateway::HttpLimits;
using gateway::HttpRequest;
using gateway::HttpRequestReader;
using State = HttpRequestReader::State;

// Small, so that mutation reaches them.
constexpr HttpLimits kLimits = {.head_bytes = 1024, .target_bytes = 256, .body_bytes = 512};
constexpr size_t kMaxInput = 8192;

void Check(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::cerr << "broken: " << what << "\ninput: " << absl::CEscape(client::ToAbsl(input)) << '\n';
  std::abort();
}

// ---- What the reader makes of a stream that comes in pieces

struct Outcome {
  std::vector<HttpRequest> requests;
  std::vector<size_t> ends;  // of each, in the stream
  int refused = 0;           // the status; 0: not refused
};

Outcome ReadStream(std::string_view input, const std::vector<size_t>& piece_sizes) {
  Outcome outcome;
  HttpRequestReader reader(kLimits);
  std::string held;
  size_t taken = 0;
  size_t at = 0;
  for (size_t piece = 0; at < input.size(); ++piece) {
    const size_t size = std::min(piece_sizes[piece % piece_sizes.size()], input.size() - at);
    held += input.substr(at, size);
    at += size;
    for (;;) {
      size_t consumed = 0;
      const bool in_body = reader.InBody();
      const State state = reader.Feed(held, consumed);
      Check(consumed <= held.size(), "no more is consumed than was given", input);
      if (state == State::kRefused) {
        outcome.refused = reader.refusal().status;
        Check(outcome.refused >= 400 && outcome.refused < 600, "a refusal is an error", input);
        Check(!reader.refusal().message.empty(), "a refusal says why", input);
        return outcome;
      }
      held.erase(0, consumed);
      taken += consumed;
      if (state == State::kDone) {
        Check(consumed > 0 || in_body, "a request has bytes", input);
        outcome.requests.push_back(reader.TakeRequest());
        outcome.ends.push_back(taken);
        continue;
      }
      // A head was taken and its body may be there already.
      if (consumed > 0 && !held.empty()) continue;
      break;
    }
    Check(held.size() <= kLimits.head_bytes + size, "what waits is bounded", input);
  }
  return outcome;
}

bool Same(const HttpRequest& a, const HttpRequest& b) {
  return a.verb == b.verb && a.target == b.target && a.fields == b.fields && a.body == b.body &&
         a.keep_alive == b.keep_alive;
}

void CheckSame(const Outcome& a, const Outcome& b, std::string_view input) {
  Check(a.requests.size() == b.requests.size(), "cuts do not change the number of requests", input);
  for (size_t i = 0; i < a.requests.size(); ++i) {
    Check(Same(a.requests[i], b.requests[i]), "cuts do not change a request", input);
    Check(a.ends[i] == b.ends[i], "cuts do not move the end of a request", input);
  }
  Check(a.refused == b.refused, "cuts do not change a refusal", input);
}

// ---- The second reader

struct Framed {
  size_t end = 0;  // of the request
  std::string body;
};

// The line at `at` without its CRLF, and `at` moved behind it. A line with a CR, LF or NUL in it is
// none.
std::optional<std::string_view> TakeLine(std::string_view bytes, size_t& at) {
  const size_t end = bytes.find("\r\n", at);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = bytes.substr(at, end - at);
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    return std::nullopt;
  at = end + 2;
  return line;
}

std::optional<size_t> Number(std::string_view digits, int base) {
  if (digits.empty() || digits.size() > 12) return std::nullopt;
  size_t value = 0;
  for (const char c : digits) {
    const auto byte = static_cast<unsigned char>(c);
    if (base == 10 ? !absl::ascii_isdigit(byte) : !absl::ascii_isxdigit(byte)) return std::nullopt;
    const int digit = absl::ascii_isdigit(byte) ? c - '0' : absl::ascii_tolower(byte) - 'a' + 10;
    value = value * static_cast<size_t>(base) + static_cast<size_t>(digit);
  }
  return value;
}

bool IsToken(std::string_view text) {
  static constexpr std::string_view kPunctuation = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           kPunctuation.find(c) != std::string_view::npos;
  });
}

std::optional<Framed> FrameChunks(std::string_view bytes, size_t at) {
  Framed framed;
  for (;;) {
    const auto line = TakeLine(bytes, at);
    if (!line) return std::nullopt;
    const size_t digits = std::min(line->find_first_of("; \t"), line->size());
    const auto size = Number(line->substr(0, digits), 16);
    if (!size) return std::nullopt;
    if (*size == 0) break;
    if (bytes.size() - at < *size + 2 || bytes.substr(at + *size, 2) != "\r\n") return std::nullopt;
    framed.body += bytes.substr(at, *size);
    at += *size + 2;
  }
  for (;;) {
    const auto trailer = TakeLine(bytes, at);
    if (!trailer) return std::nullopt;
    if (trailer->empty()) break;
  }
  framed.end = at;
  return framed;
}

// The request that begins at `at`. Nothing when its framing leaves room for a second opinion.
std::optional<Framed> Frame(std::string_view bytes, size_t at) {
  while (bytes.substr(at, 2) == "\r\n") at += 2;
  if (!TakeLine(bytes, at)) return std::nullopt;  // the request line
  std::vector<std::string_view> lengths;
  std::vector<std::string_view> codings;
  for (;;) {
    const auto line = TakeLine(bytes, at);
    if (!line) return std::nullopt;
    if (line->empty()) break;
    const size_t colon = line->find(':');
    if (colon == std::string_view::npos || !IsToken(line->substr(0, colon))) return std::nullopt;
    const std::string_view value =
        client::ToStd(absl::StripAsciiWhitespace(client::ToAbsl(line->substr(colon + 1))));
    const absl::string_view name = client::ToAbsl(line->substr(0, colon));
    if (absl::EqualsIgnoreCase(name, "content-length")) lengths.push_back(value);
    if (absl::EqualsIgnoreCase(name, "transfer-encoding")) codings.push_back(value);
  }
  if (lengths.size() + codings.size() > 1) return std::nullopt;
  if (codings.size() == 1) {
    if (!absl::EqualsIgnoreCase(client::ToAbsl(codings[0]), "chunked")) return std::nullopt;
    return FrameChunks(bytes, at);
  }
  size_t length = 0;
  if (lengths.size() == 1) {
    const auto number = Number(lengths[0], 10);
    if (!number) return std::nullopt;
    length = *number;
  }
  if (bytes.size() - at < length) return std::nullopt;
  return Framed{.end = at + length, .body = std::string(bytes.substr(at, length))};
}

void CheckFraming(const Outcome& outcome, std::string_view input) {
  size_t begin = 0;
  for (size_t i = 0; i < outcome.requests.size(); ++i) {
    const std::optional<Framed> framed = Frame(input, begin);
    Check(framed.has_value(), "what is accepted is framed without doubt", input);
    Check(framed->end == outcome.ends[i], "a request ends where it says", input);
    Check(framed->body == outcome.requests[i].body, "a body is what was sent", input);
    Check(outcome.requests[i].body.size() <= kLimits.body_bytes, "a body is bounded", input);
    Check(outcome.requests[i].target.size() <= kLimits.target_bytes, "a target is bounded", input);
    begin = outcome.ends[i];
  }
}

void Try(std::string_view input) {
  const Outcome whole = ReadStream(input, {kMaxInput});
  CheckFraming(whole, input);
  CheckSame(whole, ReadStream(input, {1}), input);
  // Cuts that the input decides, so that it fails again the same way.
  std::minstd_rand random(static_cast<uint32_t>(input.size() * 2654435761U + 1));
  std::vector<size_t> sizes;
  for (int i = 0; i < 16; ++i) sizes.push_back(1 + random() % 64);
  CheckSame(whole, ReadStream(input, sizes), input);
}

}  // namespace

namespace fuzz {

std::vector<std::string> Seeds() {
  const std::string get = "GET /v1/pipelines/p?view=PIPELINE_VIEW_FULL HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string post =
      "POST /v1/workflows:run HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Content-Length: 17\r\n\r\n{\"projectId\":\"p\"}";
  const std::string chunked =
      "POST /v1/workflows:run HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;a=\"b\"\r\n{\"a\":\r\n3\r\n 1}\r\n0\r\nX-Trailer: t\r\n\r\n";
  return {get,
          post,
          chunked,
          get + get + post + get,
          chunked + get,
          "\r\n" + get,
          "GET http://a/v1/projects HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
          "OPTIONS * HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
          "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
          "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0002\r\n\r\n{}",
          "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
          "GET / HTTP/1.1\nHost: a\n\n"};
}

std::vector<std::string> Words() {
  return {"\r\n",
          "\r\n\r\n",
          "\n",
          "\r",
          "\n\n",
          " ",
          "\t",
          ":",
          ";",
          ",",
          "0\r\n\r\n",
          "0\r\n",
          "1\r\na\r\n",
          "ffffffffffffffff",
          "0x5",
          "+5",
          "-1",
          "5, 5",
          "Content-Length: 5\r\n",
          "Content-Length: 0\r\n",
          "content-length : 5\r\n",
          "Transfer-Encoding: chunked\r\n",
          "Transfer-Encoding: chunked, identity\r\n",
          "Transfer-Encoding: xchunked\r\n",
          "Transfer-Encoding:\tchunked\r\n",
          "Expect: 100-continue\r\n",
          "Connection: close\r\n",
          "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
          "Host: b\r\n",
          "HTTP/1.1",
          "HTTP/1.0",
          "HTTP/2.0",
          "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
          std::string("\0", 1),
          "\x7F",
          "\xFF",
          std::string(300, 'a')};
}

}  // namespace fuzz
}  // namespace semaphore

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  semaphore::Try(input.substr(0, semaphore::kMaxInput));
  return 0;
}
