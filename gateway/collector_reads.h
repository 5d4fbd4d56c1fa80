// The collector's questions to one organization's Semaphore: each at the lowest priority, past
// every cache, with patience while the budget is spent. What comes back is a reply or a status;
// nothing is decided here.
#ifndef SEMAPHORE_GATEWAY_COLLECTOR_READS_H_
#define SEMAPHORE_GATEWAY_COLLECTOR_READS_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/budget.h"
#include "client/clock.h"
#include "client/upstream.h"
#include "gateway/walk.h"
#include "semaphore/v1/agent.pb.h"
#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/project.pb.h"
#include "semaphore/v1/promotion.pb.h"
#include "semaphore/v1/workflow.pb.h"

namespace semaphore::gateway {

class CollectorReads {
 public:
  template <typename Reply>
  using Reading = boost::asio::awaitable<absl::StatusOr<Reply>>;

  // All outlive this.
  CollectorReads(client::Upstream& upstream, const client::Clock& clock, client::Sleeper sleeper)
      : upstream_(upstream), clock_(clock), sleeper_(std::move(sleeper)) {}

  // One page each.
  Reading<v1::ListPipelinesResponse> FinishedPipelines(std::string project_id, Walk::Query query);
  Reading<v1::ListPipelinesResponse> NewestPipelines(std::string project_id,
                                                     absl::Time created_after,
                                                     std::string page_token);
  Reading<v1::ListPromotionsResponse> Promotions(std::string pipeline_id, std::string page_token);
  Reading<v1::ListDeploymentsResponse> Deployments(std::string target_id, std::string page_token);

  // All pages.
  Reading<std::vector<v1::Project>> Projects();
  Reading<std::vector<v1::DeploymentTarget>> Targets(std::string project_id);
  Reading<std::vector<v1::Agent>> Agents();
  Reading<std::vector<std::string>> AgentTypes();

  Reading<v1::Pipeline> Pipeline(std::string pipeline_id, v1::PipelineView view);
  Reading<v1::Job> Job(std::string job_id);
  Reading<v1::Workflow> Workflow(std::string workflow_id);

 private:
  template <typename Reply, typename Request>
  Reading<Reply> Read(const char* method, Request request);
  template <typename Item, typename Reply, typename Request>
  Reading<std::vector<Item>> ReadAll(
      const char* method, Request request,
      const google::protobuf::RepeatedPtrField<Item>& (Reply::*items)() const);

  client::Upstream& upstream_;
  const client::Clock& clock_;
  const client::Sleeper sleeper_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COLLECTOR_READS_H_
