#include "tests/client/test_certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdlib>

namespace semaphore::client {

namespace {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;

void Require(bool ok) {
  if (!ok) std::abort();
}

std::string Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

std::string CertificatePem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()), &BIO_free);
  Require(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return Contents(bio.get());
}

std::string KeyPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()), &BIO_free);
  Require(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Contents(bio.get());
}

void Extend(X509* certificate, X509* issuer, int id, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value);
  Require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// Named and dated, without extensions or signature.
X509Ptr Draft(EVP_PKEY* key, const char* name, long begin_s, long end_s) {
  X509Ptr certificate(X509_new(), &X509_free);
  Require(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  uint64_t serial = 0;
  Require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), begin_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), end_s);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  Require(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

}  // namespace

struct TestAuthority::Identity {
  KeyPtr key{EVP_EC_gen("P-256"), &EVP_PKEY_free};
  X509Ptr certificate{nullptr, &X509_free};
};

TestAuthority::TestAuthority(const std::string& name) : identity_(std::make_unique<Identity>()) {
  identity_->certificate = Draft(identity_->key.get(), name.c_str(), -86400, 86400);
  X509* certificate = identity_->certificate.get();
  Require(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
  Extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate, certificate, NID_key_usage, "critical,keyCertSign");
  Extend(certificate, certificate, NID_subject_key_identifier, "hash");
  Require(X509_sign(certificate, identity_->key.get(), EVP_sha256()) > 0);
  certificate_pem_ = CertificatePem(certificate);
}

TestAuthority::~TestAuthority() = default;

TestCertificate TestAuthority::Make(const std::string& subject, const Identity* issuer,
                                    Period period) {
  const KeyPtr key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const X509Ptr certificate = Draft(key.get(), "Test Server", period.begin_s, period.end_s);
  X509* signer = issuer != nullptr ? issuer->certificate.get() : certificate.get();
  Require(X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer)) == 1);
  if (!subject.empty()) {
    Extend(certificate.get(), signer, NID_subject_alt_name, subject.c_str());
  }
  Require(X509_sign(certificate.get(), issuer != nullptr ? issuer->key.get() : key.get(),
                    EVP_sha256()) > 0);
  return {.certificate_pem = CertificatePem(certificate.get()), .key_pem = KeyPem(key.get())};
}

TestCertificate TestAuthority::Issue(const std::string& subject) const {
  return Make(subject, identity_.get(), {});
}

TestCertificate TestAuthority::IssueExpired(const std::string& subject) const {
  return Make(subject, identity_.get(), {.end_s = -3600});
}

TestCertificate TestAuthority::IssueEarly(const std::string& subject) const {
  return Make(subject, identity_.get(), {.begin_s = 3600});
}

TestCertificate TestAuthority::IssueNameless() const { return Make("", identity_.get(), {}); }

TestCertificate TestAuthority::SelfSigned(const std::string& subject) {
  return Make(subject, nullptr, {});
}

}  // namespace semaphore::client
