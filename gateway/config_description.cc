// DescribeConfig of config.h: what is in force, written as the YAML that would say the same.
// Secrets stay out because only their origins (a file, a variable) are keys at all.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/config.h"
#include "gateway/config_reader.h"
#include "gateway/json_text.h"

namespace semaphore::gateway {
namespace {

// A JSON string is a double-quoted YAML scalar.
std::string Quoted(const std::string& text) {
  std::string out;
  AppendJsonString(&out, text);
  return out;
}

// The shortest decimal text that reads back as the same number; never scientific within our bounds.
std::string Number(double value) {
  for (int digits = 6; digits < 17; ++digits) {
    const std::string text = absl::StrFormat("%.*g", digits, value);
    if (std::stod(text) == value) return text;
  }
  return absl::StrFormat("%.17g", value);
}

std::string DescribeOrganization(const OrganizationConfig& organization) {
  std::string out =
      absl::StrCat("  - name: ", Quoted(organization.name), "\n    base_url: ",
                   Quoted(absl::StrCat("https://", ToString({organization.host, organization.port}),
                                       organization.base_path)),
                   "\n");
  if (!organization.token_file.empty()) {
    absl::StrAppend(&out, "    token_file: ", Quoted(organization.token_file), "\n");
  } else {
    absl::StrAppend(&out, "    token_env: ", Quoted(organization.token_env), "\n");
  }
  if (!organization.ca_file.empty()) {
    absl::StrAppend(&out, "    ca_file: ", Quoted(organization.ca_file), "\n");
  }
  return out;
}

std::string DescribeTls(const TlsConfig& tls) {
  std::string out = absl::StrCat("tls:\n  certificate_file: ", Quoted(tls.certificate_file),
                                 "\n  key_file: ", Quoted(tls.key_file), "\n");
  if (!tls.client_ca_file.empty()) {
    absl::StrAppend(&out, "  client_ca_file: ", Quoted(tls.client_ca_file),
                    "\n  require_client_certificate: ",
                    tls.require_client_certificate ? "true" : "false", "\n");
  }
  return out;
}

std::string DescribeUpstream(const UpstreamConfig& upstream) {
  std::string out =
      absl::StrCat("upstream:\n  requests_per_second: ", Number(upstream.requests_per_second),
                   "\n  burst: ", upstream.burst, "\n  max_in_flight: ", upstream.max_in_flight,
                   "\n  max_wait: ", FormatDuration(upstream.max_wait),
                   "\n  connect_timeout: ", FormatDuration(upstream.connect_timeout), "\n");
  if (upstream.proxy.has_value()) {
    absl::StrAppend(&out, "  proxy: ", Quoted("http://" + ToString(*upstream.proxy)), "\n");
  }
  if (!upstream.proxy_authorization_file.empty()) {
    absl::StrAppend(&out, "  proxy_authorization_file: ", Quoted(upstream.proxy_authorization_file),
                    "\n");
  }
  return out;
}

std::string DescribeLifetimes(const Lifetimes& lifetimes) {
  std::string out = "  lifetimes:\n";
  const auto add = [&out](const char* key, absl::Duration lifetime) {
    absl::StrAppend(&out, "    ", key, ": ", FormatDuration(absl::ToChronoMilliseconds(lifetime)),
                    "\n");
  };
  add("terminal", lifetimes.terminal);
  add("unsettled", lifetimes.unsettled);
  add("live", lifetimes.live);
  add("list", lifetimes.list);
  add("setting", lifetimes.setting);
  add("not_found", lifetimes.not_found);
  add("stale_while_revalidate", lifetimes.stale_while_revalidate);
  add("stale_if_error", lifetimes.stale_if_error);
  return out;
}

std::string DescribeMetrics(const MetricsConfig& metrics) {
  std::string out = "metrics:\n";
  if (metrics.discover) {
    out += "  discover: true\n";
  } else {
    out += "  projects:\n";
    for (const MetricsProject& project : metrics.projects) {
      absl::StrAppend(&out, "    - ", Quoted(project.organization + "/" + project.name), "\n");
    }
  }
  out += metrics.refs.empty() ? "  refs: []\n" : "  refs:\n";
  for (const std::string& ref : metrics.refs) absl::StrAppend(&out, "    - ", Quoted(ref), "\n");
  absl::StrAppend(&out, "  level: ", metrics.level,
                  "\n  poll_interval: ", FormatDuration(metrics.poll_interval),
                  "\n  backfill: ", FormatDuration(metrics.backfill),
                  "\n  max_series: ", metrics.max_series,
                  "\n  state_dir: ", Quoted(metrics.state_dir), "\n");
  return out;
}

std::string DescribeRest(const RestConfig& rest) {
  std::string out = absl::StrCat("rest:\n  address: ", Quoted(ToString(rest.address)),
                                 "\n  max_connections: ", rest.max_connections,
                                 "\n  max_head_bytes: ", rest.max_head_bytes,
                                 "\n  idle_timeout: ", FormatDuration(rest.idle_timeout),
                                 "\n  head_timeout: ", FormatDuration(rest.head_timeout),
                                 "\n  body_timeout: ", FormatDuration(rest.body_timeout),
                                 "\n  write_timeout: ", FormatDuration(rest.write_timeout), "\n");
  if (rest.cors_allowed_origins.empty()) return out;
  out += "  cors_allowed_origins:\n";
  for (const std::string& origin : rest.cors_allowed_origins) {
    absl::StrAppend(&out, "    - ", Quoted(origin), "\n");
  }
  return out;
}

}  // namespace

std::string DescribeConfig(const Config& config) {
  std::string out = "organizations:\n";
  for (const OrganizationConfig& organization : config.organizations) {
    out += DescribeOrganization(organization);
  }
  const GrpcConfig& grpc = config.grpc;
  absl::StrAppend(
      &out, "grpc:\n  address: ", Quoted(ToString(grpc.address)),
      "\n  max_connection_age: ", FormatDuration(grpc.max_connection_age),
      "\n  max_connection_age_grace: ", FormatDuration(grpc.max_connection_age_grace),
      "\n  keepalive_min_ping_interval: ", FormatDuration(grpc.keepalive_min_ping_interval));
  absl::StrAppend(&out, "\nadmin:\n  address: ", Quoted(ToString(config.admin)), "\n");
  if (config.rest.has_value()) out += DescribeRest(*config.rest);
  if (config.tls.has_value()) out += DescribeTls(*config.tls);
  absl::StrAppend(&out, "cache:\n  max_bytes: ", config.cache_max_bytes, "\n",
                  DescribeLifetimes(config.cache_lifetimes));
  out += DescribeUpstream(config.upstream);
  if (config.metrics.has_value()) out += DescribeMetrics(*config.metrics);
  absl::StrAppend(&out, "callers:\n  requests_per_second: ", config.callers.requests_per_second,
                  "\n  burst: ", config.callers.burst, "\n");
  if (config.auth.has_value()) {
    absl::StrAppend(&out, "auth:\n  callers_file: ", Quoted(config.auth->callers_file), "\n");
  }
  const LimitsConfig& limits = config.limits;
  absl::StrAppend(&out, "limits:\n  default_deadline: ", FormatDuration(limits.default_deadline),
                  "\n  max_deadline: ", FormatDuration(limits.max_deadline),
                  "\n  max_concurrent_calls: ", limits.max_concurrent_calls,
                  "\n  max_message_bytes: ", limits.max_message_bytes,
                  "\n  max_queued_bytes: ", limits.max_queued_bytes);
  absl::StrAppend(&out, "\nshutdown:\n  grace: ", FormatDuration(config.shutdown_grace),
                  "\nlog:\n  level: ", config.log.level,
                  "\n  slow_call: ", FormatDuration(config.log.slow_call),
                  "\n  sampled_calls_per_second: ", config.log.sampled_calls_per_second,
                  "\ninsecure: ", config.insecure ? "true" : "false", "\n");
  return out;
}

}  // namespace semaphore::gateway
