// What becomes of a request when upstream misbehaves, at every point where it can.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/client/https_client_fixture.h"

namespace semaphore::client {
namespace {

struct Fault {
  std::string name;
  Script script;
  HttpStage stage;
  HttpCause cause;
  bool may_have_arrived;
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 1 << 20;
};

std::vector<Fault> Faults() {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const auto after_request = [](std::string reply) {
    return Script{Handshake(), ReadRequest(), Reply(std::move(reply))};
  };
  const auto and_wait = [](std::string reply) {
    return Script{Handshake(), ReadRequest(), Reply(std::move(reply)), Silence()};
  };
  using enum HttpStage;
  return {
      {"ClosesBeforeTheHandshake", {}, kHandshake, HttpCause::kReset, false},
      {"ResetsBeforeTheHandshake", {ReadSome(), Reset()}, kHandshake, HttpCause::kReset, false},
      {"ClosesInTheHandshake",
       {ReadSome(), Reply("\x16\x03\x03")},
       kHandshake,
       HttpCause::kReset,
       false},
      {"SpeaksNoTls",
       {ReadSome(), Reply("HTTP/1.1 400 Bad\r\n\r\n")},
       kHandshake,
       HttpCause::kTls,
       false},
      {"ClosesAfterTheRequest", {Handshake(), ReadRequest()}, kHeader, HttpCause::kReset, true},
      {"SaysGoodbyeAfterTheRequest",
       {Handshake(), ReadRequest(), Goodbye()},
       kHeader,
       HttpCause::kReset,
       true},
      {"ResetsAfterTheRequest",
       {Handshake(), ReadRequest(), Reset()},
       kHeader,
       HttpCause::kReset,
       true},
      {"ClosesInTheHeader", after_request(head), kHeader, HttpCause::kReset, true},
      {"SpeaksNoHttp", and_wait("SSH-2.0-OpenSSH\r\n\r\n"), kHeader, HttpCause::kMalformed, true},
      {"SendsABadLength", and_wait(head + "Content-Length: x\r\n\r\n"), kHeader,
       HttpCause::kMalformed, true},
      {"SwitchesProtocol", and_wait("HTTP/1.1 101 Go\r\n\r\n"), kHeader, HttpCause::kMalformed,
       true},
      {"SendsAnEndlessHeader", and_wait(head + "a: " + std::string(4096, 'b')), kHeader,
       HttpCause::kTooLarge, true, 2048},
      {"ClosesInTheBody", after_request(head + "Content-Length: 10\r\n\r\nhalf"), kBody,
       HttpCause::kReset, true},
      {"SaysGoodbyeInTheBody",
       {Handshake(), ReadRequest(), Reply(head + "Content-Length: 10\r\n\r\nhalf"), Goodbye()},
       kBody,
       HttpCause::kReset,
       true},
      {"ClosesInAChunk", after_request(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab"), kBody,
       HttpCause::kReset, true},
      {"SendsABadChunk", and_wait(head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), kBody,
       HttpCause::kMalformed, true},
      {"AnnouncesTooLongABody", and_wait(head + "Content-Length: 101\r\n\r\n"), kBody,
       HttpCause::kTooLarge, true, 2048, 100},
      {"SendsTooManyChunks",
       and_wait(head + "Transfer-Encoding: chunked\r\n\r\n40\r\n" + std::string(64, 'a') +
                "\r\n40\r\n" + std::string(64, 'a') + "\r\n"),
       kBody, HttpCause::kTooLarge, true, 2048, 100},
      {"SendsTooMuchUpToTheEnd", and_wait(head + "\r\n" + std::string(101, 'a')), kBody,
       HttpCause::kTooLarge, true, 2048, 100},
  };
}

class HttpsClientFaultTest : public HttpsClientTest, public testing::WithParamInterface<Fault> {
 protected:
  void Check(HttpRequest request) {
    const Fault& fault = GetParam();
    options.max_header_bytes = fault.max_header_bytes;
    Start({fault.script});
    request.max_body_bytes = fault.max_body_bytes;
    const HttpResult result = Send(std::move(request));
    EXPECT_FALSE(result.status.ok());
    EXPECT_EQ(result.stage, fault.stage) << result.status;
    EXPECT_EQ(result.cause, fault.cause) << result.status;
    EXPECT_EQ(result.may_have_arrived, fault.may_have_arrived);
    EXPECT_LE(server->requests().size(), 1u);
    EXPECT_EQ(server->accepted(), 1u);
    EXPECT_EQ(client->Stats().connections_idle, 0u);
    EXPECT_EQ(client->Stats().connections_in_use, 0u);
    EXPECT_TRUE(server->WaitUntilAllClosed());
  }
};

TEST_P(HttpsClientFaultTest, EndsARead) { Check(Read()); }
TEST_P(HttpsClientFaultTest, EndsAChange) { Check(Change()); }

INSTANTIATE_TEST_SUITE_P(WhenUpstream, HttpsClientFaultTest, testing::ValuesIn(Faults()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace semaphore::client
