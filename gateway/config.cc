#include "gateway/config.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gateway/config_document.h"
#include "gateway/config_reader.h"
#include "gateway/config_url.h"
#include "gateway/run_counter.h"
#include "gateway/token_source.h"

namespace semaphore::gateway {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr size_t kMaxPathBytes = 4096;
constexpr size_t kMaxOrganizations = 100;

// What every section reader needs.
struct Reading {
  ConfigErrors* errors;
  std::string file;
  const EnvironmentLookup& environment;
};

// Relative paths start from the folder of the configuration file, whatever folder the program was
// started in.
std::string Resolve(const Reading& reading, const std::string& path) {
  if (path.empty()) return path;
  return (std::filesystem::path(reading.file).parent_path() / path).lexically_normal().string();
}

void ReadPath(const Reading& reading, ConfigSection* section, std::string_view key,
              std::string* out) {
  if (section->Text(key, kMaxPathBytes, out)) *out = Resolve(reading, *out);
}

// Semaphore's organization names are the first label of a host name.
bool IsOrganizationName(std::string_view name) {
  return !name.empty() && name.size() <= 63 && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

// The rule of ids and names that travel in a path (api.md).
bool IsPathName(std::string_view name) {
  return !name.empty() && name.size() <= 128 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                  c == '~' || c == '-';
         });
}

bool IsVariableName(std::string_view name) {
  return !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
         });
}

constexpr std::string_view kNameRule =
    "expected 1 to 63 of a-z, 0-9 and '-', the first label of NAME.semaphoreci.com";
constexpr std::string_view kBaseUrlRule =
    "expected https://HOST[:PORT]/PATH without user, query or fragment";

void SetBaseUrl(const HttpUrl& url, OrganizationConfig* organization) {
  organization->host = url.address.host;
  organization->port = url.address.port;
  // A bare host is what people paste from the browser; the API lives nowhere else.
  organization->base_path = url.path.empty() ? "/api/v1alpha" : url.path;
}

// The value of the variable is not quoted anywhere, nor a name that could itself be a token pasted
// in the wrong place.
void ReadTokenVariable(const Reading& reading, ConfigSection* section,
                       OrganizationConfig* organization) {
  std::string name;
  if (!section->Text("token_env", 256, &name)) return;
  if (!IsVariableName(name)) {
    section->Error("token_env", "expected the name of an environment variable");
    return;
  }
  const std::optional<std::string> value = reading.environment(name);
  const absl::Status valid = ValidateToken(value.value_or(""), "the environment variable");
  if (!value.has_value()) {
    section->Error("token_env", "expected the name of an environment variable that is set");
  } else if (!valid.ok()) {
    section->Error("token_env", std::string(valid.message()));
  }
  organization->token_env = std::move(name);
  organization->token = value.value_or("");
}

OrganizationConfig ReadOrganization(const Reading& reading, const ConfigNode* node,
                                    const std::string& path) {
  OrganizationConfig organization;
  ConfigSection section(reading.errors, node, path);
  if (!section.Has("name")) section.Error("name", std::string(kNameRule));
  const bool named = section.Text("name", 256, &organization.name);
  if (named && !IsOrganizationName(organization.name)) {
    section.Error("name", std::string(kNameRule));
    organization.name.clear();
  }
  std::string base_url = absl::StrCat("https://", organization.name, ".semaphoreci.com");
  const bool given = section.Text("base_url", 2048, &base_url);
  const std::optional<HttpUrl> url = ParseHttpUrl(base_url, "https", 443);
  if (url.has_value()) SetBaseUrl(*url, &organization);
  if (given && !url.has_value()) section.Error("base_url", std::string(kBaseUrlRule));
  ReadPath(reading, &section, "token_file", &organization.token_file);
  ReadTokenVariable(reading, &section, &organization);
  if (section.Has("token_file") == section.Has("token_env")) {
    section.Error("token_file", "expected exactly one of token_file and token_env");
  }
  ReadPath(reading, &section, "ca_file", &organization.ca_file);
  section.RefuseUnknownKeys();
  return organization;
}

// Without `organizations` the environment names the only one.
void ReadOrganizationFromEnvironment(const Reading& reading, Config* config) {
  const auto variable = [&](const char* name) { return reading.environment(name).value_or(""); };
  OrganizationConfig organization;
  organization.name = variable("SEMAPHORE_ORGANIZATION");
  organization.token_env = "SEMAPHORE_API_TOKEN";
  organization.token = variable("SEMAPHORE_API_TOKEN");
  organization.ca_file = variable("SEMAPHORE_CA_FILE");
  if (organization.name.empty()) {
    reading.errors->Add(
        {}, "organizations",
        "expected at least one organization in the file, or SEMAPHORE_ORGANIZATION and "
        "SEMAPHORE_API_TOKEN in the environment");
    return;
  }
  if (!IsOrganizationName(organization.name)) {
    reading.errors->Add({}, "SEMAPHORE_ORGANIZATION", std::string(kNameRule));
  }
  if (organization.token.empty()) {
    reading.errors->Add({}, "SEMAPHORE_API_TOKEN", "expected an API token, got nothing");
  } else if (const absl::Status valid = ValidateToken(organization.token, "SEMAPHORE_API_TOKEN");
             !valid.ok()) {
    reading.errors->Add({}, "", std::string(valid.message()));
  }
  std::string base_url = variable("SEMAPHORE_BASE_URL");
  if (base_url.empty()) base_url = absl::StrCat("https://", organization.name, ".semaphoreci.com");
  const std::optional<HttpUrl> url = ParseHttpUrl(base_url, "https", 443);
  if (url.has_value()) {
    SetBaseUrl(*url, &organization);
  } else if (IsOrganizationName(organization.name)) {
    reading.errors->Add({}, "SEMAPHORE_BASE_URL", std::string(kBaseUrlRule));
  }
  config->organizations.push_back(std::move(organization));
}

void ReadOrganizations(const Reading& reading, ConfigSection* root, Config* config) {
  const ConfigNode* list = root->Sequence("organizations");
  if (list == nullptr) {
    // A wrong kind was told already.
    const bool wrong_kind = root->Has("organizations") && !root->IsNull("organizations");
    if (!wrong_kind) ReadOrganizationFromEnvironment(reading, config);
    return;
  }
  if (list->items.empty() || list->items.size() > kMaxOrganizations) {
    root->Error("organizations", absl::StrCat("expected 1 to ", kMaxOrganizations,
                                              " organizations, got ", list->items.size()));
    return;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list->items.size(); ++i) {
    const ConfigNode& item = list->items[i];
    const std::string path = absl::StrCat("organizations[", i, "]");
    if (item.kind != ConfigNode::Kind::kMapping) {
      reading.errors->Add(item.position, path, "expected a mapping with name and token_file");
      continue;
    }
    OrganizationConfig organization = ReadOrganization(reading, &item, path);
    if (!organization.name.empty() && !names.insert(organization.name).second) {
      reading.errors->Add(item.position, path + ".name",
                          absl::StrCat("the organization ", organization.name, " is listed twice"));
    }
    config->organizations.push_back(std::move(organization));
  }
}

// Both keys of the pair, or what uses it is half a lock.
void ReadTls(const Reading& reading, ConfigSection* root, Config* config) {
  const ConfigNode* node = root->Mapping("tls");
  if (node == nullptr) return;
  TlsConfig tls;
  ConfigSection section(reading.errors, node, "tls");
  ReadPath(reading, &section, "certificate_file", &tls.certificate_file);
  ReadPath(reading, &section, "key_file", &tls.key_file);
  for (const char* key : {"certificate_file", "key_file"}) {
    if (!section.Has(key)) section.Error(key, "expected both certificate_file and key_file");
  }
  ReadPath(reading, &section, "client_ca_file", &tls.client_ca_file);
  section.Boolean("require_client_certificate", &tls.require_client_certificate);
  if (tls.require_client_certificate && !section.Has("client_ca_file")) {
    section.Error("require_client_certificate", "expected tls.client_ca_file beside it");
  }
  section.RefuseUnknownKeys();
  config->tls = std::move(tls);
}

bool KnowsCallers(const Config& config) { return config.auth.has_value(); }

// The sections without which only this machine may reach a listener; empty when both are there.
std::string MissingProtection(const Config& config) {
  if (!config.tls.has_value()) return KnowsCallers(config) ? "tls" : "tls and auth";
  return KnowsCallers(config) ? "" : "auth";
}

// Who can reach a listener can do what the API token can, so beyond this machine calls are
// encrypted and callers known, unless the operator insists.
void ReadCallerAddress(ConfigSection* section, const Config& config, HostPort* address) {
  if (!section->Address("address", address) || config.insecure || IsLoopback(*address)) return;
  const std::string missing = MissingProtection(config);
  if (missing.empty()) return;
  section->Error("address",
                 absl::StrCat("expected a loopback address, got ", ToString(*address),
                              ": to be reached from elsewhere it needs TLS and the identity of "
                              "callers; missing: ",
                              missing,
                              " (to let anyone who can connect use the API token, set insecure: "
                              "true at the top level)"));
}

void ReadGrpc(const Reading& reading, ConfigSection* root, Config* config) {
  GrpcConfig& grpc = config->grpc;
  ConfigSection section(reading.errors, root->Mapping("grpc"), "grpc");
  ReadCallerAddress(&section, *config, &grpc.address);
  section.Duration("max_connection_age", seconds(10), hours(168), &grpc.max_connection_age);
  section.Duration("max_connection_age_grace", seconds(1), hours(1),
                   &grpc.max_connection_age_grace);
  section.Duration("keepalive_min_ping_interval", seconds(1), hours(1),
                   &grpc.keepalive_min_ping_interval);
  section.RefuseUnknownKeys();
}

// "https://tools.example.com", as browsers send it.
bool IsOrigin(const std::string& text) {
  for (const char* scheme : {"https", "http"}) {
    const std::optional<HttpUrl> url = ParseHttpUrl(text, scheme, 0);
    if (url.has_value()) return url->path.empty() && text.back() != '/';
  }
  return false;
}

void ReadRest(const Reading& reading, ConfigSection* root, Config* config) {
  const ConfigNode* node = root->Mapping("rest");
  if (node == nullptr) return;
  RestConfig rest;
  ConfigSection section(reading.errors, node, "rest");
  ReadCallerAddress(&section, *config, &rest.address);
  section.Integer("max_connections", 1, 1'000'000, &rest.max_connections);
  section.Bytes("max_head_bytes", 1 << 10, 1 << 20, &rest.max_head_bytes);
  section.Duration("idle_timeout", milliseconds(100), hours(1), &rest.idle_timeout);
  section.Duration("head_timeout", milliseconds(100), hours(1), &rest.head_timeout);
  section.Duration("body_timeout", milliseconds(100), hours(1), &rest.body_timeout);
  section.Duration("write_timeout", milliseconds(100), hours(1), &rest.write_timeout);
  std::vector<ConfigText> origins;
  section.TextList("cors_allowed_origins", 100, 256, &origins);
  for (size_t i = 0; i < origins.size(); ++i) {
    if (!IsOrigin(origins[i].text)) {
      reading.errors->Add(origins[i].position, absl::StrCat("rest.cors_allowed_origins[", i, "]"),
                          "expected https://HOST or http://HOST, with a port where it is not the "
                          "usual one, and nothing after it");
    }
    rest.cors_allowed_origins.push_back(std::move(origins[i].text));
  }
  section.RefuseUnknownKeys();
  const auto clash = [&rest](const HostPort& other) {
    return other.port != 0 && other == rest.address;
  };
  if (clash(config->admin) || clash(config->grpc.address)) {
    section.Error("address", "expected another address than grpc.address and admin.address");
  }
  config->rest = std::move(rest);
}

void ReadAdmin(const Reading& reading, ConfigSection* root, Config* config) {
  ConfigSection admin(reading.errors, root->Mapping("admin"), "admin");
  admin.Address("address", &config->admin);
  admin.RefuseUnknownKeys();
  if (config->admin.port != 0 && config->grpc.address == config->admin) {
    admin.Error("address", "expected another address than grpc.address");
  }
}

void ReadUpstream(const Reading& reading, ConfigSection* root, Config* config) {
  UpstreamConfig& upstream = config->upstream;
  ConfigSection section(reading.errors, root->Mapping("upstream"), "upstream");
  section.Number("requests_per_second", 0.01, 1'000'000, &upstream.requests_per_second);
  section.Integer("burst", 1, 1'000'000, &upstream.burst);
  section.Integer("max_in_flight", 1, 10'000, &upstream.max_in_flight);
  section.Duration("max_wait", milliseconds(0), minutes(10), &upstream.max_wait);
  section.Duration("connect_timeout", milliseconds(100), seconds(60), &upstream.connect_timeout);
  std::string proxy;
  if (section.Text("proxy", 512, &proxy)) {
    const std::optional<HttpUrl> url = ParseHttpUrl(proxy, "http", 0);
    if (url.has_value() && url->address.port != 0 && url->path.empty()) {
      upstream.proxy = url->address;
    } else {
      section.Error("proxy",
                    "expected http://HOST:PORT (credentials belong into proxy_authorization_file)");
    }
  }
  ReadPath(reading, &section, "proxy_authorization_file", &upstream.proxy_authorization_file);
  if (section.Has("proxy_authorization_file") && !section.Has("proxy")) {
    section.Error("proxy_authorization_file", "expected upstream.proxy beside it");
  }
  section.RefuseUnknownKeys();
}

// A project is `name`, or `organization/name` where it is not the default organization's.
void AddProject(const Reading& reading, const ConfigText& entry, const std::string& path,
                const Config& config, MetricsConfig* metrics) {
  const size_t slash = entry.text.find('/');
  MetricsProject project;
  project.name = slash == std::string::npos ? entry.text : entry.text.substr(slash + 1);
  if (slash != std::string::npos) {
    project.organization = entry.text.substr(0, slash);
  } else if (!config.organizations.empty()) {
    project.organization = config.organizations.front().name;
  }
  const bool known =
      slash == std::string::npos ||
      std::any_of(config.organizations.begin(), config.organizations.end(),
                  [&](const OrganizationConfig& o) { return o.name == project.organization; });
  if (!IsPathName(project.name)) {
    reading.errors->Add(entry.position, path,
                        "expected a project's name of 1 to 128 of A-Z, a-z, 0-9, '.', '_', '~' and "
                        "'-', or ORGANIZATION/NAME");
  } else if (!known) {
    reading.errors->Add(entry.position, path,
                        "expected the name of a configured organization before the '/'");
  }
  metrics->projects.push_back(std::move(project));
}

void ReadMetrics(const Reading& reading, ConfigSection* root, Config* config) {
  const ConfigNode* node = root->Mapping("metrics");
  if (node == nullptr) return;
  MetricsConfig metrics;
  ConfigSection section(reading.errors, node, "metrics");
  std::vector<ConfigText> projects;
  section.TextList("projects", 10'000, 256, &projects);
  for (size_t i = 0; i < projects.size(); ++i) {
    AddProject(reading, projects[i], absl::StrCat("metrics.projects[", i, "]"), *config, &metrics);
  }
  section.Boolean("discover", &metrics.discover);
  std::vector<ConfigText> refs;
  if (section.TextList("refs", 100, 256, &refs)) {
    if (section.Has("refs")) metrics.refs.clear();
    for (size_t i = 0; i < refs.size(); ++i) {
      const absl::Status valid = RefRules::Create({refs[i].text}).status();
      if (!valid.ok()) {
        reading.errors->Add(refs[i].position, absl::StrCat("metrics.refs[", i, "]"),
                            std::string(valid.message()));
      }
      metrics.refs.push_back(std::move(refs[i].text));
    }
  }
  section.Word("level", {"project", "pipeline", "block", "job"}, &metrics.level);
  section.Duration("poll_interval", seconds(1), hours(24), &metrics.poll_interval);
  ReadPath(reading, &section, "state_dir", &metrics.state_dir);
  section.Integer("max_series", 100, 100'000, &metrics.max_series);
  section.Duration("backfill", milliseconds(0), hours(24 * 90), &metrics.backfill);
  if (metrics.discover == section.Has("projects")) {
    section.Error("projects", "expected either a list of projects or discover: true");
  }
  section.RefuseUnknownKeys();
  config->metrics = std::move(metrics);
}

void ReadCallers(const Reading& reading, ConfigSection* root, Config* config) {
  // More than that from one caller could not be served whatever the others do.
  constexpr double kTimesBudget = 10;
  config->callers.requests_per_second =
      std::min(kTimesBudget * config->upstream.requests_per_second, 1e6);
  config->callers.burst =
      std::min<int64_t>(static_cast<int64_t>(kTimesBudget) * config->upstream.burst, 1'000'000);
  ConfigSection section(reading.errors, root->Mapping("callers"), "callers");
  section.Number("requests_per_second", 0, 1'000'000, &config->callers.requests_per_second);
  section.Integer("burst", 1, 1'000'000, &config->callers.burst);
  section.RefuseUnknownKeys();
}

// A section without its file must not leave the door open.
void ReadAuth(const Reading& reading, ConfigSection* root, Config* config) {
  const ConfigNode* node = root->Mapping("auth");
  if (node == nullptr) {
    if (root->IsNull("auth")) {
      root->Error("auth", "expected callers_file in it (without the section everybody may call)");
    }
    return;
  }
  AuthConfig auth;
  ConfigSection section(reading.errors, node, "auth");
  if (!section.Has("callers_file")) {
    section.Error("callers_file", "expected the path of the callers file");
  }
  ReadPath(reading, &section, "callers_file", &auth.callers_file);
  section.RefuseUnknownKeys();
  config->auth = std::move(auth);
}

void ReadLimits(const Reading& reading, ConfigSection* root, Config* config) {
  LimitsConfig& limits = config->limits;
  ConfigSection section(reading.errors, root->Mapping("limits"), "limits");
  section.Duration("default_deadline", milliseconds(100), hours(1), &limits.default_deadline);
  section.Duration("max_deadline", milliseconds(100), hours(1), &limits.max_deadline);
  if (limits.default_deadline > limits.max_deadline) {
    section.Error(
        section.Has("default_deadline") ? "default_deadline" : "max_deadline",
        absl::StrCat("expected default_deadline, now ", FormatDuration(limits.default_deadline),
                     ", not to be longer than max_deadline, now ",
                     FormatDuration(limits.max_deadline)));
  }
  section.Integer("max_concurrent_calls", 1, 1'000'000, &limits.max_concurrent_calls);
  section.Bytes("max_message_bytes", 64 << 10, 64 << 20, &limits.max_message_bytes);
  section.Bytes("max_queued_bytes", 1 << 20, int64_t{64} << 30, &limits.max_queued_bytes);
  section.RefuseUnknownKeys();
}

void ReadCache(const Reading& reading, ConfigSection* root, Config* config) {
  ConfigSection cache(reading.errors, root->Mapping("cache"), "cache");
  cache.Bytes("max_bytes", 0, int64_t{1} << 40, &config->cache_max_bytes);
  ConfigSection section(reading.errors, cache.Mapping("lifetimes"), "cache.lifetimes");
  const auto read = [&section](std::string_view key, milliseconds max, absl::Duration* out) {
    milliseconds lifetime;
    if (section.Duration(key, milliseconds(0), max, &lifetime)) *out = absl::FromChrono(lifetime);
  };
  Lifetimes& lifetimes = config->cache_lifetimes;
  read("terminal", hours(720), &lifetimes.terminal);
  read("unsettled", hours(1), &lifetimes.unsettled);
  read("live", hours(1), &lifetimes.live);
  read("list", hours(1), &lifetimes.list);
  read("setting", hours(24), &lifetimes.setting);
  read("not_found", minutes(5), &lifetimes.not_found);
  read("stale_while_revalidate", hours(1), &lifetimes.stale_while_revalidate);
  read("stale_if_error", hours(168), &lifetimes.stale_if_error);
  section.RefuseUnknownKeys();
  cache.RefuseUnknownKeys();
}

void ReadSmallSections(const Reading& reading, ConfigSection* root, Config* config) {
  ConfigSection shutdown(reading.errors, root->Mapping("shutdown"), "shutdown");
  shutdown.Duration("grace", seconds(0), minutes(10), &config->shutdown_grace);
  shutdown.RefuseUnknownKeys();
  ConfigSection log(reading.errors, root->Mapping("log"), "log");
  log.Word("level", {"debug", "info", "warning", "error"}, &config->log.level);
  log.Duration("slow_call", milliseconds(1), hours(1), &config->log.slow_call);
  log.Integer("sampled_calls_per_second", 0, 1'000'000, &config->log.sampled_calls_per_second);
  log.RefuseUnknownKeys();
}

void WarnOfOpenAddresses(const ConfigErrors& errors, const ConfigSection& root, Config* config) {
  const std::string missing = MissingProtection(*config);
  if (!config->insecure || missing.empty()) return;
  const auto warn = [&](const char* key, const HostPort& address) {
    if (IsLoopback(address)) return;
    config->warnings.push_back(errors.Line(
        root.PositionOf("insecure"), "insecure",
        absl::StrCat(key, " ", ToString(address), " is open without ", missing,
                     ": whoever can connect can do with Semaphore what the API token can")));
  };
  warn("grpc.address", config->grpc.address);
  if (config->rest.has_value()) warn("rest.address", config->rest->address);
}

}  // namespace

std::string ToString(const HostPort& address) {
  const bool bracketed = address.host.find(':') != std::string::npos;
  return absl::StrCat(bracketed ? "[" : "", address.host, bracketed ? "]:" : ":", address.port);
}

bool IsLoopback(const HostPort& address) {
  return address.host == "localhost" || address.host == "::1" || address.host.rfind("127.", 0) == 0;
}

absl::StatusOr<Config> ParseConfig(const std::string& text, const std::string& file,
                                   const EnvironmentLookup& environment) {
  absl::StatusOr<ConfigNode> document = ParseConfigDocument(text, file);
  if (!document.ok()) return document.status();
  ConfigErrors errors(file);
  const Reading reading{&errors, file, environment};
  const ConfigNode* node = &*document;
  if (node->kind == ConfigNode::Kind::kNull) {
    node = nullptr;
  } else if (node->kind != ConfigNode::Kind::kMapping) {
    errors.Add(node->position, "", "expected a mapping with organizations and other sections");
    return errors.status();
  }
  Config config;
  ConfigSection root(&errors, node, "");
  root.Boolean("insecure", &config.insecure);
  ReadOrganizations(reading, &root, &config);
  ReadTls(reading, &root, &config);
  ReadAuth(reading, &root, &config);
  ReadGrpc(reading, &root, &config);
  ReadAdmin(reading, &root, &config);
  ReadRest(reading, &root, &config);
  ReadUpstream(reading, &root, &config);
  ReadMetrics(reading, &root, &config);
  ReadCallers(reading, &root, &config);
  ReadLimits(reading, &root, &config);
  ReadCache(reading, &root, &config);
  ReadSmallSections(reading, &root, &config);
  root.RefuseUnknownKeys();
  WarnOfOpenAddresses(errors, root, &config);
  if (absl::Status status = errors.status(); !status.ok()) return status;
  return config;
}

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  std::string text;
  if (!path.empty()) {
    absl::StatusOr<std::string> read = ReadConfigFile(path);
    if (!read.ok()) return read.status();
    text = *std::move(read);
  }
  const EnvironmentLookup environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
  absl::StatusOr<Config> config =
      ParseConfig(text, path.empty() ? "environment" : path, environment);
  if (!config.ok()) return config.status();
  UpstreamConfig& upstream = config->upstream;
  if (!upstream.proxy_authorization_file.empty()) {
    absl::StatusOr<std::string> secret =
        ReadSecretFile(upstream.proxy_authorization_file, /*allow_spaces=*/true);
    if (!secret.ok()) return secret.status();
    upstream.proxy_authorization = *std::move(secret);
  }
  return config;
}

}  // namespace semaphore::gateway
