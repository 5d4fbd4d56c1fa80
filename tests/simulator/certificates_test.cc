// What a careful client makes of each certificate.
#include "tests/simulator/certificates.h"

#include <filesystem>
#include <fstream>

#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class CertificateTest : public SimulatorTest {};

TEST_F(CertificateTest, AGoodOneIsAccepted) {
  Start();
  EXPECT_EQ(client().Connect(), "");
}

TEST_F(CertificateTest, AnExpiredOneIsRefused) {
  Start({.certificate = Certificate::kExpired});
  EXPECT_NE(client().Connect(), "");
}

TEST_F(CertificateTest, OneForAnotherHostIsRefused) {
  Start({.certificate = Certificate::kOtherHost});
  EXPECT_NE(client().Connect(), "");
}

TEST_F(CertificateTest, ASelfSignedOneIsRefused) {
  Start({.certificate = Certificate::kSelfSigned});
  EXPECT_NE(client().Connect(), "");
}

TEST_F(CertificateTest, ASecondConnectionResumesTheSession) {
  Start();
  client().Get("/pipelines/" + ids().done_pipeline);
  client().Disconnect();
  client().Get("/pipelines/" + ids().done_pipeline);
  const std::vector<RecordedRequest> requests = simulator().Requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_FALSE(requests[0].tls_session_resumed);
  EXPECT_TRUE(requests[1].tls_session_resumed);
}

TEST_F(CertificateTest, OneFromFilesIsShownAndTrusted) {
  const auto made = MakeCertificates(Certificate::kSelfSigned);
  ASSERT_TRUE(made.ok()) << made.status();
  const std::filesystem::path folder(::testing::TempDir());
  const std::string certificate_file = folder / "simulator_certificate.pem";
  const std::string key_file = folder / "simulator_key.pem";
  std::ofstream(certificate_file) << made->certificate_pem;
  std::ofstream(key_file) << made->key_pem;
  Start({.certificate_file = certificate_file, .key_file = key_file});
  EXPECT_EQ(client().Connect(), "");
}

TEST_F(CertificateTest, AMissingFileIsAnErrorThatNamesIt) {
  const auto simulator =
      Simulator::Start({.certificate_file = "no-such-file.pem", .key_file = "neither.pem"});
  ASSERT_FALSE(simulator.ok());
  EXPECT_NE(simulator.status().message().find("no-such-file.pem"), absl::string_view::npos);
}

}  // namespace
}  // namespace semaphore::simulator
