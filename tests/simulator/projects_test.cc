// Projects as their own backend answers them (facts, sections 4.2 and 7).
#include <boost/json/array.hpp>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class ProjectsTest : public SimulatorTest {};

TEST_F(ProjectsTest, TheListHoldsEveryProjectButDeletedOnes) {
  Start({.projects = 3});
  const TestReply reply = client().Get("/projects");
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("x-page"), "1");
  EXPECT_EQ(reply.Header("x-has-more"), "false");
  EXPECT_EQ(reply.Header("link"), "");
  const boost::json::value json = reply.Json();
  ASSERT_EQ(json.as_array().size(), 4U);
  EXPECT_EQ(json.at(0).at("metadata").at("id").as_string(), ids().project);
  EXPECT_EQ(json.at(3).at("metadata").at("id").as_string(), ids().empty_project);
}

TEST_F(ProjectsTest, APageHoldsFiveHundred) {
  Start({.projects = 999, .workflows_per_project = 4});
  const TestReply first = client().Get("/projects?page=1");
  EXPECT_EQ(first.Json().as_array().size(), 500U);
  EXPECT_EQ(first.Header("x-has-more"), "true");
  const TestReply last = client().Get("/projects?page=2");
  EXPECT_EQ(last.Json().as_array().size(), 500U);
  EXPECT_EQ(last.Header("x-page"), "2");
  EXPECT_EQ(last.Header("x-has-more"), "false");
  const TestReply past = client().Get("/projects?page=3");
  EXPECT_EQ(past.status, 200);
  EXPECT_EQ(past.body, "[]");
  EXPECT_EQ(past.Header("x-has-more"), "false");
}

TEST_F(ProjectsTest, APageOutsideItsBoundsIsRefusedWithAMessage) {
  Start();
  const std::pair<const char*, const char*> rows[] = {
      {"0", R"({"message":"page must be at least 1"})"},
      {"101", R"({"message":"page must be at most 100"})"},
      {"x", R"({"message":"page must be a number"})"}};
  for (const auto& [page, body] : rows) {
    const TestReply reply = client().Get(std::string("/projects?page=") + page);
    EXPECT_EQ(reply.status, 400) << page;
    EXPECT_EQ(reply.body, body) << page;
  }
}

TEST_F(ProjectsTest, OneIsFoundByItsNameAndNotByItsId) {
  Start();
  const TestReply reply = client().Get("/projects/" + ids().project_name);
  ASSERT_EQ(reply.status, 200);
  const boost::json::value json = reply.Json();
  EXPECT_EQ(json.at("kind").as_string(), "Project");
  EXPECT_EQ(json.at("metadata").at("id").as_string(), ids().project);
  EXPECT_EQ(json.at("metadata").at("org_id").as_string(), ids().organization);
  EXPECT_EQ(json.at("spec").at("repository").at("pipeline_file").as_string(),
            ".semaphore/semaphore.yml");
  const TestReply by_id = client().Get("/projects/" + ids().project);
  EXPECT_EQ(by_id.status, 404);
  EXPECT_EQ(by_id.body, R"({"message":"Not found"})");
  EXPECT_EQ(client().Get("/projects/deleted").status, 404);
}

TEST_F(ProjectsTest, ProjectsBeyondTheHundredthHaveNoWorkflows) {
  Start({.projects = 101, .workflows_per_project = 4});
  const boost::json::value json = client().Get("/projects").Json();
  const auto workflows_of = [&](size_t index) {
    const std::string id(json.at(index).at("metadata").at("id").as_string());
    return client().Get("/plumber-workflows?project_id=" + id).Json().as_array().size();
  };
  EXPECT_EQ(workflows_of(99), 4U);
  EXPECT_EQ(workflows_of(100), 0U);
}

TEST_F(ProjectsTest, ThereCanBeFiveThousand) {
  Start({.projects = 5000, .workflows_per_project = 4});
  EXPECT_EQ(client().Get("/projects?page=10").Header("x-has-more"), "true");
  EXPECT_EQ(client().Get("/projects?page=11").Json().as_array().size(), 1U);  // the empty one
}

}  // namespace
}  // namespace semaphore::simulator
