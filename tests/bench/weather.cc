#include "tests/bench/weather.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tests/bench/bench_setup.h"
#include "tests/bench/open_loop.h"

namespace semaphore::bench {
namespace {

using simulator::Fault;
using simulator::FaultAction;
using simulator::FaultStage;
using simulator::Simulator;
using Kind = OpenLoop::Kind;

// The gateway's configuration, and who asks how much of it.
constexpr double kBudgetRate = 400;
constexpr int kBudgetBurst = 800;
constexpr int kMaxInFlight = 64;
constexpr double kQuotaRate = 50;
constexpr int kQuotaBurst = 100;
constexpr double kCallsPerSecond = 340;
constexpr double kFloodFactor = 100;
constexpr std::chrono::seconds kInteractivePatience{2};
constexpr std::chrono::seconds kBatchPatience{10};
constexpr size_t kPipelines = 100;
constexpr size_t kJobs = 100;

constexpr double kBeforeSeconds = 5;
constexpr double kLeastSeconds = 62;  // of a whole scenario, so that it is 20 000 calls
constexpr double kMaxAfterSeconds = 45;
constexpr double kRetryShare = 0.2;  // of client/retry_budget.h, whose options nobody sets
constexpr double kRetryReserve = 10;

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// ---- The scenarios

struct Scene {
  Simulator& upstream;
  std::string dns_gone_file;
  std::function<void()> start_flood;
  std::function<void()> stop_flood;
};

struct Scenario {
  const char* name;
  double fault_seconds;
  std::function<void(Scene&)> begin;
  // Each second of the fault after the first, with its number.
  std::function<void(Scene&, int)> tick = [](Scene&, int) {};
  std::function<void(Scene&)> end = [](Scene&) {};
};

Fault Throttling(bool with_retry_after) {
  Fault fault{.status = 429};
  if (with_retry_after) fault.headers = {{"retry-after", "5"}};
  return fault;
}

// Whoever opens a connection, and whoever has one.
void ResetEverything(Scene& scene) {
  scene.upstream.AddFault({.action = FaultAction::kReset, .stage = FaultStage::kAccept});
  scene.upstream.AddFault({.action = FaultAction::kReset, .stage = FaultStage::kRequest});
}

void CloseAfterEachReply(Scene& scene) {
  scene.upstream.AddFault({.action = FaultAction::kTlsClose, .stage = FaultStage::kAfterReply});
}

std::vector<Scenario> Scenarios() {
  return {
      {.name = "fair weather", .fault_seconds = 35, .begin = [](Scene&) {}},
      {.name = "429 for a minute, Retry-After: 5",
       .fault_seconds = 60,
       .begin = [](Scene& scene) { scene.upstream.AddFault(Throttling(true)); }},
      {.name = "429 for a minute, no Retry-After",
       .fault_seconds = 60,
       .begin = [](Scene& scene) { scene.upstream.AddFault(Throttling(false)); }},
      {.name = "every second reply a 503",
       .fault_seconds = 35,
       .begin = [](Scene& scene) { scene.upstream.AddFault({.every = 2, .status = 503}); }},
      {.name = "30 s latency",
       .fault_seconds = 35,
       .begin =
           [](Scene& scene) {
             scene.upstream.AddFault({.action = FaultAction::kDelay, .delay = absl::Seconds(30)});
           }},
      {.name = "accepts, never answers",
       .fault_seconds = 35,
       .begin =
           [](Scene& scene) {
             scene.upstream.AddFault(
                 {.action = FaultAction::kSilence, .stage = FaultStage::kAccept});
             scene.upstream.AddFault(
                 {.action = FaultAction::kSilence, .stage = FaultStage::kRequest});
           }},
      {.name = "one request per connection, every tenth connection reset",
       .fault_seconds = 35,
       .begin =
           [](Scene& scene) {
             CloseAfterEachReply(scene);
             scene.upstream.AddFault(
                 {.every = 10, .action = FaultAction::kReset, .stage = FaultStage::kAccept});
           }},
      {.name = "DNS gone, one request per connection",
       .fault_seconds = 35,
       .begin =
           [](Scene& scene) {
             std::ofstream(scene.dns_gone_file) << "gone\n";
             CloseAfterEachReply(scene);
           },
       .end = [](Scene& scene) { std::filesystem::remove(scene.dns_gone_file); }},
      {.name = "flapping each second: resets everything, then nothing",
       .fault_seconds = 35,
       .begin = ResetEverything,
       .tick =
           [](Scene& scene, int second) {
             scene.upstream.ClearFaults();
             if (second % 2 == 0) ResetEverything(scene);
           }},
      {.name = "one more caller floods at 100 times its quota",
       .fault_seconds = 35,
       .begin = [](Scene& scene) { scene.start_flood(); },
       .end = [](Scene& scene) { scene.stop_flood(); }},
  };
}

// ---- What upstream gets to see

// Looks at the simulator's count of requests every few milliseconds, and keeps by how much it was
// ever ahead of the rate: the size that the burst would have needed.
class BudgetWatch {
 public:
  explicit BudgetWatch(const Simulator& upstream)
      : upstream_(upstream), thread_([this] { Run(); }) {}
  ~BudgetWatch() { Stop(); }
  BudgetWatch(const BudgetWatch&) = delete;
  BudgetWatch& operator=(const BudgetWatch&) = delete;

  double Stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return most_;
  }

 private:
  void Run() {
    SteadyTime last_time = std::chrono::steady_clock::now();
    uint64_t last_count = upstream_.last_request_number();
    double ahead = 0;
    while (!stopping_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      const SteadyTime time = std::chrono::steady_clock::now();
      const uint64_t count = upstream_.last_request_number();
      ahead += static_cast<double>(count - last_count) - kBudgetRate * Seconds(time - last_time);
      ahead = std::max(ahead, 0.0);
      most_ = std::max(most_, ahead);
      last_time = time;
      last_count = count;
    }
  }

  const Simulator& upstream_;
  std::atomic<bool> stopping_ = false;
  double most_ = 0;  // the thread's until it is joined
  std::thread thread_;
};

// ---- One scenario

struct Result {
  std::string name;
  size_t calls = 0;
  OpenLoop::Summary interactive_in_fault, interactive_in_all;
  OpenLoop::Summary batch_in_fault, batch_in_all;
  std::optional<OpenLoop::Summary> flood;
  uint64_t upstream_requests = 0;
  double attempts = 0;  // that got as far as a connection
  double retries = 0;
  double retries_refused = 0;
  double circuit_openings = 0;
  double throttled = 0;
  double attempts_without_reply = 0;
  double most_ahead = 0;
  double gateway_cpu_seconds = 0;
  double total_seconds = 0;
  std::optional<double> recovery_seconds;
  std::vector<std::string> failures;
};

class Run {
 public:
  Run(const Scenario& scenario, const WeatherOptions& options)
      : scenario_(scenario), options_(options) {}

  Result Go();

 private:
  std::unique_ptr<OpenLoop> MakeFlood(const Keys& keys) const;
  void WaitUntil(double seconds) const {
    std::this_thread::sleep_until(epoch_ + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                               std::chrono::duration<double>(seconds)));
  }
  double Now() const { return Seconds(std::chrono::steady_clock::now() - epoch_); }
  OpenLoop::Options LoopOptions(const Keys& keys) const;
  void Disturb(Scene& scene, double end) const;
  void Count(const Simulator& upstream, Result& result) const;

  const Scenario& scenario_;
  const WeatherOptions& options_;
  std::unique_ptr<GatewayProcess> gateway_;
  SteadyTime epoch_;
};

// Six interactive callers and four batch ones.
OpenLoop::Options Run::LoopOptions(const Keys& keys) const {
  OpenLoop::Options options{.port = gateway_->grpc_port(),
                            .calls_per_second = kCallsPerSecond,
                            .callers = {},
                            .pipelines = keys.pipelines,
                            .jobs = keys.jobs,
                            .fresh = options_.fresh,
                            .seed = options_.seed,
                            .epoch = epoch_};
  for (uint8_t i = 0; i < 10; ++i) {
    const bool batch = i >= 6;
    options.callers.push_back({.host = static_cast<uint8_t>(11 + i),
                               .kind = batch ? Kind::kBatch : Kind::kInteractive,
                               .patience = batch ? kBatchPatience : kInteractivePatience});
  }
  return options;
}

std::unique_ptr<OpenLoop> Run::MakeFlood(const Keys& keys) const {
  OpenLoop::Options options = LoopOptions(keys);
  options.callers = {{.host = 99, .kind = Kind::kInteractive, .patience = kInteractivePatience}};
  options.calls_per_second = kFloodFactor * kQuotaRate;
  options.seed = options_.seed + 1;
  return std::make_unique<OpenLoop>(std::move(options));
}

void Run::Disturb(Scene& scene, double end) const {
  const double begin = Now();
  scenario_.begin(scene);
  for (int second = 1; begin + second < end; ++second) {
    WaitUntil(begin + second);
    scenario_.tick(scene, second);
  }
  WaitUntil(end);
  scenario_.end(scene);
  scene.upstream.ClearFaults();
}

Result Run::Go() {
  Result result;
  result.name = scenario_.name;
  const std::unique_ptr<Simulator> upstream =
      *Simulator::Start({.seed = options_.seed, .workflows_per_project = 120});
  const Keys keys = KeysOf(*upstream, kPipelines, kJobs);
  upstream->ClearRequests();
  const TemporaryFolder folder;
  const std::string dns_gone_file = folder.path() + "/dns-gone";
  auto started = StartGateway(
      *upstream, folder.path(),
      absl::StrFormat("upstream: {requests_per_second: %g, burst: %d, max_in_flight: %d}\n"
                      "callers: {requests_per_second: %g, burst: %d}\n",
                      kBudgetRate, kBudgetBurst, kMaxInFlight, kQuotaRate, kQuotaBurst),
      {{"LD_PRELOAD", BuiltFile("tests/bench/libdns_gone.so")}, {"DNS_GONE_FILE", dns_gone_file}});
  if (!started.ok()) {
    result.failures.emplace_back(started.status().message());
    return result;
  }
  gateway_ = *std::move(started);
  if (!OpenLoop(LoopOptions(keys)).ReadEachOnce())
    result.failures.emplace_back("a key cannot be read");
  upstream->ClearRequests();
  epoch_ = std::chrono::steady_clock::now();
  BudgetWatch watch(*upstream);
  OpenLoop loop(LoopOptions(keys));
  const std::unique_ptr<OpenLoop> flood = MakeFlood(keys);
  Scene scene{.upstream = *upstream,
              .dns_gone_file = dns_gone_file,
              .start_flood = [&] { flood->Start(); },
              .stop_flood = [&] { flood->Stop(); }};
  loop.Start();

  const double scale = options_.scale;
  const double fault_begin = std::max(2.0, kBeforeSeconds * scale);
  WaitUntil(fault_begin);
  Disturb(scene, fault_begin + std::max(4.0, scenario_.fault_seconds * scale));
  const double fault_end = Now();
  const double least = std::max(kLeastSeconds * scale, fault_end + 6);
  for (;;) {
    WaitUntil(std::max(least, Now() + 0.25));
    result.recovery_seconds = loop.FirstGoodFiveSeconds({fault_end, Now()});
    if (result.recovery_seconds || Now() > fault_end + kMaxAfterSeconds) break;
  }
  result.total_seconds = Now();
  loop.Stop();
  if (result.recovery_seconds) *result.recovery_seconds -= fault_end;

  const OpenLoop::Span fault{fault_begin, fault_end};
  const OpenLoop::Span all{0, Now() + 1};
  result.calls = loop.calls();
  result.interactive_in_fault = loop.Summarize(Kind::kInteractive, fault);
  result.interactive_in_all = loop.Summarize(Kind::kInteractive, all);
  result.batch_in_fault = loop.Summarize(Kind::kBatch, fault);
  result.batch_in_all = loop.Summarize(Kind::kBatch, all);
  if (flood->calls() > 0) result.flood = flood->Summarize(Kind::kInteractive, all);
  result.most_ahead = watch.Stop();
  Count(*upstream, result);
  return result;
}

// Asks the two sides for their counts, and judges them.
void Run::Count(const Simulator& upstream, Result& result) const {
  const std::string page = gateway_->Metrics();
  const std::string family = "semaphoreci_gateway_upstream_";
  result.upstream_requests = upstream.last_request_number();
  result.retries = SumOf(page, family + "retries_total");
  result.retries_refused = SumOf(page, family + "retry_budget_refusals_total");
  result.circuit_openings = SumOf(page, family + "circuit_openings_total");
  result.throttled = SumOf(page, family + "throttled_total");
  // "refused" never left the gateway.
  result.attempts_without_reply = SumOf(page, family + "failures_total") -
                                  SumOf(page, family + "failures_total", "cause=\"refused\"");
  result.attempts = SumOf(page, family + "requests_total") + result.attempts_without_reply -
                    static_cast<double>(kPipelines + kJobs);  // before the first call
  result.gateway_cpu_seconds = gateway_->CpuSeconds();
  const size_t flooded = result.flood ? result.flood->calls : 0;
  // No more first attempts than calls, so this is the most that the retry budget can allow.
  const double allowed = kRetryReserve + kRetryShare * static_cast<double>(result.calls + flooded);
  if (result.retries > allowed) {
    result.failures.push_back(
        absl::StrFormat("%.0f retries, %.0f allowed", result.retries, allowed));
  }
  // What one look of the watch may miss: a scheduler's slice of requests.
  if (result.most_ahead > kBudgetBurst + kBudgetRate * 0.1) {
    result.failures.push_back(
        absl::StrFormat("upstream requests were %.0f ahead of the rate, "
                        "the burst is %d",
                        result.most_ahead, kBudgetBurst));
  }
  if (!gateway_->IsRunning()) result.failures.emplace_back("the gateway ended by itself");
  const absl::Status ended = gateway_->Stop();
  if (!ended.ok()) result.failures.emplace_back(ended.message());
  if (!gateway_->StrayOutput().empty()) {
    result.failures.push_back("the gateway wrote: " + gateway_->StrayOutput());
  }
}

// ---- The table

std::string Both(const OpenLoop::Summary& in_fault, const OpenLoop::Summary& in_all) {
  return absl::StrFormat("%.2f / %.2f", in_fault.OkPercent(), in_all.OkPercent());
}

std::string OutcomesText(const OpenLoop::Summary& summary) {
  std::vector<std::string> parts;
  for (const auto& [outcome, count] : summary.outcomes) {
    parts.push_back(absl::StrCat(outcome, " ", count));
  }
  return absl::StrJoin(parts, ", ");
}

void PrintParameters(const WeatherOptions& options) {
  std::cout << absl::StrFormat(
      "Gateway: upstream budget %g requests/s, burst %d, %d in flight; quota of a caller %g/s, "
      "burst %d; defaults otherwise; a process of its own, fresh for each scenario.\n"
      "Calls: GetPipeline and GetJob of %d ids at random; open loop, Poisson, %g/s of ten callers: "
      "six interactive (deadline %d s), four batch (%d s); seed %d%s. Each key was read once "
      "before.\n"
      "Each scenario: %g s before, the fault 35 s (429: 60 s), then until recovered and at least "
      "%g "
      "s in all, at most %g s after the fault; scale %g.\n\n",
      kBudgetRate, kBudgetBurst, kMaxInFlight, kQuotaRate, kQuotaBurst, kPipelines + kJobs,
      kCallsPerSecond, kInteractivePatience.count(), kBatchPatience.count(), options.seed,
      options.fresh ? "; cache-control: no-cache" : "", kBeforeSeconds, kLeastSeconds,
      kMaxAfterSeconds, options.scale);
}

void PrintTable(const std::vector<Result>& results) {
  std::cout << "OK %: of the calls that began during the fault / of all. p50 and p99: of all "
               "interactive calls that began during the fault, whatever they were told. Time to "
               "recover: from the end of the fault to the first 5 s with at least 99 % OK.\n\n"
               "| scenario | calls | interactive OK % | batch OK % | upstream requests | retries | "
               "p50 ms | p99 ms | time to recover |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const Result& result : results) {
    const std::string recovery = result.recovery_seconds
                                     ? absl::StrFormat("%.1f s", *result.recovery_seconds)
                                     : absl::StrFormat("> %.0f s", kMaxAfterSeconds);
    std::cout << absl::StrFormat(
        "| %s | %d | %s | %s | %d | %.0f | %.1f | %.1f | %s |\n", result.name, result.calls,
        Both(result.interactive_in_fault, result.interactive_in_all),
        Both(result.batch_in_fault, result.batch_in_all), result.upstream_requests, result.retries,
        result.interactive_in_fault.p50_ms, result.interactive_in_fault.p99_ms, recovery);
  }
  std::cout << "\nWhat callers were told during the fault, and what the gateway counted:\n\n";
  for (const Result& result : results) {
    std::cout << absl::StrFormat("- %s (%.0f s): interactive %s; batch %s", result.name,
                                 result.total_seconds, OutcomesText(result.interactive_in_fault),
                                 OutcomesText(result.batch_in_fault));
    if (result.flood) {
      std::cout << absl::StrFormat("; the flood %d calls: %s", result.flood->calls,
                                   OutcomesText(*result.flood));
    }
    std::cout << absl::StrFormat(
        ". %.0f attempts, of which %.0f without a reply and at most %.0f retries (%.0f more "
        "refused); "
        "throttled %.0f times, circuit opened %.0f times; requests ahead of the rate at most %.0f; "
        "gateway's CPU %.1f s.\n",
        result.attempts, result.attempts_without_reply, result.retries, result.retries_refused,
        result.throttled, result.circuit_openings, result.most_ahead, result.gateway_cpu_seconds);
  }
}

}  // namespace

bool RunWeather(const WeatherOptions& options) {
  std::vector<Result> results;
  for (const Scenario& scenario : Scenarios()) {
    if (std::string(scenario.name).find(options.only) == std::string::npos) continue;
    std::cerr << scenario.name << " …\n";
    results.push_back(Run(scenario, options).Go());
  }
  PrintParameters(options);
  PrintTable(results);
  bool good = true;
  for (const Result& result : results) {
    for (const std::string& failure : result.failures) {
      std::cout << "\nFAILED: " << result.name << ": " << failure << "\n";
      good = false;
    }
  }
  return good && !results.empty();
}

}  // namespace semaphore::bench
