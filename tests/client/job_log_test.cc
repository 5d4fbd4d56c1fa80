#include "client/job_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "client/error.h"
#include "client/quote.h"
#include "semaphore/v1/job.pb.h"
#include "tests/client/status_reading.h"

namespace semaphore::client {
namespace {

using testing::HasSubstr;

struct Parsed {
  absl::Status status;
  v1::JobLog log;
  bool complete = false;
  Drift drift;
};

Parsed Parse(const std::string& text, size_t chunk = std::string::npos) {
  Parsed parsed;
  JobLogParser parser;
  for (size_t at = 0; at < text.size() && parsed.status.ok(); at += std::min(chunk, text.size())) {
    parsed.status = parser.Write(std::string_view(text).substr(at, chunk));
  }
  if (!parsed.status.ok()) return parsed;
  const auto events = parser.Finish();
  parsed.status = events.status();
  parsed.drift = parser.drift();
  if (!events.ok()) return parsed;
  size_t end = 0;
  EXPECT_TRUE(parsed.log.ParseFromString((*events)->Page(0, SIZE_MAX, SIZE_MAX, end)));
  EXPECT_EQ(end, (*events)->size());
  parsed.complete = (*events)->complete();
  return parsed;
}

constexpr char kWhole[] = R"({"events":[
  {"event":"job_started","timestamp":1719979250},
  {"event":"cmd_started","timestamp":1719979251,"directive":"make \"all\""},
  {"event":"cmd_output","timestamp":1719979252,"output":"gr\u00fcn \u2713 \ud834\udd1e\u001b[0m\r\n"},
  {"event":"cmd_finished","timestamp":1719979255,"directive":"make \"all\"","exit_code":0,
   "started_at":1719979251,"finished_at":1719979255},
  {"event":"job_finished","timestamp":1719979256,"result":"passed"}
]})";

TEST(JobLog, EveryKindOfEventIsRead) {
  const Parsed parsed = Parse(kWhole);
  ASSERT_TRUE(parsed.status.ok()) << parsed.status;
  ASSERT_EQ(parsed.log.events_size(), 5);
  EXPECT_EQ(parsed.log.events(0).kind(), v1::JOB_LOG_EVENT_KIND_JOB_STARTED);
  EXPECT_EQ(parsed.log.events(0).time().seconds(), 1719979250);
  EXPECT_FALSE(parsed.log.events(0).has_exit_code());
  EXPECT_EQ(parsed.log.events(1).kind(), v1::JOB_LOG_EVENT_KIND_COMMAND_STARTED);
  EXPECT_EQ(parsed.log.events(1).directive(), "make \"all\"");
  EXPECT_EQ(parsed.log.events(2).kind(), v1::JOB_LOG_EVENT_KIND_COMMAND_OUTPUT);
  EXPECT_EQ(parsed.log.events(2).output(), "grün ✓ 𝄞\x1b[0m\r\n");
  EXPECT_EQ(parsed.log.events(3).kind(), v1::JOB_LOG_EVENT_KIND_COMMAND_FINISHED);
  EXPECT_TRUE(parsed.log.events(3).has_exit_code());
  EXPECT_EQ(parsed.log.events(3).exit_code(), 0);
  EXPECT_EQ(parsed.log.events(3).start_time().seconds(), 1719979251);
  EXPECT_EQ(parsed.log.events(3).finish_time().seconds(), 1719979255);
  EXPECT_EQ(parsed.log.events(4).kind(), v1::JOB_LOG_EVENT_KIND_JOB_FINISHED);
  EXPECT_EQ(parsed.log.events(4).result(), v1::JOB_RESULT_PASSED);
  EXPECT_TRUE(parsed.complete);
  EXPECT_EQ(parsed.drift.unknown_fields + parsed.drift.unknown_words, 0u);
}

TEST(JobLog, PiecesOfAnySizeGiveTheSameEvents) {
  std::string text = kWhole;
  text.insert(text.find("make"), "raw \xc3\xa4 \xff bytes ");
  text.insert(text.find("\"event\""), "\"unknown\":{\"a\":[1,{\"b\":\"c\"}]},");
  const Parsed whole = Parse(text);
  ASSERT_TRUE(whole.status.ok()) << whole.status;
  EXPECT_EQ(whole.drift.unknown_fields, 1u);
  for (const size_t chunk : {1, 2, 3, 7, 64, 4096}) {
    SCOPED_TRACE(chunk);
    const Parsed parsed = Parse(text, chunk);
    ASSERT_TRUE(parsed.status.ok()) << parsed.status;
    EXPECT_EQ(parsed.log.SerializeAsString(), whole.log.SerializeAsString());
    EXPECT_EQ(parsed.complete, whole.complete);
    EXPECT_EQ(parsed.drift.unknown_fields, 1u);
  }
}

TEST(JobLog, EveryTruncationIsMalformed) {
  const std::string text = kWhole;
  for (const size_t chunk : {size_t{7}, std::string::npos}) {
    for (size_t length = 0; length < text.size(); ++length) {
      const Parsed parsed = Parse(text.substr(0, length), chunk);
      EXPECT_EQ(ReasonOf(parsed.status), "UPSTREAM_MALFORMED_RESPONSE") << length;
    }
  }
}

TEST(JobLog, WhatCannotBeALogIsMalformed) {
  const char* texts[] = {
      "",
      " ",
      "null",
      "[]",
      "\"text\"",
      "5",
      "{}",
      R"({"next":null})",
      R"({"events":{}})",
      R"({"events":"x"})",
      R"({"events":5})",
      R"({"events":["x"]})",
      R"({"events":[5]})",
      R"({"events":[true]})",
      R"({"events":[[]]})",
      R"({"events":[[{"event":"job_started"}]]})",
      R"({"events":[]}x)",
      R"({"events":[]}{"events":[]})",
      R"({"events":[{"event":5}]})",
      R"({"events":[{"output":["x"]}]})",
      R"({"events":[{"output":{"x":1}}]})",
      R"({"events":[{"output":true}]})",
      R"({"events":[{"timestamp":"yesterday"}]})",
      R"({"events":[{"timestamp":99999999999999}]})",
      R"({"events":[{"timestamp":1e300}]})",
      R"({"events":[{"timestamp":18446744073709551615}]})",
      R"({"events":[{"exit_code":2147483648}]})",
      R"({"events":[{"exit_code":"one"}]})",
      R"({"events":[{"exit_code":0.5}]})",
      R"({"events":[{"exit_code":"1970-01-01T00:00:01Z"}]})",
      R"({"events":[{"event":"job_started",}]})",
      "<html>504</html>",
  };
  for (const char* text : texts) {
    for (const size_t chunk : {size_t{1}, std::string::npos}) {
      EXPECT_EQ(ReasonOf(Parse(text, chunk).status), "UPSTREAM_MALFORMED_RESPONSE")
          << text << " in pieces of " << chunk;
    }
  }
}

TEST(JobLog, AnEmptyLogIsALog) {
  for (const char* text :
       {R"({"events":[]})", R"({"events":null})", " {\"events\" : [ ] } \r\n\t"}) {
    for (const size_t chunk : {size_t{1}, std::string::npos}) {
      const Parsed parsed = Parse(text, chunk);
      EXPECT_TRUE(parsed.status.ok()) << text << parsed.status;
      EXPECT_EQ(parsed.log.events_size(), 0);
      EXPECT_FALSE(parsed.complete);
    }
  }
}

TEST(JobLog, IsCompleteWhenTheJobIsFinishedOrUpstreamSaysSo) {
  EXPECT_FALSE(Parse(R"({"events":[{"event":"job_started"}]})").complete);
  EXPECT_TRUE(Parse(R"({"events":[{"event":"job_finished"}]})").complete);
  EXPECT_TRUE(Parse(R"({"events":[{"event":"job_started"}],"next":null})").complete);
  EXPECT_TRUE(Parse(R"({"next":null,"events":[{"event":"job_started"}]})").complete);
  EXPECT_FALSE(Parse(R"({"events":[{"event":"job_started"}],"next":5})").complete);
  EXPECT_FALSE(Parse(R"({"events":[{"next":null,"event":"job_started"}]})").complete);
  EXPECT_FALSE(Parse(R"({"events":[],"other":{"next":null}})").complete);
}

TEST(JobLog, NumbersAsTextNullAndMissingAreAccepted) {
  const Parsed parsed =
      Parse(R"({"events":[{"event":"cmd_finished","exit_code":"3","timestamp":"1719979250"},)"
            R"({"event":null,"exit_code":null,"timestamp":null,"output":null,"result":null},)"
            R"({"exit_code":"","timestamp":0,"result":"","event":""},{}]})");
  ASSERT_TRUE(parsed.status.ok()) << parsed.status;
  ASSERT_EQ(parsed.log.events_size(), 4);
  EXPECT_EQ(parsed.log.events(0).exit_code(), 3);
  EXPECT_EQ(parsed.log.events(0).time().seconds(), 1719979250);
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(parsed.log.events(i).ByteSizeLong(), 0u) << parsed.log.events(i).ShortDebugString();
  }
}

TEST(JobLog, WhatIsNotKnownIsCountedAndDropped) {
  const Parsed parsed = Parse(
      R"({"new":[1,2],"events":[{"event":"cmd_paused","huge":18446744073709551615,"far":1e300,)"
      R"("flag":true,"deep":[[{"x":null}]]},{"event":"JOB_FINISHED","result":"exploded"}],"more":{}})");
  ASSERT_TRUE(parsed.status.ok()) << parsed.status;
  EXPECT_EQ(parsed.log.events_size(), 2);
  EXPECT_EQ(parsed.drift.unknown_fields, 4u);
  EXPECT_EQ(parsed.drift.unknown_words, 2u);
  EXPECT_EQ(parsed.log.events(0).kind(), v1::JOB_LOG_EVENT_KIND_UNSPECIFIED);
}

TEST(JobLog, BytesThatAreNoUtf8AreReplacedNotRefused) {
  const Parsed parsed =
      Parse("{\"events\":[{\"output\":\"a\xff\xc3\",\"directive\":\"\x80\"}]}", 1);
  ASSERT_TRUE(parsed.status.ok()) << parsed.status;
  EXPECT_EQ(parsed.log.events(0).output(), "a\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(parsed.log.events(0).directive(), "\xEF\xBF\xBD");
}

TEST(JobLog, SurrogatesAreReadInPairsHoweverTheyAreCut) {
  const std::string pairs = R"({"events":[{"output":"\ud834\udd1e \uD83D\uDE00"}]})";
  for (size_t chunk = 1; chunk <= pairs.size(); ++chunk) {
    const Parsed parsed = Parse(pairs, chunk);
    ASSERT_TRUE(parsed.status.ok()) << parsed.status;
    EXPECT_EQ(parsed.log.events(0).output(), "\xF0\x9D\x84\x9E \xF0\x9F\x98\x80");
  }
}

// An escape that is half a character is no JSON that any of upstream's writers makes; as bytes,
// which a program may print, it is replaced like any other bytes that are no UTF-8.
TEST(JobLog, ALoneSurrogateIsMalformedAsAnEscapeAndReplacedAsBytes) {
  for (const char* escape : {R"(\ud800)", R"(\udc00)", R"(\udfff\ud800)", R"(\ud800\ud800)",
                             R"(\ud834A)", R"(\ud834\u0041)", R"(\ud834\n)", R"(a\udbff)"}) {
    for (const char* key : {"output", "directive", "event", "unknown"}) {
      const std::string text = R"({"events":[{"event":"job_started"},{")" + std::string(key) +
                               "\":\"" + escape + "\"}]}";
      for (const size_t chunk : {size_t{1}, size_t{5}, std::string::npos}) {
        EXPECT_EQ(ReasonOf(Parse(text, chunk).status), "UPSTREAM_MALFORMED_RESPONSE")
            << text << " in pieces of " << chunk;
      }
    }
  }
  for (const size_t chunk : {size_t{1}, std::string::npos}) {
    const Parsed parsed = Parse("{\"events\":[{\"output\":\"a\xED\xA0\x80z\"}]}", chunk);
    ASSERT_TRUE(parsed.status.ok()) << parsed.status;
    EXPECT_EQ(parsed.log.events(0).output(), "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz");
  }
}

TEST(JobLog, ADuplicateKeyOfAnEventIsReadOnce) {
  const Parsed parsed =
      Parse(R"({"events":[{"output":"a","output":"b","exit_code":1,"exit_code":2}]})");
  ASSERT_TRUE(parsed.status.ok()) << parsed.status;
  ASSERT_EQ(parsed.log.events_size(), 1);
  EXPECT_EQ(parsed.log.events(0).output(), "b");
  EXPECT_EQ(parsed.log.events(0).exit_code(), 2);
}

TEST(JobLog, AHugeOutputBecomesSeveralEventsThatJoinToTheSameText) {
  std::string output;
  while (output.size() < (3 << 20)) output += "grün ✓ ";
  for (const size_t chunk : {size_t{4096}, size_t{1} << 20, std::string::npos}) {
    const Parsed parsed =
        Parse("{\"events\":[{\"event\":\"cmd_output\",\"timestamp\":7,\"output\":\"" + output +
                  "\"},{\"event\":\"cmd_output\",\"output\":\"next\"}]}",
              chunk);
    ASSERT_TRUE(parsed.status.ok()) << parsed.status;
    ASSERT_GE(parsed.log.events_size(), 4);
    std::string joined;
    for (int i = 0; i + 1 < parsed.log.events_size(); ++i) {
      const v1::JobLogEvent& event = parsed.log.events(i);
      EXPECT_LE(event.output().size(), size_t{1} << 20);
      EXPECT_EQ(ReplaceInvalidUtf8(event.output()), event.output());
      EXPECT_EQ(event.time().seconds(), 7);
      joined += event.output();
    }
    EXPECT_EQ(joined, output);
    EXPECT_EQ(parsed.log.events(parsed.log.events_size() - 1).output(), "next");
  }
}

TEST(JobLog, NestingThatIsTooDeepIsTooLarge) {
  const std::string deep =
      R"({"events":[{"x":)" + std::string(10000, '[') + std::string(10000, ']') + "}]}";
  EXPECT_EQ(ReasonOf(Parse(deep).status), "UPSTREAM_RESPONSE_TOO_LARGE");
  EXPECT_EQ(ReasonOf(Parse(deep, 7).status), "UPSTREAM_RESPONSE_TOO_LARGE");
}

TEST(JobLog, AnErrorSaysWhichEventIsWrong) {
  const Parsed parsed = Parse(R"({"events":[{},{},{"output":true}]})");
  EXPECT_THAT(std::string(parsed.status.message()), HasSubstr("event 2"));
}

JobLogEvents Records(size_t count, size_t bytes) {
  JobLogEvents events;
  for (size_t i = 0; i < count; ++i)
    events.Append(std::string(bytes, static_cast<char>('a' + i % 26)));
  return events;
}

TEST(JobLogPage, HoldsAtMostSoManyEventsAndBytes) {
  const JobLogEvents events = Records(10, 100);
  size_t end = 0;
  EXPECT_EQ(events.Page(0, 3, 1 << 20, end).size(), 300u);
  EXPECT_EQ(end, 3u);
  EXPECT_EQ(events.Page(3, 100, 250, end).size(), 200u);
  EXPECT_EQ(end, 5u);
  EXPECT_EQ(events.Page(3, 100, 300, end).size(), 300u);
  EXPECT_EQ(events.Page(8, 100, 1 << 20, end), std::string(100, 'i') + std::string(100, 'j'));
  EXPECT_EQ(end, 10u);
}

TEST(JobLogPage, HoldsOneEventHoweverLargeSoThatAWalkGoesOn) {
  const JobLogEvents events = Records(3, 5000);
  size_t end = 0;
  EXPECT_EQ(events.Page(1, 100, 10, end), std::string(5000, 'b'));
  EXPECT_EQ(end, 2u);
}

TEST(JobLogPage, PastTheEndIsEmpty) {
  const JobLogEvents events = Records(3, 10);
  size_t end = 0;
  EXPECT_EQ(events.Page(3, 10, 10, end), "");
  EXPECT_EQ(end, 3u);
}

TEST(JobLogPage, AWalkAcrossBlocksGivesEveryByteOnce) {
  const JobLogEvents events = Records(50, 100000);  // five blocks of 1 MiB
  std::string joined;
  for (size_t first = 0; first < events.size();) {
    size_t end = 0;
    joined += events.Page(first, 7, 350000, end);
    ASSERT_GT(end, first);
    first = end;
  }
  EXPECT_EQ(joined.size(), 5000000u);
  EXPECT_EQ(joined[4900000], static_cast<char>('a' + 49 % 26));
  EXPECT_GE(events.bytes(), 5000000u);
  EXPECT_LT(events.bytes(), 8000000u);
}

}  // namespace
}  // namespace semaphore::client
