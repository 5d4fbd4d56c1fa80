// Self-hosted agents and their cursor (facts, sections 4.4 and 5.6).
#include <map>

#include "absl/strings/str_replace.h"
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class AgentsTest : public SimulatorTest {
 protected:
  boost::json::value List(const std::string& query = "") {
    return client().Get("/agents?" + query).Json();
  }
  boost::json::value Describe(const std::string& name) {
    return client().Get("/agents/" + name).Json();
  }

  // How often each agent came on the way through all pages; stops after `most_pages`.
  std::map<std::string, int> Walk(const std::string& query, int most_pages) {
    std::map<std::string, int> seen;
    std::string cursor;
    for (int page = 0; page < most_pages && (page == 0 || !cursor.empty()); page++) {
      const boost::json::value json = List(query + "&cursor=" + cursor);
      for (const boost::json::value& agent : json.at("agents").as_array()) {
        seen[std::string(agent.at("metadata").at("name").as_string())]++;
      }
      cursor = std::string(json.at("cursor").as_string());
    }
    return seen;
  }
};

TEST_F(AgentsTest, AnAgentHasNumbersForItsTimesAndIsNotSaidToBeDisabled) {
  Start();
  const boost::json::value json = Describe(ids().agent);
  const boost::json::value& metadata = json.at("metadata");
  EXPECT_EQ(metadata.at("name").as_string(), ids().agent);
  EXPECT_EQ(metadata.at("type").as_string(), ids().agent_type);
  EXPECT_GT(metadata.at("connected_at").as_int64(), 1'700'000'000);
  EXPECT_GT(metadata.at("pid").as_int64(), 0);
  for (const char* name : {"version", "os", "arch", "hostname", "ip_address"}) {
    EXPECT_FALSE(metadata.at(name).as_string().empty()) << name;
  }
  EXPECT_FALSE(metadata.as_object().contains("disabled_at"));
  EXPECT_EQ(json.at("status").at("state").as_string(), "running_job");
}

TEST_F(AgentsTest, ADisabledAgentSaysSince) {
  Start();
  EXPECT_GT(Describe(ids().disabled_agent).at("metadata").at("disabled_at").as_int64(), 0);
}

TEST_F(AgentsTest, AnUnknownAgentIsNotFound) {
  Start();
  const TestReply reply = client().Get("/agents/unknown");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, R"("agent not found")");
}

TEST_F(AgentsTest, APageHoldsTwoHundredUnlessAskedForLess) {
  Start();
  const boost::json::value first = List();
  EXPECT_EQ(first.at("agents").as_array().size(), 200U);
  const std::string cursor(first.at("cursor").as_string());
  const boost::json::value second = List("cursor=" + cursor);
  EXPECT_EQ(second.at("agents").as_array().size(), 5U);
  EXPECT_EQ(second.at("cursor").as_string(), "");
  EXPECT_EQ(cursor.substr(0, cursor.size() - 3),
            std::to_string(second.at("agents").at(0).at("metadata").at("connected_at").as_int64()));
  EXPECT_EQ(List("page_size=0").at("agents").as_array().size(), 200U);
  EXPECT_EQ(List("page_size=5").at("agents").as_array().size(), 5U);
}

TEST_F(AgentsTest, PageSizesOutOfRangeAndCursorsWithoutANumberAreRefused) {
  Start();
  for (const char* size : {"4", "201", "-1", "x", ""}) {
    const TestReply reply = client().Get(std::string("/agents?page_size=") + size);
    EXPECT_EQ(reply.status, 400) << size;
    EXPECT_TRUE(reply.Json().is_string()) << size;
  }
  const TestReply reply = client().Get("/agents?cursor=x");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body, R"("Internal error")");
}

TEST_F(AgentsTest, AWalkMeetsEveryAgentOnceThoughSomeShareASecond) {
  Start({.agents = 1000});
  std::map<int64_t, int> by_second;
  const boost::json::value first = List();
  for (const boost::json::value& agent : first.at("agents").as_array()) {
    by_second[agent.at("metadata").at("connected_at").as_int64()]++;
  }
  EXPECT_EQ(by_second.begin()->second, 4);
  const std::map<std::string, int> seen = Walk("page_size=7", 1000);
  EXPECT_EQ(seen.size(), 1000U);
  for (const auto& [name, times] : seen) EXPECT_EQ(times, 1) << name;
}

TEST_F(AgentsTest, AgentsOfOneMillisecondComeAgainOnTheNextPage) {
  Start({.agents = 12, .agents_per_millisecond = 4});
  const std::map<std::string, int> seen = Walk("page_size=6", 10);
  EXPECT_EQ(seen.size(), 12U);
  int again = 0;
  for (const auto& [name, times] : seen) again += times - 1;
  // The first page ends in the middle of the second four, the second at the end of it.
  EXPECT_EQ(again, 4);
}

TEST_F(AgentsTest, MoreAgentsInOneMillisecondThanAPageHoldsNeverEnd) {
  Start({.agents = 12, .agents_per_millisecond = 12});
  EXPECT_EQ(Walk("page_size=6", 50).size(), 6U);
}

TEST_F(AgentsTest, ATypeIsAFilterAndAnUnknownOneMatchesNothing) {
  Start();
  const boost::json::value json = List("agent_type=" + ids().agent_type);
  ASSERT_GT(json.at("agents").as_array().size(), 0U);
  for (const boost::json::value& agent : json.at("agents").as_array()) {
    EXPECT_EQ(agent.at("metadata").at("type").as_string(), ids().agent_type);
  }
  for (const std::string& type : {ids().empty_agent_type, std::string("s1-unknown")}) {
    const TestReply reply = client().Get("/agents?agent_type=" + type);
    EXPECT_EQ(reply.status, 200) << type;
    EXPECT_TRUE(reply.Json().at("agents").as_array().empty()) << type;
  }
}

TEST_F(AgentsTest, AgentsConnectAsTimePasses) {
  Start({.agents = 10, .later_agents = 2});
  EXPECT_EQ(List().at("agents").as_array().size(), 10U);
  time_.Advance(absl::Minutes(1));
  EXPECT_EQ(List().at("agents").as_array().size(), 11U);
  time_.Advance(absl::Minutes(10));
  const boost::json::value json = List();
  EXPECT_EQ(json.at("agents").as_array().size(), 12U);
  EXPECT_EQ(json.at("agents").at(11).at("status").at("state").as_string(), "waiting_for_job");
}

TEST_F(AgentsTest, ASlashInANameMustBeEscapedAndAPlusMayBe) {
  Start();
  const std::string& name = ids().slashed_agent;
  const std::string escaped = absl::StrReplaceAll(name, {{"/", "%2F"}});
  EXPECT_EQ(client().Get("/agents/" + name).body, "oops");
  EXPECT_EQ(Describe(escaped).at("metadata").at("name").as_string(), name);
  EXPECT_EQ(Describe(absl::StrReplaceAll(escaped, {{"+", "%2b"}})), Describe(escaped));
}

TEST_F(AgentsTest, TheSameSeedGivesTheSameAgents) {
  Start({.seed = 7});
  const std::string first = client().Get("/agents").body;
  Start({.seed = 7});
  EXPECT_EQ(client().Get("/agents").body, first);
  Start({.seed = 8});
  EXPECT_NE(client().Get("/agents").body, first);
}

TEST_F(AgentsTest, TheReferenceDialectDoesNotKnowDisabledAgents) {
  Start({.dialect = Dialect::kReference});
  EXPECT_EQ(Describe(ids().disabled_agent).at("metadata").as_object().size(), 9U);
}

}  // namespace
}  // namespace semaphore::simulator
