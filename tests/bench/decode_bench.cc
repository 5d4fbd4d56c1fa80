// What it costs to turn upstream's JSON into a message: our descriptor-driven decoder against
// protobuf's own json_util, which is what one would use without it. Run by tests/bench/run.sh, with
// the repetitions of both interleaved.
#include <benchmark/benchmark.h>
#include <google/protobuf/util/json_util.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "client/decoder.h"
#include "client/job_log.h"
#include "client/method_table.h"
#include "client/reply.h"
#include "semaphore/v1/pipeline.pb.h"

namespace semaphore::client {
namespace {

// A BASIC describe as the service sends it (facts §5.2), with values of usual length.
constexpr char kDescribe[] =
    R"({"pipeline":{"ppl_id":"2f0c5d5e-bb66-4507-afe1-d457f631fa8c","name":"Build and test",)"
    R"("project_id":"e2c98e64-82e9-45ca-afbc-0e16d507427d","organization_id":"70829ddf-d41e-42e4-a64a-d3af481b530d",)"
    R"("branch_name":"master","branch_id":"b82113fe-125f-4d11-baee-fc34b93e84cd",)"
    R"("commit_sha":"1b1b0da42fba7654c6b408dafaf35c906355b905","commit_message":"Make the parser accept empty input",)"
    R"("hook_id":"2af29d7d-3123-4b13-b3bd-ddd66f796c1a","wf_id":"e1766990-eea7-41a3-9f69-0472dd5e5047",)"
    R"("repository_id":"3fa6de5a-d631-4683-9152-b5496a69745e","snapshot_id":"","switch_id":"",)"
    R"("working_directory":".semaphore","yaml_file_name":"semaphore.yml","error_description":"","terminate_request":"",)"
    R"("terminated_by":"","promotion_of":"","partial_rerun_of":"","partially_rerun_by":"","compile_task_id":"",)"
    R"("after_task_id":"","with_after_task":false,"created_at":"2024-02-29 18:31:17.293456Z",)"
    R"("pending_at":"2024-02-29 18:31:18.293456Z","queuing_at":"2024-02-29 18:31:19.293456Z",)"
    R"("running_at":"2024-02-29 18:31:20.293456Z","stopping_at":"1970-01-01 00:00:00.000000Z",)"
    R"("done_at":"2024-02-29 18:41:00.293456Z","state":"done","result":"passed","result_reason":"test","env_vars":[],)"
    R"("queue":{"queue_id":"dbb5040e-4b3a-4f77-9105-8f5334db2f5f","name":"master-semaphore.yml","scope":"project",)"
    R"("project_id":"e2c98e64-82e9-45ca-afbc-0e16d507427d","organization_id":"70829ddf-d41e-42e4-a64a-d3af481b530d",)"
    R"("type":0},"triggerer":{"wf_triggered_by":0,"wf_triggerer_id":"2af29d7d-3123-4b13-b3bd-ddd66f796c1a",)"
    R"("wf_triggerer_user_id":"d8ff62fe-57f0-43a3-bbaa-e48fa2239850","wf_triggerer_provider_login":"octocat",)"
    R"("wf_triggerer_provider_uid":"583231","wf_triggerer_provider_avatar":"https://avatars.example/583231",)"
    R"("ppl_triggered_by":0,"ppl_triggerer_id":"e1766990-eea7-41a3-9f69-0472dd5e5047",)"
    R"("ppl_triggerer_user_id":"d8ff62fe-57f0-43a3-bbaa-e48fa2239850","workflow_rerun_of":""}},"blocks":[]})";

struct Fixture {
  std::unique_ptr<MethodTable> table = *MethodTable::Build();
  const MethodSpec& get_pipeline = *table->Find("semaphore.v1.PipelineService/GetPipeline");
  v1::GetPipelineRequest request;

  v1::Pipeline Decode() {
    v1::Pipeline pipeline;
    Drift drift;
    const absl::Status status = DecodeReply(get_pipeline, kDescribe, request, drift, pipeline);
    if (!status.ok() || drift.unknown_fields + drift.unknown_words > 0 ||
        pipeline.triggerer().workflow_trigger() == 0) {
      std::cerr << "the benchmark's own reply does not decode: " << status << '\n';
      std::abort();
    }
    return pipeline;
  }
};

void DecodeByDescriptors(benchmark::State& state) {
  Fixture fixture;
  fixture.Decode();
  for (auto _ : state) {
    v1::Pipeline pipeline;
    Drift drift;
    benchmark::DoNotOptimize(
        DecodeReply(fixture.get_pipeline, kDescribe, fixture.request, drift, pipeline));
  }
}
BENCHMARK(DecodeByDescriptors);

// The same message from proto3's own JSON form, which is even a little easier: one spelling of
// everything.
void DecodeByJsonUtil(benchmark::State& state) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(Fixture().Decode(), &json).ok()) std::abort();
  for (auto _ : state) {
    v1::Pipeline pipeline;
    benchmark::DoNotOptimize(google::protobuf::util::JsonStringToMessage(json, &pipeline));
  }
}
BENCHMARK(DecodeByJsonUtil);

// A log of 10 MB in chunks as they come from the network; bytes per second.
void DecodeJobLog(benchmark::State& state) {
  std::string log = R"({"events":[{"event":"job_started","timestamp":1719979253})";
  while (log.size() < 10 << 20) {
    log +=
        R"(,{"event":"cmd_output","timestamp":1719979253,"output":"a line of output, about as long as they are\n"})";
  }
  log += "]}";
  for (auto _ : state) {
    JobLogParser parser;
    for (size_t at = 0; at < log.size(); at += 64 << 10) {
      if (!parser.Write(std::string_view(log).substr(at, 64 << 10)).ok()) std::abort();
    }
    benchmark::DoNotOptimize(parser.Finish());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * log.size()));
}
BENCHMARK(DecodeJobLog);

}  // namespace
}  // namespace semaphore::client

BENCHMARK_MAIN();
