// Every key with a good and several bad values, and texts that are no configuration at all.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gateway/config.h"
#include "gateway/config_document.h"
#include "gateway/config_url.h"

namespace semaphore::gateway {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

absl::StatusOr<Config> Parse(const std::string& text) {
  return ParseConfig(text, "gateway.yaml",
                     [](const std::string&) -> std::optional<std::string> { return std::nullopt; });
}

// A key path of one to three parts and its value as a whole file.
std::string FileWith(const std::string& path, const std::string& value) {
  std::string text = "organizations: [{name: acme, token_file: /t}]\n";
  // The same section needs these to be whole.
  std::string companion;
  if (path.rfind("metrics.", 0) == 0 && path != "metrics.projects" && path != "metrics.discover") {
    companion = "  discover: true\n";
  }
  if (path.rfind("tls.", 0) == 0) {
    for (const char* key : {"certificate_file", "key_file", "client_ca_file"}) {
      if (path != std::string("tls.") + key) companion += std::string("  ") + key + ": /f\n";
    }
  }
  if (path == "upstream.proxy_authorization_file") companion = "  proxy: http://p:1\n";
  const size_t dot = path.find('.');
  if (dot == std::string::npos) return text + path + ": " + value + "\n";
  std::string key = path.substr(dot + 1);
  std::string indentation = "  ";
  if (const size_t second = key.find('.'); second != std::string::npos) {
    companion += "  " + key.substr(0, second) + ":\n";
    key = key.substr(second + 1);
    indentation = "    ";
  }
  return text + path.substr(0, dot) + ":\n" + companion + indentation + key + ": " + value + "\n";
}

struct KeyRow {
  const char* path;
  const char* good;
  std::function<bool(const Config&)> took;
  std::vector<const char*> bad;
};

std::vector<KeyRow> ListenerAndUpstreamRows() {
  const std::vector<const char*> bad_address = {
      "50051",      ":1",    "127.0.0.1", "host:1", "'::1:5'", "'[::1]'",        "1.2.3.4:65536",
      "1.2.3.4:-1", "'*:1'", "1.2.3.4:x", "[1, 2]", "~",       "'[127.0.0.1]:1'"};
  const std::vector<const char*> bad_path = {"''", "[]", "~", "{}"};
  return {
      {"insecure",
       "true",
       [](const Config& c) { return c.insecure; },
       {"yes", "1", "'true'", "[]", "True", "~"}},
      {"grpc.address", "'[::1]:7'",
       [](const Config& c) { return c.grpc.address == HostPort{"::1", 7}; }, bad_address},
      {"grpc.max_connection_age",
       "1h",
       [](const Config& c) { return c.grpc.max_connection_age == hours(1); },
       {"30", "1s", "8000h", "-1h", "soon", "inf", "[]", "~", "''"}},
      {"grpc.max_connection_age_grace",
       "5s",
       [](const Config& c) { return c.grpc.max_connection_age_grace == seconds(5); },
       {"0s", "2h", "5"}},
      {"grpc.keepalive_min_ping_interval",
       "10s",
       [](const Config& c) { return c.grpc.keepalive_min_ping_interval == seconds(10); },
       {"1ms", "2h", "ten"}},
      {"rest.address", "localhost:0",
       [](const Config& c) { return c.rest->address == HostPort{"localhost", 0}; }, bad_address},
      {"rest.max_connections",
       "7",
       [](const Config& c) { return c.rest->max_connections == 7; },
       {"0", "1000001", "-1", "many"}},
      {"rest.max_head_bytes",
       "8KiB",
       [](const Config& c) { return c.rest->max_head_bytes == 8192; },
       {"1000", "2MiB", "-1", "big"}},
      {"rest.idle_timeout",
       "5s",
       [](const Config& c) { return c.rest->idle_timeout == seconds(5); },
       {"1ms", "2h", "5"}},
      {"rest.head_timeout",
       "5s",
       [](const Config& c) { return c.rest->head_timeout == seconds(5); },
       {"1ms", "2h", "5"}},
      {"rest.body_timeout",
       "5s",
       [](const Config& c) { return c.rest->body_timeout == seconds(5); },
       {"1ms", "2h", "5"}},
      {"rest.write_timeout",
       "5s",
       [](const Config& c) { return c.rest->write_timeout == seconds(5); },
       {"1ms", "2h", "5"}},
      {"rest.cors_allowed_origins",
       "[\"https://a.example\", \"http://localhost:3000\"]",
       [](const Config& c) { return c.rest->cors_allowed_origins.size() == 2; },
       {"[\"*\"]", "[\"https://a.example/\"]", "[\"https://a.example/b\"]", "[\"a.example\"]",
        "[\"ftp://a.example\"]", "https://a.example"}},
      {"admin.address", "0.0.0.0:65535",
       [](const Config& c) { return c.admin == HostPort{"0.0.0.0", 65535}; }, bad_address},
      {"tls.certificate_file", "/c",
       [](const Config& c) { return c.tls->certificate_file == "/c"; }, bad_path},
      {"tls.key_file", "/k", [](const Config& c) { return c.tls->key_file == "/k"; }, bad_path},
      {"tls.client_ca_file", "/a", [](const Config& c) { return c.tls->client_ca_file == "/a"; },
       bad_path},
      {"tls.require_client_certificate",
       "true",
       [](const Config& c) { return c.tls->require_client_certificate; },
       {"yes", "1", "[]", "~"}},
      {"upstream.requests_per_second",
       "0.01",
       [](const Config& c) { return c.upstream.requests_per_second == 0.01; },
       {"0", "0.009", "1000001", "-1", ".nan", "nan", ".inf", "'10'", "0x10", "1e99", "ten", "[]"}},
      {"upstream.burst",
       "1000000",
       [](const Config& c) { return c.upstream.burst == 1'000'000; },
       {"0", "1000001", "1.5", "'20'", "many", "0x10", "1_000", "99999999999999999999", "{}", "~"}},
      {"upstream.max_in_flight",
       "1",
       [](const Config& c) { return c.upstream.max_in_flight == 1; },
       {"0", "10001", "-1"}},
      {"upstream.max_wait",
       "0s",
       [](const Config& c) { return c.upstream.max_wait == milliseconds(0); },
       {"11m", "10", "10 s", "0.5ms", "1us"}},
      {"upstream.connect_timeout",
       "100ms",
       [](const Config& c) { return c.upstream.connect_timeout == milliseconds(100); },
       {"99ms", "61s"}},
      {"upstream.proxy",
       "http://Proxy.local:3128",
       [](const Config& c) { return c.upstream.proxy == HostPort{"proxy.local", 3128}; },
       {"proxy:3128", "https://p:1", "http://p", "http://p:0", "http://p:1/path", "http://u:p@h:1",
        "[]", "http://"}},
      {"upstream.proxy_authorization_file",
       "/p",
       [](const Config& c) { return c.upstream.proxy_authorization_file == "/p"; },
       {"[]", "~", "''"}},
  };
}

KeyRow LifetimeRow(const char* path, absl::Duration Lifetimes::* lifetime, const char* too_long) {
  return {path,
          "1m30s",
          [lifetime](const Config& c) { return c.cache_lifetimes.*lifetime == absl::Seconds(90); },
          {too_long, "-1s", "30", "0.5ms", "soon", "inf", "[]", "~", "''"}};
}

std::vector<KeyRow> CacheRows() {
  return {
      {"cache.max_bytes",
       "1MiB",
       [](const Config& c) { return c.cache_max_bytes == 1 << 20; },
       {"-1", "1.5MiB", "1MB", "lots", "9999999999999", "9999999999999GiB", "[]"}},
      {"cache.lifetimes",
       "{live: 0s}",
       [](const Config& c) { return c.cache_lifetimes.live == absl::ZeroDuration(); },
       {"3s", "[]", "live"}},
      LifetimeRow("cache.lifetimes.terminal", &Lifetimes::terminal, "721h"),
      LifetimeRow("cache.lifetimes.unsettled", &Lifetimes::unsettled, "61m"),
      LifetimeRow("cache.lifetimes.live", &Lifetimes::live, "61m"),
      LifetimeRow("cache.lifetimes.list", &Lifetimes::list, "61m"),
      LifetimeRow("cache.lifetimes.setting", &Lifetimes::setting, "25h"),
      LifetimeRow("cache.lifetimes.not_found", &Lifetimes::not_found, "6m"),
      LifetimeRow("cache.lifetimes.stale_while_revalidate", &Lifetimes::stale_while_revalidate,
                  "61m"),
      LifetimeRow("cache.lifetimes.stale_if_error", &Lifetimes::stale_if_error, "169h"),
  };
}

std::vector<KeyRow> OtherRows() {
  return {
      {"metrics.projects",
       "[web, acme/api]",
       [](const Config& c) { return c.metrics->projects.size() == 2; },
       {"web", "[other/api]", "['a b']", "[a/b/c]", "[[]]", "[~]", "{a: b}", "['..']"}},
      {"metrics.discover",
       "true",
       [](const Config& c) { return c.metrics->discover; },
       {"maybe", "1"}},
      {"metrics.refs",
       "['release-.*']",
       [](const Config& c) { return c.metrics->refs == std::vector<std::string>{"release-.*"}; },
       {"main", "[{}]", "['']"}},
      {"metrics.level",
       "job",
       [](const Config& c) { return c.metrics->level == "job"; },
       {"jobs", "1", "[job]", "JOB"}},
      {"metrics.poll_interval",
       "1s",
       [](const Config& c) { return c.metrics->poll_interval == seconds(1); },
       {"999ms", "25h", "30"}},
      {"metrics.backfill",
       "48h",
       [](const Config& c) { return c.metrics->backfill == hours(48); },
       {"2161h", "48", "-1h"}},
      {"metrics.max_series",
       "5000",
       [](const Config& c) { return c.metrics->max_series == 5000; },
       {"99", "100001", "many"}},
      {"metrics.state_dir",
       "/s",
       [](const Config& c) { return c.metrics->state_dir == "/s"; },
       {"[]", "''", "~"}},
      {"callers.requests_per_second",
       "0.5",
       [](const Config& c) { return c.callers.requests_per_second == 0.5; },
       {"-1", "1000001", "many"}},
      {"callers.burst",
       "7",
       [](const Config& c) { return c.callers.burst == 7; },
       {"0", "1000001", "1.5"}},
      {"limits.max_queued_bytes",
       "1MiB",
       [](const Config& c) { return c.limits.max_queued_bytes == 1 << 20; },
       {"65536", "65GiB", "big"}},
      {"limits.default_deadline",
       "5s",
       [](const Config& c) { return c.limits.default_deadline == seconds(5); },
       {"11m", "1ms", "2h", "60"}},
      {"limits.max_deadline",
       "1h",
       [](const Config& c) { return c.limits.max_deadline == hours(1); },
       {"59s", "61m", "none"}},
      {"limits.max_concurrent_calls",
       "1",
       [](const Config& c) { return c.limits.max_concurrent_calls == 1; },
       {"0", "1000001", "all"}},
      {"limits.max_message_bytes",
       "64KiB",
       [](const Config& c) { return c.limits.max_message_bytes == 65536; },
       {"65535", "65MiB", "big"}},
      {"shutdown.grace",
       "0s",
       [](const Config& c) { return c.shutdown_grace == seconds(0); },
       {"11m", "20"}},
      {"log.level",
       "debug",
       [](const Config& c) { return c.log.level == "debug"; },
       {"trace", "3", "[]"}},
      {"log.slow_call",
       "1m30s",
       [](const Config& c) { return c.log.slow_call == minutes(1) + seconds(30); },
       {"0s", "2h"}},
      {"log.sampled_calls_per_second",
       "0",
       [](const Config& c) { return c.log.sampled_calls_per_second == 0; },
       {"-1", "1000001"}},
  };
}

std::vector<KeyRow> KeyRows() {
  std::vector<KeyRow> rows = ListenerAndUpstreamRows();
  for (KeyRow& row : CacheRows()) rows.push_back(std::move(row));
  for (KeyRow& row : OtherRows()) rows.push_back(std::move(row));
  return rows;
}

TEST(ConfigValues, EachKeyTakesItsGoodValue) {
  for (const KeyRow& row : KeyRows()) {
    SCOPED_TRACE(std::string(row.path) + ": " + row.good);
    const absl::StatusOr<Config> config = Parse(FileWith(row.path, row.good));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(row.took(*config));
  }
}

TEST(ConfigValues, EachKeyRefusesItsBadValuesByPlaceAndPath) {
  for (const KeyRow& row : KeyRows()) {
    for (const char* bad : row.bad) {
      SCOPED_TRACE(std::string(row.path) + ": " + bad);
      const absl::Status status = Parse(FileWith(row.path, bad)).status();
      const std::string message(status.message());
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(message.rfind("gateway.yaml:", 0), 0u) << message;
      EXPECT_NE(message.find(std::string(": ") + row.path), std::string::npos) << message;
      EXPECT_NE(message.find("expected"), std::string::npos) << message;
    }
  }
}

TEST(ConfigValues, EachKeyOfAnOrganizationRefusesItsBadValues) {
  struct Row {
    const char* organization;
    const char* path;
  };
  const Row rows[] = {
      {"{token_file: /t}", "organizations[0].name"},
      {"{name: Acme, token_file: /t}", "organizations[0].name"},
      {"{name: a.b, token_file: /t}", "organizations[0].name"},
      {"{name: -a, token_file: /t}", "organizations[0].name"},
      {"{name: ~, token_file: /t}", "organizations[0].name"},
      {"{name: [a], token_file: /t}", "organizations[0].name"},
      {"{name: a}", "organizations[0].token_file"},
      {"{name: a, token_file: /t, token_env: T}", "organizations[0].token_file"},
      {"{name: a, token_file: ~}", "organizations[0].token_file"},
      {"{name: a, token_env: 1T}", "organizations[0].token_env"},
      {"{name: a, token_env: NOT_SET}", "organizations[0].token_env"},
      {"{name: a, token_file: /t, ca_file: []}", "organizations[0].ca_file"},
      {"{name: a, token_file: /t, base_url: 'http://h'}", "organizations[0].base_url"},
      {"{name: a, token_file: /t, extra: 1}", "organizations[0].extra"},
      {"a", "organizations[0]"},
      {"", "organizations"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.organization);
    const std::string text = std::string("organizations: [") + row.organization + "]\n";
    const std::string message(Parse(text).status().message());
    EXPECT_EQ(message.rfind("gateway.yaml:1:", 0), 0u) << message;
    EXPECT_NE(message.find(std::string(": ") + row.path + ":"), std::string::npos) << message;
  }
}

TEST(ConfigValues, SectionsThatNeedEachOther) {
  EXPECT_FALSE(Parse(FileWith("metrics.level", "job") + "  projects: [web]\n").ok());
  const std::string head = "organizations: [{name: acme, token_file: /t}]\n";
  EXPECT_FALSE(Parse(head + "metrics: {level: job}\n").ok());
  EXPECT_FALSE(Parse(head + "upstream: {proxy_authorization_file: /p}\n").ok());
  EXPECT_TRUE(Parse(head + "upstream:\nmetrics:\nlog:\n").ok()) << "empty sections are absent";
}

TEST(HttpUrl, SplitsGoodTextsAndRefusesTheRest) {
  struct Row {
    const char* text;
    const char* expected;  // host|port|path; empty: refused
  };
  const Row rows[] = {{"https://a.example/api/v1", "a.example|443|/api/v1"},
                      {"https://A.example:8443/", "a.example|8443|"},
                      {"https://a", "a|443|"},
                      {"https://[::1]:1/x/", "::1|1|/x"},
                      {"https://[::1]", "::1|443|"},
                      {"http://a", ""},
                      {"HTTPS://a", ""},
                      {"https://", ""},
                      {"https:///x", ""},
                      {"https://:1", ""},
                      {"https://a:", ""},
                      {"https://a:0", ""},
                      {"https://a:65536", ""},
                      {"https://a:1x", ""},
                      {"https://u@a", ""},
                      {"https://u:p@a/", ""},
                      {"https://a?q", ""},
                      {"https://a/x?q", ""},
                      {"https://a/x#f", ""},
                      {"https://a//x", ""},
                      {"https://a/x//", ""},
                      {"https://a/../x", ""},
                      {"https://a/%2e", ""},
                      {"https://a b", ""},
                      {"https://a/\r\nx", ""},
                      {"https://[::1", ""},
                      {"https://[]", ""},
                      {"https://[::1]x", ""},
                      {"https://-a", ""},
                      {"https://a..b", ""},
                      {"https://\xC3\xBC", ""}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    const std::optional<HttpUrl> url = ParseHttpUrl(row.text, "https", 443);
    const std::string got =
        url.has_value()
            ? url->address.host + "|" + std::to_string(url->address.port) + "|" + url->path
            : "";
    EXPECT_EQ(got, row.expected);
  }
}

TEST(ConfigDocument, TextsThatAreNoConfigurationAreRefusedWithTheirPlace) {
  struct Row {
    const char* what;
    std::string text;
    const char* expected;
  };
  std::string bomb = "a: &a [x, x]\n";
  for (char c = 'b'; c <= 'z'; ++c) {
    const std::string before(1, static_cast<char>(c - 1));
    bomb.append(1, c).append(": &").append(1, c).append(" [*" + before + ", *" + before + "]\n");
  }
  std::string many = "k: [";
  for (int i = 0; i < 200'000; ++i) many += "1,";
  many += "1]";
  const Row rows[] = {
      {"an alias bomb", bomb, "gateway.yaml:1:4: anchors"},
      {"an alias alone", "a: *x\n", "gateway.yaml:1:4: "},
      {"a tag", "a: !!int 5\n", "gateway.yaml:1:4: tags"},
      {"an open list", "a: [1, 2\n", "not YAML"},
      {"an open quote", "a: \"x\n", "not YAML"},
      {"a tab as indentation", "a:\n\tb: 1\n", "gateway.yaml:2:"},
      {"two documents", "a: 1\n---\nb: 2\n", "gateway.yaml:2:1: expected one YAML document"},
      {"a list as a key", "? [a]\n: 1\n", "gateway.yaml:1:3: expected a plain key"},
      {"null as a key", "~: 1\n", "gateway.yaml:1:1: expected a key"},
      {"a NUL", std::string("a: \0", 4), "gateway.yaml:1:4: expected YAML in UTF-8"},
      {"an ELF file",
       "\x7F"
       "ELF\x02\x01",
       "gateway.yaml:1:1: expected YAML in UTF-8"},
      {"UTF-16",
       std::string("\xFF\xFE"
                   "a\0",
                   4),
       "gateway.yaml:1:1: expected YAML in UTF-8"},
      {"Latin-1", "a: 1\nb: \xE9\n", "gateway.yaml:2:4: expected YAML in UTF-8"},
      {"an open quote over lines", "a: \"x\nb: 1\n", "not YAML"},
      {"deep lists", std::string(20, '[') + std::string(20, ']'), "deeper than 16"},
      {"very deep lists", std::string(100'000, '['), "gateway.yaml:1:"},
      {"deep blocks", "- - - - - - - - - - - - - - - - - - - - x", "deeper than 16"},
      {"many values", many, "more than 100000 values"},
      {"a long text", std::string((1 << 20) + 1, ' '), "longer than 1048576 bytes"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const std::string message(ParseConfigDocument(row.text, "gateway.yaml").status().message());
    EXPECT_NE(message.find(row.expected), std::string::npos) << message;
    EXPECT_EQ(message.rfind("gateway.yaml:", 0), 0u) << message;
  }
}

TEST(ConfigDocument, AMegabyteOfOneCharacterIsReadInBoundedTime) {
  for (const char* piece : {"{", "[", "- ", "a: ", "\"", "'", "? ", "|", "&a ", "\n", "#", "%",
                            "--- ", "a:\n", "{a: "}) {
    SCOPED_TRACE(piece);
    std::string text;
    while (text.size() + 4 < kMaxConfigBytes) text += piece;
    ParseConfigDocument(text, "gateway.yaml").status().IgnoreError();
  }
}

TEST(ConfigDocument, GarbageNeverCrashesTheParser) {
  std::mt19937 random(7);
  const std::string alphabet = "ab: -[]{},&*!|>'\"#%@`?\n\n  ~=<0\\\t\r";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const size_t size = random() % 40;
    for (size_t i = 0; i < size; ++i) text += alphabet[random() % alphabet.size()];
    Parse(text).status().IgnoreError();
  }
}

TEST(ConfigDocument, NodesKnowTheirPlace) {
  const absl::StatusOr<ConfigNode> root = ParseConfigDocument("a:\n  b: [x, 'y']\n", "f");
  ASSERT_TRUE(root.ok()) << root.status();
  const ConfigNode& list = root->items[0].items[0];
  EXPECT_EQ(root->items[0].key_positions[0].line, 2);
  EXPECT_EQ(root->items[0].key_positions[0].column, 3);
  EXPECT_EQ(list.items[1].position.column, 10);
  EXPECT_FALSE(list.items[0].quoted);
  EXPECT_TRUE(list.items[1].quoted);
}

}  // namespace
}  // namespace semaphore::gateway
