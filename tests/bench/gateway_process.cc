#include "tests/bench/gateway_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace semaphore::bench {
namespace {

constexpr auto kStartLimit = std::chrono::seconds(60);
constexpr size_t kMaxStrayBytes = 256 << 10;

// The number behind `"key":` in a line of the log.
uint16_t NumberIn(const std::string& line, const std::string& key) {
  const size_t at = line.find(absl::StrCat("\"", key, "\":"));
  return at == std::string::npos
             ? 0
             : static_cast<uint16_t>(std::atoi(line.c_str() + at + key.size() + 3));
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayProcess>> GatewayProcess::Start(const Options& options) {
  const std::string config = absl::StrCat(options.folder, "/gateway.yaml");
  std::ofstream(config) << options.yaml;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<std::string> arguments = {options.program, "--config", config};
  std::vector<std::string> environment;
  for (const auto& [name, value] : options.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  pid_t pid = 0;
  const int error = posix_spawn(&pid, options.program.c_str(), &actions, nullptr,
                                Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return absl::ErrnoToStatus(error, options.program);
  }
  std::unique_ptr<GatewayProcess> process(new GatewayProcess(pid, ends[0]));
  {
    std::unique_lock lock(process->mutex_);
    process->changed_.wait_for(lock, kStartLimit,
                               [&] { return process->ended_ || !process->serving_line_.empty(); });
    if (process->serving_line_.empty()) {
      return absl::UnavailableError(
          absl::StrCat("the gateway does not serve: ", process->stray_output_));
    }
    process->grpc_port_ = NumberIn(process->serving_line_, "grpc_port");
    process->admin_port_ = NumberIn(process->serving_line_, "admin_port");
  }
  return process;
}

GatewayProcess::GatewayProcess(pid_t pid, int output)
    : pid_(pid), reader_([this, output] { ReadOutput(output); }) {}

GatewayProcess::~GatewayProcess() {
  Stop().IgnoreError();
  reader_.join();
}

// Reads to the end, for a full pipe would hold up the gateway.
void GatewayProcess::ReadOutput(int output) {
  std::string rest;
  std::array<char, 64 << 10> buffer;
  for (;;) {
    const ssize_t got = read(output, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    rest.append(buffer.data(), static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
      TakeLine(rest.substr(begin, end - begin));
    }
    rest.erase(0, begin);
  }
  TakeLine(rest);
  close(output);
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void GatewayProcess::TakeLine(const std::string& line) {
  if (line.empty()) return;
  const bool is_log = line.front() == '{';
  const bool is_serving = is_log && line.find("\"serving\"") != std::string::npos;
  const bool starts_badly = is_log && line.find("\"start_failed\"") != std::string::npos;
  if (is_log && !is_serving && !starts_badly) return;
  const std::lock_guard lock(mutex_);
  if (is_serving) {
    serving_line_ = line;
    changed_.notify_all();
  } else if (stray_output_.size() < kMaxStrayBytes) {
    absl::StrAppend(&stray_output_, line, "\n");
  }
}

bool GatewayProcess::IsRunning() const {
  const std::lock_guard lock(mutex_);
  return !ended_;
}

int64_t GatewayProcess::ResidentBytes() const {
  std::ifstream status(absl::StrCat("/proc/", pid_, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atoll(line.c_str() + 6) * 1024;
  }
  return 0;
}

double GatewayProcess::CpuSeconds() const {
  std::ifstream stat(absl::StrCat("/proc/", pid_, "/stat"));
  std::stringstream text;
  text << stat.rdbuf();
  const std::string all = text.str();
  const size_t after_name = all.rfind(") ");
  if (after_name == std::string::npos) return 0;
  // The third field comes first here; user and system time are the 14th and 15th.
  const std::vector<std::string> fields = absl::StrSplit(all.substr(after_name + 2), ' ');
  if (fields.size() < 13) return 0;
  return static_cast<double>(std::atoll(fields[11].c_str()) + std::atoll(fields[12].c_str())) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string GatewayProcess::Metrics() const {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(admin_port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{.tv_sec = 20, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  std::string page;
  const std::string_view request =
      "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      write(fd, request.data(), request.size()) == static_cast<ssize_t>(request.size())) {
    std::array<char, 16 << 10> buffer;
    for (ssize_t got; (got = read(fd, buffer.data(), buffer.size())) > 0;) {
      page.append(buffer.data(), static_cast<size_t>(got));
    }
  }
  close(fd);
  return page;
}

std::string GatewayProcess::StrayOutput() const {
  const std::lock_guard lock(mutex_);
  return stray_output_;
}

absl::Status GatewayProcess::Stop() {
  if (waited_for_) return absl::OkStatus();
  waited_for_ = true;
  kill(pid_, SIGTERM);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(
      WIFEXITED(status) ? absl::StrCat("the gateway ended with exit status ", WEXITSTATUS(status))
                        : absl::StrCat("the gateway was ended by signal ", WTERMSIG(status)));
}

double SumOf(std::string_view page, std::string_view family, std::string_view label) {
  double sum = 0;
  while (!page.empty()) {
    const std::string line(page.substr(0, page.find('\n')));
    page.remove_prefix(std::min(page.size(), line.size() + 1));
    if (!line.starts_with(family)) continue;
    const char next = line.size() > family.size() ? line[family.size()] : '\0';
    if (next != '{' && next != ' ') continue;
    if (line.find(label) == std::string::npos) continue;
    sum += std::strtod(line.c_str() + line.rfind(' ') + 1, nullptr);
  }
  return sum;
}

}  // namespace semaphore::bench
