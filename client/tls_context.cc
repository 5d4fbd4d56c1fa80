#include "client/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::client {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

namespace {

using SessionPtr = std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>;

constexpr size_t kMaxSessions = 64;

bool IsAddressLiteral(const std::string& host) {
  boost::system::error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

}  // namespace

// OpenSSL hands us each session (under TLS 1.3, each ticket) that the server grants; the newest is
// offered first.
class TlsContext::Sessions {
 public:
  // The callback OpenSSL calls; returning 1 keeps the reference it passes.
  static int OnNew(SSL* ssl, SSL_SESSION* session) {
    void* self = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), Index());
    return self != nullptr && static_cast<Sessions*>(self)->Add(session) ? 1 : 0;
  }

  static int Index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
  }

  SessionPtr Take() {
    const std::scoped_lock lock(mutex_);
    if (sessions_.empty()) return {nullptr, &SSL_SESSION_free};
    SessionPtr& newest = sessions_.back();
    if (SSL_SESSION_get_protocol_version(newest.get()) < TLS1_3_VERSION) {
      SSL_SESSION_up_ref(newest.get());
      return {newest.get(), &SSL_SESSION_free};
    }
    // A TLS 1.3 ticket is used once, or an observer could link the connections that offer it.
    SessionPtr taken = std::move(newest);
    sessions_.pop_back();
    return taken;
  }

 private:
  bool Add(SSL_SESSION* session) {
    if (SSL_SESSION_is_resumable(session) == 0) return false;
    const std::scoped_lock lock(mutex_);
    sessions_.emplace_back(session, &SSL_SESSION_free);
    if (sessions_.size() > kMaxSessions) sessions_.pop_front();
    return true;
  }

  std::mutex mutex_;
  std::deque<SessionPtr> sessions_;
};

TlsContext::TlsContext(std::string host) : host_(std::move(host)) {}
TlsContext::~TlsContext() = default;

asio::ssl::context& TlsContext::context() { return *context_; }

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Create(const Options& options) {
  std::unique_ptr<TlsContext> tls(new TlsContext(options.host));
  tls->sessions_ = std::make_unique<Sessions>();
  try {
    tls->context_ = std::make_unique<ssl::context>(ssl::context::tls_client);
    ssl::context& context = *tls->context_;
    context.set_verify_mode(ssl::verify_peer);
    if (options.ca_file.empty() && options.ca_pem.empty()) context.set_default_verify_paths();
    if (!options.ca_file.empty()) context.load_verify_file(options.ca_file);
    if (!options.ca_pem.empty()) {
      context.add_certificate_authority(asio::buffer(options.ca_pem));
    }
  } catch (const boost::system::system_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("trusted certificates for ", options.host, ": ",
                     options.ca_file.empty() ? "" : options.ca_file + ": ", error.what()));
  }
  SSL_CTX* handle = tls->context_->native_handle();
  if (SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_ex_data(handle, Sessions::Index(), tls->sessions_.get()) != 1) {
    return absl::InternalError("OpenSSL refused the settings of a client context");
  }
  SSL_CTX_set_session_cache_mode(handle, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(handle, &Sessions::OnNew);
  return tls;
}

absl::Status TlsContext::Prepare(SSL* ssl) {
  X509_VERIFY_PARAM* expected = SSL_get0_param(ssl);
  bool set = true;
  if (IsAddressLiteral(host_)) {
    set = X509_VERIFY_PARAM_set1_ip_asc(expected, host_.c_str()) == 1;
  } else {
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    set = X509_VERIFY_PARAM_set1_host(expected, host_.data(), host_.size()) == 1 &&
          SSL_set_tlsext_host_name(ssl, host_.c_str()) == 1;
  }
  if (!set) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("TLS handshake with '", host_, "': OpenSSL refused the host name"));
  }
  const SessionPtr session = sessions_->Take();
  // A session that cannot be offered costs a full handshake, no more.
  if (session != nullptr && SSL_set_session(ssl, session.get()) != 1) ERR_clear_error();
  return absl::OkStatus();
}

absl::Status TlsContext::HandshakeError(SSL* ssl, const boost::system::error_code& error) const {
  const int verdict = static_cast<int>(SSL_get_verify_result(ssl));
  if (error.category() == asio::error::get_ssl_category() && verdict != X509_V_OK) {
    return absl::FailedPreconditionError(
        absl::StrCat("TLS handshake with '", host_,
                     "': its certificate was refused: ", X509_verify_cert_error_string(verdict),
                     "; check the host name and the trusted certificates"));
  }
  return absl::UnavailableError(
      absl::StrCat("TLS handshake with '", host_, "': ", error.message()));
}

}  // namespace semaphore::client
