#include "client/quote.h"

#include <gtest/gtest.h>

#include <string>

namespace semaphore::client {
namespace {

TEST(Quote, PlainTextStandsInQuotes) {
  EXPECT_EQ(Quote("main"), "\"main\"");
  EXPECT_EQ(Quote(""), "\"\"");
  EXPECT_EQ(Quote("grün ✓ 𝄞"), "\"grün ✓ 𝄞\"");
}

TEST(Quote, WhatCouldBreakALogLineOrATerminalIsEscaped) {
  EXPECT_EQ(Quote("a\nb"), "\"a\\x0ab\"");
  EXPECT_EQ(Quote("a\r\x1b[2J\x7f"), "\"a\\x0d\\x1b[2J\\x7f\"");
  EXPECT_EQ(Quote(std::string_view("\0", 1)), "\"\\x00\"");
  EXPECT_EQ(Quote("say \"hi\""), "\"say \\x22hi\\x22\"");
  EXPECT_EQ(Quote("back\\slash"), "\"back\\x5cslash\"");
}

TEST(Quote, ControlCharactersBeyondAsciiAreEscapedToo) {
  // U+009B starts a terminal sequence as ESC [ does, U+0085 is a line break.
  EXPECT_EQ(Quote("a\xc2\x9b"
                  "2J"),
            "\"a\\xc2\\x9b2J\"");
  EXPECT_EQ(Quote("\xc2\x85"), "\"\\xc2\\x85\"");
  EXPECT_EQ(Quote("\xc2\xa0"), "\"\xc2\xa0\"");  // no-break space is no control character
}

TEST(Quote, BytesThatAreNoUtf8AreEscaped) {
  EXPECT_EQ(Quote("\xff\xc3"), "\"\\xff\\xc3\"");
  EXPECT_EQ(Quote("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"");  // a surrogate
  EXPECT_EQ(Quote("\xc0\x80"), "\"\\xc0\\x80\"");           // overlong
  EXPECT_EQ(Quote("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\"");
}

TEST(Quote, ALongTextIsCutAtTheBoundAndSaysSo) {
  EXPECT_EQ(Quote(std::string(64, 'a')), "\"" + std::string(64, 'a') + "\"");
  EXPECT_EQ(Quote(std::string(65, 'a')), "\"" + std::string(64, 'a') + "…\"");
  EXPECT_EQ(Quote("abcdef", 3), "\"abc…\"");
  EXPECT_EQ(Quote("abc", 0), "\"…\"");
}

TEST(Quote, ACutNeverSplitsACharacter) {
  EXPECT_EQ(Quote("aä", 2), "\"a…\"");
  EXPECT_EQ(Quote("𝄞", 3), "\"…\"");
}

TEST(Utf8Prefix, IsTheLongestPrefixThatEndsOnACharacterBorder) {
  const std::string text = "aä✓𝄞";  // 1 + 2 + 3 + 4 bytes
  const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (size_t bound = 0; bound < std::size(expected); ++bound) {
    EXPECT_EQ(Utf8Prefix(text, bound).size(), expected[bound]) << bound;
  }
}

TEST(Utf8Prefix, AlwaysMakesProgressOnTextThatIsNoUtf8) {
  std::string_view rest = "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80";
  for (int i = 0; i < 20 && !rest.empty(); ++i) {
    const std::string_view piece = Utf8Prefix(rest, 8);
    ASSERT_FALSE(piece.empty());
    rest.remove_prefix(piece.size());
  }
  EXPECT_TRUE(rest.empty());
}

TEST(ReplaceInvalidUtf8, KeepsWhatIsWellFormedAndReplacesEachOtherByte) {
  EXPECT_EQ(ReplaceInvalidUtf8("aä✓𝄞"), "aä✓𝄞");
  EXPECT_EQ(ReplaceInvalidUtf8("a\xff"
                               "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(ReplaceInvalidUtf8("\xe2\x9c"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(ReplaceInvalidUtf8(""), "");
}

TEST(Utf8CharacterLength, AcceptsExactlyWhatUnicodeAllows) {
  // Every code point encoded, and nothing else among all sequences of three bytes.
  EXPECT_EQ(Utf8CharacterLength("a"), 1u);
  EXPECT_EQ(Utf8CharacterLength("\xc2\x80"), 2u);
  EXPECT_EQ(Utf8CharacterLength("\xe0\xa0\x80"), 3u);
  EXPECT_EQ(Utf8CharacterLength("\xed\x9f\xbf"), 3u);
  EXPECT_EQ(Utf8CharacterLength("\xef\xbf\xbf"), 3u);
  EXPECT_EQ(Utf8CharacterLength("\xf0\x90\x80\x80"), 4u);
  EXPECT_EQ(Utf8CharacterLength("\xf4\x8f\xbf\xbf"), 4u);
  for (const char* bad :
       {"", "\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc2", "\xe2\x9c",
        "\xc2"
        "a"}) {
    EXPECT_EQ(Utf8CharacterLength(bad), 0u) << Quote(bad);
  }
}

}  // namespace
}  // namespace semaphore::client
