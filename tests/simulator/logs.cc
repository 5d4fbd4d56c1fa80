// GET /logs/:job_id of the API, and the log store that self-hosted logs are handed over to (facts,
// section 6).
#include <boost/json/parse.hpp>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "tests/simulator/log_events.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"

namespace semaphore::simulator {
namespace {

constexpr int64_t kPassSeconds = 300;

// The hand-over's pass: issue time and a checksum over it, the job and the seed. Not cryptography,
// only recognizable.
std::string PassFor(const Service& service, const std::string& job_id, int64_t issued_at) {
  const uint64_t check =
      service.world.seeded().Number("pass" + job_id, static_cast<uint64_t>(issued_at));
  return absl::StrFormat("%d.%016x", issued_at, check);
}

bool PassIsGood(const Service& service, const std::string& job_id, const std::string& pass,
                absl::Time now) {
  int64_t issued_at = 0;
  if (!absl::SimpleAtoi(pass.substr(0, pass.find('.')), &issued_at)) return false;
  const int64_t age = absl::ToUnixSeconds(now) - issued_at;
  return age >= 0 && age < kPassSeconds && pass == PassFor(service, job_id, issued_at);
}

std::string Joined(const std::vector<std::string>& events, size_t skip) {
  std::string text;
  for (size_t i = skip; i < events.size(); i++) {
    if (i > skip) text += ',';
    text += events[i];
  }
  return text;
}

Reply GetLog(const Service& service, const Call& call) {
  const std::string& job_id = call.InPath("job_id");
  const std::optional<Job> job = service.world.FindJob(job_id);
  if (!job) return JsonStringReply(404, "Job with id: " + job_id + " not found");
  const JobProgress progress = job->ProgressAt(call.now);
  if (!progress.started_at) {
    return JsonStringReply(404, progress.result == "STOPPED"
                                    ? "This job was stopped before it started, so no logs were "
                                      "produced."
                                    : "This job never started, so no logs were produced.");
  }
  if (job->plan().self_hosted && service.options.dialect == Dialect::kReal) {
    Reply reply = PlugReply(302, "");
    reply.headers.emplace_back(
        "location", "https://" + call.authority + "/api/v1/logs/" + job_id +
                        "?jwt=" + PassFor(service, job_id, absl::ToUnixSeconds(call.now)));
    return reply;
  }
  std::string body;
  if (job->plan().log_bytes > 0 && progress.finished_at) {
    body = HugeLogBody(*job, call.now, job->plan().log_bytes);
  } else {
    body = "{\"events\":[" + Joined(LogOf(*job, call.now).events, 0) + "]}";
  }
  Reply reply = PlugReply(200, std::move(body));
  if (service.options.dialect == Dialect::kReal) {
    reply.headers.emplace_back("content-type", "application/json");
  }
  return reply;
}

// What people read: commands and their output, without times and exit codes.
std::string RawText(const std::vector<std::string>& events, size_t skip) {
  std::string text;
  for (size_t i = skip; i < events.size(); i++) {
    const boost::json::value event = boost::json::parse(events[i]);
    const std::string_view kind = event.at("event").as_string();
    if (kind == "cmd_started") text += std::string(event.at("directive").as_string()) + "\n";
    if (kind == "cmd_output") text += std::string(event.at("output").as_string());
  }
  return text;
}

Reply GetStoredLog(const Service& service, const Call& call) {
  const std::string& job_id = call.InPath("job_id");
  std::string pass = call.Text("jwt");
  const std::string_view authorization = call.request.Header("authorization");
  if (pass.empty() && authorization.starts_with("Bearer ")) {
    pass = std::string(authorization.substr(7));
  }
  if (!PassIsGood(service, job_id, pass, call.now)) return PlainTextReply(401, "Unauthorized\n");
  const std::optional<Job> job = service.world.FindJob(job_id);
  if (!job || !job->ProgressAt(call.now).started_at) {
    return PlainTextReply(404, "Logs for " + job_id + " not found\n");
  }
  int64_t skip = 0;
  if (call.Has("token") && (!absl::SimpleAtoi(call.Text("token"), &skip) || skip < 0)) {
    return PlainTextReply(400, "token is not a number\n");
  }
  const JobLogText log = LogOf(*job, call.now);
  const size_t first = std::min(static_cast<size_t>(skip), log.events.size());
  if (call.Text("raw") == "true") return PlainTextReply(200, RawText(log.events, first));
  const std::string next =
      log.final ? "null" : std::to_string(static_cast<size_t>(skip) + log.events.size() - first);
  return {.status = 200,
          .headers = {{"content-type", "application/json"}},
          .body = "{\"events\":[" + Joined(log.events, first) + "],\"next\":" + next + "}"};
}

}  // namespace

void AddLogRoutes(Router& router, Service& service) {
  router.Add("GET", "/api/v1alpha/logs/:job_id",
             [&service](const Call& call) { return GetLog(service, call); });
}

void AddLogStoreRoutes(Router& router, Service& service) {
  router.Add("GET", "/api/v1/logs/:job_id",
             [&service](const Call& call) { return GetStoredLog(service, call); });
}

}  // namespace semaphore::simulator
