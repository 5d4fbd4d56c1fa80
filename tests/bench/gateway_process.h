// semaphore-gateway as a process of its own, so that its memory and its end can be looked at:
// starts it with a configuration, reads its log as it comes, asks for its metrics, stops it.
#ifndef SEMAPHORE_TESTS_BENCH_GATEWAY_PROCESS_H_
#define SEMAPHORE_TESTS_BENCH_GATEWAY_PROCESS_H_

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"

namespace semaphore::bench {

class GatewayProcess {
 public:
  struct Options {
    std::string program;
    std::string folder;                              // for its configuration; exists
    std::string yaml;                                // its configuration
    std::map<std::string, std::string> environment;  // all of it
  };

  // Returns when it serves. Blocks for seconds at most.
  static absl::StatusOr<std::unique_ptr<GatewayProcess>> Start(const Options& options);

  // As Stop.
  ~GatewayProcess();
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  uint16_t grpc_port() const { return grpc_port_; }
  bool IsRunning() const;
  int64_t ResidentBytes() const;    // now; 0 when it has ended
  double CpuSeconds() const;        // since the start
  std::string Metrics() const;      // the page; empty when it does not answer
  std::string StrayOutput() const;  // what it wrote that is no log line: a sanitizer's report

  // SIGTERM, and waits. The error says what it ended with if not with 0.
  absl::Status Stop();

 private:
  GatewayProcess(pid_t pid, int output);
  void ReadOutput(int output);
  void TakeLine(const std::string& line);

  const pid_t pid_;
  bool waited_for_ = false;
  uint16_t grpc_port_ = 0;
  uint16_t admin_port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string serving_line_;  // under mutex_, as the next two
  std::string stray_output_;
  bool ended_ = false;
  std::thread reader_;
};

// The sum of a family's values over the lines of a page that hold `label` ("reason=\"error\"").
double SumOf(std::string_view page, std::string_view family, std::string_view label = {});

}  // namespace semaphore::bench

#endif  // SEMAPHORE_TESTS_BENCH_GATEWAY_PROCESS_H_
