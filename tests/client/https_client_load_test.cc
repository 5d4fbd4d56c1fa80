// Many requests from many threads through one client.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "tests/client/https_client_fixture.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;

// Several threads, strands and requests at once; every third caller leaves at some moment.
class HttpsClientLoadTest : public HttpsClientTest {
 protected:
  static constexpr int kRequests = 400;

  void Run(int leave_every) {
    for (int i = 0; i < kRequests; ++i) {
      auto strand = asio::make_strand(*io);
      auto cancel = std::make_shared<asio::cancellation_signal>();
      asio::co_spawn(
          strand, client->Send(i % 4 == 0 ? Change() : Read(), clock.Now() + kPatience),
          asio::bind_cancellation_slot(
              cancel->slot(), [this, cancel](const std::exception_ptr&, const HttpResult& result) {
                ++(result.status.ok() ? succeeded : failed);
                if (result.cause == HttpCause::kCancelled) ++cancelled;
              }));
      if (leave_every == 0 || i % leave_every != 0) continue;
      auto timer = std::make_shared<asio::steady_timer>(strand, std::chrono::microseconds(i * 50));
      timer->async_wait([timer, cancel](const boost::system::error_code&) {
        cancel->emit(asio::cancellation_type::terminal);
      });
    }
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) threads.emplace_back([this] { io->run(); });
    for (std::thread& thread : threads) thread.join();
  }

  std::atomic<int> succeeded = 0;
  std::atomic<int> failed = 0;
  std::atomic<int> cancelled = 0;
};

TEST_F(HttpsClientLoadTest, ServesManyRequestsFromManyThreads) {
  options.max_connections = 8;
  Start({{Handshake(), Serve()}});
  Run(0);
  EXPECT_EQ(succeeded, kRequests);
  EXPECT_EQ(server->requests().size(), static_cast<size_t>(kRequests));
  EXPECT_EQ(client->Stats().connections_in_use, 0u);
  EXPECT_LE(client->Stats().connections_idle, 8u);
  EXPECT_EQ(client->Stats().redials, 0u);
}

TEST_F(HttpsClientLoadTest, LosesNoSlotToCallersThatLeave) {
  options.max_connections = 8;
  Start({{Handshake(), Serve()}});
  Run(3);
  EXPECT_EQ(succeeded + failed, kRequests);
  EXPECT_EQ(failed, cancelled);
  EXPECT_EQ(client->Stats().connections_in_use, 0u);
  EXPECT_EQ(client->Stats().requests_waiting, 0u);
  EXPECT_EQ(client->Stats().requests_in_flight, 0u);
  client.reset();
  EXPECT_TRUE(server->WaitUntilAllClosed());
}

}  // namespace
}  // namespace semaphore::client
