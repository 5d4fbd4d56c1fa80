#include "tests/simulator/command_line.h"

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/simulator/access.h"

namespace semaphore::simulator {
namespace {

// The last resort of every option below: the value is not one that it takes.
absl::Status Refused(const std::string& option, const std::string& expected) {
  return absl::InvalidArgumentError(option + " needs " + expected);
}

template <typename Number>
absl::Status ReadNumber(const std::string& option, const std::string& text, int64_t least,
                        int64_t most, Number& into) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < least || number > most) {
    return Refused(option,
                   "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  into = static_cast<Number>(number);
  return absl::OkStatus();
}

// From now on time goes `pace` times as fast.
std::function<absl::Time()> PacedTime(int pace) {
  return [pace, start = absl::Now()] { return start + pace * (absl::Now() - start); };
}

absl::Status ReadOption(const std::string& option, const std::string& value,
                        CommandLine& command_line) {
  SimulatorOptions& options = command_line.options;
  if (option == "--port") return ReadNumber(option, value, 0, 65535, options.port);
  if (option == "--projects") return ReadNumber(option, value, 1, 5000, options.projects);
  if (option == "--workflows") {
    return ReadNumber(option, value, 4, 10'000, options.workflows_per_project);
  }
  if (option == "--promotions") return ReadNumber(option, value, 0, 5'000, options.promotions);
  if (option == "--deployment-targets") {
    return ReadNumber(option, value, 5, 5000, options.deployment_targets);
  }
  if (option == "--deployments") return ReadNumber(option, value, 0, 5000, options.deployments);
  if (option == "--queue-limit") return ReadNumber(option, value, 0, 1000, options.queue_limit);
  if (option == "--agent-types") return ReadNumber(option, value, 3, 5000, options.agent_types);
  if (option == "--agents") return ReadNumber(option, value, 3, 5000, options.agents);
  if (option == "--agents-per-millisecond") {
    return ReadNumber(option, value, 1, 1000, options.agents_per_millisecond);
  }
  if (option == "--later-agents") return ReadNumber(option, value, 0, 5000, options.later_agents);
  if (option == "--huge-log-bytes") {
    return ReadNumber(option, value, 1024, 512 << 20, options.huge_log_bytes);
  }
  if (option == "--pace") {
    int pace = 1;
    const absl::Status read = ReadNumber(option, value, 1, 1000, pace);
    if (read.ok()) options.now = PacedTime(pace);
    return read;
  }
  if (option == "--seed") {
    if (!absl::SimpleAtoi(value, &options.seed)) return Refused(option, "a whole number");
  } else if (option == "--address") {
    options.address = value;
  } else if (option == "--dialect") {
    if (value != "real" && value != "reference") return Refused(option, "real or reference");
    options.dialect = value == "real" ? Dialect::kReal : Dialect::kReference;
  } else if (option == "--access") {
    const std::optional<Access> access = AccessFromWord(value);
    if (!access) return Refused(option, "one of " + AccessWords());
    options.access = *access;
  } else if (option == "--token-file") {
    command_line.token_file = value;
  } else if (option == "--ca-out") {
    command_line.ca_out = value;
  } else if (option == "--certificate-file") {
    options.certificate_file = value;
  } else if (option == "--key-file") {
    options.key_file = value;
  } else {
    return absl::InvalidArgumentError("unknown option " + option);
  }
  return absl::OkStatus();
}

}  // namespace

const char kUsage[] =
    "usage: semaphore-simulator [OPTION VALUE]...\n"
    "A fake Semaphore CI over HTTPS. The API token that it accepts is read from --token-file or,\n"
    "without it, from the environment variable SEMAPHORE_API_TOKEN.\n"
    "  --port N               0 (any free port) unless given\n"
    "  --address ADDRESS      127.0.0.1 unless given\n"
    "  --token-file FILE      the first line is the API token\n"
    "  --ca-out FILE          write the certificate authority to trust to FILE\n"
    "  --dialect WORD         real (as the service answers) or reference (as it is documented)\n"
    "  --seed N               decides every id; 1 unless given\n"
    "  --access WORD          what the caller may do: full unless given, read_only, "
    "no_permission,\n"
    "                         no_deployment_targets, no_advanced_deployment_targets,\n"
    "                         ip_not_allowed, auth_outage, unknown_organization\n"
    "  --projects N           2 unless given\n"
    "  --workflows N          per project; 35 unless given\n"
    "  --promotions N         of the pipeline promoting_pipeline_id; 12 unless given\n"
    "  --deployment-targets N of the first project; 8 unless given\n"
    "  --deployments N        to deployed_target_id; 25 unless given\n"
    "  --queue-limit N        unfinished pipelines allowed per branch and file; 0: no limit\n"
    "  --huge-log-bytes N     size of the log of huge_log_job_id\n"
    "  --agent-types N        5 unless given\n"
    "  --agents N             connected at the start; 205 unless given\n"
    "  --agents-per-millisecond N\n"
    "                         how many connect in the same millisecond; 1 unless given\n"
    "  --later-agents N       connect one by one, a minute apart; 3 unless given\n"
    "  --pace N               its time goes N times as fast from the start on; 1 unless given\n"
    "  --certificate-file FILE, --key-file FILE\n"
    "                         PEM files to use instead of a certificate made at the start\n";

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  CommandLine command_line;
  for (size_t i = 0; i < arguments.size(); i++) {
    std::string option = arguments[i];
    if (option == "--help" || option == "-h") {
      command_line.help = true;
      return command_line;
    }
    if (!option.starts_with("--")) {
      // Not quoted: it could be a token that somebody put here.
      return absl::InvalidArgumentError("argument " + std::to_string(i + 1) +
                                        " is not an option; options start with --");
    }
    std::string value;
    const size_t equals = option.find('=');
    if (equals != std::string::npos) {
      value = option.substr(equals + 1);
      option.resize(equals);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      // An unknown option is reported as such, whether or not it has a value.
      absl::Status known = ReadOption(option, "", command_line);
      if (!known.ok() && known.message().find("unknown") == 0) return known;
      return absl::InvalidArgumentError(option + " needs a value");
    }
    absl::Status read = ReadOption(option, value, command_line);
    if (!read.ok()) return read;
  }
  return command_line;
}

}  // namespace semaphore::simulator
