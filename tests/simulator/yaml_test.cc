// Validation of pipeline definitions as the service answers it (facts, section 5.2).
#include <boost/json/serialize.hpp>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class YamlTest : public SimulatorTest {
 protected:
  TestReply Validate(const std::string& definition, const std::string& pipeline_id = "") {
    boost::json::object body{{"yaml_definition", definition}};
    if (!pipeline_id.empty()) body["pipeline_id"] = pipeline_id;
    return client().PostJson("/yaml", boost::json::serialize(body));
  }
};

TEST_F(YamlTest, AValidDefinitionIsConfirmedWithoutAPipeline) {
  Start();
  for (const char* definition :
       {"version: v1.0\nname: x\n", "# a ] in a comment\nversion: v1.0\nname: \"a { in quotes\"\n",
        "version: v1.0\nblocks: [{name: a,\n  jobs: []}]\n", "name: x\nversion: v1.0"}) {
    const TestReply reply = Validate(definition);
    EXPECT_EQ(reply.status, 200) << definition << reply.body;
    EXPECT_EQ(reply.body, R"({"message":"YAML definition is valid.","pipeline_id":""})");
  }
}

TEST_F(YamlTest, AnInvalidDefinitionIsRefusedWithAnInspectedErrorAsAJsonString) {
  Start();
  const std::pair<const char*, const char*> rows[] = {
      {"", R"({:malformed, [{"Required property version was not present.", "#"}]})"},
      {"name: x", R"({:malformed, [{"Required property version was not present.", "#"}]})"},
      {"version: v1.0\n\tname: x",
       "{:malformed, {:yamerl_parsing_error, :error, 'Invalid tab in indentation', 2, 1}}"},
      {"version: v1.0\nblocks: [",
       "{:malformed, {:yamerl_parsing_error, :error, 'Unfinished flow collection', 2, 10}}"},
      {"version: v1.0\nblocks: [}",
       "{:malformed, {:yamerl_parsing_error, :error, 'Unexpected end of a flow collection', 2, "
       "10}}"}};
  for (const auto& [definition, error] : rows) {
    const TestReply reply = Validate(definition);
    EXPECT_EQ(reply.status, 400) << definition;
    EXPECT_EQ(reply.Json(), boost::json::value(error)) << definition << reply.body;
  }
}

TEST_F(YamlTest, AMissingDefinitionIsRefused) {
  Start();
  const TestReply reply = client().PostForm("/yaml", "");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body, R"("Missing required post parameter yaml_definition.")");
}

TEST_F(YamlTest, AFormIsReadLikeJson) {
  Start();
  EXPECT_EQ(client().PostForm("/yaml", "yaml_definition=version%3A%20v1.0").status, 200);
}

TEST_F(YamlTest, APipelineIdMakesAValidationRunAPipeline) {
  Start();
  const std::string list = "/pipelines?wf_id=" + ids().failed_workflow;
  EXPECT_EQ(Validate("broken", ids().failed_pipeline).status, 400);
  EXPECT_EQ(client().Get(list).Header("total"), "1");
  const TestReply reply = Validate("version: v1.0", ids().failed_pipeline);
  ASSERT_EQ(reply.status, 200);
  const std::string id(reply.Json().at("pipeline_id").as_string());
  EXPECT_EQ(client().Get(list).Json().at(0).at("ppl_id").as_string(), id);
  EXPECT_EQ(client().Get("/pipelines/" + id).Json().at("pipeline").at("state").as_string(),
            "initializing");
}

TEST_F(YamlTest, AnUnknownPipelineIsNotFoundInRawText) {
  Start();
  EXPECT_EQ(Validate("version: v1.0", "unknown").body, "Not Found");
}

}  // namespace
}  // namespace semaphore::simulator
