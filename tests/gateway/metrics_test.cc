#include "gateway/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gateway/process_metrics.h"

namespace semaphore::gateway {
namespace {

using std::chrono::milliseconds;

Metrics::Options SmallOptions() {
  Metrics::Options options;
  options.methods = {{.service = "semaphore.v1.PipelineService", .method = "GetPipeline"},
                     {.service = "semaphore.v1.JobService", .method = "GetJob"}};
  options.organizations = {"acme", "beta"};
  options.routes = {{"GET", "pipelines/:id"}, {"PATCH", "pipelines/:id"}};
  options.failure_causes = {"dns", "tls"};
  options.retry_reasons = {"connect", "status"};
  options.priorities = {"interactive", "batch"};
  options.circuit_states = {"closed", "open"};
  options.build_info = {{"version", "0.1.0"}};
  options.caller_refusals = {"no_credentials", "method"};
  return options;
}

bool HasLine(const std::string& page, const std::string& line) {
  return page.find("\n" + line + "\n") != std::string::npos;
}

size_t LinesStartingWith(const std::string& page, const std::string& start) {
  std::istringstream in(page);
  std::string line;
  size_t count = 0;
  while (std::getline(in, line)) count += line.rfind(start, 0) == 0 ? 1 : 0;
  return count;
}

TEST(Metrics, EveryPairExistsFromTheStart) {
  const std::string page = Metrics(SmallOptions()).Text();
  EXPECT_EQ(LinesStartingWith(page, "grpc_server_started_total{"), 2u);
  EXPECT_EQ(LinesStartingWith(page, "grpc_server_handled_total{"), 2u * 17u);
  EXPECT_EQ(LinesStartingWith(page, "grpc_server_handling_seconds_count{"), 2u);
  EXPECT_EQ(LinesStartingWith(page, "semaphoreci_gateway_upstream_failures_total{"), 2u * 2u);
  EXPECT_EQ(LinesStartingWith(page, "semaphoreci_gateway_upstream_retries_total{"), 2u * 2u);
  EXPECT_EQ(LinesStartingWith(page, "semaphoreci_gateway_unknown_fields_total{"), 2u);
  EXPECT_TRUE(HasLine(page,
                      "semaphoreci_gateway_upstream_requests_total{code=\"500\",method=\"PATCH\","
                      "organization=\"beta\",route=\"pipelines/:id\"} 0"))
      << page;
}

TEST(Metrics, CallsAreCountedByMethodAndCode) {
  Metrics metrics(SmallOptions());
  metrics.CallStarted(0);
  metrics.CallStarted(0);
  metrics.CallHandled(0, 0, milliseconds(3));
  metrics.CallHandled(0, 14, milliseconds(30));
  const std::string page = metrics.Text();
  const std::string of =
      "grpc_method=\"GetPipeline\",grpc_service=\"semaphore.v1.PipelineService\","
      "grpc_type=\"unary\"}";
  EXPECT_TRUE(HasLine(page, "grpc_server_started_total{" + of + " 2"));
  EXPECT_TRUE(HasLine(page, "grpc_server_handled_total{grpc_code=\"OK\"," + of + " 1"));
  EXPECT_TRUE(HasLine(page, "grpc_server_handled_total{grpc_code=\"Unavailable\"," + of + " 1"));
  EXPECT_TRUE(HasLine(page, "grpc_server_handling_seconds_count{" + of + " 2")) << page;
}

TEST(Metrics, IndexesAndCodesOutOfRangeAreHarmless) {
  Metrics metrics(SmallOptions());
  metrics.CallStarted(99);
  metrics.CallHandled(99, 0, {});
  metrics.CallHandled(0, 17, {});
  metrics.CallHandled(0, -1, {});
  metrics.UpstreamReplied(99, 0, 200, {});
  metrics.UpstreamReplied(0, 99, 200, {});
  metrics.UpstreamFailed(0, 0, 99, {});
  metrics.UpstreamRetried(0, 99);
  metrics.UnknownFields(99, 1);
  metrics.UnknownEnumWords(99, 1);
  metrics.SetUpstreamSource(99, nullptr);
  EXPECT_NE(
      metrics.Text().find("grpc_code=\"Unknown\",grpc_method=\"GetPipeline\","
                          "grpc_service=\"semaphore.v1.PipelineService\",grpc_type=\"unary\"} 2"),
      std::string::npos);
}

TEST(Metrics, UpstreamRequestsAreCountedByStatusFailuresByCause) {
  Metrics metrics(SmallOptions());
  metrics.UpstreamReplied(0, 1, 429, milliseconds(100));
  metrics.UpstreamReplied(0, 1, 7, milliseconds(100));
  metrics.UpstreamFailed(0, 1, 1, milliseconds(100));
  metrics.UpstreamRetried(1, 0);
  metrics.UnknownFields(1, 3);
  metrics.UnknownEnumWords(1, 2);
  const std::string page = metrics.Text();
  const std::string of = "method=\"PATCH\",organization=\"acme\",route=\"pipelines/:id\"}";
  EXPECT_TRUE(
      HasLine(page, "semaphoreci_gateway_upstream_requests_total{code=\"429\"," + of + " 1"));
  EXPECT_TRUE(
      HasLine(page, "semaphoreci_gateway_upstream_requests_total{code=\"other\"," + of + " 1"));
  EXPECT_TRUE(HasLine(page,
                      "semaphoreci_gateway_upstream_failures_total{cause=\"tls\","
                      "organization=\"acme\",route=\"pipelines/:id\"} 1"));
  EXPECT_TRUE(
      HasLine(page, "semaphoreci_gateway_upstream_request_duration_seconds_count{" + of + " 3"));
  EXPECT_TRUE(HasLine(page,
                      "semaphoreci_gateway_upstream_retries_total{organization=\"beta\","
                      "reason=\"connect\"} 1"));
  EXPECT_TRUE(
      HasLine(page, "semaphoreci_gateway_unknown_fields_total{method=\"JobService.GetJob\"} 3"));
  EXPECT_TRUE(HasLine(
      page, "semaphoreci_gateway_unknown_enum_words_total{method=\"JobService.GetJob\"} 2"));
}

TEST(Metrics, SourcesAreAskedAtEachScrape) {
  Metrics metrics(SmallOptions());
  EXPECT_EQ(metrics.Text().find("semaphoreci_gateway_upstream_budget_tokens"), std::string::npos)
      << "a family without a source is left out";
  double tokens = 20;
  metrics.SetUpstreamSource(0, [&] {
    Metrics::UpstreamState state;
    state.requests_in_flight = 3;
    state.connections_idle = 1;
    state.resumed_handshakes = 7;
    state.budget_tokens = tokens;
    state.budget_rejections = {4, 9};
    state.circuit_state = 1;
    return state;
  });
  metrics.SetLogDropsSource([] { return uint64_t{5}; });
  metrics.SetTlsSource([]() -> Metrics::TlsState {
    return {.certificate_expiry_seconds = 1796717237, .reloads = 3, .refusals = 1};
  });
  const std::string page = metrics.Text();
  EXPECT_TRUE(
      HasLine(page, "semaphoreci_gateway_upstream_requests_in_flight{organization=\"acme\"} 3"));
  EXPECT_TRUE(HasLine(
      page, "semaphoreci_gateway_upstream_connections{organization=\"acme\",state=\"idle\"} 1"));
  EXPECT_TRUE(HasLine(page,
                      "semaphoreci_gateway_upstream_tls_handshakes_total{organization=\"acme\","
                      "resumed=\"true\"} 7"));
  EXPECT_TRUE(HasLine(page, "semaphoreci_gateway_log_lines_dropped_total 5"));
  EXPECT_TRUE(
      HasLine(page, "semaphoreci_gateway_tls_certificate_expiry_timestamp_seconds 1796717237"));
  EXPECT_TRUE(HasLine(page, "semaphoreci_gateway_tls_reloads_total{result=\"success\"} 3"));
  EXPECT_TRUE(HasLine(page, "semaphoreci_gateway_tls_reloads_total{result=\"failure\"} 1"));
  EXPECT_TRUE(HasLine(page,
                      "semaphoreci_gateway_upstream_budget_rejections_total{organization=\"acme\","
                      "class=\"batch\"} 9"));
  EXPECT_TRUE(HasLine(page,
                      "semaphoreci_gateway_upstream_circuit_state{organization=\"acme\","
                      "state=\"open\"} 1"));
  tokens = 0.5;
  EXPECT_TRUE(HasLine(metrics.Text(),
                      "semaphoreci_gateway_upstream_budget_tokens{organization=\"acme\"} 0.5"));
  metrics.SetUpstreamSource(0, nullptr);
  EXPECT_EQ(metrics.Text().find("semaphoreci_gateway_upstream_budget_tokens"), std::string::npos);
}

TEST(Metrics, HostileLabelValuesAreMadeHarmless) {
  EXPECT_EQ(CleanLabelValue("a\nb\x7F"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(CleanLabelValue("\xFF"), "\xEF\xBF\xBD");
  EXPECT_EQ(CleanLabelValue(std::string(1000, 'x')).size(), 128u);
  EXPECT_LE(CleanLabelValue(std::string(1000, '\n')).size(), 128u);
  EXPECT_EQ(CleanLabelValue(std::string(127, 'x') + "ü").size(), 127u);
  Metrics::Options options = SmallOptions();
  options.organizations = {"evil\"\n\\\xFF"};
  const std::string page = Metrics(options).Text();
  EXPECT_NE(page.find("organization=\"evil\\\"\xEF\xBF\xBD\\\\\xEF\xBF\xBD\""), std::string::npos);
}

TEST(Metrics, CallersHaveALabelEachUpToABound) {
  Metrics metrics(SmallOptions());
  const size_t web = metrics.CallerSlot("web");
  EXPECT_EQ(metrics.CallerSlot("web"), web);
  metrics.CallerAnswered(web);
  metrics.CallerAnswered(Metrics::kAnonymousCaller);
  metrics.CallerAnswered(100'000);
  metrics.CallerRefused(1);
  metrics.CallerRefused(100'000);
  for (size_t i = 0; i < 2 * Metrics::kMaxNamedCallers; ++i) {
    metrics.CallerAnswered(metrics.CallerSlot("bot-" + std::to_string(i)));
  }
  const std::string page = metrics.Text();
  EXPECT_EQ(LinesStartingWith(page, "semaphoreci_gateway_caller_requests_total{"),
            Metrics::kMaxNamedCallers + 2);
  EXPECT_TRUE(HasLine(page, "semaphoreci_gateway_caller_requests_total{caller=\"web\"} 1"));
  EXPECT_TRUE(HasLine(page, "semaphoreci_gateway_caller_requests_total{caller=\"anonymous\"} 1"));
  EXPECT_TRUE(HasLine(page, "semaphoreci_gateway_caller_requests_total{caller=\"other\"} 201"));
  EXPECT_TRUE(HasLine(page, "semaphoreci_gateway_caller_refusals_total{reason=\"method\"} 1"));
}

TEST(Metrics, EveryFamilyHasHelpATypeAndALawfulName) {
  Metrics metrics(SmallOptions());
  metrics.SetUpstreamSource(0, [] { return Metrics::UpstreamState(); });
  metrics.SetCacheSource([] { return Metrics::CacheState(); });
  metrics.SetLogDropsSource([] { return uint64_t{0}; });
  metrics.SetCallersSource([] { return Metrics::CallersState(); });
  metrics.SetAuditSource([] { return Metrics::AuditState(); });
  metrics.SetTlsSource([] { return Metrics::TlsState(); });
  metrics.SetRestSource([] { return Metrics::RestState(); });
  metrics.SetCollectorSource([] {
    Metrics::CollectorState state;
    state.organizations.emplace_back();
    state.organizations.back().last_successes = {{"web", 1}};
    state.organizations.back().watermarks = {{"web", 1}};
    state.series = {{"semaphoreci_up", 1}};
    return state;
  });
  std::istringstream page(metrics.Text());
  std::string line;
  std::set<std::string> with_help;
  std::set<std::string> typed;
  while (std::getline(page, line)) {
    std::istringstream words(line);
    std::string hash, what, name, type;
    words >> hash >> what >> name >> type;
    if (hash != "#") continue;
    if (what == "HELP") {
      EXPECT_TRUE(with_help.insert(name).second) << name;
      EXPECT_FALSE(type.empty()) << name << " has no help";
      continue;
    }
    EXPECT_TRUE(with_help.contains(name)) << name;
    EXPECT_TRUE(typed.insert(name).second) << name;
    EXPECT_EQ(name.ends_with("_total"), type == "counter") << name;
    const bool ours = name.rfind("semaphoreci_gateway_", 0) == 0 ||
                      name.rfind("grpc_server_", 0) == 0 || name.rfind("process_", 0) == 0;
    EXPECT_TRUE(ours) << name;
  }
  EXPECT_EQ(typed, with_help);
  EXPECT_EQ(typed.size(), 67u);
}

TEST(Metrics, CountingAndScrapingAtTheSameTimeLosesNothing) {
  Metrics metrics(SmallOptions());
  std::atomic<bool> done{false};
  std::thread scraper([&] {
    while (!done) {
      metrics.SetUpstreamSource(0, [] { return Metrics::UpstreamState(); });
      metrics.Text();
    }
  });
  std::vector<std::thread> callers;
  callers.reserve(3);
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        metrics.CallStarted(1);
        metrics.CallHandled(1, 0, milliseconds(1));
        metrics.UpstreamReplied(1, 0, 200 + i % 7, milliseconds(1));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  done = true;
  scraper.join();
  EXPECT_TRUE(HasLine(metrics.Text(),
                      "grpc_server_started_total{grpc_method=\"GetJob\","
                      "grpc_service=\"semaphore.v1.JobService\",grpc_type=\"unary\"} 3000"));
}

double ValueOf(const std::vector<prometheus::MetricFamily>& families, const std::string& name) {
  for (const auto& family : families) {
    if (family.name != name) continue;
    return family.type == prometheus::MetricType::Counter ? family.metric[0].counter.value
                                                          : family.metric[0].gauge.value;
  }
  return -1;
}

TEST(ProcessMetrics, ReadThisProcess) {
  const auto families = CollectProcessMetrics("/proc");
  EXPECT_EQ(families.size(), 6u);
  EXPECT_GT(ValueOf(families, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(ValueOf(families, "process_virtual_memory_bytes"), 1e6);
  EXPECT_GE(ValueOf(families, "process_open_fds"), 3);
  EXPECT_GT(ValueOf(families, "process_max_fds"), 3);
  EXPECT_GT(ValueOf(families, "process_start_time_seconds"), 1.6e9);
  EXPECT_GE(ValueOf(families, "process_cpu_seconds_total"), 0);
}

TEST(ProcessMetrics, AProgramNameWithSpacesAndParenthesesIsNoTrouble) {
  const std::filesystem::path proc =
      std::filesystem::path(testing::TempDir()) / ("proc-" + std::to_string(getpid()));
  std::filesystem::create_directories(proc / "self" / "fd");
  std::ofstream(proc / "self" / "stat")
      << "7 (a) b) R 1 1 1 0 -1 4 5 0 0 0 150 50 0 0 20 0 3 0 1000 4096000 25 0";
  std::ofstream(proc / "stat") << "cpu 1 2 3\nbtime 1700000000\n";
  std::ofstream(proc / "self" / "fd" / "0") << "";
  std::ofstream(proc / "self" / "limits")
      << "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024   4096   files\n";
  const auto families = CollectProcessMetrics(proc.string());
  std::filesystem::remove_all(proc);
  const double tick = static_cast<double>(sysconf(_SC_CLK_TCK));
  EXPECT_DOUBLE_EQ(ValueOf(families, "process_cpu_seconds_total"), 200 / tick);
  EXPECT_DOUBLE_EQ(ValueOf(families, "process_start_time_seconds"), 1.7e9 + 1000 / tick);
  EXPECT_DOUBLE_EQ(ValueOf(families, "process_virtual_memory_bytes"), 4096000);
  EXPECT_DOUBLE_EQ(ValueOf(families, "process_max_fds"), 1024);
  EXPECT_DOUBLE_EQ(ValueOf(families, "process_open_fds"), 1);
}

TEST(ProcessMetrics, WhatCannotBeReadIsLeftOut) {
  EXPECT_TRUE(CollectProcessMetrics("/nowhere").empty());
}

}  // namespace
}  // namespace semaphore::gateway
