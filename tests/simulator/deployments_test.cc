// The history of a deployment target (facts, section 5.7).
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class DeploymentsTest : public SimulatorTest {
 protected:
  TestReply History(const std::string& query = "") {
    return client().Get("/deployment_targets/" + ids().deployed_target + "/history" + query);
  }

  boost::json::value Page(const std::string& query = "") {
    const TestReply reply = History(query);
    EXPECT_EQ(reply.status, 200) << query << " " << reply.body;
    return reply.Json();
  }

  static std::vector<std::string> IdsOf(const boost::json::value& page) {
    std::vector<std::string> ids;
    for (const boost::json::value& deployment : page.at("deployments").as_array()) {
      ids.emplace_back(deployment.at("id").as_string());
    }
    return ids;
  }

  static std::string CursorOf(const boost::json::value& page, const char* name) {
    return std::to_string(page.at(name).as_int64());
  }

  // Every deployment that a walk into the past sees, in its order.
  std::vector<std::string> WalkBack(const std::string& filter = "") {
    std::vector<std::string> all;
    boost::json::value page = Page("?cursor_type=FIRST" + filter);
    for (int i = 0; i < 1000; i++) {
      for (std::string& id : IdsOf(page)) all.push_back(std::move(id));
      const std::string cursor = CursorOf(page, "cursor_before");
      if (cursor == "0") return all;
      page = Page(absl::StrCat("?cursor_type=BEFORE&cursor_value=", cursor, filter));
    }
    ADD_FAILURE() << "the walk does not end";
    return all;
  }
};

TEST_F(DeploymentsTest, TheFirstPageHasTheTenNewestAndACursorIntoThePast) {
  Start();
  const boost::json::value page = Page();
  ASSERT_EQ(page.at("deployments").as_array().size(), 10U);
  EXPECT_EQ(page.at("cursor_after").as_int64(), 0);
  EXPECT_GT(page.at("cursor_before").as_int64(), 1'000'000'000'000'000);
  const boost::json::value& newest = page.at("deployments").at(0);
  EXPECT_EQ(newest.at("state").as_string(), "PENDING");
  EXPECT_EQ(newest.at("pipeline_id").as_string(), "");
  EXPECT_EQ(newest.at("target_id").as_string(), ids().deployed_target);
  EXPECT_TRUE(newest.at("triggered_at").as_string().ends_with(".000000Z"));
  EXPECT_EQ(newest.at("can_requester_rerun").as_bool(), false);
  EXPECT_EQ(page.at("deployments").at(1).at("state").as_string(), "STARTED");
}

TEST_F(DeploymentsTest, AWalkIntoThePastSeesEveryDeploymentOnce) {
  for (const int deployments : {0, 1, 9, 10, 11, 20, 21, 25, 137}) {
    Start({.deployments = deployments});
    const std::vector<std::string> all = WalkBack();
    EXPECT_EQ(all.size(), static_cast<size_t>(deployments));
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size()) << deployments;
  }
}

TEST_F(DeploymentsTest, TheWayBackToThePresentIsNewestFirstToo) {
  Start({.deployments = 45});
  const boost::json::value first = Page();
  const boost::json::value second =
      Page("?cursor_type=before&cursor_value=" + CursorOf(first, "cursor_before"));
  const boost::json::value third =
      Page("?cursor_type=2&cursor_value=" + CursorOf(second, "cursor_before"));
  const boost::json::value second_again =
      Page("?cursor_type=AFTER&cursor_value=" + CursorOf(third, "cursor_after"));
  EXPECT_EQ(IdsOf(second_again), IdsOf(second));
  EXPECT_EQ(CursorOf(second_again, "cursor_before"), CursorOf(second, "cursor_before"));
  // So close to the present there is no page of its own.
  const boost::json::value first_again =
      Page("?cursor_type=1&cursor_value=" + CursorOf(second, "cursor_after"));
  EXPECT_EQ(IdsOf(first_again), IdsOf(first));
  EXPECT_EQ(CursorOf(first_again, "cursor_after"), "0");
}

TEST_F(DeploymentsTest, ACursorOlderThanEverythingStartsWithTheOldest) {
  Start({.deployments = 45});
  const std::vector<std::string> all = WalkBack();
  const boost::json::value page = Page("?cursor_type=AFTER&cursor_value=1");
  EXPECT_EQ(IdsOf(page), std::vector<std::string>(all.end() - 10, all.end()));
  EXPECT_EQ(CursorOf(page, "cursor_before"), "0");
  EXPECT_NE(CursorOf(page, "cursor_after"), "0");
}

TEST_F(DeploymentsTest, ACursorInTheFutureIsTheFirstPage) {
  Start();
  const std::string future = std::to_string(absl::ToUnixMicros(time_.Now() + absl::Hours(1)));
  for (const char* type : {"BEFORE", "AFTER", "FIRST"}) {
    EXPECT_EQ(IdsOf(Page("?cursor_type=" + std::string(type) + "&cursor_value=" + future)),
              IdsOf(Page()))
        << type;
  }
}

TEST_F(DeploymentsTest, ABadCursorIsRefused) {
  Start();
  const TestReply word = History("?cursor_type=NEXT");
  EXPECT_EQ(word.status, 500);
  EXPECT_EQ(word.body, "Something went wrong");
  const TestReply value = History("?cursor_type=BEFORE&cursor_value=soon");
  EXPECT_EQ(value.status, 400);
  EXPECT_EQ(value.Json().as_string(),
            "Invalid value of 'cursor_value' param: \"soon\" - needs to be integer.");
}

TEST_F(DeploymentsTest, FiltersNarrowTheWalk) {
  Start({.deployments = 60});
  const size_t all = WalkBack().size();
  size_t together = 0;
  for (const char* type : {"branch", "tag", "pr"}) {
    const size_t some = WalkBack(std::string("&git_ref_type=") + type).size();
    EXPECT_GT(some, 0U) << type;
    together += some;
  }
  EXPECT_EQ(together, all);
  EXPECT_EQ(WalkBack("&git_ref_type=BRANCH").size(), 0U);
  EXPECT_EQ(WalkBack("&git_ref_label=v1.0"), WalkBack("&git_ref_type=tag"));
  const size_t by_user = WalkBack("&triggered_by=" + ids().user).size();
  EXPECT_EQ(by_user + WalkBack("&triggered_by=Pipeline+Done+request").size(), all);
  EXPECT_EQ(WalkBack("&triggered_by=").size(), all);
}

TEST_F(DeploymentsTest, ParametersAreComparedAsTextWildcardOrExpression) {
  Start({.deployments = 60});
  const std::vector<std::string> production = WalkBack("&parameter1=production");
  EXPECT_GT(production.size(), 0U);
  EXPECT_LT(production.size(), 60U);
  for (const char* pattern : {"p*", "*duction", "p*u*n", "%25tion", "pro.%2B", "prod[u]ction"}) {
    EXPECT_EQ(WalkBack(std::string("&parameter1=") + pattern), production) << pattern;
  }
  EXPECT_EQ(WalkBack("&parameter2=1%5C.4%5B0-9%5D").size(), 10U);  // 1\.4[0-9]
  EXPECT_EQ(WalkBack("&parameter2=1.40&parameter1=nowhere").size(), 0U);
  EXPECT_EQ(WalkBack("&parameter3=*").size(), 0U);  // the target bookmarks only two
  EXPECT_EQ(WalkBack("&parameter1=" + std::string(101, '*')).size(), 0U);
  // Would take for ever as an expression.
  EXPECT_EQ(WalkBack("&parameter1=(.%2B)%2Bx").size(), 0U);
  EXPECT_EQ(WalkBack("&parameter1=prod(").size(), 0U);
}

TEST_F(DeploymentsTest, TheTargetMustBeKnown) {
  Start();
  EXPECT_EQ(client().Get("/deployment_targets/x/history").body, "target_id must be a valid UUID");
  const TestReply reply = client().Get("/deployment_targets/" + ids().user + "/history");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "\"Not found\"");
}

TEST_F(DeploymentsTest, TheReferenceDialectHasTheDocumentedFieldsOnly) {
  Start({.dialect = Dialect::kReference});
  EXPECT_FALSE(Page().at("deployments").at(0).as_object().contains("can_requester_rerun"));
}

}  // namespace
}  // namespace semaphore::simulator
