// A server that does, byte for byte, what a test's script says: one script per accepted connection,
// TLS or plain, well behaved or not. It records what it was sent and how many connections are open.
// It knows HTTP only as far as to tell where a request ends; tests/simulator/ is the faithful fake.
#ifndef SEMAPHORE_TESTS_CLIENT_SCRIPTED_TLS_SERVER_H_
#define SEMAPHORE_TESTS_CLIENT_SCRIPTED_TLS_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/client/test_certificates.h"

namespace semaphore::client {

struct Step {
  enum class Kind {
    kHandshake,    // what follows goes through TLS
    kReadSome,     // whatever comes first, not decrypted
    kReadRequest,  // one whole request
    kReply,        // `bytes`, at once
    kTrickle,      // `bytes`, each in a write (and TLS record) of its own
    kServe,        // reads a request and replies `bytes` until the client hangs up
    kSilence,      // reads and says nothing until the client hangs up
    kHold,         // does not even read, until Resume()
    kGoodbye,      // a TLS close_notify
    kReset,        // closes with a RST
  };
  Kind kind = Kind::kSilence;
  std::string bytes;
};

// When its script is over, the server closes the connection without a TLS goodbye.
using Script = std::vector<Step>;

class ScriptedTlsServer final {
 public:
  struct Tls {
    TestCertificate certificate;
    int max_version = 0;   // an OpenSSL version number; 0: the newest
    bool antique = false;  // allows TLS 1.0 and 1.1
  };

  // The nth connection accepted gets the nth script; later ones get the last.
  ScriptedTlsServer(const Tls& tls, std::vector<Script> scripts);
  ~ScriptedTlsServer();
  ScriptedTlsServer(const ScriptedTlsServer&) = delete;
  ScriptedTlsServer& operator=(const ScriptedTlsServer&) = delete;

  uint16_t port() const;

  // Lets every kHold, present and to come, go on.
  void Resume();

  // All of these at any time, from any thread.
  std::vector<std::string> requests() const;      // whole, in order of arrival
  std::vector<std::string> server_names() const;  // SNI of each finished handshake
  size_t accepted() const;
  size_t most_open() const;  // connections at the same time
  size_t quiet() const;      // connections that have got to a kSilence or kHold

  // False if connections are still open after a time that only a broken test needs.
  bool WaitUntilAllClosed() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_SCRIPTED_TLS_SERVER_H_
