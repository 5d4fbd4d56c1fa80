#include "gateway/inbound_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

namespace {

// Of TLS 1.2; those of TLS 1.3 are all good.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::string_view kAlpn = "\x08http/1.1";
// The longest that a session is resumed in place of a client certificate.
constexpr std::chrono::minutes kSessionLifetime{5};
constexpr unsigned char kSessionContext[] = "semaphore-gateway";

int ChooseHttp11(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                 unsigned int in_size, void*) {
  unsigned char* chosen = nullptr;
  const int result =
      SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(kAlpn.data()),
                            static_cast<unsigned int>(kAlpn.size()), in, in_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

bool SetProtocol(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // Idle connections give their buffers back: there may be ten thousand.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, &ChooseHttp11, nullptr);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kCiphers) == 1 &&
         SSL_CTX_set_session_id_context(context, kSessionContext, sizeof kSessionContext - 1) == 1;
}

// The texts were checked: each certificate in them can be read.
bool TrustClients(SSL_CTX* context, const std::string& client_ca, bool require) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> reader(
      BIO_new_mem_buf(client_ca.data(), static_cast<int>(client_ca.size())), &BIO_free);
  bool ok = reader != nullptr;
  while (X509* authority = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) == 1 &&
         SSL_CTX_add_client_CA(context, authority) == 1 && ok;
    X509_free(authority);
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  // A resumed session would stand in for a certificate that has expired or been revoked since.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  return ok && SSL_CTX_set_num_tickets(context, 0) == 1;
}

absl::StatusOr<std::shared_ptr<ssl::context>> MakeContext(const TlsTexts& texts,
                                                          const TlsConfig& config) {
  try {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    SSL_CTX* handle = context->native_handle();
    bool ok = SetProtocol(handle);
    // Refuses keys that are too short to be safe.
    context->use_certificate_chain(asio::buffer(texts.certificate));
    context->use_private_key(asio::buffer(texts.key), ssl::context::pem);
    if (!texts.client_ca.empty()) {
      ok = TrustClients(handle, texts.client_ca, config.require_client_certificate) && ok;
    }
    ERR_clear_error();
    if (!ok) return absl::InternalError("OpenSSL refused the settings of a server context");
    return context;
  } catch (const boost::system::system_error& error) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat(config.certificate_file, ", ", config.key_file,
                     ": OpenSSL refuses them: ", error.code().message()));
  }
}

bool SameRead(const absl::StatusOr<TlsTexts>& a, const absl::StatusOr<TlsTexts>& b) {
  return a.ok() && b.ok() ? *a == *b : a.status() == b.status();
}

}  // namespace

InboundTls::InboundTls(const TlsConfig& config, const client::Clock& clock, Listener listener)
    : config_(config), clock_(clock), listener_(std::move(listener)) {}

InboundTls::~InboundTls() {
  if (!watcher_.joinable()) return;
  {
    const std::lock_guard lock(stop_mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  watcher_.join();
}

absl::StatusOr<std::unique_ptr<InboundTls>> InboundTls::Create(const TlsConfig& config,
                                                               const client::Clock& clock,
                                                               Listener listener) {
  std::unique_ptr<InboundTls> tls(new InboundTls(config, clock, std::move(listener)));
  absl::StatusOr<TlsTexts> texts = ReadTlsFiles(config);
  if (!texts.ok()) return texts.status();
  tls->seen_ = texts;
  absl::StatusOr<std::shared_ptr<const Snapshot>> first = tls->Make(*std::move(texts), 1);
  if (!first.ok()) return first.status();
  tls->current_ = *std::move(first);
  tls->begun_ = clock.Now();
  if (tls->listener_) tls->listener_(tls->current_->expiry);
  return tls;
}

std::shared_ptr<const InboundTls::Snapshot> InboundTls::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

InboundTls::Stats InboundTls::GetStats() const {
  const std::lock_guard lock(mutex_);
  return {.expiry = current_->expiry, .reloads = reloads_, .refusals = refusals_};
}

absl::StatusOr<std::shared_ptr<const InboundTls::Snapshot>> InboundTls::Make(
    TlsTexts texts, uint64_t generation) const {
  const absl::StatusOr<absl::Time> expiry = CheckPair({.certificate = texts.certificate,
                                                       .certificate_file = config_.certificate_file,
                                                       .key = texts.key,
                                                       .key_file = config_.key_file},
                                                      clock_.WallNow());
  if (!expiry.ok()) return expiry.status();
  if (asks_for_certificates()) {
    absl::Status authorities = CheckCertificates(texts.client_ca, config_.client_ca_file);
    if (!authorities.ok()) return authorities;
  }
  absl::StatusOr<std::shared_ptr<ssl::context>> context = MakeContext(texts, config_);
  if (!context.ok()) return context.status();
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->generation = generation;
  snapshot->texts = std::move(texts);
  snapshot->expiry = *expiry;
  snapshot->context = *std::move(context);
  return snapshot;
}

void InboundTls::Look() {
  std::optional<absl::StatusOr<absl::Time>> news;
  {
    const std::lock_guard lock(look_mutex_);
    news = Judge(ReadTlsFiles(config_));
  }
  if (news.has_value() && listener_) listener_(*news);
}

std::optional<absl::StatusOr<absl::Time>> InboundTls::Judge(absl::StatusOr<TlsTexts> read) {
  const std::shared_ptr<const Snapshot> current = Current();
  const bool seen_before = SameRead(read, seen_);
  seen_ = read;
  if (asks_for_certificates() && clock_.Now() - begun_ >= kSessionLifetime) EndSessions();
  if (read.ok() && *read == current->texts) {
    if (clock_.WallNow() < current->expiry) return NoteTrouble(absl::OkStatus(), false);
    return NoteTrouble(
        absl::FailedPreconditionError(absl::StrCat(
            config_.certificate_file, ": has expired and is still in force; clients refuse it")),
        false);
  }
  // Somebody may be in the middle of writing them.
  if (!seen_before) return std::nullopt;
  if (!read.ok()) return NoteTrouble(read.status(), true);
  absl::StatusOr<std::shared_ptr<const Snapshot>> next =
      Make(*std::move(read), Current()->generation + 1);
  if (!next.ok()) return NoteTrouble(next.status(), true);
  begun_ = clock_.Now();
  const std::lock_guard lock(mutex_);
  current_ = *std::move(next);
  trouble_ = absl::OkStatus();
  ++reloads_;
  return current_->expiry;
}

void InboundTls::EndSessions() {
  begun_ = clock_.Now();
  const std::lock_guard lock(mutex_);
  auto next = std::make_shared<Snapshot>(*current_);
  ++next->generation;
  current_ = std::move(next);
}

std::optional<absl::StatusOr<absl::Time>> InboundTls::NoteTrouble(absl::Status trouble,
                                                                  bool refused) {
  const std::lock_guard lock(mutex_);
  if (trouble == trouble_) return std::nullopt;
  trouble_ = std::move(trouble);
  if (refused) ++refusals_;
  if (trouble_.ok()) return current_->expiry;
  return trouble_;
}

void InboundTls::Watch(absl::Duration interval) {
  watcher_ = std::thread([this, every = absl::ToChronoMilliseconds(interval)] {
    std::unique_lock lock(stop_mutex_);
    while (!stopped_.wait_for(lock, every, [this] { return stop_; })) {
      lock.unlock();
      Look();
      lock.lock();
    }
  });
}

}  // namespace semaphore::gateway
