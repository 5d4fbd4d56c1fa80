#include "client/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "client/error.h"
#include "semaphore/v1/pipeline.pb.h"
#include "tests/client/method_fixture.h"

namespace semaphore::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using upstream::v1::Dialect;

PagePosition AtOffset(uint64_t offset, int64_t total = -1) {
  PagePosition position;
  position.offset = offset;
  position.total = total;
  return position;
}

PagePosition AtPage(uint64_t page) {
  PagePosition position;
  position.page = page;
  return position;
}

PagePosition AtCursor(std::string cursor) {
  PagePosition position;
  position.cursor = std::move(cursor);
  return position;
}

// What a list with paging headers says.
PageFacts Numbered(size_t items, uint64_t page_number, int64_t total) {
  PageFacts facts;
  facts.items = items;
  facts.paged = true;
  facts.page_number = page_number;
  facts.total = total;
  return facts;
}

const PagePosition kSomewhere{.offset = 31,
                              .page = 4,
                              .cursor = "1685096881121173:x",
                              .pin_seconds = 1700000000,
                              .total = 3000,
                              .after = "s1-agent:7"};

TEST(PageToken, BringsAPositionBack) {
  const PagePosition positions[] = {
      {}, kSomewhere, AtOffset(1000000), AtCursor(std::string(200, 'c'))};
  for (const PagePosition& position : positions) {
    const std::string token = EncodePageToken(position, "binding");
    const auto decoded = DecodePageToken(token, "binding");
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, position);
  }
}

TEST(PageToken, NeedsNoEscapingInAUrl) {
  for (int i = 0; i < 300; ++i) {
    const std::string token = EncodePageToken(AtOffset(static_cast<uint64_t>(i) * 7919), "b");
    EXPECT_EQ(
        token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
        std::string::npos)
        << token;
  }
}

TEST(PageToken, CutAtAnyLengthIsRefused) {
  const std::string token = EncodePageToken(kSomewhere, "binding");
  for (size_t length = 0; length < token.size(); ++length) {
    EXPECT_FALSE(DecodePageToken(token.substr(0, length), "binding").ok()) << length;
  }
}

TEST(PageToken, WithAnyByteEditedIsRefused) {
  const std::string token = EncodePageToken(kSomewhere, "binding");
  for (size_t at = 0; at < token.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string edited = token;
      edited[at] = static_cast<char>(byte);
      if (edited == token) continue;
      EXPECT_FALSE(DecodePageToken(edited, "binding").ok()) << at << " " << byte;
    }
  }
}

TEST(PageToken, WithAnythingAddedIsRefused) {
  const std::string token = EncodePageToken(kSomewhere, "binding");
  for (const char* more : {"A", "=", "==", "AAAA", " ", "\n"}) {
    EXPECT_FALSE(DecodePageToken(token + more, "binding").ok()) << more;
    EXPECT_FALSE(DecodePageToken(more + token, "binding").ok()) << more;
  }
  EXPECT_FALSE(DecodePageToken(std::string(100000, 'A'), "binding").ok());
  EXPECT_FALSE(DecodePageToken("2", "binding").ok());
}

TEST(PageToken, OfAnotherListIsRefused) {
  const MethodSpec& workflows = Method("WorkflowService/ListWorkflows");
  const MethodSpec& pipelines = Method("PipelineService/ListPipelines");
  const auto request = RequestOf(workflows, "project_id: 'p' branch_name: 'main'");
  const std::string token = EncodePageToken(kSomewhere, PageBinding(workflows, "acme", *request));
  const auto with = [&](const std::string& text, const char* organization) {
    return DecodePageToken(token, PageBinding(workflows, organization, *RequestOf(workflows, text)))
        .ok();
  };
  EXPECT_TRUE(with("project_id: 'p' branch_name: 'main'", "acme"));
  EXPECT_TRUE(with("project_id: 'p' branch_name: 'main' page_size: 7 page_token: 'x'", "acme"));
  EXPECT_FALSE(with("project_id: 'p' branch_name: 'main'", "other"));
  EXPECT_FALSE(with("project_id: 'q' branch_name: 'main'", "acme"));
  EXPECT_FALSE(with("project_id: 'p'", "acme"));
  EXPECT_FALSE(with("project_id: 'p' branch_name: 'main' created_before {seconds: 9}", "acme"));
  const auto other = RequestOf(pipelines, "project_id: 'p' branch_name: 'main'");
  EXPECT_FALSE(DecodePageToken(token, PageBinding(pipelines, "acme", *other)).ok());
}

TEST(PageToken, AForgedPositionDoesNoHarm) {
  // Tokens are no secret: whoever reads the source can make one. Whatever it holds is decided on.
  const upstream::v1::Pages& pages = Method("PipelineService/ListPipelines").call.pages();
  for (const uint64_t offset : {UINT64_MAX, uint64_t{INT64_MAX}, uint64_t{1} << 50}) {
    const auto decoded = DecodePageToken(EncodePageToken(AtOffset(offset, 0), "b"), "b");
    if (!decoded.ok()) continue;
    const PageQuery query = PlanPage(pages, 10, *decoded);
    EXPECT_TRUE(DecidePage(pages, query, Numbered(3, query.upstream_page, int64_t{1} << 50)).ok());
  }
}

TEST(PageQuery, AnySizeIsFittedToUpstreamsBounds) {
  struct Row {
    const char* method;
    int32_t asked;
    size_t page;
    size_t upstream;
  };
  const Row rows[] = {
      {"PipelineService/ListPipelines", 0, 30, 30},
      {"PipelineService/ListPipelines", 1, 1, 1},
      {"PipelineService/ListPipelines", 1000, 1000, 1000},
      {"PipelineService/ListPipelines", 1001, 1000, 1000},
      {"PipelineService/ListPipelines", 2147483647, 1000, 1000},
      {"WorkflowService/ListWorkflows", 0, 30, 30},
      {"PromotionService/ListPromotions", 0, 10, 10},
      {"PromotionService/ListPromotions", 100, 99, 99},
      {"AgentService/ListAgents", 0, 200, 200},
      {"AgentService/ListAgents", 1, 1, 200},
      {"AgentService/ListAgents", 1000, 200, 200},
      {"DeploymentTargetService/ListDeployments", 0, 10, 10},
      {"AgentTypeService/ListAgentTypes", 0, 30, 0},
      {"ProjectService/ListProjects", 0, 100, 100},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.method) + " " + std::to_string(row.asked));
    const PageQuery query = PlanPage(Method(row.method).call.pages(), row.asked, {});
    EXPECT_EQ(query.page_size, row.page);
    EXPECT_EQ(query.upstream_size, row.upstream);
  }
}

TEST(PageQuery, SpeaksEachDialect) {
  EXPECT_THAT(
      PlanPage(Method("PipelineService/ListPipelines").call.pages(), 7, AtOffset(15)).parameters,
      ElementsAre(Pair("page", "3"), Pair("page_size", "7")));
  EXPECT_THAT(PlanPage(Method("ProjectService/ListProjects").call.pages(), 7, AtPage(3)).parameters,
              ElementsAre(Pair("page", "3")));
  EXPECT_THAT(PlanPage(Method("AgentService/ListAgents").call.pages(), 7, {}).parameters,
              ElementsAre(Pair("page_size", "200")));
  EXPECT_THAT(PlanPage(Method("AgentService/ListAgents").call.pages(), 3, AtCursor("9")).parameters,
              ElementsAre(Pair("page_size", "200"), Pair("cursor", "9")));
  EXPECT_THAT(
      PlanPage(Method("DeploymentTargetService/ListDeployments").call.pages(), 7, {}).parameters,
      IsEmpty());
  EXPECT_THAT(
      PlanPage(Method("DeploymentTargetService/ListDeployments").call.pages(), 7, AtCursor("9"))
          .parameters,
      ElementsAre(Pair("cursor_type", "BEFORE"), Pair("cursor_value", "9")));
  EXPECT_THAT(
      PlanPage(Method("AgentTypeService/ListAgentTypes").call.pages(), 7, AtOffset(7)).parameters,
      IsEmpty());
}

HttpResponse WithHeaders(std::vector<std::pair<std::string, std::string>> headers) {
  return {200, std::move(headers), "[]"};
}

TEST(PageHeaders, LinkTotalAndPageNumberAreRead) {
  const PageFacts facts = ReadPageHeaders(
      upstream::v1::DIALECT_LINK_HEADER,
      WithHeaders({{"link", R"(<http://a/p?page=3>; rel="next", <http://a/p?page=1>; rel="prev", )"
                            R"(<http://a/p?page=1>; rel="first", <http://a/p?page=9>; rel="last")"},
                   {"total", "250"},
                   {"page-number", "2"}}));
  EXPECT_TRUE(facts.paged);
  EXPECT_TRUE(facts.has_next);
  EXPECT_EQ(facts.total, 250);
  EXPECT_EQ(facts.page_number, 2u);
}

TEST(PageHeaders, OfTheReferenceHaveLinksOnly) {
  const PageFacts last =
      ReadPageHeaders(upstream::v1::DIALECT_LINK_HEADER,
                      WithHeaders({{"link", "<http://a?page=1>; rel=\"first\""}}));
  EXPECT_TRUE(last.paged);
  EXPECT_FALSE(last.has_next);
  EXPECT_EQ(last.total, -1);
  EXPECT_EQ(last.page_number, 0u);
}

TEST(PageHeaders, GarbageIsNotTold) {
  const PageFacts facts =
      ReadPageHeaders(upstream::v1::DIALECT_LINK_HEADER,
                      WithHeaders({{"link", "garbage"}, {"total", "-4"}, {"page-number", "two"}}));
  EXPECT_FALSE(facts.has_next);
  EXPECT_EQ(facts.total, -1);
  EXPECT_EQ(facts.page_number, 0u);
  const PageFacts huge = ReadPageHeaders(upstream::v1::DIALECT_LINK_HEADER,
                                         WithHeaders({{"total", "18446744073709551615"}}));
  EXPECT_EQ(huge.total, -1);
}

TEST(PageHeaders, OfProjectsSayWhetherThereIsMore) {
  const auto more = [](const char* value) {
    return ReadPageHeaders(upstream::v1::DIALECT_PAGE_HEADER, WithHeaders({{"x-has-more", value}}))
        .has_next;
  };
  EXPECT_TRUE(more("true"));
  EXPECT_TRUE(more("True"));
  EXPECT_FALSE(more("false"));
  EXPECT_FALSE(more(""));
}

TEST(LinkHeader, IsReadByRelation) {
  EXPECT_THAT(
      ParseLinkHeader(R"(<http://h/p?page=2>; rel="next", <http://h/p?page=1>; rel="first")"),
      ElementsAre(Pair("next", "http://h/p?page=2"), Pair("first", "http://h/p?page=1")));
  EXPECT_THAT(ParseLinkHeader("<u>;rel=next"), ElementsAre(Pair("next", "u")));
  EXPECT_THAT(ParseLinkHeader("<u>; title=\"x\"; REL=\"next\""), ElementsAre(Pair("next", "u")));
  EXPECT_THAT(ParseLinkHeader("<u>; rel=\"prev next\""),
              ElementsAre(Pair("prev", "u"), Pair("next", "u")));
  EXPECT_THAT(ParseLinkHeader("<http://h/p?a=1,2;3&page=2>; rel=\"next\""),
              ElementsAre(Pair("next", "http://h/p?a=1,2;3&page=2")));
}

TEST(LinkHeader, WhatDoesNotParseIsLeftOut) {
  for (const char* header :
       {"", "garbage", "<", "<>", "<u", "u>; rel=\"next\"", ">u<; rel=\"next\"", "<u>", "<u>; rel",
        "<u>; rel=", "<u>; rel=\"\"", ",,,;;;", "<u>; title=\"rel=next\""}) {
    EXPECT_THAT(ParseLinkHeader(header), IsEmpty()) << header;
  }
  EXPECT_THAT(ParseLinkHeader("junk, <u>; rel=\"next\", junk <"), ElementsAre(Pair("next", "u")));
  EXPECT_THAT(ParseLinkHeader("<a>; nothing, <b>; rel=\"next\""), ElementsAre(Pair("next", "b")));
}

TEST(PageVerdict, ACursorThatDoesNotAdvanceIsAnError) {
  const upstream::v1::Pages& pages = Method("AgentService/ListAgents").call.pages();
  const PageQuery query = PlanPage(pages, 5, AtCursor("7"));
  PageFacts facts;
  facts.items = 5;
  facts.has_next = true;
  facts.cursor = "7";
  const auto verdict = DecidePage(pages, query, facts);
  EXPECT_EQ(verdict.status().code(), absl::StatusCode::kInternal);
}

TEST(PageVerdict, PastTheEndIsAnEmptyLastPageAndNotUpstreamsLastPageAgain) {
  const upstream::v1::Pages& pages = Method("PipelineService/ListPipelines").call.pages();
  const PageQuery query = PlanPage(pages, 10, AtOffset(100, 95));
  const auto verdict = DecidePage(pages, query, Numbered(5, 10, 95));
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(verdict->begin, verdict->end);
  EXPECT_FALSE(verdict->next);
  EXPECT_FALSE(verdict->again);
}

TEST(PageVerdict, AnEmptyListHasNoNextPage) {
  for (const char* method :
       {"PipelineService/ListPipelines", "PromotionService/ListPromotions",
        "AgentService/ListAgents", "ProjectService/ListProjects", "AgentTypeService/ListAgentTypes",
        "DeploymentTargetService/ListDeployments"}) {
    SCOPED_TRACE(method);
    const upstream::v1::Pages& pages = Method(method).call.pages();
    const auto verdict = DecidePage(pages, PlanPage(pages, 0, {}), Numbered(0, 1, 0));
    ASSERT_TRUE(verdict.ok());
    EXPECT_EQ(verdict->end, 0u);
    EXPECT_FALSE(verdict->next);
    EXPECT_FALSE(verdict->again);
  }
}

TEST(PageVerdict, AnEmptyUpstreamPageInMidListIsReadOver) {
  const upstream::v1::Pages& pages = Method("ProjectService/ListProjects").call.pages();
  PageFacts facts;
  facts.paged = true;
  facts.has_next = true;
  const auto verdict = DecidePage(pages, PlanPage(pages, 0, AtPage(2)), facts);
  ASSERT_TRUE(verdict.ok());
  ASSERT_TRUE(verdict->again);
  EXPECT_EQ(verdict->again->page, 3u);
  EXPECT_FALSE(verdict->next);
}

}  // namespace
}  // namespace semaphore::client
