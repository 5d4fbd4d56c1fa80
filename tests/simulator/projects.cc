// GET /projects and /projects/:name (facts, sections 4.2 and 7), which another backend serves: its
// errors are objects.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/simulator/replies.h"
#include "tests/simulator/resources.h"

namespace semaphore::simulator {
namespace {

constexpr int kMaxPage = 100;
constexpr size_t kPageSize = 500;

Reply MessageReply(int status, const std::string& message) {
  return RawTextReply(status, boost::json::serialize(boost::json::object{{"message", message}}));
}

boost::json::object ProjectJson(const Service& service, const Project& project) {
  const boost::json::object repository{
      {"name", project.name},
      {"owner", "acme"},
      {"url", "git@github.com:acme/" + project.name + ".git"},
      {"forked_pull_requests", boost::json::object{{"allowed_secrets", boost::json::array()},
                                                   {"allowed_contributors", boost::json::array()}}},
      {"run_on", boost::json::array{"branches", "tags"}},
      {"pipeline_file", ".semaphore/semaphore.yml"},
      {"status", boost::json::object{{"pipeline_files", boost::json::array{boost::json::object{
                                                            {"path", ".semaphore/semaphore.yml"},
                                                            {"level", "pipeline"}}}}}},
      {"whitelist",
       boost::json::object{{"branches", boost::json::array()}, {"tags", boost::json::array()}}},
      {"integration_type", "github_app"}};
  return {{"apiVersion", "v1alpha"},
          {"kind", "Project"},
          {"metadata", boost::json::object{{"name", project.name},
                                           {"id", project.id},
                                           {"owner_id", service.world.ids().user},
                                           {"org_id", service.world.ids().organization},
                                           {"description", "The project " + project.name}}},
          {"spec", boost::json::object{{"repository", repository},
                                       {"schedulers", boost::json::array()},
                                       {"tasks", boost::json::array()},
                                       {"visibility", "private"},
                                       {"custom_permissions", false},
                                       {"debug_permissions", boost::json::array()},
                                       {"attach_permissions", boost::json::array()}}}};
}

// Who may see which is decided after the pages are made, so that a page may hold fewer than it
// could, and none at all.
Reply List(const Service& service, const Call& call) {
  int page = 1;
  if (call.Has("page")) {
    if (!absl::SimpleAtoi(call.Text("page"), &page)) {
      return MessageReply(400, "page must be a number");
    }
    if (page < 1) return MessageReply(400, "page must be at least 1");
    if (page > kMaxPage) {
      return MessageReply(400, "page must be at most " + std::to_string(kMaxPage));
    }
  }
  std::vector<const Project*> projects;
  for (const Project& project : service.world.projects()) {
    if (!project.deleted) projects.push_back(&project);
  }
  const size_t begin = std::min(static_cast<size_t>(page - 1) * kPageSize, projects.size());
  const size_t end = std::min(begin + kPageSize, projects.size());
  boost::json::array items;
  for (size_t i = begin; i < end && service.access != Access::kNoPermission; i++) {
    items.push_back(ProjectJson(service, *projects[i]));
  }
  Reply reply = JsonReply(items);
  reply.headers.emplace_back("x-page", std::to_string(page));
  reply.headers.emplace_back("x-has-more", end < projects.size() ? "true" : "false");
  return reply;
}

Reply Describe(const Service& service, const Call& call) {
  for (const Project& project : service.world.projects()) {
    if (project.name == call.InPath("name") && !project.deleted) {
      return JsonReply(ProjectJson(service, project));
    }
  }
  return MessageReply(404, "Not found");
}

}  // namespace

void AddProjectRoutes(Router& router, Service& service) {
  const std::string root = "/api/v1alpha/projects";
  router.Add("GET", root, [&service](const Call& call) { return List(service, call); });
  router.Add("GET", root + "/:name",
             [&service](const Call& call) { return Describe(service, call); });
}

}  // namespace semaphore::simulator
