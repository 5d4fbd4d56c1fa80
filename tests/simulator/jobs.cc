// GET /jobs, GET /jobs/:id and POST /jobs/:id/stop (facts, section 5.4). Another server answers
// them than the rest: int64 is text, nothing is left out, and errors are objects.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "tests/simulator/parameters.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"

namespace semaphore::simulator {
namespace {

constexpr int64_t kMostPageSize = 30;

Reply GatewayReply(const Service& service, int status, const boost::json::value& json) {
  Reply reply{.status = status, .headers = {}, .body = boost::json::serialize(json)};
  if (service.options.dialect == Dialect::kReal) {
    reply.headers.emplace_back("content-type", "application/json");
  }
  return reply;
}

Reply GatewayError(const Service& service, int grpc_code, const std::string& message) {
  constexpr std::pair<int, int> kStatuses[] = {{2, 500}, {3, 400}, {5, 404}, {12, 501}};
  int status = 500;
  for (const auto& [code, http] : kStatuses) {
    if (code == grpc_code) status = http;
  }
  return GatewayReply(
      service, status,
      boost::json::object{
          {"code", grpc_code}, {"message", message}, {"details", boost::json::array()}});
}

// As the service casts them: 8-4-4-4-12 hexadecimal digits of either case.
bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); i++) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? text[i] != '-' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[i]))) {
      return false;
    }
  }
  return true;
}

std::string_view StateOf(const JobProgress& progress) {
  if (progress.state == "FINISHED") return "FINISHED";
  if (progress.started_at) return "RUNNING";
  return progress.created_at ? "QUEUED" : "PENDING";
}

absl::Time CreateTimeOf(const Job& job, const JobProgress& progress) {
  return progress.created_at.value_or(job.pipeline->plan.created_at);
}

boost::json::value SecondsText(const std::optional<absl::Time>& time) {
  return boost::json::string(std::to_string(absl::ToUnixSeconds(time.value_or(absl::UnixEpoch()))));
}

// Name and value pairs in the order given.
boost::json::array Variables(const Pairs& pairs) {
  boost::json::array json;
  for (const auto& [name, value] : pairs) {
    json.push_back(boost::json::object{{"name", name}, {"value", value}});
  }
  return json;
}

Pairs GitVariables(const Workflow& workflow, const Project& project) {
  const std::string& branch = workflow.branch_name;
  const bool tag = branch.starts_with("refs/tags/");
  const bool pull_request = branch.starts_with("pull-request-");
  std::string reference = "refs/heads/" + branch;
  if (tag) reference = branch;
  if (pull_request) reference = "refs/pull/" + branch.substr(branch.rfind('-') + 1);
  return {{"SEMAPHORE_GIT_SHA", workflow.commit_sha},
          {"SEMAPHORE_GIT_REPO_SLUG", "octo-org/" + project.name},
          {"SEMAPHORE_GIT_REF", reference},
          {"SEMAPHORE_GIT_REF_TYPE", tag            ? "tag"
                                     : pull_request ? "pull-request"
                                                    : "branch"},
          {"SEMAPHORE_GIT_BRANCH", branch},
          {"SEMAPHORE_GIT_DIR", project.name}};
}

boost::json::object SpecJson(const Service& service, const Job& job) {
  const Workflow& workflow = *job.pipeline->workflow;
  Pairs variables = job.pipeline->env_vars;
  // Stands for a secret that somebody put there in plain text; nobody should ever log it.
  variables.emplace_back("DEPLOY_PASSWORD", "plain-secret-of-" + job.plan().id);
  for (auto& variable : GitVariables(workflow, *service.world.FindProject(workflow.project_id))) {
    variables.push_back(std::move(variable));
  }
  const bool self_hosted = job.plan().self_hosted;
  const boost::json::object machine{
      {"type", self_hosted ? service.world.ids().agent_type : "e1-standard-2"},
      {"os_image", self_hosted ? "" : "ubuntu2204"}};
  const boost::json::object file{{"path", ".env.ci"}, {"content", "TU9ERT1jaQo="}};
  return {{"project_id", workflow.project_id},
          {"agent", boost::json::object{{"machine", machine},
                                        {"containers", boost::json::array()},
                                        {"image_pull_secrets", boost::json::array()}}},
          {"secrets", boost::json::array{boost::json::object{{"name", "registry"}}}},
          {"env_vars", Variables(variables)},
          {"files", boost::json::array{file}},
          {"commands", boost::json::array{"checkout", "make test"}},
          {"epilogue_commands", boost::json::array()},
          {"epilogue_always_commands", boost::json::array{"test-results publish report.xml"}},
          {"epilogue_on_pass_commands", boost::json::array{"cache store"}},
          {"epilogue_on_fail_commands", boost::json::array()}};
}

// Null before the job starts. One that was stopped before it started has an agent without a name.
boost::json::value AgentJson(const Service& service, const Job& job, const JobProgress& progress) {
  if (!progress.started_at && progress.state != "FINISHED") return nullptr;
  boost::json::object json{{"ip", ""}, {"name", ""}, {"ports", boost::json::array()}};
  if (!progress.started_at) return json;
  if (job.plan().self_hosted) {
    json["name"] = service.world.ids().agent;
    return json;
  }
  const uint64_t draw = service.world.seeded().Number("machine of " + job.plan().id, 0);
  json["ip"] = absl::StrFormat("203.0.113.%d", draw % 254 + 1);
  json["name"] = absl::StrFormat("e1-standard-2-%04x", draw / 256 % 65536);
  json["ports"] = boost::json::array{
      boost::json::object{{"name", "ssh"}, {"number", 30'000 + draw / 65536 % 10'000}}};
  return json;
}

boost::json::object ReferenceJson(const Job& job, const JobProgress& progress) {
  const auto text = [](const std::optional<absl::Time>& time) {
    // "Blank fields are included as null instead of being omitted."
    return time ? SecondsText(time) : boost::json::value(nullptr);
  };
  boost::json::value result(nullptr);
  if (!progress.result.empty()) result = progress.result;
  return {{"metadata", boost::json::object{{"name", job.plan().name},
                                           {"id", job.plan().id},
                                           {"create_time", text(CreateTimeOf(job, progress))},
                                           {"start_time", text(progress.started_at)},
                                           {"finish_time", text(progress.finished_at)}}},
          {"status", boost::json::object{{"result", result}, {"state", StateOf(progress)}}}};
}

boost::json::object JobJson(const Service& service, const Job& job, const JobProgress& progress) {
  if (service.options.dialect == Dialect::kReference) return ReferenceJson(job, progress);
  const absl::Time create_time = CreateTimeOf(job, progress);
  const absl::Time update_time = std::max(progress.started_at.value_or(create_time),
                                          progress.finished_at.value_or(create_time));
  const std::string result = progress.result.empty() ? "NONE" : std::string(progress.result);
  return {{"metadata", boost::json::object{{"name", job.plan().name},
                                           {"id", job.plan().id},
                                           {"create_time", SecondsText(create_time)},
                                           {"update_time", SecondsText(update_time)},
                                           {"start_time", SecondsText(progress.started_at)},
                                           {"finish_time", SecondsText(progress.finished_at)}}},
          {"spec", SpecJson(service, job)},
          {"status", boost::json::object{{"result", result},
                                         {"state", StateOf(progress)},
                                         {"agent", AgentJson(service, job, progress)}}}};
}

Reply Describe(const Service& service, const Call& call) {
  const std::string& id = call.InPath("job_id");
  if (!IsUuid(id)) return GatewayError(service, 3, "Job id " + id + " is invalid");
  const std::optional<Job> job = service.world.FindJob(absl::AsciiStrToLower(id));
  if (!job) return GatewayError(service, 5, "Job " + id + " not found");
  return GatewayReply(service, 200, JobJson(service, *job, job->ProgressAt(call.now)));
}

Reply Stop(Service& service, const Call& call) {
  if (!call.request.body.empty()) {
    boost::system::error_code error;
    const boost::json::value body = boost::json::parse(call.request.body, error);
    if (error || !body.is_object()) {
      return GatewayError(service, 3, "proto: syntax error (line 1:1): the body is no JSON object");
    }
  }
  const std::string id = absl::AsciiStrToLower(call.InPath("job_id"));
  if (!IsUuid(id)) return GatewayError(service, 2, "Internal Server Error");
  if (!service.world.FindJob(id)) return GatewayError(service, 5, "Job " + id + " not found");
  service.world.StopJob(id, call.now);
  return GatewayReply(service, 200, boost::json::object());
}

// A job in the list's order: newest first, and by id where they were created at the same time.
struct ListedJob {
  Job job;
  JobProgress progress;

  std::pair<absl::Time, std::string_view> Key() const {
    return {CreateTimeOf(job, progress), job.plan().id};
  }
};

// The states asked for, by name or number; nothing when one of them is neither.
std::optional<std::vector<std::string_view>> StatesIn(const Call& call) {
  constexpr std::string_view kStates[] = {"PENDING", "QUEUED", "RUNNING", "FINISHED"};
  std::vector<std::string_view> states;
  for (const auto& [name, value] : ParseForm(QueryOf(call.request.target))) {
    if (name != "states") continue;
    bool known = false;
    for (size_t i = 0; i < std::size(kStates); i++) {
      if (value != kStates[i] && value != std::to_string(i)) continue;
      states.push_back(kStates[i]);
      known = true;
    }
    if (!known) return std::nullopt;
  }
  return states;
}

// Jobs whose block has not started do not exist yet and are not listed.
std::vector<ListedJob> JobsIn(const Service& service, const std::vector<std::string_view>& states,
                              absl::Time now) {
  std::vector<ListedJob> jobs;
  if (states.empty()) return jobs;
  for (const Pipeline& pipeline : service.world.pipelines()) {
    const PipelineProgress progress = ProgressAt(pipeline.plan, now);
    for (size_t i = 0; i < progress.blocks.size(); i++) {
      for (size_t j = 0; j < progress.blocks[i].jobs.size(); j++) {
        const JobProgress& of_job = progress.blocks[i].jobs[j];
        if (std::ranges::find(states, StateOf(of_job)) == states.end()) continue;
        jobs.push_back({.job = {.pipeline = &pipeline, .block = i, .job = j}, .progress = of_job});
      }
    }
  }
  std::ranges::sort(jobs, std::ranges::greater(), &ListedJob::Key);
  return jobs;
}

Reply List(const Service& service, const Call& call) {
  int64_t page_size = 0;
  if (call.Has("page_size") && !absl::SimpleAtoi(call.Text("page_size"), &page_size)) {
    return GatewayError(service, 3, "type mismatch, parameter: page_size");
  }
  if (page_size > kMostPageSize) return GatewayError(service, 3, "Page size can't exceed 30");
  if (page_size <= 0) page_size = kMostPageSize;
  const auto states = StatesIn(call);
  if (!states) return GatewayError(service, 3, "type mismatch, parameter: states");

  std::vector<ListedJob> jobs = JobsIn(service, *states, call.now);
  const std::string token = call.Text("page_token");
  if (!token.empty()) {
    // The last job of the page before; it need not be in these states any more.
    const std::optional<Job> last = service.world.FindJob(token);
    if (!last) return GatewayError(service, 2, "Internal Server Error");
    const ListedJob mark{.job = *last, .progress = last->ProgressAt(call.now)};
    std::erase_if(jobs, [&](const ListedJob& job) { return job.Key() >= mark.Key(); });
  }
  const size_t count = std::min(jobs.size(), static_cast<size_t>(page_size));
  boost::json::array items;
  for (size_t i = 0; i < count; i++) {
    items.push_back(JobJson(service, jobs[i].job, jobs[i].progress));
  }
  const std::string next = count < jobs.size() ? jobs[count - 1].job.plan().id : "";
  return GatewayReply(service, 200,
                      boost::json::object{{"jobs", items}, {"next_page_token", next}});
}

}  // namespace

void AddJobRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/jobs";
  const std::string one = root + "/:job_id";
  const auto add = [&](const char* method, const std::string& pattern, Handler handler) {
    router.Add(method, pattern, std::move(handler), BodyReading::kRaw);
  };
  add("GET", root, [&service](const Call& call) { return List(service, call); });
  add("GET", one, [&service](const Call& call) { return Describe(service, call); });
  add("POST", one + "/stop", [&service](const Call& call) { return Stop(service, call); });
  for (const std::string& known : {root, one, one + "/stop"}) {
    add("", known,
        [&service](const Call&) { return GatewayError(service, 12, "Method Not Allowed"); });
  }
  add("", root + "/*", [&service](const Call&) { return GatewayError(service, 5, "Not Found"); });
}

}  // namespace semaphore::simulator
