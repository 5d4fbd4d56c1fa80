// semaphore-simulator: a simulator as a program. Prints its base URL and the well-known ids, then
// serves until SIGTERM or SIGINT.
#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "tests/simulator/command_line.h"
#include "tests/simulator/simulator.h"

namespace semaphore::simulator {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitFailure = 1;

absl::StatusOr<std::string> ReadToken(const std::string& file_name) {
  std::string token;
  if (file_name.empty()) {
    const char* const variable = std::getenv("SEMAPHORE_API_TOKEN");
    token = variable == nullptr ? "" : variable;
  } else {
    std::ifstream file(file_name);
    if (!file) return absl::NotFoundError("cannot read the token file " + file_name);
    std::getline(file, token);
  }
  absl::StripAsciiWhitespace(&token);
  if (token.empty()) {
    return absl::InvalidArgumentError(
        file_name.empty() ? "no API token: give --token-file or set SEMAPHORE_API_TOKEN"
                          : "the first line of the token file " + file_name + " is empty");
  }
  return token;
}

absl::Status WriteFile(const std::string& file_name, const std::string& text) {
  std::ofstream file(file_name, std::ios::binary | std::ios::trunc);
  file << text << std::flush;
  if (!file) return absl::UnavailableError("cannot write the file " + file_name);
  return absl::OkStatus();
}

int Fail(const absl::Status& status, int exit_status) {
  std::cerr << "semaphore-simulator: " << status.message() << "\n";
  if (exit_status == kExitUsage) std::cerr << "Try --help.\n";
  return exit_status;
}

// Before any other thread starts, so that all of them leave these signals to WaitForEnd.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void WaitForEnd(const sigset_t& signals) {
  int signal = 0;
  sigwait(&signals, &signal);
}

int Main(const std::vector<std::string>& arguments) {
  auto command_line = ParseCommandLine(arguments);
  if (!command_line.ok()) return Fail(command_line.status(), kExitUsage);
  if (command_line->help) {
    std::cout << kUsage;
    return EXIT_SUCCESS;
  }
  auto token = ReadToken(command_line->token_file);
  if (!token.ok()) return Fail(token.status(), kExitUsage);
  command_line->options.token = *std::move(token);

  const sigset_t end_signals = BlockEndSignals();
  auto simulator = Simulator::Start(std::move(command_line->options));
  if (!simulator.ok()) return Fail(simulator.status(), kExitFailure);
  if (!command_line->ca_out.empty()) {
    const absl::Status written = WriteFile(command_line->ca_out, (*simulator)->ca_pem());
    if (!written.ok()) return Fail(written, kExitFailure);
  }
  std::cout << (*simulator)->base_url() << "\n";
  for (const auto& [name, id] : NamedIds((*simulator)->ids())) {
    std::cout << name << "=" << id << "\n";
  }
  std::cout << std::flush;
  WaitForEnd(end_signals);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace semaphore::simulator

int main(int argc, char** argv) {
  return semaphore::simulator::Main(std::vector<std::string>(argv + 1, argv + argc));
}
