// Semaphore's API as far as the collector asks for it, behind HttpClient: projects whose pipelines
// live and finish by a clock of their own, which may be wrong by minutes. Lists behave as
// upstream's do: newest first by creation, numbered pages, filters by unix seconds. It may be asked
// from several threads; who changes what it holds meanwhile takes `mutex`.
#ifndef SEMAPHORE_TESTS_GATEWAY_FAKE_SEMAPHORE_H_
#define SEMAPHORE_TESTS_GATEWAY_FAKE_SEMAPHORE_H_

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/http_client.h"

namespace semaphore::gateway {

class FakeSemaphore final : public client::HttpClient {
 public:
  struct Pipeline {
    std::string id;
    std::string project_id;
    absl::Time created;  // upstream's clock, as all times here
    absl::Time done = absl::InfiniteFuture();
    std::string result = "PASSED";
    std::string branch = "main";
    std::string switch_id = {};
    std::string promotion_of = {};
    absl::Time visible_done = absl::InfinitePast();  // done only from then on, dated back
  };
  struct Deployment {
    std::string id;
    std::string pipeline_id;
    std::string state = "STARTED";
    absl::Time triggered = absl::InfinitePast();  // else with its pipeline
  };
  struct Promotion {
    std::string name;
    absl::Time triggered;
    std::string status = "passed";
    std::string triggered_by = "Pipeline Done request";
  };

  explicit FakeSemaphore(const client::Clock& clock) : clock_(clock) {}

  absl::Time Now() const { return clock_.WallNow() + skew; }

  // A deployment to a target of web-id whose pipeline runs for so long from now on.
  Pipeline& Deploy(const std::string& target, const std::string& id, absl::Duration length) {
    target_created.emplace(target, Now());
    std::vector<Deployment>& history = targets[target];
    history.insert(history.begin(), {.id = id, .pipeline_id = "for-" + id, .triggered = Now()});
    return Run("for-" + id, length);
  }

  // One that runs for so long from now on.
  Pipeline& Run(std::string id, absl::Duration length, std::string project_id = "web-id") {
    pipelines.push_back({std::move(id), std::move(project_id), Now(), Now() + length});
    return pipelines.back();
  }

  absl::Duration skew;  // its clock minus ours
  std::vector<std::pair<std::string, std::string>> projects = {{"web-id", "web"}};  // id, name
  std::vector<Pipeline> pipelines;                         // in order of creation
  std::map<std::string, std::vector<Deployment>> targets;  // of web-id, newest deployment first
  std::map<std::string, absl::Time> target_created;        // by target; not told of the others
  int agents = 0;
  std::map<std::string, std::vector<Promotion>> promotions;  // by pipeline, newest first
  // Answers in place of everything else when it says something; runs before each request.
  std::function<std::optional<client::HttpResult>(const std::string& target)> intercept;
  std::vector<std::string> requests;
  std::mutex mutex;

  size_t RequestsTo(std::string_view prefix) const {
    return static_cast<size_t>(std::count_if(
        requests.begin(), requests.end(),
        [prefix](const std::string& target) { return target.substr(0, prefix.size()) == prefix; }));
  }

  static client::HttpResult TimedOut() {
    client::HttpResult result;
    result.status = absl::DeadlineExceededError("no reply");
    result.cause = client::HttpCause::kDeadline;
    result.stage = client::HttpStage::kHeader;
    result.may_have_arrived = true;
    return result;
  }
  static client::HttpResult Reply(int status, std::string body) {
    client::HttpResult result;
    result.may_have_arrived = true;
    result.response.status = status;
    result.response.body = std::move(body);
    return result;
  }

  boost::asio::awaitable<client::HttpResult> Send(client::HttpRequest request,
                                                  client::MonotonicTime deadline) override {
    if (request.admit) {
      const absl::Status admitted = co_await request.admit(deadline);
      if (!admitted.ok()) {
        client::HttpResult refused;
        refused.status = admitted;
        refused.stage = client::HttpStage::kAdmit;
        refused.cause = client::HttpCause::kRefused;
        co_return refused;
      }
    }
    const std::string target = request.target.substr(sizeof("/api/v1alpha/") - 1);
    const std::lock_guard lock(mutex);
    requests.push_back(target);
    if (intercept) {
      std::optional<client::HttpResult> other = intercept(target);
      if (other.has_value()) co_return *std::move(other);
    }
    co_return Answer(target);
  }

 private:
  using Query = std::map<std::string, std::string>;

  static Query Parse(const std::string& target) {
    Query query;
    const size_t mark = target.find('?');
    if (mark == std::string::npos) return query;
    for (const auto& pair : absl::StrSplit(target.substr(mark + 1), '&')) {
      const std::pair<std::string, std::string> parts =
          absl::StrSplit(pair, absl::MaxSplits('=', 1));
      query.insert(parts);
    }
    return query;
  }

  bool Done(const Pipeline& pipeline) const {
    return pipeline.done <= Now() && pipeline.visible_done <= Now();
  }

  static std::string Stamp(std::optional<absl::Time> time) {
    if (!time.has_value()) return R"({"seconds":0,"nanos":0})";
    const int64_t seconds = absl::ToUnixSeconds(*time);
    return absl::StrCat("{\"seconds\":", seconds, ",\"nanos\":",
                        absl::ToInt64Nanoseconds(*time - absl::FromUnixSeconds(seconds)), "}");
  }

  std::string Json(const Pipeline& pipeline) const {
    const bool done = Done(pipeline);
    std::string json = absl::StrCat(
        R"({"ppl_id":")", pipeline.id, R"(","wf_id":"wf-)", pipeline.id,
        R"(","name":"Build","project_id":")", pipeline.project_id, R"(","branch_name":")",
        pipeline.branch, R"(","commit_sha":"abc","working_directory":".semaphore",)",
        R"("yaml_file_name":"semaphore.yml","switch_id":")", pipeline.switch_id,
        R"(","promotion_of":")", pipeline.promotion_of, R"(","state":")", done ? "DONE" : "RUNNING",
        R"(",)");
    if (done)
      absl::StrAppend(&json, R"("result":")", pipeline.result, R"(","result_reason":"TEST",)");
    absl::StrAppend(&json, R"("created_at":)", Stamp(pipeline.created), R"(,"done_at":)",
                    Stamp(done ? std::optional(pipeline.done) : std::nullopt), "}");
    return json;
  }

  static bool Within(absl::Time time, const Query& query, const char* after, const char* before) {
    int64_t bound = 0;
    if (query.count(after) > 0 && absl::SimpleAtoi(query.at(after), &bound) &&
        time <= absl::FromUnixSeconds(bound)) {
      return false;
    }
    return query.count(before) == 0 || !absl::SimpleAtoi(query.at(before), &bound) ||
           time < absl::FromUnixSeconds(bound);
  }

  client::HttpResult List(const Query& query) const {
    const std::string project = query.at("project_id");
    const bool by_end = query.count("done_after") > 0;
    std::vector<const Pipeline*> matching;
    for (auto at = pipelines.rbegin(); at != pipelines.rend(); ++at) {
      if (at->project_id != project || at->created > Now()) continue;
      if (!Within(at->created, query, "created_after", "created_before")) continue;
      if (by_end && (!Done(*at) || !Within(at->done, query, "done_after", "done_before"))) continue;
      matching.push_back(&*at);
    }
    const bool exists = std::any_of(projects.begin(), projects.end(),
                                    [&](const auto& each) { return each.first == project; });
    if (!exists) return Reply(404, "Not Found");
    const size_t size = std::stoul(query.at("page_size"));
    const size_t page = std::stoul(query.at("page"));
    const size_t begin = std::min(matching.size(), (page - 1) * size);
    const size_t end = std::min(matching.size(), begin + size);
    std::string body = "[";
    for (size_t i = begin; i < end; ++i) {
      absl::StrAppend(&body, i > begin ? "," : "", Json(*matching[i]));
    }
    client::HttpResult result = Reply(200, body + "]");
    std::string link = R"(<http://h/p?page=1>; rel="first")";
    if (end < matching.size())
      absl::StrAppend(&link, ", <http://h/p?page=", page + 1, R"(>; rel="next")");
    result.response.headers = {{"link", link},
                               {"total", absl::StrCat(matching.size())},
                               {"page-number", absl::StrCat(page)}};
    return result;
  }

  client::HttpResult One(const std::string& id, bool detailed) const {
    for (const Pipeline& pipeline : pipelines) {
      if (pipeline.id != id) continue;
      const std::string block =
          absl::StrCat(R"({"name":"Test","block_id":"b","state":"done","result":"passed","jobs":[)",
                       R"({"job_id":"job-)", id,
                       R"(","name":"Unit","index":0,"status":"FINISHED","result":"PASSED"}]})");
      return Reply(200, absl::StrCat(R"({"pipeline":)", Json(pipeline), R"(,"blocks":[)",
                                     detailed ? block : "", "]}"));
    }
    return Reply(404, "Not Found");
  }

  client::HttpResult Targets(const Query& query) const {
    if (query.at("project_id") != "web-id") return Reply(200, "[]");
    std::string body = "[";
    for (const auto& [id, deployments] : targets) {
      absl::StrAppend(&body, body.size() > 1 ? "," : "", R"({"id":")", id, R"(","name":"name-)", id,
                      R"(","created_at":")",
                      target_created.count(id) > 0 ? Iso(target_created.at(id)) : "",
                      R"(","state":"USABLE","last_deployment":)",
                      deployments.empty() ? "null" : Json(deployments.front()), "}");
    }
    return Reply(200, body + "]");
  }

  absl::Time TriggeredAt(const Deployment& deployment) const {
    if (deployment.triggered != absl::InfinitePast()) return deployment.triggered;
    for (const Pipeline& pipeline : pipelines) {
      if (pipeline.id == deployment.pipeline_id) return pipeline.created;
    }
    return absl::UnixEpoch();
  }

  static std::string Iso(absl::Time time) {
    return absl::FormatTime("%Y-%m-%dT%H:%M:%S.000000Z", time, absl::UTCTimeZone());
  }

  std::string Json(const Deployment& deployment) const {
    return absl::StrCat(R"({"id":")", deployment.id, R"(","pipeline_id":")", deployment.pipeline_id,
                        R"(","state":")", deployment.state,
                        R"(","triggered_by":"someone","triggered_at":")",
                        Iso(TriggeredAt(deployment)), R"("})");
  }

  // Ten a page. The newest one at or before the cursor is taken for the one that it came from.
  client::HttpResult History(const std::string& id, const Query& query) const {
    const auto found = targets.find(id);
    if (found == targets.end()) return Reply(404, R"("Not found")");
    const std::vector<Deployment>& all = found->second;
    size_t begin = 0;
    int64_t cursor = 0;
    if (query.count("cursor_value") > 0 && absl::SimpleAtoi(query.at("cursor_value"), &cursor)) {
      while (begin < all.size() && absl::ToUnixMicros(TriggeredAt(all[begin])) > cursor) ++begin;
      ++begin;
    }
    const size_t end = std::min(all.size(), begin + 10);
    std::string body;
    for (size_t i = begin; i < end; ++i) {
      absl::StrAppend(&body, i > begin ? "," : "", Json(all[i]));
    }
    const int64_t before = end < all.size() ? absl::ToUnixMicros(TriggeredAt(all[end - 1])) : 0;
    return Reply(200, absl::StrCat(R"({"cursor_before":)", before,
                                   R"(,"cursor_after":0,"deployments":[)", body, "]}"));
  }

  client::HttpResult Promotions(const Query& query) const {
    const auto found = promotions.find(query.at("pipeline_id"));
    const std::vector<Promotion> all =
        found == promotions.end() ? std::vector<Promotion>() : found->second;
    const size_t size = std::stoul(query.at("page_size"));
    const size_t page = query.count("page") > 0 ? std::stoul(query.at("page")) : 1;
    const size_t begin = std::min(all.size(), (page - 1) * size);
    const size_t end = std::min(all.size(), begin + size);
    std::string body = "[";
    for (size_t i = begin; i < end; ++i) {
      absl::StrAppend(&body, i > begin ? "," : "", R"({"name":")", all[i].name, R"(","status":")",
                      all[i].status, R"(","triggered_by":")", all[i].triggered_by,
                      R"(","triggered_at":)", Stamp(all[i].triggered), "}");
    }
    client::HttpResult result = Reply(200, body + "]");
    std::string link = R"(<http://h/p?page=1>; rel="first")";
    if (end < all.size()) {
      absl::StrAppend(&link, ", <http://h/p?page=", page + 1, R"(>; rel="next")");
    }
    result.response.headers = {
        {"link", link}, {"total", absl::StrCat(all.size())}, {"page-number", absl::StrCat(page)}};
    return result;
  }

  client::HttpResult Answer(const std::string& target) const {
    const Query query = Parse(target);
    const std::string path = target.substr(0, target.find('?'));
    const std::vector<std::string> parts = absl::StrSplit(path, '/');
    if (path == "pipelines") return List(query);
    if (parts[0] == "pipelines") {
      return One(parts[1], query.count("detailed") > 0 && query.at("detailed") == "true");
    }
    if (path == "projects") {
      std::string body = "[";
      for (const auto& [id, name] : projects) {
        absl::StrAppend(&body, body.size() > 1 ? "," : "", R"({"metadata":{"id":")", id,
                        R"(","name":")", name, R"("}})");
      }
      return Reply(200, body + "]");
    }
    if (parts[0] == "jobs") {
      return Reply(200, absl::StrCat(R"({"metadata":{"id":")", parts[1],
                                     R"(","name":"Unit"},"status":{"state":"FINISHED",)",
                                     R"("result":"PASSED"}})"));
    }
    if (parts[0] == "plumber-workflows") {
      return Reply(200, absl::StrCat(R"({"workflow":{"wf_id":")", parts[1],
                                     R"(","created_at":{"seconds":1700000000,"nanos":0}}})"));
    }
    if (path == "self_hosted_agent_types") {
      return Reply(200, R"({"agent_types":[{"metadata":{"name":"s1-linux"}}]})");
    }
    if (path == "agents") {
      std::string body;
      for (int i = 0; i < agents; ++i) {
        absl::StrAppend(&body, i > 0 ? "," : "", R"({"metadata":{"name":"a)", i,
                        R"(","type":"s1-linux","version":"v2.2"},"status":{"state":)",
                        R"("running_job"}})");
      }
      return Reply(200, absl::StrCat(R"({"agents":[)", body, R"(],"cursor":""})"));
    }
    if (path == "deployment_targets") return Targets(query);
    if (parts[0] == "deployment_targets") return History(parts[1], query);
    if (path == "promotions") return Promotions(query);
    return Reply(404, "oops");
  }

  const client::Clock& clock_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_TESTS_GATEWAY_FAKE_SEMAPHORE_H_
