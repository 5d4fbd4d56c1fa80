#include "tests/simulator/certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace semaphore::simulator {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

constexpr long kDaySeconds = 24L * 60 * 60;

struct Subject {
  const char* common_name;
  long from_seconds;  // from now
  long until_seconds;
  std::vector<std::pair<int, const char*>> extensions;  // NID and OpenSSL's configuration text
};

struct Signed {
  Owned<X509> certificate;
  Owned<EVP_PKEY> key;
};

absl::Status OpenSslError(const char* what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  return absl::InternalError(std::string("cannot make certificates: ") + what + ": " + text.data());
}

bool AddExtensions(X509* certificate, X509* issuer, const Subject& subject) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const auto& [nid, text] : subject.extensions) {
    const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, text));
    if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) return false;
  }
  return true;
}

// Self-signed without an issuer.
absl::StatusOr<Signed> Sign(const Subject& subject, const Signed* issuer) {
  Signed made;
  made.key.reset(EVP_EC_gen("P-256"));
  made.certificate.reset(X509_new());
  X509* const certificate = made.certificate.get();
  if (made.key == nullptr || certificate == nullptr) return OpenSslError("key");

  std::array<unsigned char, 8> serial{};
  if (RAND_bytes(serial.data(), serial.size()) != 1) return OpenSslError("serial number");
  uint64_t number = 0;
  for (const unsigned char byte : serial) number = number << 8 | byte;
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), number >> 1);

  X509_NAME* const name = X509_get_subject_name(certificate);
  X509* const signer = issuer == nullptr ? certificate : issuer->certificate.get();
  if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(subject.common_name), -1,
                                 -1, 0) != 1 ||
      X509_set_issuer_name(certificate, X509_get_subject_name(signer)) != 1 ||
      X509_gmtime_adj(X509_getm_notBefore(certificate), subject.from_seconds) == nullptr ||
      X509_gmtime_adj(X509_getm_notAfter(certificate), subject.until_seconds) == nullptr ||
      X509_set_pubkey(certificate, made.key.get()) != 1) {
    return OpenSslError(subject.common_name);
  }
  if (!AddExtensions(certificate, signer, subject)) return OpenSslError("extensions");
  EVP_PKEY* const signing_key = issuer == nullptr ? made.key.get() : issuer->key.get();
  if (X509_sign(certificate, signing_key, EVP_sha256()) == 0) return OpenSslError("signature");
  return made;
}

template <typename Write>
absl::StatusOr<std::string> ToPem(Write write) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || write(bio.get()) != 1) return OpenSslError("PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<std::string> CertificatePem(const Signed& made) {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, made.certificate.get()); });
}

Subject AuthoritySubject() {
  return {.common_name = "Semaphore simulator authority",
          .from_seconds = -kDaySeconds,
          .until_seconds = 365 * kDaySeconds,
          .extensions = {{NID_basic_constraints, "critical,CA:TRUE"},
                         {NID_key_usage, "critical,keyCertSign,cRLSign"},
                         {NID_subject_key_identifier, "hash"}}};
}

Subject LeafSubject(Certificate kind) {
  const bool other_host = kind == Certificate::kOtherHost;
  const bool expired = kind == Certificate::kExpired;
  Subject leaf{.common_name = other_host ? "other.example" : "localhost",
               .from_seconds = expired ? -30 * kDaySeconds : -kDaySeconds,
               .until_seconds = expired ? -kDaySeconds : 90 * kDaySeconds,
               .extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                              {NID_key_usage, "critical,digitalSignature"},
                              {NID_ext_key_usage, "serverAuth"},
                              {NID_subject_key_identifier, "hash"}}};
  leaf.extensions.emplace_back(
      NID_subject_alt_name, other_host ? "DNS:other.example" : "DNS:localhost,IP:127.0.0.1,IP:::1");
  return leaf;
}

}  // namespace

absl::StatusOr<CertificateFiles> MakeCertificates(Certificate kind) {
  auto authority = Sign(AuthoritySubject(), nullptr);
  if (!authority.ok()) return authority.status();
  auto leaf = Sign(LeafSubject(kind), kind == Certificate::kSelfSigned ? nullptr : &*authority);
  if (!leaf.ok()) return leaf.status();

  auto ca_pem = CertificatePem(*authority);
  if (!ca_pem.ok()) return ca_pem.status();
  auto certificate_pem = CertificatePem(*leaf);
  if (!certificate_pem.ok()) return certificate_pem.status();
  auto key_pem = ToPem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, leaf->key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  if (!key_pem.ok()) return key_pem.status();
  return CertificateFiles{.ca_pem = *std::move(ca_pem),
                          .certificate_pem = *std::move(certificate_pem),
                          .key_pem = *std::move(key_pem)};
}

}  // namespace semaphore::simulator
