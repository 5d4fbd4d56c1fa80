// Whom the client trusts, how it resumes, and how it gets through a proxy.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <string>

#include "tests/client/https_client_fixture.h"

namespace semaphore::client {
namespace {

void ExpectRefused(const HttpResult& result, const std::string& reason, const std::string& host) {
  EXPECT_EQ(result.stage, HttpStage::kHandshake);
  EXPECT_EQ(result.cause, HttpCause::kTls);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(result.may_have_arrived);
  const std::string text(result.status.message());
  EXPECT_NE(text.find(reason), std::string::npos) << text;
  EXPECT_NE(text.find(host), std::string::npos) << text;
}

TEST_F(HttpsClientTest, RefusesAnExpiredCertificate) {
  tls.certificate = authority.IssueExpired("DNS:upstream.test");
  Start({{Handshake(), Serve()}});
  ExpectRefused(Send(Read()), "certificate has expired", "upstream.test");
  EXPECT_TRUE(server->requests().empty());
}

TEST_F(HttpsClientTest, RefusesASelfSignedCertificate) {
  tls.certificate = TestAuthority::SelfSigned("DNS:upstream.test");
  Start({{Handshake(), Serve()}});
  ExpectRefused(Send(Read()), "self-signed certificate", "upstream.test");
}

TEST_F(HttpsClientTest, RefusesACertificateForAnotherHost) {
  tls.certificate = authority.Issue("DNS:elsewhere.test");
  Start({{Handshake(), Serve()}});
  ExpectRefused(Send(Read()), "hostname mismatch", "upstream.test");
}

TEST_F(HttpsClientTest, RefusesACertificateOfAnAuthorityItDoesNotTrust) {
  const TestAuthority stranger("Stranger");
  tls.certificate = stranger.Issue("DNS:upstream.test");
  Start({{Handshake(), Serve()}});
  ExpectRefused(Send(Read()), "unable to get local issuer certificate", "upstream.test");
}

TEST_F(HttpsClientTest, TrustsTheAuthoritiesOfTheSystemOnlyUnlessToldOtherwise) {
  options.ca_pem.clear();
  Start({{Handshake(), Serve()}});
  ExpectRefused(Send(Read()), "unable to get local issuer certificate", "upstream.test");
}

TEST_F(HttpsClientTest, VerifiesAnAddressLiteral) {
  options.host = "127.0.0.1";
  tls.certificate = authority.Issue("IP:127.0.0.1");
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(server->server_names().at(0), "");
}

TEST_F(HttpsClientTest, RefusesACertificateForAnotherAddress) {
  options.host = "127.0.0.1";
  tls.certificate = authority.Issue("IP:127.0.0.2");
  Start({{Handshake(), Serve()}});
  ExpectRefused(Send(Read()), "IP address mismatch", "127.0.0.1");
}

TEST_F(HttpsClientTest, NamesTheHostToTheServer) {
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(server->server_names().at(0), "upstream.test");
}

TEST_F(HttpsClientTest, RefusesTls11) {
  tls.antique = true;
  tls.max_version = TLS1_1_VERSION;
  Start({{Handshake(), Serve()}});
  const HttpResult result = Send(Read());
  EXPECT_EQ(result.stage, HttpStage::kHandshake);
  EXPECT_EQ(result.cause, HttpCause::kTls);
  EXPECT_TRUE(server->server_names().empty());
}

TEST_F(HttpsClientTest, SpeaksTls12) {
  tls.max_version = TLS1_2_VERSION;
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
}

TEST_F(HttpsClientTest, ResumesASessionOfTls13) {
  Start({{Handshake(), Serve()}});
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Send(Change()).status.ok());
  EXPECT_EQ(client->Stats().handshakes_full, 1u);
  EXPECT_EQ(client->Stats().handshakes_resumed, 3u);
}

TEST_F(HttpsClientTest, ResumesASessionOfTls12) {
  tls.max_version = TLS1_2_VERSION;
  Start({{Handshake(), Serve()}});
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Send(Change()).status.ok());
  EXPECT_EQ(client->Stats().handshakes_full, 1u);
  EXPECT_EQ(client->Stats().handshakes_resumed, 3u);
}

TEST_F(HttpsClientTest, ResumesAfterAConnectionThatUpstreamClosed) {
  Start({{Handshake(), ReadRequest(), Reply(kOk)}});
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Send(Read()).status.ok());
    EXPECT_TRUE(server->WaitUntilAllClosed());
  }
  EXPECT_EQ(client->Stats().handshakes_resumed, 2u);
}

TEST_F(HttpsClientTest, DoesNotResumeTheSessionOfAnotherClient) {
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
  StartClient();
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(client->Stats().handshakes_full, 1u);
}

class HttpsClientProxyTest : public HttpsClientTest {
 protected:
  // The server plays the proxy and, once the tunnel is open, the upstream behind it.
  void StartProxy(Script script) {
    StartServer({std::move(script)});
    options.port = 443;
    options.proxy_host = "proxy.test";
    options.proxy_port = server->port();
    StartClient();
  }
};

TEST_F(HttpsClientProxyTest, TunnelsThroughAProxy) {
  options.proxy_authorization = "Basic c2VjcmV0";
  StartProxy(
      {ReadRequest(), Reply("HTTP/1.1 200 Connection established\r\n\r\n"), Handshake(), Serve()});
  EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(server->requests().at(0),
            "CONNECT upstream.test:443 HTTP/1.1\r\nHost: upstream.test:443\r\n"
            "Proxy-Authorization: Basic c2VjcmV0\r\n\r\n");
  EXPECT_EQ(server->server_names().at(0), "upstream.test");
  EXPECT_EQ(server->requests().at(1).find("Basic"), std::string::npos);
  EXPECT_NE(server->requests().at(1).find("\r\nHost: upstream.test\r\n"), std::string::npos);
}

TEST_F(HttpsClientProxyTest, ReusesATunnel) {
  StartProxy({ReadRequest(), Reply("HTTP/1.1 200 OK\r\n\r\n"), Handshake(), Serve()});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Send(Read()).status.ok());
  EXPECT_EQ(server->accepted(), 1u);
}

TEST_F(HttpsClientProxyTest, SaysWhatAProxyThatRefusesAnswered) {
  options.proxy_authorization = "Basic c2VjcmV0";
  StartProxy({ReadRequest(),
              Reply("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"),
              Silence()});
  const HttpResult result = Send(Read());
  EXPECT_EQ(result.stage, HttpStage::kProxy);
  EXPECT_EQ(result.cause, HttpCause::kProxy);
  EXPECT_FALSE(result.may_have_arrived);
  const std::string text(result.status.message());
  EXPECT_NE(text.find("407"), std::string::npos) << text;
  EXPECT_NE(text.find("proxy.test"), std::string::npos) << text;
  EXPECT_EQ(text.find("c2VjcmV0"), std::string::npos) << text;
  EXPECT_TRUE(server->WaitUntilAllClosed());
}

TEST_F(HttpsClientProxyTest, CallsAProxyThatHangsUpAProxyFailure) {
  StartProxy({ReadRequest()});
  EXPECT_EQ(Send(Read()).cause, HttpCause::kProxy);
}

TEST_F(HttpsClientProxyTest, CallsAProxyThatSpeaksNoHttpAProxyFailure) {
  StartProxy({ReadRequest(), Reply("SSH-2.0-OpenSSH\r\n"), Silence()});
  EXPECT_EQ(Send(Read()).cause, HttpCause::kProxy);
}

TEST_F(HttpsClientProxyTest, CallsAProxyThatSpeaksIntoTheTunnelAProxyFailure) {
  StartProxy({ReadRequest(), Reply("HTTP/1.1 200 OK\r\n\r\nhello"), Silence()});
  EXPECT_EQ(Send(Read()).cause, HttpCause::kProxy);
}

TEST_F(HttpsClientProxyTest, VerifiesTheUpstreamBehindTheProxy) {
  tls.certificate = authority.Issue("DNS:proxy.test");
  StartProxy({ReadRequest(), Reply("HTTP/1.1 200 OK\r\n\r\n"), Handshake(), Serve()});
  ExpectRefused(Send(Read()), "hostname mismatch", "upstream.test");
}

}  // namespace
}  // namespace semaphore::client
