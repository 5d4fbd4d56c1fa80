#include "gateway/run_counter.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/gateway/ledger_fixture.h"

namespace semaphore::gateway {
namespace {

const RunCounter::Project kProject = {"acme", "project-1", "web"};
constexpr char kFile[] = ".semaphore/semaphore.yml";

// Counts as the ledger does, with a memory and no file.
class Counter {
 public:
  explicit Counter(RunCounter counter = CounterOf()) : counter_(std::move(counter)) {}

  Page Count(const CollectedPipeline& pipeline) {
    const Counted counted = counter_.CountPipeline(
        kProject, pipeline,
        [this](const std::string& key) -> std::optional<std::string> {
          const auto found = memory_.find(key);
          if (found == memory_.end()) return std::nullopt;
          return found->second;
        },
        absl::FromUnixSeconds(kStart));
    for (const MemoryChange& each : counted.memory) memory_[each.key] = each.value;
    return PageOfCounted(counted);
  }

  static Page PageOfCounted(const Counted& counted) {
    Page page;
    for (const Increment& each : counted.increments) {
      const CiFamilySpec* spec = FindCiFamily(each.family);
      EXPECT_NE(spec, nullptr) << each.family;
      EXPECT_EQ(spec->labels.size(), each.labels.size()) << each.family;
      page[NameOf(each.family, each.labels)] += each.value;
    }
    return page;
  }

 private:
  RunCounter counter_;
  std::map<std::string, std::string> memory_;
};

std::string Named(std::string_view family, const std::vector<std::string>& more) {
  std::vector<std::string> labels = {"acme", "web"};
  labels.insert(labels.end(), more.begin(), more.end());
  return NameOf("semaphoreci_" + std::string(family), labels);
}

double ValueOf(const Page& page, const std::string& name) {
  const auto found = page.find(name);
  return found == page.end() ? -1 : found->second;
}

TEST(RunCounter, CountsAPassedRunWithItsDurationsAndItsWorkflow) {
  Counter counter;
  const Page page = counter.Count(PipelineOf({}));
  const Page expected = {
      {Named("pipeline_runs_total", {kFile, "main", "branch", "passed"}), 1},
      {Named("pipeline_run_duration_seconds", {kFile, "passed"}), 100},
      {Named("pipeline_phase_duration_seconds", {kFile, "pending"}), 10},
      {Named("pipeline_phase_duration_seconds", {kFile, "executing"}), 90},
      {Named("workflow_runs_total", {"branch", "hook"}), 1},
  };
  EXPECT_EQ(page, expected);
}

TEST(RunCounter, CountsAFailureByItsReason) {
  struct Row {
    v1::PipelineResultReason reason;
    std::string word;
  };
  const std::vector<Row> rows = {{v1::PIPELINE_RESULT_REASON_TEST, "test"},
                                 {v1::PIPELINE_RESULT_REASON_FAST_FAILING, "fast_failing"},
                                 {v1::PIPELINE_RESULT_REASON_TIMEOUT, "timeout"},
                                 {v1::PIPELINE_RESULT_REASON_SKIPPED, "unknown"},
                                 {v1::PIPELINE_RESULT_REASON_UNSPECIFIED, "unknown"},
                                 {static_cast<v1::PipelineResultReason>(99), "unknown"}};
  for (const Row& row : rows) {
    Counter counter;
    CollectedPipeline failed = PipelineOf({.result = v1::PIPELINE_RESULT_FAILED});
    failed.pipeline.set_result_reason(row.reason);
    EXPECT_EQ(ValueOf(counter.Count(failed), Named("pipeline_failures_total", {kFile, row.word})),
              1)
        << row.word;
  }
}

TEST(RunCounter, CountsAResultItDoesNotKnowAsUnknown) {
  Counter counter;
  CollectedPipeline odd = PipelineOf({.result = static_cast<v1::PipelineResult>(77)});
  EXPECT_EQ(ValueOf(counter.Count(odd),
                    Named("pipeline_runs_total", {kFile, "main", "branch", "unknown"})),
            1);
}

TEST(RunCounter, CountsARunWithoutItsEndAndLeavesItsDurationsOut) {
  for (const bool without_done : {true, false}) {
    Counter counter;
    CollectedPipeline pipeline = PipelineOf({});
    if (without_done) pipeline.pipeline.clear_done_time();
    if (!without_done) pipeline.pipeline.mutable_create_time()->set_seconds(0);
    const Page page = counter.Count(pipeline);
    EXPECT_EQ(ValueOf(page, Named("pipeline_runs_total", {kFile, "main", "branch", "passed"})), 1);
    EXPECT_EQ(ValueOf(page, Named("pipeline_run_duration_seconds", {kFile, "passed"})), -1);
  }
}

TEST(RunCounter, ARunThatEndedBeforeItBeganTookNoTime) {
  Counter counter;
  CollectedPipeline pipeline = PipelineOf({});
  SetTime(pipeline.pipeline.mutable_create_time(), kStart + 500);
  EXPECT_EQ(
      ValueOf(counter.Count(pipeline), Named("pipeline_run_duration_seconds", {kFile, "passed"})),
      0);
}

TEST(RunCounter, TellsPhasesByTheTimesThatAreThere) {
  struct Row {
    const char* what;
    double running, stopping;  // 0: never
    double pending, executing, finalizing;
  };
  const double done = kStart + 100;
  const std::vector<Row> rows = {
      {"ran", done - 90, 0, 10, 90, -1},
      {"stopped while it ran", done - 90, done - 5, 10, 85, 5},
      {"stopped in the queue", 0, done - 5, 95, -1, 5},
      {"never ran", 0, 0, 100, -1, -1},
  };
  for (const Row& row : rows) {
    Counter counter;
    CollectedPipeline pipeline = PipelineOf({});
    pipeline.pipeline.clear_running_time();
    if (row.running > 0) SetTime(pipeline.pipeline.mutable_running_time(), row.running);
    if (row.stopping > 0) SetTime(pipeline.pipeline.mutable_stopping_time(), row.stopping);
    const Page page = counter.Count(pipeline);
    const auto phase = [&page](const char* name) {
      return ValueOf(page, Named("pipeline_phase_duration_seconds", {kFile, name}));
    };
    EXPECT_EQ(phase("pending"), row.pending) << row.what;
    EXPECT_EQ(phase("executing"), row.executing) << row.what;
    EXPECT_EQ(phase("finalizing"), row.finalizing) << row.what;
  }
}

TEST(RefRules, TellBranchesTagsAndPullRequestsApart) {
  struct Row {
    std::string name;
    std::string label;
    std::string_view type;
  };
  const std::vector<Row> rows = {
      {"main", "main", "branch"},
      {"refs/heads/main", "main", "branch"},
      {"mainly", "other", "branch"},
      {"not-main", "other", "branch"},
      {"release-12", "release-12", "branch"},
      {"refs/tags/v1.0", "refs/tags/v1.0", "tag"},
      {"refs/tags/main", "other", "tag"},
      {"pull-request-12", "other", "pull_request"},
      {"refs/pull/12", "other", "pull_request"},
      {"pull-request-x", "other", "branch"},
      {"pull-request-", "other", "branch"},
      {"", "other", "unknown"},
      {"main\n", "other", "branch"},
      {"main'; DROP TABLE seen; --", "other", "branch"},
      {std::string(10'000, 'a'), "other", "branch"},
      {"\xff\xfe", "other", "branch"},
  };
  const RefRules rules = *RefRules::Create({"main", "release-\\d+", "refs/tags/v.*"});
  for (const Row& row : rows) {
    const RefRules::Ref ref = rules.Classify(row.name);
    EXPECT_EQ(ref.label, row.label) << row.name.substr(0, 40);
    EXPECT_EQ(ref.type, row.type) << row.name.substr(0, 40);
    EXPECT_EQ(ref.listed, row.label != "other") << row.name.substr(0, 40);
  }
}

TEST(RefRules, CleanTheNameThatAWideRuleLetsThrough) {
  const RefRules rules = *RefRules::Create({"(?s).*"});
  EXPECT_EQ(rules.Classify("a\nb").label,
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(rules.Classify("release \xF0\x9F\x9A\x80 \"x\"").label,
            "release \xF0\x9F\x9A\x80 \"x\"");
  EXPECT_LE(rules.Classify(std::string(1000, 'a')).label.size(), 128u);
  EXPECT_EQ(rules.Classify(std::string(10'000, 'a')).label, "other");
}

TEST(RefRules, NameThePatternThatIsNone) {
  const absl::StatusOr<RefRules> rules = RefRules::Create({"main", "rel(ease"});
  ASSERT_EQ(rules.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(rules.status().message().find("rel(ease"), absl::string_view::npos);
}

TEST(RunCounter, MeasuresARecoveryFromTheFirstFailureToTheNextPass) {
  Counter counter;
  const std::string recovery = Named("pipeline_recovery_duration_seconds", {kFile, "main"});
  const auto run = [&counter](const char* id, v1::PipelineResult result, double at) {
    return counter.Count(PipelineOf({.id = id, .result = result, .done = kStart + at}));
  };
  EXPECT_EQ(ValueOf(run("a", v1::PIPELINE_RESULT_PASSED, 100), recovery), -1);
  run("b", v1::PIPELINE_RESULT_FAILED, 200);
  run("c", v1::PIPELINE_RESULT_FAILED, 300);
  EXPECT_EQ(ValueOf(run("d", v1::PIPELINE_RESULT_STOPPED, 400), recovery), -1);
  EXPECT_EQ(ValueOf(run("e", v1::PIPELINE_RESULT_PASSED, 500), recovery), 300);
  EXPECT_EQ(ValueOf(run("f", v1::PIPELINE_RESULT_PASSED, 600), recovery), -1);
}

TEST(RunCounter, MeasuresARecoveryByTheOrderOfEndsAndNotOfArrival) {
  Counter counter;
  const std::string recovery = Named("pipeline_recovery_duration_seconds", {kFile, "main"});
  const auto run = [&counter](const char* id, v1::PipelineResult result, double at) {
    return counter.Count(PipelineOf({.id = id, .result = result, .done = kStart + at}));
  };
  EXPECT_EQ(ValueOf(run("late", v1::PIPELINE_RESULT_PASSED, 900), recovery), -1);
  EXPECT_EQ(ValueOf(run("failed", v1::PIPELINE_RESULT_FAILED, 200), recovery), 700);
  // Between the two, when their recovery is counted: not changed, and the new one measured.
  EXPECT_EQ(ValueOf(run("between", v1::PIPELINE_RESULT_PASSED, 500), recovery), 300);
  EXPECT_EQ(ValueOf(run("earlier", v1::PIPELINE_RESULT_FAILED, 100), recovery), -1);
}

TEST(RunCounter, MeasuresNoRecoveryOnARefThatIsNotListed) {
  Counter counter;
  counter.Count(PipelineOf(
      {.id = "a", .result = v1::PIPELINE_RESULT_FAILED, .done = kStart + 1.0, .branch = "x"}));
  const Page page = counter.Count(PipelineOf({.id = "b", .done = kStart + 2.0, .branch = "x"}));
  for (const auto& [name, value] : page) EXPECT_EQ(name.find("recovery"), std::string::npos);
}

TEST(RunCounter, RemembersTheFirstFailureOfAVeryLongStreak) {
  Counter counter;
  for (int i = 0; i < 200; ++i) {
    counter.Count(PipelineOf({.id = "f" + std::to_string(i),
                              .result = v1::PIPELINE_RESULT_FAILED,
                              .done = kStart + 10.0 * i}));
  }
  const Page page = counter.Count(PipelineOf({.id = "p", .done = kStart + 5000.0}));
  EXPECT_EQ(ValueOf(page, Named("pipeline_recovery_duration_seconds", {kFile, "main"})), 5000);
}

TEST(RunCounter, CountsACommitThatBothFailedAndPassedOnceWhicheverCameFirst) {
  for (const bool failed_first : {true, false}) {
    Counter counter;
    const std::string flaky = Named("pipeline_flaky_commits_total", {kFile});
    const auto run = [&](const char* id, bool failed) {
      return ValueOf(counter.Count(PipelineOf({.id = id,
                                               .result = failed ? v1::PIPELINE_RESULT_FAILED
                                                                : v1::PIPELINE_RESULT_PASSED,
                                               .commit = "abc"})),
                     flaky);
    };
    EXPECT_EQ(run("a", failed_first), -1);
    EXPECT_EQ(run("b", failed_first), -1);
    EXPECT_EQ(run("c", !failed_first), 1);
    EXPECT_EQ(run("d", failed_first), -1);
    EXPECT_EQ(run("e", !failed_first), -1);
  }
}

TEST(RunCounter, CountsAWorkflowOnceByItsFirstPipeline) {
  Counter counter;
  const std::string workflows = Named("workflow_runs_total", {"branch", "hook"});
  CollectedPipeline promoted = PipelineOf({.id = "b", .workflow = "w"});
  promoted.pipeline.set_promotion_of_pipeline_id("a");
  CollectedPipeline rerun = PipelineOf({.id = "c", .workflow = "w"});
  rerun.pipeline.set_partial_rerun_of_pipeline_id("a");
  EXPECT_EQ(ValueOf(counter.Count(promoted), workflows), -1);
  EXPECT_EQ(ValueOf(counter.Count(rerun), workflows), -1);
  EXPECT_EQ(ValueOf(counter.Count(PipelineOf({.id = "a", .workflow = "w"})), workflows), 1);
  EXPECT_EQ(ValueOf(counter.Count(PipelineOf({.id = "d", .workflow = "w"})), workflows), -1);
}

TEST(RunCounter, CountsRerunsAsFullOrPartial) {
  Counter counter;
  CollectedPipeline full = PipelineOf({.id = "a", .workflow = "w"});
  full.pipeline.mutable_triggerer()->set_rerun_of_workflow_id("w0");
  CollectedPipeline promoted = full;
  promoted.pipeline.set_pipeline_id("b");
  promoted.pipeline.set_promotion_of_pipeline_id("a");
  CollectedPipeline partial = full;
  partial.pipeline.set_pipeline_id("c");
  partial.pipeline.set_partial_rerun_of_pipeline_id("a");
  const std::string full_name = Named("pipeline_reruns_total", {kFile, "full"});
  const std::string partial_name = Named("pipeline_reruns_total", {kFile, "partial"});
  EXPECT_EQ(ValueOf(counter.Count(full), full_name), 1);
  const Page of_promoted = counter.Count(promoted);
  EXPECT_EQ(ValueOf(of_promoted, full_name), -1);
  const Page of_partial = counter.Count(partial);
  EXPECT_EQ(ValueOf(of_partial, full_name), -1);
  EXPECT_EQ(ValueOf(of_partial, partial_name), 1);
}

v1::BlockJob BlockJobOf(const std::string& id, const std::string& name, v1::JobResult result) {
  v1::BlockJob job;
  job.set_job_id(id);
  job.set_name(name);
  job.set_state(v1::BLOCK_JOB_STATE_FINISHED);
  job.set_result(result);
  return job;
}

CollectedPipeline WithABlock() {
  CollectedPipeline pipeline = PipelineOf({});
  v1::Block* block = pipeline.pipeline.add_blocks();
  block->set_name("Tests");
  block->set_state(v1::BLOCK_STATE_DONE);
  block->set_result(v1::PIPELINE_RESULT_FAILED);
  for (int i = 1; i <= 3; ++i) {
    *block->add_jobs() = BlockJobOf("j" + std::to_string(i), "Unit - " + std::to_string(i) + "/3",
                                    v1::JOB_RESULT_PASSED);
  }
  v1::Block* waiting = pipeline.pipeline.add_blocks();
  waiting->set_name("Never");
  waiting->set_state(v1::BLOCK_STATE_WAITING);
  v1::Job job;
  job.set_job_id("j1");
  job.set_name("Unit - 1/3");
  job.set_state(v1::JOB_STATE_FINISHED);
  job.set_result(v1::JOB_RESULT_FAILED);  // its block lags
  SetTime(job.mutable_create_time(), kStart);
  SetTime(job.mutable_start_time(), kStart + 7.0);
  SetTime(job.mutable_finish_time(), kStart + 27.0);
  pipeline.jobs.push_back(job);
  return pipeline;
}

TEST(RunCounter, CountsBlocksAndJobsAndParallelJobsUnderOneName) {
  Counter counter;
  const Page page = counter.Count(WithABlock());
  const auto at = [&page](const char* family, const std::vector<std::string>& more) {
    return ValueOf(page, Named(family, more));
  };
  EXPECT_EQ(at("block_runs_total", {kFile, "main", "branch", "failed", "Tests"}), 1);
  EXPECT_EQ(at("job_runs_total", {kFile, "main", "branch", "passed", "Tests", "Unit"}), 2);
  EXPECT_EQ(at("job_runs_total", {kFile, "main", "branch", "failed", "Tests", "Unit"}), 1);
  EXPECT_EQ(at("job_queue_duration_seconds", {kFile}), 7);
  EXPECT_EQ(at("job_run_duration_seconds", {kFile}), 20);
  EXPECT_EQ(at("block_runs_total", {kFile, "main", "branch", "unknown", "Never"}), -1);
}

TEST(RunCounter, CountsBlocksAndJobsOnlyAtTheirLevels) {
  for (const CiLevel level : {CiLevel::kProject, CiLevel::kPipeline, CiLevel::kBlock}) {
    Counter counter(CounterOf(level));
    std::set<std::string> families;
    for (const auto& [name, value] : counter.Count(WithABlock())) {
      families.insert(name.substr(0, name.find('{')));
    }
    EXPECT_EQ(families.count("semaphoreci_workflow_runs_total"), 1u);
    EXPECT_EQ(families.count("semaphoreci_pipeline_runs_total"),
              level == CiLevel::kProject ? 0 : 1);
    EXPECT_EQ(families.count("semaphoreci_block_runs_total"), level == CiLevel::kBlock ? 1 : 0);
    EXPECT_EQ(families.count("semaphoreci_job_runs_total"), 0u);
  }
}

TEST(RunCounter, OnlyANumberedSuffixIsOfAParallelJob) {
  struct Row {
    std::string name, label;
  };
  for (const Row& row : std::vector<Row>{{"Push results - 2/11", "Push results"},
                                         {"Push - results", "Push - results"},
                                         {"a - 1/x", "a - 1/x"},
                                         {" - 1/2", " - 1/2"},
                                         {"a - b - 1/2", "a - b"},
                                         {"a - /", "a - /"}}) {
    Counter counter;
    CollectedPipeline pipeline = PipelineOf({});
    v1::Block* block = pipeline.pipeline.add_blocks();
    *block->add_jobs() = BlockJobOf("j", row.name, v1::JOB_RESULT_PASSED);
    EXPECT_EQ(ValueOf(counter.Count(pipeline),
                      Named("job_runs_total", {kFile, "main", "branch", "passed", "", row.label})),
              1)
        << row.name;
  }
}

TEST(RunCounter, CountsADeploymentByTheResultOfItsPipelineAndItsLeadTime) {
  CollectedDeployment deployment;
  deployment.target = "production";
  deployment.deployment.set_state(v1::DEPLOYMENT_STATE_STARTED);
  deployment.result = v1::PIPELINE_RESULT_PASSED;
  deployment.automatic = true;
  deployment.done = absl::FromUnixSeconds(kStart + 900);
  deployment.workflow_created = absl::FromUnixSeconds(kStart);
  const RunCounter counter = CounterOf();
  Page page = Counter::PageOfCounted(counter.CountDeployment(kProject, deployment));
  EXPECT_EQ(ValueOf(page, Named("deployments_total", {"production", "passed", "auto"})), 1);
  EXPECT_EQ(ValueOf(page, Named("deployment_lead_time_seconds", {"production"})), 900);

  deployment.result = v1::PIPELINE_RESULT_FAILED;
  page = Counter::PageOfCounted(counter.CountDeployment(kProject, deployment));
  EXPECT_EQ(page.size(), 1u);
  EXPECT_EQ(ValueOf(page, Named("deployments_total", {"production", "failed", "auto"})), 1);
}

TEST(RunCounter, ADeploymentThatCouldNotStartHasFailed) {
  CollectedDeployment deployment;
  deployment.target = "production";
  deployment.deployment.set_state(v1::DEPLOYMENT_STATE_FAILED);
  const Page page = Counter::PageOfCounted(CounterOf().CountDeployment(kProject, deployment));
  EXPECT_EQ(ValueOf(page, Named("deployments_total", {"production", "failed", "manual"})), 1);
}

TEST(RunCounter, CountsPromotions) {
  CollectedPromotion promotion;
  promotion.promotion.set_name("Ship \"it\"\n");
  promotion.promotion.set_state(v1::PROMOTION_STATE_PASSED);
  const Page page = Counter::PageOfCounted(CounterOf().CountPromotion(kProject, promotion));
  EXPECT_EQ(
      ValueOf(page, Named("promotions_total", {"Ship \"it\"\xEF\xBF\xBD", "passed", "manual"})), 1);
}

TEST(RunCounter, WhateverIsCountedOnAListedRefHadAZeroBefore) {
  std::vector<CollectedPipeline> all = {WithABlock()};
  for (int result = 0; result < 5; ++result) {
    CollectedPipeline pipeline = PipelineOf({.id = "r" + std::to_string(result),
                                             .result = static_cast<v1::PipelineResult>(result),
                                             .commit = "abc"});
    SetTime(pipeline.pipeline.mutable_stopping_time(), kStart + 95.0);
    pipeline.pipeline.mutable_triggerer()->set_rerun_of_workflow_id("w0");
    all.push_back(pipeline);
  }
  Counter counter;
  for (const CollectedPipeline& pipeline : all) {
    std::map<std::string, int> zeros;
    for (const ZeroSeries& zero : CounterOf().PipelineZeros(kProject, pipeline)) {
      EXPECT_EQ(FindCiFamily(zero.family)->labels.size(), zero.labels.size()) << zero.family;
      ++zeros[NameOf(zero.family, zero.labels)];
    }
    for (const auto& [name, count] : zeros) EXPECT_EQ(count, 1) << name;
    for (const auto& [name, value] : counter.Count(pipeline))
      EXPECT_EQ(zeros.count(name), 1u) << name;
  }
}

TEST(RunCounter, ARefThatIsNotListedHasNoZeros) {
  EXPECT_TRUE(CounterOf().PipelineZeros(kProject, kFile, "feature").empty());
}

TEST(RunCounter, LabelsAreCleanWhateverUpstreamSays) {
  const std::vector<std::string> hostile = {
      "a\"b\\c", "a\nb", "\xF0\x9F\x9A\x80", std::string(10'000, 'x'), "\xff\xc0\x80", "'; DROP"};
  for (const std::string& name : hostile) {
    RunCounter rules = CounterOf(CiLevel::kJob, {"(?s).*"});
    CollectedPipeline pipeline = WithABlock();
    pipeline.pipeline.set_branch_name(name);
    pipeline.pipeline.set_yaml_file_name(name);
    pipeline.pipeline.set_pipeline_id(name);
    pipeline.pipeline.mutable_blocks(0)->set_name(name);
    pipeline.pipeline.mutable_blocks(0)->mutable_jobs(0)->set_name(name);
    const Counted counted = rules.CountPipeline(
        {"acme", "project-1", name}, pipeline, [](const std::string&) { return std::nullopt; },
        absl::FromUnixSeconds(kStart));
    EXPECT_FALSE(counted.increments.empty());
    for (const Increment& each : counted.increments) {
      for (const std::string& label : each.labels) {
        EXPECT_LE(label.size(), 128u);
        for (const char c : label) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
      }
    }
  }
}

TEST(PipelineKey, IsTheIdOrElseWhatMakesOneRunDifferent) {
  CollectedPipeline a = PipelineOf({});
  EXPECT_EQ(PipelineKey(a.pipeline), "p1");
  a.pipeline.clear_pipeline_id();
  CollectedPipeline b = a;
  EXPECT_EQ(PipelineKey(a.pipeline), PipelineKey(b.pipeline));
  b.pipeline.set_yaml_file_name("deploy.yml");
  EXPECT_NE(PipelineKey(a.pipeline), PipelineKey(b.pipeline));
  b = a;
  b.pipeline.mutable_create_time()->set_nanos(5);
  EXPECT_NE(PipelineKey(a.pipeline), PipelineKey(b.pipeline));
}

}  // namespace
}  // namespace semaphore::gateway
