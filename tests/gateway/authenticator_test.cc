// Who calls: headers with tricks, tokens that come and go, certificates, and a callers file that
// changes, breaks, or could have been written by anybody.
#include "gateway/authenticator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/method_fixture.h"

namespace semaphore::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kToken = "CANARY-token-of-deploy-bot-0123456789";
const std::string kNewToken = "CANARY-new-token-of-deploy-bot-0123456";

// The wall clock stands far ahead of every file, so that a file read once counts as settled.
class AheadClock final : public client::Clock {
 public:
  client::MonotonicTime Now() const override { return {}; }
  absl::Time WallNow() const override { return absl::Now() + lead; }
  absl::Duration lead = absl::Hours(1);
};

std::string EntryOf(const std::string& name, const std::vector<std::string>& tokens,
                    const std::string& more = "") {
  std::string text = absl::StrCat("  - name: ", name, "\n    role: admin\n    token_sha256:\n");
  for (const std::string& token : tokens)
    absl::StrAppend(&text, "      - ", FormatTokenHash(*HashToken(token)), "\n");
  if (tokens.empty()) absl::StrAppend(&text, "      []\n");
  return text + more;
}

class AuthenticatorTest : public testing::Test {
 protected:
  AuthenticatorTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                absl::StrCat("callers-", getpid(), "-",
                             testing::UnitTest::GetInstance()->current_test_info()->name())),
        path_((folder_ / "callers.yaml").string()) {
    std::filesystem::create_directories(folder_);
    Replace(EntryOf("deploy-bot", {kToken}));
  }
  ~AuthenticatorTest() override { std::filesystem::remove_all(folder_); }

  void Replace(const std::string& entries) { ReplaceWhole("callers:\n" + entries); }
  void ReplaceWhole(const std::string& text) {
    const std::string fresh = path_ + ".new";
    std::ofstream(fresh, std::ios::binary | std::ios::trunc) << text;
    std::filesystem::permissions(
        fresh, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    std::filesystem::rename(fresh, path_);
  }

  absl::Status Open() {
    Authenticator::Options options;
    options.callers_file = path_;
    options.scope = {.methods = &client::Table(), .organizations = {"acme"}};
    options.listener = [this](const absl::Status& news, Authenticator::State) {
      news_.push_back(news);
    };
    auto opened = Authenticator::Open(std::move(options), clock_);
    if (opened.ok()) authenticator_ = *std::move(opened);
    return opened.status();
  }

  // The caller's name, or the word of the refusal in brackets.
  std::string Who(const Credentials& credentials) const {
    const Authenticator::Verdict verdict = authenticator_->Authenticate(credentials);
    if (verdict.caller != nullptr) return verdict.caller->name;
    return "(" + CallerRefusalWords().at(static_cast<size_t>(verdict.refusal)) + ")";
  }
  std::string WhoSends(const std::string& authorization) const {
    return Who({.authorization = {authorization}, .certificate_names = {}});
  }
  std::string WhoProves(const std::vector<std::string>& names) const {
    return Who({.authorization = {}, .certificate_names = names});
  }

  const std::filesystem::path folder_;
  const std::string path_;
  AheadClock clock_;
  std::vector<absl::Status> news_;
  std::unique_ptr<Authenticator> authenticator_;
};

// ---- Tokens

TEST_F(AuthenticatorTest, ATokenNamesItsCaller) {
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(WhoSends("Bearer " + kToken), "deploy-bot");
}

TEST_F(AuthenticatorTest, NoTokenWrongTokensAndPartsOfTokensAreNobodys) {
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(Who({}), "(no_credentials)");
  EXPECT_EQ(WhoSends("Bearer " + kNewToken), "(unknown_token)");
  for (size_t length = 1; length < kToken.size(); ++length) {
    EXPECT_EQ(WhoSends("Bearer " + kToken.substr(0, length)), "(unknown_token)") << length;
  }
  EXPECT_EQ(WhoSends("Bearer " + kToken + "x"), "(unknown_token)");
  // Its hash is in the file and opens nothing.
  EXPECT_EQ(WhoSends("Bearer " + FormatTokenHash(*HashToken(kToken))), "(unknown_token)");
}

TEST_F(AuthenticatorTest, TricksWithCaseAndWhitespace) {
  ASSERT_EQ(Open(), absl::OkStatus());
  const std::string malformed = "(malformed_credentials)";
  const std::string unknown = "(unknown_token)";
  const std::string known = "deploy-bot";
  std::string upper = kToken;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  struct Row {
    const char* what;
    std::string value;
    std::string who;
  };
  const Row rows[] = {
      {"lower case", "bearer " + kToken, known},
      {"upper case", "BEARER " + kToken, known},
      {"mixed case", "bEaReR " + kToken, known},
      {"several spaces", "Bearer   " + kToken, known},
      {"the token in another case", "Bearer " + upper, unknown},
      {"nothing", "", malformed},
      {"a space", " ", malformed},
      {"the scheme alone", "Bearer", malformed},
      {"the scheme and a space", "Bearer ", malformed},
      {"the token alone", kToken, malformed},
      {"no space", "Bearer" + kToken, malformed},
      {"a tab", "Bearer\t" + kToken, malformed},
      {"a space and a tab", "Bearer \t" + kToken, malformed},
      {"a no-break space", "Bearer\xC2\xA0" + kToken, malformed},
      {"a space before", " Bearer " + kToken, malformed},
      {"a space behind", "Bearer " + kToken + " ", malformed},
      {"a tab behind", "Bearer " + kToken + "\t", malformed},
      {"a line end behind", "Bearer " + kToken + "\r\n", malformed},
      {"a NUL behind", "Bearer " + kToken + std::string(1, '\0'), malformed},
      {"a NUL before", std::string(1, '\0') + "Bearer " + kToken, malformed},
      {"quotes", "Bearer \"" + kToken + "\"", unknown},
      {"a comma behind", "Bearer " + kToken + ",", unknown},
      {"two in one", "Bearer " + kToken + ", Bearer " + kToken, malformed},
      {"two in one without spaces", "Bearer " + kToken + ",Bearer:" + kToken, unknown},
      {"the scheme twice", "Bearer Bearer " + kToken, malformed},
      {"a colon", "Bearer: " + kToken, malformed},
      {"another scheme", "Token " + kToken, malformed},
      {"a longer scheme", "BearerX " + kToken, malformed},
      {"a shorter scheme", "Beare " + kToken, malformed},
      {"basic", "Basic " + kToken, malformed},
      {"beyond ASCII", "Bearer " + kToken + "\xC3\xBC", malformed},
      {"4 KiB", "Bearer " + std::string(4096, 'x'), unknown},
      {"more than 4 KiB", "Bearer " + std::string(4097, 'x'), malformed},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(WhoSends(row.value), row.who);
  }
}

TEST_F(AuthenticatorTest, ATokenSentTwiceIsRefusedEvenIfItIsTheSame) {
  ASSERT_EQ(Open(), absl::OkStatus());
  const std::string value = "Bearer " + kToken;
  EXPECT_EQ(Who({.authorization = {value, value}, .certificate_names = {}}),
            "(malformed_credentials)");
  EXPECT_EQ(Who({.authorization = {value, ""}, .certificate_names = {}}),
            "(malformed_credentials)");
}

// ---- Certificates

TEST_F(AuthenticatorTest, ACertificateNamesItsCaller) {
  Replace(EntryOf("web", {}, "    certificate_names: [\"dns:web.internal\"]\n") +
          EntryOf("bot", {}, "    certificate_names: [spiffe://corp/bot]\n"));
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(WhoProves({"dns:web.internal"}), "web");
  EXPECT_EQ(WhoProves({"dns:WEB.Internal"}), "web");
  EXPECT_EQ(WhoProves({"dns:other.internal", "dns:web.internal"}), "web");
  EXPECT_EQ(WhoProves({"spiffe://corp/bot"}), "bot");
  EXPECT_EQ(WhoProves({"spiffe://corp/BOT"}), "(unknown_certificate)");
  EXPECT_EQ(WhoProves({"spiffe://corp/bot/child"}), "(unknown_certificate)");
  EXPECT_EQ(WhoProves({"web.internal"}), "(unknown_certificate)");
  EXPECT_EQ(WhoProves({"dns:x.web.internal"}), "(unknown_certificate)");
  EXPECT_EQ(WhoProves({"dns:web.internal", "spiffe://corp/bot"}), "(unknown_certificate)")
      << "of two callers";
}

TEST_F(AuthenticatorTest, ATokenDecidesAndABadOneIsNotSavedByAGoodCertificate) {
  Replace(EntryOf("web", {}, "    certificate_names: [\"dns:web.internal\"]\n") +
          EntryOf("deploy-bot", {kToken}));
  ASSERT_EQ(Open(), absl::OkStatus());
  const auto both = [this](const std::string& authorization) {
    return Who({.authorization = {authorization}, .certificate_names = {"dns:web.internal"}});
  };
  EXPECT_EQ(both("Bearer " + kToken), "deploy-bot");
  EXPECT_EQ(both("Bearer " + kNewToken), "(unknown_token)");
  EXPECT_EQ(both("Basic abc"), "(malformed_credentials)");
  EXPECT_EQ(both(""), "(malformed_credentials)");
}

// ---- A file that changes

TEST_F(AuthenticatorTest, OldAndNewTokenAreGoodThroughTheOverlapAndTheOldOneEnds) {
  ASSERT_EQ(Open(), absl::OkStatus());
  Replace(EntryOf("deploy-bot", {kToken, kNewToken}));
  EXPECT_EQ(WhoSends("Bearer " + kNewToken), "(unknown_token)") << "not looked at yet";
  authenticator_->Look();
  EXPECT_EQ(WhoSends("Bearer " + kToken), "deploy-bot");
  EXPECT_EQ(WhoSends("Bearer " + kNewToken), "deploy-bot");
  Replace(EntryOf("deploy-bot", {kNewToken}));
  authenticator_->Look();
  EXPECT_EQ(WhoSends("Bearer " + kToken), "(unknown_token)");
  EXPECT_EQ(WhoSends("Bearer " + kNewToken), "deploy-bot");
  EXPECT_EQ(news_, std::vector<absl::Status>(2));
}

TEST_F(AuthenticatorTest, WhoIsAskedForWhileTheFileChangesStaysWhole) {
  ASSERT_EQ(Open(), absl::OkStatus());
  const Authenticator::Verdict verdict = authenticator_->Authenticate(
      {.authorization = {"Bearer " + kToken}, .certificate_names = {}});
  Replace(EntryOf("somebody-else", {kNewToken}));
  authenticator_->Look();
  EXPECT_EQ(verdict.caller->name, "deploy-bot");
}

TEST_F(AuthenticatorTest, AFileThatBreaksTakesNobodysAccessAndIsToldOnce) {
  ASSERT_EQ(Open(), absl::OkStatus());
  ReplaceWhole("callers: [{name: broken}]\n");
  for (int i = 0; i < 3; ++i) authenticator_->Look();
  EXPECT_EQ(WhoSends("Bearer " + kToken), "deploy-bot");
  EXPECT_FALSE(authenticator_->GetState().usable);
  ASSERT_EQ(news_.size(), 1u);
  EXPECT_THAT(std::string(news_[0].message()), HasSubstr("callers.yaml:1:11: callers[0].role"));
  std::filesystem::remove(path_);
  for (int i = 0; i < 3; ++i) authenticator_->Look();
  ASSERT_EQ(news_.size(), 2u);
  EXPECT_THAT(std::string(news_[1].message()), HasSubstr("cannot be read"));
  EXPECT_EQ(WhoSends("Bearer " + kToken), "deploy-bot");
  Replace(EntryOf("deploy-bot", {kToken}));
  for (int i = 0; i < 3; ++i) authenticator_->Look();
  ASSERT_EQ(news_.size(), 3u);
  EXPECT_EQ(news_[2], absl::OkStatus());
  EXPECT_TRUE(authenticator_->GetState().usable);
}

TEST_F(AuthenticatorTest, ASecondWriteWithinTheSameTickIsSeen) {
  clock_.lead = absl::ZeroDuration();
  ASSERT_EQ(Open(), absl::OkStatus());
  const auto stamp = std::filesystem::last_write_time(path_);
  std::ofstream(path_, std::ios::trunc) << "callers:\n" << EntryOf("deploy-zot", {kToken});
  std::filesystem::last_write_time(path_, stamp);
  authenticator_->Look();
  EXPECT_EQ(WhoSends("Bearer " + kToken), "deploy-zot");
}

TEST_F(AuthenticatorTest, TheSameTextAgainIsNoNews) {
  ASSERT_EQ(Open(), absl::OkStatus());
  Replace(EntryOf("deploy-bot", {kToken}));
  authenticator_->Look();
  EXPECT_TRUE(news_.empty());
}

TEST_F(AuthenticatorTest, CallsGoOnWhileTheFileIsReplacedAgainAndAgain) {
  ASSERT_EQ(Open(), absl::OkStatus());
  std::atomic<bool> done = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> callers;
  for (int t = 0; t < 2; ++t) {
    callers.emplace_back([&] {
      while (!done) failed += WhoSends("Bearer " + kToken) == "deploy-bot" ? 0 : 1;
    });
  }
  for (int i = 0; i < 100; ++i) {
    Replace(EntryOf("deploy-bot", {kToken, absl::StrCat(kNewToken, i)}));
    authenticator_->Look();
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(WhoSends(absl::StrCat("Bearer ", kNewToken, 99)), "deploy-bot");
}

// ---- A file that anybody could have written

TEST_F(AuthenticatorTest, AFileThatOthersMayWriteIsRefused) {
  for (const mode_t mode : {0620, 0602, 0666, 0664}) {
    SCOPED_TRACE(mode);
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const absl::Status refused = Open();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()),
                testing::AllOf(HasSubstr(path_), HasSubstr("may be written by its group")));
  }
  for (const mode_t mode : {0600, 0640, 0644, 0400, 0444}) {
    SCOPED_TRACE(mode);
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    EXPECT_EQ(Open(), absl::OkStatus());
  }
}

TEST_F(AuthenticatorTest, AFileThatBecomesWritableIsNotReadUntilThatEnds) {
  ASSERT_EQ(Open(), absl::OkStatus());
  Replace(EntryOf("intruder", {kNewToken}));
  ASSERT_EQ(chmod(path_.c_str(), 0666), 0);
  authenticator_->Look();
  EXPECT_EQ(WhoSends("Bearer " + kNewToken), "(unknown_token)");
  EXPECT_EQ(WhoSends("Bearer " + kToken), "deploy-bot");
  EXPECT_EQ(news_.size(), 1u);
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  authenticator_->Look();
  EXPECT_EQ(WhoSends("Bearer " + kNewToken), "intruder");
  EXPECT_EQ(news_.size(), 2u);
}

TEST_F(AuthenticatorTest, ModesThatChangeAloneAreSeen) {
  ASSERT_EQ(Open(), absl::OkStatus());
  ASSERT_EQ(chmod(path_.c_str(), 0666), 0);
  authenticator_->Look();
  EXPECT_FALSE(authenticator_->GetState().usable);
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  authenticator_->Look();
  EXPECT_TRUE(authenticator_->GetState().usable);
}

TEST_F(AuthenticatorTest, AFileOfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_EQ(chown(path_.c_str(), 12345, 12345), 0);
  const absl::Status refused = Open();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("belongs to user 12345"));
}

TEST_F(AuthenticatorTest, WhatIsNoRegularFileIsRefusedWithoutWaiting) {
  std::filesystem::remove(path_);
  EXPECT_THAT(std::string(Open().message()), HasSubstr("cannot be read"));
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(std::string(Open().message()), HasSubstr("is not a regular file"));
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  EXPECT_THAT(std::string(Open().message()), HasSubstr("is not a regular file"));
}

TEST_F(AuthenticatorTest, AFileOverTheBoundIsRefused) {
  ReplaceWhole("callers: []\n#" + std::string(kMaxCallersFileBytes, 'x'));
  EXPECT_THAT(std::string(Open().message()), HasSubstr("longer than"));
}

TEST_F(AuthenticatorTest, NoErrorQuotesWhatCouldBeAToken) {
  for (const std::string& text :
       {"callers:\n" + EntryOf("a", {}) + "    token_sha256: [" + kToken + "]\n",
        "callers: [{name: a, role: viewer, token_sha256: [" + kToken + "]}]\n",
        "callers: [{name: a, role: viewer, token_sha256: " + kToken + "}]\n"}) {
    ReplaceWhole(text);
    const absl::Status refused = Open();
    EXPECT_FALSE(refused.ok());
    EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("CANARY")));
  }
}

}  // namespace
}  // namespace semaphore::gateway
