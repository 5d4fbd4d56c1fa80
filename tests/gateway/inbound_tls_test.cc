// Reloading and the handshakes that follow from it, in memory: a client and a server of OpenSSL
// over a pair of buffers.
#include "gateway/inbound_tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/certificate_names.h"
#include "tests/client/test_certificates.h"

namespace semaphore::gateway {
namespace {

using client::TestAuthority;
using client::TestCertificate;
using testing::ElementsAre;
using testing::IsEmpty;

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using ContextPtr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using SslPtr = std::unique_ptr<SSL, decltype(&SSL_free)>;

// Begins at the real time, which the certificates were made at, and is moved by hand.
class WallClock final : public client::Clock {
 public:
  client::MonotonicTime Now() const override { return now_; }
  absl::Time WallNow() const override { return wall_; }
  void Advance(absl::Duration by) {
    now_ += absl::ToChronoNanoseconds(by);
    wall_ += by;
  }

 private:
  client::MonotonicTime now_;
  absl::Time wall_ = absl::Now();
};

struct Handshake {
  bool ok = false;
  std::string certificate_pem;     // that the client was shown
  std::vector<std::string> names;  // that the server takes from the client's certificate
  std::string alpn;                // chosen
  std::string version;             // "TLSv1.3"
};

using ClientSettings = std::function<void(SSL_CTX*)>;

std::string PemOf(X509* certificate) {
  if (certificate == nullptr) return {};
  const BioPtr out(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_X509(out.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// Neither side verifies names or the server's chain here: only the server is under test.
Handshake Connect(const InboundTls& tls, const ClientSettings& settings = {}) {
  const std::shared_ptr<boost::asio::ssl::context> context = tls.Context();
  const ContextPtr client_context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  if (settings) settings(client_context.get());
  const SslPtr server(SSL_new(context->native_handle()), &SSL_free);
  const SslPtr client(SSL_new(client_context.get()), &SSL_free);
  BIO* near = nullptr;
  BIO* far = nullptr;
  BIO_new_bio_pair(&near, 0, &far, 0);
  SSL_set_bio(server.get(), near, near);
  SSL_set_bio(client.get(), far, far);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  bool server_done = false;
  bool client_done = false;
  for (int turn = 0; turn < 20 && !(server_done && client_done); ++turn) {
    client_done = SSL_do_handshake(client.get()) == 1;
    server_done = SSL_do_handshake(server.get()) == 1;
  }
  ERR_clear_error();
  Handshake handshake;
  handshake.ok = server_done && client_done;
  if (!handshake.ok) return handshake;
  handshake.certificate_pem = PemOf(SSL_get0_peer_certificate(client.get()));
  handshake.names = CertificateNames(server.get());
  handshake.version = SSL_get_version(client.get());
  const unsigned char* alpn = nullptr;
  unsigned int alpn_size = 0;
  SSL_get0_alpn_selected(client.get(), &alpn, &alpn_size);
  handshake.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  return handshake;
}

// A client that shows this certificate.
ClientSettings Showing(const TestCertificate& shown) {
  return [shown](SSL_CTX* context) {
    const auto reader = [](const std::string& text) {
      return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free);
    };
    X509* certificate =
        PEM_read_bio_X509(reader(shown.certificate_pem).get(), nullptr, nullptr, nullptr);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(reader(shown.key_pem).get(), nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context, certificate);
    SSL_CTX_use_PrivateKey(context, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
  };
}

class InboundTlsTest : public testing::Test {
 protected:
  InboundTlsTest()
      : folder_(
            std::filesystem::path(testing::TempDir()) /
            absl::StrCat("tls_", testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    config_.certificate_file = folder_ / "cert.pem";
    config_.key_file = folder_ / "key.pem";
    WritePair(first_);
  }
  ~InboundTlsTest() override { std::filesystem::remove_all(folder_); }

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

  void Start() {
    auto tls = InboundTls::Create(config_, clock_, [this](const absl::StatusOr<absl::Time>& news) {
      news_.push_back(news.ok() ? "loaded" : std::string(news.status().message()));
    });
    ASSERT_TRUE(tls.ok()) << tls.status();
    tls_ = *std::move(tls);
    news_.clear();
  }

  void Look(int times) {
    for (int i = 0; i < times; ++i) tls_->Look();
  }

  std::string Shown() { return Connect(*tls_).certificate_pem; }

  const std::filesystem::path folder_;
  const TestAuthority authority_;
  const TestCertificate first_ = authority_.Issue("DNS:gateway.test");
  const TestCertificate second_ = authority_.Issue("DNS:gateway.test");
  WallClock clock_;
  TlsConfig config_;
  std::vector<std::string> news_;  // outlives the watcher that tells them
  std::unique_ptr<InboundTls> tls_;
};

TEST_F(InboundTlsTest, ShowsTheCertificateOfTheFile) {
  Start();
  EXPECT_EQ(Shown(), first_.certificate_pem);
  EXPECT_EQ(tls_->Current()->generation, 1u);
  EXPECT_GT(tls_->GetStats().expiry, clock_.WallNow());
}

TEST_F(InboundTlsTest, TakesANewPairAtTheSecondLookThatSeesIt) {
  Start();
  Look(2);
  EXPECT_THAT(news_, IsEmpty());
  WritePair(second_);
  Look(1);
  EXPECT_EQ(Shown(), first_.certificate_pem);
  Look(1);
  EXPECT_EQ(Shown(), second_.certificate_pem);
  Look(3);
  EXPECT_THAT(news_, ElementsAre("loaded"));
  EXPECT_EQ(tls_->GetStats().reloads, 1u);
  EXPECT_EQ(tls_->GetStats().refusals, 0u);
}

TEST_F(InboundTlsTest, AHalfWrittenPairChangesNothingAndIsToldOnce) {
  Start();
  Write(config_.certificate_file, second_.certificate_pem);
  Look(5);
  EXPECT_EQ(Shown(), first_.certificate_pem);
  EXPECT_THAT(news_,
              ElementsAre(config_.key_file + ": does not belong to the first certificate of " +
                          config_.certificate_file));
  EXPECT_EQ(tls_->GetStats().refusals, 1u);
  Write(config_.key_file, second_.key_pem);
  Look(2);
  EXPECT_EQ(Shown(), second_.certificate_pem);
  EXPECT_EQ(news_.back(), "loaded");
}

TEST_F(InboundTlsTest, APairSeenInTheMiddleOfItsWritingIsNotEvenTold) {
  Start();
  Write(config_.certificate_file, second_.certificate_pem);
  Look(1);
  Write(config_.key_file, second_.key_pem);
  Look(2);
  EXPECT_EQ(Shown(), second_.certificate_pem);
  EXPECT_THAT(news_, ElementsAre("loaded"));
}

TEST_F(InboundTlsTest, WhateverIsWrongWithTheFilesTheOldPairStaysInForce) {
  Start();
  const std::string half = second_.certificate_pem.substr(0, 300);
  for (const std::string& text : {std::string(), half, std::string("rubbish")}) {
    Write(config_.certificate_file, text);
    Look(2);
    EXPECT_EQ(Shown(), first_.certificate_pem);
  }
  std::filesystem::remove(config_.key_file);
  Look(2);
  EXPECT_EQ(Shown(), first_.certificate_pem);
  EXPECT_EQ(news_.size(), 4u) << testing::PrintToString(news_);
  EXPECT_EQ(tls_->GetStats().reloads, 0u);
}

TEST_F(InboundTlsTest, AnExpiredPairIsNotTaken) {
  Start();
  WritePair(authority_.IssueExpired("DNS:gateway.test"));
  Look(2);
  EXPECT_EQ(Shown(), first_.certificate_pem);
  ASSERT_EQ(news_.size(), 1u);
  EXPECT_THAT(news_[0], testing::HasSubstr("expired at"));
}

TEST_F(InboundTlsTest, APairOfTomorrowIsTakenWhenItsTimeComes) {
  Start();
  const TestCertificate early = authority_.IssueEarly("DNS:gateway.test");
  WritePair(early);
  Look(3);
  EXPECT_EQ(Shown(), first_.certificate_pem);
  clock_.Advance(absl::Hours(2));
  Look(1);
  EXPECT_EQ(Shown(), early.certificate_pem);
  EXPECT_EQ(news_.size(), 2u) << testing::PrintToString(news_);
}

TEST_F(InboundTlsTest, FilesThatGoBackAreToldAsSoundAgain) {
  Start();
  Write(config_.key_file, second_.key_pem);
  Look(2);
  Write(config_.key_file, first_.key_pem);
  Look(2);
  ASSERT_EQ(news_.size(), 2u) << testing::PrintToString(news_);
  EXPECT_EQ(news_.back(), "loaded");
  EXPECT_EQ(tls_->GetStats().reloads, 0u);
}

TEST_F(InboundTlsTest, ACertificateThatExpiresInForceIsToldOnce) {
  Start();
  clock_.Advance(absl::Hours(48));
  Look(3);
  ASSERT_EQ(news_.size(), 1u);
  EXPECT_THAT(news_[0], testing::HasSubstr("has expired and is still in force"));
  EXPECT_EQ(tls_->GetStats().refusals, 0u);
}

TEST_F(InboundTlsTest, FollowsALinkToAFolderThatIsSwapped) {
  // As Kubernetes mounts secrets: cert.pem -> ..data/cert.pem, ..data -> a folder of that version.
  const auto version = [&](const std::string& name, const TestCertificate& pair) {
    std::filesystem::create_directory(folder_ / name);
    Write(folder_ / name / "cert.pem", pair.certificate_pem);
    Write(folder_ / name / "key.pem", pair.key_pem);
    std::filesystem::create_symlink(name, folder_ / "..data_tmp");
    std::filesystem::rename(folder_ / "..data_tmp", folder_ / "..data");
  };
  version("..1", first_);
  for (const std::string& path : {config_.certificate_file, config_.key_file}) {
    std::filesystem::remove(path);
    std::filesystem::create_symlink(
        std::filesystem::path("..data") / std::filesystem::path(path).filename(), path);
  }
  Start();
  EXPECT_EQ(Shown(), first_.certificate_pem);
  version("..2", second_);
  std::filesystem::remove_all(folder_ / "..1");
  Look(2);
  EXPECT_EQ(Shown(), second_.certificate_pem);
}

TEST_F(InboundTlsTest, WhoHoldsAnOldContextKeepsIt) {
  Start();
  const std::shared_ptr<const InboundTls::Snapshot> old = tls_->Current();
  WritePair(second_);
  Look(2);
  EXPECT_EQ(old->texts.certificate, first_.certificate_pem);
  EXPECT_NE(old->context, tls_->Context());
}

TEST_F(InboundTlsTest, NothingStartsWithFilesThatCannotBeUsed) {
  const auto error = [&] {
    return std::string(InboundTls::Create(config_, clock_, {}).status().message());
  };
  Write(config_.key_file, second_.key_pem);
  EXPECT_THAT(error(), testing::HasSubstr("does not belong to"));
  WritePair(authority_.IssueExpired("DNS:gateway.test"));
  EXPECT_THAT(error(), testing::HasSubstr("expired at"));
  WritePair(authority_.IssueEarly("DNS:gateway.test"));
  EXPECT_THAT(error(), testing::HasSubstr("is not valid before"));
  WritePair(first_);
  chmod(config_.key_file.c_str(), 0644);
  EXPECT_THAT(error(), testing::HasSubstr("others may read"));
  WritePair(first_);
  config_.client_ca_file = folder_ / "ca.pem";
  EXPECT_THAT(error(), testing::HasSubstr("ca.pem: cannot be read"));
  Write(config_.client_ca_file, first_.key_pem);
  EXPECT_THAT(error(), testing::HasSubstr("ca.pem: has no certificate"));
}

TEST_F(InboundTlsTest, TheWatcherSeesAChangeByItself) {
  Start();
  tls_->Watch(absl::Milliseconds(1));
  WritePair(second_);
  while (tls_->Current()->generation == 1) std::this_thread::yield();
  EXPECT_EQ(Shown(), second_.certificate_pem);
}

TEST_F(InboundTlsTest, TlsBefore12IsRefused) {
  Start();
  const auto version = [&](int number) {
    return Connect(*tls_, [number](SSL_CTX* context) {
      SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
      SSL_CTX_set_min_proto_version(context, number);
      SSL_CTX_set_max_proto_version(context, number);
    });
  };
  EXPECT_FALSE(version(TLS1_VERSION).ok);
  EXPECT_FALSE(version(TLS1_1_VERSION).ok);
  EXPECT_EQ(version(TLS1_2_VERSION).version, "TLSv1.2");
  EXPECT_EQ(version(TLS1_3_VERSION).version, "TLSv1.3");
}

TEST_F(InboundTlsTest, SuitesWithoutForwardSecrecyOrAeadAreRefused) {
  Start();
  const auto with = [&](const char* suite) {
    return Connect(*tls_, [suite](SSL_CTX* context) {
      SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
      SSL_CTX_set_cipher_list(context, suite);
    });
  };
  EXPECT_FALSE(with("ECDHE-ECDSA-AES128-SHA256").ok);
  EXPECT_FALSE(with("ECDHE-ECDSA-AES256-SHA").ok);
  EXPECT_FALSE(with("AES128-GCM-SHA256").ok);
  EXPECT_TRUE(with("ECDHE-ECDSA-AES128-GCM-SHA256").ok);
  EXPECT_TRUE(with("ECDHE-ECDSA-CHACHA20-POLY1305").ok);
}

TEST_F(InboundTlsTest, SpeaksHttp11AndNothingElse) {
  Start();
  const auto offering = [&](const std::string& protocols) {
    return Connect(*tls_, [protocols](SSL_CTX* context) {
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                              static_cast<unsigned int>(protocols.size()));
    });
  };
  EXPECT_EQ(offering("\x02h2\x08http/1.1").alpn, "http/1.1");
  EXPECT_FALSE(offering("\x02h2").ok);
  EXPECT_TRUE(Connect(*tls_).ok);
}

TEST_F(InboundTlsTest, WithoutAuthoritiesNoCertificateIsAskedFor) {
  Start();
  const Handshake handshake = Connect(*tls_, Showing(authority_.Issue("DNS:web.internal")));
  EXPECT_TRUE(handshake.ok);
  EXPECT_THAT(handshake.names, IsEmpty());
}

TEST_F(InboundTlsTest, AVerifiedCertificateNamesItsCaller) {
  AskForCertificates(false);
  Start();
  const Handshake handshake = Connect(
      *tls_, Showing(authority_.Issue("DNS:WEB.internal,URI:spiffe://example.org/web,IP:10.0.0.1,"
                                      "email:web@example.org,DNS:*.internal,URI:https://a/b")));
  EXPECT_TRUE(handshake.ok);
  EXPECT_THAT(handshake.names, ElementsAre("dns:web.internal", "spiffe://example.org/web"));
}

TEST_F(InboundTlsTest, ACertificateWithoutAlternativeNamesNamesNobody) {
  AskForCertificates(true);
  Start();
  const Handshake handshake = Connect(*tls_, Showing(authority_.IssueNameless()));
  EXPECT_TRUE(handshake.ok);
  EXPECT_THAT(handshake.names, IsEmpty());
}

TEST_F(InboundTlsTest, ACertificateOfAnotherAuthorityEndsTheHandshake) {
  AskForCertificates(false);
  Start();
  const TestAuthority other;
  EXPECT_FALSE(Connect(*tls_, Showing(other.Issue("DNS:web.internal"))).ok);
  EXPECT_FALSE(Connect(*tls_, Showing(TestAuthority::SelfSigned("DNS:web.internal"))).ok);
}

TEST_F(InboundTlsTest, AnExpiredCertificateEndsTheHandshake) {
  AskForCertificates(false);
  Start();
  EXPECT_FALSE(Connect(*tls_, Showing(authority_.IssueExpired("DNS:web.internal"))).ok);
}

TEST_F(InboundTlsTest, NoCertificateIsRefusedOnlyWhereOneIsRequired) {
  AskForCertificates(false);
  Start();
  EXPECT_TRUE(Connect(*tls_).ok);
  AskForCertificates(true);
  Start();
  EXPECT_FALSE(Connect(*tls_).ok);
  EXPECT_TRUE(Connect(*tls_, Showing(authority_.Issue("DNS:web.internal"))).ok);
}

TEST_F(InboundTlsTest, NoSessionStandsForACertificateForLong) {
  AskForCertificates(false);
  Start();
  clock_.Advance(absl::Minutes(4));
  Look(1);
  EXPECT_EQ(tls_->Current()->generation, 1u);
  clock_.Advance(absl::Minutes(1));
  Look(2);
  EXPECT_EQ(tls_->Current()->generation, 2u);
  EXPECT_EQ(tls_->Current()->texts.certificate, first_.certificate_pem);
  EXPECT_THAT(news_, IsEmpty());
  EXPECT_EQ(tls_->GetStats().reloads, 0u);
}

TEST_F(InboundTlsTest, NewAuthoritiesCountForNewConnections) {
  AskForCertificates(true);
  Start();
  const TestAuthority other;
  const TestCertificate of_other = other.Issue("DNS:web.internal");
  EXPECT_FALSE(Connect(*tls_, Showing(of_other)).ok);
  Write(config_.client_ca_file, other.certificate_pem());
  Look(2);
  EXPECT_TRUE(Connect(*tls_, Showing(of_other)).ok);
  EXPECT_FALSE(Connect(*tls_, Showing(authority_.Issue("DNS:web.internal"))).ok);
}

}  // namespace
}  // namespace semaphore::gateway
