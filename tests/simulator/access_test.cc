// Who may ask, and what is said where nobody answers (facts, sections 2 and 3).
#include <algorithm>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class AccessTest : public SimulatorTest {};

TEST_F(AccessTest, ARequestWithoutATokenIsRefusedInPlainText) {
  Start();
  const TestReply reply = client().Send(
      {.target = "/api/v1alpha/pipelines/" + ids().done_pipeline, .authorization = ""});
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(reply.body, "Unauthorized");
  EXPECT_EQ(reply.Header("content-type"), "");
}

TEST_F(AccessTest, BothSchemesAreAcceptedAndTheirWordsAreCaseSensitive) {
  Start();
  const std::string target = "/api/v1alpha/pipelines/" + ids().done_pipeline;
  const std::pair<const char*, int> rows[] = {{"Token simulator-token", 200},
                                              {"Bearer simulator-token", 200},
                                              {"token simulator-token", 401},
                                              {"simulator-token", 401},
                                              {"Token other", 401}};
  for (const auto& [authorization, status] : rows) {
    EXPECT_EQ(client().Send({.target = target, .authorization = authorization}).status, status)
        << authorization;
  }
}

TEST_F(AccessTest, AnXSemaphoreHeaderFromTheClientIsAnsweredNotFound) {
  Start();
  const TestReply reply = client().Send({.target = "/api/v1alpha/pipelines/" + ids().done_pipeline,
                                         .headers = {{"X-Semaphore-User-Id", "1"}}});
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "Not Found");
}

TEST_F(AccessTest, AnOldCliIsRefusedByItsUserAgent) {
  Start();
  const std::pair<const char*, int> rows[] = {{"SemaphoreCLI/v0.29.9 (linux)", 400},
                                              {"SemaphoreCLI/v1.0.0 (linux)", 400},
                                              {"SemaphoreCLI/v0.30.0 (linux)", 200},
                                              {"SemaphoreCI v2.0 Client", 200},
                                              {"curl/8", 200}};
  for (const auto& [user_agent, status] : rows) {
    EXPECT_EQ(client()
                  .Send({.target = "/api/v1alpha/pipelines/" + ids().done_pipeline,
                         .headers = {{"User-Agent", user_agent}}})
                  .status,
              status)
        << user_agent;
  }
}

TEST_F(AccessTest, AnUnknownRouteAndAWrongMethodAreBothOops) {
  Start();
  EXPECT_EQ(client().Get("/no-such-thing").body, "oops");
  const TestReply reply = client().Send(
      {.method = "DELETE", .target = "/api/v1alpha/pipelines/" + ids().done_pipeline});
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "oops");
}

TEST_F(AccessTest, MalformedJsonIsRefusedInRawText) {
  Start();
  const TestReply reply = client().PostJson("/plumber-workflows", "{\"project_id\":");
  EXPECT_EQ(reply.status, 400);
  EXPECT_TRUE(reply.body.starts_with("Malformed request: ")) << reply.body;
}

TEST_F(AccessTest, ABodyOver8MibIsRefused) {
  Start();
  const TestReply reply = client().PostJson("/plumber-workflows", std::string((8 << 20) + 1, ' '));
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(reply.body, "Something went wrong");
}

TEST_F(AccessTest, AHeaderOver64KibIsRefused) {
  Start();
  const TestReply reply = client().Send(
      {.target = "/api/v1alpha/pipelines", .headers = {{"X-Long", std::string(65 << 10, 'x')}}});
  EXPECT_EQ(reply.status, 431);
}

TEST_F(AccessTest, WhatIsNotHttpIsRefusedAndTheConnectionEnds) {
  Start();
  ASSERT_EQ(client().WriteRaw("this is not HTTP\r\n\r\n"), "");
  EXPECT_TRUE(client().ReadRaw().starts_with("HTTP/1.1 400 "));
}

TEST_F(AccessTest, RepliesCarryTheDefaultCacheControlAndNoContentType) {
  Start();
  const TestReply reply = client().Get("/pipelines/" + ids().done_pipeline);
  EXPECT_EQ(reply.Header("cache-control"), "max-age=0, private, must-revalidate");
  EXPECT_EQ(reply.Header("content-type"), "");
}

TEST_F(AccessTest, TheReferenceDialectSendsEverythingAsJson) {
  Start({.dialect = Dialect::kReference});
  EXPECT_EQ(client().Get("/pipelines/" + ids().done_pipeline).Header("content-type"),
            "application/json");
}

TEST_F(AccessTest, OneConnectionServesManyRequests) {
  Start();
  for (int i = 0; i < 3; i++) client().Get("/pipelines/" + ids().done_pipeline);
  EXPECT_EQ(simulator().total_connections(), 1U);
  EXPECT_EQ(simulator().Requests().back().connection, 1U);
}

TEST_F(AccessTest, AClientThatAsksForCloseIsGivenClose) {
  Start();
  const TestReply reply = client().Send({.target = "/api/v1alpha/pipelines/" + ids().done_pipeline,
                                         .headers = {{"Connection", "close"}}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("connection"), "close");
}

TEST_F(AccessTest, TheTokenCanBeChangedWhileItRuns) {
  Start();
  simulator().SetToken("second-token");
  EXPECT_EQ(client().Get("/pipelines/" + ids().done_pipeline).status, 401);
}

TEST_F(AccessTest, TheLedgerSaysWhetherTheTokenWasRightAndNeverHoldsIt) {
  Start();
  client().Send({.method = "POST",
                 .target = "/api/v1alpha/pipelines?t=simulator-token",
                 .body = "simulator-token",
                 .headers = {{"X-Other", "a simulator-token b"}}});
  client().Send({.target = "/api/v1alpha/pipelines", .authorization = "Token wrong"});
  client().Send({.target = "/api/v1alpha/pipelines", .authorization = ""});
  const std::vector<RecordedRequest> requests = simulator().Requests();
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[0].authorization, Authorization::kRight);
  EXPECT_EQ(requests[1].authorization, Authorization::kWrong);
  EXPECT_EQ(requests[2].authorization, Authorization::kNone);
  EXPECT_EQ(requests[0].target, "/api/v1alpha/pipelines?t=[token]");
  EXPECT_EQ(requests[0].body, "[token]");
  for (const auto& [name, value] : requests[0].headers) {
    EXPECT_EQ(value.find("simulator-token"), std::string::npos) << name;
  }
}

TEST_F(AccessTest, BodiesAreChunkedWhenAskedFor) {
  Start({.chunked_replies = true});
  const TestReply reply = client().Get("/pipelines/" + ids().done_pipeline);
  EXPECT_EQ(reply.Header("transfer-encoding"), "chunked");
  EXPECT_EQ(reply.Header("content-length"), "");
  EXPECT_TRUE(reply.Json().is_object());
}

TEST(SimulatorStartTest, OptionsOutOfBoundsAreRefused) {
  EXPECT_FALSE(Simulator::Start({.token = ""}).ok());
  EXPECT_FALSE(Simulator::Start({.projects = 0}).ok());
  EXPECT_FALSE(Simulator::Start({.projects = 5001}).ok());
  EXPECT_FALSE(Simulator::Start({.projects = 100, .workflows_per_project = 501}).ok());
  EXPECT_FALSE(Simulator::Start({.deployment_targets = 4}).ok());
  EXPECT_FALSE(Simulator::Start({.deployments = 5001}).ok());
  EXPECT_FALSE(Simulator::Start({.workflows_per_project = 3}).ok());
  EXPECT_FALSE(Simulator::Start({.address = "not an address"}).ok());
  EXPECT_FALSE(Simulator::Start({.certificate_file = "only-one.pem"}).ok());
}

TEST(SimulatorStartTest, TheSameSeedHoldsTheSameWorldAndAnotherSeedAnother) {
  const auto first = Simulator::Start({.seed = 5});
  const auto second = Simulator::Start({.seed = 5});
  const auto third = Simulator::Start({.seed = 6});
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  EXPECT_EQ(NamedIds((*first)->ids()), NamedIds((*second)->ids()));
  EXPECT_NE((*first)->ids().done_pipeline, (*third)->ids().done_pipeline);
}

}  // namespace
}  // namespace semaphore::simulator
