// What the tests of counting share: pipelines by a few words, a folder that goes away, and a page
// as a map from "family{labels}" to its value.
#ifndef SEMAPHORE_TESTS_GATEWAY_LEDGER_FIXTURE_H_
#define SEMAPHORE_TESTS_GATEWAY_LEDGER_FIXTURE_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/ledger.h"
#include "gateway/run_counter.h"

namespace semaphore::gateway {

inline constexpr int64_t kStart = 1700000000;  // as the fake clock

inline void SetTime(google::protobuf::Timestamp* time, double seconds) {
  time->set_seconds(static_cast<int64_t>(seconds));
  time->set_nanos(static_cast<int32_t>((seconds - static_cast<double>(time->seconds())) * 1e9));
}

struct RunFacts {
  std::string id = "p1";
  v1::PipelineResult result = v1::PIPELINE_RESULT_PASSED;
  double done = kStart + 100;
  std::string branch = "main";
  std::string commit = {};
  std::string workflow = {};  // of its own if empty
};

inline CollectedPipeline PipelineOf(const RunFacts& run) {
  CollectedPipeline out;
  v1::Pipeline& pipeline = out.pipeline;
  pipeline.set_pipeline_id(run.id);
  pipeline.set_workflow_id(run.workflow.empty() ? "w-" + run.id : run.workflow);
  pipeline.set_branch_name(run.branch);
  pipeline.set_commit_sha(run.commit);
  pipeline.set_working_directory(".semaphore");
  pipeline.set_yaml_file_name("semaphore.yml");
  pipeline.set_state(v1::PIPELINE_STATE_DONE);
  pipeline.set_result(run.result);
  if (run.result == v1::PIPELINE_RESULT_FAILED) {
    pipeline.set_result_reason(v1::PIPELINE_RESULT_REASON_TEST);
  }
  pipeline.mutable_triggerer()->set_workflow_trigger(v1::WORKFLOW_TRIGGER_HOOK);
  pipeline.mutable_triggerer()->set_pipeline_trigger(v1::PIPELINE_TRIGGER_WORKFLOW);
  SetTime(pipeline.mutable_create_time(), run.done - 100);
  SetTime(pipeline.mutable_running_time(), run.done - 90);
  SetTime(pipeline.mutable_done_time(), run.done);
  return out;
}

inline CollectedBatch BatchOf(std::vector<CollectedPipeline> pipelines) {
  CollectedBatch batch;
  batch.organization = "acme";
  batch.project_id = "project-1";
  batch.project = "web";
  batch.pipelines = std::move(pipelines);
  return batch;
}

inline RunCounter CounterOf(CiLevel level = CiLevel::kJob,
                            const std::vector<std::string>& refs = {"main"}) {
  return {*RefRules::Create(refs), level};
}

// Counters by their value, histograms as name_count and name_sum.
using Page = std::map<std::string, double>;

inline std::string NameOf(std::string_view family, const std::vector<std::string>& labels) {
  return absl::StrCat(std::string(family), "{", absl::StrJoin(labels, ","), "}");
}

inline Page PageOf(const CiSnapshot& snapshot) {
  Page page;
  for (const CiFamily& family : snapshot.families) {
    for (const CiSeries& series : family.series) {
      if (series.buckets.empty()) {
        page[NameOf(family.name, series.labels)] = series.value;
        continue;
      }
      uint64_t count = 0;
      for (const uint64_t bucket : series.buckets) count += bucket;
      page[NameOf(absl::StrCat(std::string(family.name), "_count"), series.labels)] =
          static_cast<double>(count);
      page[NameOf(absl::StrCat(std::string(family.name), "_sum"), series.labels)] = series.sum;
    }
  }
  return page;
}

// Only what is not 0.
inline Page NonZero(Page page) {
  std::erase_if(page, [](const auto& each) { return each.second == 0; });
  return page;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ledger-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file() const { return path_ + "/ledger.sqlite3"; }

 private:
  std::string path_;
};

// All that is counted, published or not: as a scraper would see it in the end.
inline Page TotalsOf(Ledger& ledger) {
  ledger.SeriesScraped(ledger.View().generation);
  ledger.Settle().IgnoreError();
  return NonZero(PageOf(*ledger.View().snapshot));
}

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_TESTS_GATEWAY_LEDGER_FIXTURE_H_
