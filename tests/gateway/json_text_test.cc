#include "gateway/json_text.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>

namespace semaphore::gateway {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(&out, text);
  return out;
}

TEST(JsonText, EscapesWhatJsonDoesNotAllowRaw) {
  EXPECT_EQ(Quoted("a\"b\\c\n\r\t\x01\x7F"), R"("a\"b\\c\n\r\t\u0001\u007f")");
}

TEST(JsonText, KeepsValidUtf8AsItIs) {
  EXPECT_EQ(Quoted("Zürich 日本 \xF0\x9F\x9A\x80"), "\"Zürich 日本 \xF0\x9F\x9A\x80\"");
}

TEST(JsonText, ReplacesEachMalformedByte) {
  const std::string mark = "\xEF\xBF\xBD";
  struct Row {
    const char* what;
    std::string text;
    size_t replaced;
  };
  const Row rows[] = {
      {"a lone continuation", "\x80", 1},          {"an overlong slash", "\xC0\xAF", 2},
      {"an overlong of three", "\xE0\x80\xAF", 3}, {"a surrogate", "\xED\xA0\x80", 3},
      {"past U+10FFFF", "\xF4\x90\x80\x80", 4},    {"a cut character", "\xE2\x82", 2},
      {"no lead byte at all", "\xFF", 1}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    std::string expected = "\"";
    for (size_t i = 0; i < row.replaced; ++i) expected += mark;
    EXPECT_EQ(Quoted(row.text), expected + "\"");
  }
}

TEST(JsonText, EveryByteStringBecomesOneJsonString) {
  std::string all;
  for (int first = 0; first < 256; ++first) {
    all += static_cast<char>(first);
    all += static_cast<char>(0xC3);
    all += static_cast<char>(255 - first);
  }
  boost::json::error_code error;
  const boost::json::value parsed = boost::json::parse(Quoted(all), error);
  EXPECT_FALSE(error) << error.message();
  EXPECT_TRUE(parsed.is_string());
}

TEST(JsonText, RepairCutsBetweenCharacters) {
  EXPECT_EQ(RepairUtf8("aü", 2), "a");
  EXPECT_EQ(RepairUtf8("aü", 3), "aü");
  EXPECT_EQ(RepairUtf8("", 3), "");
}

}  // namespace
}  // namespace semaphore::gateway
