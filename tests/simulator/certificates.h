// Makes the certificates that a simulator shows: a new authority and a leaf for localhost at every
// start, or a leaf that a careful client must refuse. Nothing is written to disk; keys are P-256.
#ifndef SEMAPHORE_TESTS_SIMULATOR_CERTIFICATES_H_
#define SEMAPHORE_TESTS_SIMULATOR_CERTIFICATES_H_

#include <string>

#include "absl/status/statusor.h"
#include "tests/simulator/options.h"

namespace semaphore::simulator {

struct CertificateFiles {
  std::string ca_pem;           // what a client has to trust
  std::string certificate_pem;  // what the server shows, leaf first
  std::string key_pem;          // the leaf's private key
};

absl::StatusOr<CertificateFiles> MakeCertificates(Certificate kind);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_CERTIFICATES_H_
