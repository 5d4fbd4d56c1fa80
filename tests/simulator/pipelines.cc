// GET /pipelines, GET and PATCH /pipelines/:id (facts, section 5.2).
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "tests/simulator/paging.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"
#include "tests/simulator/timestamps.h"

namespace semaphore::simulator {
namespace {

// The same pipeline is written differently when described and when listed.
struct Form {
  Dialect dialect;
  bool listed;

  boost::json::value Time(const std::optional<absl::Time>& time) const {
    return listed ? SecondsAndNanos(time) : SpacedText(time);
  }
  boost::json::value Word(std::string_view lower_case) const {
    const std::string word(lower_case);
    return boost::json::string(listed ? absl::AsciiStrToUpper(word) : word);
  }
  // An enum that a description shows as its number and a list as its name.
  boost::json::value Number(int number, const char* name) const {
    return listed ? boost::json::value(name) : boost::json::value(number);
  }
};

void AddResult(boost::json::object& json, const Form& form, std::string_view result,
               std::string_view reason) {
  if (form.dialect == Dialect::kReference) {
    // "Blank fields are included as null instead of being omitted."
    json["result"] = result.empty() ? boost::json::value(nullptr) : form.Word(result);
    return;
  }
  if (result.empty()) return;
  json["result"] = form.Word(result);
  json["result_reason"] = form.Word(reason);
}

boost::json::object ReferenceJson(const Pipeline& pipeline, const PipelineProgress& progress,
                                  const Form& form) {
  boost::json::object json{{"yaml_file_name", pipeline.yaml_file_name},
                           {"working_directory", pipeline.working_directory},
                           {"wf_id", pipeline.workflow->id},
                           {"state", form.Word(progress.state)}};
  AddResult(json, form, progress.result, progress.result_reason);
  json["name"] = pipeline.name;
  json["branch_name"] = pipeline.workflow->branch_name;
  json["created_at"] = form.Time(pipeline.plan.created_at);
  return json;
}

boost::json::object TriggererJson(const Pipeline& pipeline, const Form& form) {
  constexpr std::array<const char*, 4> kTriggers = {"HOOK", "SCHEDULE", "API", "MANUAL_RUN"};
  constexpr std::array<const char*, 3> kPipelineTriggers = {"WORKFLOW", "PROMOTION",
                                                            "AUTO_PROMOTION"};
  const Workflow& workflow = *pipeline.workflow;
  const auto trigger = static_cast<size_t>(workflow.trigger);
  const auto pipeline_trigger = static_cast<size_t>(pipeline.trigger);
  const bool automatic = pipeline.trigger == PipelineTrigger::kAutoPromotion;
  return {{"wf_triggered_by", form.Number(static_cast<int>(trigger), kTriggers[trigger])},
          {"wf_triggerer_id", workflow.hook_id},
          {"wf_triggerer_user_id", workflow.requester_id},
          {"wf_triggerer_provider_login", "octocat"},
          {"wf_triggerer_provider_uid", "583231"},
          {"wf_triggerer_provider_avatar", "https://avatars.example/583231"},
          {"ppl_triggered_by",
           form.Number(static_cast<int>(pipeline_trigger), kPipelineTriggers[pipeline_trigger])},
          {"ppl_triggerer_id", pipeline.promotion_of.empty() ? workflow.id : pipeline.promotion_of},
          {"ppl_triggerer_user_id", automatic ? "" : workflow.requester_id},
          {"workflow_rerun_of", workflow.rerun_of}};
}

boost::json::object PipelineJson(const Service& service, const Pipeline& pipeline,
                                 const PipelineProgress& progress, const Form& form,
                                 absl::Time now) {
  if (form.dialect == Dialect::kReference) return ReferenceJson(pipeline, progress, form);
  const Workflow& workflow = *pipeline.workflow;
  const std::string& organization = service.world.ids().organization;
  const bool resolved = workflow.resolved_at <= now;
  boost::json::array env_vars;
  for (const auto& [name, value] : pipeline.env_vars) {
    env_vars.push_back(boost::json::object{{"name", name}, {"value", value}});
  }
  boost::json::object json{
      {"ppl_id", pipeline.id},
      {"name", pipeline.name},
      {"wf_id", workflow.id},
      {"project_id", workflow.project_id},
      {"organization_id", organization},
      {"repository_id", workflow.repository_id},
      {"hook_id", resolved ? workflow.hook_id : ""},
      {"branch_id", resolved ? workflow.branch_id : ""},
      {"branch_name", workflow.branch_name},
      {"commit_sha", workflow.commit_sha},
      {"commit_message", resolved ? pipeline.commit_message : ""},
      {"snapshot_id", ""},
      {"switch_id", pipeline.SwitchIdAt(now)},
      {"working_directory", pipeline.working_directory},
      {"yaml_file_name", pipeline.yaml_file_name},
      {"error_description", progress.result_reason == "malformed"
                                ? "No revision found for " + workflow.branch_name
                                : std::string()},
      {"terminate_request", pipeline.plan.stop_asked_at ? "stop" : ""},
      {"terminated_by", pipeline.terminated_by},
      {"promotion_of", pipeline.promotion_of},
      {"partial_rerun_of", ""},
      {"partially_rerun_by", ""},
      {"compile_task_id", ""},
      {"after_task_id", ""},
      {"with_after_task", false},
      {"created_at", form.Time(pipeline.plan.created_at)},
      {"pending_at", form.Time(progress.pending_at)},
      {"queuing_at", form.Time(progress.queuing_at)},
      {"running_at", form.Time(progress.running_at)},
      {"stopping_at", form.Time(progress.stopping_at)},
      {"done_at", form.Time(progress.done_at)},
      {"state", form.Word(progress.state)},
      {"env_vars", env_vars},
      {"queue", boost::json::object{{"queue_id", pipeline.queue_id},
                                    {"name", workflow.branch_name + "-" + pipeline.yaml_file_name},
                                    {"scope", "project"},
                                    {"project_id", workflow.project_id},
                                    {"organization_id", organization},
                                    {"type", form.Number(0, "IMPLICIT")}}},
      {"triggerer", TriggererJson(pipeline, form)}};
  AddResult(json, form, progress.result, progress.result_reason);
  return json;
}

boost::json::object JobJson(const JobPlan& plan, const JobProgress& progress, Dialect dialect) {
  const bool finished = progress.state == "FINISHED";
  // The zero value of the enum: an unfinished job looks as if it had passed.
  boost::json::object json{{"status", progress.state},
                           {"result", finished ? progress.result : "PASSED"},
                           {"name", plan.name},
                           {"job_id", plan.id}};
  if (dialect == Dialect::kReal) json["index"] = plan.index;
  return json;
}

boost::json::object BlockJson(const BlockPlan& plan, const BlockProgress& progress,
                              const Form& form) {
  boost::json::object json{{"name", plan.name}, {"state", form.Word(progress.state)}};
  AddResult(json, form, progress.result, progress.result_reason);
  if (form.dialect == Dialect::kReal) {
    json["block_id"] = progress.started ? plan.id : "";
    json["build_req_id"] = progress.started ? plan.build_request_id : "";
    json["error_description"] = "";
  }
  boost::json::array jobs;
  for (size_t i = 0; i < progress.jobs.size(); i++) {
    jobs.push_back(JobJson(plan.jobs[i], progress.jobs[i], form.dialect));
  }
  json["jobs"] = jobs;
  return json;
}

Reply Describe(const Service& service, const Call& call) {
  const Pipeline* pipeline = service.world.FindPipeline(call.InPath("pipeline_id"));
  if (pipeline == nullptr) return RawTextReply(404, "Not Found");
  const Form form{.dialect = service.options.dialect, .listed = false};
  const PipelineProgress progress = ProgressAt(pipeline->plan, call.now);
  boost::json::array blocks;
  const std::string detailed = call.Text("detailed");
  for (size_t i = 0; detailed == "true" && i < progress.blocks.size(); i++) {
    blocks.push_back(BlockJson(pipeline->plan.blocks[i], progress.blocks[i], form));
  }
  return JsonReply(
      boost::json::object{{"pipeline", PipelineJson(service, *pipeline, progress, form, call.now)},
                          {"blocks", blocks}});
}

// The four bounds of the list, in unix seconds.
struct Bounds {
  std::optional<int64_t> created_after;
  std::optional<int64_t> created_before;
  std::optional<int64_t> done_after;
  std::optional<int64_t> done_before;
};

// False when one is not a number.
bool ReadBounds(const Call& call, Bounds& bounds) {
  const std::pair<const char*, std::optional<int64_t>*> fields[] = {
      {"created_after", &bounds.created_after},
      {"created_before", &bounds.created_before},
      {"done_after", &bounds.done_after},
      {"done_before", &bounds.done_before}};
  for (const auto& [name, bound] : fields) {
    int64_t seconds = 0;
    if (!call.Has(name)) continue;
    if (!absl::SimpleAtoi(call.Text(name), &seconds)) return false;
    *bound = seconds;
  }
  return true;
}

bool Within(const std::optional<absl::Time>& time, const std::optional<int64_t>& after,
            const std::optional<int64_t>& before) {
  if (!after && !before) return true;
  if (!time) return false;
  return (!after || *time > absl::FromUnixSeconds(*after)) &&
         (!before || *time < absl::FromUnixSeconds(*before));
}

// The project whose pipelines are asked for, by its own id or by a workflow's; null when neither is
// known.
const Project* ProjectOf(const Service& service, const Call& call) {
  if (call.Has("project_id")) return service.world.FindProject(call.Text("project_id"));
  const Workflow* workflow = service.world.FindWorkflow(call.Text("wf_id"));
  return workflow == nullptr ? nullptr : service.world.FindProject(workflow->project_id);
}

Reply List(const Service& service, const Call& call) {
  const Project* project = ProjectOf(service, call);
  if (project == nullptr || project->deleted) return RawTextReply(404, "Not Found");
  Bounds bounds;
  if (!ReadBounds(call, bounds)) return RawTextReply(500, "Something went wrong");
  if ((bounds.created_after && bounds.created_before &&
       *bounds.created_after >= *bounds.created_before) ||
      (bounds.done_after && bounds.done_before && *bounds.done_after >= *bounds.done_before)) {
    return JsonStringReply(400, "Invalid argument: a range must end after it starts.");
  }
  const std::string workflow_id = call.Text("wf_id");
  const std::string branch = call.Text("branch_name");
  const std::string file = call.Text("yml_file_path");
  const bool by_end = bounds.done_after || bounds.done_before;
  std::vector<const Pipeline*> matching;
  for (const Pipeline* pipeline : service.world.PipelinesOf(project->id)) {
    if (!workflow_id.empty() && pipeline->workflow->id != workflow_id) continue;
    if (!branch.empty() && pipeline->workflow->branch_name != branch) continue;
    if (!file.empty() && pipeline->File() != file) continue;
    if (pipeline->plan.created_at > call.now) continue;  // of a promotion still being processed
    if (!Within(pipeline->plan.created_at, bounds.created_after, bounds.created_before)) continue;
    if (by_end && !Within(ProgressAt(pipeline->plan, call.now).done_at, bounds.done_after,
                          bounds.done_before)) {
      continue;
    }
    matching.push_back(pipeline);
  }
  const Page page = PageOf(call, matching.size(), 30, service.options.dialect);
  const Form form{.dialect = service.options.dialect, .listed = true};
  boost::json::array items;
  for (size_t i = page.begin; i < page.end; i++) {
    const PipelineProgress progress = ProgressAt(matching[i]->plan, call.now);
    items.push_back(PipelineJson(service, *matching[i], progress, form, call.now));
  }
  Reply reply = JsonReply(items);
  reply.headers.insert(reply.headers.end(), page.headers.begin(), page.headers.end());
  return reply;
}

Reply Stop(Service& service, const Call& call) {
  const std::string& pipeline_id = call.InPath("pipeline_id");
  if (service.world.FindPipeline(pipeline_id) == nullptr) return RawTextReply(404, "Not Found");
  const boost::json::value* asked = call.parameters.if_contains("terminate_request");
  if (asked == nullptr || !asked->is_bool() || !asked->get_bool()) {
    return JsonStringReply(400, "Value of 'terminate_request' field must be boolean value 'true'.");
  }
  service.world.Stop(pipeline_id, call.now);
  if (service.options.dialect == Dialect::kReference) return PlugReply(200, "");
  return JsonStringReply(200, "Pipeline termination started.");
}

}  // namespace

void AddPipelineRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/pipelines";
  router.Add("GET", root, [&service](const Call& call) { return List(service, call); });
  router.Add("GET", root + "/:pipeline_id",
             [&service](const Call& call) { return Describe(service, call); });
  router.Add("PATCH", root + "/:pipeline_id",
             [&service](const Call& call) { return Stop(service, call); });
}

}  // namespace semaphore::simulator
