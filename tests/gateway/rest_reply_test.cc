#include "gateway/rest_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "gateway/rest_handler.h"

namespace semaphore::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Answer Hit() {
  Answer answer;
  answer.reply = std::make_shared<const std::string>("reply");
  answer.cache = "hit";
  answer.age = absl::Seconds(7);
  answer.fresh_for = absl::Seconds(20);
  answer.request_id = "id-1";
  return answer;
}

TEST(RestReply, KnowsWhetherJsonIsWanted) {
  const struct {
    const char* accept;
    bool wanted;
  } rows[] = {{"", true},
              {"*/*", true},
              {"application/json", true},
              {"Application/JSON; q=0.1", true},
              {"text/html, application/*;q=0.5", true},
              {"text/html, */*;q=0.1", true},
              {"text/html", false},
              {"application/json;q=0", false},
              {"*/*, application/json;q=0", false},
              {"*/*;q=0", false},
              {"*/*;q=x", false},
              {"application/jsonx", false}};
  for (const auto& row : rows) EXPECT_EQ(AcceptsJson(row.accept), row.wanted) << row.accept;
}

TEST(RestReply, ComparesEtagsAsReadsDo) {
  const struct {
    const char* condition;
    bool names;
  } rows[] = {{"\"a\"", true},          {"W/\"a\"", true}, {"\"b\", \"a\"", true}, {"*", true},
              {"\"b\",W/\"c\"", false}, {"a", false},      {"\"A\"", false},       {"\"a", false}};
  for (const auto& row : rows)
    EXPECT_EQ(NamesEtag(row.condition, "\"a\""), row.names) << row.condition;
}

TEST(RestReply, ABodyAlwaysHasTheSameEtagAndItsCompressedFormAnother) {
  const std::string text(5000, 'a');
  const auto plain = MakeRestBody(text, "application/json", /*gzip=*/false);
  const auto compressed = MakeRestBody(text, "application/json", /*gzip=*/true);
  EXPECT_EQ(plain->etag, MakeRestBody(text, "application/json", false)->etag);
  EXPECT_NE(plain->etag, compressed->etag);
  EXPECT_NE(plain->etag, MakeRestBody(text + "b", "application/json", false)->etag);
  EXPECT_LT(compressed->bytes.size(), text.size());
  EXPECT_THAT(compressed->head, HasSubstr("content-encoding: gzip\r\n"));
  EXPECT_EQ(MakeRestBody("{}", "application/json", true)->bytes, "{}") << "not worth it";
}

TEST(RestReply, IsFreshForOthersAsLongAsHere) {
  const auto body = MakeRestBody("{}", "application/json", false);
  // Others count from when it was said, as `age` tells them.
  const RestReply hit = SuccessReply(Hit(), body, "");
  EXPECT_THAT(hit.head, HasSubstr("cache-control: private, max-age=27\r\n"));
  EXPECT_THAT(hit.head, HasSubstr("age: 7\r\n"));
  Answer stale = Hit();
  stale.fresh_for = absl::ZeroDuration();
  EXPECT_THAT(SuccessReply(stale, body, "").head, HasSubstr("max-age=0\r\n"));
  Answer change = Hit();
  change.cache = "bypass";
  EXPECT_THAT(SuccessReply(change, body, "").head, HasSubstr("cache-control: no-store\r\n"));
}

TEST(RestReply, AnUnchangedReplyHasTheValidatorsAndNoBody) {
  const auto body = MakeRestBody("{}", "application/json", false);
  const RestReply reply = SuccessReply(Hit(), body, absl::StrCat("W/", body->etag));
  EXPECT_EQ(reply.status, 304);
  EXPECT_EQ(reply.body, nullptr);
  EXPECT_THAT(reply.head, HasSubstr(absl::StrCat("etag: ", body->etag)));
  EXPECT_THAT(reply.head, HasSubstr("cache-control: private"));
  EXPECT_THAT(reply.head, HasSubstr("vary: "));
  EXPECT_THAT(reply.head, Not(HasSubstr("content-length")));
}

TEST(RestReply, AFailureSaysWhenToComeBackAndHowTheCallerStands) {
  client::ErrorDetails details;
  details.retry_after = absl::Milliseconds(1200);
  Answer answer;
  answer.status = client::MakeError(client::Reason::kCallerQuotaExhausted, "spent", details);
  answer.request_id = "id-1";
  answer.quota = CallerLimits::Standing{.requests_per_second = 4, .burst = 10, .available = 0.5};
  const RestReply reply = FailureReply(answer);
  EXPECT_EQ(reply.status, 429);
  EXPECT_THAT(reply.head, HasSubstr("retry-after: 2\r\n"));
  EXPECT_THAT(reply.head, HasSubstr("ratelimit-policy: \"caller\";q=10;w=3\r\n"));
  EXPECT_THAT(reply.head, HasSubstr("ratelimit: \"caller\";r=0;t=3\r\n"));
}

TEST(RestMemory, FindsExactlyTheHeadThatCameBefore) {
  RestMemory memory;
  EXPECT_EQ(memory.Find(""), nullptr);
  ASSERT_NE(memory.Place("GET /a"), nullptr);
  EXPECT_NE(memory.Find("GET /a"), nullptr);
  EXPECT_EQ(memory.Find("GET /b"), nullptr);
  EXPECT_EQ(memory.Place(std::string(RestMemory::kMaxHeadBytes + 1, 'a')), nullptr);
}

TEST(RestMemory, HoldsNoMoreBytesOfBodiesThanAllowed) {
  RestMemory memory;
  const auto reply = std::make_shared<const std::string>(1 << 20, 'r');
  const auto body = MakeRestBody(std::string(1 << 20, 'b'), "application/json", false);
  for (int i = 0; i < 200; ++i) {
    RestMemory::Entry* entry = memory.Place(absl::StrCat("GET /", i));
    ASSERT_NE(entry, nullptr);
    memory.Keep(*entry, reply, body);
    EXPECT_LE(memory.body_bytes(), RestMemory::kMaxBodyBytes);
    EXPECT_EQ(entry->reply, reply) << "the latest is always kept";
  }
  EXPECT_GT(memory.body_bytes(), RestMemory::kMaxBodyBytes / 2);
}

TEST(RestMemory, DoesNotRememberWhatIsTooLarge) {
  RestMemory memory;
  const auto reply = std::make_shared<const std::string>(RestMemory::kMaxBodyBytes, 'r');
  RestMemory::Entry* entry = memory.Place("GET /");
  memory.Keep(*entry, reply, MakeRestBody("{}", "application/json", false));
  EXPECT_EQ(entry->reply, nullptr);
  EXPECT_EQ(memory.body_bytes(), 0u);
}

}  // namespace
}  // namespace semaphore::gateway
