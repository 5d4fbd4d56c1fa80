// The PEM files of TLS between callers and gateway, of either side: read with bounds and held to
// what a handshake needs, with errors that name file and reason. The checks are made on texts and
// not on files, so that what was checked is what is used, whatever happens to the files meanwhile.
#ifndef SEMAPHORE_GATEWAY_TLS_FILES_H_
#define SEMAPHORE_GATEWAY_TLS_FILES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/config.h"

namespace semaphore::gateway {

inline constexpr size_t kMaxPemBytes = 1 << 20;

// What the files of a TlsConfig hold.
struct TlsTexts {
  std::string certificate;  // the chain; the holder's own comes first
  std::string key;          // Secret.
  std::string client_ca;    // empty: callers are not asked for a certificate
  bool operator==(const TlsTexts&) const = default;
};

// The text of a regular file of at most 1 MiB; FAILED_PRECONDITION otherwise. Blocks on the file
// system, briefly.
absl::StatusOr<std::string> ReadCertificateFile(const std::string& path);

// Likewise, and only its owner may write the file and others may not read it (CheckKeyMode).
absl::StatusOr<std::string> ReadKeyFile(const std::string& path);

absl::StatusOr<TlsTexts> ReadTlsFiles(const TlsConfig& config);

// `mode` as stat tells it. A file that its group or others may write, or that others may read, is
// refused with FAILED_PRECONDITION. On a mount that is read-only for this process these bits mean
// nothing: secrets that Kubernetes and container engines mount are readable by all of the
// container, which is where they keep others out, and nobody can write them.
absl::Status CheckKeyMode(uint32_t mode, bool read_only_mount, const std::string& path);

// INVALID_ARGUMENT unless the text has at least one certificate and none that is damaged. `origin`
// names it in the error.
absl::Status CheckCertificates(const std::string& pem, const std::string& origin);

// A certificate with its key, and the names of both for errors.
struct TlsPair {
  const std::string& certificate;
  const std::string& certificate_file;
  const std::string& key;
  const std::string& key_file;
};

// When the first certificate of the chain ends. INVALID_ARGUMENT when a text is no PEM of its kind,
// the key has a passphrase or does not belong to the certificate; FAILED_PRECONDITION when the
// certificate has expired or is not valid yet. No error holds anything of the key.
absl::StatusOr<absl::Time> CheckPair(const TlsPair& pair, absl::Time now);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_TLS_FILES_H_
