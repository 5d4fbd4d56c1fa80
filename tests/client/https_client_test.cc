// What is sent, what is read, and which connections are kept.
#include "client/https_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/client/https_client_fixture.h"

namespace semaphore::client {
namespace {

using std::chrono::seconds;

boost::asio::awaitable<absl::Status> Count(int* admissions, absl::Status verdict) {
  ++*admissions;
  co_return verdict;
}

auto Counting(int* admissions, const absl::Status& verdict = absl::OkStatus()) {
  return [admissions, verdict](MonotonicTime) { return Count(admissions, verdict); };
}

TEST_F(HttpsClientTest, SendsAReadWithTheHeadersOfTheContract) {
  Start({{Handshake(), Serve()}});
  HttpRequest request = Read("/api/v1alpha/pipelines/1?detailed=true");
  request.authorization = "Token secret";
  request.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const HttpResult result = Send(request);
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.response.body, "[]");
  EXPECT_EQ(server->requests().at(0),
            "GET /api/v1alpha/pipelines/1?detailed=true HTTP/1.1\r\n"
            "Host: upstream.test:" +
                std::to_string(server->port()) +
                "\r\nUser-Agent: SemaphoreCI v2.0 Client\r\nAccept: application/json\r\n"
                "Accept-Encoding: identity\r\nAuthorization: Token secret\r\n"
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
}

TEST_F(HttpsClientTest, SendsABodyWithItsTypeAndLength) {
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Change("{\"a\":1}")).status.ok());
  const std::string sent = server->requests().at(0);
  EXPECT_NE(sent.find("\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}"),
            std::string::npos)
      << sent;
}

TEST_F(HttpsClientTest, SendsALengthOfZeroWithAPostWithoutBody) {
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Change("")).status.ok());
  EXPECT_NE(server->requests().at(0).find("\r\nContent-Length: 0\r\n"), std::string::npos);
}

TEST_F(HttpsClientTest, RefusesWhatCouldSmuggleAHeader) {
  Start({{Handshake(), Serve()}});
  std::vector<HttpRequest> requests(6, Read());
  requests[0].authorization = "Token a\r\nX-Evil: 1";
  requests[1].traceparent = "a\nb";
  requests[2].content_type = std::string("a\0b", 3);
  requests[3].target = "/a HTTP/1.1\r\nX-Evil: 1\r\n\r\n";
  requests[4].target = "https://elsewhere.test/";
  requests[5].method = "GET /";
  for (const HttpRequest& request : requests) {
    const HttpResult result = Send(request);
    EXPECT_EQ(result.cause, HttpCause::kRefused);
    EXPECT_EQ(result.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(result.status.message().find("Evil"), absl::string_view::npos);
    EXPECT_FALSE(result.may_have_arrived);
  }
  EXPECT_EQ(server->accepted(), 0u);
}

TEST_F(HttpsClientTest, RefusesOptionsThatCannotWork) {
  StartServer({{Handshake(), Serve()}});
  resolver = std::make_unique<DnsResolver>(clock);
  std::vector<HttpsClient::Options> wrong(6, options);
  wrong[0].host = "";
  wrong[1].host = "a\r\nb";
  wrong[2].proxy_host = "proxy.test";  // without a port
  wrong[3].max_connections = 0;
  wrong[4].ca_pem = "not a certificate";
  wrong[5].ca_file = "/nonexistent/ca.pem";
  for (const HttpsClient::Options& bad : wrong) {
    const auto created = HttpsClient::Create(io->get_executor(), clock, *resolver, bad);
    EXPECT_EQ(created.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(HttpsClientTest, ReportsStatusAndHeadersWithNamesInLowerCase) {
  Start({{Handshake(),
          Serve("HTTP/1.1 404 Not Found\r\nPer-Page: 30\r\nContent-Length: 4\r\n\r\noops")}});
  const HttpResult result = Send(Read());
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.stage, HttpStage::kDone);
  EXPECT_EQ(result.cause, HttpCause::kNone);
  EXPECT_TRUE(result.may_have_arrived);
  EXPECT_EQ(result.response.status, 404);
  EXPECT_EQ(result.response.Header("per-page"), "30");
  EXPECT_EQ(result.response.body, "oops");
}

TEST_F(HttpsClientTest, ReadsAReplyThatTricklesInByteByByte) {
  Start({{Handshake(), ReadRequest(), Trickle(kOk), Silence()}});
  EXPECT_EQ(Send(Read()).response.body, "[]");
}

TEST_F(HttpsClientTest, ReadsAChunkedReply) {
  Start({{Handshake(), Serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")}});
  EXPECT_EQ(Send(Read()).response.body, "abcde");
  EXPECT_EQ(client->Stats().connections_idle, 1u);
}

TEST_F(HttpsClientTest, SkipsInformationalReplies) {
  Start({{Handshake(),
          Serve("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + kOk)}});
  EXPECT_EQ(Send(Read()).response.body, "[]");
}

TEST_F(HttpsClientTest, GivesUpOnEndlessInformationalReplies) {
  std::string replies;
  for (int i = 0; i < 20; ++i) replies += "HTTP/1.1 100 Continue\r\n\r\n";
  Start({{Handshake(), Serve(replies)}});
  EXPECT_EQ(Send(Read()).cause, HttpCause::kMalformed);
}

TEST_F(HttpsClientTest, ReadsAReplyThatEndsWithAnOrderlyClose) {
  Start({{Handshake(), ReadRequest(), Reply("HTTP/1.1 200 OK\r\n\r\nabc"), Goodbye()}});
  const HttpResult result = Send(Read());
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.response.body, "abc");
  EXPECT_EQ(client->Stats().connections_idle, 0u);
}

TEST_F(HttpsClientTest, DoesNotTakeACutForTheEndOfAReply) {
  Start({{Handshake(), ReadRequest(), Reply("HTTP/1.1 200 OK\r\n\r\nabc")}});
  const HttpResult result = Send(Read());
  EXPECT_EQ(result.stage, HttpStage::kBody);
  EXPECT_EQ(result.cause, HttpCause::kReset);
}

TEST_F(HttpsClientTest, DoesNotMindACutAfterAWholeReply) {
  Start({{Handshake(), ReadRequest(), Reply(kOk)}});
  EXPECT_TRUE(Send(Read()).status.ok());
}

TEST_F(HttpsClientTest, ReusesAConnection) {
  Start({{Handshake(), Serve()}});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(server->accepted(), 1u);
  EXPECT_EQ(client->Stats().connections_reused, 2u);
  EXPECT_EQ(client->Stats().dials, 1u);
}

TEST_F(HttpsClientTest, DoesNotReuseAConnectionThatUpstreamWantsClosed) {
  Start({{Handshake(),
          Serve("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]")}});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(client->Stats().connections_idle, 0u);
  EXPECT_TRUE(server->WaitUntilAllClosed());
}

TEST_F(HttpsClientTest, DoesNotReuseAConnectionOfHttp10) {
  Start({{Handshake(), Serve("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]")}});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(client->Stats().connections_idle, 0u);
}

TEST_F(HttpsClientTest, DoesNotReuseAConnectionWithBytesBeyondTheReply) {
  Start({{Handshake(), ReadRequest(), Reply(kOk + kOk), Silence()}, {Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(client->Stats().connections_idle, 0u);
}

TEST_F(HttpsClientTest, DoesNotTakeUnaskedBytesForTheNextReply) {
  Start({{Handshake(), ReadRequest(), Reply(kOk),
          Reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), Silence()},
         {Handshake(), Serve()}});
  EXPECT_EQ(Send(Read()).response.body, "[]");
  RunUntil([&] { return server->quiet() == 1; });
  EXPECT_EQ(Send(Read()).response.body, "[]");
  EXPECT_EQ(server->accepted(), 2u);
}

TEST_F(HttpsClientTest, SeesThatAKeptConnectionHasDiedBeforeWritingToIt) {
  Start({{Handshake(), ReadRequest(), Reply(kOk)}, {Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  ASSERT_TRUE(server->WaitUntilAllClosed());
  int admissions = 0;
  HttpRequest request = Read();
  request.admit = Counting(&admissions);
  EXPECT_TRUE(Send(request).status.ok());
  EXPECT_EQ(admissions, 1);
  EXPECT_EQ(client->Stats().redials, 0u);
  EXPECT_EQ(client->Stats().dials, 2u);
}

TEST_F(HttpsClientTest, RedialsARepeatableRequestWhoseKeptConnectionDies) {
  Start({{Handshake(), ReadRequest(), Reply(kOk), ReadRequest()}, {Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read("/first")).status.ok());
  int admissions = 0;
  HttpRequest request = Read("/second");
  request.admit = Counting(&admissions);
  const HttpResult result = Send(request);
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(admissions, 2);
  EXPECT_EQ(client->Stats().redials, 1u);
  EXPECT_EQ(server->requests().size(), 3u);
}

TEST_F(HttpsClientTest, RedialsOnlyOnce) {
  Start({{Handshake(), ReadRequest(), Reply(kOk), ReadRequest()}, {Handshake(), ReadRequest()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  const HttpResult result = Send(Read());
  EXPECT_EQ(result.stage, HttpStage::kHeader);
  EXPECT_EQ(result.cause, HttpCause::kReset);
  EXPECT_TRUE(result.may_have_arrived);
  EXPECT_EQ(server->requests().size(), 3u);
  EXPECT_EQ(server->accepted(), 2u);
}

TEST_F(HttpsClientTest, DoesNotRedialOnceAReplyHasBegun) {
  Start({{Handshake(), ReadRequest(), Reply(kOk), ReadRequest(), Reply("HTTP/1.1 2")},
         {Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(Send(Read()).cause, HttpCause::kReset);
  EXPECT_EQ(server->accepted(), 1u);
}

TEST_F(HttpsClientTest, GivesARequestThatIsNotRepeatableANewConnection) {
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_TRUE(Send(Change()).status.ok());
  EXPECT_EQ(server->accepted(), 2u);
  EXPECT_EQ(client->Stats().connections_idle, 2u);
}

TEST_F(HttpsClientTest, ClosesConnectionsThatWereIdleTooLong) {
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  clock.Advance(seconds(54));
  client->CloseExpired();
  EXPECT_EQ(client->Stats().connections_idle, 1u);
  clock.Advance(seconds(2));
  client->CloseExpired();
  EXPECT_EQ(client->Stats().connections_idle, 0u);
  EXPECT_TRUE(server->WaitUntilAllClosed());
}

TEST_F(HttpsClientTest, DoesNotKeepAConnectionPastItsAge) {
  options.max_connection_age = seconds(100);
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  clock.Advance(seconds(50));
  EXPECT_TRUE(Send(Read()).status.ok());
  clock.Advance(seconds(50));
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(server->accepted(), 2u);
}

TEST_F(HttpsClientTest, OpensNoMoreConnectionsThanItsBound) {
  options.max_connections = 2;
  Start({{Handshake(), Serve()}});
  std::vector<std::shared_ptr<Call>> calls;
  calls.reserve(8);
  for (int i = 0; i < 8; ++i) calls.push_back(Begin(Read()));
  io->run();
  for (const auto& call : calls) EXPECT_TRUE(call->result->status.ok());
  EXPECT_EQ(server->requests().size(), 8u);
  EXPECT_EQ(server->most_open(), 2u);
}

TEST_F(HttpsClientTest, LetsTheFirstWhoWaitedGoFirst) {
  options.max_connections = 1;
  Start({{Handshake(), Serve()}});
  std::vector<std::shared_ptr<Call>> calls;
  calls.reserve(5);
  for (int i = 0; i < 5; ++i) calls.push_back(Begin(Read("/" + std::to_string(i))));
  io->run();
  ASSERT_EQ(server->requests().size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(server->requests()[i].substr(0, 6), "GET /" + std::to_string(i));
  }
}

TEST_F(HttpsClientTest, RefusesARequestWhenTooManyWait) {
  options.max_connections = 1;
  options.max_waiting = 1;
  Start({{Handshake(), Serve()}});
  const auto first = Begin(Read());
  const auto second = Begin(Read());
  const auto third = Begin(Read());
  io->run();
  EXPECT_TRUE(first->result->status.ok());
  EXPECT_TRUE(second->result->status.ok());
  EXPECT_EQ(third->result->stage, HttpStage::kSlot);
  EXPECT_EQ(third->result->cause, HttpCause::kRefused);
  EXPECT_EQ(third->result->status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(HttpsClientTest, SendsNothingWhenNotAdmittedAndKeepsTheConnection) {
  Start({{Handshake(), Serve()}});
  int admissions = 0;
  HttpRequest request = Change();
  request.admit = Counting(&admissions, absl::ResourceExhaustedError("budget"));
  const HttpResult result = Send(request);
  EXPECT_EQ(result.stage, HttpStage::kAdmit);
  EXPECT_EQ(result.cause, HttpCause::kRefused);
  EXPECT_EQ(result.status.message(), "budget");
  EXPECT_FALSE(result.may_have_arrived);
  EXPECT_TRUE(server->requests().empty());
  EXPECT_EQ(client->Stats().connections_idle, 1u);
}

TEST_F(HttpsClientTest, StreamsABodyInBoundedChunks) {
  const size_t size = 8 << 20;
  Start({{Handshake(), Serve("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) +
                             "\r\n\r\n" + std::string(size, 'x'))}});
  size_t total = 0;
  size_t largest = 0;
  HttpRequest request = Read();
  request.body_sink = [&](std::string_view chunk) {
    total += chunk.size();
    largest = std::max(largest, chunk.size());
    return absl::OkStatus();
  };
  const HttpResult result = Send(request);
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(total, size);
  EXPECT_LE(largest, size_t{64} << 10);
  EXPECT_TRUE(result.response.body.empty());
}

TEST_F(HttpsClientTest, EndsWithTheStatusOfASinkThatRefuses) {
  Start({{Handshake(), Serve()}});
  HttpRequest request = Read();
  request.body_sink = [](std::string_view) { return absl::DataLossError("not what I know"); };
  const HttpResult result = Send(request);
  EXPECT_EQ(result.stage, HttpStage::kBody);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(client->Stats().connections_idle, 0u);
}

TEST_F(HttpsClientTest, KeepsTheBodyOfAnErrorFromTheSink) {
  Start({{Handshake(), Serve("HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops")}});
  HttpRequest request = Read();
  request.body_sink = [](std::string_view) { return absl::InternalError("called"); };
  const HttpResult result = Send(request);
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.response.body, "oops");
}

}  // namespace
}  // namespace semaphore::client
