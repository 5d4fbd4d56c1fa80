// The whole configuration of the program as one checked struct, and the only code that reads
// configuration files and the environment. What is wrong is told all at once, each with file, line,
// column, key and what was expected; no error and no description ever holds a secret.
// docs/configuration.md is the reference of every key.
#ifndef SEMAPHORE_GATEWAY_CONFIG_H_
#define SEMAPHORE_GATEWAY_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/cache_policy.h"

namespace semaphore::gateway {

struct HostPort {
  std::string host;  // an IP address without brackets, or "localhost"
  uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

// "127.0.0.1:50051", "[::1]:50051".
std::string ToString(const HostPort& address);
// 127.0.0.0/8, ::1 and localhost: only this machine can connect.
bool IsLoopback(const HostPort& address);

struct OrganizationConfig {
  std::string name;
  std::string host;  // of the base URL: a name, or an IP address without brackets
  uint16_t port = 443;
  std::string base_path;   // "/api/v1alpha": starts with '/', does not end with one
  std::string token_file;  // exactly one of token_file and token_env is set
  std::string token_env;
  std::string token;    // from token_env, checked; empty with token_file. Secret.
  std::string ca_file;  // empty: the system's CAs
};

struct GrpcConfig {
  HostPort address{"127.0.0.1", 50051};
  std::chrono::milliseconds max_connection_age{std::chrono::minutes(30)};
  std::chrono::milliseconds max_connection_age_grace{std::chrono::seconds(30)};
  std::chrono::milliseconds keepalive_min_ping_interval{std::chrono::seconds(30)};
};

// TLS of the listeners for callers, gRPC and REST alike. Paths of PEM files.
struct TlsConfig {
  std::string certificate_file;  // the listener's own certificate, then those that vouch for it
  std::string key_file;
  std::string client_ca_file;  // empty: callers are not asked for a certificate
  bool require_client_certificate = false;
};

struct RestConfig {
  HostPort address{"127.0.0.1", 8080};
  int64_t max_connections = 20'000;
  int64_t max_head_bytes = 16 << 10;
  std::chrono::milliseconds idle_timeout{std::chrono::seconds(75)};
  std::chrono::milliseconds head_timeout{std::chrono::seconds(10)};
  std::chrono::milliseconds body_timeout{std::chrono::seconds(60)};
  std::chrono::milliseconds write_timeout{std::chrono::seconds(60)};
  std::vector<std::string> cors_allowed_origins;
};

struct UpstreamConfig {
  double requests_per_second = 10;
  int64_t burst = 20;
  int64_t max_in_flight = 32;
  std::chrono::milliseconds max_wait{std::chrono::seconds(10)};
  std::chrono::milliseconds connect_timeout{std::chrono::seconds(5)};
  std::optional<HostPort> proxy;  // here the host may be any name
  std::string proxy_authorization_file;
  std::string proxy_authorization;  // read from that file by LoadConfig. Secret.
};

struct CallersConfig {
  double requests_per_second = 100;  // 0: no quota
  int64_t burst = 200;
};

struct AuthConfig {
  std::string callers_file;  // who may call, and what each may do
};

struct LimitsConfig {
  std::chrono::milliseconds default_deadline{std::chrono::seconds(60)};
  std::chrono::milliseconds max_deadline{std::chrono::minutes(10)};
  int64_t max_concurrent_calls = 10'000;
  int64_t max_message_bytes = 4 << 20;
  int64_t max_queued_bytes = 256 << 20;
};

struct LogConfig {
  std::string level = "info";  // debug, info, warning, error
  std::chrono::milliseconds slow_call{std::chrono::seconds(1)};
  int64_t sampled_calls_per_second = 10;
};

struct MetricsProject {
  std::string organization;
  std::string name;
};

struct MetricsConfig {
  std::vector<MetricsProject> projects;
  bool discover = false;
  std::vector<std::string> refs{"master", "main"};
  std::string level = "pipeline";  // project, pipeline, block, job
  std::chrono::milliseconds poll_interval{std::chrono::seconds(30)};
  std::string state_dir = "/var/lib/semaphore-gateway";
  int64_t max_series = 2000;              // of a family of CI facts
  std::chrono::milliseconds backfill{0};  // how far back counting begins at the first start
};

struct Config {
  std::vector<OrganizationConfig> organizations;  // at least one; the first is the default
  GrpcConfig grpc;
  std::optional<RestConfig> rest;  // nothing: no REST listener
  HostPort admin{"127.0.0.1", 9464};
  std::optional<TlsConfig> tls;
  UpstreamConfig upstream;  // per organization
  int64_t cache_max_bytes = 256 << 20;
  Lifetimes cache_lifetimes;
  std::optional<MetricsConfig> metrics;
  CallersConfig callers;
  std::optional<AuthConfig> auth;  // nothing: callers are anonymous and may do everything
  LimitsConfig limits;
  std::chrono::milliseconds shutdown_grace{std::chrono::seconds(20)};
  LogConfig log;
  bool insecure = false;

  // One line each: what `insecure` leaves open. To be logged once.
  std::vector<std::string> warnings;
};

// The value of an environment variable; nothing when it is not set.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;

// Reads `path`, the environment and the proxy's authorization. An empty path is no file: the
// environment alone decides. INVALID_ARGUMENT with one line per error, FAILED_PRECONDITION when a
// file cannot be read. Blocks on the file system.
absl::StatusOr<Config> LoadConfig(const std::string& path);

// The same for a text; touches no file. `file` names the text in errors, and relative paths in it
// start from the folder of `file`.
absl::StatusOr<Config> ParseConfig(const std::string& text, const std::string& file,
                                   const EnvironmentLookup& environment);

// The configuration in force as YAML, defaults included, for `check-config`; ParseConfig reads it
// back.
std::string DescribeConfig(const Config& config);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CONFIG_H_
