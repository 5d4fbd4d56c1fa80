#include "gateway/service.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/service_credentials.h"
#include "gateway/status.h"
#include "semaphore/v1/agent.grpc.pb.h"
#include "semaphore/v1/agent_type.grpc.pb.h"
#include "semaphore/v1/artifact_retention_policy.grpc.pb.h"
#include "semaphore/v1/deployment_target.grpc.pb.h"
#include "semaphore/v1/job.grpc.pb.h"
#include "semaphore/v1/pipeline.grpc.pb.h"
#include "semaphore/v1/project.grpc.pb.h"
#include "semaphore/v1/promotion.grpc.pb.h"
#include "semaphore/v1/workflow.grpc.pb.h"

namespace semaphore::gateway {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

std::string ToString(const ByteBuffer& buffer) {
  grpc::Slice whole;
  if (buffer.TrySingleSlice(&whole).ok()) {
    return {reinterpret_cast<const char*>(whole.begin()), whole.size()};
  }
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// What callers send along, in one look at all of it: it is a few entries, and this is on the path
// of every call. Of what is sent twice the first counts, except where both are refused.
void TakeMetadata(const CallbackServerContext& context, bool authenticates, IncomingCall& call) {
  const auto first = [](const grpc::string_ref& value, std::string& out) {
    if (out.empty()) out.assign(value.data(), value.size());
  };
  for (const auto& [key, value] : context.client_metadata()) {
    const std::string_view name(key.data(), key.size());
    if (name == "authorization") {
      if (authenticates) call.credentials.authorization.emplace_back(value.data(), value.size());
    } else if (name == "x-semaphore-organization") {
      call.organization.emplace_back(value.data(), value.size());
    } else if (name == "cache-control") {
      first(value, call.cache_control);
    } else if (name == "x-priority") {
      first(value, call.priority);
    } else if (name == "traceparent") {
      first(value, call.traceparent);
    } else if (name == "x-request-id") {
      first(value, call.request_id);
    }
  }
  if (authenticates && call.credentials.authorization.empty()) {
    call.credentials.certificate_names = PeerCertificateNames(context);
  }
}

// gRPC's deadline is on the wall clock; ours must not jump with it, so only the time left is taken
// from it.
client::MonotonicTime Deadline(const CallbackServerContext& context, client::MonotonicTime now) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return client::MonotonicTime::max();
  return now + std::chrono::duration_cast<client::MonotonicDuration>(
                   deadline - std::chrono::system_clock::now());
}

// The reply without a copy: the slice keeps it alive as long as gRPC needs it.
ByteBuffer BufferOf(const std::shared_ptr<const std::string>& reply) {
  if (reply == nullptr || reply->empty()) {
    const grpc::Slice nothing;
    return {&nothing, 1};
  }
  auto* owner = new std::shared_ptr<const std::string>(reply);
  const grpc::Slice slice(
      const_cast<char*>(reply->data()), reply->size(),
      [](void* held) { delete static_cast<std::shared_ptr<const std::string>*>(held); }, owner);
  return {&slice, 1};
}

void PutOnWire(const Answer& answer, CallbackServerContext& context, ByteBuffer& buffer) {
  context.AddInitialMetadata("x-request-id", answer.request_id);
  if (!answer.cache.empty()) {
    context.AddInitialMetadata("x-cache", std::string(answer.cache));
    if (answer.status.ok())
      context.AddInitialMetadata("age", absl::StrCat(absl::ToInt64Seconds(answer.age)));
  }
  // Finish(OK) with an unassigned buffer would abort the process, so it is always assigned.
  buffer = BufferOf(answer.reply);
}

// One call in the engine's hands. Deletes itself when gRPC is done with it.
class UnaryCall final : public ServerUnaryReactor {
 public:
  UnaryCall(CallbackServerContext& context, ByteBuffer& reply, std::shared_ptr<OngoingCall> ongoing)
      : context_(context), reply_(reply), ongoing_(std::move(ongoing)) {}

  const std::shared_ptr<OngoingCall>& ongoing() const { return ongoing_; }

  void Answered(const Answer& answer) {
    PutOnWire(answer, context_, reply_);
    Finish(ToGrpcStatus(answer.status));
  }

  void OnCancel() override { ongoing_->Cancel(); }
  void OnDone() override { delete this; }

 private:
  CallbackServerContext& context_;
  ByteBuffer& reply_;
  const std::shared_ptr<OngoingCall> ongoing_;
};

// What every service needs to hand a call on.
class Front {
 public:
  Front(const client::MethodTable& table, Engine& engine, const client::Clock& clock,
        const char* service)
      : table_(table), engine_(engine), clock_(clock), service_(service) {}

  // The row of a method; looked up once, at construction of its service. A table without it ends in
  // `missing`.
  const client::MethodSpec* Row(const char* method) {
    const client::MethodSpec* spec = table_.Find(absl::StrCat(service_, "/", method));
    if (spec == nullptr) missing_ = method;
    return spec;
  }
  const std::string& missing() const { return missing_; }

  ServerUnaryReactor* Handle(const client::MethodSpec* method, CallbackServerContext* context,
                             const ByteBuffer* request, ByteBuffer* reply) {
    IncomingCall call;
    call.method = method;
    call.request = ToString(*request);
    TakeMetadata(*context, engine_.authenticates(), call);
    call.peer_source = [context] { return context->peer(); };
    call.started = clock_.Now();
    Engine::Prepared prepared;
    if (const std::optional<Answer> answer = engine_.AnswerNow(call, prepared)) {
      PutOnWire(*answer, *context, *reply);
      ServerUnaryReactor* const reactor = context->DefaultReactor();
      reactor->Finish(ToGrpcStatus(answer->status));
      return reactor;
    }
    call.peer = context->peer();
    call.deadline = Deadline(*context, call.started);
    auto* unary = new UnaryCall(*context, *reply, engine_.NewCall());
    engine_.Start(std::move(call), std::move(prepared), unary->ongoing(),
                  [unary](const Answer& answer) { unary->Answered(answer); });
    return unary;
  }

 private:
  const client::MethodTable& table_;
  Engine& engine_;
  const client::Clock& clock_;
  const char* const service_;
  std::string missing_;
};

// One method of a service: its row in the table and the override that hands the call on.
#define SEMAPHORE_METHOD(Name)                                                        \
 public:                                                                              \
  ServerUnaryReactor* Name(CallbackServerContext* context, const ByteBuffer* request, \
                           ByteBuffer* reply) override {                              \
    return front_.Handle(row_of_##Name, context, request, reply);                     \
  }                                                                                   \
                                                                                      \
 private:                                                                             \
  const client::MethodSpec* const row_of_##Name = front_.Row(#Name);

using RawWorkflowService = v1::WorkflowService::WithRawCallbackMethod_RunWorkflow<
    v1::WorkflowService::WithRawCallbackMethod_GetWorkflow<
        v1::WorkflowService::WithRawCallbackMethod_ListWorkflows<
            v1::WorkflowService::WithRawCallbackMethod_RerunWorkflow<
                v1::WorkflowService::WithRawCallbackMethod_StopWorkflow<
                    v1::WorkflowService::Service>>>>>;

class WorkflowServiceImpl final : public RawWorkflowService {
 public:
  explicit WorkflowServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(RunWorkflow)
  SEMAPHORE_METHOD(GetWorkflow)
  SEMAPHORE_METHOD(ListWorkflows)
  SEMAPHORE_METHOD(RerunWorkflow)
  SEMAPHORE_METHOD(StopWorkflow)
};

using RawPipelineService = v1::PipelineService::WithRawCallbackMethod_GetPipeline<
    v1::PipelineService::WithRawCallbackMethod_ListPipelines<
        v1::PipelineService::WithRawCallbackMethod_StopPipeline<
            v1::PipelineService::WithRawCallbackMethod_ValidatePipelineYaml<
                v1::PipelineService::Service>>>>;

class PipelineServiceImpl final : public RawPipelineService {
 public:
  explicit PipelineServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(GetPipeline)
  SEMAPHORE_METHOD(ListPipelines)
  SEMAPHORE_METHOD(StopPipeline)
  SEMAPHORE_METHOD(ValidatePipelineYaml)
};

using RawPromotionService = v1::PromotionService::WithRawCallbackMethod_ListPromotions<
    v1::PromotionService::WithRawCallbackMethod_TriggerPromotion<v1::PromotionService::Service>>;

class PromotionServiceImpl final : public RawPromotionService {
 public:
  explicit PromotionServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(ListPromotions)
  SEMAPHORE_METHOD(TriggerPromotion)
};

using RawJobService =
    v1::JobService::WithRawCallbackMethod_GetJob<v1::JobService::WithRawCallbackMethod_StopJob<
        v1::JobService::WithRawCallbackMethod_GetJobLog<v1::JobService::Service>>>;

class JobServiceImpl final : public RawJobService {
 public:
  explicit JobServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(GetJob)
  SEMAPHORE_METHOD(StopJob)
  SEMAPHORE_METHOD(GetJobLog)
};

using RawAgentTypeService = v1::AgentTypeService::WithRawCallbackMethod_ListAgentTypes<
    v1::AgentTypeService::WithRawCallbackMethod_GetAgentType<
        v1::AgentTypeService::WithRawCallbackMethod_CreateAgentType<
            v1::AgentTypeService::WithRawCallbackMethod_UpdateAgentType<
                v1::AgentTypeService::WithRawCallbackMethod_DeleteAgentType<
                    v1::AgentTypeService::WithRawCallbackMethod_DisableAgents<
                        v1::AgentTypeService::Service>>>>>>;

class AgentTypeServiceImpl final : public RawAgentTypeService {
 public:
  explicit AgentTypeServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(ListAgentTypes)
  SEMAPHORE_METHOD(GetAgentType)
  SEMAPHORE_METHOD(CreateAgentType)
  SEMAPHORE_METHOD(UpdateAgentType)
  SEMAPHORE_METHOD(DeleteAgentType)
  SEMAPHORE_METHOD(DisableAgents)
};

using RawAgentService = v1::AgentService::WithRawCallbackMethod_ListAgents<
    v1::AgentService::WithRawCallbackMethod_GetAgent<v1::AgentService::Service>>;

class AgentServiceImpl final : public RawAgentService {
 public:
  explicit AgentServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(ListAgents)
  SEMAPHORE_METHOD(GetAgent)
};

using RawDeploymentTargetService =
    v1::DeploymentTargetService::WithRawCallbackMethod_ListDeploymentTargets<
        v1::DeploymentTargetService::WithRawCallbackMethod_GetDeploymentTarget<
            v1::DeploymentTargetService::WithRawCallbackMethod_LookupDeploymentTarget<
                v1::DeploymentTargetService::WithRawCallbackMethod_CreateDeploymentTarget<
                    v1::DeploymentTargetService::WithRawCallbackMethod_UpdateDeploymentTarget<
                        v1::DeploymentTargetService::WithRawCallbackMethod_DeleteDeploymentTarget<
                            v1::DeploymentTargetService::
                                WithRawCallbackMethod_DeactivateDeploymentTarget<
                                    v1::DeploymentTargetService::
                                        WithRawCallbackMethod_ActivateDeploymentTarget<
                                            v1::DeploymentTargetService::
                                                WithRawCallbackMethod_ListDeployments<
                                                    v1::DeploymentTargetService::Service>>>>>>>>>;

class DeploymentTargetServiceImpl final : public RawDeploymentTargetService {
 public:
  explicit DeploymentTargetServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(ListDeploymentTargets)
  SEMAPHORE_METHOD(GetDeploymentTarget)
  SEMAPHORE_METHOD(LookupDeploymentTarget)
  SEMAPHORE_METHOD(CreateDeploymentTarget)
  SEMAPHORE_METHOD(UpdateDeploymentTarget)
  SEMAPHORE_METHOD(DeleteDeploymentTarget)
  SEMAPHORE_METHOD(DeactivateDeploymentTarget)
  SEMAPHORE_METHOD(ActivateDeploymentTarget)
  SEMAPHORE_METHOD(ListDeployments)
};

using RawArtifactRetentionPolicyService =
    v1::ArtifactRetentionPolicyService::WithRawCallbackMethod_GetArtifactRetentionPolicy<
        v1::ArtifactRetentionPolicyService::WithRawCallbackMethod_UpdateArtifactRetentionPolicy<
            v1::ArtifactRetentionPolicyService::Service>>;

class ArtifactRetentionPolicyServiceImpl final : public RawArtifactRetentionPolicyService {
 public:
  explicit ArtifactRetentionPolicyServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(GetArtifactRetentionPolicy)
  SEMAPHORE_METHOD(UpdateArtifactRetentionPolicy)
};

using RawProjectService = v1::ProjectService::WithRawCallbackMethod_ListProjects<
    v1::ProjectService::WithRawCallbackMethod_GetProject<v1::ProjectService::Service>>;

class ProjectServiceImpl final : public RawProjectService {
 public:
  explicit ProjectServiceImpl(Front front) : front_(std::move(front)) {}
  const Front& front() const { return front_; }

 private:
  Front front_;

  SEMAPHORE_METHOD(ListProjects)
  SEMAPHORE_METHOD(GetProject)
};

#undef SEMAPHORE_METHOD

template <typename Service>
absl::Status Add(const client::MethodTable& table, Engine& engine, const client::Clock& clock,
                 const char* name, std::vector<std::unique_ptr<grpc::Service>>& services) {
  auto service = std::make_unique<Service>(Front(table, engine, clock, name));
  if (!service->front().missing().empty()) {
    return absl::InternalError(
        absl::StrCat(name, "/", service->front().missing(), " is not in the method table"));
  }
  services.push_back(std::move(service));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<grpc::Service>>> MakeServices(
    const client::MethodTable& table, Engine& engine, const client::Clock& clock) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  for (const absl::Status& added : {
           Add<WorkflowServiceImpl>(table, engine, clock, v1::WorkflowService::service_full_name(),
                                    services),
           Add<PipelineServiceImpl>(table, engine, clock, v1::PipelineService::service_full_name(),
                                    services),
           Add<PromotionServiceImpl>(table, engine, clock,
                                     v1::PromotionService::service_full_name(), services),
           Add<JobServiceImpl>(table, engine, clock, v1::JobService::service_full_name(), services),
           Add<AgentTypeServiceImpl>(table, engine, clock,
                                     v1::AgentTypeService::service_full_name(), services),
           Add<AgentServiceImpl>(table, engine, clock, v1::AgentService::service_full_name(),
                                 services),
           Add<DeploymentTargetServiceImpl>(
               table, engine, clock, v1::DeploymentTargetService::service_full_name(), services),
           Add<ArtifactRetentionPolicyServiceImpl>(
               table, engine, clock, v1::ArtifactRetentionPolicyService::service_full_name(),
               services),
           Add<ProjectServiceImpl>(table, engine, clock, v1::ProjectService::service_full_name(),
                                   services),
       }) {
    if (!added.ok()) return added;
  }
  return services;
}

}  // namespace semaphore::gateway
