#include "gateway/admin_server.h"

#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

// A blocking client that speaks raw bytes.
class Peer {
 public:
  explicit Peer(uint16_t port) : socket_(context_) {
    socket_.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
  }
  // False when the server has closed already.
  bool Say(const std::string& bytes) {
    boost::system::error_code error;
    asio::write(socket_, asio::buffer(bytes), error);
    return !error;
  }
  std::string HearUntil(const std::string& end) {
    boost::system::error_code error;
    const size_t size = asio::read_until(socket_, asio::dynamic_buffer(buffer_), end, error);
    const std::string heard = error ? buffer_ : buffer_.substr(0, size);
    buffer_.erase(0, heard.size());
    return heard;
  }
  // Until the server closes the connection.
  std::string HearAll() {
    boost::system::error_code error;
    asio::read(socket_, asio::dynamic_buffer(buffer_), error);
    return std::exchange(buffer_, {});
  }
  void FinishSaying() {
    boost::system::error_code error;
    socket_.shutdown(tcp::socket::shutdown_send, error);
  }

 private:
  asio::io_context context_;
  tcp::socket socket_;
  std::string buffer_;
};

class AdminServerTest : public testing::Test {
 protected:
  void Start(const AdminServer::Options& options = {}) {
    AdminServer::Sources sources;
    sources.metrics = [this](Exposition) { return page_; };
    if (collects_) {
      sources.ci_snapshot = [this] { return snapshot_; };
      sources.ci_scraped = [this](const std::shared_ptr<const CiSnapshot>& snapshot,
                                  uint64_t dropped, std::string_view scraper) {
        const std::lock_guard lock(mutex_);
        if (snapshot == snapshot_) ++scrapes_;
        dropped_ += dropped;
        scrapers_.emplace_back(scraper);
      };
    }
    sources.not_ready_because = [this] {
      const std::lock_guard lock(mutex_);
      return reasons_;
    };
    auto server = AdminServer::Start(context_.get_executor(), options, std::move(sources));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    thread_ = std::thread([this] { context_.run(); });
  }
  ~AdminServerTest() override {
    if (server_) server_->Stop();
    if (thread_.joinable()) thread_.join();  // nothing is left to run once everything is closed
  }
  void NotReady(std::vector<std::string> because) {
    const std::lock_guard lock(mutex_);
    reasons_ = std::move(because);
  }
  // `headers` end in a line break each.
  std::string Get(const std::string& path, const std::string& verb = "GET",
                  const std::string& headers = "") {
    Peer peer(server_->port());
    peer.Say(verb + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers +
             "\r\n");
    return peer.HearAll();
  }

  asio::io_context context_;
  std::string page_ = "# HELP x y\nx 1\n";
  std::mutex mutex_;
  std::vector<std::string> reasons_;
  bool collects_ = false;
  std::shared_ptr<const CiSnapshot> snapshot_;
  int scrapes_ = 0;                    // guarded by mutex_
  uint64_t dropped_ = 0;               // guarded by mutex_
  std::vector<std::string> scrapers_;  // guarded by mutex_
  std::unique_ptr<AdminServer> server_;
  std::thread thread_;
};

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(AdminServerTest, TellsScrapersApartAndPeopleFromThem) {
  collects_ = true;
  snapshot_ = std::make_shared<CiSnapshot>();
  Start();
  const std::string scrapes = "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n";
  Get("/metrics/ci", "GET", scrapes + "User-Agent: Prometheus/2.42.0\r\n");
  Get("/metrics/ci", "GET", scrapes + "User-Agent: " + std::string(1000, 'x') + "\r\n");
  Get("/metrics/ci", "GET", "User-Agent: curl/7.88.1\r\n");
  const std::lock_guard lock(mutex_);
  ASSERT_EQ(scrapers_.size(), 3u);
  EXPECT_EQ(scrapers_[0], "127.0.0.1 Prometheus/2.42.0");
  EXPECT_EQ(scrapers_[1], "127.0.0.1 " + std::string(200, 'x'));
  EXPECT_EQ(scrapers_[2], "");
}

TEST_F(AdminServerTest, MetricsAreServedInTextFormat) {
  Start();
  const std::string reply = Get("/metrics");
  EXPECT_EQ(reply.rfind("HTTP/1.1 200 ", 0), 0u) << reply;
  EXPECT_TRUE(Contains(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_TRUE(reply.ends_with("\r\n\r\n# HELP x y\nx 1\n")) << reply;
}

std::shared_ptr<const CiSnapshot> UpSnapshot(int organizations) {
  auto snapshot = std::make_shared<CiSnapshot>();
  CiFamily& up = snapshot->families.emplace_back(CiFamily{"semaphoreci_up", {}});
  for (int i = 0; i < organizations; ++i) {
    CiSeries& series = up.series.emplace_back();
    series.labels = {"o" + std::to_string(i)};
    series.value = 1;
  }
  return snapshot;
}

constexpr char kOpenMetricsWanted[] = "Accept: application/openmetrics-text;version=1.0.0\r\n";

TEST_F(AdminServerTest, CiFactsAreNotFoundWhereNoneAreCollected) {
  Start();
  const std::string reply = Get("/metrics/ci");
  EXPECT_EQ(reply.rfind("HTTP/1.1 404 ", 0), 0u) << reply;
  EXPECT_TRUE(Contains(reply, "no section metrics")) << reply;
}

TEST_F(AdminServerTest, CiFactsThatAreNotYetThereAreUnavailable) {
  collects_ = true;
  Start();
  EXPECT_EQ(Get("/metrics/ci").rfind("HTTP/1.1 503 ", 0), 0u);
  EXPECT_EQ(scrapes_, 0);
}

TEST_F(AdminServerTest, CiFactsComeInTheFormatThatIsAskedFor) {
  collects_ = true;
  snapshot_ = UpSnapshot(1);
  Start();
  const std::string text = Get("/metrics/ci");
  EXPECT_TRUE(Contains(text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n")) << text;
  EXPECT_TRUE(Contains(text, "semaphoreci_up{organization=\"o0\"} 1\n")) << text;
  const std::string open_metrics = Get("/metrics/ci", "GET", kOpenMetricsWanted);
  EXPECT_TRUE(Contains(open_metrics, "Content-Type: application/openmetrics-text; version=1.0.0"));
  EXPECT_TRUE(open_metrics.ends_with("# EOF\n\r\n0\r\n\r\n")) << open_metrics;
  server_->Stop();
  thread_.join();
  EXPECT_EQ(scrapes_, 2);
  EXPECT_EQ(dropped_, 0u);
}

TEST_F(AdminServerTest, HeadOfCiFactsIsNoScrape) {
  collects_ = true;
  snapshot_ = UpSnapshot(1);
  Start();
  const std::string reply = Get("/metrics/ci", "HEAD");
  EXPECT_EQ(reply.rfind("HTTP/1.1 200 ", 0), 0u) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n")) << reply;
  server_->Stop();
  thread_.join();
  EXPECT_EQ(scrapes_, 0);
}

TEST_F(AdminServerTest, HttpOneZeroGetsCiFactsWithoutChunks) {
  collects_ = true;
  snapshot_ = UpSnapshot(1);
  Start();
  Peer peer(server_->port());
  peer.Say("GET /metrics/ci HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string reply = peer.HearAll();
  EXPECT_TRUE(Contains(reply, "\r\n\r\n# HELP")) << reply;
  EXPECT_TRUE(reply.ends_with("semaphoreci_up{organization=\"o0\"} 1\n")) << reply;
}

TEST_F(AdminServerTest, PagesAreCompressedOnlyForThoseWhoAsk) {
  collects_ = true;
  snapshot_ = UpSnapshot(1900);
  Start();
  for (const char* path : {"/metrics", "/metrics/ci"}) {
    const std::string plain = Get(path);
    const std::string small = Get(path, "GET", "Accept-Encoding: gzip\r\n");
    EXPECT_FALSE(Contains(plain, "Content-Encoding"));
    EXPECT_TRUE(Contains(small, "Content-Encoding: gzip\r\n")) << path;
    EXPECT_TRUE(Contains(small, "\x1F\x8B")) << path;
  }
}

TEST_F(AdminServerTest, AConnectionIsKeptAfterAPageInPieces) {
  collects_ = true;
  snapshot_ = UpSnapshot(1900);
  Start();
  Peer peer(server_->port());
  for (int i = 0; i < 3; ++i) {
    peer.Say("GET /metrics/ci HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string reply = peer.HearUntil("\r\n0\r\n\r\n");
    EXPECT_TRUE(Contains(reply, "organization=\"o1899\"")) << reply.size();
  }
}

TEST_F(AdminServerTest, AQueryIsIgnored) {
  Start();
  EXPECT_EQ(Get("/metrics?name[]=x").rfind("HTTP/1.1 200 ", 0), 0u);
}

TEST_F(AdminServerTest, HealthIsOkWhileTheProcessRuns) {
  Start();
  NotReady({"draining"});
  const std::string reply = Get("/healthz");
  EXPECT_EQ(reply.rfind("HTTP/1.1 200 ", 0), 0u) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\nok\n")) << reply;
}

TEST_F(AdminServerTest, ReadinessTellsItsReasons) {
  Start();
  EXPECT_TRUE(Get("/readyz").ends_with("{\"ready\":true,\"reasons\":[],\"notes\":[]}\n"));
  NotReady({"draining", "token \"x\"\xFF"});
  const std::string reply = Get("/readyz");
  EXPECT_EQ(reply.rfind("HTTP/1.1 503 ", 0), 0u) << reply;
  EXPECT_TRUE(Contains(reply, "Content-Type: application/json\r\n"));
  EXPECT_TRUE(
      reply.ends_with("{\"ready\":false,\"reasons\":[\"draining\",\"token "
                      "\\\"x\\\"\xEF\xBF\xBD\"],\"notes\":[]}\n"))
      << reply;
}

TEST_F(AdminServerTest, AnUnknownPathListsTheKnownOnes) {
  Start();
  for (const char* path : {"/", "/metrics/", "/metricsx", "/../metrics", "*", "http://x/metrics"}) {
    SCOPED_TRACE(path);
    const std::string reply = Get(path);
    EXPECT_EQ(reply.rfind("HTTP/1.1 404 ", 0), 0u) << reply;
    EXPECT_TRUE(Contains(reply, "/metrics\n/metrics/ci\n/healthz\n/readyz\n")) << reply;
  }
}

TEST_F(AdminServerTest, AnotherVerbIsRefusedWithTheAllowedOnes) {
  Start();
  for (const char* verb : {"POST", "DELETE", "PUT", "OPTIONS", "MADEUP"}) {
    SCOPED_TRACE(verb);
    const std::string reply = Get("/metrics", verb);
    EXPECT_EQ(reply.rfind("HTTP/1.1 405 ", 0), 0u) << reply;
    EXPECT_TRUE(Contains(reply, "Allow: GET, HEAD\r\n")) << reply;
  }
}

TEST_F(AdminServerTest, HeadSaysTheLengthAndSendsNoBody) {
  Start();
  const std::string reply = Get("/metrics", "HEAD");
  EXPECT_EQ(reply.rfind("HTTP/1.1 200 ", 0), 0u) << reply;
  EXPECT_TRUE(Contains(reply, "Content-Length: 15\r\n")) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n")) << reply;
}

TEST_F(AdminServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  Peer peer(server_->port());
  peer.Say(
      "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
      "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string all = peer.HearAll();
  const size_t health = all.find("\r\n\r\nok\nHTTP/1.1 200");
  const size_t ready = all.find("{\"ready\":true");
  EXPECT_NE(health, std::string::npos) << all;
  EXPECT_NE(ready, std::string::npos) << all;
  EXPECT_LT(health, ready);
}

TEST_F(AdminServerTest, AConnectionIsKeptForTheNextRequest) {
  Start();
  Peer peer(server_->port());
  for (int i = 0; i < 3; ++i) {
    peer.Say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(peer.HearUntil("\r\n\r\nok\n").ends_with("ok\n"));
  }
}

TEST_F(AdminServerTest, ARequestInSmallPiecesIsUnderstood) {
  Start();
  Peer peer(server_->port());
  for (const char c : std::string("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")) {
    peer.Say(std::string(1, c));
  }
  EXPECT_TRUE(peer.HearAll().ends_with("ok\n"));
}

TEST_F(AdminServerTest, HttpOneZeroClosesAfterTheReply) {
  Start();
  Peer peer(server_->port());
  peer.Say("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(peer.HearAll().ends_with("ok\n"));
}

TEST_F(AdminServerTest, GarbageIsABadRequest) {
  Start();
  for (const char* garbage :
       {"\x16\x03\x01\x02", "hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    SCOPED_TRACE(garbage);
    Peer peer(server_->port());
    peer.Say(garbage);
    peer.FinishSaying();
    const std::string reply = peer.HearAll();
    EXPECT_TRUE(reply.empty() || reply.rfind("HTTP/1.1 400 ", 0) == 0) << reply;
  }
  EXPECT_TRUE(Get("/healthz").ends_with("ok\n"));
}

TEST_F(AdminServerTest, AHugeHeaderIsRefused) {
  Start();
  Peer peer(server_->port());
  peer.Say("GET /healthz HTTP/1.1\r\nX: " + std::string(32 << 10, 'x'));
  peer.FinishSaying();
  EXPECT_EQ(peer.HearAll().rfind("HTTP/1.1 431 ", 0), 0u);
}

TEST_F(AdminServerTest, AHugeBodyIsRefused) {
  Start();
  Peer peer(server_->port());
  peer.Say("GET /healthz HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + std::string(20'000, 'x'));
  peer.FinishSaying();
  EXPECT_EQ(peer.HearAll().rfind("HTTP/1.1 413 ", 0), 0u);
  Peer chunked(server_->port());
  chunked.Say("GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n" +
              std::string(0x2000, 'x'));
  chunked.FinishSaying();
  EXPECT_EQ(chunked.HearAll().rfind("HTTP/1.1 413 ", 0), 0u);
}

TEST_F(AdminServerTest, ASmallBodyIsReadAndIgnored) {
  Start();
  Peer peer(server_->port());
  peer.Say("GET /healthz HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
  EXPECT_TRUE(peer.HearAll().ends_with("ok\n"));
}

TEST_F(AdminServerTest, ASlowClientIsClosedWhenItsTimeIsUp) {
  AdminServer::Options options;
  options.read_timeout = milliseconds(20);
  Start(options);
  Peer peer(server_->port());
  peer.Say("GET /healthz HT");
  EXPECT_EQ(peer.HearAll(), "");
}

TEST_F(AdminServerTest, AClientThatDoesNotReadLosesItsPlaceWhenItsTimeIsUp) {
  AdminServer::Options options;
  options.write_timeout = milliseconds(20);
  options.max_connections = 1;
  page_ = std::string(64 << 20, 'x');  // more than any socket buffer takes
  Start(options);
  Peer deaf(server_->port());
  deaf.Say("GET /metrics HTTP/1.1\r\n\r\n");
  while (!Get("/healthz").ends_with("ok\n")) {
  }
}

TEST_F(AdminServerTest, MoreConnectionsThanPlacesAreClosedAtOnce) {
  AdminServer::Options options;
  options.max_connections = 2;
  Start(options);
  Peer first(server_->port());
  Peer second(server_->port());
  for (Peer* peer : {&first, &second}) {
    peer->Say("GET /healthz HTTP/1.1\r\n\r\n");
    peer->HearUntil("ok\n");
  }
  Peer third(server_->port());
  EXPECT_EQ(third.HearAll(), "");
  first.FinishSaying();
  first.HearAll();  // its place is free again
  EXPECT_TRUE(Get("/healthz").ends_with("ok\n"));
}

TEST_F(AdminServerTest, StopClosesListenerAndConnections) {
  Start();
  Peer idle(server_->port());
  idle.Say("GET /healthz HTTP/1.1\r\n\r\n");
  idle.HearUntil("ok\n");
  server_->Stop();
  server_->Stop();
  EXPECT_EQ(idle.HearAll(), "");
  thread_.join();
  EXPECT_THROW(Peer(server_->port()), boost::system::system_error);
}

TEST_F(AdminServerTest, AnAddressThatCannotBeBoundIsAnError) {
  Start();
  AdminServer::Options options;
  options.port = server_->port();
  const absl::Status taken = AdminServer::Start(context_.get_executor(), options, {}).status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable) << taken;
  options.host = "example.com";
  const absl::Status no_ip = AdminServer::Start(context_.get_executor(), options, {}).status();
  EXPECT_EQ(no_ip.code(), absl::StatusCode::kInvalidArgument) << no_ip;
}

TEST(AdminServer, MayEndBeforeItsContextEverRan) {
  asio::io_context context;
  auto server = AdminServer::Start(context.get_executor(), {}, {});
  ASSERT_TRUE(server.ok()) << server.status();
  server->reset();
}

TEST(AdminServer, LocalhostIsTheLoopbackAddress) {
  asio::io_context context;
  for (const char* host : {"localhost", "127.0.0.1"}) {
    AdminServer::Options options;
    options.host = host;
    auto server = AdminServer::Start(context.get_executor(), options, {});
    ASSERT_TRUE(server.ok()) << server.status();
    EXPECT_NE((*server)->port(), 0);
  }
}

}  // namespace
}  // namespace semaphore::gateway
