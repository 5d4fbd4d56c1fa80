#include "gateway/tls_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/client/test_certificates.h"

namespace semaphore::gateway {
namespace {

using client::TestAuthority;
using client::TestCertificate;

// P-256, encrypted with a passphrase that nobody needs to know.
constexpr char kEncryptedKey[] =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

class TlsFilesTest : public testing::Test {
 protected:
  TlsFilesTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~TlsFilesTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_ / name;
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }

  static std::string ErrorOf(const std::string& certificate, const std::string& key) {
    return std::string(CheckPair({.certificate = certificate,
                                  .certificate_file = "cert.pem",
                                  .key = key,
                                  .key_file = "key.pem"},
                                 absl::Now())
                           .status()
                           .message());
  }

  const std::filesystem::path folder_;
  const TestAuthority authority_;
};

TEST_F(TlsFilesTest, APairThatBelongsTogetherTellsWhenItEnds) {
  const TestCertificate pair = authority_.Issue("DNS:gateway.test");
  const std::string name = "x";
  const absl::StatusOr<absl::Time> end =
      CheckPair({pair.certificate_pem, name, pair.key_pem, name}, absl::Now());
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_GT(*end, absl::Now());
  EXPECT_LE(*end, absl::Now() + absl::Hours(24));
}

TEST_F(TlsFilesTest, WhatIsNoPairIsRefusedWithTheReason) {
  const TestCertificate good = authority_.Issue("DNS:gateway.test");
  const TestCertificate other = authority_.Issue("DNS:gateway.test");
  EXPECT_EQ(ErrorOf(good.certificate_pem, other.key_pem),
            "key.pem: does not belong to the first certificate of cert.pem");
  EXPECT_EQ(ErrorOf("", good.key_pem), "cert.pem: has no certificate in PEM form");
  EXPECT_EQ(ErrorOf(good.key_pem, good.key_pem), "cert.pem: has no certificate in PEM form");
  EXPECT_EQ(ErrorOf(good.certificate_pem, ""), "key.pem: has no private key in PEM form");
  EXPECT_EQ(ErrorOf(good.certificate_pem, good.certificate_pem),
            "key.pem: has no private key in PEM form");
  EXPECT_EQ(ErrorOf(good.certificate_pem.substr(0, 200), good.key_pem),
            "cert.pem: certificate 1 in it is damaged");
  EXPECT_EQ(ErrorOf(good.certificate_pem + other.certificate_pem.substr(0, 200), good.key_pem),
            "cert.pem: certificate 2 in it is damaged");
  EXPECT_EQ(ErrorOf(good.certificate_pem, good.key_pem.substr(0, 100)),
            "key.pem: has no private key in PEM form");
}

TEST_F(TlsFilesTest, ACertificateOutsideItsTimeIsRefused) {
  const TestCertificate expired = authority_.IssueExpired("DNS:gateway.test");
  EXPECT_EQ(ErrorOf(expired.certificate_pem, expired.key_pem).find("cert.pem: expired at 20"), 0u);
  const TestCertificate early = authority_.IssueEarly("DNS:gateway.test");
  EXPECT_EQ(ErrorOf(early.certificate_pem, early.key_pem).find("cert.pem: is not valid before 20"),
            0u);
}

TEST_F(TlsFilesTest, AKeyWithAPassphraseIsRefusedWithoutAskingForIt) {
  const TestCertificate good = authority_.Issue("DNS:gateway.test");
  const std::string error = ErrorOf(good.certificate_pem, kEncryptedKey);
  EXPECT_EQ(error.find("key.pem: "), 0u) << error;
}

TEST_F(TlsFilesTest, NoErrorHoldsAnythingOfTheKey) {
  const TestCertificate good = authority_.Issue("DNS:gateway.test");
  const std::string line = good.key_pem.substr(good.key_pem.find('\n') + 1, 20);
  for (const std::string& text : {good.key_pem.substr(0, 120), "x" + good.key_pem}) {
    EXPECT_EQ(ErrorOf(good.certificate_pem, text).find(line), std::string::npos);
    EXPECT_EQ(ErrorOf(text, good.key_pem).find(line), std::string::npos);
  }
}

TEST_F(TlsFilesTest, AFileOfAuthoritiesHasSome) {
  EXPECT_TRUE(CheckCertificates(authority_.certificate_pem(), "ca.pem").ok());
  EXPECT_TRUE(
      CheckCertificates("# two\n" + authority_.certificate_pem() + authority_.certificate_pem(), "")
          .ok());
  EXPECT_EQ(CheckCertificates("nothing", "ca.pem").message(),
            "ca.pem: has no certificate in PEM form");
}

TEST_F(TlsFilesTest, OthersMayNeitherWriteNorReadAKey) {
  for (const uint32_t mode : {0600u, 0400u, 0640u, 0440u, 0700u}) {
    EXPECT_TRUE(CheckKeyMode(mode, false, "key.pem").ok()) << std::oct << mode;
  }
  for (const uint32_t mode : {0604u, 0644u, 0444u}) {
    EXPECT_EQ(CheckKeyMode(mode, false, "key.pem").message(),
              "key.pem: others may read this private key; take that away (chmod 600)");
  }
  for (const uint32_t mode : {0660u, 0602u, 0666u, 0620u}) {
    EXPECT_EQ(CheckKeyMode(mode, false, "key.pem").message(),
              "key.pem: others may write this private key; take that away (chmod 600)");
  }
}

TEST_F(TlsFilesTest, OnAReadOnlyMountTheContainerKeepsOthersOut) {
  EXPECT_TRUE(CheckKeyMode(0644, true, "key.pem").ok());
  EXPECT_TRUE(CheckKeyMode(0777, true, "key.pem").ok());
}

TEST_F(TlsFilesTest, AKeyFileThatOthersMayReadIsNotRead) {
  EXPECT_EQ(ReadKeyFile(Write("key", "secret", 0600)).value_or(""), "secret");
  EXPECT_FALSE(ReadKeyFile(Write("key", "secret", 0644)).ok());
  EXPECT_EQ(ReadCertificateFile(Write("cert", "text", 0644)).value_or(""), "text");
}

TEST_F(TlsFilesTest, WhatCannotBeReadIsNamed) {
  const std::string missing = folder_ / "missing";
  EXPECT_EQ(ReadCertificateFile(missing).status().message(),
            missing + ": cannot be read: No such file or directory");
  EXPECT_EQ(ReadCertificateFile(folder_).status().message(),
            absl::StrCat(folder_.string(), ": is not a regular file"));
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(ReadKeyFile(fifo).ok());
  const std::string big = Write("big", std::string(kMaxPemBytes + 1, 'x'));
  EXPECT_EQ(ReadCertificateFile(big).status().message(), big + ": is longer than 1048576 bytes");
  EXPECT_TRUE(ReadCertificateFile(Write("big", std::string(kMaxPemBytes, 'x'))).ok());
}

TEST_F(TlsFilesTest, ReadsWhatIsConfigured) {
  TlsConfig config;
  config.certificate_file = Write("cert", "c");
  config.key_file = Write("key", "k");
  EXPECT_EQ(ReadTlsFiles(config).value(),
            (TlsTexts{.certificate = "c", .key = "k", .client_ca = ""}));
  config.client_ca_file = Write("ca", "a");
  EXPECT_EQ(ReadTlsFiles(config).value(),
            (TlsTexts{.certificate = "c", .key = "k", .client_ca = "a"}));
  for (std::string* path : {&config.certificate_file, &config.key_file, &config.client_ca_file}) {
    const std::string present = *path;
    *path += ".missing";
    EXPECT_EQ(ReadTlsFiles(config).status().code(), absl::StatusCode::kFailedPrecondition);
    *path = present;
  }
}

}  // namespace
}  // namespace semaphore::gateway
