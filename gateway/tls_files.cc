#include "gateway/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/regular_file.h"

namespace semaphore::gateway {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;

absl::StatusOr<std::string> ReadFile(const std::string& path, bool is_key) {
  absl::StatusOr<RegularFile> file = RegularFile::Open(path);
  if (!file.ok()) return file.status();
  if (is_key) {
    absl::Status allowed = CheckKeyMode(file->facts().st_mode, file->IsOnReadOnlyMount(), path);
    if (!allowed.ok()) return allowed;
  }
  absl::StatusOr<std::string> text = file->Read(kMaxPemBytes + 1);
  if (text.ok() && text->size() > kMaxPemBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": is longer than ", kMaxPemBytes, " bytes"));
  }
  return text;
}

BioPtr Reader(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// OpenSSL would ask the terminal.
int NoPassphrase(char*, int, int, void* asked) {
  if (asked != nullptr) *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<std::vector<X509Ptr>> Certificates(const std::string& pem,
                                                  const std::string& origin) {
  ERR_clear_error();
  const BioPtr reader = Reader(pem);
  std::vector<X509Ptr> certificates;
  while (X509* next = PEM_read_bio_X509(reader.get(), nullptr, &NoPassphrase, nullptr)) {
    certificates.emplace_back(next, &X509_free);
  }
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": certificate ", certificates.size() + 1, " in it is damaged"));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": has no certificate in PEM form"));
  }
  return certificates;
}

absl::StatusOr<KeyPtr> PrivateKey(const std::string& pem, const std::string& origin) {
  bool asked = false;
  const BioPtr reader = Reader(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(reader.get(), nullptr, &NoPassphrase, &asked), &EVP_PKEY_free);
  ERR_clear_error();
  if (key != nullptr) return key;
  return absl::InvalidArgumentError(
      absl::StrCat(origin, asked ? ": the key has a passphrase; expected one without"
                                 : ": has no private key in PEM form"));
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm fields = {};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

std::string Text(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

}  // namespace

absl::Status CheckKeyMode(uint32_t mode, bool read_only_mount, const std::string& path) {
  if (read_only_mount || (mode & (S_IWGRP | S_IWOTH | S_IROTH)) == 0) return absl::OkStatus();
  const bool writable = (mode & (S_IWGRP | S_IWOTH)) != 0;
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": others may ", writable ? "write" : "read",
                   " this private key; take that away (chmod 600)"));
}

absl::StatusOr<std::string> ReadCertificateFile(const std::string& path) {
  return ReadFile(path, /*is_key=*/false);
}

absl::StatusOr<std::string> ReadKeyFile(const std::string& path) {
  return ReadFile(path, /*is_key=*/true);
}

absl::StatusOr<TlsTexts> ReadTlsFiles(const TlsConfig& config) {
  TlsTexts texts;
  absl::StatusOr<std::string> certificate = ReadCertificateFile(config.certificate_file);
  if (!certificate.ok()) return certificate.status();
  texts.certificate = *std::move(certificate);
  absl::StatusOr<std::string> key = ReadKeyFile(config.key_file);
  if (!key.ok()) return key.status();
  texts.key = *std::move(key);
  if (config.client_ca_file.empty()) return texts;
  absl::StatusOr<std::string> client_ca = ReadCertificateFile(config.client_ca_file);
  if (!client_ca.ok()) return client_ca.status();
  texts.client_ca = *std::move(client_ca);
  return texts;
}

absl::Status CheckCertificates(const std::string& pem, const std::string& origin) {
  return Certificates(pem, origin).status();
}

absl::StatusOr<absl::Time> CheckPair(const TlsPair& pair, absl::Time now) {
  const absl::StatusOr<std::vector<X509Ptr>> chain =
      Certificates(pair.certificate, pair.certificate_file);
  if (!chain.ok()) return chain.status();
  const absl::StatusOr<KeyPtr> key = PrivateKey(pair.key, pair.key_file);
  if (!key.ok()) return key.status();
  X509* own = chain->front().get();
  if (X509_check_private_key(own, key->get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat(
        pair.key_file, ": does not belong to the first certificate of ", pair.certificate_file));
  }
  const absl::Time begin = TimeOf(X509_get0_notBefore(own));
  const absl::Time end = TimeOf(X509_get0_notAfter(own));
  if (now < begin) {
    return absl::FailedPreconditionError(
        absl::StrCat(pair.certificate_file, ": is not valid before ", Text(begin)));
  }
  if (now >= end) {
    return absl::FailedPreconditionError(
        absl::StrCat(pair.certificate_file, ": expired at ", Text(end)));
  }
  return end;
}

}  // namespace semaphore::gateway
