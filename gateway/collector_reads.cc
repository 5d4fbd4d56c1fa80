#include "gateway/collector_reads.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/validate.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;

// Retries of one request and its waits for the budget included.
constexpr std::chrono::seconds kDeadline{60};
// When the budget is spent on callers, the collector's turn comes later.
constexpr int kMaxTurns = 6;
constexpr int kMaxPages = 500;
constexpr char kCaller[] = "collector";

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp out;
  out.set_seconds(absl::ToUnixSeconds(time));
  return out;
}

bool OutOfBudget(const absl::Status& status) {
  return client::HasReason(status, client::Reason::kUpstreamBudgetExhausted) ||
         client::HasReason(status, client::Reason::kGatewayOverloaded);
}

}  // namespace

template <typename Reply, typename Request>
CollectorReads::Reading<Reply> CollectorReads::Read(const char* method, Request request) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const client::MethodSpec* const spec = upstream_.table().Find(method);
  if (spec == nullptr) co_return absl::InternalError(absl::StrCat("no method ", method));
  // Ids come from upstream's own replies, and yet they go into paths.
  const absl::Status valid = client::ValidateRequest(*spec, request);
  if (!valid.ok()) co_return valid;
  const std::shared_ptr<const google::protobuf::Message> message =
      std::make_shared<Request>(std::move(request));
  for (int turn = 1;; ++turn) {
    client::CallContext context{.deadline = clock_.Now() + kDeadline};
    context.turn = {.priority = client::Priority::kCollector, .caller = kCaller};
    context.fresh = true;
    const client::CallResult result = co_await upstream_.Call(*spec, message, std::move(context));
    if (result.status.ok()) {
      Reply reply;
      if (!reply.ParseFromString(result.reply)) {
        co_return absl::InternalError(absl::StrCat(method, ": the reply cannot be read back"));
      }
      co_return reply;
    }
    if (turn == kMaxTurns || !OutOfBudget(result.status)) co_return result.status;
    const absl::Duration wait =
        std::clamp(client::GetRetryAfter(result.status).value_or(absl::Seconds(1)),
                   absl::Seconds(1), absl::Seconds(30));
    const bool woken = co_await sleeper_(clock_.Now() + absl::ToChronoNanoseconds(wait));
    if (!woken) co_return result.status;
  }
}

template <typename Item, typename Reply, typename Request>
CollectorReads::Reading<std::vector<Item>> CollectorReads::ReadAll(
    const char* method, Request request,
    const google::protobuf::RepeatedPtrField<Item>& (Reply::*items)() const) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::vector<Item> all;
  for (int page = 0; page < kMaxPages; ++page) {
    const absl::StatusOr<Reply> reply = co_await Read<Reply>(method, request);
    if (!reply.ok()) co_return reply.status();
    all.insert(all.end(), ((*reply).*items)().begin(), ((*reply).*items)().end());
    if (reply->next_page_token().empty()) break;
    request.set_page_token(reply->next_page_token());
  }
  co_return all;
}

CollectorReads::Reading<v1::ListPipelinesResponse> CollectorReads::FinishedPipelines(
    std::string project_id, Walk::Query query) {
  v1::ListPipelinesRequest request;
  request.set_project_id(std::move(project_id));
  *request.mutable_done_after() = ToProto(query.done_after);
  *request.mutable_done_before() = ToProto(query.done_before);
  request.set_page_size(Walk::kPageSize);
  request.set_page_token(std::move(query.page_token));
  return Read<v1::ListPipelinesResponse>("semaphore.v1.PipelineService/ListPipelines",
                                         std::move(request));
}

CollectorReads::Reading<v1::ListPipelinesResponse> CollectorReads::NewestPipelines(
    std::string project_id, absl::Time created_after, std::string page_token) {
  v1::ListPipelinesRequest request;
  request.set_project_id(std::move(project_id));
  if (created_after > absl::UnixEpoch()) *request.mutable_created_after() = ToProto(created_after);
  request.set_page_size(Walk::kPageSize);
  request.set_page_token(std::move(page_token));
  return Read<v1::ListPipelinesResponse>("semaphore.v1.PipelineService/ListPipelines",
                                         std::move(request));
}

CollectorReads::Reading<v1::ListPromotionsResponse> CollectorReads::Promotions(
    std::string pipeline_id, std::string page_token) {
  v1::ListPromotionsRequest request;
  request.set_pipeline_id(std::move(pipeline_id));
  request.set_page_size(50);
  request.set_page_token(std::move(page_token));
  return Read<v1::ListPromotionsResponse>("semaphore.v1.PromotionService/ListPromotions",
                                          std::move(request));
}

CollectorReads::Reading<v1::ListDeploymentsResponse> CollectorReads::Deployments(
    std::string target_id, std::string page_token) {
  v1::ListDeploymentsRequest request;
  request.set_deployment_target_id(std::move(target_id));
  request.set_page_token(std::move(page_token));
  return Read<v1::ListDeploymentsResponse>("semaphore.v1.DeploymentTargetService/ListDeployments",
                                           std::move(request));
}

CollectorReads::Reading<std::vector<v1::Project>> CollectorReads::Projects() {
  v1::ListProjectsRequest request;
  request.set_page_size(500);
  return ReadAll("semaphore.v1.ProjectService/ListProjects", std::move(request),
                 &v1::ListProjectsResponse::projects);
}

CollectorReads::Reading<std::vector<v1::DeploymentTarget>> CollectorReads::Targets(
    std::string project_id) {
  v1::ListDeploymentTargetsRequest request;
  request.set_project_id(std::move(project_id));
  request.set_page_size(1000);
  return ReadAll("semaphore.v1.DeploymentTargetService/ListDeploymentTargets", std::move(request),
                 &v1::ListDeploymentTargetsResponse::deployment_targets);
}

CollectorReads::Reading<std::vector<v1::Agent>> CollectorReads::Agents() {
  v1::ListAgentsRequest request;
  request.set_page_size(200);
  return ReadAll("semaphore.v1.AgentService/ListAgents", std::move(request),
                 &v1::ListAgentsResponse::agents);
}

CollectorReads::Reading<std::vector<std::string>> CollectorReads::AgentTypes() {
  co_await asio::this_coro::throw_if_cancelled(false);
  v1::ListAgentTypesRequest request;
  request.set_page_size(1000);
  const absl::StatusOr<std::vector<v1::AgentType>> types =
      co_await ReadAll("semaphore.v1.AgentTypeService/ListAgentTypes", std::move(request),
                       &v1::ListAgentTypesResponse::agent_types);
  if (!types.ok()) co_return types.status();
  std::vector<std::string> names;
  for (const v1::AgentType& type : *types) names.push_back(type.name());
  co_return names;
}

CollectorReads::Reading<v1::Pipeline> CollectorReads::Pipeline(std::string pipeline_id,
                                                               v1::PipelineView view) {
  v1::GetPipelineRequest request;
  request.set_pipeline_id(std::move(pipeline_id));
  request.set_view(view);
  return Read<v1::Pipeline>("semaphore.v1.PipelineService/GetPipeline", std::move(request));
}

CollectorReads::Reading<v1::Job> CollectorReads::Job(std::string job_id) {
  v1::GetJobRequest request;
  request.set_job_id(std::move(job_id));
  return Read<v1::Job>("semaphore.v1.JobService/GetJob", std::move(request));
}

CollectorReads::Reading<v1::Workflow> CollectorReads::Workflow(std::string workflow_id) {
  v1::GetWorkflowRequest request;
  request.set_workflow_id(std::move(workflow_id));
  return Read<v1::Workflow>("semaphore.v1.WorkflowService/GetWorkflow", std::move(request));
}

}  // namespace semaphore::gateway
