// The life of one connection: TLS handshake, requests and replies one after the other, and every
// fault that can be seen from the other side of the socket.
#ifndef SEMAPHORE_TESTS_SIMULATOR_CONNECTION_H_
#define SEMAPHORE_TESTS_SIMULATOR_CONNECTION_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <set>

#include "tests/simulator/server.h"

namespace boost::asio::ssl {
class context;
}

namespace semaphore::simulator {

// Where held replies wait. Only the server's thread touches it.
class HoldGate {
 public:
  void Enter(boost::asio::steady_timer* timer) { waiting_.insert(timer); }
  void Leave(boost::asio::steady_timer* timer) { waiting_.erase(timer); }

  // Moves the expiry instead of cancelling: a timer that nobody awaits just now must end its next
  // wait as well.
  void ReleaseAll() {
    for (boost::asio::steady_timer* timer : waiting_) {
      timer->expires_at(boost::asio::steady_timer::time_point::min());
    }
  }

 private:
  std::set<boost::asio::steady_timer*> waiting_;
};

// Returns when the connection has ended. All references outlive the executor that runs it.
boost::asio::awaitable<void> ServeConnection(boost::asio::ip::tcp::socket socket,
                                             boost::asio::ssl::context& tls,
                                             const ServerOptions& options, ServerParts& parts,
                                             HoldGate& gate);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_CONNECTION_H_
