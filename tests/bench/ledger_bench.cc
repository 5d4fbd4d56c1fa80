// What counting costs: a commit of 500 finished pipelines into one file on disk, and how that grows
// with the series that are published already, all of which each commit publishes anew.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/ledger.h"
#include "tests/client/fake_clock.h"
#include "tests/gateway/ledger_fixture.h"

namespace semaphore::gateway {
namespace {

constexpr int kPipelines = 500;

// Ten files and two refs, as a busy project has.
CollectedBatch Finished(int batch, const std::string& project) {
  std::vector<CollectedPipeline> pipelines;
  for (int i = 0; i < kPipelines; ++i) {
    RunFacts facts;
    facts.id = "2f0c5d5e-bb66-4507-afe1-" + project + std::to_string(batch * kPipelines + i);
    facts.result = i % 3 == 0 ? v1::PIPELINE_RESULT_FAILED : v1::PIPELINE_RESULT_PASSED;
    facts.done = kStart + batch * 1000.0 + i;
    facts.branch = i % 4 == 0 ? "main" : "feature-" + std::to_string(i);
    facts.commit = "commit" + std::to_string(i / 2);
    CollectedPipeline pipeline = PipelineOf(facts);
    pipeline.pipeline.set_yaml_file_name("pipeline-" + std::to_string(i % 10) + ".yml");
    pipelines.push_back(std::move(pipeline));
  }
  CollectedBatch out = BatchOf(std::move(pipelines));
  out.project_id = out.project = project;
  return out;
}

void CommitPipelines(benchmark::State& state) {
  const TemporaryFolder folder;
  const client::FakeClock clock;
  const auto ledger = *Ledger::Open({.state_dir = folder.path()}, CounterOf(), clock);
  for (int project = 0; project < state.range(0); ++project) {
    if (!ledger->Commit(Finished(0, "project-" + std::to_string(project))).ok()) std::abort();
  }
  ledger->SeriesScraped(ledger->View().generation);
  ledger->Settle().IgnoreError();
  int batch = 1;
  for (auto _ : state) {
    state.PauseTiming();
    const CollectedBatch finished = Finished(batch++, "project-0");
    state.ResumeTiming();
    if (!ledger->Commit(finished).ok()) std::abort();
  }
  double series = 0;
  for (const auto& [family, count] : ledger->GetStats().series)
    series += static_cast<double>(count);
  state.counters["series"] = series;
}
BENCHMARK(CommitPipelines)->Arg(1)->Arg(100)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace semaphore::gateway

BENCHMARK_MAIN();
