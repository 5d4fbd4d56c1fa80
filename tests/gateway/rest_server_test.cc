// The REST listener of the whole gateway, spoken to byte by byte over raw sockets, in front of the
// simulator: framing, conditions, negotiation, hostile clients, ends of connections. Every method
// by curl is in tests/e2e/rest_methods_test.py.
#include "gateway/rest_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/clock.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/log.h"
#include "tests/simulator/simulator.h"

namespace semaphore::gateway {
namespace {

using simulator::Fault;
using simulator::FaultAction;
using simulator::FaultStage;
using simulator::Simulator;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Reply {
  int status = 0;  // 0: the connection ended
  std::map<std::string, std::string> fields;
  std::string body;

  std::string Field(const std::string& name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
  }
};

// A client without manners.
class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer = 0) {
    socket_ = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0)
      setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval limit{.tv_sec = 120, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~RawClient() { Close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // False when the other side has closed.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  bool ReadSome() {
    char buffer[16384];
    const ssize_t got = recv(socket_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    received_.append(buffer, static_cast<size_t>(got));
    return true;
  }

  // `head_only`: the reply has no body whatever its length says.
  Reply Read(bool head_only = false) {
    Reply reply;
    size_t end = std::string::npos;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadSome()) return reply;
    }
    const std::vector<std::string> lines = absl::StrSplit(received_.substr(0, end), "\r\n");
    EXPECT_THAT(lines[0], StartsWith("HTTP/1.1 "));
    EXPECT_TRUE(absl::SimpleAtoi(lines[0].substr(9, 3), &reply.status));
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::pair<std::string, std::string> field =
          absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
      reply.fields[absl::AsciiStrToLower(field.first)] = field.second;
    }
    received_.erase(0, end + 4);
    size_t length = 0;
    if (!head_only) (void)absl::SimpleAtoi(reply.Field("content-length"), &length);
    while (received_.size() < length) {
      if (!ReadSome()) return Reply{};
    }
    reply.body = received_.substr(0, length);
    received_.erase(0, length);
    return reply;
  }

  // Whether the other side closes now, after nothing more.
  bool IsClosed() { return received_.empty() && !ReadSome(); }

  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  void CloseWithReset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }

 private:
  int socket_ = -1;
  std::string received_;
};

std::string Request(const std::string& line, const std::string& fields = "",
                    const std::string& body = "") {
  return absl::StrCat(line, " HTTP/1.1\r\nHost: gateway\r\n", fields,
                      body.empty() ? "" : absl::StrCat("Content-Length: ", body.size(), "\r\n"),
                      "\r\n", body);
}

class RestServerTest : public testing::Test {
 protected:
  RestServerTest() {
    OrganizationConfig organization;
    organization.name = "acme";
    organization.host = "localhost";
    organization.port = upstream_->port();
    organization.base_path = "/api/v1alpha";
    organization.token_env = "SEMAPHORE_API_TOKEN";
    organization.token = "simulator-token";
    organization.ca_file =
        absl::StrCat(testing::TempDir(), "/rest_server_test_ca_", upstream_->port(), ".pem");
    std::ofstream(organization.ca_file) << upstream_->ca_pem();
    config_.organizations = {organization};
    config_.grpc.address = {"127.0.0.1", 0};
    config_.admin = {"127.0.0.1", 0};
    config_.rest.emplace();
    config_.rest->address = {"127.0.0.1", 0};
    config_.upstream.requests_per_second = 100000;
    config_.upstream.burst = 100000;
    config_.callers.requests_per_second = 0;
  }

  uint16_t Serve() {
    auto gateway = Gateway::Start(config_, log_);
    EXPECT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
    return gateway_->rest_port();
  }

  std::string DonePipeline() const { return "/v1/pipelines/" + upstream_->ids().done_pipeline; }

  const std::unique_ptr<Simulator> upstream_ = *Simulator::Start();
  client::SystemClock clock_;
  Log log_{clock_, {}, [](std::string_view) {}};
  Config config_;
  std::unique_ptr<Gateway> gateway_;
};

TEST_F(RestServerTest, AnswersAReadAndThenFromTheCache) {
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline()));
  const Reply first = client.Read();
  EXPECT_EQ(first.status, 200);
  EXPECT_THAT(first.body, HasSubstr(upstream_->ids().done_pipeline));
  EXPECT_EQ(first.Field("content-type"), "application/json");
  EXPECT_EQ(first.Field("x-cache"), "miss");
  EXPECT_NE(first.Field("x-request-id"), "");
  EXPECT_NE(first.Field("date"), "");
  for (int i = 0; i < 3; ++i) {
    client.Send(Request("GET " + DonePipeline()));
    const Reply again = client.Read();
    EXPECT_EQ(again.Field("x-cache"), "hit");
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.Field("etag"), first.Field("etag"));
    EXPECT_NE(again.Field("x-request-id"), first.Field("x-request-id"));
  }
}

TEST_F(RestServerTest, AnUnchangedReplyIsNotSentAgain) {
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline()));
  const std::string etag = client.Read().Field("etag");
  ASSERT_THAT(etag, StartsWith("\""));
  for (const std::string& condition : {etag, "W/" + etag, "\"other\", " + etag, std::string("*")}) {
    client.Send(Request("GET " + DonePipeline(), "If-None-Match: " + condition + "\r\n"));
    const Reply reply = client.Read();
    EXPECT_EQ(reply.status, 304) << condition;
    EXPECT_EQ(reply.Field("etag"), etag);
    EXPECT_EQ(reply.Field("content-length"), "");
  }
  client.Send(Request("GET " + DonePipeline(), "If-None-Match: \"other\"\r\n"));
  EXPECT_EQ(client.Read().status, 200);
}

TEST_F(RestServerTest, SaysForHowLongAReplyIsFreshAndThatChangesAreNotKept) {
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline()));
  client.Read();
  client.Send(Request("GET " + DonePipeline()));
  const Reply read = client.Read();
  EXPECT_THAT(read.Field("cache-control"), StartsWith("private, max-age="));
  EXPECT_NE(read.Field("cache-control"), "private, max-age=0");
  EXPECT_NE(read.Field("age"), "");
  client.Send(Request(absl::StrCat("POST ", DonePipeline(), ":stop")));
  const Reply changed = client.Read();
  EXPECT_EQ(changed.status, 200);
  EXPECT_EQ(changed.body, "{}");
  EXPECT_EQ(changed.Field("cache-control"), "no-store");
  EXPECT_EQ(changed.Field("x-cache"), "bypass");
}

TEST_F(RestServerTest, HeadIsGetWithoutItsBody) {
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline()));
  const Reply get = client.Read();
  client.Send(Request("HEAD " + DonePipeline()));
  const Reply head = client.Read(/*head_only=*/true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Field("content-length"), get.Field("content-length"));
  client.Send(Request("GET " + DonePipeline()));
  EXPECT_EQ(client.Read().body, get.body);
}

TEST_F(RestServerTest, CompressesWhereItIsAskedTo) {
  RawClient client(Serve());
  const std::string list = absl::StrCat("GET /v1/workflows?projectId=", upstream_->ids().project);
  client.Send(Request(list));
  const Reply plain = client.Read();
  ASSERT_GT(plain.body.size(), 4096u);
  for (int i = 0; i < 2; ++i) {
    client.Send(Request(list, "Accept-Encoding: br;q=1, gzip;q=0.5\r\n"));
    const Reply compressed = client.Read();
    EXPECT_EQ(compressed.Field("content-encoding"), "gzip");
    EXPECT_LT(compressed.body.size(), plain.body.size() / 2);
    EXPECT_THAT(compressed.body, StartsWith("\x1f\x8b"));
    EXPECT_NE(compressed.Field("etag"), plain.Field("etag"));
    EXPECT_THAT(compressed.Field("vary"), HasSubstr("accept-encoding"));
  }
  client.Send(Request(list, "Accept-Encoding: gzip;q=0\r\n"));
  EXPECT_EQ(client.Read().Field("content-encoding"), "");
}

TEST_F(RestServerTest, RefusalsAreWhatTheStandardsSay) {
  RawClient client(Serve());
  const struct {
    std::string request;
    int status;
    std::string reason;
  } rows[] = {
      {Request("GET /v1/nothing"), 404, "ROUTE_NOT_FOUND"},
      {Request("GET /v1/projects/"), 404, "ROUTE_NOT_FOUND"},
      {Request("DELETE /v1/projects"), 405, "METHOD_NOT_ALLOWED"},
      {Request("GET /v1/workflows?projectId=a&wrong=1"), 400, "INVALID_FIELD"},
      {Request("GET /v1/workflows"), 400, "INVALID_FIELD"},
      {Request("GET /v1/pipelines/a%2Fb"), 400, "INVALID_FIELD"},
      {Request("GET /v1/pipelines/a%00b"), 400, "INVALID_FIELD"},
      {Request("GET /v1/pipelines/%C0%AE%C0%AE"), 400, "INVALID_FIELD"},
      {Request("GET /v1/pipelines/.."), 400, "INVALID_FIELD"},
      {Request("GET " + DonePipeline(), "Accept: text/html\r\n"), 406, "NOT_ACCEPTABLE"},
      {Request("POST /v1/workflows:run", "Content-Type: text/plain\r\n", "{}"), 415,
       "UNSUPPORTED_MEDIA_TYPE"},
      {Request("POST /v1/workflows:run", "Content-Type: application/json\r\n", "{"), 400,
       "INVALID_FIELD"},
      {Request("POST /v1/workflows:run", "Content-Type: application/json\r\n",
               R"({"projectId":"a","projectId":"b"})"),
       400, "INVALID_FIELD"},
      {Request("POST /v1/workflows%3Arun", "Content-Type: application/json\r\n", "{}"), 404,
       "ROUTE_NOT_FOUND"},
      {Request("GET " + DonePipeline(), "X-Semaphore-Organization: other\r\n"), 400,
       "UNKNOWN_ORGANIZATION"},
      {Request("GET " + DonePipeline(),
               "X-Semaphore-Organization: acme\r\nX-Semaphore-Organization: acme\r\n"),
       400, "UNKNOWN_ORGANIZATION"},
      {Request("GET " + DonePipeline(), "Cache-Control: max-age=x\r\n"), 400, "INVALID_FIELD"},
      {Request("GET /v1/pipelines/00000000-0000-0000-0000-000000000000"), 404,
       "UPSTREAM_NOT_FOUND"},
  };
  for (const auto& row : rows) {
    client.Send(row.request);
    const Reply reply = client.Read();
    EXPECT_EQ(reply.status, row.status) << row.request << reply.body;
    EXPECT_THAT(reply.body, HasSubstr("\"" + row.reason + "\"")) << row.request;
    EXPECT_EQ(reply.Field("content-type"), "application/json");
    EXPECT_EQ(reply.Field("allow"), row.status == 405 ? "GET, HEAD, OPTIONS" : "") << row.request;
  }
}

TEST_F(RestServerTest, OptionsTellsWhatAPathTakes) {
  RawClient client(Serve());
  client.Send(Request("OPTIONS /v1/agentTypes/s1-a"));
  const Reply one = client.Read();
  EXPECT_EQ(one.status, 204);
  EXPECT_EQ(one.Field("allow"), "DELETE, GET, HEAD, OPTIONS, PATCH");
  EXPECT_EQ(one.Field("access-control-allow-origin"), "");
  client.Send(Request("OPTIONS *"));
  EXPECT_EQ(client.Read().status, 204);
  client.Send(Request("OPTIONS /v1/nothing"));
  EXPECT_EQ(client.Read().status, 404);
}

TEST_F(RestServerTest, PagesOfOtherOriginsReadOnlyWhereTheyMay) {
  config_.rest->cors_allowed_origins = {"https://tools.example.com"};
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline(), "Origin: https://tools.example.com\r\n"));
  EXPECT_EQ(client.Read().Field("access-control-allow-origin"), "https://tools.example.com");
  client.Send(Request("GET " + DonePipeline(), "Origin: https://evil.example.com\r\n"));
  EXPECT_EQ(client.Read().Field("access-control-allow-origin"), "");
  client.Send(
      Request("OPTIONS /v1/workflows:run",
              "Origin: https://tools.example.com\r\nAccess-Control-Request-Method: POST\r\n"));
  const Reply preflight = client.Read();
  EXPECT_EQ(preflight.Field("access-control-allow-methods"), "OPTIONS, POST");
  EXPECT_THAT(preflight.Field("access-control-allow-headers"), HasSubstr("authorization"));
  client.Send(
      Request("OPTIONS /v1/workflows:run",
              "Origin: https://evil.example.com\r\nAccess-Control-Request-Method: POST\r\n"));
  EXPECT_EQ(client.Read().Field("access-control-allow-methods"), "");
}

TEST_F(RestServerTest, PagesOfOtherOriginsChangeNothing) {
  config_.rest->cors_allowed_origins = {"https://tools.example.com"};
  RawClient client(Serve());
  const auto stop = [&](const std::string& origin) {
    client.Send(Request("POST " + DonePipeline() + ":stop", "Origin: " + origin + "\r\n"));
    return client.Read().status;
  };
  // What a browser sends without asking first.
  EXPECT_EQ(stop("https://evil.example.com"), 403);
  EXPECT_EQ(stop("null"), 403);
  EXPECT_EQ(stop("http://gateway.evil.example.com"), 403);
  EXPECT_EQ(stop("https://tools.example.com"), 200);
  EXPECT_EQ(stop("http://gateway"), 200) << "the host of the request: the explorer's own page";
}

TEST_F(RestServerTest, WithoutAuthenticationNoNameOnTheWebIsTakenForThisMachine) {
  RawClient client(Serve());
  const auto ask = [&](const std::string& host) {
    client.Send(absl::StrCat("GET ", DonePipeline(), " HTTP/1.1\r\nHost: ", host, "\r\n\r\n"));
    return client.Read().status;
  };
  for (const char* host :
       {"localhost:8080", "127.0.0.1:8080", "[::1]:8080", "gateway", "a.localhost"})
    EXPECT_EQ(ask(host), 200) << host;
  for (const char* host : {"evil.example.com", "127.0.0.1.evil.example.com:8080", "localhost."})
    EXPECT_EQ(ask(host), 403) << host;
}

TEST_F(RestServerTest, TellsHowTheCallerStands) {
  config_.callers.requests_per_second = 0.01;
  config_.callers.burst = 2;
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline()));
  const Reply asked = client.Read();
  EXPECT_EQ(asked.Field("ratelimit-policy"), "\"caller\";q=2;w=200");
  EXPECT_THAT(asked.Field("ratelimit"), StartsWith("\"caller\";r=1;t="));
  client.Send(Request("GET " + DonePipeline()));
  EXPECT_EQ(client.Read().Field("ratelimit"), "") << "the cache costs nothing";
}

TEST_F(RestServerTest, AnswersPipelinedRequestsInTheirOrder) {
  RawClient client(Serve());
  std::string requests;
  for (int i = 0; i < 500; ++i) {
    requests += Request("GET " + DonePipeline(), absl::StrCat("X-Request-Id: id-", i, "\r\n"));
  }
  std::thread sender([&] { client.Send(requests); });
  for (int i = 0; i < 500; ++i) {
    const Reply reply = client.Read();
    ASSERT_EQ(reply.status, 200);
    ASSERT_EQ(reply.Field("x-request-id"), absl::StrCat("id-", i));
  }
  sender.join();
}

TEST_F(RestServerTest, EndsAConnectionWhenAsked) {
  const uint16_t port = Serve();
  RawClient one(port);
  one.Send(Request("GET " + DonePipeline(), "Connection: close\r\n"));
  EXPECT_EQ(one.Read().Field("connection"), "close");
  EXPECT_TRUE(one.IsClosed());
  RawClient old(port);
  old.Send(absl::StrCat("GET ", DonePipeline(), " HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(old.Read().status, 200);
  EXPECT_TRUE(old.IsClosed());
}

TEST_F(RestServerTest, RefusesWhatIsNoRequestAndEndsTheConnection) {
  const uint16_t port = Serve();
  const struct {
    std::string bytes;
    int status;
  } rows[] = {
      {"POST /v1/workflows:run HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
       "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/projects HTTP/1.1\r\nHost: a\r\n\r\n",
       400},
      {"GET /v1/projects HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
      {"GET /v1/projects HTTP/1.1\nHost: a\n\n\r\n\r\n", 400},
      {"GET /v1/projects HTTP/1.1\r\n\r\n", 400},
      {Request("GET /v1/projects", "X: " + std::string(100'000, 'x') + "\r\n"), 431},
      {"GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
      {"POST /v1/workflows:run HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n", 413},
      {"\x16\x03\x01\x02\xfc\x03\x03\r\n\r\n", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
  };
  for (const auto& row : rows) {
    RawClient client(port);
    client.Send(row.bytes);
    const Reply reply = client.Read();
    EXPECT_EQ(reply.status, row.status) << row.bytes.substr(0, 100) << reply.body;
    EXPECT_EQ(reply.Field("connection"), "close");
    EXPECT_THAT(reply.body, StartsWith("{\"code\":"));
    EXPECT_TRUE(client.IsClosed()) << "another answer came: a smuggled request";
  }
}

TEST_F(RestServerTest, AGigabyteInChunksIsRefusedLongBeforeItsEnd) {
  RawClient client(Serve());
  client.Send("POST /v1/workflows:run HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  size_t sent = 0;
  while (sent < (1u << 30) && client.Send(chunk)) sent += chunk.size();
  EXPECT_LT(sent, 64u << 20);
  const Reply reply = client.Read();
  // A reset may have taken the reply away.
  EXPECT_TRUE(reply.status == 413 || reply.status == 0) << reply.status;
}

TEST_F(RestServerTest, AClientThatWaitsIsToldToSendItsBody) {
  RawClient client(Serve());
  const std::string body = R"({"yamlDefinition":"version: v1.0\nblocks: []"})";
  client.Send(absl::StrCat(
      "POST /v1/pipelines:validate HTTP/1.1\r\nHost: a\r\nContent-Length: ", body.size(),
      "\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.Read().status, 100);
  client.Send(body);
  EXPECT_EQ(client.Read().status, 200);
}

TEST_F(RestServerTest, SlowRequestsAndIdleConnectionsEnd) {
  config_.rest->head_timeout = std::chrono::milliseconds(50);
  config_.rest->body_timeout = std::chrono::milliseconds(50);
  config_.rest->idle_timeout = std::chrono::milliseconds(50);
  const uint16_t port = Serve();
  RawClient idle(port);
  EXPECT_TRUE(idle.IsClosed());
  RawClient slow_head(port);
  slow_head.Send("GET /v1/projects HTTP/1.1\r\nHo");
  EXPECT_EQ(slow_head.Read().status, 408);
  EXPECT_TRUE(slow_head.IsClosed());
  RawClient slow_body(port);
  slow_body.Send("POST /v1/workflows:run HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
  EXPECT_EQ(slow_body.Read().status, 408);
  EXPECT_TRUE(slow_body.IsClosed());
}

TEST_F(RestServerTest, AReaderWhoDoesNotReadIsLeft) {
  config_.rest->write_timeout = std::chrono::milliseconds(50);
  const uint16_t port = Serve();
  RawClient client(port, /*receive_buffer=*/4096);
  const std::string list =
      absl::StrCat("GET /v1/workflows?projectId=", upstream_->ids().project, "&pageSize=1000");
  // More than all buffers hold; sending ends when the other side has closed.
  bool open = true;
  for (int i = 0; open && i < 100'000; ++i) open = client.Send(Request(list));
  EXPECT_FALSE(open);
}

TEST_F(RestServerTest, ACallerWhoLeavesEndsItsRequestUpstream) {
  upstream_->AddFault({.action = FaultAction::kSilence, .stage = FaultStage::kRequest});
  const uint16_t port = Serve();
  {
    RawClient client(port);
    client.Send(Request("GET " + DonePipeline()));
    ASSERT_TRUE(upstream_->WaitUntil([this] { return upstream_->last_request_number() > 0; }));
  }
  EXPECT_TRUE(upstream_->WaitUntil([this] { return upstream_->open_connections() == 0; }));
  upstream_->ClearFaults();
  RawClient other(port);
  other.Send(Request("GET " + DonePipeline()));
  EXPECT_EQ(other.Read().status, 200);
}

TEST_F(RestServerTest, ConnectionsThatAreCutAnywhereHarmNobody) {
  const uint16_t port = Serve();
  const std::string whole =
      Request("POST /v1/pipelines:validate", "Content-Type: application/json\r\n",
              R"({"yamlDefinition":"version: v1.0"})");
  for (size_t cut = 1; cut < whole.size(); cut += 3) {
    RawClient client(port);
    client.Send(whole.substr(0, cut));
    client.CloseWithReset();
  }
  for (int i = 0; i < 20; ++i) {
    RawClient client(port, 4096);
    client.Send(Request(absl::StrCat("GET /v1/workflows?projectId=", upstream_->ids().project)));
    client.CloseWithReset();
  }
  RawClient client(port);
  client.Send(whole);
  EXPECT_EQ(client.Read().status, 200);
}

TEST_F(RestServerTest, MoreConnectionsThanAllowedAreClosed) {
  config_.rest->max_connections = 3;
  const uint16_t port = Serve();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(port));
    clients.back()->Send(Request("GET " + DonePipeline()));
    EXPECT_EQ(clients.back()->Read().status, 200);
  }
  RawClient one_too_many(port);
  EXPECT_TRUE(one_too_many.IsClosed());
  clients.front()->Send(Request("GET " + DonePipeline()));
  EXPECT_EQ(clients.front()->Read().status, 200);
}

TEST_F(RestServerTest, ASecondGatewayCannotTakeThePort) {
  const uint16_t port = Serve();
  Config other = config_;
  other.rest->address.port = port;
  EXPECT_EQ(Gateway::Start(other, log_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(RestServerTest, AnswersWhatItHasInHandBeforeItStops) {
  upstream_->AddFault({.action = FaultAction::kDelay, .delay = absl::Milliseconds(300)});
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline()));
  ASSERT_TRUE(upstream_->WaitUntil([this] { return upstream_->last_request_number() > 0; }));
  std::thread stopping([this] { gateway_->Stop(absl::Seconds(30)); });
  const Reply reply = client.Read();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Field("connection"), "close");
  stopping.join();
}

TEST_F(RestServerTest, StopsThoughACallWouldNeverEnd) {
  upstream_->AddFault({.action = FaultAction::kSilence, .stage = FaultStage::kRequest});
  RawClient client(Serve());
  client.Send(Request("GET " + DonePipeline()));
  ASSERT_TRUE(upstream_->WaitUntil([this] { return upstream_->last_request_number() > 0; }));
  gateway_->Stop(absl::ZeroDuration());
  client.Read();
}

TEST_F(RestServerTest, ServesTheExplorerAndItsDescription) {
  RawClient client(Serve());
  client.Send(Request("GET /"));
  const Reply page = client.Read();
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.Field("content-type"), StartsWith("text/html"));
  EXPECT_THAT(page.Field("content-security-policy"), HasSubstr("script-src 'self'"));
  client.Send(Request("GET /openapi.json", "Accept-Encoding: gzip\r\n"));
  const Reply document = client.Read();
  EXPECT_EQ(document.status, 200);
  EXPECT_EQ(document.Field("content-encoding"), "gzip");
  client.Send(Request("GET /openapi.json", "Accept-Encoding: gzip\r\nIf-None-Match: " +
                                               document.Field("etag") + "\r\n"));
  EXPECT_EQ(client.Read().status, 304);
  client.Send(Request("POST /openapi.json", "", "x"));
  EXPECT_EQ(client.Read().status, 405);
}

}  // namespace
}  // namespace semaphore::gateway
