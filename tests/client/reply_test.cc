#include "client/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/error.h"
#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/workflow.pb.h"
#include "tests/client/method_fixture.h"
#include "tests/client/status_reading.h"

namespace semaphore::client {
namespace {

using testing::HasSubstr;

template <typename Reply>
struct Read {
  absl::Status status;
  Reply reply;
  Drift drift;
};

template <typename Reply>
Read<Reply> Decode(const char* method, const std::string& request, const std::string& body) {
  Read<Reply> read;
  const MethodSpec& spec = Method(method);
  read.status = DecodeReply(spec, body, *RequestOf(spec, request), read.drift, read.reply);
  return read;
}

TEST(Reply, AResourceIsFoundUnderItsRootWithWhatStandsBeside) {
  const auto read =
      Decode<v1::Pipeline>("PipelineService/GetPipeline", "pipeline_id: 'p'",
                           R"({"pipeline":{"ppl_id":"p","name":"n"},"blocks":[{"name":"b"}]})");
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.reply.name(), "n");
  EXPECT_EQ(read.reply.blocks(0).name(), "b");
}

TEST(Reply, AnIdThatAReplyOmitsIsTheRequestedOne) {
  EXPECT_EQ(
      Decode<v1::Pipeline>("PipelineService/GetPipeline", "pipeline_id: 'p'", R"({"pipeline":{}})")
          .reply.pipeline_id(),
      "p");
  EXPECT_EQ(Decode<v1::Workflow>("WorkflowService/GetWorkflow", "workflow_id: 'w'",
                                 R"({"workflow":{"wf_id":"other"}})")
                .reply.workflow_id(),
            "other");
  EXPECT_EQ(Decode<v1::ActivateDeploymentTargetResponse>(
                "DeploymentTargetService/ActivateDeploymentTarget", "deployment_target_id: 'd'",
                R"({"cordoned":false})")
                .reply.deployment_target_id(),
            "d");
  EXPECT_EQ(Decode<v1::CreateAgentTypeResponse>("AgentTypeService/CreateAgentType",
                                                "agent_type {name: 's1-a'}",
                                                R"({"status":{"registration_token":"t"}})")
                .reply.agent_type()
                .name(),
            "s1-a");
}

TEST(Reply, AReplyThatSaysNothingMayBeEmptyOrAnyJson) {
  for (const char* body : {"", " \n", "{}", "\"Pipeline termination started.\"", "[]", "null"}) {
    EXPECT_TRUE(
        Decode<v1::StopPipelineResponse>("PipelineService/StopPipeline", "pipeline_id: 'p'", body)
            .status.ok())
        << body;
  }
  EXPECT_EQ(ReasonOf(Decode<v1::StopPipelineResponse>("PipelineService/StopPipeline",
                                                      "pipeline_id: 'p'", "<html>")
                         .status),
            "UPSTREAM_MALFORMED_RESPONSE");
}

TEST(Reply, ALookupTakesTheFirstAndAnEmptyOneIsNotFound) {
  const char* method = "DeploymentTargetService/LookupDeploymentTarget";
  const std::string request = "project_id: 'p' name: 'n'";
  EXPECT_EQ(Decode<v1::DeploymentTarget>(method, request, R"([{"id":"1"},{"id":"2"}])")
                .reply.deployment_target_id(),
            "1");
  const auto none = Decode<v1::DeploymentTarget>(method, request, "[]");
  EXPECT_EQ(none.status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(none.status), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Decode<v1::DeploymentTarget>(method, request, "{}").status),
            "UPSTREAM_MALFORMED_RESPONSE");
}

TEST(Reply, WhatIsNotWhatItShouldBeIsMalformed) {
  const char* bodies[] = {"",
                          "<html>",
                          "{",
                          R"({"pipeline":{}})"
                          "x",
                          R"({"pipeline":{"name":"a)",
                          "[]",
                          "null",
                          "\"text\"",
                          "5",
                          "{}",
                          R"({"pipeline":null})",
                          R"({"pipeline":[]})",
                          R"({"pipeline":{"state":[]}})",
                          R"({"pipeline":{},"blocks":{}})",
                          "{\"pipeline\":{\"name\":\"\xff\"}}",
                          R"({"pipeline":{"name":"\ud800"}})",
                          R"({"pipeline":{"created_at":"2019-13-01 00:00:00Z"}})",
                          R"({"pipeline":{"queue":5}})",
                          R"({"pipeline":{"name":01}})",
                          R"({'pipeline':{}})",
                          R"({"pipeline":{"name":NaN}})"};
  for (const char* body : bodies) {
    const auto read = Decode<v1::Pipeline>("PipelineService/GetPipeline", "pipeline_id: 'p'", body);
    EXPECT_EQ(ReasonOf(read.status), "UPSTREAM_MALFORMED_RESPONSE") << body << read.status;
  }
}

TEST(Reply, AMalformedMemberIsNamed) {
  const auto read = Decode<v1::Pipeline>("PipelineService/GetPipeline", "pipeline_id: 'p'",
                                         R"({"pipeline":{},"blocks":[{"jobs":[{"index":[]}]}]})");
  EXPECT_THAT(std::string(read.status.message()), HasSubstr("blocks[0].jobs[0].index"));
}

TEST(Reply, NestingOfMoreThan64LevelsIsTooLarge) {
  const auto nested = [](size_t levels) {
    // The document, "pipeline" and the rest in arrays.
    return R"({"pipeline":{"x":)" + std::string(levels - 2, '[') + std::string(levels - 2, ']') +
           "}}";
  };
  const char* method = "PipelineService/GetPipeline";
  EXPECT_TRUE(Decode<v1::Pipeline>(method, "pipeline_id: 'p'", nested(64)).status.ok());
  for (const size_t levels : {65, 10000, 1000000}) {
    EXPECT_EQ(ReasonOf(Decode<v1::Pipeline>(method, "pipeline_id: 'p'", nested(levels)).status),
              "UPSTREAM_RESPONSE_TOO_LARGE")
        << levels;
  }
  EXPECT_EQ(
      ReasonOf(Decode<v1::Pipeline>(method, "pipeline_id: 'p'", std::string(10000, '[')).status),
      "UPSTREAM_RESPONSE_TOO_LARGE");
}

struct Page {
  absl::StatusOr<PageVerdict> verdict = PageVerdict{};
  v1::ListPipelinesResponse reply;
  Drift drift;
};

Page DecodePipelines(const std::string& body, PageFacts facts, PagePosition position = {}) {
  Page page;
  const MethodSpec& spec = Method("PipelineService/ListPipelines");
  page.verdict = DecodePage(spec, body, PlanPage(spec.call.pages(), 2, position), facts, page.drift,
                            page.reply);
  return page;
}

PageFacts Paged(int64_t total, bool has_next) {
  PageFacts facts;
  facts.paged = true;
  facts.page_number = 1;
  facts.total = total;
  facts.has_next = has_next;
  return facts;
}

TEST(ReplyPage, HoldsItemsTotalAndWhereTheWalkIsPinned) {
  const Page page =
      DecodePipelines(R"([{"ppl_id":"a","created_at":{"seconds":100,"nanos":5}},{"name":"no id"}])",
                      Paged(7, true));
  ASSERT_TRUE(page.verdict.ok()) << page.verdict.status();
  EXPECT_EQ(page.reply.pipelines_size(), 2);
  EXPECT_EQ(page.reply.pipelines(1).pipeline_id(), "") << "an id that an item omits stays empty";
  EXPECT_EQ(page.reply.total_size(), 7);
  ASSERT_TRUE(page.verdict->next);
  EXPECT_EQ(page.verdict->next->offset, 2u);
  EXPECT_EQ(page.verdict->next->pin_seconds, 101);
}

TEST(ReplyPage, OfAListThatUpstreamDoesNotPageIsASlice) {
  const Page page =
      DecodePipelines(R"({"pipelines":[{"ppl_id":"a"},{"ppl_id":"b"},{"ppl_id":"c"}]})", {});
  ASSERT_TRUE(page.verdict.ok()) << page.verdict.status();
  EXPECT_EQ(page.reply.pipelines_size(), 2);
  ASSERT_TRUE(page.verdict->next);
}

TEST(ReplyPage, AnEmptyListHasATotalOfZero) {
  const Page page = DecodePipelines("[]", Paged(0, false));
  ASSERT_TRUE(page.verdict.ok());
  EXPECT_TRUE(page.reply.has_total_size());
  EXPECT_EQ(page.reply.total_size(), 0);
  EXPECT_FALSE(page.verdict->next);
}

TEST(ReplyPage, ATotalThatDoesNotFitIsTheLargest) {
  EXPECT_EQ(DecodePipelines("[{}]", Paged(int64_t{1} << 40, false)).reply.total_size(), INT32_MAX);
}

TEST(ReplyPage, WhatIsNoListIsMalformedAndNamesTheItem) {
  for (const char* body :
       {"", "{}", "null", "\"x\"", R"({"pipelines":{}})", "[5]", "[null]", "[[]]"}) {
    EXPECT_EQ(ReasonOf(DecodePipelines(body, Paged(1, false)).verdict.status()),
              "UPSTREAM_MALFORMED_RESPONSE")
        << body;
  }
  EXPECT_THAT(
      std::string(
          DecodePipelines(R"([{},{"state":[]}])", Paged(2, false)).verdict.status().message()),
      HasSubstr("[1].state"));
}

}  // namespace
}  // namespace semaphore::client
