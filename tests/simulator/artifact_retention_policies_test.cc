// Retention policies as the service answers them (facts, section 5.8).
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class ArtifactRetentionPoliciesTest : public SimulatorTest {
 protected:
  TestReply Configure(boost::json::object policy) {
    policy["project_id"] = ids().project;
    return client().PostJson("/artifacts_retention_policies", boost::json::serialize(policy));
  }

  // One rule for the artifacts of jobs.
  TestReply ConfigureJobs(const std::string& selector, const std::string& age) {
    return Configure({{"job_level_retention_policies", Rules(1, selector, age)}});
  }

  static boost::json::array Rules(size_t count, const std::string& selector,
                                  const std::string& age) {
    boost::json::array rules;
    for (size_t i = 0; i < count; i++) {
      rules.push_back(boost::json::object{{"selector", selector}, {"age", age}});
    }
    return rules;
  }

  std::string Path() { return "/artifacts_retention_policies/" + ids().project; }
};

TEST_F(ArtifactRetentionPoliciesTest, AProjectStartsWithoutRules) {
  Start();
  const TestReply reply = client().Get(Path());
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body,
            R"({"project_level_retention_policies":[],"workflow_level_retention_policies":[],)"
            R"("job_level_retention_policies":[]})");
}

TEST_F(ArtifactRetentionPoliciesTest, APolicyReplacesTheOneBeforeAndTheProjectIsNotEchoed) {
  Start();
  ASSERT_EQ(ConfigureJobs("/logs/**", "3 months").status, 200);
  const TestReply reply =
      Configure({{"workflow_level_retention_policies", Rules(1, "/**/*", "1 year")}});
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body,
            R"({"project_level_retention_policies":[],"workflow_level_retention_policies":)"
            R"([{"selector":"/**/*","age":"1 year"}],"job_level_retention_policies":[]})");
  EXPECT_EQ(client().Get(Path()).body, reply.body);
}

TEST_F(ArtifactRetentionPoliciesTest, AnAgeIsWrittenAnew) {
  Start();
  const std::pair<const char*, const char*> rows[] = {
      {"7 days", "1 week"},   {"1 days", "1 day"},       {"8 days", "8 days"},
      {"2 week", "2 weeks"},  {"12 weeks", "12 weeks"},  {"1 month", "1 month"},
      {"4 years", "4 years"}, {"12 months", "12 months"}};
  for (const auto& [given, kept] : rows) {
    const TestReply reply = ConfigureJobs("/**", given);
    ASSERT_EQ(reply.status, 200) << given;
    EXPECT_EQ(reply.Json().at("job_level_retention_policies").at(0).at("age").as_string(), kept);
  }
}

TEST_F(ArtifactRetentionPoliciesTest, AMalformedAgeIsRefusedInRawText) {
  Start();
  for (const char* age : {"0 days", "13 weeks", "2  weeks", "2weeks", "two weeks", "01 week",
                          "1 fortnight", "+1 week", " 1 week", "1"}) {
    const TestReply reply = ConfigureJobs("/**", age);
    EXPECT_EQ(reply.status, 400) << age;
    EXPECT_TRUE(reply.body.starts_with("invalid 'age' value: '" + std::string(age) + "'"))
        << reply.body;
  }
}

TEST_F(ArtifactRetentionPoliciesTest, TheReferenceDialectKnowsNoDays) {
  Start({.dialect = Dialect::kReference});
  EXPECT_EQ(ConfigureJobs("/**", "2 days").status, 400);
  EXPECT_EQ(ConfigureJobs("/**", "2 weeks").status, 200);
}

TEST_F(ArtifactRetentionPoliciesTest, WithoutAnyRuleItIsRefused) {
  Start();
  for (const boost::json::object& policy :
       {boost::json::object(),
        boost::json::object{{"job_level_retention_policies", boost::json::array()}},
        boost::json::object{{"job_level_retention_policies", "x"}}}) {
    const TestReply reply = Configure(policy);
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(reply.body, "at least one retention policy configuration must be defined");
  }
}

TEST_F(ArtifactRetentionPoliciesTest, TooManyRulesAndLongSelectorsAreRefused) {
  Start();
  EXPECT_EQ(Configure({{"job_level_retention_policies", Rules(10, "/a", "1 week")}}).status, 200);
  const TestReply many = Configure({{"job_level_retention_policies", Rules(11, "/b", "1 week")}});
  EXPECT_EQ(many.status, 400);
  EXPECT_TRUE(many.Json().is_string()) << many.body;
  EXPECT_EQ(ConfigureJobs(std::string(100, 'a'), "1 week").status, 200);
  const TestReply lengthy = ConfigureJobs(std::string(101, 'a'), "1 week");
  EXPECT_EQ(lengthy.status, 400);
  EXPECT_EQ(ConfigureJobs("", "1 week").status, 400);
  EXPECT_EQ(client()
                .Get(Path())
                .Json()
                .at("job_level_retention_policies")
                .at(0)
                .at("selector")
                .as_string()
                .size(),
            100U);
}

TEST_F(ArtifactRetentionPoliciesTest, TheProjectMustBeGivenAndKnown) {
  Start();
  const std::string unknown = ids().user;
  EXPECT_EQ(client().PostJson("/artifacts_retention_policies", "{}").body,
            "project_id must be present");
  EXPECT_EQ(client().Get("/artifacts_retention_policies/x").body,
            "project id must be a valid UUID");
  const TestReply reply = client().Get("/artifacts_retention_policies/" + unknown);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "Not found");
}

}  // namespace
}  // namespace semaphore::simulator
