#include "gateway/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

using Words = std::vector<std::string>;

CommandLine Parse(const Words& words) {
  auto line = ParseCommandLine(words);
  EXPECT_TRUE(line.ok()) << line.status();
  return line.value_or(CommandLine{});
}

TEST(CommandLineTest, ServesWithoutAnyWord) {
  EXPECT_EQ(Parse({}).command, Command::kServe);
  EXPECT_EQ(Parse({"--config", "a.yaml"}).config_file, "a.yaml");
  EXPECT_EQ(Parse({"serve", "--config=a.yaml"}).config_file, "a.yaml");
}

TEST(CommandLineTest, ReadsACallWithItsOptionsInAnyOrder) {
  const CommandLine line = Parse(
      {"call", "--address", "h:1", "S.M", "{}", "--organization", "acme", "--timeout", "1500ms"});
  EXPECT_EQ(line.command, Command::kCall);
  EXPECT_EQ(line.address, "h:1");
  EXPECT_EQ(line.method, "S.M");
  EXPECT_EQ(line.request, "{}");
  EXPECT_EQ(line.organization, "acme");
  EXPECT_EQ(line.timeout, absl::Milliseconds(1500));
}

TEST(CommandLineTest, ATokenToHashIsNeverTakenFromTheCommandLineNorShown) {
  EXPECT_FALSE(Parse({"hash-token"}).make_token);
  EXPECT_EQ(Parse({"hash-token", "--new"}).command, Command::kHashToken);
  EXPECT_TRUE(Parse({"hash-token", "--new"}).make_token);
  const auto refused = ParseCommandLine({"hash-token", "SECRET"});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()),
              testing::AllOf(testing::HasSubstr("standard input"),
                             testing::Not(testing::HasSubstr("SECRET"))));
  EXPECT_FALSE(ParseCommandLine({"serve", "--new"}).ok());
}

TEST(CommandLineTest, TakesTheAssumptionsOfAnEstimate) {
  const CommandLine line = Parse({"estimate", "--config", "a.yaml", "--refs", "2.5", "--agents=0"});
  EXPECT_EQ(line.command, Command::kEstimate);
  EXPECT_EQ(line.assumptions, (std::map<std::string, double>{{"refs", 2.5}, {"agents", 0}}));
  for (const char* nonsense : {"-1", "nan", "1e10", "x"}) {
    EXPECT_FALSE(ParseCommandLine({"estimate", absl::StrCat("--refs=", nonsense)}).ok())
        << nonsense;
  }
  EXPECT_FALSE(ParseCommandLine({"serve", "--refs", "2"}).ok());
}

TEST(CommandLineTest, TakesTheRequestFromStandardInputForADash) {
  const CommandLine line = Parse({"call", "S.M", "-"});
  EXPECT_TRUE(line.request_from_stdin);
  EXPECT_EQ(line.request, "");
}

TEST(CommandLineTest, KnowsTheOtherWords) {
  EXPECT_EQ(Parse({"version"}).command, Command::kVersion);
  EXPECT_EQ(Parse({"--version"}).command, Command::kVersion);
  EXPECT_EQ(Parse({"--help"}).command, Command::kHelp);
  EXPECT_EQ(Parse({"-h"}).command, Command::kHelp);
  EXPECT_EQ(Parse({"health"}).timeout, absl::Seconds(5));
  EXPECT_EQ(Parse({"check-config", "--config", "x"}).command, Command::kCheckConfig);
}

TEST(CommandLineTest, ReadsTheOptionsOfTls) {
  for (const char* word : {"call", "health"}) {
    Words words = {word,           "--tls-ca",     "ca.pem", "--tls-cert",
                   "c.pem",        "--tls-key",    "k.pem",  "--tls-server-name",
                   "gateway.test", "--token-file", "t"};
    if (words[0] == "call") words.emplace_back("S.M");
    const CommandLine line = Parse(words);
    EXPECT_EQ(line.tls_ca_file, "ca.pem");
    EXPECT_EQ(line.tls_certificate_file, "c.pem");
    EXPECT_EQ(line.tls_key_file, "k.pem");
    EXPECT_EQ(line.tls_server_name, "gateway.test");
    EXPECT_EQ(line.token_file, "t");
  }
}

TEST(CommandLineTest, RefusesWhatItDoesNotUnderstand) {
  const Words kBad[] = {{"sreve"},
                        {"--confg", "x"},
                        {"--config"},
                        {"serve", "extra"},
                        {"serve", "--address", "h:1"},
                        {"version", "--config", "x"},
                        {"call"},
                        {"call", "S.M", "{}", "more"},
                        {"call", "S.M", "--timeout", "soon"},
                        {"call", "S.M", "--timeout", "-1s"},
                        {"serve", "--tls-ca", "ca.pem"},
                        {"health", "--tls-cert", "c.pem"},
                        {"health", "--tls-server-name", "gateway.test"},
                        {"health", "--tls-ca", "ca.pem", "--tls-key", "k.pem"},
                        {"--config", "a", "--config", "b"}};
  for (const Words& words : kBad) {
    SCOPED_TRACE(testing::PrintToString(words));
    const auto line = ParseCommandLine(words);
    ASSERT_FALSE(line.ok());
    EXPECT_FALSE(line.status().message().empty());
  }
}

}  // namespace
}  // namespace semaphore::gateway
