// What REST costs beside gRPC: a request into its message and a reply into JSON, ours and
// protobuf's. Build with the release preset: ninja -C build/release transcode_bench.
#include <benchmark/benchmark.h>
#include <google/protobuf/util/json_util.h>

#include <string>

#include "client/method_table.h"
#include "gateway/rest_json_reader.h"
#include "gateway/rest_transcoder.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/pipeline.pb.h"

namespace semaphore::gateway {
namespace {

// A pipeline of four blocks with four jobs each.
std::string Reply() {
  v1::Pipeline pipeline;
  pipeline.set_pipeline_id("b1d2b1a5-8b3c-4f4e-9d3e-0a6a5c1f2d3e");
  pipeline.set_workflow_id("72ab2d5e-6c1f-4a0b-8e0e-3a9c7c3b2f10");
  pipeline.set_name("Build & test");
  pipeline.set_state(v1::PIPELINE_STATE_DONE);
  pipeline.set_result(v1::PIPELINE_RESULT_PASSED);
  for (auto* time : {pipeline.mutable_create_time(), pipeline.mutable_pending_time(),
                     pipeline.mutable_running_time(), pipeline.mutable_done_time()}) {
    time->set_seconds(1571055107);
    time->set_nanos(824128000);
  }
  for (int i = 0; i < 4; ++i) {
    auto* block = pipeline.add_blocks();
    block->set_block_id("ad2a6a7c-1c9d-4a3c-a7a9-5f0a1b2c3d4e");
    block->set_name("Unit tests");
    block->set_state(v1::BLOCK_STATE_DONE);
    block->set_result(v1::PIPELINE_RESULT_PASSED);
    for (int j = 0; j < 4; ++j) {
      auto* job = block->add_jobs();
      job->set_job_id("3c2b1a09-8f7e-4d6c-b5a4-938271605f4e");
      job->set_name("go test ./...");
      job->set_index(j);
      job->set_state(v1::BLOCK_JOB_STATE_FINISHED);
      job->set_result(v1::JOB_RESULT_PASSED);
    }
  }
  return pipeline.SerializeAsString();
}

constexpr char kBody[] =
    R"({"name":"production","description":"Where users are","url":"https://example.com",)"
    R"("projectId":"0d6d2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b","bookmarkParameter1":"environment",)"
    R"("subjectRules":[{"type":"SUBJECT_RULE_TYPE_ROLE","subjectId":"Admin"},)"
    R"({"type":"SUBJECT_RULE_TYPE_USER","gitLogin":"octocat"}],)"
    R"("objectRules":[{"type":"OBJECT_RULE_TYPE_BRANCH","matchMode":"MATCH_MODE_EXACT","pattern":"main"}]})";

const client::MethodTable& Table() {
  static const client::MethodTable* const table = client::MethodTable::Build()->release();
  return *table;
}

const RestTranscoder& Transcoder() {
  static const RestTranscoder* const transcoder = RestTranscoder::Create(Table())->release();
  return *transcoder;
}

void BM_ReplyJson(benchmark::State& state) {
  const auto& method = *Table().Find("semaphore.v1.PipelineService/GetPipeline");
  const std::string reply = Reply();
  size_t bytes = 0;
  for (auto _ : state) bytes += Transcoder().ReplyJson(method, reply)->size();
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(BM_ReplyJson);

void BM_ReplyJsonOfProtobuf(benchmark::State& state) {
  const std::string reply = Reply();
  size_t bytes = 0;
  for (auto _ : state) {
    v1::Pipeline pipeline;
    pipeline.ParseFromString(reply);
    std::string json;
    benchmark::DoNotOptimize(google::protobuf::util::MessageToJsonString(pipeline, &json).ok());
    bytes += json.size();
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(BM_ReplyJsonOfProtobuf);

void BM_ReadBody(benchmark::State& state) {
  for (auto _ : state) {
    v1::DeploymentTarget target;
    benchmark::DoNotOptimize(ReadRestJson(kBody, "", target, nullptr).ok());
  }
}
BENCHMARK(BM_ReadBody);

void BM_ReadBodyOfProtobuf(benchmark::State& state) {
  for (auto _ : state) {
    v1::DeploymentTarget target;
    benchmark::DoNotOptimize(google::protobuf::util::JsonStringToMessage(kBody, &target).ok());
  }
}
BENCHMARK(BM_ReadBodyOfProtobuf);

void BM_TranscodeGet(benchmark::State& state) {
  const RestTranscoder::Request request{
      .verb = "GET",
      .target = "/v1/pipelines/b1d2b1a5-8b3c-4f4e-9d3e-0a6a5c1f2d3e?view=PIPELINE_VIEW_FULL",
      .content_type = {},
      .body = {}};
  for (auto _ : state) benchmark::DoNotOptimize(Transcoder().Transcode(request).ok());
}
BENCHMARK(BM_TranscodeGet);

}  // namespace
}  // namespace semaphore::gateway

BENCHMARK_MAIN();
