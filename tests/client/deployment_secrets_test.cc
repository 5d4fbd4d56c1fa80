#include "client/deployment_secrets.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <string>

#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

namespace json = boost::json;

constexpr char kUpdate[] = "DeploymentTargetService/UpdateDeploymentTarget";
constexpr char kTarget[] = R"({"id":"t-1","name":"prod","state":"USABLE"})";
constexpr char kWithSecrets[] = R"({"id":"t-1","env_vars":[{"name":"A","value":"digest-a"}],)"
                                R"("files":[{"path":"/f","content":"digest-f"}]})";

class DeploymentSecretsTest : public UpstreamFixture {
 protected:
  json::object SentBody(size_t request) {
    return json::parse(http_.requests.at(request).body).as_object();
  }
};

TEST_F(DeploymentSecretsTest, AChangeOfOneListSendsTheDigestsOfTheOther) {
  struct Row {
    const char* change;
    const char* kept;
    const char* digests;
  };
  const Row rows[] = {
      {"env_vars {name: 'B' value: 'b'}", "files", R"([{"path":"/f","content":"digest-f"}])"},
      {"files {path: '/g' content: 'g'}", "env_vars", R"([{"name":"A","value":"digest-a"}])"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.change);
    http_.requests.clear();
    http_.Reply(200, kWithSecrets);
    http_.Reply(200, kTarget);
    const CallResult result = Call(
        kUpdate, std::string("deployment_target {deployment_target_id: 't-1' ") + row.change + "}");
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.attempts, 2);
    EXPECT_EQ(http_.requests[0].target, "/api/v1alpha/deployment_targets/t-1?include_secrets=true");
    EXPECT_EQ(http_.requests[1].method, "PATCH");
    EXPECT_EQ(SentBody(1).at(row.kept), json::parse(row.digests));
  }
}

TEST_F(DeploymentSecretsTest, AChangeOfBothOrNoneIsOneRequest) {
  for (const char* change :
       {"description: 'd'", "env_vars {name: 'B' value: 'b'} files {path: '/g' content: 'g'}"}) {
    SCOPED_TRACE(change);
    http_.requests.clear();
    http_.Reply(200, kTarget);
    EXPECT_TRUE(
        Call(kUpdate, std::string("deployment_target {deployment_target_id: 't-1' ") + change + "}")
            .status.ok());
    EXPECT_EQ(http_.requests.size(), 1u);
  }
}

TEST_F(DeploymentSecretsTest, WhereTheSecretsAreNotShownNothingIsSent) {
  for (const char* body : {kTarget, R"({"files":"none"})", "[]", "no json"}) {
    SCOPED_TRACE(body);
    http_.requests.clear();
    http_.Reply(200, body);
    const CallResult result = Call(
        kUpdate, "deployment_target {deployment_target_id: 't-1' env_vars {name: 'B' value: 'b'}}");
    EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_MALFORMED_RESPONSE");
    EXPECT_FALSE(result.may_have_arrived);
    EXPECT_EQ(http_.requests.size(), 1u);
  }
  http_.Reply(401, "Permission denied");
  EXPECT_EQ(ReasonOf(Call(kUpdate,
                          "deployment_target {deployment_target_id: 't-1' env_vars "
                          "{name: 'B' value: 'b'}}")
                         .status),
            "UPSTREAM_FORBIDDEN");
}

}  // namespace
}  // namespace semaphore::client
