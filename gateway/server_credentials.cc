#include "gateway/server_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace semaphore::gateway {
namespace {

grpc_ssl_client_certificate_request_type RequestType(const InboundTls& tls) {
  if (!tls.asks_for_certificates()) return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  return tls.requires_certificates() ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                     : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
}

class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(const InboundTls& tls)
      : tls_(tls),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(RequestType(tls),
                                                                            &Fetch, this))) {}
  ~ReloadingCredentials() override { grpc_server_credentials_release(credentials_); }

  // Callers are made out by the engine, from what the connection and the call say.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // gRPC asks before each handshake, under a lock of the port, and keeps what it has until it is
  // given something else that it can use.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto* const credentials = static_cast<ReloadingCredentials*>(self);
    const std::shared_ptr<const InboundTls::Snapshot> current = credentials->tls_.Current();
    if (credentials->given_.exchange(current->generation) == current->generation) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const TlsTexts& texts = current->texts;
    const grpc_ssl_pem_key_cert_pair pair{texts.key.c_str(), texts.certificate.c_str()};
    // gRPC aborts without authorities, even where no certificate is asked for and they do nothing.
    const std::string& authorities = texts.client_ca.empty() ? texts.certificate : texts.client_ca;
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const InboundTls& tls_;
  std::atomic<uint64_t> given_ = 0;  // the generation that gRPC has
  grpc_server_credentials* const credentials_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const InboundTls& tls) {
  return std::make_shared<ReloadingCredentials>(tls);
}

}  // namespace semaphore::gateway
