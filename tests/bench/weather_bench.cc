// weather_bench: the gateway in bad weather, and in a long mixed run. See tests/bench/weather.sh.
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/bench/soak.h"
#include "tests/bench/weather.h"

namespace semaphore::bench {
namespace {

constexpr char kUsage[] =
    "usage: weather_bench weather [--scale X] [--only TEXT] [--fresh] [--seed N]\n"
    "       weather_bench soak [--seconds N] [--seed N] [--check-memory]\n";

int Main(const std::vector<std::string>& arguments) {
  WeatherOptions weather;
  SoakOptions soak;
  const std::string mode = arguments.empty() ? "" : arguments[0];
  bool understood = mode == "weather" || mode == "soak";
  for (size_t i = 1; i < arguments.size() && understood; ++i) {
    const std::string& option = arguments[i];
    if (option == "--check-memory") {
      soak.check_memory = true;
      continue;
    }
    if (option == "--fresh") {
      weather.fresh = true;
      continue;
    }
    const std::string value = ++i < arguments.size() ? arguments[i] : "";
    if (option == "--scale") {
      understood = absl::SimpleAtod(value, &weather.scale) && weather.scale > 0;
    } else if (option == "--seconds") {
      understood = absl::SimpleAtod(value, &soak.seconds) && soak.seconds > 0;
    } else if (option == "--seed") {
      understood = absl::SimpleAtoi(value, &weather.seed);
      soak.seed = weather.seed;
    } else if (option == "--only") {
      weather.only = value;
    } else {
      understood = false;
    }
  }
  if (!understood) {
    std::cerr << kUsage;
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  const bool good = mode == "weather" ? RunWeather(weather) : RunSoak(soak);
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace semaphore::bench

int main(int argc, char** argv) {
  return semaphore::bench::Main(std::vector<std::string>(argv + 1, argv + argc));
}
