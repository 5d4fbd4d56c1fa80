// What becomes of a request that the network, the clock or its caller stops, at every stage; and of
// many at once.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/client/https_client_fixture.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

// A port that accepts no connection and refuses none: its queue is full.
class FullPort {
 public:
  FullPort() : acceptor_(io_) {
    acceptor_.open(asio::ip::tcp::v4());
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
    acceptor_.listen(0);
    for (asio::ip::tcp::socket& socket : sockets_) {
      socket.async_connect(acceptor_.local_endpoint(), [](const boost::system::error_code&) {});
    }
  }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  asio::ip::tcp::socket sockets_[4] = {asio::ip::tcp::socket(io_), asio::ip::tcp::socket(io_),
                                       asio::ip::tcp::socket(io_), asio::ip::tcp::socket(io_)};
};

// Shared with the lookup thread, which may outlive the test.
struct Gate {
  void Enter() {
    std::unique_lock lock(mutex);
    ++entered;
    changed.wait(lock, [this] { return open; });
  }
  void Open() {
    const std::scoped_lock lock(mutex);
    open = true;
    changed.notify_all();
  }
  size_t Entered() {
    const std::scoped_lock lock(mutex);
    return entered;
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  size_t entered = 0;
};

asio::awaitable<absl::Status> WaitForever(size_t* waiting) {
  ++*waiting;
  asio::steady_timer timer(co_await asio::this_coro::executor, MonotonicTime::max());
  co_await timer.async_wait(asio::use_awaitable);
  co_return absl::OkStatus();
}

const HttpStage kStages[] = {HttpStage::kSlot,  HttpStage::kResolve,   HttpStage::kDial,
                             HttpStage::kProxy, HttpStage::kHandshake, HttpStage::kAdmit,
                             HttpStage::kWrite, HttpStage::kHeader,    HttpStage::kBody};
const char* const kStageNames[] = {"WaitingForASlot", "Resolving",           "Dialling",
                                   "TalkingToAProxy", "ShakingHands",        "WaitingToBeAdmitted",
                                   "Writing",         "WaitingForTheHeader", "ReadingTheBody"};

// Brings a request to a stage where it stands still for as long as the test likes.
class HttpsClientStageTest : public HttpsClientTest, public testing::WithParamInterface<HttpStage> {
 protected:
  ~HttpsClientStageTest() override { gate->Open(); }

  void StartSilentServer() {
    Script script{Handshake(), ReadRequest(), Silence()};
    switch (GetParam()) {
      case HttpStage::kResolve:
        lookup = [gate = gate](const std::string&) {
          gate->Enter();
          return DnsResolver::Addresses{asio::ip::address_v4::loopback()};
        };
        break;
      case HttpStage::kProxy:
        script = {ReadRequest(), Silence()};
        break;
      case HttpStage::kHandshake:
        script = {Silence()};
        break;
      case HttpStage::kWrite:
        script = {Handshake(), Hold()};
        break;
      case HttpStage::kBody:
        script = {Handshake(), ReadRequest(),
                  Reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Silence()};
        break;
      default:
        break;
    }
    if (GetParam() == HttpStage::kSlot) options.max_connections = 1;
    StartServer({script});
    if (GetParam() == HttpStage::kDial) options.port = full.port();
    if (GetParam() == HttpStage::kProxy) {
      options.proxy_host = "proxy.test";
      options.proxy_port = server->port();
    }
    StartClient();
    if (GetParam() != HttpStage::kSlot) return;
    occupant = Begin(Read());
    RunUntil([this] { return server->quiet() == 1; });
  }

  HttpRequest MakeRequest(bool repeatable) {
    HttpRequest request = repeatable ? Read() : Change();
    if (GetParam() == HttpStage::kWrite) request.body.assign(64 << 20, 'x');
    if (GetParam() == HttpStage::kAdmit) {
      request.admit = [this](MonotonicTime) { return WaitForever(&admitting); };
    }
    return request;
  }

  bool Reached() {
    switch (GetParam()) {
      case HttpStage::kSlot:
        return client->Stats().requests_waiting == 1;
      case HttpStage::kResolve:
        return gate->Entered() == 1;
      case HttpStage::kDial:
        return client->Stats().dials == 1;
      case HttpStage::kAdmit:
        return admitting == 1;
      default:
        return server->quiet() == 1;
    }
  }

  void ExpectStopped(const HttpResult& result, HttpCause cause) {
    EXPECT_EQ(result.cause, cause) << result.status;
    EXPECT_EQ(result.may_have_arrived, result.stage >= HttpStage::kWrite);
    EXPECT_EQ(result.status.code(), cause == HttpCause::kCancelled
                                        ? absl::StatusCode::kCancelled
                                        : absl::StatusCode::kDeadlineExceeded);
  }

  // The io_context has run out of work, the slot is back, and the server sees no connection.
  void ExpectNothingLeft() {
    if (occupant != nullptr) {
      EXPECT_FALSE(occupant->result.has_value());
      EXPECT_EQ(client->Stats().requests_waiting, 0u);
      occupant->cancel.emit(asio::cancellation_type::terminal);
    }
    io->restart();
    io->run();
    const HttpsClient::Statistics statistics = client->Stats();
    EXPECT_EQ(statistics.connections_in_use, 0u);
    EXPECT_EQ(statistics.connections_idle, 0u);
    EXPECT_EQ(statistics.requests_waiting, 0u);
    EXPECT_EQ(statistics.requests_in_flight, 0u);
    server->Resume();
    EXPECT_TRUE(server->WaitUntilAllClosed());
  }

  void CheckCancel(bool repeatable) {
    StartSilentServer();
    const auto call = Begin(MakeRequest(repeatable));
    RunUntil([this] { return Reached(); });
    ASSERT_FALSE(call->result.has_value());
    call->cancel.emit(asio::cancellation_type::terminal);
    Settle();
    ASSERT_TRUE(call->result.has_value()) << "the cancellation did not reach the socket";
    EXPECT_EQ(call->result->stage, GetParam());
    ExpectStopped(*call->result, HttpCause::kCancelled);
    ExpectNothingLeft();
  }

  // A short deadline may pass before the request gets to the stage; then it gets a longer one.
  void CheckDeadline(bool repeatable) {
    for (milliseconds patience(50);; patience *= 2) {
      ASSERT_LT(patience, milliseconds(60000)) << "never stopped at the stage it should";
      admitting = 0;
      occupant.reset();
      gate = std::make_shared<Gate>();
      StartSilentServer();
      const auto call = Begin(MakeRequest(repeatable), patience);
      RunUntil([&] { return call->result.has_value(); });
      ExpectStopped(*call->result, HttpCause::kDeadline);
      const bool there = call->result->stage == GetParam();
      ExpectNothingLeft();
      gate->Open();
      if (there) return;
    }
  }

  FullPort full;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  size_t admitting = 0;
  std::shared_ptr<Call> occupant;
};

TEST_P(HttpsClientStageTest, ACallerThatLeavesEndsARead) { CheckCancel(true); }
TEST_P(HttpsClientStageTest, ACallerThatLeavesEndsAChange) { CheckCancel(false); }
TEST_P(HttpsClientStageTest, TheDeadlineEndsARead) { CheckDeadline(true); }
TEST_P(HttpsClientStageTest, TheDeadlineEndsAChange) { CheckDeadline(false); }

TEST_P(HttpsClientStageTest, TheEndOfTheProgramLeavesNothing) {
  StartSilentServer();
  Begin(MakeRequest(true));
  RunUntil([this] { return Reached(); });
  occupant.reset();  // its signal holds a handler, which holds a strand
  client.reset();
  resolver.reset();
  io.reset();
  server->Resume();
  EXPECT_TRUE(server->WaitUntilAllClosed());
}

INSTANTIATE_TEST_SUITE_P(While, HttpsClientStageTest, testing::ValuesIn(kStages),
                         [](const auto& info) { return kStageNames[info.index]; });

TEST_F(HttpsClientTest, DoesNothingForACallerThatHasLeftAlready) {
  Start({{Handshake(), Serve()}});
  const auto call = Begin(Read());
  call->cancel.emit(asio::cancellation_type::terminal);
  io->run();
  EXPECT_EQ(server->accepted(), 0u);
}

TEST_F(HttpsClientTest, DoesNothingWhenTheDeadlineHasPassed) {
  Start({{Handshake(), Serve()}});
  const HttpResult result = Send(Read(), MonotonicDuration::zero());
  EXPECT_EQ(result.stage, HttpStage::kSlot);
  EXPECT_EQ(result.cause, HttpCause::kDeadline);
  EXPECT_EQ(server->accepted(), 0u);
}

TEST_F(HttpsClientTest, SaysThatNobodyListens) {
  StartServer({{Handshake(), Serve()}});
  asio::io_context other;
  asio::ip::tcp::acceptor closed(other, {asio::ip::address_v4::loopback(), 0});
  options.port = closed.local_endpoint().port();
  closed.close();
  StartClient();
  const HttpResult result = Send(Change());
  EXPECT_EQ(result.stage, HttpStage::kDial);
  EXPECT_EQ(result.cause, HttpCause::kConnect);
  EXPECT_FALSE(result.may_have_arrived);
  EXPECT_NE(result.status.message().find("upstream.test"), absl::string_view::npos);
}

TEST_F(HttpsClientTest, SaysThatTheNameIsUnknown) {
  lookup = [](const std::string&) { return absl::UnavailableError("no such name"); };
  Start({{Handshake(), Serve()}});
  const HttpResult result = Send(Read());
  EXPECT_EQ(result.stage, HttpStage::kResolve);
  EXPECT_EQ(result.cause, HttpCause::kDns);
  EXPECT_EQ(client->Stats().dns_failures, 1u);
  EXPECT_EQ(client->Stats().connections_in_use, 0u);
}

TEST_F(HttpsClientTest, TriesTheNextAddressWhenOneRefuses) {
  lookup = [](const std::string&) {
    return DnsResolver::Addresses{asio::ip::make_address("127.0.0.9"),
                                  asio::ip::address_v4::loopback()};
  };
  Start({{Handshake(), Serve()}});
  EXPECT_TRUE(Send(Read()).status.ok());
}

TEST_F(HttpsClientTest, GivesUpDiallingAfterTheConnectTimeout) {
  StartServer({{Handshake(), Serve()}});
  const FullPort full;
  options.port = full.port();
  options.connect_timeout = milliseconds(1);
  StartClient();
  const HttpResult result = Send(Read());
  EXPECT_EQ(result.stage, HttpStage::kDial);
  EXPECT_EQ(result.cause, HttpCause::kConnect);
}

TEST_F(HttpsClientTest, GivesUpShakingHandsAfterTheHandshakeTimeout) {
  options.handshake_timeout = milliseconds(1);
  Start({{Silence()}});
  const HttpResult result = Send(Read());
  EXPECT_EQ(result.stage, HttpStage::kHandshake);
  EXPECT_EQ(result.cause, HttpCause::kTls);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(server->WaitUntilAllClosed());
}

TEST_F(HttpsClientTest, PassesASlotOnWhenItsHolderIsCancelled) {
  options.max_connections = 1;
  Start({{Handshake(), ReadRequest(), Silence()}, {Handshake(), Serve()}});
  const auto first = Begin(Read());
  const auto second = Begin(Read());
  RunUntil([this] { return server->quiet() == 1; });
  first->cancel.emit(asio::cancellation_type::terminal);
  io->restart();
  io->run();
  EXPECT_EQ(first->result->cause, HttpCause::kCancelled);
  EXPECT_TRUE(second->result->status.ok());
  EXPECT_EQ(server->most_open(), 1u);
}

asio::awaitable<absl::Status> AwaitUpstreamsEnd(ScriptedTlsServer* server) {
  if (!server->WaitUntilAllClosed()) co_return absl::InternalError("still open");
  co_return absl::OkStatus();
}

TEST_F(HttpsClientTest, SendsNothingOnAConnectionThatDiesWhileItWaitsToBeAdmitted) {
  Start({{Handshake()}});
  HttpRequest request = Change();
  request.admit = [this](MonotonicTime) { return AwaitUpstreamsEnd(server.get()); };
  const HttpResult result = Send(request);
  EXPECT_EQ(result.stage, HttpStage::kAdmit);
  EXPECT_EQ(result.cause, HttpCause::kReset);
  EXPECT_FALSE(result.may_have_arrived);
}

}  // namespace
}  // namespace semaphore::client
