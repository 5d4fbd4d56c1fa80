#include "gateway/token_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace semaphore::gateway {
namespace {

using std::chrono::seconds;

// The wall clock stands far ahead of every file, so that a file read once counts as settled unless
// a test says else.
class FakeClock final : public client::Clock {
 public:
  client::MonotonicTime Now() const override {
    return client::MonotonicTime(std::chrono::nanoseconds(nanoseconds_.load()));
  }
  absl::Time WallNow() const override { return absl::Now() + wall_lead; }
  void Advance(std::chrono::nanoseconds by) { nanoseconds_ += by.count(); }
  absl::Duration wall_lead = absl::Hours(1);

 private:
  std::atomic<int64_t> nanoseconds_{1'000'000'000'000};
};

class TokenSourceTest : public testing::Test {
 protected:
  TokenSourceTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("token-" + std::to_string(getpid()) + "-" +
                 testing::UnitTest::GetInstance()->current_test_info()->name())),
        path_((folder_ / "token").string()) {
    std::filesystem::create_directories(folder_);
  }
  ~TokenSourceTest() override { std::filesystem::remove_all(folder_); }

  void WriteInPlace(const std::string& text) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << text;
  }
  void Replace(const std::string& text) {
    const std::string fresh = path_ + ".new";
    std::ofstream(fresh, std::ios::binary | std::ios::trunc) << text;
    std::filesystem::rename(fresh, path_);
  }
  absl::StatusOr<std::unique_ptr<TokenSource>> Open() {
    return TokenSource::FromFile(path_, clock_,
                                 [this](const absl::Status& news) { news_.push_back(news); });
  }
  std::string Later(TokenSource& source) {
    clock_.Advance(seconds(1));
    return *source.Current();
  }

  const std::filesystem::path folder_;
  const std::string path_;
  FakeClock clock_;
  std::vector<absl::Status> news_;
};

TEST_F(TokenSourceTest, StripsTheLineEndOfTheFile) {
  for (const char* text : {"token-1", "token-1\n", "token-1\r\n", "token-1\n\n"}) {
    SCOPED_TRACE(text);
    Replace(text);
    auto source = Open();
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_EQ(*(*source)->Current(), "token-1");
  }
}

TEST_F(TokenSourceTest, RefusesAFileWithoutAUsableTokenAndNeverQuotesIt) {
  struct Row {
    const char* what;
    std::string text;
    const char* expected;
  };
  const Row rows[] = {{"empty", "", "is empty"},
                      {"only a line end", "\n", "is empty"},
                      {"a space inside", "SECRET part", "byte 7"},
                      {"a space behind", "SECRET ", "byte 7"},
                      {"two lines", "SECRET\nSECRET\n", "byte 7"},
                      {"a NUL", std::string("SECRET\0", 7), "byte 7"},
                      {"not ASCII", "SECRET\xC3\xBC", "byte 7"},
                      {"too long", "SECRET" + std::string(4091, 'x'), "longer than 4096 bytes"},
                      {"far too long", std::string(1 << 20, 'S'), "longer than 4096 bytes"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    Replace(row.text);
    const absl::Status status = Open().status();
    const std::string message(status.message());
    EXPECT_FALSE(status.ok());
    EXPECT_NE(message.find(path_), std::string::npos) << message;
    EXPECT_NE(message.find(row.expected), std::string::npos) << message;
    EXPECT_EQ(message.find("SECRET"), std::string::npos) << message;
  }
}

TEST_F(TokenSourceTest, TakesATokenOfExactlyTheBound) {
  Replace(std::string(4096, 'x') + "\n");
  EXPECT_TRUE(Open().ok());
}

TEST_F(TokenSourceTest, RefusesWhatIsNoRegularFile) {
  EXPECT_NE(Open().status().message().find("No such file"), absl::string_view::npos);
  std::filesystem::create_directory(path_);
  EXPECT_NE(Open().status().message().find("not a regular file"), absl::string_view::npos);
  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_NE(Open().status().message().find("not a regular file"), absl::string_view::npos);
}

TEST_F(TokenSourceTest, LooksAtTheFileAtMostOnceASecond) {
  Replace("one");
  auto source = *Open();
  Replace("two");
  clock_.Advance(std::chrono::milliseconds(999));
  EXPECT_EQ(*source->Current(), "one");
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(*source->Current(), "two");
  ASSERT_EQ(news_.size(), 1u);
  EXPECT_TRUE(news_[0].ok());
}

TEST_F(TokenSourceTest, SeesAFileWrittenInPlaceWithTheSameSizeAndTime) {
  clock_.wall_lead = absl::ZeroDuration();  // the file is younger than the grain of its time stamp
  WriteInPlace("one");
  auto source = *Open();
  struct stat before;
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  WriteInPlace("two");
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  EXPECT_EQ(Later(*source), "two");
}

TEST_F(TokenSourceTest, KeepsTheLastGoodTokenAndTellsEachTroubleOnce) {
  Replace("one");
  auto source = *Open();
  std::filesystem::remove(path_);
  EXPECT_EQ(Later(*source), "one");
  EXPECT_EQ(Later(*source), "one");
  ASSERT_EQ(news_.size(), 1u);
  EXPECT_FALSE(source->last_error().ok());

  Replace("");
  EXPECT_EQ(Later(*source), "one");
  EXPECT_EQ(Later(*source), "one");
  ASSERT_EQ(news_.size(), 2u);
  EXPECT_NE(news_[1].message().find("is empty"), absl::string_view::npos);

  Replace("one");
  EXPECT_EQ(Later(*source), "one");
  ASSERT_EQ(news_.size(), 3u);
  EXPECT_TRUE(news_[2].ok());
  EXPECT_TRUE(source->last_error().ok());
}

TEST_F(TokenSourceTest, FollowsASymbolicLinkThatIsSwitched) {
  std::ofstream(folder_ / "v1") << "one";
  std::ofstream(folder_ / "v2") << "two";
  std::filesystem::create_symlink(folder_ / "v1", path_);
  auto source = *Open();
  std::filesystem::create_symlink(folder_ / "v2", path_ + ".new");
  std::filesystem::rename(path_ + ".new", path_);
  EXPECT_EQ(Later(*source), "two");
}

TEST_F(TokenSourceTest, ManyReadersSeeWholeTokensWhileTheFileChanges) {
  Replace(std::string(64, 'a'));
  auto opened = TokenSource::FromFile(path_, clock_, nullptr);
  ASSERT_TRUE(opened.ok());
  TokenSource& source = **opened;
  std::vector<std::thread> readers;
  readers.reserve(4);
  std::atomic<int> torn{0};
  for (int reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        clock_.Advance(seconds(1));
        const auto token = source.Current();
        if (*token != std::string(64, token->front())) ++torn;
      }
    });
  }
  for (int i = 0; i < 100; ++i) Replace(std::string(64, i % 2 == 0 ? 'b' : 'c'));
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

TEST(FixedToken, NeverChangesAndIsChecked) {
  auto source = TokenSource::Fixed("abc", "environment variable T");
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(*(*source)->Current(), "abc");
  EXPECT_TRUE((*source)->last_error().ok());
  const absl::Status refused = TokenSource::Fixed("SE CRET", "environment variable T").status();
  EXPECT_NE(refused.message().find("environment variable T"), absl::string_view::npos);
  EXPECT_EQ(refused.message().find("CRET"), absl::string_view::npos);
}

TEST_F(TokenSourceTest, AHeaderValueMayHoldASpace) {
  Replace("Basic dXNlcjpwYXNz\n");
  EXPECT_EQ(*ReadSecretFile(path_, /*allow_spaces=*/true), "Basic dXNlcjpwYXNz");
  EXPECT_FALSE(ReadSecretFile(path_, /*allow_spaces=*/false).ok());
}

}  // namespace
}  // namespace semaphore::gateway
