// The callers file: what is read from it, and that every mistake is told with its place.
#include "gateway/callers_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/method_fixture.h"

namespace semaphore::gateway {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::string kHash(64, 'a');
const std::string kOtherHash(64, 'b');

absl::StatusOr<std::vector<CallerEntry>> Parse(const std::string& text) {
  return ParseCallers(text, "callers.yaml",
                      {.methods = &client::Table(), .organizations = {"acme", "beta"}});
}

std::string ErrorOf(const std::string& text) { return std::string(Parse(text).status().message()); }

std::vector<std::string> MethodsOf(const Caller& caller) {
  std::vector<std::string> names;
  for (const auto& method : client::Table().methods()) {
    if (caller.MayCall(method->index)) names.push_back(method->name);
  }
  return names;
}

TEST(CallersFileTest, ReadsAWholeEntry) {
  const auto entries = Parse(absl::StrCat(R"(
callers:
  - name: deploy-bot
    role: operator
    token_sha256:
      - )",
                                          kHash, "\n      - \"", kOtherHash, R"("
    certificate_names: ["dns:web.internal", spiffe://corp/ci/bot]
    methods: [WorkflowService.RunWorkflow, JobService.*]
    organizations: [beta]
  - {name: eyes, role: viewer}
)"));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2u);
  const CallerEntry& bot = entries->at(0);
  EXPECT_EQ(bot.caller.name, "deploy-bot");
  EXPECT_THAT(bot.tokens, ElementsAre(*ParseTokenHash(kHash), *ParseTokenHash(kOtherHash)));
  EXPECT_THAT(bot.certificate_names, ElementsAre("dns:web.internal", "spiffe://corp/ci/bot"));
  EXPECT_THAT(MethodsOf(bot.caller), ElementsAre("RunWorkflow", "GetJob", "StopJob", "GetJobLog"));
  EXPECT_FALSE(bot.caller.MayUse("acme"));
  EXPECT_TRUE(bot.caller.MayUse("beta"));
  EXPECT_TRUE(entries->at(1).caller.MayUse("acme"));
}

TEST(CallersFileTest, EachRoleMayCallWhatItsRankSays) {
  const auto entries = Parse(
      "callers: [{name: v, role: viewer}, {name: o, role: operator}, {name: a, role: admin}]");
  ASSERT_TRUE(entries.ok()) << entries.status();
  for (const auto& method : client::Table().methods()) {
    SCOPED_TRACE(method->full_name);
    EXPECT_EQ(entries->at(0).caller.MayCall(method->index),
              method->role == upstream::v1::ROLE_VIEWER);
    EXPECT_EQ(entries->at(1).caller.MayCall(method->index),
              method->role != upstream::v1::ROLE_ADMIN);
    EXPECT_TRUE(entries->at(2).caller.MayCall(method->index));
  }
}

TEST(CallersFileTest, AListOfMethodsNarrowsTheRoleAndNeverWidensIt) {
  const auto entries = Parse("callers: [{name: v, role: viewer, methods: [PipelineService.*]}]");
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_THAT(MethodsOf(entries->at(0).caller),
              ElementsAre("GetPipeline", "ListPipelines", "ValidatePipelineYaml"));
  EXPECT_THAT(
      ErrorOf("callers: [{name: v, role: viewer, methods: [PipelineService.StopPipeline]}]"),
      HasSubstr("cannot widen"));
}

TEST(CallersFileTest, AnEmptyListRefusesEverybodyButAnEmptyFileIsAMistake) {
  EXPECT_TRUE(Parse("callers: []\n").ok());
  for (const char* text : {"", "\n", "callers:\n", "callers: none\n", "[]\n", "{}\n", "x: 1\n"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(Parse(text).ok());
  }
}

TEST(CallersFileTest, EveryMistakeHasItsPlace) {
  struct Row {
    std::string entry;
    const char* expected;
  };
  const Row rows[] = {
      {"role: viewer", "callers.yaml:2:5: callers[0].name: expected 1 to 64"},
      {"name: a b\n    role: viewer", "callers.yaml:2:5: callers[0].name: expected 1 to 64"},
      {"name: " + std::string(65, 'n') + "\n    role: viewer", "callers[0].name: expected 1 to 64"},
      {"name: anonymous\n    role: viewer", "callers[0].name: expected 1 to 64"},
      {"name: other\n    role: viewer", "callers[0].name: expected 1 to 64"},
      {"name: {a: b}\n    role: viewer", "callers.yaml:2:11: callers[0].name: expected a text"},
      {"name: a", "callers[0].role: expected viewer, operator or admin"},
      {"name: a\n    role: root", "callers.yaml:3:11: callers[0].role: expected viewer"},
      {"name: a\n    role: Admin", "callers.yaml:3:11: callers[0].role: expected viewer"},
      {"name: a\n    role: viewer\n    tokens: [x]", "unknown key"},
      {"name: a\n    role: viewer\n    role: admin", "given twice"},
      {"name: a\n    role: viewer\n    token_sha256: " + kHash, "expected a list"},
      {"name: a\n    role: viewer\n    token_sha256: [SECRET-token]",
       "callers.yaml:4:20: callers[0].token_sha256[0]: expected 64 hexadecimal digits"},
      {"name: a\n    role: viewer\n    token_sha256: [" + kHash + "00]", "expected 64"},
      {"name: a\n    role: viewer\n    token_sha256: [[" + kHash + "]]", "expected 64"},
      {"name: a\n    role: viewer\n    token_sha256: [{SECRET: SECRET}]", "expected 64"},
      {"name: a\n    role: viewer\n    token_sha256: [" + kHash + ", " + kHash + "]",
       "is here a second time"},
      {"name: a\n    role: viewer\n    certificate_names: [web.internal]", "expected dns:NAME"},
      {"name: a\n    role: viewer\n    certificate_names: [\"dns:*.internal\"]",
       "expected dns:NAME"},
      {"name: a\n    role: viewer\n    certificate_names: [\"dns:Web.internal\"]",
       "expected dns:NAME"},
      {"name: a\n    role: viewer\n    certificate_names: [\"dns:\"]", "expected dns:NAME"},
      {"name: a\n    role: viewer\n    certificate_names: [spiffe://corp]", "expected dns:NAME"},
      {"name: a\n    role: viewer\n    certificate_names: [spiffe://corp/]", "expected dns:NAME"},
      {"name: a\n    role: viewer\n    certificate_names: [spiffe:///bot]", "expected dns:NAME"},
      {"name: a\n    role: viewer\n    methods: []", "expected at least one"},
      {"name: a\n    role: viewer\n    methods: [GetPipeline]", "expected SERVICE.METHOD"},
      {"name: a\n    role: viewer\n    methods: [\"*\"]", "expected SERVICE.METHOD"},
      {"name: a\n    role: viewer\n    methods: [\"PipelineService.Get*\"]",
       "expected SERVICE.METHOD"},
      {"name: a\n    role: viewer\n    methods: [pipelineservice.GetPipeline]",
       "callers[0].methods[0]: expected SERVICE.METHOD"},
      {"name: a\n    role: viewer\n    organizations: []", "expected at least one"},
      {"name: a\n    role: viewer\n    organizations: [gamma]",
       "callers[0].organizations[0]: expected a configured organization: acme, beta"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.entry);
    const std::string error = ErrorOf("callers:\n  - " + row.entry + "\n");
    EXPECT_THAT(error, HasSubstr(row.expected));
    EXPECT_THAT(error, Not(HasSubstr("SECRET")));
  }
}

TEST(CallersFileTest, WhatTwoCallersShareIsAMistake) {
  EXPECT_THAT(ErrorOf("callers: [{name: a, role: viewer}, {name: a, role: admin}]"),
              HasSubstr("callers[1].name: is here a second time"));
  const std::string hash = "token_sha256: [" + kHash + "]";
  EXPECT_THAT(ErrorOf("callers: [{name: a, role: viewer, " + hash + "}, {name: b, role: admin, " +
                      hash + "}]"),
              HasSubstr("callers[1].token_sha256[0]: is also one of the caller a"));
  const std::string name = "certificate_names: [spiffe://corp/bot]";
  EXPECT_THAT(ErrorOf("callers: [{name: a, role: viewer, " + name + "}, {name: b, role: admin, " +
                      name + "}]"),
              HasSubstr("callers[1].certificate_names[0]: is also one of the caller a"));
}

TEST(CallersFileTest, AllMistakesAreToldAtOnce) {
  const std::string error = ErrorOf("callers: [{name: a}, {role: viewer}, x]\nmore: 1\n");
  for (const char* part : {"callers[0].role", "callers[1].name", "callers[2]", "more: unknown key"})
    EXPECT_THAT(error, HasSubstr(part));
}

TEST(CallersFileTest, TakesTenThousandCallersAndNoMore) {
  std::string text = "callers:\n";
  for (size_t i = 0; i < kMaxCallers; ++i) {
    const std::string hash = FormatTokenHash(*HashToken(absl::StrCat("token of ", i)));
    absl::StrAppend(&text, "  - {name: caller-", i, ", role: viewer, token_sha256: [", hash,
                    "], organizations: [acme]}\n");
  }
  const auto entries = Parse(text);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->size(), kMaxCallers);
  EXPECT_THAT(ErrorOf(text + "  - {name: one-more, role: viewer}\n"), HasSubstr("at most 10000"));
}

}  // namespace
}  // namespace semaphore::gateway
