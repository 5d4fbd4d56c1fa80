#include "gateway/command_line.h"

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/variables_map.hpp>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/collection_estimate.h"

namespace semaphore::gateway {
namespace {

namespace options = boost::program_options;

const std::map<std::string, Command>& Commands() {
  static const auto* commands =
      new std::map<std::string, Command>{{"serve", Command::kServe},
                                         {"check-config", Command::kCheckConfig},
                                         {"estimate", Command::kEstimate},
                                         {"call", Command::kCall},
                                         {"health", Command::kHealth},
                                         {"version", Command::kVersion},
                                         {"help", Command::kHelp},
                                         {"hash-token", Command::kHashToken},
                                         {"metrics-catalog", Command::kMetricsCatalog}};
  return *commands;
}

// Which options go with which word; anything else is a mistake to be told, not to be ignored.
std::vector<std::string> OptionsOf(Command command) {
  switch (command) {
    case Command::kServe:
    case Command::kCheckConfig:
      return {"config"};
    case Command::kEstimate: {
      std::vector<std::string> names = {"config"};
      for (const AssumptionOption& option : kAssumptionOptions) names.emplace_back(option.name);
      return names;
    }
    case Command::kCall:
      return {"address",  "organization", "token-file",      "timeout", "tls-ca",
              "tls-cert", "tls-key",      "tls-server-name", "words"};
    case Command::kHealth:
      return {"address",  "token-file", "timeout",        "tls-ca",
              "tls-cert", "tls-key",    "tls-server-name"};
    case Command::kHashToken:
      return {"new"};
    default:
      return {};
  }
}

absl::Status FillCall(const std::vector<std::string>& words, CommandLine& line) {
  if (words.empty() || words.size() > 2)
    return absl::InvalidArgumentError("call: expected METHOD and its JSON");
  line.method = words[0];
  if (words.size() < 2) return absl::OkStatus();
  line.request_from_stdin = words[1] == "-";
  if (!line.request_from_stdin) line.request = words[1];
  return absl::OkStatus();
}

// TLS begins with whom to trust; everything else about it would be ignored without.
absl::Status CheckTls(const CommandLine& line) {
  if (line.tls_ca_file.empty()) {
    for (const auto& [option, value] : {std::pair{"--tls-cert", &line.tls_certificate_file},
                                        std::pair{"--tls-key", &line.tls_key_file},
                                        std::pair{"--tls-server-name", &line.tls_server_name}}) {
      if (!value->empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat(option, ": expected --tls-ca FILE beside it, the authorities to trust"));
      }
    }
  }
  if (!line.tls_key_file.empty() && line.tls_certificate_file.empty()) {
    return absl::InvalidArgumentError("--tls-key: expected --tls-cert FILE beside it");
  }
  return absl::OkStatus();
}

absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& arguments) {
  options::options_description known;
  known.add_options()("config", options::value<std::string>())(
      "address", options::value<std::string>())("organization", options::value<std::string>())(
      "token-file", options::value<std::string>())("timeout", options::value<std::string>())(
      "tls-ca", options::value<std::string>())("tls-cert", options::value<std::string>())(
      "tls-key", options::value<std::string>())("tls-server-name", options::value<std::string>())(
      "help,h", "")("version", "")("new", "")("words", options::value<std::vector<std::string>>());
  for (const AssumptionOption& option : kAssumptionOptions) {
    known.add_options()(option.name, options::value<double>(), "");
  }
  options::positional_options_description positional;
  positional.add("words", -1);
  options::variables_map values;
  using Style = options::command_line_style::style_t;
  const int style = Style::unix_style & ~Style::allow_guessing;
  options::store(options::command_line_parser(arguments)
                     .options(known)
                     .positional(positional)
                     .style(style)
                     .run(),
                 values);

  CommandLine line;
  std::vector<std::string> words;
  if (values.count("words") > 0) words = values["words"].as<std::vector<std::string>>();
  if (values.count("help") > 0) words = {"help"};
  if (values.count("version") > 0) words = {"version"};
  if (!words.empty()) {
    const auto found = Commands().find(words.front());
    if (found == Commands().end()) {
      return absl::InvalidArgumentError(absl::StrCat("no command ", words.front()));
    }
    line.command = found->second;
    words.erase(words.begin());
  }
  const std::vector<std::string> allowed = OptionsOf(line.command);
  for (const auto& [name, value] : values) {
    if (name == "words" || name == "help" || name == "version") continue;
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " does not go with this command"));
    }
  }
  const auto text = [&values](const char* name) {
    return values.count(name) > 0 ? values[name].as<std::string>() : std::string();
  };
  for (const auto& [name, field] : kAssumptionOptions) {
    if (values.count(name) == 0) continue;
    const double number = values[name].as<double>();
    if (!(number >= 0 && number <= 1e9)) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, ": expected 0 to 1000000000"));
    }
    line.assumptions[name] = number;
  }
  line.config_file = text("config");
  line.address = values.count("address") > 0 ? text("address") : "127.0.0.1:50051";
  line.organization = text("organization");
  line.token_file = text("token-file");
  line.tls_ca_file = text("tls-ca");
  line.tls_certificate_file = text("tls-cert");
  line.tls_key_file = text("tls-key");
  line.tls_server_name = text("tls-server-name");
  if (absl::Status tls = CheckTls(line); !tls.ok()) return tls;
  line.make_token = values.count("new") > 0;
  if (values.count("timeout") > 0 && (!absl::ParseDuration(text("timeout"), &line.timeout) ||
                                      line.timeout <= absl::ZeroDuration())) {
    return absl::InvalidArgumentError("--timeout: expected a time such as 500ms or 10s");
  }
  if (line.command == Command::kHealth && values.count("timeout") == 0)
    line.timeout = absl::Seconds(5);
  if (line.command == Command::kCall) {
    const absl::Status filled = FillCall(words, line);
    if (!filled.ok()) return filled;
  } else if (line.command == Command::kHashToken && !words.empty()) {
    // Not quoted: it may be the token.
    return absl::InvalidArgumentError(
        "hash-token: expected the token on standard input, not as a word");
  } else if (!words.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("unexpected: ", absl::StrJoin(words, " ")));
  }
  return line;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  try {
    return Parse(arguments);
  } catch (const options::error& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

std::string Usage() {
  return R"(usage: semaphore-gateway [serve] [--config FILE]
       semaphore-gateway check-config [--config FILE]
       semaphore-gateway estimate --config FILE [--projects N] [--pipelines-per-day N] [--refs N] [--files N]
                              [--blocks-per-pipeline N] [--jobs-per-pipeline N] [--promotable-share N]
                              [--targets N] [--deployments-per-day N] [--agents N]
       semaphore-gateway call [--address HOST:PORT] [--organization NAME] [--token-file FILE] [--timeout 60s]
                              [TLS] METHOD [JSON | -]
       semaphore-gateway health [--address HOST:PORT] [--token-file FILE] [--timeout 5s] [TLS]
       semaphore-gateway hash-token [--new]
       semaphore-gateway metrics-catalog
       semaphore-gateway version

serve         run the gateway (the default). Without a file, SEMAPHORE_ORGANIZATION and SEMAPHORE_API_TOKEN are enough.
check-config  read the configuration, show it with its defaults, or say what is wrong with it.
estimate      what collecting CI metrics would cost with this configuration: requests to Semaphore and series.
              Asks nobody; what it cannot know is assumed, and the options change that.
call          make one call to a running gateway, for example
                semaphore-gateway call PipelineService.GetPipeline '{"pipelineId": "…"}'
              and print the reply as JSON; "-" reads the request from standard input.
health        exit status 0 when the gateway there is serving.
hash-token    read a caller's token from the first line of standard input and print its entry for the callers file;
              --new makes a token and prints it first.
metrics-catalog
              print every family of metrics that the gateway can export, as JSON.

--token-file  a file with the caller's own token. It is sent over TLS, or to this machine.
TLS is --tls-ca FILE [--tls-cert FILE [--tls-key FILE]] [--tls-server-name NAME]: the authorities to trust (the
system's are /etc/ssl/certs/ca-certificates.crt), a client certificate and its key (which may be in one file),
and the name to expect in the gateway's certificate when it is not the host of --address.
)";
}

}  // namespace semaphore::gateway
