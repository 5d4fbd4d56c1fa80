// The gRPC server under TLS, by its health service: what new connections see while the files
// change, and that old ones go on.
#include "gateway/server_credentials.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/clock.h"
#include "gateway/server.h"
#include "tests/client/test_certificates.h"

namespace semaphore::gateway {
namespace {

using client::TestAuthority;
using client::TestCertificate;

class ServerCredentialsTest : public testing::Test {
 protected:
  ServerCredentialsTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                absl::StrCat("credentials_",
                             testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
    config_.certificate_file = folder_ / "cert.pem";
    config_.key_file = folder_ / "key.pem";
    WritePair(authority_.Issue("IP:127.0.0.1"));
  }
  ~ServerCredentialsTest() override { std::filesystem::remove_all(folder_); }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
  }

  void WritePair(const TestCertificate& pair) {
    Write(config_.certificate_file, pair.certificate_pem);
    Write(config_.key_file, pair.key_pem);
  }

  void AskForCertificates(bool require) {
    config_.client_ca_file = folder_ / "ca.pem";
    config_.require_client_certificate = require;
    Write(config_.client_ca_file, authority_.certificate_pem());
  }

  void Serve() {
    auto tls = InboundTls::Create(config_, clock_, {});
    ASSERT_TRUE(tls.ok()) << tls.status();
    tls_ = *std::move(tls);
    GrpcConfig grpc;
    grpc.address = {"127.0.0.1", 0};
    auto server =
        Server::Start(grpc, LimitsConfig{}, {}, {.check_credentials = {}, .tls = tls_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // A connection of its own.
  std::shared_ptr<grpc::Channel> Connect(
      const std::shared_ptr<grpc::ChannelCredentials>& credentials) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", server_->port()), credentials,
                                     arguments);
  }

  std::shared_ptr<grpc::Channel> Trusting(const TestAuthority& authority) const {
    return Connect(grpc::SslCredentials({authority.certificate_pem(), "", ""}));
  }

  std::shared_ptr<grpc::Channel> Showing(const TestCertificate& shown) const {
    return Connect(
        grpc::SslCredentials({authority_.certificate_pem(), shown.key_pem, shown.certificate_pem}));
  }

  static grpc::StatusCode Health(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120));
    grpc::CompletionQueue queue;
    const grpc::Slice nothing;
    const grpc::ByteBuffer request(&nothing, 1);
    const auto call =
        stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status.error_code();
  }

  const std::filesystem::path folder_;
  const TestAuthority authority_;
  const client::SystemClock clock_;
  TlsConfig config_;
  std::unique_ptr<InboundTls> tls_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerCredentialsTest, ServesWhoTrustsItsAuthority) {
  Serve();
  EXPECT_EQ(Health(Trusting(authority_)), grpc::OK);
  EXPECT_EQ(Health(Trusting(TestAuthority())), grpc::UNAVAILABLE);
}

TEST_F(ServerCredentialsTest, ServesNoPlaintext) {
  Serve();
  EXPECT_EQ(Health(Connect(grpc::InsecureChannelCredentials())), grpc::UNAVAILABLE);
}

TEST_F(ServerCredentialsTest, NewConnectionsSeeTheNewCertificateAndOldOnesGoOn) {
  Serve();
  const auto old = Trusting(authority_);
  ASSERT_EQ(Health(old), grpc::OK);
  const TestAuthority next;
  WritePair(next.Issue("IP:127.0.0.1"));
  tls_->Look();
  tls_->Look();
  EXPECT_EQ(Health(Trusting(next)), grpc::OK);
  EXPECT_EQ(Health(Trusting(authority_)), grpc::UNAVAILABLE);
  EXPECT_EQ(Health(old), grpc::OK);
}

TEST_F(ServerCredentialsTest, AHalfWrittenPairDisturbsNobody) {
  Serve();
  Write(config_.certificate_file, authority_.Issue("IP:127.0.0.1").certificate_pem);
  tls_->Look();
  tls_->Look();
  EXPECT_EQ(Health(Trusting(authority_)), grpc::OK);
}

TEST_F(ServerCredentialsTest, ClientCertificatesAreHeldToTheirAuthority) {
  AskForCertificates(false);
  Serve();
  const TestAuthority other;
  EXPECT_EQ(Health(Showing(authority_.Issue("DNS:web.internal"))), grpc::OK);
  EXPECT_EQ(Health(Showing(authority_.IssueNameless())), grpc::OK);
  EXPECT_EQ(Health(Trusting(authority_)), grpc::OK);
  EXPECT_EQ(Health(Showing(other.Issue("DNS:web.internal"))), grpc::UNAVAILABLE);
  EXPECT_EQ(Health(Showing(authority_.IssueExpired("DNS:web.internal"))), grpc::UNAVAILABLE);
}

TEST_F(ServerCredentialsTest, ARequiredCertificateMustBeShown) {
  AskForCertificates(true);
  Serve();
  EXPECT_EQ(Health(Showing(authority_.Issue("DNS:web.internal"))), grpc::OK);
  EXPECT_EQ(Health(Trusting(authority_)), grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace semaphore::gateway
