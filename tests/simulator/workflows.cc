// GET and POST /plumber-workflows, GET /plumber-workflows/:id and its reschedule and terminate
// (facts, section 5.1).
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/simulator/paging.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"
#include "tests/simulator/timestamps.h"

namespace semaphore::simulator {
namespace {

constexpr std::array<const char*, 4> kTriggerWords = {"HOOK", "SCHEDULE", "API", "MANUAL_RUN"};

enum class TriggerForm { kWord, kNumber };

boost::json::object WorkflowJson(const Service& service, const Workflow& workflow,
                                 TriggerForm trigger_form, absl::Time now) {
  const bool resolved = workflow.resolved_at <= now;
  boost::json::object json{{"wf_id", workflow.id},
                           {"requester_id", workflow.requester_id},
                           {"project_id", workflow.project_id},
                           {"initial_ppl_id", workflow.initial_pipeline_id},
                           {"hook_id", resolved ? workflow.hook_id : ""},
                           {"created_at", SecondsAndNanos(workflow.created_at)},
                           {"commit_sha", workflow.commit_sha},
                           {"branch_name", workflow.branch_name},
                           {"branch_id", resolved ? workflow.branch_id : ""}};
  if (service.options.dialect == Dialect::kReference) return json;
  const auto trigger = static_cast<size_t>(workflow.trigger);
  if (trigger_form == TriggerForm::kWord) {
    json["triggered_by"] = kTriggerWords[trigger];
  } else {
    json["triggered_by"] = trigger;
  }
  json["rerun_of"] = workflow.rerun_of;
  json["repository_id"] = workflow.repository_id;
  json["organization_id"] = service.world.ids().organization;
  return json;
}

Reply Describe(const Service& service, const Call& call) {
  const Workflow* workflow = service.world.FindWorkflow(call.InPath("workflow_id"));
  if (workflow == nullptr) return RawTextReply(404, "Not Found");
  return JsonReply(boost::json::object{
      {"workflow", WorkflowJson(service, *workflow, TriggerForm::kWord, call.now)}});
}

Reply PagedReply(const boost::json::array& items, Page page) {
  Reply reply = JsonReply(items);
  reply.headers.insert(reply.headers.end(), page.headers.begin(), page.headers.end());
  return reply;
}

Reply List(const Service& service, const Call& call) {
  const Dialect dialect = service.options.dialect;
  const std::string project_id = call.Text("project_id");
  // A workflow id alone passes the check of permissions and is then refused by the backend, which
  // nobody notices.
  if (project_id.empty() && service.world.FindWorkflow(call.Text("wf_id")) != nullptr) {
    return PagedReply({}, FailedPage(call, dialect));
  }
  const Project* project = service.world.FindProject(project_id);
  if (project == nullptr || project->deleted) return RawTextReply(404, "Not Found");

  std::optional<int64_t> after;
  std::optional<int64_t> before;
  for (const auto& [name, bound] :
       {std::pair{"created_after", &after}, {"created_before", &before}}) {
    int64_t seconds = 0;
    if (!call.Has(name)) continue;
    if (!absl::SimpleAtoi(call.Text(name), &seconds)) {
      return RawTextReply(500, "Something went wrong");
    }
    *bound = seconds;
  }
  if (after && before && *after >= *before) return PagedReply({}, FailedPage(call, dialect));

  const std::string branch = call.Text("branch_name");
  std::vector<const Workflow*> workflows;
  for (const Workflow* workflow : service.world.WorkflowsOf(project_id)) {
    if (!branch.empty() && workflow->branch_name != branch) continue;
    if (after && workflow->created_at <= absl::FromUnixSeconds(*after)) continue;
    if (before && workflow->created_at >= absl::FromUnixSeconds(*before)) continue;
    workflows.push_back(workflow);
  }
  const Page page = PageOf(call, workflows.size(), 30, dialect);
  boost::json::array items;
  for (size_t i = page.begin; i < page.end; i++) {
    items.push_back(WorkflowJson(service, *workflows[i], TriggerForm::kNumber, call.now));
  }
  return PagedReply(items, page);
}

// Names and values of `parameters`; nothing when it is not a map of texts, numbers or truth values.
std::optional<std::vector<std::pair<std::string, std::string>>> ParametersOf(const Call& call) {
  std::vector<std::pair<std::string, std::string>> parameters;
  const boost::json::value* given = call.parameters.if_contains("parameters");
  if (given == nullptr || given->is_null()) return parameters;
  if (!given->is_object()) return std::nullopt;
  for (const auto& [name, value] : given->get_object()) {
    std::string text;
    if (value.is_string()) {
      text = std::string(value.get_string());
    } else if (value.is_bool()) {
      text = value.get_bool() ? "true" : "false";
    } else if (value.is_int64()) {
      text = std::to_string(value.get_int64());
    } else {
      return std::nullopt;
    }
    parameters.emplace_back(std::string(name), text);
  }
  return parameters;
}

constexpr char kQueueIsFull[] = "Limit of queuing pipelines reached";

struct Queue {
  std::string project_id;
  std::string branch_name;
  std::string pipeline_file;
};

bool IsFull(const Queue& queue, const Service& service, absl::Time now) {
  const int limit = service.options.queue_limit;
  return limit > 0 && service.world.QueueLength(queue.project_id, queue.branch_name,
                                                queue.pipeline_file, now) >= limit;
}

// A `request_token` is ignored like any other unknown parameter: each call makes a new workflow.
Reply Run(Service& service, const Call& call) {
  RunRequest run{.project_id = call.Text("project_id"),
                 .reference = call.Text("reference"),
                 .commit_sha = call.Text("commit_sha"),
                 .pipeline_file = call.Text("pipeline_file"),
                 .parameters = {}};
  const Project* project = service.world.FindProject(run.project_id);
  if (project == nullptr) return RawTextReply(404, "Not Found");
  if (project->deleted) {
    return JsonStringReply(400, "Project with id " + project->id + " was deleted.");
  }
  if (run.reference.empty()) {
    return JsonStringReply(400, "Missing required post parameter reference.");
  }
  auto parameters = ParametersOf(call);
  if (!parameters) return JsonStringReply(400, "Invalid argument");
  run.parameters = *std::move(parameters);
  const Queue queue{.project_id = run.project_id,
                    .branch_name = BranchNameOf(run.reference),
                    .pipeline_file = run.pipeline_file};
  if (IsFull(queue, service, call.now)) {
    return JsonStringReply(400, kQueueIsFull);
  }
  const Workflow* workflow = service.world.Run(run, call.now);
  if (workflow == nullptr) return JsonStringReply(500, "Internal error");
  boost::json::object json{{"workflow_id", workflow->id},
                           {"pipeline_id", workflow->initial_pipeline_id}};
  if (service.options.dialect == Dialect::kReference) json["hook_id"] = workflow->hook_id;
  return JsonReply(json);
}

// Unlike all others, this call puts its errors into an object.
Reply RerunError(const char* code, const char* message) {
  Reply reply = JsonReply(boost::json::object{{"code", code}, {"message", message}});
  reply.status = 400;
  return reply;
}

// The token is looked for among the reruns of all workflows.
Reply Rerun(Service& service, const Call& call) {
  const Workflow* original = service.world.FindWorkflow(call.InPath("workflow_id"));
  if (original == nullptr) return RawTextReply(404, "Not Found");
  const std::string token = call.Text("request_token");
  if (token.empty()) {
    return JsonStringReply(400, "Missing required post parameter request_token.");
  }
  const Workflow* rerun = service.world.FindRerun(token);
  if (rerun == nullptr) {
    const Pipeline* initial = service.world.FindPipeline(original->initial_pipeline_id);
    const Queue queue{.project_id = original->project_id,
                      .branch_name = original->branch_name,
                      .pipeline_file = initial->File()};
    if (IsFull(queue, service, call.now)) {
      return RerunError("RESOURCE_EXHAUSTED", kQueueIsFull);
    }
    rerun = service.world.Rerun(original->id, token, call.now);
  }
  if (rerun == nullptr) return RerunError("INTERNAL", "Internal error");
  return JsonReply(
      boost::json::object{{"wf_id", rerun->id}, {"ppl_id", rerun->initial_pipeline_id}});
}

Reply Stop(Service& service, const Call& call) {
  const std::string& workflow_id = call.InPath("workflow_id");
  if (service.world.FindWorkflow(workflow_id) == nullptr) return RawTextReply(404, "Not Found");
  const int count = service.world.StopWorkflow(workflow_id, call.now);
  if (service.options.dialect == Dialect::kReference) return PlugReply(200, "");
  return JsonStringReply(200, "Termination started for " + std::to_string(count) + " pipelines.");
}

}  // namespace

void AddWorkflowRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/plumber-workflows";
  router.Add("GET", root, [&service](const Call& call) { return List(service, call); });
  router.Add("POST", root, [&service](const Call& call) { return Run(service, call); });
  router.Add("GET", root + "/:workflow_id",
             [&service](const Call& call) { return Describe(service, call); });
  router.Add("POST", root + "/:workflow_id/reschedule",
             [&service](const Call& call) { return Rerun(service, call); });
  router.Add("POST", root + "/:workflow_id/terminate",
             [&service](const Call& call) { return Stop(service, call); });
}

}  // namespace semaphore::simulator
