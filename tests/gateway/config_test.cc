#include "gateway/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace semaphore::gateway {
namespace {

using std::chrono::milliseconds;
using Environment = std::map<std::string, std::string>;

const char kOrganization[] = "organizations: [{name: acme, token_file: /t}]\n";
const char kAuth[] = "auth: {callers_file: /callers.yaml}\n";
const char kTls[] = "tls: {certificate_file: /c, key_file: /k}\n";

absl::StatusOr<Config> Parse(const std::string& text, const Environment& environment = {}) {
  return ParseConfig(text, "gateway.yaml",
                     [&environment](const std::string& name) -> std::optional<std::string> {
                       const auto at = environment.find(name);
                       if (at == environment.end()) return std::nullopt;
                       return at->second;
                     });
}

std::string ErrorOf(const std::string& text, const Environment& environment = {}) {
  return std::string(Parse(text, environment).status().message());
}

void ExpectContains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "in: " << text << "\nmissing: " << part;
}

TEST(Config, AnAuthSectionNamesItsFileOrIsRefused) {
  const std::string start = kOrganization;
  const absl::StatusOr<Config> config = Parse(start + "auth: {callers_file: callers.yaml}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->auth.has_value());
  EXPECT_EQ(config->auth->callers_file, "callers.yaml");
  const absl::StatusOr<Config> again = Parse(DescribeConfig(*config));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->auth->callers_file, "callers.yaml");
  EXPECT_FALSE(Parse(start)->auth.has_value());
  for (const char* wrong : {"auth:\n", "auth: {}\n", "auth: {callers_file: }\n", "auth: none\n",
                            "auth: {caller_file: x}\n", "auth: [callers_file]\n"}) {
    SCOPED_TRACE(wrong);
    EXPECT_FALSE(Parse(start + wrong).ok());
  }
}

size_t LinesIn(const std::string& text) {
  return text.empty() ? 0 : 1 + static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(Config, TheExampleOfTheContractIsAccepted) {
  const absl::StatusOr<Config> config = Parse(R"(
organizations:                    # the first is the default
  - name: acme
    base_url: https://acme.semaphoreci.com/api/v1alpha    # this is the default for the name
    token_file: /run/secrets/semaphore-token              # or token_env: NAME
    ca_file: /path/to/ca.pem
grpc:  {address: 127.0.0.1:50051}
rest:  {address: 127.0.0.1:8080}
admin: {address: 127.0.0.1:9464}
upstream:
  requests_per_second: 10
  burst: 20
  max_in_flight: 32
  max_wait: 10s
cache: {max_bytes: 268435456}
metrics:
  projects: [web, acme/api]
  refs: [master, main, "release-.*"]
  level: pipeline
  poll_interval: 30s
  state_dir: /var/lib/semaphore-gateway
)");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->organizations.size(), 1u);
  EXPECT_EQ(config->organizations[0].host, "acme.semaphoreci.com");
  EXPECT_EQ(config->organizations[0].port, 443);
  EXPECT_EQ(config->organizations[0].base_path, "/api/v1alpha");
  EXPECT_EQ(config->organizations[0].token_file, "/run/secrets/semaphore-token");
  EXPECT_EQ(config->organizations[0].ca_file, "/path/to/ca.pem");
  ASSERT_TRUE(config->metrics.has_value());
  ASSERT_EQ(config->metrics->projects.size(), 2u);
  EXPECT_EQ(config->metrics->projects[0].organization, "acme");
  EXPECT_EQ(config->metrics->projects[1].name, "api");
  EXPECT_EQ(config->metrics->refs, (std::vector<std::string>{"master", "main", "release-.*"}));
}

TEST(Config, TheEnvironmentAloneIsEnough) {
  const absl::StatusOr<Config> config =
      Parse("", {{"SEMAPHORE_ORGANIZATION", "acme"}, {"SEMAPHORE_API_TOKEN", "SECRET"}});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->organizations.size(), 1u);
  EXPECT_EQ(config->organizations[0].token, "SECRET");
  EXPECT_EQ(config->organizations[0].host, "acme.semaphoreci.com");
  EXPECT_EQ(config->organizations[0].base_path, "/api/v1alpha");
  EXPECT_EQ(ToString(config->grpc.address), "127.0.0.1:50051");
  EXPECT_EQ(ToString(config->admin), "127.0.0.1:9464");
  EXPECT_TRUE(config->warnings.empty());
}

TEST(Config, TheEnvironmentMayNameAnotherHostForDevelopment) {
  const absl::StatusOr<Config> config =
      Parse("", {{"SEMAPHORE_ORGANIZATION", "acme"},
                 {"SEMAPHORE_API_TOKEN", "SECRET"},
                 {"SEMAPHORE_BASE_URL", "https://127.0.0.1:8443/api/v1alpha"},
                 {"SEMAPHORE_CA_FILE", "ca.pem"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->organizations[0].host, "127.0.0.1");
  EXPECT_EQ(config->organizations[0].port, 8443);
  EXPECT_EQ(config->organizations[0].ca_file, "ca.pem");
}

TEST(Config, AFileWithoutOrganizationsTakesTheOneOfTheEnvironment) {
  const absl::StatusOr<Config> config =
      Parse("upstream: {burst: 7}",
            {{"SEMAPHORE_ORGANIZATION", "acme"}, {"SEMAPHORE_API_TOKEN", "SECRET"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->upstream.burst, 7);
  EXPECT_EQ(config->organizations[0].name, "acme");
}

TEST(Config, AnEmptyFileAndAnEmptyEnvironmentSayWhatIsMissing) {
  for (const char* text : {"", "\n", "# nothing\n", "---\n", "organizations:\n"}) {
    SCOPED_TRACE(text);
    ExpectContains(ErrorOf(text),
                   "gateway.yaml: organizations: expected at least one organization");
  }
}

TEST(Config, EveryMistakeInTheEnvironmentIsToldWithoutTheToken) {
  const std::string error = ErrorOf("", {{"SEMAPHORE_ORGANIZATION", "ac me"},
                                         {"SEMAPHORE_API_TOKEN", "SECRET token"},
                                         {"SEMAPHORE_BASE_URL", "http://u:SECRET@x"}});
  ExpectContains(error, "SEMAPHORE_ORGANIZATION");
  ExpectContains(error, "SEMAPHORE_API_TOKEN: byte 7");
  EXPECT_EQ(error.find("SECRET"), std::string::npos) << error;
  ExpectContains(ErrorOf("", {{"SEMAPHORE_ORGANIZATION", "acme"}}), "SEMAPHORE_API_TOKEN");
  ExpectContains(ErrorOf("", {{"SEMAPHORE_ORGANIZATION", "acme"},
                              {"SEMAPHORE_API_TOKEN", "x"},
                              {"SEMAPHORE_BASE_URL", "http://x"}}),
                 "SEMAPHORE_BASE_URL: expected https://");
}

TEST(Config, AllErrorsAreToldTogetherEachOnItsLine) {
  const std::string error = ErrorOf(R"(organizations:
  - name: acme
    token_file: /t
upstream:
  burst: many
  max_wiat: 10s
log: {level: loud}
)");
  EXPECT_EQ(error,
            "gateway.yaml:5:10: upstream.burst: expected an integer from 1 to 1000000, got "
            "\"many\"\n"
            "gateway.yaml:6:3: upstream.max_wiat: unknown key; did you mean max_wait?\n"
            "gateway.yaml:7:14: log.level: expected debug | info | warning | error, got \"loud\"");
}

TEST(Config, TheNumberOfErrorsToldIsBounded) {
  std::string text = kOrganization;
  for (int i = 0; i < 500; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const std::string error = ErrorOf(text);
  EXPECT_EQ(LinesIn(error), 51u);
  ExpectContains(error, "gateway.yaml: and 450 more");
}

TEST(Config, AKeyGivenTwiceIsRefused) {
  ExpectContains(ErrorOf(std::string(kOrganization) + "log:\n  level: info\n  level: debug\n"),
                 "gateway.yaml:4:3: log.level: given twice, first on line 3");
  ExpectContains(ErrorOf(std::string(kOrganization) + "log: {}\nlog: {}\n"),
                 "gateway.yaml:3:1: log: given twice, first on line 2");
}

TEST(Config, AnUnknownKeyFarFromAllNamesTheKnownOnes) {
  ExpectContains(ErrorOf(std::string(kOrganization) + "cache: {color: red}\n"),
                 "cache.color: unknown key; expected one of max_bytes, lifetimes");
  ExpectContains(ErrorOf(std::string(kOrganization) + "upsteam: {}\n"), "did you mean upstream?");
}

TEST(Config, TokensAreNeverInAnError) {
  const char* const texts[] = {
      "organizations: [{name: acme, token_env: SECRET-token}]",
      "organizations: [{name: acme, token_env: SECRETtoken}]",
      "organizations: [{name: acme, token_env: VARIABLE}]",
      "organizations: [SECRET]",
      "organizations: [{name: acme, token_file: [SECRET]}]",
      "organizations: [{name: acme, token_file: \"SECRET\\n\"}]",
      "organizations: [{name: acme, token: SECRET}]",
      "organizations: SECRET",
      "organizations: [{name: acme, token_file: /t, base_url: 'https://u:SECRET@h'}]",
      "organizations: [{name: acme, token_file: /t}]\nupstream: {proxy: 'http://u:SECRET@h:1'}",
      "SECRET"};
  for (const char* text : texts) {
    SCOPED_TRACE(text);
    const std::string error = ErrorOf(text, {{"VARIABLE", "SECRET value"}});
    EXPECT_FALSE(error.empty());
    EXPECT_EQ(error.find("SECRET"), std::string::npos) << error;
  }
}

TEST(Config, TheTokenOfAVariableIsTaken) {
  const absl::StatusOr<Config> config =
      Parse("organizations: [{name: acme, token_env: MY_TOKEN}]", {{"MY_TOKEN", "SECRET"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->organizations[0].token_env, "MY_TOKEN");
  EXPECT_EQ(config->organizations[0].token, "SECRET");
}

TEST(Config, OrganizationsHaveDifferentNames) {
  ExpectContains(
      ErrorOf("organizations:\n- {name: a, token_file: /t}\n- {name: a, token_file: /t}\n"),
      "gateway.yaml:3:3: organizations[1].name: the organization a is listed twice");
}

TEST(Config, RelativePathsStartFromTheFolderOfTheFile) {
  const absl::StatusOr<Config> config =
      ParseConfig("organizations: [{name: a, token_file: secrets/t, ca_file: /abs/ca.pem}]",
                  "/etc/gateway/gateway.yaml", [](const std::string&) { return std::nullopt; });
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->organizations[0].token_file, "/etc/gateway/secrets/t");
  EXPECT_EQ(config->organizations[0].ca_file, "/abs/ca.pem");
}

TEST(Config, CallersFromElsewhereNeedInsecure) {
  for (const char* section : {"grpc", "rest"}) {
    SCOPED_TRACE(section);
    const std::string text =
        std::string(kOrganization) + section + ": {address: '0.0.0.0:50052'}\n";
    ExpectContains(ErrorOf(text), "missing: tls and auth");
    ExpectContains(ErrorOf(text), "insecure: true");
    EXPECT_TRUE(Parse(text + "insecure: true\n").ok());
    EXPECT_FALSE(Parse(text + "insecure: false\n").ok());
  }
}

TEST(Config, TlsWithoutIdentityOpensNoDoor) {
  const std::string text = std::string(kOrganization) + kTls + "grpc: {address: '0.0.0.0:1'}\n";
  ExpectContains(ErrorOf(text), "missing: auth");
  EXPECT_TRUE(Parse(text + "insecure: true\n").ok());
}

TEST(Config, IdentityWithoutTlsOpensNoDoor) {
  const std::string text = std::string(kOrganization) + kAuth + "grpc: {address: '0.0.0.0:1'}\n";
  ExpectContains(ErrorOf(text), "missing: tls");
}

TEST(Config, TlsAndIdentityOpenTheDoor) {
  const std::string text = std::string(kOrganization) + kTls + kAuth;
  for (const char* section : {"grpc", "rest"}) {
    EXPECT_TRUE(Parse(text + section + ": {address: '0.0.0.0:50052'}\n").ok()) << section;
  }
  const absl::StatusOr<Config> both =
      Parse(text + "insecure: true\ngrpc: {address: '0.0.0.0:1'}\n");
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_TRUE(both->warnings.empty());
}

TEST(Config, InsecureSaysWhatItLeavesOpen) {
  const std::string text = std::string(kOrganization) + "insecure: true\n";
  EXPECT_TRUE(Parse(text)->warnings.empty());
  const absl::StatusOr<Config> open = Parse(text + "grpc: {address: '0.0.0.0:1'}\n");
  ASSERT_TRUE(open.ok()) << open.status();
  ASSERT_EQ(open->warnings.size(), 1u);
  ExpectContains(open->warnings[0],
                 "insecure: grpc.address 0.0.0.0:1 is open without tls and auth");
  const absl::StatusOr<Config> encrypted = Parse(text + kTls + "grpc: {address: '0.0.0.0:1'}\n");
  ASSERT_TRUE(encrypted.ok()) << encrypted.status();
  ASSERT_EQ(encrypted->warnings.size(), 1u);
  ExpectContains(encrypted->warnings[0], "open without auth:");
}

TEST(Config, TlsNeedsBothFilesOfThePair) {
  const std::string start = std::string(kOrganization) + "tls: ";
  ExpectContains(ErrorOf(start + "{certificate_file: /c}\n"),
                 "tls.key_file: expected both certificate_file and key_file");
  ExpectContains(ErrorOf(start + "{key_file: /k}\n"),
                 "tls.certificate_file: expected both certificate_file and key_file");
  ExpectContains(
      ErrorOf(start + "{certificate_file: /c, key_file: /k, require_client_certificate: true}\n"),
      "tls.require_client_certificate: expected tls.client_ca_file beside it");
  EXPECT_FALSE(Parse(std::string(kOrganization) + "tls: {}\n").ok());
  EXPECT_FALSE(Parse(std::string(kOrganization) + "tls:\n")->tls.has_value());
}

TEST(Config, TheAdminPortMayBeOpen) {
  EXPECT_TRUE(Parse(std::string(kOrganization) + "admin: {address: '[::]:9464'}\n").ok());
}

TEST(Config, LoopbackIsWhatOnlyThisMachineReaches) {
  for (const char* host : {"127.0.0.1", "127.8.8.8", "::1", "localhost"}) {
    EXPECT_TRUE(IsLoopback({host, 1})) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1", "1.127.0.0"}) {
    EXPECT_FALSE(IsLoopback({host, 1})) << host;
  }
}

TEST(Config, TwoListenersDoNotShareAnAddress) {
  ExpectContains(ErrorOf(std::string(kOrganization) + "grpc: {address: '127.0.0.1:9464'}\n"),
                 "admin.address: expected another address");
  ExpectContains(ErrorOf(std::string(kOrganization) + "rest: {address: '127.0.0.1:9464'}\n"),
                 "rest.address: expected another address");
  EXPECT_TRUE(Parse(std::string(kOrganization) +
                    "grpc: {address: '127.0.0.1:0'}\nadmin: {address: '127.0.0.1:0'}\n")
                  .ok());
  EXPECT_TRUE(Parse(std::string(kOrganization) + "grpc: {address: '127.0.0.1:8080'}\n").ok())
      << "rest is not served unless asked for";
}

TEST(Config, TheDescriptionReadsBackAsTheSameAndHoldsNoSecret) {
  const Environment environment = {{"MY_TOKEN", "SECRET"}};
  const absl::StatusOr<Config> config = Parse(R"(
organizations:
  - {name: acme, base_url: "https://[::1]:8443/x/", token_env: MY_TOKEN, ca_file: '/a "b"/ca.pem'}
  - {name: "null", token_file: /t}
grpc: {address: "[::1]:0", max_connection_age: 1m30s}
upstream:
  requests_per_second: 0.05
  max_wait: 0s
  proxy: "http://proxy:3128"
  proxy_authorization_file: /p
metrics: {projects: [web, "null/api"], refs: [], poll_interval: 1500ms}
limits: {max_message_bytes: 8MiB}
cache: {max_bytes: 1GiB, lifetimes: {terminal: 36h, live: 1500ms, not_found: 0s}}
)",
                                              environment);
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string description = DescribeConfig(*config);
  EXPECT_EQ(description.find("SECRET"), std::string::npos);
  const absl::StatusOr<Config> again = Parse(description, environment);
  ASSERT_TRUE(again.ok()) << again.status() << "\n" << description;
  EXPECT_EQ(DescribeConfig(*again), description);
  ExpectContains(description, "max_message_bytes: 8388608");
  ExpectContains(description, "requests_per_second: 0.05");
  ExpectContains(description, "    not_found: 0s");
  EXPECT_EQ(again->cache_lifetimes.terminal, absl::Hours(36));
  EXPECT_EQ(again->cache_lifetimes.live, absl::Milliseconds(1500));
}

TEST(Config, TlsIsDescribedAsItIsRead) {
  const std::string text = std::string(kOrganization) +
                           "tls: {certificate_file: c.pem, key_file: /k, client_ca_file: /a, "
                           "require_client_certificate: true}\n";
  const absl::StatusOr<Config> config =
      ParseConfig(text, "/etc/gateway.yaml", [](const std::string&) { return std::nullopt; });
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->tls.has_value());
  EXPECT_EQ(config->tls->certificate_file, "/etc/c.pem");
  const absl::StatusOr<Config> again = Parse(DescribeConfig(*config));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(DescribeConfig(*again), DescribeConfig(*config));
  EXPECT_TRUE(again->tls->require_client_certificate);
  EXPECT_EQ(again->tls->client_ca_file, "/a");
}

TEST(Config, LifetimesLeftOutKeepTheirDefaults) {
  for (const char* cache : {"", "cache:\n", "cache: {lifetimes: }\n", "cache: {lifetimes: {}}\n",
                            "cache: {lifetimes: {live: 3s}}\n"}) {
    SCOPED_TRACE(cache);
    const absl::StatusOr<Config> config = Parse(std::string(kOrganization) + cache);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(config->warnings.empty());
    EXPECT_EQ(config->cache_max_bytes, 256 << 20);
    EXPECT_EQ(config->cache_lifetimes.terminal, absl::Hours(24));
    EXPECT_EQ(config->cache_lifetimes.live, absl::Seconds(3));
    EXPECT_EQ(config->cache_lifetimes.stale_if_error, absl::Hours(24));
  }
}

class ConfigFileTest : public testing::Test {
 protected:
  ConfigFileTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("config-" + std::to_string(getpid()) + "-" +
                 testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
  }
  ~ConfigFileTest() override { std::filesystem::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::string LoadError(const std::string& path) {
    return std::string(LoadConfig(path).status().message());
  }
  const std::filesystem::path folder_;
};

TEST_F(ConfigFileTest, AFileIsReadAndNamedInErrors) {
  EXPECT_TRUE(LoadConfig(Write("good.yaml", kOrganization)).ok());
  const std::string bad = Write("bad.yaml", "log: 1\n");
  ExpectContains(LoadError(bad), bad + ":1:6: log: expected a mapping");
}

TEST_F(ConfigFileTest, WhatCannotBeReadIsAnErrorAndNotAWait) {
  ExpectContains(LoadError((folder_ / "absent.yaml").string()), "No such file");
  ExpectContains(LoadError(folder_.string()), "not a regular file");
  const std::string fifo = (folder_ / "fifo").string();
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ExpectContains(LoadError(fifo), "not a regular file");
  ExpectContains(LoadError(Write("huge.yaml", std::string(10 << 20, '#'))),
                 "longer than 1048576 bytes");
}

TEST_F(ConfigFileTest, TheProxyAuthorizationIsReadFromItsFile) {
  Write("proxy", "Basic SECRET\n");
  const std::string path =
      Write("gateway.yaml", std::string(kOrganization) +
                                "upstream: {proxy: 'http://p:1', proxy_authorization_file: proxy}");
  const absl::StatusOr<Config> config = LoadConfig(path);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->upstream.proxy_authorization, "Basic SECRET");
  EXPECT_EQ(DescribeConfig(*config).find("SECRET"), std::string::npos);
  Write("proxy", "SECRET\nmore");
  EXPECT_EQ(LoadError(path).find("SECRET"), std::string::npos);
  ExpectContains(LoadError(path), "byte 7");
}

TEST_F(ConfigFileTest, WithoutAFileTheEnvironmentOfTheProcessCounts) {
  setenv("SEMAPHORE_ORGANIZATION", "from-environment", 1);
  setenv("SEMAPHORE_API_TOKEN", "token", 1);
  const absl::StatusOr<Config> config = LoadConfig("");
  unsetenv("SEMAPHORE_ORGANIZATION");
  unsetenv("SEMAPHORE_API_TOKEN");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->organizations[0].name, "from-environment");
  ExpectContains(LoadError(""), "environment: organizations: expected at least one");
}

}  // namespace
}  // namespace semaphore::gateway
