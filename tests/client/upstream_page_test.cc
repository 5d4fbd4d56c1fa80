// Lists through the whole of Upstream: page tokens, pins and what a moving list costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/project.pb.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kPipelines[] = "PipelineService/ListPipelines";
constexpr char kProjects[] = "ProjectService/ListProjects";

std::vector<std::pair<std::string, std::string>> Headers(int page, int total, bool has_next) {
  std::string link = "<http://h/p?page=1>; rel=\"first\"";
  if (has_next) link = "<http://h/p?page=9>; rel=\"next\", " + link;
  return {{"link", link}, {"total", std::to_string(total)}, {"page-number", std::to_string(page)}};
}

class UpstreamPageTest : public UpstreamFixture {};

TEST_F(UpstreamPageTest, ASecondPageIsPinnedToTheFirst) {
  http_.Reply(200, R"([{"ppl_id":"a","created_at":{"seconds":100,"nanos":9}}])",
              Headers(1, 2, true));
  const auto first = ReplyOf<v1::ListPipelinesResponse>(
      Call(kPipelines, "project_id: 'p' created_before {seconds: 500} page_size: 1"));
  EXPECT_THAT(http_.requests[0].target,
              AllOf(HasSubstr("created_before=500"), HasSubstr("page=1")));
  ASSERT_NE(first.next_page_token(), "");
  http_.Reply(200, R"([{"ppl_id":"b"}])", Headers(2, 2, false));
  const auto second = ReplyOf<v1::ListPipelinesResponse>(
      Call(kPipelines, "project_id: 'p' created_before {seconds: 500} page_size: 1 page_token: '" +
                           first.next_page_token() + "'"));
  EXPECT_THAT(http_.requests[1].target,
              AllOf(HasSubstr("created_before=101"), HasSubstr("page=2"), HasSubstr("page_size=1"),
                    Not(HasSubstr("created_before=500"))));
  EXPECT_EQ(second.pipelines(0).pipeline_id(), "b");
  EXPECT_EQ(second.next_page_token(), "");
}

TEST_F(UpstreamPageTest, ATokenOfOtherFiltersIsRefusedBeforeAnythingIsSent) {
  http_.Reply(200, R"([{"ppl_id":"a"}])", Headers(1, 2, true));
  const auto first =
      ReplyOf<v1::ListPipelinesResponse>(Call(kPipelines, "project_id: 'p' page_size: 1"));
  const CallResult refused =
      Call(kPipelines, "project_id: 'q' page_token: '" + first.next_page_token() + "'");
  EXPECT_EQ(ReasonOf(refused.status), "INVALID_FIELD");
  EXPECT_THAT(FieldsOf(refused.status), testing::ElementsAre("page_token"));
  EXPECT_EQ(http_.requests.size(), 1u);
}

TEST_F(UpstreamPageTest, AListThatMovedIsAskedAgainWhereItIsNow) {
  http_.Reply(200, R"([{"ppl_id":"a"},{"ppl_id":"b"}])", Headers(1, 9, true));
  const auto first =
      ReplyOf<v1::ListPipelinesResponse>(Call(kPipelines, "project_id: 'p' page_size: 2"));
  http_.Reply(200, R"([{"ppl_id":"y"},{"ppl_id":"z"}])", Headers(2, 13, true));
  http_.Reply(200, R"([{"ppl_id":"c"},{"ppl_id":"d"}])", Headers(4, 13, true));
  const CallResult result = Call(
      kPipelines, "project_id: 'p' page_size: 2 page_token: '" + first.next_page_token() + "'");
  EXPECT_EQ(ReplyOf<v1::ListPipelinesResponse>(result).pipelines(0).pipeline_id(), "c");
  EXPECT_EQ(result.attempts, 2);
}

TEST_F(UpstreamPageTest, AListThatNeverRestsEndsInAnError) {
  int total = 1000;
  http_.Reply(200, R"([{"ppl_id":"a"}])", Headers(1, total, true));
  const auto first =
      ReplyOf<v1::ListPipelinesResponse>(Call(kPipelines, "project_id: 'p' page_size: 1"));
  http_.Otherwise([&total](const HttpRequest& request) {
    const size_t at = request.target.find("page=");
    HttpResult result;
    result.response = {200, Headers(std::atoi(request.target.c_str() + at + 5), total += 7, true),
                       "[{}]"};
    return result;
  });
  const CallResult result = Call(
      kPipelines, "project_id: 'p' page_size: 1 page_token: '" + first.next_page_token() + "'");
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_MALFORMED_RESPONSE");
  EXPECT_LE(http_.requests.size(), 10u);
}

TEST_F(UpstreamPageTest, ALongRunOfEmptyUpstreamPagesLosesNothingBehindIt) {
  // Upstream filters projects after paging: a caller may see one of thousands.
  http_.Otherwise([](const HttpRequest& request) {
    const int page = std::atoi(request.target.c_str() + request.target.find("page=") + 5);
    HttpResult result;
    result.response = {200,
                       {{"x-has-more", page < 30 ? "true" : "false"}},
                       page == 30 ? R"([{"metadata":{"id":"last"}}])" : "[]"};
    return result;
  });
  std::string token;
  for (int page = 0; page < 10; ++page) {
    const auto reply =
        ReplyOf<v1::ListProjectsResponse>(Call(kProjects, "page_token: '" + token + "'"));
    token = reply.next_page_token();
    if (!token.empty()) continue;
    ASSERT_EQ(reply.projects_size(), 1);
    EXPECT_EQ(reply.projects(0).project_id(), "last");
    EXPECT_EQ(http_.requests.size(), 30u);
    return;
  }
  FAIL() << "the walk does not end";
}

TEST_F(UpstreamPageTest, AFailureInMidListIsAFailureAndNotAShortPage) {
  http_.Reply(200, "[]", {{"x-has-more", "true"}});
  http_.Reply(404, "\"Not found\"");
  const CallResult result = Call(kProjects, "");
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(result.attempts, 2);
}

constexpr char kLog[] = "JobService/GetJobLog";

TEST_F(UpstreamPageTest, AWalkThroughALogIsOneDownload) {
  std::string events;
  for (int i = 0; i < 100; ++i) {
    events += R"({"event":"cmd_output","output":")" + std::to_string(i) + "\"},";
  }
  http_.Reply(200, "{\"events\":[" + events + R"({"event":"job_finished","result":"passed"}]})");
  std::string token;
  int seen = 0;
  for (int page = 0; page < 20; ++page) {
    const auto log =
        ReplyOf<v1::JobLog>(Call(kLog, "job_id: 'j' page_size: 7 page_token: '" + token + "'"));
    for (const v1::JobLogEvent& event : log.events()) {
      EXPECT_EQ(event.output(), seen < 100 ? std::to_string(seen) : "");
      ++seen;
    }
    token = log.next_page_token();
    EXPECT_EQ(log.complete(), token.empty()) << "complete only with the last event";
    if (token.empty()) break;
  }
  EXPECT_EQ(seen, 101);
  EXPECT_EQ(http_.requests.size(), 1u);
}

TEST_F(UpstreamPageTest, ALogPageIsAtMostThreeMebibytes) {
  std::string events;
  const std::string output(1000, 'x');
  for (int i = 0; i < 6000; ++i) events += R"({"output":")" + output + "\"},";
  http_.Reply(200, "{\"events\":[" + events + "{}]}");
  const CallResult result = Call(kLog, "job_id: 'j' page_size: 10000");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_LE(result.reply.size(), size_t{3} << 20);
  EXPECT_GT(result.reply.size(), size_t{23} << 17);
}

TEST_F(UpstreamPageTest, AHandOverToTheSameHostIsFollowedWithoutTheToken) {
  http_.Reply(302, "", {{"location", "https://acme.semaphoreci.com/api/v1/logs/j?jwt=SECRET"}});
  http_.Reply(200, R"({"events":[{"event":"job_started"}],"next":null})");
  const auto log = ReplyOf<v1::JobLog>(Call(kLog, "job_id: 'j'"));
  EXPECT_EQ(log.events_size(), 1);
  EXPECT_TRUE(log.complete());
  EXPECT_EQ(http_.requests[1].target, "/api/v1/logs/j?jwt=SECRET");
  EXPECT_EQ(http_.requests[1].authorization, "");
}

TEST_F(UpstreamPageTest, AHandOverToAnyOtherPlaceIsNotFollowed) {
  for (const char* location :
       {"", "https://evil.test/api/v1/logs/j?jwt=x", "http://acme.semaphoreci.com/api/v1/logs/j",
        "https://acme.semaphoreci.com.evil.test/api/v1/logs/j",
        "https://acme.semaphoreci.com@evil.test/api/v1/logs/j",
        "https://acme.semaphoreci.com:444/api/v1/logs/j", "//evil.test/api/v1/logs/j",
        "https://acme.semaphoreci.com/api/v1alpha/jobs/j", "/api/v1/logs/j\r\nX: y",
        "https://acme.semaphoreci.com/api/v1/logs/j HTTP/1.1\r\nX: y"}) {
    http_.requests.clear();
    http_.Reply(302, "", {{"location", location}});
    const CallResult result = Call(kLog, "job_id: 'j'");
    EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_MALFORMED_RESPONSE") << location;
    EXPECT_EQ(http_.requests.size(), 1u) << location;
  }
}

TEST_F(UpstreamPageTest, TheHandOversOwnTokenGoesNoFurther) {
  http_.Reply(302, "", {{"location", "https://acme.semaphoreci.com/api/v1/logs/j?jwt=CANARY"}});
  http_.Reply(404, "no route for /api/v1/logs/j?jwt=CANARY");
  const CallResult result = Call(kLog, "job_id: 'j'");
  EXPECT_EQ(ReasonOf(result.status), "UPSTREAM_NOT_FOUND");
  EXPECT_THAT(Everything(result.status), Not(HasSubstr("CANARY")));
}

TEST_F(UpstreamPageTest, ACutOffLogIsReadAgainFromTheStart) {
  http_.Then([](const HttpRequest& request) {
    EXPECT_TRUE(request.body_sink("{\"events\":[{\"event\":\"job_started\"},").ok());
    HttpResult cut;
    cut.status = absl::UnavailableError("cut off");
    cut.cause = HttpCause::kReset;
    cut.may_have_arrived = true;
    return cut;
  });
  http_.Reply(200, R"({"events":[{"event":"job_started"}]})");
  EXPECT_EQ(ReplyOf<v1::JobLog>(Call(kLog, "job_id: 'j'")).events_size(), 1);
}

TEST_F(UpstreamPageTest, ALogThatIsNoLogIsMalformed) {
  for (const char* body : {"<html>", "{}", R"({"events":[)"}) {
    http_.Reply(200, body);
    EXPECT_EQ(ReasonOf(Call(kLog, "job_id: 'j'").status), "UPSTREAM_MALFORMED_RESPONSE") << body;
  }
}

}  // namespace
}  // namespace semaphore::client
