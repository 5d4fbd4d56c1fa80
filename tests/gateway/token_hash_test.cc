// Tokens of callers as hashes, and the command that makes them.
#include "gateway/token_hash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

#include "gateway/hash_token_command.h"

namespace semaphore::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(TokenHashTest, IsSha256) {
  const auto hash = HashToken("abc");
  ASSERT_TRUE(hash.has_value());
  EXPECT_EQ(FormatTokenHash(*hash),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(TokenHashTest, ReadsItsOwnTextInEitherLetterCase) {
  const TokenHash hash = *HashToken("a token");
  std::string text = FormatTokenHash(hash);
  EXPECT_EQ(ParseTokenHash(text), hash);
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_EQ(ParseTokenHash(text), hash);
  for (const std::string& wrong : {std::string(), text + "0", text.substr(1), "0x" + text.substr(2),
                                   " " + text.substr(1), std::string(64, 'g')}) {
    EXPECT_EQ(ParseTokenHash(wrong), std::nullopt) << wrong;
  }
}

TEST(TokenHashTest, HashesAreTheSameOnlyAsAWhole) {
  const TokenHash hash = *HashToken("a token");
  EXPECT_TRUE(SameHash(hash, hash));
  for (size_t i = 0; i < hash.size(); ++i) {
    TokenHash other = hash;
    other[i] ^= 1;
    EXPECT_FALSE(SameHash(hash, other)) << i;
  }
}

TEST(TokenHashTest, NewTokensAreRecognisableAndDiffer) {
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) tokens.insert(*NewCallerToken());
  EXPECT_EQ(tokens.size(), 100u);
  for (const std::string& token : tokens) {
    EXPECT_EQ(token.size(), 47u);
    EXPECT_THAT(token, StartsWith("sgw_"));
    EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_"),
              std::string::npos);
  }
}

struct Ended {
  int status;
  std::string out;
  std::string errors;
};

Ended HashWord(bool make_new, const std::string& input) {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream errors;
  const int status = RunHashToken(make_new, in, out, errors);
  return {status, out.str(), errors.str()};
}

std::string EntryOf(const std::string& token) {
  return "token_sha256: [\"" + FormatTokenHash(*HashToken(token)) + "\"]\n";
}

TEST(HashTokenCommandTest, PrintsTheEntryOfTheFirstLineAndNothingElse) {
  const std::string token = "0123456789abcdef0123456789ABCDEF";
  for (const char* end : {"", "\n", "\r\n", "\nanother line\n"}) {
    const Ended ended = HashWord(false, token + end);
    EXPECT_EQ(ended.status, 0);
    EXPECT_EQ(ended.out, EntryOf(token));
    EXPECT_EQ(ended.errors, "");
  }
}

TEST(HashTokenCommandTest, MakesATokenWithItsEntry) {
  const Ended ended = HashWord(true, "");
  EXPECT_EQ(ended.status, 0);
  const std::string token = ended.out.substr(0, ended.out.find('\n'));
  EXPECT_EQ(ended.out, token + "\n" + EntryOf(token));
  EXPECT_THAT(token, StartsWith("sgw_"));
}

TEST(HashTokenCommandTest, RefusesWhatIsNoTokenWithoutShowingIt) {
  const std::string rows[] = {"",
                              "\n",
                              "SECRET",
                              "SECRET" + std::string(25, 'x'),
                              "SECRET with spaces and long enough for one",
                              "SECRET\twith a tab and long enough for one..",
                              "SECRET-and-no-ASCII-but-long-enough-\xC3\xBC",
                              " SECRET-with-a-space-before-it-and-long-enough",
                              "SECRET-with-a-space-behind-it-and-long-enough ",
                              "SECRET" + std::string(4091, 'x')};
  for (const std::string& token : rows) {
    SCOPED_TRACE(token.substr(0, 60));
    const Ended ended = HashWord(false, token);
    EXPECT_EQ(ended.status, 2);
    EXPECT_EQ(ended.out, "");
    EXPECT_THAT(ended.errors, HasSubstr("hash-token: "));
    EXPECT_THAT(ended.errors, Not(HasSubstr("SECRET")));
  }
}

}  // namespace
}  // namespace semaphore::gateway
