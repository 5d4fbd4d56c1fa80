// Drives a fuzz target without libFuzzer: mutates its seeds at random, the same for the same
// --seed. A failure says the number of the input, which --only repeats.
#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/fuzz/fuzz_target.h"

namespace {

constexpr char kUsage[] =
    "usage: FUZZ_TARGET [--runs=N] [--seed=N] [--only=N] [--write-corpus=DIR] [FILE...]\n"
    "  --runs          inputs to try, default 20000\n"
    "  --only          try only the input of that number\n"
    "  --write-corpus  write the seeds, one a file, for libFuzzer; try nothing\n"
    "  FILE            try these inputs as they are, and no others\n";

constexpr size_t kMaxBytes = 65536;

struct Options {
  uint64_t runs = 20000;
  uint64_t seed = 1;
  uint64_t only = 0;  // 0: all
  std::string corpus;
  std::vector<std::string> files;
};

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, std::vector<std::string> words)
      : seeds_(std::move(seeds)), words_(std::move(words)) {}

  // The input of that number, whatever came before it.
  std::string Input(uint64_t seed, uint64_t number) {
    random_.seed(seed * 0x9E3779B97F4A7C15u + number);
    std::string input = Any(seeds_);
    for (size_t left = Below(8); left > 0; --left) Mutate(input);
    input.resize(std::min(input.size(), kMaxBytes));
    return input;
  }

 private:
  size_t Below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  const std::string& Any(const std::vector<std::string>& of) { return of[Below(of.size())]; }

  void Mutate(std::string& input) {
    const size_t at = Below(input.size() + 1);
    const size_t length = Below(std::min<size_t>(input.size() - at, 32) + 1);
    switch (Below(7)) {
      case 0:  // a bit
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        break;
      case 1:
        input.insert(at, 1, static_cast<char>(Below(256)));
        break;
      case 2:
        input.insert(at, Any(words_));
        break;
      case 3:
        input.erase(at, length);
        break;
      case 4:  // a piece once more, or many times
        for (size_t times = 1 + (Below(16) == 0 ? Below(200) : 0); times > 0; --times)
          input.insert(at, input.substr(at, length));
        break;
      case 5:
        input.replace(at, length, Any(words_));
        break;
      default: {  // the end of another
        const std::string& other = Any(seeds_);
        input = input.substr(0, at) + other.substr(Below(other.size() + 1));
        break;
      }
    }
    input.resize(std::min(input.size(), kMaxBytes));
  }

  const std::vector<std::string> seeds_;
  const std::vector<std::string> words_;
  std::mt19937_64 random_;
};

void Try(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

bool ParseNumber(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool ParseOptions(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = std::min(argument.find('='), argument.size());
    const std::string_view name = argument.substr(0, equals);
    const std::string_view value = argument.substr(std::min(equals + 1, argument.size()));
    bool known = true;
    if (name == "--runs") {
      known = ParseNumber(value, options.runs);
    } else if (name == "--seed") {
      known = ParseNumber(value, options.seed);
    } else if (name == "--only") {
      known = ParseNumber(value, options.only);
    } else if (name == "--write-corpus") {
      options.corpus = value;
    } else if (name.substr(0, 1) == "-") {
      known = false;
    } else {
      options.files.emplace_back(argument);
    }
    if (!known) return false;
  }
  return true;
}

volatile std::sig_atomic_t tried = 0;  // the number of the input at hand

// A failure ends the process wherever it is; this says by which input.
void SayWhich(int signal) {
  std::fprintf(stderr, "input %ld\n", static_cast<long>(tried));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void WriteCorpus(const std::string& directory) {
  std::filesystem::create_directories(directory);
  int number = 0;
  for (const std::string& seed : semaphore::fuzz::Seeds()) {
    const std::filesystem::path path =
        std::filesystem::path(directory) / ("seed-" + std::to_string(++number));
    std::ofstream(path, std::ios::binary) << seed;
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, options)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  if (!options.corpus.empty()) {
    WriteCorpus(options.corpus);
    return 0;
  }
  for (const std::string& file : options.files) {
    std::ifstream in(file, std::ios::binary);
    Try({std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()});
  }
  if (!options.files.empty()) return 0;
  for (const std::string& seed : semaphore::fuzz::Seeds()) Try(seed);
  std::signal(SIGABRT, SayWhich);
  std::signal(SIGSEGV, SayWhich);
  Mutator mutator(semaphore::fuzz::Seeds(), semaphore::fuzz::Words());
  const uint64_t first = options.only > 0 ? options.only : 1;
  const uint64_t last = options.only > 0 ? options.only : options.runs;
  for (uint64_t number = first; number <= last; ++number) {
    tried = static_cast<std::sig_atomic_t>(number);
    Try(mutator.Input(options.seed, number));
  }
  std::printf("%s inputs\n", std::to_string(last - first + 1).c_str());
  return 0;
}
