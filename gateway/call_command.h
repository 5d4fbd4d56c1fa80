// `semaphore-gateway call`: one call to a running gateway from the command line, typed by the
// server's own reflection, so it needs no proto files and works against any version. Also `health`,
// for container probes.
#ifndef SEMAPHORE_GATEWAY_CALL_COMMAND_H_
#define SEMAPHORE_GATEWAY_CALL_COMMAND_H_

#include <iosfwd>
#include <string>

#include "absl/time/time.h"

namespace semaphore::gateway {

struct CallOptions {
  std::string address;       // "127.0.0.1:50051"
  std::string organization;  // empty: the gateway's default
  std::string token_file;    // the caller's own bearer token for the gateway; empty: none is sent
  std::string tls_ca_file;   // PEM of the authorities to trust; empty: plaintext
  std::string tls_certificate_file;  // PEM; empty: none is shown
  std::string tls_key_file;          // PEM; empty: it is in tls_certificate_file
  std::string tls_server_name;       // empty: the host of the address
  absl::Duration timeout = absl::Seconds(60);
};

// `method` is "PipelineService.GetPipeline" or a full name; `request` its request message as JSON,
// "" for {}. Writes the reply as JSON to `out`, or what went wrong to `err`. Returns the exit
// status: 0 on OK, 1 when the call failed, 2 when it could not be made (no such method, bad JSON, a
// file that cannot be used, a token that would travel in plaintext).
int RunCall(const CallOptions& options, const std::string& method, const std::string& request,
            std::ostream& out, std::ostream& err);

// 0 when the gateway at the address says SERVING within the timeout, 1 when not, 2 when it could
// not be asked.
int RunHealth(const CallOptions& options, std::ostream& out, std::ostream& err);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CALL_COMMAND_H_
