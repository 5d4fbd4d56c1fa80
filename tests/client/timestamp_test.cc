#include "client/timestamp.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>

namespace semaphore::client {
namespace {

// A spelling as JSON and the instant it means.
struct Spelling {
  const char* json;
  int64_t seconds;
  int32_t nanos;
};

TEST(Timestamp, EverySpellingThatUpstreamUsesIsRead) {
  const Spelling spellings[] = {
      // F1
      {R"({"seconds":1571063401,"nanos":559492000})", 1571063401, 559492000},
      {R"({"nanos":5,"seconds":1571063401})", 1571063401, 5},
      {R"({"seconds":1571063401})", 1571063401, 0},
      {R"({"seconds":"1571063401","nanos":"7"})", 1571063401, 7},
      {R"({"seconds":0,"nanos":1})", 0, 1},
      // F2
      {R"("2019-10-14 12:11:47.824128Z")", 1571055107, 824128000},
      {R"("2019-10-14 12:11:47.000000Z")", 1571055107, 0},
      // F3
      {R"("1571083003")", 1571083003, 0},
      // F4
      {R"(1668626650)", 1668626650, 0},
      {R"(1668626650.0)", 1668626650, 0},
      {R"(1668626650.5)", 1668626650, 500000000},
      // F5
      {R"("2023-06-01T10:07:36.000000Z")", 1685614056, 0},
      // F6
      {R"("2023-06-01T10:07:36Z")", 1685614056, 0},
      {R"("2023-06-01t10:07:36z")", 1685614056, 0},
  };
  for (const Spelling& row : spellings) {
    SCOPED_TRACE(row.json);
    const auto instant = ParseInstant(boost::json::parse(row.json));
    ASSERT_TRUE(instant.ok()) << instant.status();
    EXPECT_TRUE(instant->present);
    EXPECT_EQ(instant->seconds, row.seconds);
    EXPECT_EQ(instant->nanos, row.nanos);
  }
}

TEST(Timestamp, EverySpellingOfNotYetIsAbsent) {
  const char* spellings[] = {
      "null",
      "0",
      "0.0",
      "-0.0",
      "\"0\"",
      "\"\"",
      "{}",
      R"({"seconds":0,"nanos":0})",
      R"({"seconds":"0","nanos":"0"})",
      R"({"seconds":null,"nanos":null})",
      R"("1970-01-01 00:00:00.000000Z")",
      R"("1970-01-01 00:00:00Z")",
      R"("1970-01-01T00:00:00.000000Z")",
      R"("1970-01-01T00:00:00Z")",
      R"("1970-01-01T00:00:00+00:00")",
      R"("1970-01-01T02:00:00+02:00")",
      R"("1969-12-31T19:00:00-05:00")",
      R"("1970-01-01 00:00:00.000000000000Z")",
  };
  for (const char* spelling : spellings) {
    SCOPED_TRACE(spelling);
    const auto instant = ParseInstant(boost::json::parse(spelling));
    ASSERT_TRUE(instant.ok()) << instant.status();
    EXPECT_FALSE(instant->present);
  }
}

TEST(Timestamp, FractionsOfAnyLengthAreReadAndCutAtNanoseconds) {
  const std::string digits = "123456789987";
  for (size_t length = 0; length <= digits.size(); ++length) {
    std::string text = "2019-10-14 12:11:47";
    if (length > 0) text += "." + digits.substr(0, length);
    text += "Z";
    SCOPED_TRACE(text);
    std::string nanos = digits.substr(0, std::min<size_t>(length, 9));
    nanos.resize(9, '0');
    const auto instant = ParseInstantText(text);
    ASSERT_TRUE(instant.ok()) << instant.status();
    EXPECT_EQ(instant->seconds, 1571055107);
    EXPECT_EQ(instant->nanos, std::stoi(nanos));
  }
}

TEST(Timestamp, OffsetsAreHonoured) {
  const Spelling spellings[] = {
      {"2019-10-14T14:11:47+02:00", 1571055107, 0},
      {"2019-10-14T06:41:47-05:30", 1571055107, 0},
      {"2019-10-15T12:10:47+23:59", 1571055107, 0},
      {"2019-10-14T12:11:47-00:00", 1571055107, 0},
  };
  for (const Spelling& row : spellings) {
    SCOPED_TRACE(row.json);
    const auto instant = ParseInstantText(row.json);
    ASSERT_TRUE(instant.ok()) << instant.status();
    EXPECT_EQ(instant->seconds, row.seconds);
  }
}

TEST(Timestamp, TheFirstAndTheLastInstantAreRead) {
  const Spelling spellings[] = {
      {"0001-01-01T00:00:00Z", -62135596800, 0},
      {"9999-12-31T23:59:59.999999999Z", 253402300799, 999999999},
      {"-62135596800", -62135596800, 0},
      {"253402300799", 253402300799, 0},
  };
  for (const Spelling& row : spellings) {
    SCOPED_TRACE(row.json);
    const auto instant = ParseInstantText(row.json);
    ASSERT_TRUE(instant.ok()) << instant.status();
    EXPECT_EQ(instant->seconds, row.seconds);
    EXPECT_EQ(instant->nanos, row.nanos);
  }
}

TEST(Timestamp, TimesBeforeTheEpochAreTimes) {
  const auto instant = ParseInstantText("1969-12-31T23:59:59.25Z");
  ASSERT_TRUE(instant.ok());
  EXPECT_TRUE(instant->present);
  EXPECT_EQ(instant->seconds, -1);
  EXPECT_EQ(instant->nanos, 250000000);
}

TEST(Timestamp, LeapDaysFollowTheGregorianRule) {
  for (const char* text :
       {"2000-02-29T00:00:00Z", "1904-02-29T00:00:00Z", "2024-02-29T00:00:00Z"}) {
    EXPECT_TRUE(ParseInstantText(text).ok()) << text;
  }
  EXPECT_EQ(ParseInstantText("2000-02-29T00:00:00Z")->seconds, 951782400);
  EXPECT_EQ(ParseInstantText("1904-02-29T00:00:00Z")->seconds, -2077747200);
  for (const char* text :
       {"1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2023-02-29T00:00:00Z"}) {
    EXPECT_FALSE(ParseInstantText(text).ok()) << text;
  }
}

TEST(Timestamp, TextsThatAreNoTimeAreRefused) {
  const char* texts[] = {
      "2019-13-01 00:00:00Z",
      "2019-00-01 00:00:00Z",
      "2019-01-00 00:00:00Z",
      "2019-04-31 00:00:00Z",
      "2019-10-14 24:00:00Z",
      "2019-10-14 12:60:00Z",
      "2019-10-14 12:11:60Z",
      "0000-01-01T00:00:00Z",
      "0001-01-01T00:00:00+00:01",
      "9999-12-31T23:59:59-00:01",
      "10000-01-01T00:00:00Z",
      "2019-10-14 12:11:47",
      "2019-10-14 12:11:47.Z",
      "2019-10-14 12:11:47,5Z",
      "2019-10-14  12:11:47Z",
      "2019-10-14_12:11:47Z",
      "2019-10-14 12:11:47Z trailing",
      "2019-10-14 12:11:47ZZ",
      "2019-10-14 12:11:47+2:00",
      "2019-10-14 12:11:47+0200",
      "2019-10-14 12:11:47+24:00",
      "2019-10-14 12:11:47+02:60",
      "2019-10-14",
      "2019-1-14 12:11:47Z",
      " 1571083003",
      "1571083003 ",
      "1571083003s",
      "1571083003.5",
      "+1571083003",
      "0x10",
      "-",
      "NaN",
      "Infinity",
      "null",
      "yesterday",
      "99999999999999999999",
      "253402300800",
      "-62135596801",
  };
  for (const char* text : texts) {
    SCOPED_TRACE(text);
    const auto instant = ParseInstantText(text);
    EXPECT_EQ(instant.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Timestamp, ValuesOfOtherShapesAreRefused) {
  const char* values[] = {
      "true",
      "[]",
      "[1571083003]",
      "18446744073709551615",
      "1685096881121173",  // microseconds, as in cursors: no time of ours
      "1e300",
      "-1e300",
      R"({"seconds":1.5})",
      R"({"seconds":"x"})",
      R"({"seconds":"1 "})",
      R"({"seconds":[]})",
      R"({"seconds":1,"nanos":-1})",
      R"({"seconds":1,"nanos":1000000000})",
      R"({"seconds":253402300800})",
      R"({"seconds":9223372036854775807,"nanos":999999999})",
  };
  for (const char* value : values) {
    SCOPED_TRACE(value);
    const auto instant = ParseInstant(boost::json::parse(value));
    EXPECT_EQ(instant.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Timestamp, AnErrorQuotesLittleOfWhatWasRead) {
  const auto instant = ParseInstantText(std::string(5000, 'x'));
  EXPECT_LT(instant.status().message().size(), 120u);
}

TEST(Timestamp, FiltersAreRoundedOutwards) {
  google::protobuf::Timestamp time;
  time.set_seconds(10);
  EXPECT_EQ(FloorSeconds(time), 10);
  EXPECT_EQ(CeilingSeconds(time), 10);
  time.set_nanos(1);
  EXPECT_EQ(FloorSeconds(time), 10);
  EXPECT_EQ(CeilingSeconds(time), 11);
  time.set_seconds(-10);
  EXPECT_EQ(FloorSeconds(time), -10);
  EXPECT_EQ(CeilingSeconds(time), -9);
}

TEST(Timestamp, ValidityIsYearsOneTo9999AndNanosInRange) {
  const auto valid = [](int64_t seconds, int32_t nanos) {
    google::protobuf::Timestamp time;
    time.set_seconds(seconds);
    time.set_nanos(nanos);
    return IsValid(time);
  };
  EXPECT_TRUE(valid(0, 0));
  EXPECT_TRUE(valid(-62135596800, 0));
  EXPECT_TRUE(valid(253402300799, 999999999));
  EXPECT_FALSE(valid(-62135596801, 0));
  EXPECT_FALSE(valid(253402300800, 0));
  EXPECT_FALSE(valid(0, -1));
  EXPECT_FALSE(valid(0, 1000000000));
}

}  // namespace
}  // namespace semaphore::client
