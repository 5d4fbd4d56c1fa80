// semaphore-gateway: the story of the program, from its command line to its end.
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <malloc.h>
#include <sys/resource.h>

#include <csignal>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/clock.h"
#include "client/method_table.h"
#include "gateway/authenticator.h"
#include "gateway/call_command.h"
#include "gateway/collection_estimate.h"
#include "gateway/command_line.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/hash_token_command.h"
#include "gateway/log.h"
#include "gateway/metrics_catalog.h"
#include "gateway/version.h"

namespace semaphore::gateway {
namespace {

// Every connection is a file; the usual soft limit of 1024 would be the first thing to run out.
// Core dumps would hold the API token, so there are none.
void SetProcessLimits(Log& log) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) log.Warning("open_files_limit_not_raised");
  }
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) log.Warning("core_dumps_not_disabled");
}

// Logs and large pages are buffers of megabytes that live for moments. By default the C library
// learns from them to keep such memory for the next one, in each of its arenas, so that the process
// looks as if it leaked; given a fixed bound it hands them back at once.
void ReturnLargeBuffers() {
  constexpr int kLargeBytes = 256 << 10;
  mallopt(M_MMAP_THRESHOLD, kLargeBytes);
  mallopt(M_TRIM_THRESHOLD, 2 * kLargeBytes);
}

// SIGTERM and SIGINT are taken by sigwait in main; blocked before any thread starts so that all
// threads inherit it.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

int Serve(const CommandLine& line) {
  const absl::StatusOr<Config> config = LoadConfig(line.config_file);
  if (!config.ok()) {
    std::cerr << config.status().message() << '\n';
    return 2;
  }
  ReturnLargeBuffers();
  const sigset_t stop_signals = BlockStopSignals();
  const client::SystemClock clock;
  Log log(clock, {.level = ParseLogLevel(config->log.level).value_or(LogLevel::kInfo)});
  SetProcessLimits(log);
  // Both libraries write texts of their own to standard error, which is for our lines only.
  google::protobuf::SetLogHandler(nullptr);
  gpr_set_log_function([](gpr_log_func_args*) {});
  // Debian builds Abseil with its search for deadlocks, which costs each of gRPC's locks a turn in
  // one lock of the whole process.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  for (const std::string& warning : config->warnings)
    log.Warning("configuration", {{"message", warning}});

  absl::StatusOr<std::unique_ptr<Gateway>> gateway = Gateway::Start(*config, log);
  if (!gateway.ok()) {
    log.Error("start_failed", {{"message", std::string(gateway.status().message())}});
    return 1;
  }
  log.Info("serving", {{"version", kVersion},
                       {"grpc_host", config->grpc.address.host},
                       {"grpc_port", (*gateway)->grpc_port()},
                       {"rest_port", (*gateway)->rest_port()},
                       {"admin_host", config->admin.host},
                       {"admin_port", (*gateway)->admin_port()},
                       {"organizations", config->organizations.size()}});
  int signal = 0;
  sigwait(&stop_signals, &signal);
  log.Info("stopping", {{"signal", signal},
                        {"grace_seconds", std::chrono::nanoseconds(config->shutdown_grace)}});
  (*gateway)->Stop(absl::FromChrono(config->shutdown_grace));
  log.Info("stopped");
  return 0;
}

// As the start does it: the callers file must be usable.
absl::Status CheckCallersFile(const Config& config, const client::Clock& clock) {
  if (!config.auth.has_value()) return absl::OkStatus();
  const absl::StatusOr<std::unique_ptr<client::MethodTable>> methods = client::MethodTable::Build();
  if (!methods.ok()) return methods.status();
  Authenticator::Options options;
  options.callers_file = config.auth->callers_file;
  options.scope.methods = methods->get();
  for (const OrganizationConfig& organization : config.organizations) {
    options.scope.organizations.push_back(organization.name);
  }
  return Authenticator::Open(std::move(options), clock).status();
}

int CheckConfig(const CommandLine& line) {
  const absl::StatusOr<Config> config = LoadConfig(line.config_file);
  if (!config.ok()) {
    std::cerr << config.status().message() << '\n';
    return 2;
  }
  if (const absl::Status callers = CheckCallersFile(*config, client::SystemClock());
      !callers.ok()) {
    std::cerr << callers.message() << '\n';
    return 2;
  }
  for (const std::string& warning : config->warnings) std::cerr << "warning: " << warning << '\n';
  std::cout << DescribeConfig(*config);
  return 0;
}

int HashCallerToken(const CommandLine& line) {
  return RunHashToken(line.make_token, std::cin, std::cout, std::cerr);
}

int Estimate(const CommandLine& line) {
  const absl::StatusOr<Config> config = LoadConfig(line.config_file);
  if (!config.ok()) {
    std::cerr << config.status().message() << '\n';
    return 2;
  }
  if (!config->metrics.has_value()) {
    std::cerr << "the configuration has no metrics section, so nothing would be collected\n";
    return 2;
  }
  CollectionAssumptions assumptions = AssumptionsOf(*config);
  for (const AssumptionOption& option : kAssumptionOptions) {
    const auto given = line.assumptions.find(option.name);
    if (given != line.assumptions.end()) assumptions.*option.field = given->second;
  }
  const double rate = config->upstream.requests_per_second;
  std::cout << DescribeCost(EstimateCollection(*config->metrics, rate, assumptions), rate,
                            assumptions);
  return 0;
}

int Call(const CommandLine& line) {
  gpr_set_log_function([](gpr_log_func_args*) {});
  std::string request = line.request;
  if (line.request_from_stdin) {
    request.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  const CallOptions options{.address = line.address,
                            .organization = line.organization,
                            .token_file = line.token_file,
                            .tls_ca_file = line.tls_ca_file,
                            .tls_certificate_file = line.tls_certificate_file,
                            .tls_key_file = line.tls_key_file,
                            .tls_server_name = line.tls_server_name,
                            .timeout = line.timeout};
  return line.command == Command::kHealth
             ? RunHealth(options, std::cout, std::cerr)
             : RunCall(options, line.method, request, std::cout, std::cerr);
}

int Main(const std::vector<std::string>& arguments) {
  const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments);
  if (!line.ok()) {
    std::cerr << line.status().message() << "\n\n" << Usage();
    return 2;
  }
  switch (line->command) {
    case Command::kServe:
      return Serve(*line);
    case Command::kCheckConfig:
      return CheckConfig(*line);
    case Command::kEstimate:
      return Estimate(*line);
    case Command::kCall:
    case Command::kHealth:
      return Call(*line);
    case Command::kHashToken:
      return HashCallerToken(*line);
    case Command::kMetricsCatalog:
      std::cout << MetricsCatalogJson();
      return 0;
    case Command::kVersion:
      std::cout << "semaphore-gateway " << kVersion << '\n';
      return 0;
    case Command::kHelp:
      std::cout << Usage();
      return 0;
  }
  return 2;
}

}  // namespace
}  // namespace semaphore::gateway

int main(int argc, char** argv) {
  return semaphore::gateway::Main(std::vector<std::string>(argv + 1, argv + argc));
}
