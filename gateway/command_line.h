// The words and options of the program, parsed and checked; main.cc acts on them.
#ifndef SEMAPHORE_GATEWAY_COMMAND_LINE_H_
#define SEMAPHORE_GATEWAY_COMMAND_LINE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace semaphore::gateway {

enum class Command {
  kServe,
  kCheckConfig,
  kEstimate,
  kCall,
  kHealth,
  kHashToken,
  kMetricsCatalog,
  kVersion,
  kHelp
};

struct CommandLine {
  Command command = Command::kServe;
  std::string config_file;
  std::string address;
  std::string organization;
  std::string token_file;
  std::string tls_ca_file;  // empty: plaintext
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string tls_server_name;
  absl::Duration timeout = absl::Seconds(60);
  std::string method;   // call
  std::string request;  // call; "" when it is to be read from standard input ("-") or is empty
  bool request_from_stdin = false;
  bool make_token = false;  // hash-token --new
  // estimate: what was given of --projects, --pipelines-per-day, …; by name.
  std::map<std::string, double> assumptions;
};

// INVALID_ARGUMENT says what is wrong with which word.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);

std::string Usage();

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COMMAND_LINE_H_
