#include "tests/bench/soak.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/json/value.hpp>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "semaphore/v1/deployment_target.grpc.pb.h"
#include "semaphore/v1/job.grpc.pb.h"
#include "semaphore/v1/pipeline.grpc.pb.h"
#include "semaphore/v1/promotion.grpc.pb.h"
#include "semaphore/v1/workflow.grpc.pb.h"
#include "tests/bench/bench_setup.h"
#include "tests/bench/open_loop.h"
#include "tests/simulator/test_client.h"

namespace semaphore::bench {
namespace {

using simulator::Fault;
using simulator::FaultAction;
using simulator::FaultStage;
using simulator::Simulator;
using std::chrono::milliseconds;

constexpr int kReaders = 8;
constexpr int kRunners = 3;
constexpr int kPromoters = 2;
constexpr int kDeployers = 3;
// A change whose caller has given up may still lie in a socket's buffer.
constexpr milliseconds kSettling{3000};
constexpr int kMaxRepeats = 40;  // of a change under one request_id

// What a caller knows about its change.
enum class Told { kDone, kUnknown, kNotDone };

// Every change bears a mark of its own, by which the simulator's state is searched for it.
struct Change {
  std::string what;  // "RunWorkflow"
  std::string mark;
  Told told;
  std::string outcome;  // the last one
};

// How often the simulator carried out what bears a mark.
struct State {
  std::map<std::string, int> runs_by_branch;
  std::map<std::string, int> reruns_by_workflow;
  std::map<std::string, int> promotions_by_version;
  std::set<std::string> stopped_pipelines;
  std::map<std::string, std::vector<std::string>> targets;  // descriptions by name
};

class Soak {
 public:
  explicit Soak(const SoakOptions& options) : options_(options) {}
  bool Go();

 private:
  // One thread of callers, with what it needs.
  struct Lane {
    Lane(int number_in, uint64_t seed, const std::shared_ptr<grpc::Channel>& channel)
        : number(number_in),
          random(seed),
          workflows(v1::WorkflowService::NewStub(channel)),
          pipelines(v1::PipelineService::NewStub(channel)),
          jobs(v1::JobService::NewStub(channel)),
          promotions(v1::PromotionService::NewStub(channel)),
          targets(v1::DeploymentTargetService::NewStub(channel)) {}
    int Random(int least, int most) {
      return std::uniform_int_distribution<int>(least, most)(random);
    }
    std::string NextMark() { return absl::StrCat("soak-", number, "-", ++marks); }

    const int number;
    int marks = 0;
    std::mt19937_64 random;
    std::unique_ptr<v1::WorkflowService::Stub> workflows;
    std::unique_ptr<v1::PipelineService::Stub> pipelines;
    std::unique_ptr<v1::JobService::Stub> jobs;
    std::unique_ptr<v1::PromotionService::Stub> promotions;
    std::unique_ptr<v1::DeploymentTargetService::Stub> targets;
  };
  struct Answer {
    Told told;
    std::string outcome;
    std::string request_id;  // of the gateway's making, told with OUTCOME_UNKNOWN
  };
  using Rpc = std::function<grpc::Status(grpc::ClientContext&)>;

  // `method` names the line in the table of outcomes.
  Answer Call(Lane& lane, const std::string& method, milliseconds patience, const Rpc& rpc);
  // With a request_id: repeats the call until a clear answer comes. `rpc` takes the id.
  using TokenRpc = std::function<grpc::Status(grpc::ClientContext&, const std::string& request_id)>;
  Answer CallWithToken(Lane& lane, const std::string& method, const TokenRpc& rpc);
  void Note(Change change);

  void Read(Lane& lane);
  void RunWorkflows(Lane& lane);
  void Promote(Lane& lane);
  void Deploy(Lane& lane);
  void KeepDeploying(Lane& lane, const std::string& id, const std::string& name);
  void MakeTrouble();
  bool Sleep(milliseconds length) const;  // false when the run ends

  void WatchMemory();
  State StateOfSimulator() const;
  void Check(const State& state);
  void CheckCount(const Change& change, int count);
  void CheckTargets(const State& state);
  void CheckMemory();
  void Print() const;
  void Fail(std::string failure) { failures_.push_back(std::move(failure)); }

  const SoakOptions options_;
  std::unique_ptr<Simulator> upstream_;
  std::unique_ptr<GatewayProcess> gateway_;
  Keys keys_;
  SteadyTime start_;
  std::atomic<bool> ending_ = false;

  // What a target may look like: nothing stands for not being there.
  using Looks = std::set<std::optional<std::string>>;
  std::mutex mutex_;  // of the next four
  std::vector<Change> changes_;
  struct ExpectedTarget {
    Looks looks;
    std::string story;  // what its callers were told, in order
  };
  std::map<std::string, ExpectedTarget> expected_targets_;      // by name
  std::map<std::string, std::map<std::string, int>> outcomes_;  // by method
  std::vector<std::pair<double, int64_t>> memory_;              // bytes at seconds since the start
  std::vector<std::string> failures_;
  std::map<std::string, std::pair<int, int>> judged_;  // by what: told, carried out
};

double SecondsSince(SteadyTime start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string RequestIdOf(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  google::rpc::ErrorInfo info;
  for (const auto& any : details.details()) {
    if (!any.UnpackTo(&info)) continue;
    const auto found = info.metadata().find("requestId");
    if (found != info.metadata().end()) return found->second;
  }
  return "";
}

std::string Uuid(std::mt19937_64& random) {
  const uint64_t high = random();
  const uint64_t low = random();
  return absl::StrFormat("%08x-%04x-4%03x-8%03x-%012x", high >> 32, high >> 16 & 0xffff,
                         high & 0xfff, low >> 52, low & 0xffffffffffffULL);
}

bool Soak::Sleep(milliseconds length) const {
  const SteadyTime until = std::chrono::steady_clock::now() + length;
  while (!ending_ && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::min(length, milliseconds(20)));
  }
  return !ending_;
}

void Soak::Note(Change change) {
  const std::lock_guard lock(mutex_);
  changes_.push_back(std::move(change));
}

Soak::Answer Soak::Call(Lane& lane, const std::string& method, milliseconds patience,
                        const Rpc& rpc) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + patience);
  if (lane.number % 2 == 1) context.AddMetadata("x-priority", "batch");
  const grpc::Status status = rpc(context);
  Answer answer{.told = Told::kNotDone, .outcome = OutcomeOf(status), .request_id = {}};
  if (status.ok()) answer.told = Told::kDone;
  // Without a reason it is gRPC's own end of the call: the gateway has told nothing.
  if (answer.outcome == "OUTCOME_UNKNOWN" || absl::StartsWith(answer.outcome, "without")) {
    answer.told = Told::kUnknown;
  }
  answer.request_id = RequestIdOf(status);
  const std::lock_guard lock(mutex_);
  ++outcomes_[method][answer.outcome];
  return answer;
}

// Half of the callers bring an id and repeat with it, for with an id of one's own an error says
// nothing of what happened. The others repeat with the gateway's when it tells them one, or leave
// it at that.
Soak::Answer Soak::CallWithToken(Lane& lane, const std::string& method, const TokenRpc& rpc) {
  std::string request_id = lane.Random(0, 1) == 0 ? Uuid(lane.random) : "";
  const bool repeats = !request_id.empty() || lane.Random(0, 1) == 0;
  Answer answer;
  for (int i = 0; i < kMaxRepeats; ++i) {
    answer = Call(lane, method, milliseconds(lane.Random(500, 6000)),
                  [&](grpc::ClientContext& context) { return rpc(context, request_id); });
    if (answer.told == Told::kDone || !repeats) return answer;
    if (request_id.empty()) {
      if (answer.request_id.empty()) return answer;
      request_id = answer.request_id;
    }
    std::this_thread::sleep_for(milliseconds(lane.Random(200, 800)));
  }
  answer.told = Told::kUnknown;
  return answer;
}

// ---- Callers

void Soak::Read(Lane& lane) {
  const simulator::WellKnownIds& ids = upstream_->ids();
  while (Sleep(milliseconds(lane.Random(40, 160)))) {
    // One in twenty gives up at once.
    const milliseconds patience(lane.Random(0, 19) == 0 ? lane.Random(1, 60)
                                                        : lane.Random(500, 5000));
    const int pick = lane.Random(0, 9);
    if (pick <= 3) {
      v1::GetPipelineRequest request;
      request.set_pipeline_id(keys_.pipelines[lane.random() % keys_.pipelines.size()]);
      if (pick == 0) request.set_view(v1::PIPELINE_VIEW_FULL);
      v1::Pipeline reply;
      Call(lane, "GetPipeline", patience, [&](grpc::ClientContext& context) {
        return lane.pipelines->GetPipeline(&context, request, &reply);
      });
    } else if (pick <= 5) {
      v1::GetJobRequest request;
      request.set_job_id(keys_.jobs[lane.random() % keys_.jobs.size()]);
      v1::Job reply;
      Call(lane, "GetJob", patience, [&](grpc::ClientContext& context) {
        return lane.jobs->GetJob(&context, request, &reply);
      });
    } else if (pick == 6) {
      v1::ListWorkflowsRequest request;
      request.set_project_id(ids.project);
      v1::ListWorkflowsResponse reply;
      Call(lane, "ListWorkflows", patience, [&](grpc::ClientContext& context) {
        return lane.workflows->ListWorkflows(&context, request, &reply);
      });
    } else if (pick == 7) {
      v1::ListDeploymentTargetsRequest request;
      request.set_project_id(ids.project);
      v1::ListDeploymentTargetsResponse reply;
      Call(lane, "ListDeploymentTargets", patience, [&](grpc::ClientContext& context) {
        return lane.targets->ListDeploymentTargets(&context, request, &reply);
      });
    } else {
      v1::GetJobLogRequest request;
      request.set_job_id(pick == 8 ? ids.cloud_job : ids.self_hosted_job);
      request.set_page_size(5);
      v1::JobLog reply;
      Call(lane, "GetJobLog", patience, [&](grpc::ClientContext& context) {
        return lane.jobs->GetJobLog(&context, request, &reply);
      });
    }
  }
}

// Each workflow that was run is stopped, or run again, or left as it is.
void Soak::RunWorkflows(Lane& lane) {
  while (Sleep(milliseconds(lane.Random(100, 400)))) {
    const std::string branch = "endless-" + lane.NextMark();
    v1::RunWorkflowRequest request;
    request.set_project_id(upstream_->ids().project);
    request.set_reference("refs/heads/" + branch);
    v1::RunWorkflowResponse run;
    const Answer answer = Call(lane, "RunWorkflow", milliseconds(lane.Random(500, 5000)),
                               [&](grpc::ClientContext& context) {
                                 return lane.workflows->RunWorkflow(&context, request, &run);
                               });
    Note({"RunWorkflow", branch, answer.told, answer.outcome});
    if (answer.told != Told::kDone) continue;
    if (run.workflow_id().empty()) {
      const std::lock_guard lock(mutex_);
      ++outcomes_["RunWorkflow"]["OK without an id"];  // among those that are OK
      continue;
    }
    const int next = lane.Random(0, 2);
    if (next == 0) {
      v1::StopPipelineRequest stop;
      stop.set_pipeline_id(run.pipeline_id());
      v1::StopPipelineResponse reply;
      Answer stopped = Call(lane, "StopPipeline", milliseconds(lane.Random(500, 3000)),
                            [&](grpc::ClientContext& context) {
                              return lane.pipelines->StopPipeline(&context, stop, &reply);
                            });
      // Stopping twice is stopping once, so an error leaves open whether it was stopped.
      if (stopped.told == Told::kNotDone) stopped.told = Told::kUnknown;
      Note({"StopPipeline", run.pipeline_id(), stopped.told, stopped.outcome});
    } else if (next == 1) {
      const Answer again = CallWithToken(
          lane, "RerunWorkflow", [&](grpc::ClientContext& context, const std::string& request_id) {
            v1::RerunWorkflowRequest rerun;
            rerun.set_workflow_id(run.workflow_id());
            rerun.set_request_id(request_id);
            v1::RerunWorkflowResponse reply;
            return lane.workflows->RerunWorkflow(&context, rerun, &reply);
          });
      Note({"RerunWorkflow", run.workflow_id(), again.told, again.outcome});
    }
  }
}

void Soak::Promote(Lane& lane) {
  while (Sleep(milliseconds(lane.Random(200, 600)))) {
    const std::string version = lane.NextMark();
    const Answer answer = CallWithToken(
        lane, "TriggerPromotion", [&](grpc::ClientContext& context, const std::string& request_id) {
          v1::TriggerPromotionRequest request;
          request.set_pipeline_id(upstream_->ids().done_pipeline);
          request.set_name("Production");
          (*request.mutable_parameters())["VERSION"] = version;
          (*request.mutable_parameters())["REGION"] = "eu";
          request.set_request_id(request_id);
          v1::TriggerPromotionResponse reply;
          return lane.promotions->TriggerPromotion(&context, request, &reply);
        });
    Note({"TriggerPromotion", version, answer.told, answer.outcome});
  }
}

void Soak::Deploy(Lane& lane) {
  while (Sleep(milliseconds(lane.Random(100, 400)))) {
    const std::string name = lane.NextMark();
    v1::DeploymentTarget created;
    const Answer answer = CallWithToken(
        lane, "CreateDeploymentTarget",
        [&](grpc::ClientContext& context, const std::string& request_id) {
          v1::CreateDeploymentTargetRequest request;
          request.mutable_deployment_target()->set_name(name);
          request.mutable_deployment_target()->set_description("new");
          request.mutable_deployment_target()->set_project_id(upstream_->ids().project);
          request.set_request_id(request_id);
          return lane.targets->CreateDeploymentTarget(&context, request, &created);
        });
    Looks looks;
    if (answer.told != Told::kNotDone) looks.insert("new");
    if (answer.told != Told::kDone) looks.insert(std::nullopt);
    {
      const std::lock_guard lock(mutex_);
      expected_targets_[name] = {looks, "create " + answer.outcome};
    }
    // It cannot be changed in the two seconds that it is SYNCING.
    if (answer.told == Told::kDone && !created.deployment_target_id().empty() &&
        Sleep(milliseconds(2300))) {
      KeepDeploying(lane, created.deployment_target_id(), name);
    }
  }
}

// Changes the target a few times and deletes half of them. After an answer that leaves things open
// the next change waits until the last one cannot come any more.
void Soak::KeepDeploying(Lane& lane, const std::string& id, const std::string& name) {
  Looks looks = {"new"};
  const auto learn = [&](const Answer& answer, const std::optional<std::string>& look) {
    if (answer.told == Told::kDone) looks.clear();
    if (answer.told != Told::kNotDone) looks.insert(look);
    const std::lock_guard lock(mutex_);
    ExpectedTarget& target = expected_targets_[name];
    target.looks = looks;
    absl::StrAppend(&target.story, look ? ", update " : ", delete ", answer.outcome);
  };
  for (int i = lane.Random(1, 4); i > 0; --i) {
    const std::string description = lane.NextMark();
    const Answer answer =
        CallWithToken(lane, "UpdateDeploymentTarget",
                      [&](grpc::ClientContext& context, const std::string& request_id) {
                        v1::UpdateDeploymentTargetRequest request;
                        request.mutable_deployment_target()->set_deployment_target_id(id);
                        request.mutable_deployment_target()->set_description(description);
                        request.mutable_update_mask()->add_paths("description");
                        request.set_request_id(request_id);
                        v1::DeploymentTarget reply;
                        return lane.targets->UpdateDeploymentTarget(&context, request, &reply);
                      });
    learn(answer, description);
    if (answer.told == Told::kUnknown) std::this_thread::sleep_for(kSettling);
  }
  if (lane.Random(0, 1) == 0) return;
  const Answer answer =
      CallWithToken(lane, "DeleteDeploymentTarget",
                    [&](grpc::ClientContext& context, const std::string& request_id) {
                      v1::DeleteDeploymentTargetRequest request;
                      request.set_deployment_target_id(id);
                      request.set_request_id(request_id);
                      v1::DeleteDeploymentTargetResponse reply;
                      return lane.targets->DeleteDeploymentTarget(&context, request, &reply);
                    });
  learn(answer, std::nullopt);
}

// ---- Trouble

// A second or so of one fault, then a while of good weather. Whatever strikes every request is
// short.
void Soak::MakeTrouble() {
  std::mt19937_64 random(options_.seed);
  const auto pick = [&random](auto... choices) {
    const std::array all = {choices...};
    return all[random() % all.size()];
  };
  while (Sleep(milliseconds(random() % 2500))) {
    Fault fault;
    fault.every = static_cast<int>(pick(1, 2, 3, 3, 4, 5, 7));
    fault.action = pick(FaultAction::kAnswer, FaultAction::kAnswer, FaultAction::kDelay,
                        FaultAction::kHold, FaultAction::kSilence, FaultAction::kClose,
                        FaultAction::kTlsClose, FaultAction::kReset, FaultAction::kReset,
                        FaultAction::kSlowBody, FaultAction::kHugeBody, FaultAction::kDeepBody,
                        FaultAction::kChunkedBody, FaultAction::kTruncatedChunks);
    fault.stage = pick(FaultStage::kAccept, FaultStage::kHandshake, FaultStage::kRequest,
                       FaultStage::kBeforeReply, FaultStage::kBeforeReply, FaultStage::kStatusLine,
                       FaultStage::kHead, FaultStage::kBody, FaultStage::kAfterReply);
    fault.status = pick(500, 502, 503, 503, 429, 403, 404, 302);
    if (fault.status == 429 || random() % 4 == 0) fault.headers = {{"retry-after", "1"}};
    fault.carry_out = random() % 2 == 0;
    // Neither a refusal of what was carried out nor a 200 for what was not: nobody could tell.
    if (fault.status == 429 || fault.status == 403 || fault.status == 404) fault.carry_out = false;
    if (fault.action != FaultAction::kAnswer) fault.carry_out = true;
    if (fault.action == FaultAction::kDelay) fault.delay = absl::Milliseconds(random() % 3000);
    fault.piece_bytes = 20;
    fault.megabytes = 1 + random() % 4;
    fault.depth = 1 + random() % 100'000;
    upstream_->AddFault(fault);
    const bool all = fault.every == 1;
    const bool goes_on = Sleep(milliseconds(random() % (all ? 1500 : 4000)));
    upstream_->ClearFaults();
    upstream_->ReleaseHeld();
    if (!goes_on) return;
  }
}

void Soak::WatchMemory() {
  while (Sleep(milliseconds(1000))) {
    if (!gateway_->IsRunning()) return;
    const int64_t bytes = gateway_->ResidentBytes();
    const std::lock_guard lock(mutex_);
    memory_.emplace_back(SecondsSince(start_), bytes);
  }
}

// ---- The reckoning

// Asks the simulator itself; nothing of the gateway is between.
State Soak::StateOfSimulator() const {
  State state;
  simulator::TestClient client(*upstream_);
  const std::string project = "project_id=" + upstream_->ids().project;
  std::set<std::string> seen;
  for (int page = 1;; ++page) {
    const boost::json::value list =
        client.Get(absl::StrCat("/pipelines?", project, "&page_size=500&page=", page)).Json();
    if (!list.is_array() || list.as_array().empty()) break;
    // Behind the last page comes the last page again.
    if (!seen.insert(std::string(list.at(0).at("ppl_id").as_string())).second) break;
    for (const boost::json::value& pipeline : list.as_array()) {
      const auto text = [&pipeline](const char* key) {
        return std::string(pipeline.at(key).as_string());
      };
      if (text("terminate_request") == "stop") state.stopped_pipelines.insert(text("ppl_id"));
      if (!text("promotion_of").empty()) {
        for (const boost::json::value& variable : pipeline.at("env_vars").as_array()) {
          if (variable.at("name") != "VERSION") continue;
          ++state.promotions_by_version[std::string(variable.at("value").as_string())];
        }
        continue;
      }
      const std::string rerun_of(pipeline.at("triggerer").at("workflow_rerun_of").as_string());
      if (rerun_of.empty()) {
        ++state.runs_by_branch[text("branch_name")];
      } else {
        ++state.reruns_by_workflow[rerun_of];
      }
    }
  }
  const boost::json::value targets = client.Get("/deployment_targets?" + project).Json();
  for (const boost::json::value& target : targets.as_array()) {
    state.targets[std::string(target.at("name").as_string())].emplace_back(
        target.at("description").as_string());
  }
  return state;
}

void Soak::CheckCount(const Change& change, int count) {
  const bool right = change.told == Told::kDone      ? count == 1
                     : change.told == Told::kNotDone ? count == 0
                                                     : count <= 1;
  ++judged_[change.what].first;
  judged_[change.what].second += count;
  if (right) return;
  Fail(absl::StrCat(change.what, " ", change.mark, ": its caller was told ", change.outcome,
                    ", and it was carried out ", count, " times"));
}

void Soak::Check(const State& state) {
  const auto count = [](const std::map<std::string, int>& counts, const std::string& mark) {
    const auto found = counts.find(mark);
    return found == counts.end() ? 0 : found->second;
  };
  std::set<std::string> known_branches;
  for (const Change& change : changes_) {
    if (change.what == "RunWorkflow") {
      known_branches.insert(change.mark);
      CheckCount(change, count(state.runs_by_branch, change.mark));
    } else if (change.what == "RerunWorkflow") {
      CheckCount(change, count(state.reruns_by_workflow, change.mark));
    } else if (change.what == "TriggerPromotion") {
      CheckCount(change, count(state.promotions_by_version, change.mark));
    } else if (change.what == "StopPipeline") {
      CheckCount(change, static_cast<int>(state.stopped_pipelines.count(change.mark)));
    }
  }
  for (const auto& [branch, runs] : state.runs_by_branch) {
    if (absl::StartsWith(branch, "endless-soak-") && !known_branches.contains(branch)) {
      Fail(absl::StrCat("a workflow runs on ", branch, ", which nobody asked for"));
    }
  }
  CheckTargets(state);
}

void Soak::CheckTargets(const State& state) {
  const auto text = [](const std::optional<std::string>& look) {
    return look ? "\"" + *look + "\"" : std::string("nothing");
  };
  for (const auto& [name, target] : expected_targets_) {
    const Looks& looks = target.looks;
    const auto found = state.targets.find(name);
    const size_t count = found == state.targets.end() ? 0 : found->second.size();
    ++judged_["deployment target"].first;
    judged_["deployment target"].second += static_cast<int>(count);
    std::optional<std::string> look;
    if (count > 0) look = found->second.front();
    if (count <= 1 && looks.contains(look)) continue;
    std::string expected;
    for (const auto& one : looks) absl::StrAppend(&expected, " ", text(one));
    Fail(absl::StrCat("deployment target ", name, ": there are ", count, ", the first is ",
                      text(look), ", expected is one of", expected, " after: ", target.story));
  }
}

// The median of the last fifteen looks before a moment.
int64_t MemoryAt(const std::vector<std::pair<double, int64_t>>& memory, double seconds) {
  std::vector<int64_t> looks;
  for (const auto& [at, bytes] : memory) {
    if (at <= seconds && at > seconds - 15) looks.push_back(bytes);
  }
  if (looks.empty()) return 0;
  std::nth_element(looks.begin(), looks.begin() + std::ssize(looks) / 2, looks.end());
  return looks[looks.size() / 2];
}

void Soak::CheckMemory() {
  const double early_at = options_.seconds / 5;
  const int64_t early = MemoryAt(memory_, early_at);
  const int64_t late = MemoryAt(memory_, memory_.empty() ? 0 : memory_.back().first);
  const double ratio = early == 0 ? 0 : static_cast<double>(late) / static_cast<double>(early);
  std::cout << absl::StrFormat(
      "\nGateway's resident memory after %.0f s: %.1f MB, at the end: %.1f MB, ratio %.2f\n",
      early_at, static_cast<double>(early) / 1e6, static_cast<double>(late) / 1e6, ratio);
  if (options_.check_memory && (ratio > 1.1 || ratio == 0)) {
    Fail("the gateway's memory grew by more than a tenth");
  }
}

void Soak::Print() const {
  std::cout << "\n| method | told |\n|---|---|\n";
  for (const auto& [method, counts] : outcomes_) {
    std::vector<std::string> parts;
    for (const auto& [outcome, count] : counts) parts.push_back(absl::StrCat(outcome, " ", count));
    std::cout << "| " << method << " |";
    for (const std::string& part : parts)
      std::cout << ' ' << part << (&part == &parts.back() ? "" : ",");
    std::cout << " |\n";
  }
  std::cout << "\n| change | asked for | carried out |\n|---|---|---|\n";
  for (const auto& [what, counts] : judged_) {
    std::cout << "| " << what << " | " << counts.first << " | " << counts.second << " |\n";
  }
}

bool Soak::Go() {
  upstream_ = *Simulator::Start({.seed = options_.seed, .workflows_per_project = 120});
  keys_ = KeysOf(*upstream_, 100, 100);
  const TemporaryFolder folder;
  // A cache that is full before memory is first looked at: what is kept on purpose is no growth.
  auto started = StartGateway(*upstream_, folder.path(),
                              "upstream: {requests_per_second: 400, burst: 800, max_in_flight: "
                              "64}\ncallers: {requests_per_second: 0}\ncache: {max_bytes: 1MiB}\n");
  if (!started.ok()) {
    std::cout << "FAILED: " << started.status().message() << "\n";
    return false;
  }
  gateway_ = *std::move(started);
  start_ = std::chrono::steady_clock::now();
  std::cout << absl::StrFormat(
      "Soak: %.0f s, seed %d, %d readers, %d runners of workflows, "
      "%d promoters, %d deployers.\n",
      options_.seconds, options_.seed, kReaders, kRunners, kPromoters, kDeployers);

  std::vector<std::thread> threads;
  int number = 0;
  const auto add = [&](int count, void (Soak::*work)(Lane&)) {
    for (int i = 0; i < count; ++i, ++number) {
      threads.emplace_back([this, work, number] {
        Lane lane(number, options_.seed * 1000 + static_cast<uint64_t>(number),
                  ChannelFrom(static_cast<uint8_t>(11 + number), gateway_->grpc_port()));
        (this->*work)(lane);
      });
    }
  };
  add(kReaders, &Soak::Read);
  add(kRunners, &Soak::RunWorkflows);
  add(kPromoters, &Soak::Promote);
  add(kDeployers, &Soak::Deploy);
  threads.emplace_back([this] { WatchMemory(); });
  threads.emplace_back([this] { MakeTrouble(); });
  const SteadyTime end = start_ + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                      std::chrono::duration<double>(options_.seconds));
  while (gateway_->IsRunning() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(200));
  }
  if (!gateway_->IsRunning()) Fail("the gateway ended by itself");
  ending_ = true;
  for (std::thread& thread : threads) thread.join();

  // Promotions are processed for a second, targets vanish after two.
  std::this_thread::sleep_for(kSettling + milliseconds(1000));
  Check(StateOfSimulator());
  const absl::Status stopped = gateway_->Stop();
  if (!stopped.ok()) Fail(std::string(stopped.message()));
  if (!gateway_->StrayOutput().empty()) Fail("the gateway wrote: " + gateway_->StrayOutput());
  Print();
  CheckMemory();
  for (const std::string& failure : failures_) std::cout << "FAILED: " << failure << "\n";
  if (failures_.empty()) std::cout << "All checks passed.\n";
  return failures_.empty();
}

}  // namespace

bool RunSoak(const SoakOptions& options) { return Soak(options).Go(); }

}  // namespace semaphore::bench
