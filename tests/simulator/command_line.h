// Reads the command line of semaphore-simulator into options. The API token comes from a file or
// the environment, never from an argument, which everybody on the machine could read.
#ifndef SEMAPHORE_TESTS_SIMULATOR_COMMAND_LINE_H_
#define SEMAPHORE_TESTS_SIMULATOR_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/simulator/options.h"

namespace semaphore::simulator {

struct CommandLine {
  SimulatorOptions options;
  std::string token_file;  // empty: the environment's SEMAPHORE_API_TOKEN
  std::string ca_out;      // empty: the CA is not written
  bool help = false;
};

extern const char kUsage[];

// `arguments` without the program's name. The error names the argument that is wrong.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_COMMAND_LINE_H_
