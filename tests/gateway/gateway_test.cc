// The whole gateway in one process, between a real gRPC client and the simulator over real TLS: the
// five methods, the metadata and errors that callers see, and above all what is left behind when a
// caller goes away or runs out of time.
#include "gateway/gateway.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/clock.h"
#include "gateway/config.h"
#include "gateway/log.h"
#include "semaphore/v1/job.grpc.pb.h"
#include "semaphore/v1/pipeline.grpc.pb.h"
#include "semaphore/v1/workflow.grpc.pb.h"
#include "tests/simulator/simulator.h"

namespace semaphore::gateway {
namespace {

using simulator::Fault;
using simulator::FaultAction;
using simulator::FaultStage;
using simulator::Simulator;

std::string WriteCa(const Simulator& upstream) {
  const std::string path =
      absl::StrCat(testing::TempDir(), "/gateway_test_ca_", upstream.port(), ".pem");
  std::ofstream(path) << upstream.ca_pem();
  return path;
}

OrganizationConfig Organization(const std::string& name, const Simulator& upstream) {
  OrganizationConfig organization;
  organization.name = name;
  organization.host = "localhost";
  organization.port = upstream.port();
  organization.base_path = "/api/v1alpha";
  organization.token_env = "SEMAPHORE_API_TOKEN";
  organization.token = "simulator-token";
  organization.ca_file = WriteCa(upstream);
  return organization;
}

class GatewayTest : public testing::Test {
 protected:
  GatewayTest() {
    config_.organizations = {Organization("acme", *upstream_)};
    config_.grpc.address = {"127.0.0.1", 0};
    config_.admin = {"127.0.0.1", 0};
    config_.upstream.requests_per_second = 100000;
    config_.upstream.burst = 100000;
    config_.callers.requests_per_second = 0;
    config_.cache_max_bytes = 0;  // so that every call reaches upstream
  }

  void Serve() {
    auto gateway = Gateway::Start(config_, log_);
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", gateway_->grpc_port()),
                                   grpc::InsecureChannelCredentials());
    pipelines_ = v1::PipelineService::NewStub(channel_);
    workflows_ = v1::WorkflowService::NewStub(channel_);
    jobs_ = v1::JobService::NewStub(channel_);
  }

  static void SetTimeout(grpc::ClientContext& context, std::chrono::milliseconds timeout) {
    context.set_deadline(std::chrono::system_clock::now() + timeout);
  }

  // Long enough for the slowest machine; no test waits for it to pass.
  static constexpr std::chrono::seconds kLong{120};

  grpc::Status GetPipeline(const std::string& id, v1::Pipeline& pipeline,
                           grpc::ClientContext& context) {
    SetTimeout(context, kLong);
    v1::GetPipelineRequest request;
    request.set_pipeline_id(id);
    return pipelines_->GetPipeline(&context, request, &pipeline);
  }

  grpc::Status GetDonePipeline(std::chrono::milliseconds timeout = kLong) {
    grpc::ClientContext context;
    SetTimeout(context, timeout);
    v1::GetPipelineRequest request;
    request.set_pipeline_id(upstream_->ids().done_pipeline);
    v1::Pipeline pipeline;
    return pipelines_->GetPipeline(&context, request, &pipeline);
  }

  bool UpstreamIsLeftAlone() {
    return upstream_->WaitUntil([this] { return upstream_->open_connections() == 0; });
  }

  const std::unique_ptr<Simulator> upstream_ = *Simulator::Start();
  client::SystemClock clock_;
  Log log_{clock_, {}, [](std::string_view) {}};
  Config config_;
  std::unique_ptr<Gateway> gateway_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::PipelineService::Stub> pipelines_;
  std::unique_ptr<v1::WorkflowService::Stub> workflows_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
};

std::string Metadata(const grpc::ClientContext& context, const char* key) {
  const auto found = context.GetServerInitialMetadata().find(key);
  return found == context.GetServerInitialMetadata().end()
             ? ""
             : std::string(found->second.data(), found->second.size());
}

template <typename Detail>
Detail DetailOf(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  Detail detail;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  return {};
}

std::string ReasonOf(const grpc::Status& status) {
  return DetailOf<google::rpc::ErrorInfo>(status).reason();
}

// ---- The five methods
// ---------------------------------------------------------------------------------------------

TEST_F(GatewayTest, ReadsAPipelineWithRealTimesAndEnums) {
  Serve();
  grpc::ClientContext context;
  v1::Pipeline pipeline;
  const grpc::Status status = GetPipeline(upstream_->ids().done_pipeline, pipeline, context);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(pipeline.pipeline_id(), upstream_->ids().done_pipeline);
  EXPECT_EQ(pipeline.state(), v1::PIPELINE_STATE_DONE);
  EXPECT_EQ(pipeline.result(), v1::PIPELINE_RESULT_PASSED);
  EXPECT_TRUE(pipeline.has_done_time());
  EXPECT_FALSE(pipeline.has_stopping_time());
  EXPECT_EQ(pipeline.blocks_size(), 0);
  EXPECT_EQ(Metadata(context, "x-cache"), "miss");
  EXPECT_EQ(Metadata(context, "age"), "0");
  EXPECT_FALSE(Metadata(context, "x-request-id").empty());
}

TEST_F(GatewayTest, ShowsBlocksAndJobsInTheFullView) {
  Serve();
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  v1::GetPipelineRequest request;
  request.set_pipeline_id(upstream_->ids().failed_pipeline);
  request.set_view(v1::PIPELINE_VIEW_FULL);
  v1::Pipeline pipeline;
  ASSERT_TRUE(pipelines_->GetPipeline(&context, request, &pipeline).ok());
  ASSERT_GT(pipeline.blocks_size(), 0);
  EXPECT_GT(pipeline.blocks(0).jobs_size(), 0);
}

TEST_F(GatewayTest, WalksAListToItsEndWithoutLosingOrRepeatingAnything) {
  Serve();
  for (const int page_size : {1, 7, 30, 1000}) {
    SCOPED_TRACE(page_size);
    std::set<std::string> ids;
    int items = 0;
    v1::ListWorkflowsRequest request;
    request.set_project_id(upstream_->ids().project);
    request.set_page_size(page_size);
    do {
      grpc::ClientContext context;
      SetTimeout(context, kLong);
      v1::ListWorkflowsResponse page;
      ASSERT_TRUE(workflows_->ListWorkflows(&context, request, &page).ok());
      for (const v1::Workflow& workflow : page.workflows()) ids.insert(workflow.workflow_id());
      items += page.workflows_size();
      EXPECT_EQ(page.total_size(), 35);
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    EXPECT_EQ(ids.size(), 35);
    EXPECT_EQ(items, 35);
  }
}

TEST_F(GatewayTest, StopsARunningPipeline) {
  Serve();
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  v1::StopPipelineRequest request;
  request.set_pipeline_id(upstream_->ids().running_pipeline);
  v1::StopPipelineResponse reply;
  ASSERT_TRUE(pipelines_->StopPipeline(&context, request, &reply).ok());
  EXPECT_EQ(Metadata(context, "x-cache"), "bypass");
  ASSERT_EQ(upstream_->Requests().size(), 1);
  EXPECT_EQ(upstream_->Requests()[0].method, "PATCH");
  EXPECT_EQ(upstream_->Requests()[0].body, R"({"terminate_request":true})");
}

TEST_F(GatewayTest, RunsAWorkflowOnce) {
  Serve();
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  v1::RunWorkflowRequest request;
  request.set_project_id(upstream_->ids().project);
  request.set_reference("refs/heads/main");
  (*request.mutable_parameters())["GREETING"] = "hello & goodbye";
  v1::RunWorkflowResponse reply;
  ASSERT_TRUE(workflows_->RunWorkflow(&context, request, &reply).ok());
  EXPECT_FALSE(reply.workflow_id().empty());
  EXPECT_FALSE(reply.pipeline_id().empty());
  ASSERT_EQ(upstream_->Requests().size(), 1);
  EXPECT_THAT(upstream_->Requests()[0].body,
              testing::HasSubstr("parameters%5BGREETING%5D=hello%20%26%20goodbye"));
}

TEST_F(GatewayTest, ReadsTheLogsOfCloudAndSelfHostedJobsInPages) {
  Serve();
  for (const std::string& job : {upstream_->ids().cloud_job, upstream_->ids().self_hosted_job}) {
    SCOPED_TRACE(job);
    v1::GetJobLogRequest request;
    request.set_job_id(job);
    request.set_page_size(3);
    v1::JobLog all;
    v1::JobLog page;
    do {
      grpc::ClientContext context;
      SetTimeout(context, kLong);
      page.Clear();
      ASSERT_TRUE(jobs_->GetJobLog(&context, request, &page).ok());
      EXPECT_LE(page.events_size(), 3);
      all.MergeFrom(page);
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    EXPECT_TRUE(page.complete());
    EXPECT_EQ(all.events(0).kind(), v1::JOB_LOG_EVENT_KIND_JOB_STARTED);
    EXPECT_EQ(all.events(all.events_size() - 1).kind(), v1::JOB_LOG_EVENT_KIND_JOB_FINISHED);
  }
  for (const auto& request : upstream_->Requests()) {
    // The hand-over carries a token of its own; ours stays here.
    if (absl::StartsWith(request.target, "/api/v1/")) {
      EXPECT_EQ(request.authorization, simulator::Authorization::kNone);
    }
  }
  EXPECT_EQ(upstream_->RequestsTo("/api/v1/logs/").size(), 1) << "a walk is one download";
}

// ---- Errors and organizations
// -------------------------------------------------------------------------------------

TEST_F(GatewayTest, TellsWhatUpstreamSaidWhenSomethingIsMissing) {
  Serve();
  grpc::ClientContext context;
  v1::Pipeline pipeline;
  const grpc::Status status =
      GetPipeline("00000000-0000-4000-8000-000000000000", pipeline, context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info.reason(), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(info.domain(), "semaphore-gateway");
  EXPECT_EQ(info.metadata().at("upstreamStatus"), "404");
  EXPECT_EQ(info.metadata().at("method"), "semaphore.v1.PipelineService/GetPipeline");
  EXPECT_FALSE(Metadata(context, "x-request-id").empty());
}

TEST_F(GatewayTest, RefusesABadIdBeforeAnythingIsSent) {
  Serve();
  for (const std::string id : {"", "..", "a/b", "%2e%2e", "a\r\nHost: evil", "ä", "a b"}) {
    SCOPED_TRACE(id);
    grpc::ClientContext context;
    v1::Pipeline pipeline;
    const grpc::Status status = GetPipeline(id, pipeline, context);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
    EXPECT_EQ(DetailOf<google::rpc::BadRequest>(status).field_violations(0).field(), "pipeline_id");
  }
  EXPECT_EQ(upstream_->total_connections(), 0);
}

TEST_F(GatewayTest, ServesSeveralOrganizationsByMetadata) {
  const std::unique_ptr<Simulator> other = *Simulator::Start({.seed = 2});
  config_.organizations.push_back(Organization("other", *other));
  Serve();
  grpc::ClientContext context;
  context.AddMetadata("x-semaphore-organization", "other");
  v1::Pipeline pipeline;
  ASSERT_TRUE(GetPipeline(other->ids().done_pipeline, pipeline, context).ok());
  EXPECT_EQ(upstream_->Requests().size(), 0);
  const auto requests = other->Requests();
  ASSERT_EQ(requests.size(), 1);
  for (const auto& [name, value] : requests[0].headers) {
    EXPECT_FALSE(absl::StartsWith(name, "x-semaphore")) << name;
  }
}

TEST_F(GatewayTest, NamesTheOrganizationsWhenAnUnknownOneIsAskedFor) {
  Serve();
  grpc::ClientContext context;
  context.AddMetadata("x-semaphore-organization", "nobody");
  v1::Pipeline pipeline;
  const grpc::Status status = GetPipeline("x", pipeline, context);
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_ORGANIZATION");
  EXPECT_THAT(status.error_message(), testing::HasSubstr("acme"));
}

TEST_F(GatewayTest, TriesAReadAgainThatUpstreamCouldNotServe) {
  Serve();
  upstream_->AddFault({.method = "GET", .times = 1, .status = 503});
  EXPECT_TRUE(GetDonePipeline().ok());
  EXPECT_EQ(upstream_->Requests().size(), 2);
}

TEST_F(GatewayTest, PassesOnWhenToComeBack) {
  Serve();
  upstream_->AddFault({.status = 429, .headers = {{"retry-after", "3000"}}});
  const grpc::Status status = GetDonePipeline();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(status).retry_delay().seconds(), 3000);
  EXPECT_EQ(upstream_->Requests().size(), 1) << "upstream asked for fewer requests";
}

TEST_F(GatewayTest, NeverSendsARunTwiceAndSaysThatItMayHaveHappened) {
  Serve();
  upstream_->AddFault(
      {.method = "POST", .action = FaultAction::kClose, .stage = FaultStage::kBeforeReply});
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  v1::RunWorkflowRequest request;
  request.set_project_id(upstream_->ids().project);
  request.set_reference("main");
  v1::RunWorkflowResponse reply;
  const grpc::Status status = workflows_->RunWorkflow(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(ReasonOf(status), "OUTCOME_UNKNOWN");
  EXPECT_FALSE(DetailOf<google::rpc::RetryInfo>(status).has_retry_delay());
  EXPECT_EQ(upstream_->Requests().size(), 1);
}

TEST_F(GatewayTest, RefusesAtOnceWhatTheBudgetCannotServeInTime) {
  config_.upstream.requests_per_second = 0.01;
  config_.upstream.burst = 1;
  Serve();
  EXPECT_TRUE(GetDonePipeline().ok());
  const grpc::Status status = GetDonePipeline();
  EXPECT_EQ(ReasonOf(status), "UPSTREAM_BUDGET_EXHAUSTED");
  EXPECT_GT(DetailOf<google::rpc::RetryInfo>(status).retry_delay().seconds(), 10);
  EXPECT_EQ(upstream_->Requests().size(), 1);
}

TEST_F(GatewayTest, OneCallersQuotaIsItsOwnAndRefusalsSayWhenToComeBack) {
  config_.callers = {.requests_per_second = 0.01, .burst = 1};
  Serve();
  EXPECT_TRUE(GetDonePipeline().ok());
  const grpc::Status status = GetDonePipeline();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "CALLER_QUOTA_EXHAUSTED");
  EXPECT_GT(DetailOf<google::rpc::RetryInfo>(status).retry_delay().seconds(), 10);
  EXPECT_EQ(upstream_->Requests().size(), 1);
}

TEST_F(GatewayTest, APriorityThatDoesNotExistIsRefused) {
  Serve();
  for (const char* priority : {"batch", "interactive"}) {
    grpc::ClientContext context;
    context.AddMetadata("x-priority", priority);
    v1::Pipeline pipeline;
    EXPECT_TRUE(GetPipeline(upstream_->ids().done_pipeline, pipeline, context).ok());
  }
  grpc::ClientContext context;
  context.AddMetadata("x-priority", "urgent");
  v1::Pipeline pipeline;
  const grpc::Status status = GetPipeline(upstream_->ids().done_pipeline, pipeline, context);
  EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
  EXPECT_EQ(DetailOf<google::rpc::BadRequest>(status).field_violations(0).field(), "x-priority");
}

TEST_F(GatewayTest, TooManyBytesInHandAreRefusedCheaply) {
  config_.limits.max_queued_bytes = 10;
  Serve();
  EXPECT_EQ(ReasonOf(GetDonePipeline()), "GATEWAY_OVERLOADED");
  EXPECT_TRUE(upstream_->Requests().empty());
}

// ---- The cache, as callers see it

class CachedGatewayTest : public GatewayTest {
 protected:
  CachedGatewayTest() { config_.cache_max_bytes = 64 << 20; }

  // The x-cache of an answer; "" when the call failed.
  std::string Cached(const std::string& id, const std::string& cache_control = "") {
    grpc::ClientContext context;
    if (!cache_control.empty()) context.AddMetadata("cache-control", cache_control);
    v1::Pipeline pipeline;
    if (!GetPipeline(id, pipeline, context).ok()) return "";
    EXPECT_EQ(pipeline.pipeline_id(), id);
    const auto& metadata = context.GetServerInitialMetadata();
    EXPECT_TRUE(metadata.find("age") != metadata.end());
    EXPECT_TRUE(metadata.find("x-request-id") != metadata.end());
    const auto found = metadata.find("x-cache");
    return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
  }
};

TEST_F(CachedGatewayTest, AFinishedPipelineIsAskedForOnceUnlessTheCallerWantsItFresh) {
  Serve();
  const std::string id = upstream_->ids().failed_pipeline;
  EXPECT_EQ(Cached(id), "miss");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Cached(id), "hit");
  EXPECT_EQ(Cached(id, "no-cache"), "bypass");
  EXPECT_EQ(Cached(id, "max-age=3600"), "hit");
  EXPECT_EQ(upstream_->Requests().size(), 2);
}

TEST_F(CachedGatewayTest, AChangeIsSeenByTheNextRead) {
  Serve();
  const std::string id = upstream_->ids().running_pipeline;
  EXPECT_EQ(Cached(id), "miss");
  EXPECT_EQ(Cached(id), "hit");
  grpc::ClientContext context;
  v1::StopPipelineRequest stop;
  stop.set_pipeline_id(id);
  v1::StopPipelineResponse stopped;
  ASSERT_TRUE(pipelines_->StopPipeline(&context, stop, &stopped).ok());
  grpc::ClientContext again;
  v1::Pipeline pipeline;
  ASSERT_TRUE(GetPipeline(id, pipeline, again).ok());
  EXPECT_NE(pipeline.state(), v1::PIPELINE_STATE_RUNNING);
}

TEST_F(CachedGatewayTest, ReadsOutliveTheirUpstreamMarkedStale) {
  config_.cache_lifetimes.unsettled = absl::Nanoseconds(1);
  config_.cache_lifetimes.terminal = absl::Nanoseconds(1);
  config_.cache_lifetimes.stale_while_revalidate = absl::ZeroDuration();
  Serve();
  const std::string id = upstream_->ids().done_pipeline;
  EXPECT_EQ(Cached(id), "miss");
  upstream_->AddFault({.status = 503});
  EXPECT_EQ(Cached(id), "stale");
  EXPECT_EQ(Cached(id, "no-cache"), "");
  EXPECT_EQ(Cached(id, "max-stale=0"), "");
}

TEST_F(CachedGatewayTest, ARefreshThatHangsDoesNotOutliveTheGateway) {
  config_.cache_lifetimes.unsettled = absl::Nanoseconds(1);
  config_.cache_lifetimes.terminal = absl::Nanoseconds(1);
  Serve();
  const std::string id = upstream_->ids().done_pipeline;
  EXPECT_EQ(Cached(id), "miss");
  upstream_->AddFault({.action = FaultAction::kSilence, .stage = FaultStage::kBeforeReply});
  EXPECT_EQ(Cached(id), "stale");
  ASSERT_TRUE(upstream_->WaitUntil([&] { return upstream_->Requests().size() == 2; }));
  gateway_->Stop(absl::ZeroDuration());
  gateway_.reset();
  EXPECT_TRUE(UpstreamIsLeftAlone());
}

TEST_F(CachedGatewayTest, SecretsAreNeverKept) {
  Serve();
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_job_id(upstream_->ids().cloud_job);
    request.set_view(v1::JOB_VIEW_FULL);
    v1::Job job;
    ASSERT_TRUE(jobs_->GetJob(&context, request, &job).ok());
    EXPECT_GT(job.spec().env_vars_size(), 0);
  }
  EXPECT_EQ(upstream_->Requests().size(), 2);
}

TEST_F(CachedGatewayTest, ADirectiveThatMakesNoSenseIsRefused) {
  Serve();
  grpc::ClientContext context;
  context.AddMetadata("cache-control", "max-age=soon");
  v1::Pipeline pipeline;
  const grpc::Status status = GetPipeline(upstream_->ids().done_pipeline, pipeline, context);
  EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
}

// ---- Callers that go away
// -----------------------------------------------------------------------------------------

struct StageRow {
  const char* name;
  FaultStage stage;
  bool request_is_seen;  // upstream has read the request's head by then
};

constexpr StageRow kStages[] = {
    {"accept", FaultStage::kAccept, false},    {"handshake", FaultStage::kHandshake, false},
    {"reply", FaultStage::kBeforeReply, true}, {"status line", FaultStage::kStatusLine, true},
    {"header", FaultStage::kHead, true},       {"body", FaultStage::kBody, true},
};

TEST_F(GatewayTest, LeavesNothingBehindWhenACallerCancelsAtAnyStage) {
  Serve();
  for (const StageRow& row : kStages) {
    SCOPED_TRACE(row.name);
    const uint64_t connections = upstream_->total_connections();
    upstream_->ClearFaults();
    upstream_->ClearRequests();
    upstream_->AddFault({.action = FaultAction::kSilence, .stage = row.stage});
    grpc::ClientContext context;
    v1::Pipeline pipeline;
    std::future<grpc::Status> call = std::async(std::launch::async, [&] {
      return GetPipeline(upstream_->ids().done_pipeline, pipeline, context);
    });
    ASSERT_TRUE(upstream_->WaitUntil([&] {
      return row.request_is_seen ? !upstream_->Requests().empty()
                                 : upstream_->total_connections() > connections;
    }));
    context.TryCancel();
    EXPECT_EQ(call.get().error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_TRUE(UpstreamIsLeftAlone());
  }
}

TEST_F(GatewayTest, LeavesNothingBehindWhenTimeRunsOutAtAnyStage) {
  Serve();
  for (const StageRow& row : kStages) {
    SCOPED_TRACE(row.name);
    upstream_->ClearFaults();
    upstream_->AddFault({.action = FaultAction::kSilence, .stage = row.stage});
    grpc::ClientContext context;
    SetTimeout(context, std::chrono::milliseconds(400));
    v1::GetPipelineRequest request;
    request.set_pipeline_id(upstream_->ids().done_pipeline);
    v1::Pipeline pipeline;
    EXPECT_EQ(pipelines_->GetPipeline(&context, request, &pipeline).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_TRUE(UpstreamIsLeftAlone());
  }
}

TEST_F(GatewayTest, ServesOthersAfterCallersWentAway) {
  config_.upstream.max_in_flight = 1;
  Serve();
  upstream_->AddFault(
      {.times = 1, .action = FaultAction::kSilence, .stage = FaultStage::kBeforeReply});
  grpc::ClientContext context;
  v1::Pipeline pipeline;
  std::future<grpc::Status> call = std::async(std::launch::async, [&] {
    return GetPipeline(upstream_->ids().done_pipeline, pipeline, context);
  });
  ASSERT_TRUE(upstream_->WaitUntil([&] { return !upstream_->Requests().empty(); }));
  context.TryCancel();
  call.get();
  // Another pipeline: who asks for the same might still join the request that is to be given up.
  grpc::ClientContext other;
  EXPECT_TRUE(GetPipeline(upstream_->ids().failed_pipeline, pipeline, other).ok())
      << "the only slot was given back";
}

TEST_F(GatewayTest, AnswersManyCallersAtOnce) {
  Serve();
  std::vector<std::future<int>> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(std::async(std::launch::async, [this] {
      int good = 0;
      for (int call = 0; call < 50; ++call) good += GetDonePipeline().ok() ? 1 : 0;
      return good;
    }));
  }
  for (std::future<int>& caller : callers) EXPECT_EQ(caller.get(), 50);
  EXPECT_LE(upstream_->total_connections(), 32);
}

// ---- The end
// ------------------------------------------------------------------------------------------------------

TEST_F(GatewayTest, FinishesTheCallsInHandWhenItIsStopped) {
  Serve();
  upstream_->AddFault({.action = FaultAction::kHold, .stage = FaultStage::kBeforeReply});
  std::future<grpc::Status> call =
      std::async(std::launch::async, [this] { return GetDonePipeline(); });
  ASSERT_TRUE(upstream_->WaitUntil([this] { return upstream_->held() == 1; }));
  std::future<void> stopped =
      std::async(std::launch::async, [this] { gateway_->Stop(absl::Seconds(120)); });
  // Whoever calls now is told why, and that another replica would do.
  grpc::Status refused;
  do {
    refused = GetDonePipeline(std::chrono::milliseconds(200));
  } while (refused.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonOf(refused), "GATEWAY_DRAINING");
  upstream_->ReleaseHeld();
  EXPECT_TRUE(call.get().ok());
  stopped.get();
  EXPECT_EQ(GetDonePipeline().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GatewayTest, CancelsTheCallsInHandWhenTheGraceIsOver) {
  Serve();
  upstream_->AddFault({.action = FaultAction::kSilence, .stage = FaultStage::kBeforeReply});
  std::future<grpc::Status> call =
      std::async(std::launch::async, [this] { return GetDonePipeline(); });
  ASSERT_TRUE(upstream_->WaitUntil([this] { return !upstream_->Requests().empty(); }));
  gateway_->Stop(absl::ZeroDuration());
  EXPECT_FALSE(call.get().ok());
  EXPECT_TRUE(UpstreamIsLeftAlone());
}

TEST_F(GatewayTest, SaysWhyItCannotListen) {
  Serve();
  Config second = config_;
  second.grpc.address.port = gateway_->grpc_port();
  const auto gateway = Gateway::Start(second, log_);
  ASSERT_FALSE(gateway.ok());
  EXPECT_THAT(std::string(gateway.status().message()), testing::HasSubstr("in use"));
}

}  // namespace
}  // namespace semaphore::gateway
