#include "gateway/http_request_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

using State = HttpRequestReader::State;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What comes of bytes that arrive in pieces of `piece`.
struct Outcome {
  std::vector<HttpRequest> requests;
  int refused = 0;
  std::string message;
  size_t left = 0;  // bytes not consumed
};

Outcome Read(const std::string& bytes, size_t piece = SIZE_MAX, const HttpLimits& limits = {}) {
  HttpRequestReader reader(limits);
  Outcome outcome;
  std::string received;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min(piece, bytes.size() - at);
    received += bytes.substr(at, size);
    at += size;
    for (;;) {
      size_t consumed = 0;
      const State state = reader.Feed(received, consumed);
      EXPECT_LE(consumed, received.size());
      received.erase(0, consumed);
      if (state == State::kRefused) {
        outcome.refused = reader.refusal().status;
        outcome.message = reader.refusal().message;
        return outcome;
      }
      if (state == State::kDone) outcome.requests.push_back(reader.TakeRequest());
      if (consumed == 0 || received.empty()) break;
    }
  }
  outcome.left = received.size();
  return outcome;
}

std::string Get(const std::string& fields = "") {
  return absl::StrCat("GET /v1/projects HTTP/1.1\r\nHost: a\r\n", fields, "\r\n");
}

TEST(HttpRequestReader, ReadsARequestWithoutABody) {
  const Outcome read = Read(Get("X-Request-Id:  one \r\nACCEPT: a\r\nAccept: b\r\n"));
  ASSERT_EQ(read.requests.size(), 1u);
  const HttpRequest& request = read.requests[0];
  EXPECT_EQ(request.verb, "GET");
  EXPECT_EQ(request.target, "/v1/projects");
  EXPECT_EQ(request.First("x-request-id"), "one");
  EXPECT_THAT(request.All("accept"), ElementsAre("a", "b"));
  EXPECT_TRUE(request.keep_alive);
}

TEST(HttpRequestReader, ReadsBodiesOfBothFramings) {
  const std::string with_length =
      "POST /v1/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
  const std::string in_chunks =
      "POST /v1/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nx-trailer: t\r\n\r\n";
  for (const std::string& bytes : {with_length, in_chunks}) {
    const Outcome read = Read(bytes);
    ASSERT_EQ(read.requests.size(), 1u) << read.message << "\n" << bytes;
    EXPECT_EQ(read.requests[0].body, "hello");
    EXPECT_EQ(read.requests[0].First("x-trailer"), "");
  }
}

TEST(HttpRequestReader, SplitsPipelinedRequestsTheSameHoweverTheyArrive) {
  const std::string bytes = absl::StrCat(
      Get(), "POST /v1/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "\r\n",
      "POST /v1/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n",
      Get());
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Outcome read = Read(bytes, piece);
    ASSERT_EQ(read.requests.size(), 4u) << "pieces of " << piece << ": " << read.message;
    EXPECT_EQ(read.requests[1].body, "abc");
    EXPECT_EQ(read.requests[2].body, "def");
    EXPECT_EQ(read.requests[3].target, "/v1/projects");
    EXPECT_EQ(read.left, 0u);
  }
}

TEST(HttpRequestReader, RefusesWhatTwoProgramsCouldReadDifferently) {
  const std::string post = "POST /v1/a HTTP/1.1\r\nHost: a\r\n";
  const struct {
    const char* what;
    std::string bytes;
    int status;
  } rows[] = {
      {"both lengths", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"both, the other way round",
       post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
      {"two equal lengths", post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"two lengths", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {"a list of lengths", post + "Content-Length: 3, 3\r\n\r\nabc", 400},
      {"a negative length", post + "Content-Length: -3\r\n\r\nabc", 400},
      {"a length with a sign", post + "Content-Length: +3\r\n\r\nabc", 400},
      {"a hexadecimal length", post + "Content-Length: 0x3\r\n\r\nabc", 400},
      {"a length beyond all numbers", post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {"an unknown coding", post + "Transfer-Encoding: gzip\r\n\r\n", 501},
      {"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
      {"a coding before chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"two codings", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"a coding in HTTP/1.0", "POST /v1/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"a folded line", Get("X-A: b\r\n c\r\n"), 400},
      {"a line folded by a tab", Get("X-A: b\r\n\tc\r\n"), 400},
      {"a bare LF", "GET /v1/a HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"a bare LF in a field", Get("X-A: b\nContent-Length: 3\r\n"), 400},
      {"a bare CR in a field", Get("X-A: b\rc\r\n"), 400},
      {"a NUL", Get(std::string("X-A: b\0c\r\n", 10)), 400},
      {"a space before the colon", Get("Content-Length : 3\r\n"), 400},
      {"a field without a name", Get(": b\r\n"), 400},
      {"a field without a colon", Get("X-A\r\n"), 400},
      {"no host", "GET /v1/a HTTP/1.1\r\n\r\n", 400},
      {"two hosts", Get("Host: b\r\n"), 400},
      {"a host with a user", "GET /v1/a HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
      {"a list of hosts", "GET /v1/a HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"another version", "GET /v1/a HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"no version", "GET /v1/a\r\nHost: a\r\n\r\n", 400},
      {"no request at all", "\x16\x03\x01 hello\r\n\r\n", 400},
      {"a chunk of no size", post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", 400},
      {"a chunk of huge size",
       post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n", 400},
      {"a chunk size with a prefix",
       post + "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400},
      {"a chunk size after a space",
       post + "Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n", 400},
      {"two chunk sizes", post + "Transfer-Encoding: chunked\r\n\r\n1 1\r\na\r\n0\r\n\r\n", 400},
      {"a bare LF after a chunk size", post + "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
       400},
      {"a bare LF in an extension",
       post + "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n", 400},
      {"a chunk longer than it says",
       post + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400},
      {"a folded trailer", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n",
       400},
      {"an expectation", post + "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417},
  };
  for (const auto& row : rows) {
    const Outcome read = Read(row.bytes);
    EXPECT_EQ(read.refused, row.status) << row.what << ": " << read.message;
    EXPECT_THAT(read.requests, IsEmpty()) << row.what;
    // However it arrives.
    EXPECT_EQ(Read(row.bytes, 1).refused, row.status) << row.what << ", byte by byte";
  }
}

TEST(HttpRequestReader, BoundsHeadTargetAndBody) {
  const HttpLimits limits{.head_bytes = 1000, .target_bytes = 300, .body_bytes = 100};
  EXPECT_EQ(Read(Get("X-A: " + std::string(100'000, 'a') + "\r\n"), SIZE_MAX, limits).refused, 431);
  EXPECT_EQ(Read("GET /" + std::string(100'000, 'a'), SIZE_MAX, limits).refused, 414);
  EXPECT_EQ(Read("GET /" + std::string(400, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", SIZE_MAX, limits)
                .refused,
            414);
  const std::string post = "POST /v1/a HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(Read(post + "Content-Length: 1073741824\r\n\r\n", SIZE_MAX, limits).refused, 413);
  EXPECT_EQ(Read(post + "Content-Length: 101\r\n\r\n", SIZE_MAX, limits).refused, 413);
  EXPECT_EQ(Read(post + "Content-Length: 100\r\n\r\n" + std::string(100, 'a'), SIZE_MAX, limits)
                .requests.size(),
            1u);
  std::string chunks = post + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) chunks += "a\r\n0123456789\r\n";
  EXPECT_EQ(Read(chunks, SIZE_MAX, limits).refused, 413);
  // Trailers, in one piece and in many.
  const std::string trailers =
      post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: " + std::string(1000, 'a') + "\r\n\r\n";
  EXPECT_EQ(Read(trailers, SIZE_MAX, limits).refused, 431);
  EXPECT_EQ(Read(trailers, 1, limits).refused, 431);
  // An endless extension of a chunk.
  EXPECT_NE(
      Read(post + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(5000, 'a'), 100, limits)
          .refused,
      0);
}

TEST(HttpRequestReader, LastsAsLongAsTheClientWants) {
  EXPECT_FALSE(Read(Get("Connection: close\r\n")).requests[0].keep_alive);
  EXPECT_FALSE(Read("GET /v1/a HTTP/1.0\r\n\r\n").requests[0].keep_alive);
  // It would have to be told that it may.
  EXPECT_FALSE(Read("GET /v1/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").requests[0].keep_alive);
}

TEST(HttpRequestReader, TakesTheTargetThatProxiesAreAskedWith) {
  const struct {
    const char* sent;
    const char* target;
  } rows[] = {{"http://a/v1/projects?pageSize=1", "/v1/projects?pageSize=1"},
              {"HTTPS://a:80/v1", "/v1"},
              {"http://a", "/"},
              {"http://a?b=/c", "/?b=/c"},
              {"//a/v1", "//a/v1"},
              {"*", "*"}};
  for (const auto& row : rows) {
    const Outcome read = Read(absl::StrCat("GET ", row.sent, " HTTP/1.1\r\nHost: a\r\n\r\n"));
    ASSERT_EQ(read.requests.size(), 1u) << row.sent;
    EXPECT_EQ(read.requests[0].target, row.target);
  }
}

TEST(HttpRequestReader, TellsOnceThatTheClientWaitsToSendItsBody) {
  HttpRequestReader reader({});
  size_t consumed = 0;
  EXPECT_EQ(reader.Feed("POST /v1/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                        "Expect: 100-continue\r\n\r\n",
                        consumed),
            State::kNeedsMore);
  EXPECT_TRUE(reader.InBody());
  EXPECT_EQ(reader.body_length(), 5u);
  EXPECT_TRUE(reader.TakeExpectation());
  EXPECT_FALSE(reader.TakeExpectation());
  EXPECT_EQ(reader.Feed("hello", consumed), State::kDone);
  EXPECT_EQ(reader.TakeRequest().body, "hello");
}

TEST(HttpRequestReader, SaysWhatIsWrong) {
  EXPECT_THAT(Read(Get("Host: b\r\n")).message, HasSubstr("host"));
  EXPECT_THAT(Read(Get("X-A: b\r\n c\r\n")).message, HasSubstr("folded"));
}

}  // namespace
}  // namespace semaphore::gateway
