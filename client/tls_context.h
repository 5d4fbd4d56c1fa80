// The TLS side of one upstream origin: whom we trust, whom we expect, and the sessions that make
// the next handshake cheap. TLS 1.2 or later, chain and name always verified, no way to turn that
// off. It does no I/O.
#ifndef SEMAPHORE_CLIENT_TLS_CONTEXT_H_
#define SEMAPHORE_CLIENT_TLS_CONTEXT_H_

#include <boost/system/error_code.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct ssl_st;  // OpenSSL's SSL

namespace boost::asio::ssl {
class context;
}

namespace semaphore::client {

class TlsContext final {
 public:
  struct Options {
    std::string host;     // the name or address literal that the certificate must bear
    std::string ca_file;  // PEM; trusted instead of the system's authorities
    std::string ca_pem;   // likewise, by value
  };

  static absl::StatusOr<std::unique_ptr<TlsContext>> Create(const Options& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  boost::asio::ssl::context& context();

  // Before the handshake: SNI, the expected name, and a session to resume if there is one. Any
  // thread.
  absl::Status Prepare(ssl_st* ssl);

  // Why the handshake failed, in words that name the host; FAILED_PRECONDITION when the certificate
  // was refused, UNAVAILABLE otherwise.
  absl::Status HandshakeError(ssl_st* ssl, const boost::system::error_code& error) const;

 private:
  class Sessions;

  explicit TlsContext(std::string host);

  const std::string host_;
  std::unique_ptr<boost::asio::ssl::context> context_;
  std::unique_ptr<Sessions> sessions_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_TLS_CONTEXT_H_
