#include "tests/simulator/command_line.h"

#include <gtest/gtest.h>

namespace semaphore::simulator {
namespace {

TEST(CommandLineTest, OptionsAreReadInBothSpellings) {
  const auto read = ParseCommandLine({"--port",
                                      "8443",
                                      "--seed=7",
                                      "--dialect",
                                      "reference",
                                      "--token-file=t",
                                      "--ca-out",
                                      "ca.pem",
                                      "--workflows=50",
                                      "--address",
                                      "::1",
                                      "--promotions=3000",
                                      "--agents=300",
                                      "--agent-types",
                                      "40",
                                      "--agents-per-millisecond=2",
                                      "--later-agents=0",
                                      "--access",
                                      "read_only",
                                      "--deployment-targets=30",
                                      "--deployments",
                                      "0"});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->options.port, 8443);
  EXPECT_EQ(read->options.seed, 7U);
  EXPECT_EQ(read->options.dialect, Dialect::kReference);
  EXPECT_EQ(read->token_file, "t");
  EXPECT_EQ(read->ca_out, "ca.pem");
  EXPECT_EQ(read->options.workflows_per_project, 50);
  EXPECT_EQ(read->options.address, "::1");
  EXPECT_EQ(read->options.promotions, 3000);
  EXPECT_EQ(read->options.agents, 300);
  EXPECT_EQ(read->options.agent_types, 40);
  EXPECT_EQ(read->options.agents_per_millisecond, 2);
  EXPECT_EQ(read->options.later_agents, 0);
  EXPECT_EQ(read->options.access, Access::kReadOnly);
  EXPECT_EQ(read->options.deployment_targets, 30);
  EXPECT_EQ(read->options.deployments, 0);
}

TEST(CommandLineTest, ItsTimeGoesAsFastAsThePaceSays) {
  const absl::Time before = absl::Now();
  const auto read = ParseCommandLine({"--pace", "1000"});
  ASSERT_TRUE(read.ok()) << read.status();
  const absl::Time first = read->options.now();
  const absl::Time real = absl::Now();
  EXPECT_GE(first, before);
  EXPECT_LE(first, before + 1000 * (real - before));
  EXPECT_GE(read->options.now(), first);
}

TEST(CommandLineTest, WrongOptionsAreNamed) {
  const std::pair<std::vector<std::string>, const char*> rows[] = {
      {{"--prot", "1"}, "unknown option --prot"},
      {{"--prot"}, "unknown option --prot"},
      {{"--port"}, "--port needs a value"},
      {{"--port", "70000"}, "--port needs a whole number from 0 to 65535"},
      {{"--port", "x"}, "--port needs a whole number from 0 to 65535"},
      {{"--promotions=5001"}, "--promotions needs a whole number from 0 to 5000"},
      {{"--deployments", "5001"}, "--deployments needs a whole number from 0 to 5000"},
      {{"--access", "some"},
       "--access needs one of full, read_only, no_permission, no_deployment_targets, "
       "no_advanced_deployment_targets, ip_not_allowed, auth_outage, unknown_organization"},
      {{"--dialect", "welsh"}, "--dialect needs real or reference"}};
  for (const auto& [arguments, message] : rows) {
    const auto read = ParseCommandLine(arguments);
    ASSERT_FALSE(read.ok()) << message;
    EXPECT_EQ(read.status().message(), message);
  }
}

TEST(CommandLineTest, AStrayArgumentIsRefusedWithoutRepeatingIt) {
  const auto read = ParseCommandLine({"--port", "1", "my-secret-token"});
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().message().find("my-secret-token"), absl::string_view::npos);
}

}  // namespace
}  // namespace semaphore::simulator
